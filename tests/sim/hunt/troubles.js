// Troubles of a server and of the network between two machines, at random. In the end both are well.

import { setTimeout as sleep } from 'node:timers/promises';
import { note } from 'featherstar/testing';
import { below, pick } from './hunted.js';

/** The server is on shard 1, on the machine `db`; its clients are on `app`. It has cut(), stop() and start(). */
export async function troubles(world, server, { rounds = below(5), waitMs = 150, cutMs = [5, 200, 5000] } = {}) {
  for (let round = rounds; round > 0; round--) {
    await sleep(below(waitMs));
    const kind = pick(['cut', 'partition', 'restart']);
    note(`trouble: ${kind}`);
    if (kind === 'cut') await world.on(1, () => server.cut());
    if (kind === 'partition') {
      world.partition('app', 'db');
      await sleep(pick(cutMs));
      world.heal('app', 'db');
    }
    if (kind === 'restart') {
      await world.on(1, () => server.stop());
      await sleep(below(100));
      await world.on(1, () => server.start());
    }
  }
}

export const MACHINES = { shards: 2, hosts: { app: [0], db: [1] } };
