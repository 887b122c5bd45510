// The server of the streams of one HTTP/2 connection: what the connection's own server is, besides the list of those
// that are open.
//
// Next: connection-server.ts.

import type { Shard } from '../shard/shard.js';
import type { WebSockets } from '../websocket/websockets.js';
import type { HttpConnection } from './connection.js';
import type { ConnectionServer } from './connection-server.js';
import type { HandlerInfo } from './handler-info.js';
import type { Proxies } from './proxies.js';
import type { FeatherRequest } from './request.js';
import type { Server } from './server.js';
import type { Writer } from './writer.js';

export class Http2StreamServer implements ConnectionServer {
  readonly shard: Shard;
  readonly writer: Writer;
  readonly limits: ConnectionServer['limits'];
  readonly authority: string;
  readonly headScratch: number;
  readonly pieceScratch: number;
  readonly proxies: Proxies | undefined;
  readonly onResponse: ConnectionServer['onResponse'];
  /** These refuse it: nghttp2 lets no request ask for an upgrade. */
  readonly websockets: WebSockets | undefined;
  readonly #server: ConnectionServer;
  readonly #open = new Set<HttpConnection>();

  constructor(server: ConnectionServer) {
    this.#server = server;
    this.shard = server.shard;
    this.writer = server.writer;
    this.limits = server.limits;
    this.authority = server.authority;
    this.headScratch = server.headScratch;
    this.pieceScratch = server.pieceScratch;
    this.proxies = server.proxies;
    this.onResponse = server.onResponse;
    this.websockets = server.websockets;
  }

  get handle(): Server {
    return this.#server.handle;
  }

  get draining(): boolean {
    return this.#server.draining;
  }

  get requests(): number {
    return this.#server.requests;
  }

  set requests(count: number) {
    this.#server.requests = count;
  }

  get refused(): number {
    return this.#server.refused;
  }

  set refused(count: number) {
    this.#server.refused = count;
  }

  fetch(request: FeatherRequest, info: HandlerInfo, context: HandlerInfo): unknown {
    return this.#server.fetch(request, info, context);
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    this.#server.waitUntil(promise);
  }

  report(error: unknown): void {
    this.#server.report(error);
  }

  add(connection: HttpConnection): void {
    this.#open.add(connection);
  }

  forget(connection: HttpConnection): void {
    this.#open.delete(connection);
  }

  /** No stream is upgraded. */
  replace(): void {}

  /** Its place is no connection's. */
  departed(): void {}

  /** No bytes of a stream lie in a buffer. */
  holding(): void {}

  /** Their client has left. */
  peerLeft(): void {
    for (const connection of [...this.#open]) connection.onPeerLeft();
  }

  drain(): void {
    for (const connection of this.#open) connection.drain();
  }

  destroy(): void {
    for (const connection of [...this.#open]) connection.destroy();
  }
}
