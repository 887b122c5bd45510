// A set of tasks: take their results as they end, or end them all.

import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { checkSignal } from '../base/options.js';
import { Queue } from '../base/queue.js';
import type { JoinHandle } from './join-handle.js';
import { type SpawnOptions, spawn, type TaskFunction } from './task.js';

/** How a task of a set ended. */
export type Joined<T> = { readonly id: number; readonly name: string } & PromiseSettledResult<T>;

export class JoinSet<T> implements AsyncIterable<Joined<T>> {
  readonly #running = new Set<JoinHandle<T>>();
  readonly #joined = new Queue<Joined<T>>();
  #waiters: (() => void)[] = [];

  /** Tasks whose end nobody has taken yet. */
  get size(): number {
    return this.#running.size + this.#joined.length;
  }

  /** As spawn(). The failure of a task is one of the set's results, so nothing else reports it. */
  spawn(fn: TaskFunction<T>, options: SpawnOptions = {}): JoinHandle<T> {
    const handle = spawn(fn, options);
    this.#running.add(handle);
    const common = { id: handle.id, name: handle.name };
    const result = handle.then(
      (value): Joined<T> => ({ ...common, status: 'fulfilled', value }),
      (reason): Joined<T> => ({ ...common, status: 'rejected', reason }),
    );
    handle.ended
      .then(() => result)
      .then((joined) => {
        this.#running.delete(handle);
        this.#joined.push(joined);
        for (const wake of this.#waiters.splice(0)) wake();
      });
    return handle;
  }

  /**
   * The next task that has really ended, in the order of their ends; undefined when the set is empty. Rejects only with
   * the signal's reason.
   */
  async joinNext(options: AbortOptions = {}): Promise<Joined<T> | undefined> {
    const signal = checkSignal(options.signal);
    for (;;) {
      signal?.throwIfAborted();
      const joined = this.#joined.shift();
      if (joined !== undefined || this.#running.size === 0) return joined;
      await this.#change(signal);
    }
  }

  /** Until a task has ended. */
  #change(signal: AbortSignal | undefined): Promise<void> {
    return abortable<void>(
      (resolve) => {
        this.#waiters.push(resolve);
        return () => {
          this.#waiters = this.#waiters.filter((waiter) => waiter !== resolve);
        };
      },
      { signal },
    );
  }

  /** Aborts every task that has not ended; their ends are results as any other. */
  abortAll(reason?: unknown): void {
    for (const handle of this.#running) handle.abort(reason);
  }

  /**
   * Aborts all tasks, those that are spawned meanwhile too, and resolves when every one has really ended. The results
   * are dropped. `signal` ends the wait, not the tasks.
   */
  async shutdown(options: AbortOptions = {}): Promise<void> {
    const signal = checkSignal(options.signal);
    signal?.throwIfAborted();
    while (this.#running.size !== 0) {
      this.abortAll();
      await this.#change(signal);
    }
    this.#joined.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** The tasks as they end, until the set is empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Joined<T>, void, undefined> {
    for (;;) {
      const joined = await this.joinNext();
      if (joined === undefined) return;
      yield joined;
    }
  }
}
