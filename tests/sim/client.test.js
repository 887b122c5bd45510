// core: debug
// world.connect(): clients of the simulated network that are no shards; and faults that end while a world runs.

import { runtime, sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 20;
const PORT = 7000;
const BYTES = 200_000;

const each = async (options, program) => {
  for (let seed = 1; seed <= SEEDS; seed++) await simulate({ seed, shards: 2, module, ...options }, program);
};

/** How the server's end of a connection ends, after `leave` of its client. */
async function endOf(world, leave) {
  const listener = await listen();
  const client = await world.connect({ port: listener.port });
  const socket = await listener.accept();
  await client.write('x');
  assert.is((await socket.read()).length, 1);
  await leave(client, socket);
  const end = await socket.read().catch((error) => error.errnoName);
  socket.close();
  listener.close();
  return { end, client };
}

test('a client writes and reads, in parts, and takes nothing of the shards', async () => {
  await each({ faults: { partial: 0.3 } }, async (world) => {
    await runtime().on(1).echo(PORT);
    const client = await world.connect({ port: PORT });
    const writing = client.write('x'.repeat(BYTES)).then(() => client.end());
    let read = 0;
    for (let bytes = await client.read(); bytes !== null; bytes = await client.read()) read += bytes.length;
    await writing;
    assert.is(read, BYTES);
    client.close();
    assert.is(runtime().stats(0).openOperations, 0);
  });
});

test('FIN, and RST before and after it, are told as on Linux', async () => {
  await each({}, async (world) => {
    assert.is((await endOf(world, (client) => client.close())).end, null);
    assert.is((await endOf(world, (client) => client.reset())).end, 'ECONNRESET');
    const unread = async (client, socket) => {
      await socket.write('unread');
      await sleep(5);
      client.close();
    };
    assert.is((await endOf(world, unread)).end, 'ECONNRESET');
    const { end, client } = await endOf(world, (its) => its.end());
    assert.is(end, null);
    assert.is(await client.read(), null);
    assert.not(client.isClosed);
    client.close();
    assert.ok(client.isClosed);
  });
});

test('a client that is closed has no open operations; one that nobody listens to is refused', async () => {
  await each({ hosts: { web: [0, 1], outside: [] } }, async (world) => {
    assert.is(
      (await rejection(world.connect({ port: 9, hostname: 'web', from: 'outside' }))).errnoName,
      'ECONNREFUSED',
    );
    const listener = await listen({ port: PORT });
    const client = await world.connect({ port: PORT, hostname: 'web', from: 'outside' });
    const reading = client.read();
    client.close();
    assert.is((await rejection(reading)).errnoName, 'ECANCELED');
    world.partition('web', 'outside');
    const cut = world.connect({ port: PORT, hostname: 'web', from: 'outside', timeoutMs: 200 });
    assert.is((await rejection(cut)).errnoName, 'ETIMEDOUT');
    listener.close();
  });
});

test('setFaults() ends faults, and begins them', async () => {
  await each({ faults: { refuse: 1 } }, async (world) => {
    await runtime().on(1).echo(PORT);
    await rejection(world.connect({ port: PORT }));
    world.setFaults({});
    (await world.connect({ port: PORT })).close();
    world.setFaults({ refuse: 1 });
    await rejection(world.connect({ port: PORT }));
  });
});

test.run();
