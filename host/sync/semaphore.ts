// A number of units that are lent out, in the order of asking. Mutex and RwLock are semaphores, too.
//
// Fair: who asks for much is not overtaken by those behind who ask for little, so nobody starves. A grant happens in
// the frame of the release: the units belong to the waiter before its promise's continuation runs, and nobody can take
// them in between.

import { optionError } from '../base/errors.js';
import type { WaitOptions } from './wait-queue.js';
import { checkFunction, checkInteger, checkWait, closedError, type QueueOptions, WaitQueue } from './wait-queue.js';

/** The most units of a semaphore. */
export const UNITS_MAX = 1_073_741_824;

let hold: (guard: Guard) => void;
let homeOf: (guard: Guard) => Semaphore;
let giveBack: (home: Semaphore, units: number) => void;

/** Takes the units of a guard again that was released. For Condvar. */
export let retake: (guard: Guard, options: WaitOptions) => Promise<Guard>;

/** What acquire() answers: as long as it is held, so are its units. */
export class Guard {
  readonly #home: Semaphore;
  readonly units: number;
  #isHeld = false;

  static {
    hold = (guard) => {
      guard.#isHeld = true;
    };
    homeOf = (guard) => guard.#home;
  }

  /** Semaphores make guards. */
  constructor(home: Semaphore, units: number) {
    this.#home = home;
    this.units = units;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Gives the units back. Once is enough, twice does no harm. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    giveBack(this.#home, this.units);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

export interface UseOptions extends WaitOptions {
  /** How many units (default 1). */
  units?: number | undefined;
}

export class Semaphore {
  readonly capacity: number;
  readonly #queue: WaitQueue<Guard, Guard>;
  #available: number;
  #error: { reason: unknown } | undefined;

  static {
    giveBack = (home, units) => {
      home.#available += units;
      home.#pump();
    };
    retake = (guard, options) => homeOf(guard).#take(guard, options);
  }

  /** `units`: 1 to 1,073,741,824. FEATHERSTAR_OPTION. */
  constructor(units: number, options: QueueOptions = {}) {
    this.capacity = checkInteger('units', units, 1, UNITS_MAX);
    this.#available = units;
    this.#queue = new WaitQueue(options.name ?? 'the semaphore', options.maxWaiters, () => this.#pump());
  }

  /** Units that nobody holds. They may be spoken for: see `waiting`. */
  get available(): number {
    return this.#available;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  get isClosed(): boolean {
    return this.#error !== undefined;
  }

  /**
   * Resolves to a guard of so many units, in the order of asking. FEATHERSTAR_OPTION for more units than there are;
   * rejects with FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, FEATHERSTAR_FULL (maxWaiters), or the signal's reason.
   */
  acquire(units = 1, options: WaitOptions = {}): Promise<Guard> {
    return this.#take(this.#guardOf(units), options);
  }

  /** A guard, if the units can be had at once and nobody waits; else undefined. Throws FEATHERSTAR_CLOSED. */
  tryAcquire(units = 1): Guard | undefined {
    const guard = this.#guardOf(units);
    if (this.#error !== undefined) throw this.#error.reason;
    if (!this.#fits(units)) return undefined;
    this.#lend(guard);
    return guard;
  }

  /** Runs `fn` while it holds the units. If the signal aborts before `fn` begins, the units go back and it does not. */
  async use<T>(fn: () => T | PromiseLike<T>, options: UseOptions = {}): Promise<T> {
    checkFunction('fn', fn);
    const guard = await this.acquire(options.units, options);
    try {
      options.signal?.throwIfAborted();
      return await fn();
    } finally {
      guard.release();
    }
  }

  /** Everybody who waits, or asks later, is rejected with `error` (FEATHERSTAR_CLOSED). Guards stay good. */
  close(error: unknown = closedError(this.#queue.what)): void {
    if (this.#error !== undefined) return;
    this.#error = { reason: error };
    this.#queue.rejectAll(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #guardOf(units: number): Guard {
    if (!Number.isInteger(units) || units < 1 || units > this.capacity) {
      throw optionError('units', units, `an integer from 1 to ${this.capacity}, all that ${this.#queue.what} has`);
    }
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
    checkWait(options);
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
