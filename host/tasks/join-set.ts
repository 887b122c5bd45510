// A set of tasks: take their results as they end, or end them all.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { checkWait } from '../base/options.js';
import { Queue } from '../base/queue.js';
import type { JoinHandle } from './join-handle.js';
import { type SpawnOptions, spawn, type TaskFunction } from './task.js';

/** How a task of a set ended: its handle's `id` and `name`, and a result like those of `Promise.allSettled()`. */
export type Joined<T> = {
  /** The `id` of the task's handle. */
  readonly id: number;
  /** The name of the task. */
  readonly name: string;
} & PromiseSettledResult<T>;

/**
 * A set of tasks whose results are taken in the order in which the tasks end.
 *
 * @example
 * await using set = new JoinSet<string>(); // the end of the scope aborts what still runs
 * for (const url of urls) set.spawn(({ signal }) => download(url, { signal }));
 * for await (const { status, name } of set) report(name, status);
 */
export class JoinSet<T> implements AsyncIterable<Joined<T>> {
  readonly #running = new Set<JoinHandle<T>>();
  readonly #joined = new Queue<Joined<T>>();
  #waiters: (() => void)[] = [];

  /** How many tasks are in the set: those that run, and results that were not taken yet. */
  get size(): number {
    return this.#running.size + this.#joined.length;
  }

  /**
   * Starts a task in the set, like the function `spawn()`. A failure of the task is a result of the set, so it is not
   * reported in another way.
   */
  spawn(fn: TaskFunction<T>, options: SpawnOptions = {}): JoinHandle<T> {
    const handle = spawn(fn, options);
    this.#running.add(handle);
    const common = { id: handle.id, name: handle.name };
    const result = handle.then(
      (value): Joined<T> => ({ ...common, status: 'fulfilled', value }),
      (reason): Joined<T> => ({ ...common, status: 'rejected', reason }),
    );
    void handle.ended
      .then(() => result)
      .then((joined) => {
        this.#running.delete(handle);
        this.#joined.push(joined);
        for (const wake of this.#waiters.splice(0)) wake();
      });
    return handle;
  }

  /**
   * Resolves to the next task that has ended, in the order of their ends, or to undefined if the set is empty. Rejects
   * only with FEATHERSTAR_TIMEOUT or the signal's reason.
   */
  async joinNext(options: WaitOptions = {}): Promise<Joined<T> | undefined> {
    return withDeadline(checkWait(options), async (signal) => {
      for (;;) {
        const joined = this.#joined.shift();
        if (joined !== undefined || this.#running.size === 0) return joined;
        await this.#change(signal);
        signal?.throwIfAborted();
      }
    });
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

  /** Aborts all tasks that run, with `reason` (default: FEATHERSTAR_ABORTED). Their ends are results of the set. */
  abortAll(reason?: unknown): void {
    for (const handle of this.#running) handle.abort(reason);
  }

  /**
   * Aborts all tasks, also those that are spawned meanwhile, and resolves when all have ended. The results are dropped.
   * Rejects with FEATHERSTAR_TIMEOUT or the signal's reason, and then some tasks have not ended.
   */
  async shutdown(options: WaitOptions = {}): Promise<void> {
    await withDeadline(checkWait(options), async (signal) => {
      while (this.#running.size !== 0) {
        this.abortAll();
        await this.#change(signal);
      }
    });
    this.#joined.clear();
  }

  /** Calls `shutdown()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** The tasks in the order of their ends, until the set is empty. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Joined<T>, void, undefined> {
    for (;;) {
      const joined = await this.joinNext();
      if (joined === undefined) return;
      yield joined;
    }
  }
}
