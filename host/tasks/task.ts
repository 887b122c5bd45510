// Tasks for users: spawn, and how a task lets others run. A task starts when the core's scheduler picks it. Its later
// steps are ordinary continuations of its promise, so the contexts of AsyncLocalStorage stay with it.

import type { AbortOptions, LazyAbort } from '../base/abort.js';
import { checkFunction, checkSignal, checkString } from '../base/options.js';
import { currentShard, type Shard } from '../shard/shard.js';
import type { TaskName } from '../shard/steps.js';
import { SchedulingGroup as Group, type SchedulingGroup } from './group.js';
import { JoinHandle } from './join-handle.js';

/** Options of a task. If `signal` aborts, the task is aborted with its reason. */
export interface SpawnOptions extends AbortOptions {
  /** A scheduling group, or its number, 0 to 15; default 0. */
  group?: number | SchedulingGroup | undefined;
  /** The name in warnings. Default: the name of the function. */
  name?: string | undefined;
}

/** The argument of a task's function. */
export class TaskContext {
  /** The name of the task. */
  readonly name: string;
  /** The number of its scheduling group. */
  readonly group: number;
  readonly #shard: Shard;
  readonly #abort: LazyAbort;

  /** @internal */
  constructor(shard: Shard, name: string, group: number, abort: LazyAbort) {
    this.#shard = shard;
    this.name = name;
    this.group = group;
    this.#abort = abort;
  }

  /** Aborts when the handle's `abort()` is called, or when the signal given to `spawn()` aborts. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Lets other tasks and I/O run, and resolves when it is this task's turn again, in its own group. Rejects with the
   * reason if the task is aborted, so a loop that yields can be ended.
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

/** The function of a task. Its result is the result of the handle. */
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
 * Queues `fn` as a task on this shard. The handle rejects with FEATHERSTAR_FULL if there are too many tasks
 * (`limits.taskSlots`). If the task fails and its handle is not awaited, the failure is reported, as the runtime's
 * option `unhandled` says. Throws FEATHERSTAR_OPTION, or FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * const sum = await spawn(async ({ yieldNow }) => {
 *   let total = 0;
 *   for (const part of parts) {
 *     total += add(part);
 *     await yieldNow();
 *   }
 *   return total;
 * });
 */
export function spawn<T>(fn: TaskFunction<T>, options: SpawnOptions = {}): JoinHandle<T> {
  const shard = currentShard();
  const checked = taskOptions(shard, fn, options);
  return new JoinHandle<T>(checked.name, checked, beginTask(shard, checked, fn));
}

/**
 * Lets other tasks and I/O run first, then resolves. It goes on in the group of the task that runs now. After a wait
 * for I/O or time that is group 0: only the task's own `context.yieldNow()` keeps the group. Rejects with the signal's
 * reason.
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

/**
 * Yields only if the tasks of this turn have used up their time (`taskQuotaUs`): returns the promise of `yieldNow()`
 * then, and undefined before.
 *
 * @example
 * for (const row of rows) {
 *   index(row);
 *   await maybeYield();
 * }
 */
export function maybeYield(options: AbortOptions = {}): Promise<void> | undefined {
  return currentShard().steps.isQuotaUsed || options.signal?.aborted ? yieldNow(options) : undefined;
}
