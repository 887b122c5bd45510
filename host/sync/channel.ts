// A bounded queue of values within a shard: many senders, and one receiver or more.
//
// Values pass in the order of sending. A full channel makes its senders wait, in order; a value goes from a waiting
// sender into the buffer in the frame in which room comes free, and to a waiting receiver in the frame of the send. So
// senders wait only while the buffer is full, and receivers only while it is empty.

import { Queue } from '../base/queue.js';
import type { WaitOptions } from './wait-queue.js';
import { checkInteger, checkWait, closedError, type QueueOptions, WAITERS_MAX, WaitQueue } from './wait-queue.js';

/** One of the senders of a channel that are counted: the channel closes when the last of them does. */
export class Sender<T> {
  readonly #channel: Channel<T>;
  readonly #onClose: () => void;
  #isClosed = false;

  /** Channel.sender() makes senders. */
  constructor(channel: Channel<T>, onClose: () => void) {
    this.#channel = channel;
    this.#onClose = onClose;
  }

  get isClosed(): boolean {
    return this.#isClosed || this.#channel.isClosed;
  }

  /** As Channel.send(). */
  send(value: T, options: WaitOptions = {}): Promise<void> {
    return this.#isClosed ? Promise.reject(closedError('the sender')) : this.#channel.send(value, options);
  }

  /** As Channel.trySend(). */
  trySend(value: T): boolean {
    if (this.#isClosed) throw closedError('the sender');
    return this.#channel.trySend(value);
  }

  /** One more, which is closed on its own. */
  clone(): Sender<T> {
    if (this.#isClosed) throw closedError('the sender');
    return this.#channel.sender();
  }

  /** What it has sent, and is sending, still arrives. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

export class Channel<T> implements AsyncIterable<T> {
  readonly capacity: number;
  readonly #what: string;
  readonly #buffer = new Queue<T>();
  readonly #senders: WaitQueue<{ value: T }, void>;
  readonly #receivers: WaitQueue<true, T>;
  #senderCount = 0;
  #isEnding = false; // the last counted sender has closed
  #isQuiet = false; // closed without an error
  #error: { reason: unknown } | undefined;

  /** `capacity`: how many values it holds, 1 to 16,777,216. FEATHERSTAR_OPTION. */
  constructor(capacity: number, options: QueueOptions = {}) {
    this.capacity = checkInteger('capacity', capacity, 1, WAITERS_MAX);
    this.#what = options.name ?? 'the channel';
    this.#senders = new WaitQueue(this.#what, options.maxWaiters, () => this.#endIfLast());
    this.#receivers = new WaitQueue(this.#what, options.maxWaiters);
  }

  /** Values that it holds. */
  get size(): number {
    return this.#buffer.length;
  }

  get waitingSenders(): number {
    return this.#senders.length;
  }

  get waitingReceivers(): number {
    return this.#receivers.length;
  }

  /** True when nothing can be sent any more. */
  get isClosed(): boolean {
    return this.#error !== undefined || this.#isEnding;
  }

  /**
   * Resolves when the channel has taken the value; waits while it is full. Rejects with FEATHERSTAR_CLOSED (or what
   * close() was given), FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (maxWaiters), or the signal's reason: then the value is
   * not in it.
   */
  send(value: T, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.isClosed) return Promise.reject(this.#reason());
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#put(value) ? Promise.resolve() : this.#senders.wait({ value }, options);
  }

  /** Sends if there is room at once; false: there is none. Throws FEATHERSTAR_CLOSED. */
  trySend(value: T): boolean {
    if (this.isClosed) throw this.#reason();
    return this.#put(value);
  }

  /**
   * The next value. When the channel is closed and empty it rejects with FEATHERSTAR_CLOSED, or what close() was given;
   * before, with FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (maxWaiters), or the signal's reason.
   */
  receive(options: WaitOptions = {}): Promise<T> {
    checkWait(options);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#buffer.length !== 0) return Promise.resolve(this.#take());
    return this.#error === undefined ? this.#receivers.wait(true, options) : Promise.reject(this.#error.reason);
  }

  /** The next value if there is one at once, else undefined. */
  tryReceive(): T | undefined {
    return this.#buffer.length === 0 ? undefined : this.#take();
  }

  /** Takes everything that is there, also from the senders that wait. */
  drain(): T[] {
    const values: T[] = [];
    while (this.#buffer.length !== 0) values.push(this.#take());
    return values;
  }

  /** A sender that is counted. */
  sender(): Sender<T> {
    if (this.isClosed) throw this.#reason();
    this.#senderCount++;
    return new Sender<T>(this, () => {
      if (--this.#senderCount !== 0) return;
      this.#isEnding = true;
      this.#endIfLast();
    });
  }

  /**
   * Nothing can be sent any more: senders that wait are rejected with `error`, and so is who receives when what the
   * channel holds has been received. Without an error that is FEATHERSTAR_CLOSED, and loops over the channel just end.
   */
  close(error?: unknown): void {
    if (this.#error !== undefined) return;
    this.#isQuiet = error === undefined;
    this.#error = { reason: error ?? closedError(this.#what) };
    this.#senders.rejectAll(this.#error.reason);
    this.#receivers.rejectAll(this.#error.reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    return this.values();
  }

  /** Values until the channel is closed and empty. Leaving the loop leaves the channel open. */
  async *values(options: WaitOptions = {}): AsyncGenerator<T, void, undefined> {
    for (;;) {
      let value: T;
      try {
        value = await this.receive(options);
      } catch (error) {
        if (this.#isQuiet && error === this.#error?.reason) return;
        throw error;
      }
      yield value;
    }
  }

  #reason(): unknown {
    return this.#error === undefined ? closedError(this.#what) : this.#error.reason;
  }

  /** False: there is no room. */
  #put(value: T): boolean {
    if (this.#receivers.grant(value)) return true;
    if (this.#buffer.length >= this.capacity) return false;
    this.#buffer.push(value);
    return true;
  }

  #take(): T {
    const value = this.#buffer.shift() as T;
    const sender = this.#senders.head;
    if (sender !== undefined) {
      this.#buffer.push(sender.value);
      this.#senders.grant();
      this.#endIfLast();
    }
    return value;
  }

  /** The last counted sender has closed, and nobody is sending any more. */
  #endIfLast(): void {
    if (this.#isEnding && this.#senders.length === 0) this.close();
  }
}
