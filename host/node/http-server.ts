// Node's own `http.Server` over connections of this shard: parser, IncomingMessage and ServerResponse are Node's, so
// frameworks find what they know. Only the sockets are ours.
//
// `http.Server` is a `net.Server`, which would listen by itself. Here the methods that do so are those of Listening.
// When all connections have ended, Node's own close() ends the timer that looks for slow requests, and emits 'close'.

import { Server, type ServerOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AcceptOptions, Listening } from './listening.js';
import { closeServer, type OnClosed } from './net-server.js';

type App = (...args: never[]) => unknown;

export class HttpServer extends Server {
  declare _handle?: object | null;
  readonly #listening: Listening;

  constructor(options: ServerOptions | App | undefined, app: App | undefined) {
    super(options as ServerOptions, app as never);
    const given: AcceptOptions = typeof options === 'object' ? (options as AcceptOptions) : {};
    const { highWaterMark, keepAlive, keepAliveInitialDelay } = given;
    this.#listening = new Listening(
      this,
      { allowHalfOpen: true, highWaterMark, keepAlive, keepAliveInitialDelay },
      { onEnd: () => super.close(), closeIdle: () => this.closeIdleConnections() },
    );
  }

  override listen(...args: unknown[]): this {
    this.#listening.listen(args);
    return this;
  }

  override address(): AddressInfo | string | null {
    return this.#listening.address();
  }

  override close(done?: OnClosed): this {
    closeServer(this, this.#listening, done);
    super.closeIdleConnections(); // this server's own one is called once, by Node's close() at the end
    return this;
  }

  override getConnections(done: (error: Error | null, count: number) => void): this {
    process.nextTick(done, null, this.#listening.sockets.size);
    return this;
  }

  /** The runtime keeps the process alive, not its servers. */
  override ref(): this {
    return this;
  }

  override unref(): this {
    return this;
  }

  /** The original one would ask for Node's own listener. */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.listening) await new Promise<void>((resolve) => this.close(() => resolve()));
  }
}
