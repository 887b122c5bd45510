// A task that runs a function every period.

import { currentShard } from '../shard/shard.js';
import { Interval, type IntervalOptions } from './interval.js';
import { JoinHandle } from './join-handle.js';
import { beginTask, type SpawnOptions, type TaskFunction, taskOptions } from './task.js';

/** Options of `spawnPeriodic()`. */
export interface PeriodicOptions extends SpawnOptions, IntervalOptions {}

/** The handle of a periodic task, which never resolves. It rejects if the function fails or the task is aborted. */
export class PeriodicHandle extends JoinHandle<never> {
  readonly #interval: Interval;

  /** @internal */
  constructor(interval: Interval, ...rest: ConstructorParameters<typeof JoinHandle<never>>) {
    super(...rest);
    this.#interval = interval;
  }

  /** How often the function was called, or is about to be. */
  get ticks(): number {
    return this.#interval.ticks;
  }

  /** How many calls were a whole period late or more: made late ('burst'), or left out ('delay', 'skip'). */
  get missedTicks(): number {
    return this.#interval.missedTicks;
  }
}

/**
 * Calls `fn` every `periodMs` milliseconds (0.001 to 100 days), the first time after one period. The calls do not
 * overlap. The task ends if a call fails, or the handle is aborted. Throws FEATHERSTAR_OPTION, or FEATHERSTAR_NO_SHARD
 * outside a runtime.
 *
 * @example
 * const sweep = spawnPeriodic(60_000, () => cache.sweep(), { name: 'sweep', missed: 'skip' });
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
