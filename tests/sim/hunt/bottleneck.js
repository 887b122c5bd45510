// bottleneck: a limiter with priorities, failures, time limits for jobs, and stop().

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: Bottleneck } = await hunted('bottleneck');
const JOBS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

export default (seed) =>
  simulate({ seed }, async (world) => {
    const maxConcurrent = 1 + below(2);
    const minTime = pick([0, 20]);
    const isBounded = Math.random() < 0.3;
    const bounds = isBounded ? { highWater: 2, strategy: Bottleneck.strategy.LEAK } : {};
    const limiter = new Bottleneck({ maxConcurrent, minTime, ...bounds });
    limiter.on('error', (error) => note(`error: ${error.message}`));
    let running = 0;
    let lastMs = Number.NEGATIVE_INFINITY;
    const job = async (name) => {
      await sleep(below(80));
      const run = async () => {
        running++;
        always(running <= maxConcurrent, 'no more run than may', running);
        always(performance.now() - lastMs >= minTime - 2, 'jobs begin minTime apart', performance.now() - lastMs);
        lastMs = performance.now();
        await sleep(pick([1, 10, 40]));
        running--;
        if (Math.random() < 0.2) throw new Error('failed');
        return name;
      };
      const options = { priority: below(10), id: name };
      const result = await limiter.schedule(options, run).catch((error) => note(`${name}: ${error.message}`));
      always(result === undefined || result === name, 'each job gets its own result');
      sometimes(result === name, 'a job is done');
    };
    const work = Promise.all(JOBS.map(job));
    if (Math.random() < 0.3) {
      await sleep(below(100));
      await world.within(10_000, 'stop()', limiter.stop({ dropWaitingJobs: Math.random() < 0.5 }));
      always(running === 0, 'stop() waits for jobs that run', running);
    }
    await world.within(10_000, 'all jobs', work);
    const { RECEIVED, QUEUED, RUNNING, EXECUTING } = limiter.counts();
    always(RECEIVED + QUEUED + RUNNING + EXECUTING === 0, 'nothing is left', limiter.counts());
  });
