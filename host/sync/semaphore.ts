// A number of units that are lent out, in the order of asking. Mutex and RwLock are semaphores, too.
//
// It is fair: small requests do not overtake a large one before them, so no caller starves. A grant happens in the
// frame of the release. The units belong to the waiter before its promise's continuation runs, and no other caller can
// take them in between.

import { checkFunction, checkInteger } from '../base/options.js';
import type { WaitOptions } from './wait-queue.js';
import { checkQueueWait, closedError, type QueueOptions, WaitQueue } from './wait-queue.js';

/** The most units of a semaphore. */
export const UNITS_MAX = 1_073_741_824;

let hold: (guard: Guard) => void;
let semaphoreOf: (guard: Guard) => Semaphore;
let giveBack: (home: Semaphore, units: number) => void;

/** Takes the units of a guard again that was released. For Condvar. */
export let retake: (guard: Guard, options: WaitOptions) => Promise<Guard>;

/** Units of a semaphore, or a lock, that are held until `release()`: `using guard = await mutex.lock()`. */
export class Guard {
  readonly #home: Semaphore;
  /** How many units the guard stands for. */
  readonly units: number;
  #isHeld = false;

  static {
    hold = (guard) => {
      guard.#isHeld = true;
    };
    semaphoreOf = (guard) => guard.#home;
  }

  /** @internal Semaphores make guards. */
  constructor(home: Semaphore, units: number) {
    this.#home = home;
    this.units = units;
  }

  /** Whether the units are still held. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Gives the units back. The second call does nothing. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    giveBack(this.#home, this.units);
  }

  /** Calls `release()`. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/** How many units are acquired, and what can end the wait for them. */
export interface AcquireOptions extends WaitOptions {
  /** How many units, 1 to the capacity; default 1. */
  units?: number | undefined;
}

/**
 * A number of units that callers acquire and release, in the order of the calls. A call for many units is not overtaken
 * by later calls for few.
 *
 * @example
 * const connections = new Semaphore(10);
 * const rows = await connections.use(() => query('select 1'), { timeoutMs: 500 });
 */
export class Semaphore {
  /** How many units there are. */
  readonly capacity: number;
  readonly #queue: WaitQueue<Guard, Guard>;
  #available: number;
  #error: { reason: unknown } | undefined;

  static {
    giveBack = (home, units) => {
      home.#available += units;
      home.#pump();
    };
    retake = (guard, options) => semaphoreOf(guard).#take(guard, options);
  }

  /** `units`: how many there are, 1 to 1,073,741,824. Throws FEATHERSTAR_OPTION if an argument is out of its range. */
  constructor(units: number, options: QueueOptions = {}) {
    this.capacity = checkInteger('units', units, 1, UNITS_MAX);
    this.#available = units;
    this.#queue = new WaitQueue(options.name ?? 'the semaphore', options.maxWaiters, () => this.#pump());
  }

  /** How many units are not held. If callers wait, the next of them has a claim on these. */
  get available(): number {
    return this.#available;
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#error !== undefined;
  }

  /**
   * Waits for `units` units (default 1), in the order of the calls, and resolves to their guard. Rejects with
   * FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (`maxWaiters`), or the signal's reason, and with
   * FEATHERSTAR_OPTION for more units than there are.
   */
  acquire(options: AcquireOptions = {}): Promise<Guard> {
    return this.#take(this.#guardOf(options.units === undefined ? 1 : options.units), options);
  }

  /** The guard of `units` units (default 1), or undefined if they are not free now. Throws FEATHERSTAR_CLOSED. */
  tryAcquire({ units = 1 }: { units?: number | undefined } = {}): Guard | undefined {
    const guard = this.#guardOf(units);
    if (this.#error !== undefined) throw this.#error.reason;
    if (!this.#fits(units)) return undefined;
    this.#lend(guard);
    return guard;
  }

  /**
   * Runs `fn` while the units are held, and releases them when `fn` has ended. Rejects like `acquire()`, and then `fn`
   * was not called; or with the error of `fn`.
   */
  async use<T>(fn: () => T | PromiseLike<T>, options: AcquireOptions = {}): Promise<T> {
    checkFunction('fn', fn);
    const guard = await this.acquire(options);
    try {
      options.signal?.throwIfAborted();
      return await fn();
    } finally {
      guard.release();
    }
  }

  /**
   * Closes the semaphore: all callers that wait, and later ones, reject with `error` (default: FEATHERSTAR_CLOSED).
   * Guards that are held stay valid.
   */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  /** Calls `close()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #guardOf(units: number): Guard {
    checkInteger('units', units, 1, this.capacity);
    return new Guard(this, units);
  }

  #fits(units: number): boolean {
    return this.#queue.length === 0 && units <= this.#available;
  }

  #lend(guard: Guard): void {
    this.#available -= guard.units;
    hold(guard);
  }

  #take(guard: Guard, options: WaitOptions): Promise<Guard> {
    checkQueueWait(options);
    if (this.#error !== undefined) return Promise.reject(this.#error.reason);
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#fits(guard.units)) return this.#queue.wait(guard, options);
    this.#lend(guard);
    return Promise.resolve(guard);
  }

  #pump(): void {
    const queue = this.#queue;
    for (let guard = queue.head; guard !== undefined && guard.units <= this.#available; guard = queue.head) {
      this.#lend(guard);
      queue.grant(guard);
    }
  }
}
