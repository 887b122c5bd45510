// Locks: a Mutex is a semaphore of one unit; an RwLock is one of many, of which a reader takes one and a writer all.
// So both are fair as the semaphore is: a writer waits for the readers before it, and readers behind it wait for it.

import { type Guard, Semaphore, UNITS_MAX } from './semaphore.js';
import type { QueueOptions, WaitOptions } from './wait-queue.js';

/** At most one holds it. Errors are those of Semaphore.acquire(). */
export class Mutex {
  readonly #semaphore: Semaphore;

  constructor(options: QueueOptions = {}) {
    this.#semaphore = new Semaphore(1, { ...options, name: options.name ?? 'the mutex' });
  }

  get isLocked(): boolean {
    return this.#semaphore.available === 0;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#semaphore.waiting;
  }

  lock(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire(1, options);
  }

  tryLock(): Guard | undefined {
    return this.#semaphore.tryAcquire();
  }

  /** Runs `fn` while it holds the lock. */
  withLock<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: 1 });
  }

  /** Everybody who waits, or asks later, is rejected with `error` (FEATHERSTAR_CLOSED). */
  close(error?: unknown): void {
    this.#semaphore.close(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

/** Many readers or one writer. Errors are those of Semaphore.acquire(). */
export class RwLock {
  readonly #semaphore: Semaphore;

  constructor(options: QueueOptions = {}) {
    this.#semaphore = new Semaphore(UNITS_MAX, { ...options, name: options.name ?? 'the lock' });
  }

  /** How many readers hold it. */
  get readers(): number {
    return this.isWriting ? 0 : UNITS_MAX - this.#semaphore.available;
  }

  /** True while a writer holds it. */
  get isWriting(): boolean {
    return this.#semaphore.available === 0;
  }

  /** How many wait, readers and writers. */
  get waiting(): number {
    return this.#semaphore.waiting;
  }

  read(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire(1, options);
  }

  write(options: WaitOptions = {}): Promise<Guard> {
    return this.#semaphore.acquire(UNITS_MAX, options);
  }

  tryRead(): Guard | undefined {
    return this.#semaphore.tryAcquire(1);
  }

  tryWrite(): Guard | undefined {
    return this.#semaphore.tryAcquire(UNITS_MAX);
  }

  /** Runs `fn` beside other readers. */
  withRead<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: 1 });
  }

  /** Runs `fn` alone. */
  withWrite<T>(fn: () => T | PromiseLike<T>, options: WaitOptions = {}): Promise<T> {
    return this.#semaphore.use(fn, { ...options, units: UNITS_MAX });
  }

  /** Everybody who waits, or asks later, is rejected with `error` (FEATHERSTAR_CLOSED). */
  close(error?: unknown): void {
    this.#semaphore.close(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
