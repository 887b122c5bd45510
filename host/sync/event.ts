// Waiting for something to happen: an Event is a state (it is set, or it is not), a Condvar is a moment.

import { optionError } from '../base/errors.js';
import { Guard, retake } from './semaphore.js';
import type { WaitOptions } from './wait-queue.js';
import { checkQueueWait, closedError, type QueueOptions, WaitQueue } from './wait-queue.js';

/**
 * A flag that tasks of one shard can wait for.
 *
 * @example
 * const ready = new Event();
 * await ready.wait({ timeoutMs: 1000 }); // elsewhere: ready.set()
 */
export class Event {
  readonly #queue: WaitQueue<true, void>;
  #isSet = false;
  #error: { reason: unknown } | undefined;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: QueueOptions = {}) {
    this.#queue = new WaitQueue(options.name ?? 'the event', options.maxWaiters);
  }

  /** Whether the event is set. */
  get isSet(): boolean {
    return this.#isSet;
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Sets the event: all callers of `wait()` go on, and later ones too, until `reset()`. */
  set(): void {
    this.#isSet = true;
    while (this.#queue.grant());
  }

  /** Clears the event: from now on `wait()` waits. */
  reset(): void {
    this.#isSet = false;
  }

  /**
   * Resolves when the event is set. Rejects with FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL
   * (`maxWaiters`), or the signal's reason.
   */
  wait(options: WaitOptions = {}): Promise<void> {
    checkQueueWait(options);
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#isSet ? Promise.resolve() : this.#queue.wait(true, options);
  }

  /** All callers that wait, and later ones, reject with `error` (default: FEATHERSTAR_CLOSED). */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * A condition variable: wakes callers that wait at that moment. A notification is not remembered, so test your
 * condition in a loop around `wait()`.
 *
 * @example
 * using guard = await mutex.lock();
 * while (queue.length === 0) await changed.wait(guard);
 */
export class Condvar {
  readonly #queue: WaitQueue<true, void>;
  #error: { reason: unknown } | undefined;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: QueueOptions = {}) {
    this.#queue = new WaitQueue(options.name ?? 'the condition variable', options.maxWaiters);
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Waits for a notification. If a guard is given, it is released at once, and acquired again before this resolves.
   * `timeoutMs` bounds the wait for the notification only. Rejects with the signal's reason, FEATHERSTAR_TIMEOUT,
   * FEATHERSTAR_CLOSED or FEATHERSTAR_FULL; then the guard is not held, and releasing it again does no harm.
   */
  async wait(guard?: Guard, options: WaitOptions = {}): Promise<void> {
    checkQueueWait(options);
    if (guard !== undefined && !(guard instanceof Guard && guard.isHeld)) {
      throw optionError('guard', guard, 'a guard that is held');
    }
    const { signal } = options;
    try {
      if (this.#error !== undefined) throw this.#error.reason;
      const notified = this.#queue.wait(true, options);
      guard?.release();
      await notified;
    } catch (error) {
      guard?.release();
      throw error;
    }
    if (guard === undefined) return;
    try {
      await retake(guard, { signal });
    } catch (error) {
      this.notifyOne(); // it was meant for a waiter that goes on
      throw error;
    }
  }

  /** Wakes the caller that has waited longest. False: no caller waits. */
  notifyOne(): boolean {
    return this.#queue.grant();
  }

  /** Wakes all callers that wait now, and returns how many they were. */
  notifyAll(): number {
    const count = this.#queue.length;
    while (this.#queue.grant());
    return count;
  }

  /** All callers that wait, and later ones, reject with `error` (default: FEATHERSTAR_CLOSED). */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
