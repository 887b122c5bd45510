// p-queue: priorities, time limits, aborts, pauses, clear(), and rate limits, fixed and strict.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: PQueue } = await hunted('p-queue');
const INTERVAL_MS = 50;

export default (seed) =>
  simulate({ seed }, async (world) => {
    const concurrency = 1 + below(3);
    const intervalCap = pick([undefined, 1, 2]);
    const strict = intervalCap !== undefined && Math.random() < 0.5;
    const limits = intervalCap === undefined ? {} : { intervalCap, interval: INTERVAL_MS, strict };
    const queue = new PQueue({ concurrency, ...limits, timeout: pick([undefined, 30]) });
    const starts = [];
    let running = 0;
    let cleared = 0;
    const job = async (name) => {
      await sleep(pick([0, 1, 20, 100, 200]));
      const controller = new AbortController();
      if (Math.random() < 0.2) setTimeout(() => controller.abort(), below(60));
      const run = async ({ signal }) => {
        running++;
        always(running <= concurrency || queue.timeout !== undefined, 'no more run than may', running);
        starts.push(performance.now());
        await sleep(pick([0, 5, 20, 60]), undefined, { signal }).finally(() => running--);
        if (Math.random() < 0.1) throw new Error('failed');
        return name;
      };
      const options = { signal: controller.signal, priority: below(2) };
      const before = cleared;
      const added = queue.add(run, options).then(
        (value) => always(value === name, 'each job gets its own result'),
        (error) => note(`${name}: ${error.message}`),
      );
      let isDone = false;
      void added.then(() => {
        isDone = true;
      });
      await sleep(5000);
      always(isDone || cleared > before, 'each job settles', `${name}, ${queue.size} wait, ${queue.pending} run`);
    };
    const troubles = async () => {
      for (let round = below(3); round > 0; round--) {
        await sleep(below(100));
        const kind = pick(['pause', 'clear']);
        note(kind);
        if (kind === 'pause') {
          queue.pause();
          await sleep(below(100));
          queue.start();
        } else {
          cleared++;
          queue.clear();
        }
      }
    };
    await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(job).concat(troubles()));
    await world.within(10_000, 'onIdle()', queue.onIdle());
    if (strict) {
      for (const [i, ms] of starts.entries()) {
        const isFew = starts[i + intervalCap] === undefined || starts[i + intervalCap] - ms >= INTERVAL_MS - 1;
        always(isFew, 'no more start in an interval than may', starts.join());
      }
    }
    sometimes(strict && starts.length > 4, 'a strict queue');
  });
