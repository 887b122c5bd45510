// A bounded stream of bytes within a shard. The bytes are copied in and out of one circular buffer, so a chunk is its
// owner's again as soon as write() resolves. A full pipe makes its writers wait, an empty one its readers, in order.

import { FeatherstarError, optionError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import type { WaitOptions } from './wait-queue.js';
import { checkQueueWait, closedError, type QueueOptions, WaitQueue } from './wait-queue.js';

/** Bytes that a pipe holds, unless it is told otherwise. */
export const PIPE_BYTES = 65_536;
/** The most bytes that a pipe can hold. */
export const PIPE_BYTES_MAX = 1_073_741_824;

/** Options of a pipe. */
export interface PipeOptions extends QueueOptions {
  /** How many bytes the pipe holds, 1 to 1,073,741,824; default 65,536. */
  capacity?: number | undefined;
}

/** Options of `Pipe.read()`. */
export interface PipeReadOptions extends WaitOptions {
  /** At most so many bytes, 1 to 2^53 - 1; default: the capacity. */
  maxBytes?: number | undefined;
}

/** A write of which a part waits for room. */
interface Rest {
  readonly bytes: Uint8Array;
  offset: number;
}

/**
 * A bounded stream of bytes between tasks of one shard. The bytes are copied in and out, so the caller may reuse an
 * array when `write()` has resolved.
 *
 * @example
 * const pipe = new Pipe({ capacity: 4096 });
 * await pipe.write(bytes);
 * for await (const chunk of pipe) hash.update(chunk);
 */
export class Pipe implements AsyncIterable<Uint8Array> {
  /** How many bytes the pipe holds at most. */
  readonly capacity: number;
  readonly #what: string;
  readonly #ring: Uint8Array;
  readonly #writers: WaitQueue<Rest, void>;
  readonly #readers: WaitQueue<number, Uint8Array | null>;
  #head = 0;
  #size = 0;
  #isEnded = false;
  #aborted: { reason: unknown } | undefined;
  #bytesWritten = 0;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: PipeOptions = {}) {
    this.capacity = checkInteger('capacity', options.capacity ?? PIPE_BYTES, 1, PIPE_BYTES_MAX);
    this.#what = options.name ?? 'the pipe';
    this.#ring = new Uint8Array(this.capacity);
    this.#writers = new WaitQueue(this.#what, options.maxWaiters); // they wait only while it is full
    this.#readers = new WaitQueue(this.#what, options.maxWaiters);
  }

  /** How many bytes the pipe holds now. */
  get size(): number {
    return this.#size;
  }

  /** How many bytes were written into the pipe so far. If a `write()` rejected, this tells how much of it went in. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** How many callers of `read()` wait for bytes. */
  get waitingReaders(): number {
    return this.#readers.length;
  }

  /** How many callers of `write()` wait for room. */
  get waitingWriters(): number {
    return this.#writers.length;
  }

  /**
   * Writes all of `bytes`, also more than the pipe holds; resolves when the last of them is in the pipe. Rejects with
   * FEATHERSTAR_CLOSED after `end()`, the reason after `abort()`, FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`),
   * or the signal's reason. A write that rejects may have written some of its bytes.
   */
  write(bytes: Uint8Array, options: WaitOptions = {}): Promise<void> {
    checkQueueWait(options);
    if (!(bytes instanceof Uint8Array)) throw optionError('bytes', bytes, 'a Uint8Array');
    if (this.#aborted !== undefined) return Promise.reject(this.#aborted.reason);
    if (this.#isEnded) return Promise.reject(closedError(this.#what));
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    const rest: Rest = { bytes, offset: 0 };
    if (this.#writers.length === 0) {
      do {
        this.#fill(rest);
        if (rest.offset === bytes.length) {
          this.#feed();
          return Promise.resolve();
        }
      } while (this.#feed());
    }
    return this.#writers.wait(rest, options);
  }

  /**
   * Resolves to the next bytes, 1 to `maxBytes` of them, or to null at the end. Waits while the pipe is empty. Rejects
   * with the reason after `abort()`, FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason.
   */
  read({ maxBytes: max = this.capacity, ...options }: PipeReadOptions = {}): Promise<Uint8Array | null> {
    checkQueueWait(options);
    checkInteger('maxBytes', max, 1, Number.MAX_SAFE_INTEGER);
    if (this.#aborted !== undefined) return Promise.reject(this.#aborted.reason);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#size !== 0) {
      const bytes = this.#takeOut(max);
      this.#pump();
      return Promise.resolve(bytes);
    }
    return this.#isEnded ? Promise.resolve(null) : this.#readers.wait(max, options);
  }

  /** Ends the pipe: no more can be written. The bytes in it, and those of writers that wait, can still be read. */
  end(): void {
    this.#isEnded = true;
    this.#pump();
  }

  /**
   * Drops the bytes in the pipe. All callers that wait, and later ones, reject with `reason` (default:
   * FEATHERSTAR_ABORTED).
   */
  abort(reason: unknown = new FeatherstarError('FEATHERSTAR_ABORTED', `${this.#what} was aborted`)): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#size = 0;
    this.#writers.rejectAll(reason);
    this.#readers.rejectAll(reason);
  }

  /** The bytes in pieces, to the end. Leaving the loop earlier aborts the pipe, so that no writer waits for ever. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) yield bytes;
    } finally {
      if (!this.#isEnded || this.#size !== 0) this.abort();
    }
  }

  /** Takes as much of `rest` as there is room for. */
  #fill(rest: Rest): void {
    const count = Math.min(rest.bytes.length - rest.offset, this.capacity - this.#size);
    const at = (this.#head + this.#size) % this.capacity;
    const first = Math.min(count, this.capacity - at);
    this.#ring.set(rest.bytes.subarray(rest.offset, rest.offset + first), at);
    this.#ring.set(rest.bytes.subarray(rest.offset + first, rest.offset + count), 0);
    rest.offset += count;
    this.#size += count;
    this.#bytesWritten += count;
  }

  #takeOut(max: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(max, this.#size));
    const first = Math.min(bytes.length, this.capacity - this.#head);
    bytes.set(this.#ring.subarray(this.#head, this.#head + first));
    bytes.set(this.#ring.subarray(0, bytes.length - first), first);
    this.#head = (this.#head + bytes.length) % this.capacity;
    this.#size -= bytes.length;
    return bytes;
  }

  /** Gives what is there to readers that wait. True: a reader got bytes. */
  #feed(): boolean {
    let isFed = false;
    for (let max = this.#readers.head; max !== undefined && this.#size !== 0; max = this.#readers.head) {
      this.#readers.grant(this.#takeOut(max));
      isFed = true;
    }
    return isFed;
  }

  /** Room came free, or the end came: writers go on, and then readers. */
  #pump(): void {
    do {
      for (let rest = this.#writers.head; rest !== undefined && this.#size < this.capacity; rest = this.#writers.head) {
        this.#fill(rest);
        if (rest.offset === rest.bytes.length) this.#writers.grant();
      }
    } while (this.#feed());
    if (this.#isEnded && this.#size === 0 && this.#writers.length === 0) while (this.#readers.grant(null));
  }
}
