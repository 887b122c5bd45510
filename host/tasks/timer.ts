// Time for users: sleep, timeout, scheduled callbacks, and the coarse clock. All of it lies on the shard's wheel.
// Intervals are in interval.ts.

import { type AbortOptions, isEcho } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkFunction, checkSignal, checkTimeout } from '../base/options.js';
import { LoneTimer } from '../shard/operation.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { Wait } from '../shard/wait.js';
import { reportUnhandled } from './unhandled.js';

export type { AbortOptions } from '../base/abort.js';

/**
 * Resolves after `ms` milliseconds, 0 to 100 days, and never earlier. Rejects with the signal's reason if that aborts,
 * and with FEATHERSTAR_FULL if no timer is free (`limits.timerSlots`). Throws FEATHERSTAR_NO_SHARD outside a runtime.
 */
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
 * The time when this turn of the shard, or this step of a task, began: milliseconds from an arbitrary start. The clock
 * is monotonic and the same on every shard. It costs one load of memory, and is 10 to 500 µs behind on a busy shard.
 */
export function now(): number {
  return currentShard().nowNs / 1e6;
}

/**
 * Resolves or rejects as `work` does, or rejects with FEATHERSTAR_TIMEOUT after `ms` milliseconds (0 to 100 days). If
 * `work` is a function, it is called at once. Its signal aborts when the time is over, or when `options.signal` aborts.
 *
 * @example
 * const page = await timeout(2000, (signal) => fetch(url, { signal }));
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

enum TimerState {
  PENDING = 0,
  CANCELLED = 1,
  OVER = 2,
}

/** A callback that `schedule()` has planned. */
export interface TimerHandle {
  /** Whether the callback will still run. */
  readonly isPending: boolean;
  /** Cancels the callback. False: it has run, or was cancelled before. */
  readonly cancel: () => boolean;
  /** Calls `cancel()`. */
  [Symbol.dispose](): void;
}

class PlannedCallback extends LoneTimer implements TimerHandle {
  readonly #signal: AbortSignal | undefined;
  #fire!: () => void;
  #state = TimerState.PENDING;

  constructor(shard: Shard, ms: number, callback: () => unknown, signal: AbortSignal | undefined) {
    super(shard, ms * 1e6);
    this.#signal = signal;
    addAbortListener(signal, this.cancel);
    new Promise<void>((resolve) => {
      this.#fire = resolve;
    })
      .then(() => this.#begin() && callback())
      .catch((error) => reportUnhandled('a timer callback', error, shard.unhandled));
  }

  get isPending(): boolean {
    return this.#state === TimerState.PENDING;
  }

  onTime(): void {
    this.#fire();
  }

  #begin(): boolean {
    if (this.#state !== TimerState.PENDING) return false; // cancelled after it had fired
    this.#state = TimerState.OVER;
    removeAbortListener(this.#signal, this.cancel);
    return true;
  }

  readonly cancel = (): boolean => {
    if (this.#state !== TimerState.PENDING) return false;
    this.#state = TimerState.CANCELLED;
    removeAbortListener(this.#signal, this.cancel);
    this.disarm();
    return true;
  };

  [Symbol.dispose](): void {
    this.cancel();
  }
}

/**
 * Runs `callback` after `ms` milliseconds, 0 to 100 days, on this shard, and never earlier. `signal` cancels it. If the
 * callback throws, that is reported like the failure of a task. Throws FEATHERSTAR_FULL (`limits.timerSlots`), the
 * reason of a signal that has aborted already, or FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * const handle = schedule(5000, () => connection.close());
 * handle.cancel();
 */
export function schedule(ms: number, callback: () => unknown, options: AbortOptions = {}): TimerHandle {
  checkTimeout('ms', ms);
  checkFunction('callback', callback);
  const signal = checkSignal(options.signal);
  signal?.throwIfAborted();
  return new PlannedCallback(currentShard(), ms, callback, signal);
}
