// p-debounce: calls at random times, a slow function, and a signal that aborts.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: pDebounce } = await hunted('p-debounce');
const WAIT_MS = 20;

export default (seed) =>
  simulate({ seed }, async (world) => {
    const controller = new AbortController();
    let count = 0;
    let abortedMs = Number.POSITIVE_INFINITY;
    const before = Math.random() < 0.3;
    const run = async (argument) => {
      always(performance.now() <= abortedMs, 'the function does not start after the abort');
      const ms = pick([0, 10, 50]);
      await sleep(ms);
      note(`ran for ${argument}`);
      return `result ${argument}`;
    };
    const debounced = pDebounce(run, WAIT_MS, { signal: controller.signal, before });
    const call = async () => {
      await sleep(below(120));
      const result = await debounced(count++).catch((error) => error.name);
      always(result !== undefined, 'each call gets a result of the function', { before });
      sometimes(result === 'AbortError', 'a call is aborted');
    };
    const abort = async () => {
      await sleep(below(400));
      abortedMs = performance.now();
      controller.abort();
      note('abort');
    };
    await world.within(10_000, 'all', Promise.all([call(), call(), call(), call(), abort()]));
  });
