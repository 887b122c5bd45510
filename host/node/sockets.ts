// The sockets and servers of featherstar/node, with the types of node:net and node:http.

import type { Server as HttpServerType, RequestListener } from 'node:http';
import type { Server as HttpsServerType } from 'node:https';
import type {
  NetConnectOpts,
  Server as NetServerType,
  Socket as NetSocket,
  ServerOpts,
  SocketConstructorOpts,
} from 'node:net';
import type { TLSSocket, Server as TlsServerType } from 'node:tls';
import { FeatherstarError } from '../base/errors.js';
import type { Socket } from '../net/socket.js';
import type { TlsServerOptions } from '../tls/options.js';
import { type HttpServerOptions, makeHttpServer } from './http-server.js';
import { NetServer } from './net-server.js';
import { connectArguments, NodeSocket as Implementation, type NodeSocketOptions } from './node-socket.js';
import { SocketHandle } from './socket-handle.js';
import './tls-addresses.js';

const isOtherRuntime = 'Bun' in globalThis || 'Deno' in globalThis;

/**
 * The constructor of a socket with the interface of `net.Socket`: `connect()` connects it. It is for libraries that
 * want to do so themselves. Throws FEATHERSTAR_NO_SHARD in a thread that is no shard.
 */
export const NodeSocket = Implementation as unknown as new (options?: SocketConstructorOpts) => NetSocket;

/**
 * Connects to a server, as `net.createConnection()` does, by a connection of this shard. The socket emits 'connect', or
 * 'error' with Node's codes (ECONNREFUSED, ENOTFOUND, ...) and this library's error as `cause`. Throws
 * FEATHERSTAR_NO_SHARD in a thread that is no shard, and FEATHERSTAR_OPTION for `localAddress`, `localPort` and
 * `onread`.
 *
 * @example
 * const agent = new http.Agent();
 * agent.createConnection = createConnection;
 */
export function createConnection(options: NetConnectOpts, onConnect?: () => void): NetSocket;
/** Connects to a port of a host, by default of this machine. */
export function createConnection(port: number, host?: string, onConnect?: () => void): NetSocket;
/** Connects to a Unix socket. */
export function createConnection(path: string, onConnect?: () => void): NetSocket;
export function createConnection(...args: unknown[]): NetSocket {
  const [options] = connectArguments(args);
  return new Implementation(options as NodeSocketOptions).connect(...args) as unknown as NetSocket;
}

/**
 * A stream with the interface of `net.Socket` over a connection of `featherstar/net`, which belongs to the stream from
 * now on. So a connection that was handed over can be given to a library.
 *
 * @example
 * export const onSocket = (socket) => httpServer.emit('connection', nodeSocketOf(socket));
 */
export function nodeSocketOf(socket: Socket, options: SocketConstructorOpts = {}): NetSocket {
  const stream = new Implementation(options as NodeSocketOptions);
  stream.attach(new SocketHandle(socket, stream));
  return stream as unknown as NetSocket;
}

/**
 * Makes a server with the interface of `net.Server`, whose connections are sockets of this shard, as
 * `net.createServer()` does. On a runtime of several shards each of them may listen on the same port.
 *
 * @example
 * createNetServer((socket) => socket.pipe(socket)).listen(7000);
 */
export function createNetServer(onConnection?: (socket: NetSocket) => void): NetServerType;
/**
 * Makes a server with the interface of `tls.Server`, as `tls.createServer()` does. `tls` has the options of `serve()`.
 * Throws FEATHERSTAR_TLS for a key or a certificate that cannot be used.
 *
 * @example
 * createNetServer({ tls: { key, cert } }, (socket) => socket.pipe(socket)).listen(7000);
 */
export function createNetServer(
  options: ServerOpts & { tls: TlsServerOptions },
  onConnection?: (socket: TLSSocket) => void,
): TlsServerType;
/** Makes a server whose sockets have these options: `allowHalfOpen`, `pauseOnConnect`, `highWaterMark`. */
export function createNetServer(options: ServerOpts, onConnection?: (socket: NetSocket) => void): NetServerType;
export function createNetServer(...args: unknown[]): NetServerType | TlsServerType {
  return new NetServer(args[0] as never, args[1] as never) as unknown as TlsServerType;
}

/**
 * Makes an `http.Server` whose connections are those of this shard, as `http.createServer()` does, for programs and
 * frameworks that were written for it. Throws FEATHERSTAR_HOST on Bun and Deno, whose `http.Server` takes no sockets.
 *
 * @example
 * createServer(express()).listen(8080);
 */
export function createServer(app?: RequestListener): HttpServerType;
/**
 * Makes an `https.Server`, as `https.createServer()` does. `tls` has the options of `serve()`. Throws FEATHERSTAR_TLS
 * for a key or a certificate that cannot be used.
 *
 * @example
 * createServer({ tls: { key, cert } }, express()).listen(8443);
 */
export function createServer(
  options: HttpServerOptions & { tls: TlsServerOptions },
  app?: RequestListener,
): HttpsServerType;
/** Makes a server with options of `http.createServer()`. */
export function createServer(options: HttpServerOptions, app?: RequestListener): HttpServerType;
export function createServer(...args: unknown[]): HttpServerType | HttpsServerType {
  if (isOtherRuntime) {
    throw new FeatherstarError('FEATHERSTAR_HOST', "createServer() needs Node's own http.Server: use serve() here");
  }
  return makeHttpServer(...(args as Parameters<typeof makeHttpServer>));
}
