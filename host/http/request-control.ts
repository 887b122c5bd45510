// The limits of one request, if they differ from those of the server. It is made when a handler asks, or for each
// request if the server limits the time of handlers. Most requests have none.
//
//   bodyDueNs: all of the body has to be in by then      408
//   handlerDueNs: there has to be a response by then     503
//
// Next: connection.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkOptions, integer } from '../base/options.js';
import { HttpFlag } from '../core/offsets.js';
import type { Transport } from '../shard/transport.js';
import type { UpgradeOptions } from '../websocket/handshake.js';
import { noWebSockets, type Upgrade } from '../websocket/websockets.js';
import { HIGH_WATER_BYTES } from './body.js';
import type { ConnectionServer } from './connection-server.js';
import type { Head } from './head.js';
import { FeatherResponse } from './response.js';
import type { MakeTrailers } from './trailers.js';

/** The limits that a handler can change for its request, by `info.limit()`. */
export interface RequestLimitOptions {
  /** Bytes of the body, from 0 to the server's `limits.maxBodyBytes`. Reading a longer one is 413. */
  bodyBytes?: number | undefined;
  /** Milliseconds from now until all of the body has to be here; 408 beyond. 1 to 86,400,000. */
  requestTimeoutMs?: number | undefined;
  /** Milliseconds from now until there has to be a response; 503 beyond. 0: it may take any time. */
  handlerTimeoutMs?: number | undefined;
}

const DAY_MS = 86_400_000;
const NEVER = Number.POSITIVE_INFINITY;

const CHECKS: Checks<RequestLimitOptions> = {
  bodyBytes: integer(0, Number.MAX_SAFE_INTEGER),
  requestTimeoutMs: integer(1, DAY_MS),
  handlerTimeoutMs: integer(0, DAY_MS),
};

/** The part of a connection that this uses. */
export interface ControlledConnection {
  readonly server: ConnectionServer;
  readonly transport: Transport;
  /** Whether all of the request's body is in. */
  readonly bodyDone: boolean;
  /** When the head of a request with a body had come. */
  readonly bodyBeganNs: number;
  readonly isHttp10: boolean;
  readonly isHead: boolean;
  /** Whether a response has begun. */
  readonly hasResponse: boolean;
  /** The handler has had its time. */
  timeOut(error: FeatherstarError): void;
}

export class RequestControl {
  /** The most bytes that the body may have, once it is read. */
  bodyBytes: number;
  /** The handler's trailers. */
  trailers: MakeTrailers | undefined;
  /** The handshake that the handler has accepted, the last one if there are several. */
  upgrade: Upgrade | undefined;
  readonly #connection: ControlledConnection;
  #bodyDueNs = NEVER;
  #handlerDueNs = NEVER;

  constructor(connection: ControlledConnection) {
    const { limits, shard } = connection.server;
    this.#connection = connection;
    this.bodyBytes = limits.bodyBytes;
    if (!connection.bodyDone) this.#bodyDueNs = connection.bodyBeganNs + limits.requestTimeoutNs;
    if (limits.handlerTimeoutNs !== 0) this.#handlerDueNs = shard.nowNs + limits.handlerTimeoutNs;
  }

  /** Throws OPTION. */
  limit(options: RequestLimitOptions): void {
    const { shard, limits } = this.#connection.server;
    const { bodyBytes, requestTimeoutMs, handlerTimeoutMs } = checkOptions(options, CHECKS);
    if (bodyBytes !== undefined && bodyBytes > limits.maxBodyBytes) {
      const wanted = `at most limits.maxBodyBytes of serve(), which is ${limits.maxBodyBytes}`;
      throw optionError('bodyBytes', bodyBytes, wanted);
    }
    if (bodyBytes !== undefined) this.bodyBytes = bodyBytes;
    if (requestTimeoutMs !== undefined) this.#bodyDueNs = shard.nowNs + requestTimeoutMs * 1e6;
    if (handlerTimeoutMs !== undefined)
      this.#handlerDueNs = handlerTimeoutMs === 0 ? NEVER : shard.nowNs + handlerTimeoutMs * 1e6;
    this.setDeadline();
  }

  /** Sends a head before the response. False: not to a client of HTTP/1.0, behind a response, or to a slow client. */
  inform(head: string): boolean {
    const { isHttp10, hasResponse, transport } = this.#connection;
    if (isHttp10 || hasResponse || transport.out.backlogBytes > HIGH_WATER_BYTES) return false;
    transport.out.enqueue(Buffer.from(head, 'latin1'));
    return true;
  }

  /** False: the client gets no trailers. */
  sendTrailers(make: MakeTrailers): boolean {
    const { isHttp10, isHead, hasResponse } = this.#connection;
    if (isHttp10 || isHead || hasResponse) return false;
    this.trailers = make;
    return true;
  }

  /** The response to a handshake, or to a request that is none. Throws OPTION. */
  beginUpgrade(head: Head, options: UpgradeOptions): FeatherResponse {
    const { isHttp10, server } = this.#connection;
    if (server.websockets === undefined) throw noWebSockets();
    const hasBody = (head.flags & HttpFlag.DONE) === 0;
    const upgrade = server.websockets.prepare(head, !isHttp10 && !hasBody, options);
    if (upgrade instanceof FeatherResponse) return upgrade;
    this.upgrade = upgrade;
    return upgrade.response;
  }

  /** A body is to come. */
  expectBody(): void {
    const { bodyBeganNs, server } = this.#connection;
    this.#bodyDueNs = bodyBeganNs + server.limits.requestTimeoutNs;
    this.setDeadline();
  }

  get #dueNs(): number {
    const { bodyDone, hasResponse } = this.#connection;
    return Math.min(bodyDone ? NEVER : this.#bodyDueNs, hasResponse ? NEVER : this.#handlerDueNs);
  }

  setDeadline(): void {
    const { transport, server } = this.#connection;
    const dueNs = this.#dueNs;
    if (dueNs === NEVER) transport.clearDeadline();
    else transport.setDeadline(Math.max(1, dueNs - server.shard.nowNs));
  }

  /** A deadline is over. False: that of the body. */
  onDeadline(): boolean {
    const { server, hasResponse } = this.#connection;
    const { nowNs } = server.shard;
    if (this.#dueNs > nowNs) this.setDeadline();
    else if (hasResponse || this.#handlerDueNs > nowNs) return false;
    else this.#connection.timeOut(new FeatherstarError('FEATHERSTAR_TIMEOUT', 'the handler did not respond in time'));
    return true;
  }
}
