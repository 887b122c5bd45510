// Loops whose bodies run at the same time. Both end only when every body that has begun has ended; the first error is
// what they reject with.

import type { AbortOptions } from '../base/abort.js';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { optionError } from '../base/errors.js';
import { checkFunction, checkInteger, checkSignal } from '../base/options.js';

/** The highest limit of maxConcurrent(). */
export const CONCURRENT_MAX = 1_073_741_824;

type Items<T> = Iterable<T> | AsyncIterable<T>;
type Body<T> = (item: T, signal: AbortSignal) => unknown;

function checkItems(items: unknown): void {
  const value = Object(items ?? 0);
  if (!(Symbol.asyncIterator in value || Symbol.iterator in value)) throw optionError('items', items, 'an iterable');
}

class Loop<T> {
  readonly #controller = new AbortController();
  readonly #fn: Body<T>;
  readonly #limit: number;
  readonly #stopsAtError: boolean;
  #running = 0;
  #failure: { error: unknown } | undefined;
  #isStopped = false;
  /** A body has ended, or the loop was stopped. */
  #wake: () => void = () => undefined;
  #isTaking = false;
  #onStop: () => void = () => undefined;

  constructor(fn: Body<T>, limit: number, stopsAtError: boolean) {
    this.#fn = fn;
    this.#limit = limit;
    this.#stopsAtError = stopsAtError;
  }

  readonly #fail = (error: unknown, stops: boolean): void => {
    this.#failure ??= { error };
    if (!stops || this.#isStopped) return;
    this.#isStopped = true;
    this.#controller.abort(error);
    this.#onStop();
    this.#wake();
  };

  async #body(item: T): Promise<void> {
    this.#running++;
    try {
      await this.#fn(item, this.#controller.signal);
    } catch (error) {
      this.#fail(error, this.#stopsAtError);
    } finally {
      this.#running--;
      this.#wake();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The next item, or undefined if there is none or the loop is stopped before it comes. */
  #take(iterator: AsyncIterator<T>): Promise<{ item: T } | undefined> {
    return new Promise((resolve, reject) => {
      this.#isTaking = true;
      this.#onStop = () => resolve(undefined);
      Promise.resolve(iterator.next()).then((result) => {
        this.#isTaking = false;
        resolve(result.done ? undefined : { item: result.value });
      }, reject);
    });
  }

  async run(items: Items<T>, { signal }: AbortOptions): Promise<void> {
    const onAbort = () => this.#fail(signal?.reason, true);
    addAbortListener(signal, onAbort);
    try {
      if (Symbol.asyncIterator in Object(items))
        await this.#takeAsync((items as AsyncIterable<T>)[Symbol.asyncIterator]());
      else await this.#takeSync(items as Iterable<T>);
    } catch (error) {
      this.#fail(error, true); // the iterable itself failed
    }
    while (this.#running !== 0) await this.#change();
    removeAbortListener(signal, onAbort);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #room(): Promise<void> {
    while (!this.#isStopped && this.#running >= this.#limit) await this.#change();
  }

  async #takeSync(items: Iterable<T>): Promise<void> {
    for (const item of items) {
      void this.#body(item);
      if (this.#running >= this.#limit) await this.#room();
      if (this.#isStopped) break;
    }
  }

  async #takeAsync(iterator: AsyncIterator<T>): Promise<void> {
    while (!this.#isStopped) {
      const taken = await this.#take(iterator);
      if (taken === undefined) break;
      void this.#body(taken.item);
      await this.#room();
    }
    if (!this.#isStopped) return;
    const returned = Promise.resolve(iterator.return?.());
    // In the middle of its next() an iterable may never learn of it, and a later result of it is ignored.
    if (this.#isTaking) returned.catch(() => undefined);
    else await returned;
  }
}

function runLoop<T>(
  items: Items<T>,
  fn: Body<T>,
  limit: number,
  stopsAtError: boolean,
  options: AbortOptions,
): Promise<void> {
  checkItems(items);
  checkFunction('fn', fn);
  checkSignal(options.signal);
  if (options.signal?.aborted) return Promise.reject(options.signal.reason);
  return new Loop(fn, limit, stopsAtError).run(items, options);
}

/**
 * Calls `fn` for every item, without waiting for one before the next, and resolves when all calls have ended. If some
 * fail, it rejects with the first error, after all have ended. The number of calls at once is not limited: for many
 * items use `maxConcurrent()`. If `signal` aborts, no more items are taken, the signal given to `fn` aborts, and this
 * rejects with the reason when all calls have ended.
 *
 * @example
 * await parallelForEach(urls, (url, signal) => fetch(url, { signal }));
 */
export async function parallelForEach<T>(
  items: Iterable<T> | AsyncIterable<T>,
  fn: (item: T, signal: AbortSignal) => unknown,
  options: AbortOptions = {},
): Promise<void> {
  return runLoop(items, fn, Number.POSITIVE_INFINITY, false, options);
}

/**
 * Calls `fn` for every item, at most `limit` (1 to 1,073,741,824) calls at a time, and resolves when all have ended. At
 * the first error, or if `signal` aborts, no more items are taken and the signal given to `fn` aborts with that error
 * or reason. When all calls have ended, this rejects with it.
 *
 * @example
 * await maxConcurrent(files, 4, (file) => directory.readFile(file));
 */
export async function maxConcurrent<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  fn: (item: T, signal: AbortSignal) => unknown,
  options: AbortOptions = {},
): Promise<void> {
  return runLoop(items, fn, checkInteger('limit', limit, 1, CONCURRENT_MAX), true, options);
}
