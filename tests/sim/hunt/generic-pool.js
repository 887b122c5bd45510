// generic-pool: clients acquire with priorities and time limits; validation and connections fail; the pool drains.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { Resources } from './resources.js';

const { default: genericPool } = await hunted('generic-pool');
const MAX = 2;
const NAMES = ['a', 'b', 'c', 'd'];

async function validate() {
  await sleep(below(3));
  return Math.random() < 0.9;
}

export default (seed) =>
  simulate({ seed }, async (world) => {
    const { open, create, destroy } = new Resources();
    const held = new Set();
    const pool = genericPool.createPool(
      { create, destroy, validate },
      {
        max: MAX,
        min: 0,
        acquireTimeoutMillis: pick([40, 2000]),
        testOnBorrow: Math.random() < 0.5,
        priorityRange: 2,
        evictionRunIntervalMillis: 20,
        idleTimeoutMillis: 50,
      },
    );
    const client = async (name) => {
      for (let round = 0; round < 4; round++) {
        await sleep(pick([1, 10, 50]));
        let roomMs = 0;
        const check = setInterval(() => {
          roomMs = pool.available > 0 || pool.size < MAX ? roomMs + 10 : 0;
          always(
            roomMs < 150,
            'a request is served if the pool has room',
            `${pool.available} free, ${pool.size} in all`,
          );
        }, 10);
        const resource = await pool.acquire(below(2)).catch((error) => note(`${name}: ${error.message}`));
        clearInterval(check);
        if (resource === undefined) continue;
        always(!held.has(resource), 'a resource has one owner');
        held.add(resource);
        sometimes(held.size === MAX, 'all are in use');
        await sleep(pick([1, 20, 60]));
        held.delete(resource);
        await (Math.random() < 0.8 ? pool.release(resource) : pool.destroy(resource));
      }
    };
    const clients = Promise.all(NAMES.map(client));
    await sleep(below(400));
    await world.within(10_000, 'drain()', pool.drain());
    always(held.size === 0, 'drain() waits for all resources', held.size);
    await pool.clear();
    await world.within(10_000, 'the clients', clients);
    await sleep(200);
    always(open.size === 0, 'drain() and clear() leave no resource', open.size);
  });
