// Tasks for users: spawn and its handle. A task starts when the core's scheduler picks it, and its later steps are
// ordinary continuations of its promise.

import { optionError } from './errors.js';
import { currentShard } from './shard.js';

export interface SpawnOptions {
  /** Scheduling group, 0 to 15. */
  group?: number | undefined;
  name?: string | undefined;
}

/** A running task: await it for its result. */
export class JoinHandle<T> implements PromiseLike<T> {
  readonly name: string;
  readonly #promise: Promise<T>;
  #finished = false;

  /** `start` begins the task and calls back with its end. */
  constructor(name: string, start: (resolve: (value: T | Promise<T>) => void, reject: (e: unknown) => void) => void) {
    this.name = name;
    this.#promise = new Promise<T>((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#finished = true; // here, not in a then(): that would count as handling a rejection
        settle();
      };
      const onValue = (value: T) => end(() => resolve(value));
      const onError = (error: unknown) => end(() => reject(error));
      start((value) => (value instanceof Promise ? value.then(onValue, onError) : onValue(value)), onError);
    });
  }

  get isFinished(): boolean {
    return this.#finished;
  }

  // biome-ignore lint/suspicious/noThenProperty: a handle is awaited, as in the seed
  then<A = T, B = never>(
    onValue?: ((value: T) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onValue, onError);
  }
}

/** Queues `fn` on this shard. An error that nobody awaits is reported as an unhandled rejection. */
export function spawn<T>(fn: () => T | Promise<T>, options: SpawnOptions = {}): JoinHandle<T> {
  if (typeof fn !== 'function') throw optionError('fn', fn, 'a function');
  const { group = 0, name = fn.name || 'task' } = options;
  if (!Number.isInteger(group) || group < 0 || group > 15) throw optionError('group', group, 'an integer from 0 to 15');
  const shard = currentShard();
  return new JoinHandle<T>(name, (resolve, reject) => {
    shard.queueTask(group, () => {
      try {
        resolve(fn());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** Lets other tasks and I/O run first. */
export function yieldNow(): Promise<void> {
  const shard = currentShard();
  return new Promise((resolve) => shard.queueTask(0, resolve));
}
