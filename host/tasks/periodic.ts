// A task that runs a function every period.

import { currentShard } from '../shard/shard.js';
import { Interval, type IntervalOptions } from './interval.js';
import { JoinHandle } from './join-handle.js';
import { beginTask, type SpawnOptions, type TaskFunction, taskOptions } from './task.js';

export interface PeriodicOptions extends SpawnOptions, IntervalOptions {}

/** The handle of a periodic task. It rejects when the function fails or the task is aborted; else it goes on. */
export class PeriodicHandle extends JoinHandle<never> {
  readonly #interval: Interval;

  constructor(interval: Interval, ...rest: ConstructorParameters<typeof JoinHandle<never>>) {
    super(...rest);
    this.#interval = interval;
  }

  /** Times that the function was called, or is about to be. */
  get ticks(): number {
    return this.#interval.ticks;
  }

  /** As Interval.missed. */
  get missed(): number {
    return this.#interval.missed;
  }
}

/**
 * Calls `fn` every `periodMs` milliseconds, for the first time after one, and never before the last call has ended.
 * When a call fails, or abort() is called, it ends.
 */
export function spawnPeriodic(
  periodMs: number,
  fn: TaskFunction<unknown>,
  options: PeriodicOptions = {},
): PeriodicHandle {
  const shard = currentShard();
  const checked = taskOptions(shard, fn, options);
  const interval = new Interval(periodMs, { missed: options.missed });
  const begin = beginTask<never>(shard, checked, async (context) => {
    for (;;) {
      await interval.tick({ signal: context.signal });
      await context.yieldNow(); // so that the call counts as its group's
      await fn(context);
    }
  });
  return new PeriodicHandle(interval, checked.name, checked, begin);
}
