// Waiting for something to happen: an Event is a state (it is set, or it is not), a Condvar is a moment.

import { optionError } from '../base/errors.js';
import { Guard, retake } from './semaphore.js';
import type { WaitOptions } from './wait-queue.js';
import { checkWait, closedError, type QueueOptions, WaitQueue } from './wait-queue.js';

/** A flag that one can wait for. */
export class Event {
  readonly #queue: WaitQueue<true, void>;
  #isSet = false;
  #error: { reason: unknown } | undefined;

  constructor(options: QueueOptions = {}) {
    this.#queue = new WaitQueue(options.name ?? 'the event', options.maxWaiters);
  }

  get isSet(): boolean {
    return this.#isSet;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Lets everybody go who waits, and who waits later, until reset(). */
  set(): void {
    this.#isSet = true;
    while (this.#queue.grant());
  }

  reset(): void {
    this.#isSet = false;
  }

  /** Resolves when it is set. Rejects with FEATHERSTAR_CLOSED, _TIMEOUT, _FULL (maxWaiters), or the signal's reason. */
  wait(options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    if (options.signal?.aborted) return Promise.reject(options.signal.reason);
    return this.#isSet ? Promise.resolve() : this.#queue.wait(true, options);
  }

  /** Everybody who waits, or waits later, is rejected with `error` (FEATHERSTAR_CLOSED). */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Wakes who waits at that moment; nothing is remembered, so test your condition in a loop around wait(). */
export class Condvar {
  readonly #queue: WaitQueue<true, void>;
  #error: { reason: unknown } | undefined;

  constructor(options: QueueOptions = {}) {
    this.#queue = new WaitQueue(options.name ?? 'the condition variable', options.maxWaiters);
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Waits for a notification. With a guard: releases it meanwhile, in the same frame, and has taken it again when it
   * resolves. When it rejects (the signal's reason, FEATHERSTAR_TIMEOUT, FEATHERSTAR_CLOSED, FEATHERSTAR_FULL) it does
   * so at once and the guard is not held; releasing it again does no harm. `timeoutMs` is for the notification.
   */
  async wait(guard?: Guard, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
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
      this.notifyOne(); // it was meant for somebody who goes on
      throw error;
    }
  }

  /** Wakes the one who has waited longest. False: nobody waits. */
  notifyOne(): boolean {
    return this.#queue.grant();
  }

  /** Wakes everybody who waits now; answers how many. */
  notifyAll(): number {
    const count = this.#queue.length;
    while (this.#queue.grant());
    return count;
  }

  /** Everybody who waits, or waits later, is rejected with `error` (FEATHERSTAR_CLOSED). */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
