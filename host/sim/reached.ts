// How often each limit was reached in a world: a run in which one never was says nothing about what happens then.
//
// The core's own counters tell of credit and rings. The simulator wraps some functions of each shard's core, and so
// sees when one returns that a table is full.
//
// Next: simulate.ts.

import { Code } from '../base/errors.js';
import type { Core } from '../core/core-module.js';
import type { Limits } from '../core/layout.js';
import { readStats } from '../runtime/stats.js';
import type { Shard } from '../shard/shard.js';

/** Functions of the core that say when a table is full. */
const TABLES = {
  submit: 'opSlots',
  armTimer: 'timerSlots',
  spawnHost: 'taskSlots',
} as const satisfies Partial<Record<keyof Core, keyof Limits>>;

type Counted = (...args: number[]) => number;

export class Reached {
  readonly #counts = new Map<keyof Limits, number>();

  add(limit: keyof Limits, times = 1): void {
    if (times !== 0) this.#counts.set(limit, (this.#counts.get(limit) ?? 0) + times);
  }

  /** Looks at what the core of a shard returns. */
  watch(core: Core): void {
    const functions = core as unknown as Record<string, Counted>;
    const wrap = (name: keyof Core, limit: keyof Limits, isFull: (result: number) => boolean) => {
      const run = functions[name] as Counted;
      functions[name] = (...args) => {
        const result = run(...args);
        if (isFull(result)) this.add(limit);
        return result;
      };
    };
    for (const [name, limit] of Object.entries(TABLES))
      wrap(name as keyof Core, limit, (result) => result === Code.FULL);
    wrap('payloadTake', 'arenaBytes', (result) => result === 0);
  }

  /** This shard counts no more: it has died, or the world ends. */
  collect(shard: Shard): void {
    const { creditRefused, ringFull } = readStats(shard, shard.index);
    this.add('creditCount', creditRefused);
    this.add('ringSlots', ringFull);
  }

  get counts(): Partial<Record<keyof Limits, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
