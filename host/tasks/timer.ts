// Time for users: sleep, timeout, scheduled callbacks, and the coarse clock. All of it lies on the shard's wheel.
// Intervals are in interval.ts.

import { type AbortOptions, isEcho } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkFunction, checkSignal, checkTimeout } from '../base/options.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { Wait } from '../shard/wait.js';
import { reportUnhandled } from './unhandled.js';

export type { AbortOptions } from '../base/abort.js';

/** Resolves after `ms` milliseconds, never earlier. Rejects with the signal's reason when that aborts. */
export function sleep(ms: number, options: AbortOptions = {}): Promise<void> {
  checkTimeout('ms', ms);
  const signal = checkSignal(options.signal);
  if (signal?.aborted) return Promise.reject(signal.reason);
  const shard = currentShard();
  return new Promise((resolve, reject) => {
    new Wait(shard, ms * 1e6, signal, resolve, reject);
  });
}

/**
 * The time of the shard's turn, ms, from an arbitrary start: monotonic, and the same clock on every shard. It costs a
 * load, and is behind by what has run since the turn or the task's step began (a busy shard: some 10 to 500 µs).
 */
export function now(): number {
  return currentShard().nowNs / 1e6;
}

/**
 * What `work` comes to, if that is within `ms`; else rejects with FEATHERSTAR_TIMEOUT. A function is called at once,
 * with a signal that is aborted at the time-out (with that error) and when `signal` is (with its reason).
 */
export function timeout<T>(
  ms: number,
  work: PromiseLike<T> | ((signal: AbortSignal) => T | PromiseLike<T>),
  options: AbortOptions = {},
): Promise<T> {
  checkTimeout('ms', ms);
  const signal = checkSignal(options.signal);
  const isFunction = typeof work === 'function';
  if (!isFunction && typeof work?.then !== 'function') throw optionError('work', work, 'a function or a promise');
  if (signal?.aborted) return Promise.reject(signal.reason);
  const shard = currentShard();
  const inner = isFunction ? new AbortController() : undefined;
  return new Promise<T>((resolve, reject) => {
    let isOver = false;
    const giveUp = (reason: unknown) => {
      isOver = true;
      reject(reason);
      inner?.abort(reason);
    };
    const onTime = () => giveUp(new FeatherstarError('FEATHERSTAR_TIMEOUT', `it took longer than ${ms} ms`));
    const wait = new Wait(shard, ms * 1e6, signal, onTime, (reason) => {
      if (!isOver) giveUp(reason);
    });
    const end = (settle: () => void) => {
      if (isOver) return;
      isOver = true;
      wait.cancel(undefined);
      settle();
    };
    const onError = (error: unknown) => {
      if (isOver && inner !== undefined && !isEcho(error, inner.signal.reason)) {
        reportUnhandled('what timeout() had given up', error, shard.unhandled);
      }
      end(() => reject(error));
    };
    try {
      const started = inner === undefined ? work : (work as (signal: AbortSignal) => T | PromiseLike<T>)(inner.signal);
      Promise.resolve(started as T | PromiseLike<T>).then((value) => end(() => resolve(value)), onError);
    } catch (error) {
      onError(error);
    }
  });
}

enum State {
  PENDING = 0,
  CANCELLED = 1,
  OVER = 2,
}

/** A callback on the wheel. */
export class TimerHandle {
  readonly #signal: AbortSignal | undefined;
  #wait!: Wait;
  #state = State.PENDING;

  constructor(shard: Shard, ms: number, callback: () => unknown, signal: AbortSignal | undefined) {
    this.#signal = signal;
    const waiting = new Promise<void>((resolve) => {
      this.#wait = new Wait(shard, ms * 1e6, undefined, resolve, () => resolve());
    });
    addAbortListener(signal, this.cancel);
    waiting
      .then(() => this.#begin() && callback())
      .catch((error) => reportUnhandled('a timer callback', error, shard.unhandled));
  }

  /** True if the callback is still to run. */
  get isPending(): boolean {
    return this.#state === State.PENDING;
  }

  #begin(): boolean {
    if (this.#state !== State.PENDING) return false; // cancelled after it had fired
    this.#state = State.OVER;
    removeAbortListener(this.#signal, this.cancel);
    return true;
  }

  /** True if the callback will not run because of this; false if it has run or was cancelled before. */
  readonly cancel = (): boolean => {
    if (this.#state !== State.PENDING) return false;
    this.#state = State.CANCELLED;
    removeAbortListener(this.#signal, this.cancel);
    this.#wait.cancel(undefined);
    return true;
  };
}

export const timer = {
  /**
   * Runs `callback` after `ms` milliseconds, never earlier, on this shard. Throws FEATHERSTAR_FULL (limits.timerSlots).
   * `signal` cancels it. What it throws is reported like the failure of a task that nobody awaits.
   */
  schedule(ms: number, callback: () => unknown, options: AbortOptions = {}): TimerHandle {
    checkTimeout('ms', ms);
    checkFunction('callback', callback);
    const signal = checkSignal(options.signal);
    signal?.throwIfAborted();
    return new TimerHandle(currentShard(), ms, callback, signal);
  },

  /** True if the callback will not run because of this; false if it has run or was cancelled before. O(1). */
  cancel(handle: TimerHandle): boolean {
    if (!(handle instanceof TimerHandle)) throw optionError('handle', handle, 'what timer.schedule() returned');
    return handle.cancel();
  },
} as const;
