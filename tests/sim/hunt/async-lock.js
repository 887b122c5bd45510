// async-lock: jobs of different lengths behind one key. Some take longer than maxExecutionTime.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: AsyncLock } = await hunted('async-lock');
const EXECUTION_MS = 30;
const JOBS = ['a', 'b', 'c', 'd'];

export default (seed) =>
  simulate({ seed }, async (world) => {
    const lock = new AsyncLock({ maxExecutionTime: EXECUTION_MS, timeout: pick([0, 50]) });
    const running = new Set(); // jobs that still have time
    const job = async (name) => {
      await sleep(below(20));
      const run = async () => {
        always(running.size === 0, 'a job that is within its time has the lock for itself', `${name}, ${[...running]}`);
        running.add(name);
        note(`${name} has the lock`);
        const ms = pick([5, 15, 45]);
        sometimes(ms > EXECUTION_MS, 'a job takes too long');
        const late = setTimeout(() => running.delete(name), EXECUTION_MS - 1);
        await sleep(ms);
        clearTimeout(late);
        running.delete(name);
        note(`${name} is done`);
      };
      await lock.acquire('key', run).catch((error) => note(`${name}: ${error.message}`));
    };
    await world.within(10_000, 'all jobs', Promise.all(JOBS.map(job)));
    await sleep(1000);
    always(!lock.isBusy(), 'the lock is free in the end');
  });
