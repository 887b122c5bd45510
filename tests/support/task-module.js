// The shard module of tests/api/tasks.test.js: tasks and timers that other shards are asked for.

import { existsSync } from 'node:fs';
import { interval, runtime, schedulingGroup, sleep, spawn, spawnPeriodic, yieldNow } from 'featherstar';
import { holdings } from './hosts.js';
import { until } from './http.js';

export const self = () => runtime().self;
export const add = (...numbers) => numbers.reduce((sum, n) => sum + n, 0);
export const fails = () => {
  throw new TypeError('on the other shard');
};

/** Some of everything; the shard holds nothing of it afterwards. */
export async function everything() {
  const base = holdings();
  // Not its calls: the other shards' are open as long as they are, in whatever order they end.
  const isBack = () => holdings().timers === base.timers && holdings().tasks === base.tasks;
  const group = schedulingGroup('everything', { shares: 10 });
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      spawn(
        async ({ yieldNow: own }) => {
          await sleep(i % 5);
          await own();
          await yieldNow();
          return i;
        },
        { group },
      ),
    ),
  );
  const ticks = [];
  for await (const tick of interval(1)) {
    ticks.push(tick);
    if (tick === 3) break;
  }
  let calls = 0;
  const periodic = spawnPeriodic(1, () => void calls++);
  while (calls < 3) await sleep(1);
  periodic.abort('enough');
  const reason = await periodic.then(undefined, (error) => error);
  await periodic.ended;
  await until(isBack, 'timers and tasks as before');
  return { self: runtime().self, sum: results.reduce((sum, i) => sum + i, 0), ticks, reason };
}

/** Keeps its shard to itself until there is a file `path`, in a task of that name. */
export function hold(name, path) {
  const task = spawn(
    () => {
      while (!existsSync(path));
      return 'let go';
    },
    { name },
  );
  return Promise.resolve(task);
}
