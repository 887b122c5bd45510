// lru-cache: fetch() with aborts and failures, while values are set, deleted and evicted, and expire.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { LRUCache } = await hunted('lru-cache');
const KEYS = ['a', 'b', 'c'];

export default (seed) =>
  simulate({ seed }, async (world) => {
    const stored = { a: 0, b: 0, c: 0 };
    let failing = 0.1;
    const cache = new LRUCache({
      max: 2,
      ttl: pick([undefined, 30]),
      allowStale: false,
      fetchMethod: async (key, _stale, { signal }) => {
        const value = stored[key];
        await sleep(below(30), undefined, { signal: pick([signal, undefined]) });
        if (Math.random() < failing) throw new Error('refused');
        return { key, value };
      },
    });
    const reader = async (name) => {
      for (let round = 0; round < 6; round++) {
        await sleep(below(30));
        const key = pick(KEYS);
        const controller = new AbortController();
        const isAborted = Math.random() < 0.2;
        if (isAborted) setTimeout(() => controller.abort(new Error('gone')), below(20));
        const job = cache.fetch(key, { signal: controller.signal });
        const found = await world.within(1000, `${name}'s fetch()`, job).catch((error) => note(error.message));
        always(found === undefined || found.key === key, 'fetch() returns the value of its key');
      }
    };
    const writer = async () => {
      for (let round = 0; round < 8; round++) {
        await sleep(below(30));
        const key = pick(KEYS);
        const value = ++stored[key];
        if (Math.random() < 0.5) cache.set(key, { key, value });
        else cache.delete(key);
        note(`${key} is ${value}`);
      }
    };
    await Promise.all([reader('r'), reader('s'), reader('t'), writer()]);
    await sleep(100);
    failing = 0;
    for (const key of KEYS) {
      const found = cache.get(key);
      sometimes(found !== undefined, 'a value is cached');
      always((found?.value ?? stored[key]) === stored[key], 'no value is older than set() or delete()', key);
    }
    for (const key of KEYS) {
      const found = await world.within(1000, 'fetch()', cache.fetch(key));
      always(found.value === stored[key], 'fetch() returns what is stored');
    }
  });
