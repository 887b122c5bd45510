// A server with the interface of `net.Server`: it listens on this shard, and its connections are NodeSockets. With TLS
// it has the interface of `tls.Server`, and they are SecureSockets.

import { EventEmitter } from 'node:events';
import type { AddressInfo } from 'node:net';
import { checkTlsHost, checkTlsServer, type TlsServerOptions } from '../tls/options.js';
import { type AcceptOptions, Listening, type ListeningUser } from './listening.js';
import { codedError } from './node-errors.js';

export type OnClosed = (error?: Error) => void;

/** Both kinds of server close so: `done` gets an error if the server was not listening. */
export function closeServer(server: EventEmitter, listening: Listening, done: OnClosed | undefined): void {
  const wasListening = listening.close();
  const notRunning = codedError('ERR_SERVER_NOT_RUNNING', 'Server is not running.');
  if (done === undefined) return;
  if (wasListening) server.once('close', () => done());
  else process.nextTick(done, notRunning);
}

export class NetServer extends EventEmitter implements ListeningUser {
  declare maxConnections?: number;
  _handle: object | null = null;
  readonly #listening: Listening;

  constructor(options: AcceptOptions | ((socket: unknown) => void) = {}, onConnection?: (socket: unknown) => void) {
    super();
    const isListener = typeof options === 'function';
    const listener = isListener ? options : onConnection;
    const given = isListener ? {} : options;
    if (given.tls !== undefined) {
      checkTlsHost();
      checkTlsServer('tls', given.tls);
    }
    const onEnd = () => process.nextTick(() => this.emit('close'));
    this.#listening = new Listening(this, given, { onEnd });
    if (listener !== undefined) this.on(given.tls === undefined ? 'connection' : 'secureConnection', listener);
  }

  get listening(): boolean {
    return this.#listening.isListening;
  }

  listen(...args: unknown[]): this {
    this.#listening.listen(args);
    return this;
  }

  address(): AddressInfo | string | null {
    return this.#listening.address();
  }

  close(done?: OnClosed): this {
    closeServer(this, this.#listening, done);
    return this;
  }

  getConnections(done: (error: Error | null, count: number) => void): this {
    process.nextTick(done, null, this.#listening.connectionCount);
    return this;
  }

  ref(): this {
    this.#listening.setRef(true);
    return this;
  }

  unref(): this {
    this.#listening.setRef(false);
    return this;
  }

  /** For a server with TLS: certificates of connections that come from now on. */
  setSecureContext(options: TlsServerOptions): void {
    this.#listening.setSecureContext(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.listening) await new Promise<void>((resolve) => this.close(() => resolve()));
  }
}
