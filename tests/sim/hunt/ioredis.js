// ioredis: commands, pipelines and transactions, while connections are cut and the network fails. In the end the
// network is well again.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { RedisServer } from './redis-server.js';
import { MACHINES, troubles } from './troubles.js';

const { default: Redis } = await hunted('ioredis');

class Client {
  constructor(redis, name) {
    this.redis = redis;
    this.name = name;
  }

  async run(round) {
    const text = `${this.name}${round}`;
    const kind = pick(['echo', 'echo', 'incr', 'pipeline', 'multi']);
    const redis = this.redis;
    if (kind === 'echo') always((await redis.echo(text)) === text, 'a reply belongs to its command');
    if (kind === 'incr') await redis.incr(text);
    if (kind === 'pipeline') {
      const replies = await redis.pipeline().echo(`${text}a`).echo(`${text}b`).exec();
      for (const [i, [error, reply]] of replies.entries()) {
        always(error !== null || reply === `${text}${'ab'[i]}`, 'a reply belongs to its command in a pipeline');
      }
    }
    if (kind === 'multi') {
      const [[, first], [, second]] = await redis.multi().echo(`${text}a`).echo(`${text}b`).exec();
      always(first === `${text}a` && second === `${text}b`, 'a reply belongs to its command in a transaction');
    }
  }
}

export default (seed) =>
  simulate({ seed, ...MACHINES, faults: { partial: 0.05, reset: 0.003 } }, async (world) => {
    const server = new RedisServer(pick([1, 20]));
    await world.on(1, () => server.start());
    const resend = Math.random() < 0.9;
    const redis = new Redis({
      host: 'db',
      port: 6379,
      retryStrategy: () => 20,
      maxRetriesPerRequest: pick([null, 3]),
      autoResendUnfulfilledCommands: resend,
      connectTimeout: 500,
      socketTimeout: 1000,
      enableAutoPipelining: Math.random() < 0.3,
      protocol: pick([2, 3]),
    });
    redis.on('error', (error) => note(`error: ${error.message}`));
    for (const event of ['connect', 'ready', 'close', 'reconnecting', 'end']) redis.on(event, () => note(event));
    const client = async (name) => {
      const run = new Client(redis, name);
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const text = `${name}${round} (autoResendUnfulfilledCommands: ${resend})`;
        const job = run.run(round).catch((error) => note(`${name}${round}: ${error.message}`));
        await world.within(30_000, `command ${text}`, job);
      }
    };
    await Promise.all([
      troubles(world, server, { rounds: 1 + below(4), waitMs: 100, cutMs: [5, 200] }),
      client('a'),
      client('b'),
      client('c'),
    ]);
    for (const [key, count] of server.executed)
      always(count === 1 || resend, 'a command runs once', `${key}: ${count}`);
    sometimes(
      [...server.executed.values()].some((count) => count > 1),
      'a command is sent again',
    );
    const isQuit = Math.random() < 0.5;
    if (isQuit)
      await world.within(
        10_000,
        'quit()',
        redis.quit().catch((error) => note(`quit: ${error.message}`)),
      );
    else {
      const last = redis.echo('last').catch((error) => note(`last: ${error.message}`));
      await sleep(pick([0, 1]));
      redis.disconnect();
      await world.within(10_000, 'a command before disconnect()', last);
    }
    await sleep(3000);
    always(redis.status === 'end', 'a client that was closed ends', redis.status);
    await world.on(1, () => server.stop());
  });
