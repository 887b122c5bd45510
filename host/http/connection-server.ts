// The part of a server that its connections use. A listener's is in server.ts, and a test has its own.
//
// Next: server.ts.

import type { Shard } from '../shard/shard.js';
import type { Pace } from '../shard/stream-transport.js';
import type { WebSockets } from '../websocket/websockets.js';
import type { HandlerInfo } from './handler-info.js';
import type { Scratch } from './inbox.js';
import type { Proxies } from './proxies.js';
import type { FeatherRequest } from './request.js';
import type { ResponseEntry } from './response-log.js';
import type { Server } from './server.js';
import type { Writer } from './writer.js';

/** From the end of a server to the first request of a client that has just come. */
export const FIRST_REQUEST_NS = 2e8;

/** One connection, as its server has it. */
export interface ServedConnection {
  /** The server drains: the next response says so. */
  drain(): void;
  /** The server takes no more requests but those that have begun to come, and the first one of each client. */
  closeIdle(): void;
  /** The next turn begins: bytes in a buffer of the transport are copied out. */
  unhold(): void;
  /** Closes it at once. */
  destroy(): void;
}

/** The part of its server that a connection uses. */
export interface ConnectionServer extends Scratch {
  readonly handle: Server;
  readonly shard: Shard;
  readonly writer: Writer;
  readonly limits: {
    readonly bodyBytes: number;
    /** How far a handler may raise it. */
    readonly maxBodyBytes: number;
    readonly headerTimeoutNs: number;
    readonly requestTimeoutNs: number;
    readonly idleTimeoutNs: number;
    readonly halfCloseTimeoutNs: number;
    /** How slow a client may be that does not take a response. */
    readonly pace: Pace;
    /** 0: a handler may take any time. */
    readonly handlerTimeoutNs: number;
  };
  /** The host of a request that names none (HTTP/1.0). */
  readonly authority: string;
  /** No new requests: connections close after their answer. */
  readonly draining: boolean;
  requests: number;
  refused: number;
  fetch(request: FeatherRequest, info: HandlerInfo, context: HandlerInfo): unknown;
  waitUntil(promise: PromiseLike<unknown>): void;
  /** The proxies that may tell the address of a client; undefined: none. */
  readonly proxies: Proxies | undefined;
  /** Gets each request with what became of it; undefined: it is not wanted. */
  readonly onResponse: ((entry: ResponseEntry) => void) | undefined;
  /** Undefined: it has none. */
  readonly websockets: WebSockets | undefined;
  /** Gets what a handler threw. */
  report(error: unknown): void;
  /** The client has left while its request is handled. */
  departed(connection: ServedConnection): void;
  /** Bytes lie in a buffer of the transport: unhold() has to be called when the next turn begins. */
  holding(connection: ServedConnection): void;
  /** Another one takes the place of the connection. */
  replace(connection: ServedConnection, successor: ServedConnection): void;
  /** The connection is over. */
  forget(connection: ServedConnection): void;
}
