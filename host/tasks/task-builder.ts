// Tasks with more to say about them than spawn() takes, also on another shard.

import type { AbortOptions } from '../base/abort.js';
import { optionError } from '../base/errors.js';
import type { ArgumentsOf, FunctionName, ResultOf, UntypedModule } from '../calls/call-api.js';
import { runtime } from '../runtime/runtime.js';
import type { SchedulingGroup } from './group.js';
import { JoinHandle } from './join-handle.js';
import { type SpawnOptions, spawn, type TaskFunction } from './task.js';

/**
 * `new TaskBuilder().name('sweep').group(background).spawn(fn)`; with `.shard(n)` it is a function of the shard module:
 * `new TaskBuilder<typeof module>().shard(1).spawn('sweep', 100)`. A builder may spawn any number of tasks.
 */
export class TaskBuilder<M extends object = UntypedModule> {
  readonly #options: SpawnOptions = {};
  #shard: number | undefined;

  /** Sets the name that warnings have. Default: the name of the function. */
  name(name: string): this {
    this.#options.name = name;
    return this;
  }

  /** Sets the scheduling group, which must be one of this shard. A task on another shard cannot have one. */
  group(group: number | SchedulingGroup): this {
    this.#options.group = group;
    return this;
  }

  /** Sets a signal that aborts the task. */
  signal(signal: AbortSignal): this {
    this.#options.signal = signal;
    return this;
  }

  /** Sets the shard. Without it, the task runs on this shard. */
  shard(index: number): this {
    this.#shard = index;
    return this;
  }

  /** Starts a task on this shard, like the function `spawn()`. */
  spawn<T>(fn: TaskFunction<T>): JoinHandle<T>;
  /**
   * Calls an exported function. An abort rejects the handle at once, and the function goes on, until `ended`: give it a
   * signal among its arguments if it is to know.
   */
  spawn<K extends FunctionName<M>>(name: K, ...args: ArgumentsOf<M[K]>): JoinHandle<ResultOf<M[K]>>;
  spawn(what: TaskFunction<unknown> | string, ...args: unknown[]): JoinHandle<unknown> {
    if (typeof what === 'string') return this.#call(what, args);
    if (this.#shard === undefined || this.#shard === runtime().self) return spawn(what, this.#options);
    throw optionError('fn', what, 'the name of a function that the shard module exports: closures stay on their shard');
  }

  #call(method: string, args: unknown[]): JoinHandle<unknown> {
    const { name = method, group, signal } = this.#options;
    const here = runtime();
    const handle = here.shard(this.#shard ?? here.self);
    if (group !== undefined) throw optionError('group', group, 'left out for a function of the shard module');
    const options: AbortOptions = { signal };
    return new JoinHandle(name, options, () => handle.call(method, ...args));
  }
}
