// async-cache-dedupe: readers of one key, and a writer that clears the key after each write.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted } from './hunted.js';

const { createCache } = await hunted('async-cache-dedupe');

export default (seed) =>
  simulate({ seed }, async (world) => {
    let stored = 0;
    const cache = createCache({ ttl: 60, storage: { type: 'memory' } });
    cache.define('load', async () => {
      const value = stored;
      await sleep(below(20));
      note(`loaded ${value}`);
      return value;
    });
    const reader = async () => {
      for (let round = 0; round < 4; round++) {
        await sleep(below(30));
        sometimes((await cache.load('key')) > 0, 'a written value is read');
      }
    };
    const writer = async () => {
      for (let round = 0; round < 3; round++) {
        await sleep(below(40));
        stored++;
        await cache.clear('load', 'key');
        note(`cleared, the value is ${stored}`);
      }
    };
    await world.within(10_000, 'all', Promise.all([reader(), reader(), writer()]));
    await sleep(100); // all loads are done
    const value = await cache.load('key');
    always(value === stored, 'after clear() the cache has no value from before', `${value}, not ${stored}`);
  });
