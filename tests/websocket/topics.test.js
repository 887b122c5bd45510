// Topics: what is published on one shard reaches the subscribers of every shard, once, in order, and no others.
//
// Next: server.test.js.

import { Runtime } from 'featherstar';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Topics } from '../../dist/host/websocket/topics.js';
import { hosts } from '../support/hosts.js';
import { ask, get, until } from '../support/http.js';
import { WebSocketClient } from './client.js';

const SHARDS = 2;
const MODULE = new URL('../support/topics-module.js', import.meta.url);

/** Two clients on each shard, by shard. */
async function clientsOfEach(port) {
  const clients = Array.from({ length: SHARDS }, () => []);
  for (let tries = 0; clients.some((all) => all.length < 2); tries++) {
    assert.ok(tries < 200, 'the kernel spreads connections');
    const client = await WebSocketClient.open(port);
    const [, hello] = await client.nextText();
    const all = clients[Number(hello.at(-1))];
    if (all.length < 2) all.push(client);
    else client.destroy();
  }
  return clients;
}

async function say(client, text, answer) {
  await client.text(text);
  if (answer !== undefined) assert.equal(await client.nextText(), [1, answer]);
}

const unit = suite('topics');

unit('empty messages on their way to a shard that is stuck are limited, too', () => {
  let calls = 0;
  const stuck = {
    peers: { isDown: () => false },
    callInternal: () => {
      calls++;
      return new Promise(() => {});
    },
  };
  const shard = { index: 0, header: { shardCount: 2 }, calls: stuck };
  const settings = { maxBacklogBytes: 100_000, deflate: undefined };
  const topics = new Topics({ shard, settings, report: (error) => assert.unreachable(error.message) }, 'http://x/');
  for (let i = 0; i < 10_000; i++) topics.publish('news', '');
  assert.ok(calls > 100 && calls < 1000, `${calls} calls`);
});

unit.run();

for (const host of hosts()) {
  const test = suite(`topics (${host})`);

  test('subscribers of every shard get each message once, in order', async () => {
    const server = await serve({ module: MODULE, shards: SHARDS, hostname: '127.0.0.1', runtime: { host } });
    if (!server.runtime.sharesPorts) {
      await server.close();
      console.log(`# skipped: ${host}: shards cannot share a port`);
      return;
    }
    const clients = (await clientsOfEach(server.port)).flat();
    const [publisher, ...others] = clients;
    const silent = others.pop();
    for (const client of [publisher, ...others]) await say(client, 'subscribe news', 'true');
    for (let i = 0; i < 100; i++) await publisher.text(`publish news ${i}`);
    for (let i = 0; i < 100; i++) {
      assert.equal(await publisher.nextText(), [1, 'to 1 here'], 'the other one of its shard');
      for (const client of others) assert.equal(await client.nextText(), [1, `${i}`]);
    }
    for (const client of others) await say(client, 'subscribe bytes', 'true');
    const large = Buffer.alloc(100_000, 'large');
    await publisher.send({ opcode: 2, payload: large });
    for (const client of others) {
      const { opcode, payload } = await client.next();
      assert.equal([opcode, payload.equals(large)], [2, true]);
    }
    await say(others[1], 'unsubscribe news', 'false');
    const here = Number((await ask(server.port, get('/publish?topic=news'))).text);
    assert.ok(here === 0 || here === 2, `${here}`);
    assert.equal(await publisher.nextText(), [1, 'from outside']);
    assert.equal(await others[0].nextText(), [1, 'from outside']);
    await say(silent, 'publish none x', 'to 0 here');
    await say(others[1], 'publish none x', 'to 0 here');
    for (const client of clients) client.destroy();
    await server.close();
  });

  test('who closes leaves its topics, and a shard alone publishes to its own', async () => {
    const runtime = await Runtime.start({ shards: 1, host });
    const closes = [];
    const server = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      websocket: {
        open: (ws) => ws.subscribe('all'),
        message: (ws) => ws.close(),
        close: (ws) => closes.push(ws.isSubscribed('all')),
      },
    });
    const [first, second] = [await WebSocketClient.open(server.port), await WebSocketClient.open(server.port)];
    assert.is(server.subscriberCount('all'), 2);
    assert.is(server.publish('all', 'grüße'), 2);
    for (const client of [first, second]) assert.equal(await client.nextText(), [1, 'grüße']);
    await first.text('close me');
    await first.nextClose();
    assert.is(server.publish('all', 'x'), 1);
    second.raw.reset();
    await until(() => closes.length === 1, 'the reset is seen');
    assert.equal([server.subscriberCount('all'), server.publish('all', 'x')], [0, 0]);
    assert.equal(closes, [false]);
    for (const wrong of [undefined, 1]) assert.throws(() => server.publish(wrong, 'x'), /topic must be/);
    assert.throws(() => server.publish('all', 1), /data must be/);
    first.destroy();
    await server.close();
    await runtime.close();
  });

  test.run();
}
