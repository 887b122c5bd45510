// The send buffers of a shard: blocks of linear memory, which an operation reads or writes while it is open.
//
//   brief uses     SENDs of stream sockets (send-queue.ts), addresses. A buffer comes back in the turn after the enter
//                  that submits the operation
//   lasting uses   files, datagrams. A buffer comes back when a disk or a network has answered
//
// Lasting uses leave a reserve of a quarter to brief ones: a disk that does not answer must not stop the sockets. A use
// that finds no buffer free waits, each kind in order. The two kinds take turns, so neither can keep the other waiting.
//
// Next: send-queue.ts.

import { internalError } from '../base/errors.js';
import { Queue } from '../base/queue.js';
import { type Header, HostControl, SEND_STAGGER } from '../core/layout.js';

const USED = HostControl.sendBuffersUsed >> 2;

/** How many of `count` buffers lasting uses leave to brief ones. */
export function reserveOf(count: number): number {
  return count === 1 ? 0 : Math.ceil(count / 4);
}

export class SendBuffers {
  readonly #words: Int32Array;
  readonly #control: Int32Array;
  readonly #count: number;
  readonly #stride: number;
  readonly #first: number;
  readonly #hurry: () => void;
  readonly #lastingMost: number;
  readonly #waiters = new Queue<() => void>();
  readonly #lastingWaiters = new Queue<() => void>();
  #lasting = 0; // how many lasting uses hold
  #isLastingNext = false; // whose turn it is
  readonly #isTaken: Uint8Array;
  #free = 0; // the list of free ones runs through their first words
  #fresh = 0; // so many have been in use

  /** `control`: the shard's control block. `hurry` has SENDs that have succeeded say so at once. */
  constructor(words: Int32Array, control: Int32Array, base: number, header: Header, hurry: () => void) {
    this.#words = words;
    this.#control = control;
    this.#count = header.sendBufferCount;
    this.#stride = header.sendBufferBytes + SEND_STAGGER;
    this.#first = base + header.sendOffset;
    this.#hurry = hurry;
    this.#isTaken = new Uint8Array(this.#count);
    this.#lastingMost = this.#count - reserveOf(this.#count);
  }

  get used(): number {
    return this.#control[USED] as number;
  }

  // --- brief uses ----------------------------------------------------------------------------------------------------

  /** The address of a free buffer of header.sendBufferBytes, or 0: then wait until one is given back. */
  take(): number {
    let at = this.#free;
    if (at !== 0) this.#free = (this.#words[at >>> 2] as number) >>> 0;
    else if (this.#fresh < this.#count) at = this.#first + this.#fresh++ * this.#stride;
    else return 0;
    this.#isTaken[this.#indexOf(at)] = 1;
    (this.#control[USED] as number)++;
    return at;
  }

  /** Gives a buffer back. Given back twice it would be two connections', so that throws. */
  give(at: number): void {
    this.#takeBack(at);
    this.#serve();
  }

  #takeBack(at: number): void {
    const index = this.#indexOf(at);
    if (this.#isTaken[index] !== 1) throw internalError(`the send buffer at ${at} is not in use`);
    this.#isTaken[index] = 0;
    this.#words[at >>> 2] = this.#free;
    this.#free = at;
    (this.#control[USED] as number)--;
  }

  #indexOf(at: number): number {
    return (at - this.#first) / this.#stride;
  }

  /** Calls back when a buffer comes free, in the order of asking. The callback takes it, or wants none any more. */
  whenFree(callback: () => void): void {
    this.#waiters.push(callback);
    this.#hurry(); // else a SEND that has succeeded gives its buffer back in the next turn only, whenever that is
  }

  // --- lasting uses --------------------------------------------------------------------------------------------------

  /** Like take(), for an operation that may stay open for long. */
  takeLasting(): number {
    const at = this.#lasting < this.#lastingMost ? this.take() : 0;
    if (at !== 0) this.#lasting++;
    return at;
  }

  giveLasting(at: number): void {
    this.#takeBack(at);
    this.#lasting--;
    this.#serve();
  }

  whenLastingFree(callback: () => void): void {
    this.#lastingWaiters.push(callback);
    this.#hurry();
  }

  // --- who is next ---------------------------------------------------------------------------------------------------

  #serve(): void {
    if (this.#waiters.length === 0 && this.#lastingWaiters.length === 0) return;
    while (this.#free !== 0 || this.#fresh < this.#count) {
      const mayLast = this.#lasting < this.#lastingMost && this.#lastingWaiters.length !== 0;
      if (!mayLast && this.#waiters.length === 0) return;
      const isLasting = mayLast && (this.#isLastingNext || this.#waiters.length === 0);
      this.#isLastingNext = !isLasting;
      (isLasting ? this.#lastingWaiters : this.#waiters).shift()?.();
    }
  }
}
