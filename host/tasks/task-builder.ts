// Tasks with more to say about them than spawn() takes at a glance.

import type { SchedulingGroup } from './group.js';
import type { JoinHandle } from './join-handle.js';
import { type SpawnOptions, spawn, type TaskFunction } from './task.js';

/** `new TaskBuilder().name('sweep').group(background).spawn(fn)`. A builder may spawn any number of tasks. */
export class TaskBuilder {
  readonly #options: SpawnOptions = {};

  /** Sets the name that warnings have. Default: the name of the function. */
  name(name: string): this {
    this.#options.name = name;
    return this;
  }

  /** Sets the scheduling group, which must be one of this shard. */
  group(group: number | SchedulingGroup): this {
    this.#options.group = group;
    return this;
  }

  /** Sets a signal that aborts the task. */
  signal(signal: AbortSignal): this {
    this.#options.signal = signal;
    return this;
  }

  /** Starts a task with what was set. A task of another shard is `spawn(() => runtime().on(1).sweep())`. */
  spawn<T>(fn: TaskFunction<T>): JoinHandle<T> {
    return spawn(fn, this.#options);
  }
}
