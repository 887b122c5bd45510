// A bounded queue of values within a shard: many senders, and one receiver or more.
//
// Values pass in the order of sending. A full channel makes its senders wait, in order. A waiting sender's value goes
// into the buffer in the frame in which room comes free. A value goes to a waiting receiver in the frame of the send.
// So senders wait only while the buffer is full, and receivers only while it is empty.

import { type Checks, checkOptions, integer } from '../base/options.js';
import { Queue } from '../base/queue.js';
import type { WaitOptions } from './wait-queue.js';
import { checkQueueWait, closedError, QUEUE_CHECKS, type QueueOptions, WAITERS_MAX, WaitQueue } from './wait-queue.js';

/** How many values a channel holds, unless `capacity` says otherwise. */
export const CHANNEL_CAPACITY = 64;

const CHANNEL_CHECKS: Checks<ChannelOptions> = { ...QUEUE_CHECKS, capacity: integer(1, WAITERS_MAX) };

/** A counted sender of a channel, made by `channel.sender()`. The channel closes when its last sender has closed. */
export class Sender<T> {
  readonly #channel: Channel<T>;
  readonly #onClose: () => void;
  #isClosed = false;

  /** @internal `Channel.sender()` makes senders. */
  constructor(channel: Channel<T>, onClose: () => void) {
    this.#channel = channel;
    this.#onClose = onClose;
  }

  /** Whether this sender, or the channel, is closed. */
  get isClosed(): boolean {
    return this.#isClosed || this.#channel.isClosed;
  }

  /** Sends a value. It waits and rejects like `Channel.send()`, and with FEATHERSTAR_CLOSED after `close()`. */
  send(value: T, options: WaitOptions = {}): Promise<void> {
    return this.#isClosed ? Promise.reject(closedError('the sender')) : this.#channel.send(value, options);
  }

  /** Sends a value if the channel has room now. False: it is full. Throws FEATHERSTAR_CLOSED after `close()`. */
  trySend(value: T): boolean {
    if (this.#isClosed) throw closedError('the sender');
    return this.#channel.trySend(value);
  }

  /** Makes another counted sender, which is closed on its own. Throws FEATHERSTAR_CLOSED after `close()`. */
  clone(): Sender<T> {
    if (this.#isClosed) throw closedError('the sender');
    return this.#channel.sender();
  }

  /** Closes this sender. Values that it has sent, or is sending, still arrive. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose();
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Options of a channel. */
export interface ChannelOptions extends QueueOptions {
  /** How many values the channel holds, 1 to 16,777,216; default 64. */
  capacity?: number | undefined;
}

/**
 * A bounded queue of values between tasks of one shard. `send()` waits while it is full, `receive()` while it is empty.
 *
 * @example
 * const jobs = new Channel<string>({ capacity: 16 });
 * await jobs.send('resize 1.png');
 * for await (const job of jobs) await run(job); // ends when the channel is closed and empty
 */
export class Channel<T> implements AsyncIterable<T> {
  /** How many values the channel holds at most. */
  readonly capacity: number;
  readonly #what: string;
  readonly #buffer = new Queue<T>();
  readonly #senders: WaitQueue<{ value: T }, void>;
  readonly #receivers: WaitQueue<true, T>;
  #senderCount = 0;
  #isEnding = false; // the last counted sender has closed
  #isQuiet = false; // closed without an error
  #error: { reason: unknown } | undefined;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: ChannelOptions = {}) {
    checkOptions(options, CHANNEL_CHECKS);
    this.capacity = options.capacity ?? CHANNEL_CAPACITY;
    this.#what = options.name ?? 'the channel';
    this.#senders = new WaitQueue(this.#what, options.maxWaiters, () => this.#endIfLast());
    this.#receivers = new WaitQueue(this.#what, options.maxWaiters);
  }

  /** How many values the channel holds now. */
  get size(): number {
    return this.#buffer.length;
  }

  /** How many callers of `send()` wait for room. */
  get waitingSenders(): number {
    return this.#senders.length;
  }

  /** How many callers of `receive()` wait for a value. */
  get waitingReceivers(): number {
    return this.#receivers.length;
  }

  /** Whether no more values can be sent. Values that the channel still holds can be received. */
  get isClosed(): boolean {
    return this.#error !== undefined || this.#isEnding;
  }

  /**
   * Sends a value: resolves when the channel has taken it, and waits while the channel is full. If it rejects, the
   * value was not taken: with FEATHERSTAR_CLOSED (or the error given to `close()`), FEATHERSTAR_TIMEOUT,
   * FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason.
   */
  send(value: T, options: WaitOptions = {}): Promise<void> {
    checkQueueWait(options);
    if (this.isClosed) return Promise.reject(this.#reason());
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#put(value) ? Promise.resolve() : this.#senders.wait({ value }, options);
  }

  /** Sends a value if there is room now. False: it is full. Throws FEATHERSTAR_CLOSED, or the error of `close()`. */
  trySend(value: T): boolean {
    if (this.isClosed) throw this.#reason();
    return this.#put(value);
  }

  /**
   * Resolves to the next value; waits while the channel is empty. If the channel is closed and empty, it rejects with
   * FEATHERSTAR_CLOSED, or the error given to `close()`. It also rejects with FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL
   * (`maxWaiters`), or the signal's reason.
   */
  receive(options: WaitOptions = {}): Promise<T> {
    checkQueueWait(options);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    if (this.#buffer.length !== 0) return Promise.resolve(this.#take());
    return this.#error === undefined ? this.#receivers.wait(true, options) : Promise.reject(this.#error.reason);
  }

  /** The next value, or undefined if the channel is empty. */
  tryReceive(): T | undefined {
    return this.#buffer.length === 0 ? undefined : this.#take();
  }

  /** Takes all values that the channel holds, and those of senders that wait. */
  drain(): T[] {
    const values: T[] = [];
    while (this.#buffer.length !== 0) values.push(this.#take());
    return values;
  }

  /**
   * Makes a counted sender. The channel closes when the last counted sender has closed. Throws FEATHERSTAR_CLOSED, or
   * the error given to `close()`.
   */
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
   * Closes the channel: no more values can be sent, and senders that wait reject with `error`. Receivers get the values
   * that the channel holds, and then `error`. Without an `error` that is FEATHERSTAR_CLOSED, and loops over the channel
   * simply end.
   */
  close(error?: unknown): void {
    if (this.#error !== undefined) return;
    this.#isQuiet = error === undefined;
    this.#error = { reason: error ?? closedError(this.#what) };
    this.#senders.rejectAll(this.#error.reason);
    this.#receivers.rejectAll(this.#error.reason);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** The values, until the channel is closed and empty. Leaving the loop leaves the channel open. */
  [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    return this.values();
  }

  /** The values, until the channel is closed and empty; each wait for one can be ended by `options`. */
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

  /** The last counted sender has closed, and no send is open any more. */
  #endIfLast(): void {
    if (this.#isEnding && this.#senders.length === 0) this.close();
  }
}
