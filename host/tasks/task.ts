// Tasks for users: spawn, and how a task lets others run. A task starts when the core's scheduler picks it, and its
// later steps are ordinary continuations of its promise, so the contexts of AsyncLocalStorage stay with it.

import type { AbortOptions, LazyAbort } from '../base/abort.js';
import { checkFunction, checkSignal, checkString } from '../base/options.js';
import { currentShard, type Shard } from '../shard/shard.js';
import type { TaskName } from '../shard/steps.js';
import { SchedulingGroup as Group, type SchedulingGroup } from './group.js';
import { JoinHandle } from './join-handle.js';

export interface SpawnOptions extends AbortOptions {
  /** What schedulingGroup() made, or its number, 0 to 15; default 0. */
  group?: number | SchedulingGroup | undefined;
  /** For warnings; default: the function's name. */
  name?: string | undefined;
}

/** What a task's function gets. */
export class TaskContext implements TaskName {
  readonly name: string;
  /** Number of the scheduling group. */
  readonly group: number;
  readonly #shard: Shard;
  readonly #abort: LazyAbort;

  constructor(shard: Shard, name: string, group: number, abort: LazyAbort) {
    this.#shard = shard;
    this.name = name;
    this.group = group;
    this.#abort = abort;
  }

  /** Aborted by the handle's abort(), and when the signal that was given to spawn() is. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Lets other tasks and I/O run, and goes on in this task's own group, also after it has waited for I/O. Rejects with
   * the reason when the task is aborted: a loop that yields here can be ended.
   */
  get yieldNow(): () => Promise<void> {
    return () => this.#yield(); // may be taken out of the context; made here, because few tasks ask for it
  }

  #yield(): Promise<void> {
    if (this.#abort.isAborted) return Promise.reject(this.#abort.reason);
    return new Promise((resolve, reject) => {
      this.#shard.queueStep(this, () => (this.#abort.isAborted ? reject(this.#abort.reason) : resolve()));
    });
  }
}

export type TaskFunction<T> = (context: TaskContext) => T | PromiseLike<T>;

/** A task's options, checked. */
export function taskOptions(shard: Shard, fn: { name: string }, options: SpawnOptions): TaskName & AbortOptions {
  checkFunction('fn', fn);
  const { group = 0, name = fn.name || 'task', signal } = options;
  checkString('name', name);
  return { name, group: Group.idOn(shard, group), signal: checkSignal(signal) };
}

/** How spawn() begins a task, for handles of other kinds. */
export function beginTask<T>(
  shard: Shard,
  { name, group }: TaskName,
  fn: TaskFunction<T>,
): (abort: LazyAbort) => Promise<T> {
  return async (abort) => {
    const context = new TaskContext(shard, name, group, abort);
    await new Promise<void>((resolve) => shard.queueStep(context, resolve));
    abort.throwIfAborted(); // before it started: it never runs
    try {
      return await fn(context);
    } finally {
      shard.steps.noteEnd(context);
    }
  };
}

/**
 * Queues `fn` on this shard. The handle rejects with FEATHERSTAR_FULL when there are too many tasks (limits.taskSlots).
 * A failure that nobody awaits is reported; see the runtime's option `unhandled`.
 */
export function spawn<T>(fn: TaskFunction<T>, options: SpawnOptions = {}): JoinHandle<T> {
  const shard = currentShard();
  const checked = taskOptions(shard, fn, options);
  return new JoinHandle<T>(checked.name, checked, beginTask(shard, checked, fn));
}

/**
 * Lets other tasks and I/O run first, and goes on in the group of the task whose step this is. After a wait for I/O or
 * time that is group 0, as only the task's own context.yieldNow() knows better. Rejects with the signal's reason.
 */
export function yieldNow(options: AbortOptions = {}): Promise<void> {
  const signal = checkSignal(options.signal);
  if (signal?.aborted) return Promise.reject(signal.reason);
  const shard = currentShard();
  return new Promise((resolve, reject) => {
    const run = signal === undefined ? resolve : () => (signal.aborted ? reject(signal.reason) : resolve());
    shard.queueStep(shard.steps.current, run);
  });
}

/** As yieldNow(), but answers undefined at once unless the tasks of this turn have used their time (`taskQuotaUs`). */
export function maybeYield(options: AbortOptions = {}): Promise<void> | undefined {
  return currentShard().steps.isQuotaUsed || options.signal?.aborted ? yieldNow(options) : undefined;
}
