// redis, also called node-redis: commands and transactions, while connections are cut and the network fails.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { RedisServer } from './redis-server.js';
import { MACHINES, troubles } from './troubles.js';

const { createClient } = await hunted('redis');

async function run(client, text) {
  const kind = pick(['echo', 'echo', 'incr', 'multi']);
  if (kind === 'echo') {
    const reply = await client.sendCommand(['ECHO', text]);
    always(String(reply) === text, 'a reply belongs to its command', `${reply}, not ${text}`);
  }
  if (kind === 'incr') await client.incr(text);
  if (kind === 'multi') {
    const replies = await client
      .multi()
      .addCommand(['ECHO', `${text}a`])
      .addCommand(['ECHO', `${text}b`])
      .exec();
    always(replies.map(String).join() === `${text}a,${text}b`, 'replies belong to their transaction', replies);
  }
}

export default (seed) =>
  simulate({ seed, ...MACHINES, faults: { partial: 0.05, reset: 0.003 } }, async (world) => {
    const server = new RedisServer(pick([1, 20]));
    await world.on(1, () => server.start());
    const client = createClient({
      RESP: pick([2, 3]),
      socket: { host: 'db', port: 6379, reconnectStrategy: () => 20, connectTimeout: 500, socketTimeout: 1000 },
      disableClientInfo: true,
    });
    client.on('error', (error) => note(`error: ${error.message}`));
    for (const event of ['connect', 'ready', 'reconnecting', 'end']) client.on(event, () => note(event));
    await client.connect();
    const work = async (name) => {
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const text = `${name}${round}`;
        const job = run(client, text).catch((error) => note(`${text}: ${error.message}`));
        await world.within(30_000, `command ${text}`, job);
      }
    };
    await Promise.all([troubles(world, server), work('a'), work('b'), work('c')]);
    for (const [key, count] of server.executed) always(count === 1, 'a command runs once', `${key}: ${count}`);
    sometimes(server.executed.size > 0, 'a count');
    const last = run(client, 'last').catch((error) => note(`last: ${error.message}`));
    await sleep(pick([0, 1]));
    if (Math.random() < 0.5) client.destroy();
    else await world.within(10_000, 'close()', client.close());
    await world.within(10_000, 'a command before the end', last);
    await sleep(3000);
    always(!client.isOpen, 'a closed client is not open');
    await world.on(1, () => server.stop());
  });
