// tarn, the pool of knex. Clients acquire one connection or two, and are cancelled at any time: then they give up their
// request and release what they hold. Connections fail, and take long.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { Resources } from './resources.js';

const { Pool } = await hunted('tarn');
const MAX = 2;
const ACQUIRE_MS = 2000;
const CHECK_MS = 10;
const SOON_MS = 100; // longer than tarn waits after a failure

/** One job of a client: it is served, or cancelled by its signal. */
class Job {
  #requests = new Set();
  #held = new Set();

  constructor(pool, owned) {
    this.pool = pool;
    this.owned = owned;
  }

  async connection() {
    const request = this.pool.acquire();
    this.#requests.add(request);
    let roomMs = 0; // how long the request has waited while the pool had room
    const late = setInterval(() => {
      roomMs = this.pool.numUsed() + this.pool.numPendingCreates() < MAX ? roomMs + CHECK_MS : 0;
      always(roomMs < SOON_MS, 'a request is served if the pool has room');
    }, CHECK_MS);
    try {
      const connection = await request.promise;
      always(!this.owned.has(connection), 'a connection has one owner');
      this.owned.add(connection);
      this.#held.add(connection);
      sometimes(this.owned.size === MAX, 'all are in use');
    } finally {
      this.#requests.delete(request);
      clearInterval(late);
    }
  }

  end() {
    for (const request of this.#requests) request.abort();
    for (const connection of this.#held) {
      this.owned.delete(connection);
      this.pool.release(connection);
    }
    this.#held.clear();
  }
}

async function clients(pool, owned) {
  const client = async (name) => {
    for (let round = 0; round < 5; round++) {
      await sleep(pick([5, 20, 1000]));
      const job = new Job(pool, owned);
      const cancel = Math.random() < 0.4 ? setTimeout(() => job.end(), 10 + below(60)) : undefined;
      try {
        for (let i = below(2); i >= 0; i--) await job.connection();
        await sleep(pick([5, 20, 1500]));
      } catch (error) {
        note(`${name}: ${error.message}`);
      }
      clearTimeout(cancel);
      job.end();
    }
  };
  await Promise.all(['a', 'b', 'c', 'd'].slice(below(3)).map(client));
}

export default (seed) =>
  simulate({ seed }, async (world) => {
    const { open, create, destroy } = new Resources();
    const pool = new Pool({
      min: 0,
      max: MAX,
      acquireTimeoutMillis: ACQUIRE_MS,
      createRetryIntervalMillis: 20,
      idleTimeoutMillis: 50,
      reapIntervalMillis: 20,
      create,
      destroy,
    });
    await world.within(60_000, 'all clients', clients(pool, new Set()));
    await world.within(10_000, 'pool.destroy()', pool.destroy());
    await sleep(100);
    always(open.size === 0, 'destroy() closes each connection', [...open]);
  });
