// The second argument of a handler: fetch(request, info). One is made for each request, and does nothing until it is
// asked. It is also the third argument, where Workers and Hono look for waitUntil().
//
// Next: connection.ts, which is its exchange.

import { checkFunction } from '../base/options.js';
import type { NetAddress } from '../hosts/host.js';
import type { TlsInfo } from '../tls/info.js';
import type { UpgradeOptions } from '../websocket/handshake.js';
import { goneError } from './closed-errors.js';
import type { Head } from './head.js';
import type { HeadersValue } from './headers.js';
import { informationalHead } from './informational.js';
import type { RequestControl, RequestLimitOptions } from './request-control.js';
import type { FeatherResponse } from './response.js';
import type { Server } from './server.js';

/** The part of a connection that the info of a request uses. */
export interface InfoExchange {
  readonly server: {
    /** The object that `serve()` resolves to. */
    readonly handle: Server;
    waitUntil(promise: PromiseLike<unknown>): void;
  };
  readonly transport: { readonly tls?: TlsInfo | undefined };
  /** The address of the client that has sent this head. */
  clientOf(head: Head): NetAddress | undefined;
  /** Undefined: the request with this head is over. */
  controlOf(head: Head): RequestControl | undefined;
}

/** An address in the form of Bun's and Node's. */
export interface ClientAddress {
  /** A numeric IPv4 or IPv6 address. */
  readonly address: string;
  /** Its family. */
  readonly family: 'IPv4' | 'IPv6';
  /** The port, 1 to 65,535. */
  readonly port: number;
}

/** An address in the form of Deno's. */
export type DenoAddress =
  | { readonly transport: 'tcp'; readonly hostname: string; readonly port: number }
  | { readonly transport: 'unix'; readonly path: string };

export function clientAddress(remote: NetAddress | undefined): ClientAddress | null {
  if (remote === undefined) return null;
  const { hostname, port } = remote;
  return { address: hostname, family: hostname.includes(':') ? 'IPv6' : 'IPv4', port };
}

/**
 * The second argument of `fetch(request, info)`. Its members are made when they are asked for.
 *
 * @example
 * fetch: (request, info) => new Response(`Hello, ${info.remote?.hostname}`)
 */
export class HandlerInfo {
  readonly #exchange: InfoExchange;
  readonly #head: Head;

  /** @internal */
  constructor(exchange: InfoExchange, head: Head) {
    this.#exchange = exchange;
    this.#head = head;
  }

  /**
   * The address of the client. Undefined if it came by a Unix socket, and if its connection was closed before any
   * request of it was asked. Throws FEATHERSTAR_SYSTEM (EOPNOTSUPP) on the uring host before Linux 6.7.
   */
  get remote(): NetAddress | undefined {
    return this.#exchange.clientOf(this.#head);
  }

  /**
   * The facts about a connection over TLS: its version, the client's certificate, and more. Undefined: the connection
   * has none. Its members ask OpenSSL, so read them while the request is handled.
   */
  get tls(): TlsInfo | undefined {
    return this.#exchange.transport.tls;
  }

  /** The client's address in Deno's form. A Unix socket has an empty path. */
  get remoteAddr(): DenoAddress {
    const { remote } = this;
    return remote === undefined ? { transport: 'unix', path: '' } : { transport: 'tcp', ...remote };
  }

  /** The server that the request came to, of this shard. */
  get server(): Server {
    return this.#exchange.server.handle;
  }

  /** The client's address in Bun's form, or null. `server.requestIP(request)` is for any request that is handled. */
  requestIP(): ClientAddress | null {
    return clientAddress(this.remote);
  }

  /**
   * Keeps the server open for work that goes on behind the response: `server.close()` waits for the promise, within
   * its time. If it rejects, `onError` gets the error.
   */
  waitUntil(promise: PromiseLike<unknown>): void {
    this.#exchange.server.waitUntil(promise);
  }

  /**
   * Changes the limits of this request, for example in a route that takes uploads. Without effect when its response has
   * been sent. Throws FEATHERSTAR_OPTION if `bodyBytes` is more than the server's `limits.maxBodyBytes`.
   *
   * @example
   * info.limit({ bodyBytes: 1_000_000_000, requestTimeoutMs: 3_600_000 });
   */
  limit(options: RequestLimitOptions): void {
    this.#exchange.controlOf(this.#head)?.limit(options);
  }

  /**
   * Sends trailers: fields behind a streamed body. `make` is called when the stream has ended. Returns false if the
   * client gets none: it speaks HTTP/1.0, the request is HEAD, or the response has begun. Only bodies in chunks have
   * them: those that are streams, and whose length is not given. If `make` fails, or its fields belong before a body
   * (FEATHERSTAR_OPTION), the response is broken off, and `onError` gets the error.
   *
   * @example
   * info.sendTrailers(() => ({ 'x-checksum': hash.digest('hex') }));
   */
  sendTrailers(make: () => HeadersValue | PromiseLike<HeadersValue>): boolean {
    checkFunction('make', make);
    return this.#exchange.controlOf(this.#head)?.sendTrailers(make) ?? false;
  }

  /**
   * Sends an informational response before the response, such as 103 Early Hints. Returns whether it was sent. It is
   * not sent to a client of HTTP/1.0, when the response has begun, or while 64 KiB wait for the client. `status`: 102
   * to 199; the server sends 100 itself. Throws FEATHERSTAR_OPTION for another status or a header of the connection's,
   * and TypeError for what no header can be.
   *
   * @example
   * info.informational(103, { link: '</style.css>; rel=preload; as=style' });
   */
  informational(status: number, headers: HeadersValue = {}): boolean {
    const head = informationalHead(status, headers);
    return this.#exchange.controlOf(this.#head)?.inform(head) ?? false;
  }

  /**
   * Accepts a WebSocket: return what this returns. The handlers are in the option `websocket` of `serve()`. If the
   * request is no handshake, this returns the response that says so: 426, or 400; and 503 if the server is closing.
   * Throws FEATHERSTAR_OPTION for options that cannot be, and if the server has no WebSockets; FEATHERSTAR_CLOSED if
   * the client has left.
   *
   * @example
   * fetch: (request, info) => info.upgrade({ data: { name: 'Ada' } })
   */
  upgrade(options: UpgradeOptions = {}): FeatherResponse {
    const control = this.#exchange.controlOf(this.#head);
    if (control === undefined) throw goneError();
    return control.beginUpgrade(this.#head, options);
  }
}
