// Locks: a Mutex is a semaphore of one unit; an RwLock is one of many, of which a reader takes one and a writer all.
// So both are fair as the semaphore is: a writer waits for the readers before it, and readers behind it wait for it.

import { type Guard, Semaphore, UNITS_MAX } from './semaphore.js';
import type { QueueOptions, WaitOptions } from './wait-queue.js';

/**
 * A lock that one task holds at a time. Only needed if the code between lock and release awaits something.
 *
 * @example
 * using guard = await mutex.lock();
 * await save(state); // no other holder meanwhile
 */
export class Mutex {
  readonly #semaphore: Semaphore;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: QueueOptions = {}) {
    this.#semaphore = new Semaphore(1, { ...options, name: options.name ?? 'the mutex' });
  }

  /** Whether a guard of the mutex is held. */
  get isLocked(): boolean {
    return this.#semaphore.available === 0;
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#semaphore.waiting;
  }

  /**
   * Waits for the lock, in the order of the calls, and resolves to its guard. Rejects with FEATHERSTAR_CLOSED,
   * FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason.
   */
  lock(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire(options);
  }

  /** The guard, or undefined if the lock is not free now. Throws FEATHERSTAR_CLOSED. */
  tryLock(): Guard | undefined {
    return this.#semaphore.tryAcquire();
  }

  /** Runs `fn` while the lock is held, then releases it. Rejects like `lock()`, or with the error of `fn`. */
  withLock<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: 1 });
  }

  /** All callers that wait, and later ones, reject with `error` (default: FEATHERSTAR_CLOSED). Guards stay valid. */
  close(error?: unknown): void {
    this.#semaphore.close(error);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/**
 * A lock for many readers or one writer. It is fair: a writer waits for the readers before it, and later readers wait
 * for that writer.
 *
 * @example
 * const total = await lock.withRead(() => sum(table));
 * await lock.withWrite(() => load(table));
 */
export class RwLock {
  readonly #semaphore: Semaphore;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor(options: QueueOptions = {}) {
    this.#semaphore = new Semaphore(UNITS_MAX, { ...options, name: options.name ?? 'the lock' });
  }

  /** How many readers hold the lock. */
  get readers(): number {
    return this.isWriting ? 0 : UNITS_MAX - this.#semaphore.available;
  }

  /** Whether a writer holds the lock. */
  get isWriting(): boolean {
    return this.#semaphore.available === 0;
  }

  /** How many callers wait, readers and writers. */
  get waiting(): number {
    return this.#semaphore.waiting;
  }

  /**
   * Waits until no writer holds the lock, and resolves to a reader's guard. Rejects with FEATHERSTAR_CLOSED,
   * FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason.
   */
  read(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire({ ...options, units: 1 });
  }

  /**
   * Waits until no caller holds the lock, and resolves to the writer's guard. Rejects with FEATHERSTAR_CLOSED,
   * FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason.
   */
  write(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire({ ...options, units: UNITS_MAX });
  }

  /** A reader's guard, or undefined if it is not free now. Throws FEATHERSTAR_CLOSED. */
  tryRead(): Guard | undefined {
    return this.#semaphore.tryAcquire();
  }

  /** The writer's guard, or undefined if it is not free now. Throws FEATHERSTAR_CLOSED. */
  tryWrite(): Guard | undefined {
    return this.#semaphore.tryAcquire({ units: UNITS_MAX });
  }

  /** Runs `fn` while a reader's guard is held. Rejects like `read()`, or with the error of `fn`. */
  withRead<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: 1 });
  }

  /** Runs `fn` while the writer's guard is held. Rejects like `write()`, or with the error of `fn`. */
  withWrite<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: UNITS_MAX });
  }

  /** All callers that wait, and later ones, reject with `error` (default: FEATHERSTAR_CLOSED). Guards stay valid. */
  close(error?: unknown): void {
    this.#semaphore.close(error);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
