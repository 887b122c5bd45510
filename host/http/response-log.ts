// One connection's part of the access log: `onResponse` of serve() gets each request once, with what became of it.
//
//   begin() --response queued: queued()--> [ waiting: its bytes are not all out ] --sent()--> told
//                                              any --closed(), and the kernel is done--> told: it was broken off
//
// A connection has one only if the server has an `onResponse`. So a server without it pays a comparison with undefined.
//
// Next: connection.ts.

import { monotonicNs, type NetAddress } from '../hosts/host.js';
import type { Transport } from '../shard/transport.js';
import type { FeatherRequest } from './request.js';

/** One request and what became of it, as `onResponse` gets it. */
export interface ResponseEntry {
  /** The request. Undefined if its head was refused, or never came in whole. */
  readonly request: (FeatherRequest & Request) | undefined;
  /** The client's address; undefined for a Unix socket. */
  readonly remote: NetAddress | undefined;
  /** The status that was sent; 0 if the connection was broken off before a response began. */
  readonly status: number;
  /** Bytes of the response that the kernel has taken, with its head and its framing. */
  readonly sentBytes: number;
  /** Milliseconds from the head of the request until the kernel had all of the response, or until it was broken off. */
  readonly durationMs: number;
  /** Whether the kernel has taken all of the response. */
  readonly isComplete: boolean;
}

interface OpenEntry {
  readonly request: FeatherRequest | undefined;
  readonly remote: NetAddress | undefined;
  readonly beganNs: number;
  readonly firstByte: number; // its place among all bytes of the connection
  endByte: number;
  status: number;
}

export class ResponseLog {
  readonly #transport: Transport;
  readonly #server: { report(error: unknown): void };
  readonly #tell: (entry: ResponseEntry) => void;
  readonly #waiting: OpenEntry[] = [];
  #current: OpenEntry | undefined;
  #isClosed = false;

  constructor(transport: Transport, server: { report(error: unknown): void }, tell: (entry: ResponseEntry) => void) {
    this.#transport = transport;
    this.#server = server;
    this.#tell = tell;
  }

  get #queuedBytes(): number {
    const { out } = this.#transport;
    return out.sentBytes + out.backlogBytes;
  }

  /** The address. Where the kernel cannot tell it, the log goes on without. */
  #known(clientOf: () => NetAddress | undefined): NetAddress | undefined {
    try {
      return clientOf();
    } catch (error) {
      this.#server.report(error);
      return undefined;
    }
  }

  /** `request` undefined: what came is refused. */
  begin(request: FeatherRequest | undefined, clientOf: () => NetAddress | undefined): void {
    const firstByte = this.#queuedBytes;
    const endByte = Number.POSITIVE_INFINITY;
    this.#current = { request, remote: this.#known(clientOf), beganNs: monotonicNs(), firstByte, endByte, status: 0 };
  }

  /** Whether a request has begun whose response is not queued. */
  get isOpen(): boolean {
    return this.#current !== undefined;
  }

  /** This status goes out. */
  answer(status: number): void {
    if (this.#current !== undefined) this.#current.status = status;
  }

  /** All of the response is queued. */
  queued(): void {
    const entry = this.#current;
    if (entry === undefined) return;
    this.#current = undefined;
    entry.endByte = this.#queuedBytes;
    this.#waiting.push(entry);
    this.sent();
    if (this.#waiting.length !== 0) this.#transport.out.hurry();
  }

  /** Bytes have gone out, or cannot any more. */
  sent(): void {
    const { sentBytes, isIdle } = this.#transport.out;
    while (this.#waiting.length !== 0 && (this.#waiting[0] as OpenEntry).endByte <= sentBytes) {
      this.#end(this.#waiting.shift() as OpenEntry, true);
    }
    if (!this.#isClosed || !isIdle) return;
    for (const entry of this.#waiting.splice(0)) this.#end(entry, false);
    if (this.#current !== undefined) this.#end(this.#current, false);
    this.#current = undefined;
  }

  /** The connection is over. The kernel may still send some bytes: the last event of the send says how many. */
  closed(): void {
    this.#isClosed = true;
    this.sent();
  }

  #end({ request, remote, beganNs, firstByte, endByte, status }: OpenEntry, isComplete: boolean): void {
    this.#tell({
      request: request as (FeatherRequest & Request) | undefined, // it is given what Request has, too
      remote,
      status,
      sentBytes: Math.max(0, Math.min(endByte, this.#transport.out.sentBytes) - firstByte),
      durationMs: (monotonicNs() - beganNs) / 1e6,
      isComplete,
    });
  }
}
