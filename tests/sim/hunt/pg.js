// pg and its pool: queries that succeed, fail and take too long, while connections are cut and the network fails.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { PostgresServer } from './postgres-server.js';
import { MACHINES, troubles } from './troubles.js';

const { default: pg } = await hunted('pg');
const MAX = 2;
const CONNECT_MS = 500;

/** Fails if a request waits although the pool has room. */
function watched(pool, name, request) {
  let roomMs = 0;
  const check = setInterval(() => {
    const hasRoom = !pool.ending && (pool.idleCount > 0 || pool.totalCount < MAX);
    roomMs = pool.waitingCount > 0 && hasRoom ? roomMs + 10 : 0;
    always(roomMs < 200, 'a request is served if the pool has room', `${name}: ${pool.totalCount} of ${MAX} clients`);
  }, 10);
  return request.finally(() => clearInterval(check));
}

async function query(pool, name) {
  const isChecked = Math.random() < 0.5;
  if (isChecked) {
    const { rows } = await watched(pool, name, pool.query(name));
    always(rows[0].answer === name, 'a reply belongs to its query', `${rows[0].answer}, not ${name}`);
    return;
  }
  const client = await watched(pool, name, pool.connect());
  const onError = (error) => note(`${name}: client error: ${error.message}`);
  client.on('error', onError);
  let failure;
  try {
    const text = Math.random() < 0.2 ? 'fail' : name;
    const { rows } = await client.query(text);
    always(rows[0].answer === text, 'a reply belongs to its query', `${rows[0].answer}, not ${text}`);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    client.off('error', onError);
    client.release(pick([undefined, failure]));
  }
}

export default (seed) =>
  simulate({ seed, ...MACHINES, faults: { partial: 0.05, reset: 0.003 } }, async (world) => {
    const server = new PostgresServer();
    await world.on(1, () => server.start());
    const pool = new pg.Pool({
      host: 'db',
      user: 'me',
      password: 'x',
      database: 'd',
      max: MAX,
      connectionTimeoutMillis: pick([undefined, CONNECT_MS]),
      query_timeout: pick([undefined, 20]),
      maxUses: pick([undefined, 2]),
      maxLifetimeSeconds: pick([undefined, 0.1]),
      idleTimeoutMillis: 50,
    });
    pool.on('error', (error) => note(`pool error: ${error.message}`));
    const client = async (name) => {
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const id = `${name}${round}`;
        const job = query(pool, id).catch((error) => note(`${id}: ${error.message}`));
        await world.within(300_000, `query ${id}`, job);
        always(pool.totalCount <= MAX, 'the pool has no more clients than it may have');
      }
    };
    await Promise.all([
      troubles(world, server, { rounds: below(4), waitMs: 200 }),
      client('a'),
      client('b'),
      client('c'),
    ]);
    sometimes(pool.totalCount === MAX, 'the pool is full');
    const last = ['x', 'y', 'z']
      .slice(Math.random() < 0.1 ? 0 : 1)
      .map((id) => query(pool, id).catch((error) => note(`${id}: ${error.message}`)));
    await sleep(below(100));
    await world.within(60_000, 'end()', pool.end());
    await world.within(60_000, 'queries before end()', Promise.all(last));
    await sleep(1000);
    always(server.sockets.size === 0, 'end() closes all connections', server.sockets.size);
    await world.on(1, () => server.stop());
  });
