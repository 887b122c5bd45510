// A wait that can end early. Every wait in this library ends exactly once, in one of these ways:
//
//   it has what it waited for                       disarm()
//   its signal aborts                               onAbort(signal.reason)
//   `timeoutMs` is over                             onAbort(FEATHERSTAR_TIMEOUT)
//   the program cancels it                          abort(reason) -> onAbort(reason)
//
// Afterwards neither the signal nor the timer knows of it. A wait without a signal and without a timeout costs nothing.
//
//   abortable(work, options)   the wait is a promise: most waits
//   class Abortable            the wait is an object, without closures: what waits in a queue, calls, operations
//
// This room knows nothing of shards, so a shard says how to start a timer there (useTimeouts).

import { type AbortListener, addAbortListener, removeAbortListener } from './abort-listeners.js';
import { FeatherstarError } from './errors.js';

/** Things that can end a wait early: `await mutex.lock({ timeoutMs: 100 })`. */
export interface WaitOptions {
  /** If it aborts, the wait rejects with its reason. If it has aborted already, nothing is begun. */
  signal?: AbortSignal | undefined;
  /** After this many milliseconds (0 to 100 days) the wait rejects with FEATHERSTAR_TIMEOUT. */
  timeoutMs?: number | undefined;
}

/** A timer that runs. cancel() has no effect once it has fired. */
export interface Timeout {
  cancel(reason: unknown): void;
}

/** Starts a timer. Throws FEATHERSTAR_FULL. */
export type StartTimeout = (timeoutMs: number, onTimeout: () => void) => Timeout;

const PLATFORM_MAX_MS = 2 ** 31 - 1; // longer timers of the platform would fire at once

/** Starts a timer in a thread that is no shard. */
export const platformTimeout: StartTimeout = (timeoutMs, onTimeout) => {
  let timer: ReturnType<typeof setTimeout>;
  const start = (leftMs: number) => {
    const onTimer = () => (leftMs > PLATFORM_MAX_MS ? start(leftMs - PLATFORM_MAX_MS) : onTimeout());
    timer = setTimeout(onTimer, Math.min(leftMs, PLATFORM_MAX_MS));
  };
  start(timeoutMs);
  return { cancel: () => clearTimeout(timer) };
};

let startTimeout: StartTimeout = platformTimeout;

export function useTimeouts(start: StartTimeout): void {
  startTimeout = start;
}

export abstract class Abortable implements AbortListener {
  #signal: AbortSignal | undefined;
  #timeout: Timeout | undefined;

  /** The wait has ended early. It is disarmed already. */
  abstract onAbort(reason: unknown, signal: AbortSignal | undefined): void;

  /** The error of a timeout. */
  timeoutError(timeoutMs: number): FeatherstarError {
    return new FeatherstarError('FEATHERSTAR_TIMEOUT', `it took longer than ${timeoutMs} ms`);
  }

  /** Watches the signal, which has not aborted yet, and starts the timer. If it throws, nothing is armed. */
  arm({ signal, timeoutMs }: WaitOptions): void {
    if (timeoutMs !== undefined) {
      this.#timeout = startTimeout(timeoutMs, () => this.abort(this.timeoutError(timeoutMs)));
    }
    this.#signal = signal;
    addAbortListener(signal, this);
  }

  /** The wait has ended: nothing of it is left behind. */
  disarm(): void {
    removeAbortListener(this.#signal, this);
    this.#signal = undefined;
    this.#timeout?.cancel(undefined);
    this.#timeout = undefined;
  }

  /** Ends the wait early. */
  abort(reason: unknown, signal?: AbortSignal): void {
    this.disarm();
    this.onAbort(reason, signal);
  }

  onSignal(signal: AbortSignal): void {
    this.abort(signal.reason, signal);
  }
}

type Settle<T> = (value: T) => void;

/** Begins a wait. Returns a function that takes it back when the wait ends early. */
type Begin<T> = (resolve: Settle<T>, reject: Settle<unknown>) => (() => void) | undefined;

class PromisedWait extends Abortable {
  readonly #reject: Settle<unknown>;
  #takeBack: (() => void) | undefined;
  #hasEndedEarly = false;

  constructor(reject: Settle<unknown>) {
    super();
    this.#reject = reject;
  }

  onAbort(reason: unknown): void {
    this.#hasEndedEarly = true;
    this.#takeBack?.();
    this.#reject(reason);
  }

  begin<T>(begin: Begin<T>, resolve: Settle<T>): void {
    const ended =
      <V>(settle: Settle<V>) =>
      (value: V) => {
        this.disarm();
        settle(value);
      };
    try {
      this.#takeBack = begin(ended(resolve), ended(this.#reject));
    } catch (error) {
      this.disarm();
      throw error;
    }
    if (this.#hasEndedEarly) this.#takeBack?.(); // begin() itself has aborted the signal
  }
}

/**
 * A promise of what `work` comes to, which rejects if the signal aborts first or the time is over. `work` is a promise,
 * or a function that begins the wait. A value or error of the promise after that is dropped.
 */
export function abortable<T>(work: Promise<T> | Begin<T>, options: WaitOptions): Promise<T> {
  const { signal, timeoutMs } = options;
  if (signal === undefined && timeoutMs === undefined) return typeof work === 'function' ? new Promise(work) : work;
  const begin: Begin<T> =
    typeof work === 'function'
      ? work
      : (resolve, reject) => {
          work.then(resolve, reject);
          return undefined;
        };
  if (signal?.aborted) {
    if (typeof work !== 'function') work.catch(() => {}); // dropped
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const wait = new PromisedWait(reject);
    wait.arm(options);
    wait.begin(begin, resolve);
  });
}

class Deadline extends Abortable {
  readonly #controller = new AbortController();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  onAbort(reason: unknown): void {
    this.#controller.abort(reason);
  }
}

/**
 * Runs work that waits several times, within one time. The waits get one signal, which aborts when the time is over or
 * the caller's signal aborts. Without `timeoutMs` it is the caller's signal.
 */
export async function withDeadline<T>(
  { signal, timeoutMs }: WaitOptions,
  work: (signal: AbortSignal | undefined) => T | PromiseLike<T>,
): Promise<T> {
  signal?.throwIfAborted();
  if (timeoutMs === undefined) return work(signal);
  const deadline = new Deadline();
  deadline.arm({ signal, timeoutMs });
  try {
    return await work(deadline.signal);
  } finally {
    deadline.disarm();
  }
}
