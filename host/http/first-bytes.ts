// Between a transport and its user, while the first bytes of a connection are looked at. Then the user takes its place.
//
//   bytes --> look(): more have to come
//         --> giveWay(): the transport's events go to the user, and the rest of the bytes before them
//
// Other events go to the user from the beginning: it has set the deadline.
//
// Next: http2-preface.ts, proxy-protocol.ts.

import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';

const NOTHING = Buffer.alloc(0);

export abstract class FirstBytes<T extends Transport = Transport> implements TransportUser {
  /** Set before any byte comes. */
  transport!: T;
  readonly mayReceive = true;
  protected readonly user: TransportUser;
  readonly #shard: Shard;
  #bytes = NOTHING;

  constructor(shard: Shard, user: TransportUser) {
    this.#shard = shard;
    this.user = user;
  }

  toString(): string {
    return `${this.user}`;
  }

  /** Whether a connection whose first byte is this can be of interest. If not, nothing is copied. */
  protected abstract concerns(first: number): boolean;

  /** Looks at all bytes that have come. Calls giveWay() when they are enough. */
  protected abstract look(bytes: Buffer): void;

  /** The user gets `rest`, and all that comes from now on. */
  protected giveWay(rest: Uint8Array): void {
    this.transport.user = this.user;
    if (rest.length !== 0) this.user.onBytes(rest);
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const { bytes } = this.#shard;
    if (this.#isOf(bytes[at] as number)) {
      this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(at, end)]);
      this.transport.release(buffer);
      this.look(this.#bytes);
    } else {
      this.giveWay(NOTHING);
      this.user.onBuffer(at, end, buffer);
    }
  }

  onBytes(bytes: Uint8Array): void {
    if (this.#isOf(bytes[0] as number)) {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.look(this.#bytes);
    } else this.giveWay(bytes);
  }

  #isOf(first: number): boolean {
    return this.#bytes.length !== 0 || this.concerns(first);
  }

  onPeerLeft(): void {
    this.user.onPeerLeft();
  }

  onPeerEnd(): void {
    this.user.onPeerEnd();
  }

  onSent(): void {
    this.user.onSent();
  }

  onDeadline(): void {
    this.user.onDeadline();
  }

  onClosed(): void {
    this.user.onClosed();
  }
}
