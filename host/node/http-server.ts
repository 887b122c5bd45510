// Node's own `http.Server` and `https.Server` over connections of this shard: parser, IncomingMessage and
// ServerResponse are Node's, so frameworks find what they know. Only the sockets are ours.
//
// Both are a `net.Server`, which would listen by itself. So the methods that do so are replaced by those of Listening.
// When all connections have ended, Node's own close() ends the timer that looks for slow requests, and emits 'close'.
//
// An `https.Server` serves each socket that it emits as 'secureConnection'. Here that is a SecureSocket, whose
// handshake is over (secure-socket.ts). The server has a context of Node's own, too, which is never used.
//
// Next: listening.ts.

import { Server as HttpServer, type RequestListener, type ServerOptions } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import {
  checkTlsHost,
  checkTlsServer,
  type TlsContextOptions,
  type TlsServerOptions,
  ticketKeys,
} from '../tls/options.js';
import { type AcceptOptions, Listening } from './listening.js';
import { closeServer, type OnClosed } from './net-server.js';

type App = RequestListener | undefined;

/** A simulation replaces what these names stand for. */
const [PlainBase, SecureBase] = [HttpServer, HttpsServer];

/** Options of `http.createServer()`, and `tls`. */
export interface HttpServerOptions extends ServerOptions {
  /** Encrypts the connections: the options are those of `serve()` (docs/tls.md). */
  tls?: TlsServerOptions | undefined;
}

/**
 * Makes an `https.Server` if `tls` is given, and else an `http.Server`. The options may be left out. Throws OPTION, TLS
 * and HOST.
 */
export function makeHttpServer(
  first: HttpServerOptions | RequestListener = {},
  second?: RequestListener,
): HttpServer | HttpsServer {
  return typeof first === 'function' ? makeServer({}, first) : makeServer(first, second);
}

function makeServer({ tls, ...options }: HttpServerOptions, app: App): HttpServer | HttpsServer {
  if (tls === undefined) return onShard(new PlainBase(options, app), { ...options, allowHalfOpen: true }).server;
  checkTlsHost();
  const checked = checkTlsServer('tls', { alpn: ['http/1.1'], ...tls });
  const { server, listening } = onShard(new SecureBase(options, app), { ...options, tls: checked });
  return define(server, secureMethods(listening));
}

function define<S extends object>(target: S, methods: Record<string | symbol, unknown>): S {
  for (const name of Reflect.ownKeys(methods)) {
    Object.defineProperty(target, name, { value: methods[name], writable: true, configurable: true });
  }
  return target;
}

function onShard<S extends HttpServer | HttpsServer>(server: S, options: AcceptOptions & ServerOptions) {
  const { close, closeIdleConnections } = server; // Node's
  const { allowHalfOpen, highWaterMark, keepAlive, keepAliveInitialDelay, tls } = options;
  const listening: Listening = new Listening(
    server,
    { allowHalfOpen, highWaterMark, keepAlive, keepAliveInitialDelay, tls },
    { onEnd: () => close.call(server), closeIdle: () => server.closeIdleConnections() },
  );
  define(server, {
    listen(...args: unknown[]): S {
      listening.listen(args);
      return server;
    },
    address: () => listening.address(),
    close(done?: OnClosed): S {
      closeServer(server, listening, done);
      closeIdleConnections.call(server); // a replacement of the program's is called once, by Node's close() at the end
      return server;
    },
    getConnections(done: (error: Error | null, count: number) => void): S {
      process.nextTick(done, null, listening.connectionCount);
      return server;
    },
    ref(): S {
      listening.setRef(true);
      return server;
    },
    unref(): S {
      listening.setRef(false);
      return server;
    },
    /** Node's own one would ask for Node's own listener. */
    async [Symbol.asyncDispose](): Promise<void> {
      if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  });
  return { server, listening };
}

/** The methods of `tls.Server`. */
function secureMethods(listening: Listening): Record<string, unknown> {
  return {
    setSecureContext: (options: TlsServerOptions) => listening.setSecureContext(options),
    addContext(servername: string, options: TlsContextOptions): void {
      const { sni, ...others } = listening.tls as TlsServerOptions;
      listening.setSecureContext({ ...others, sni: { ...sni, [servername]: options } });
    },
    getTicketKeys: () => Buffer.from(ticketKeys(listening.tls as TlsServerOptions)),
    setTicketKeys(keys: Uint8Array): void {
      listening.setSecureContext({ ...(listening.tls as TlsServerOptions), ticketKeys: keys });
    },
  };
}
