// core: debug
// Streams of the simulated network where there is no kernel to compare with: cuts, what is lost at one, time.

import { sleep, spawn } from 'featherstar';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { outcome } from './kernel.js';
import { overWire, twoHosts } from './two-hosts.js';

const SEEDS = 30;
const MINUTE_MS = 60_000;

/** The values of a program over a connection from web to db, of many seeds: each once. */
async function outcomesOf(program) {
  const values = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) values.add((await overWire({ seed }, program)).value);
  return [...values].sort();
}

test('what is held at a cut stays before what was sent behind it', async () => {
  const texts = await outcomesOf(async (world, client, server) => {
    const sent = Array.from({ length: 40 }, (_, i) => `${i};`);
    const writing = (async () => {
      for (const text of sent) {
        await client.write(text);
        await sleep(Math.random() / 5);
      }
      await client.end();
    })();
    for (let i = 0; i < 5; i++) {
      await sleep(Math.random());
      world.partition('web', 'db');
      await sleep(Math.random());
      world.heal('web', 'db');
    }
    await writing;
    return world.on(1, async () => {
      let text = '';
      for await (const bytes of server) text += Buffer.from(bytes);
      return text === sent.join('') ? 'in order' : text;
    });
  });
  assert.equal(texts, ['in order']);
});

test('a reset is lost at a cut: who only reads waits for ever, who writes is told when it is healed', async () => {
  const outcomes = await outcomesOf(async (world, client, server) => {
    await client.write('unread');
    await sleep(5);
    world.partition('web', 'db');
    await world.on(1, () => server.close());
    const reading = client.read();
    const before = await outcome(reading, MINUTE_MS);
    world.heal('web', 'db');
    const after = await outcome(reading, MINUTE_MS);
    await client.write('anybody there?');
    return `${before}, ${after}, ${await outcome(reading)}`;
  });
  assert.equal(outcomes, ['waits, waits, ECONNRESET']);
});

test('a cut that lasts: what nobody confirms is given up after a quarter of an hour; nothing comes late', async () => {
  const outcomes = await outcomesOf(async (world, client, server) => {
    world.partition('web', 'db');
    await client.write('held');
    const start = world.elapsedMs;
    const result = await outcome(client.read(), 60 * MINUTE_MS);
    const minutes = (world.elapsedMs - start) / MINUTE_MS;
    world.heal('web', 'db');
    const late = await world.on(1, () => outcome(server.read(), MINUTE_MS));
    return `${result}, ${minutes > 15 && minutes < 17}, ${late}`;
  });
  assert.equal(outcomes, ['ETIMEDOUT, true, waits']);
});

test('a cut that is healed in time costs nothing but that', async () => {
  const outcomes = await outcomesOf(async (world, client, server) => {
    for (let i = 0; i < 3; i++) {
      world.partition('web', 'db');
      await client.write('x');
      await sleep(14 * MINUTE_MS);
      world.heal('web', 'db');
      await sleep(5);
    }
    await client.end();
    return world.on(1, async () => {
      let bytes = 0;
      for await (const part of server) bytes += part.length;
      return bytes;
    });
  });
  assert.equal(outcomes, [3]);
});

test('a connect at a cut gives up after two minutes; at one that is healed it is late', async () => {
  const seen = new Set();
  for (let seed = 1; seed <= 2 * SEEDS; seed++) {
    const { value } = await simulate({ seed, ...twoHosts }, async (world) => {
      await world.on(1, async () => {
        const listener = await listen({ port: 80, reusePort: false });
        spawn(async () => {
          for await (const socket of listener) spawn(async () => socket.write((await socket.read()) ?? 'nothing'));
        });
      });
      const connecting = connect({ port: 80, hostname: 'db' });
      await sleep(Math.random() / 2);
      world.partition('web', 'db');
      const start = world.elapsedMs;
      const isHealed = Math.random() < 0.5;
      if (isHealed) setTimeout(() => world.heal('web', 'db'), 5000);
      const socket = await connecting.catch((error) => error.errnoName);
      const seconds = Math.round((world.elapsedMs - start) / 1000);
      if (typeof socket === 'string') return `${socket} after ${seconds} s`;
      await sleep(10_000);
      world.heal('web', 'db');
      await socket.write('hello');
      return `${seconds} s, ${await outcome(socket.read())}`;
    });
    seen.add(value);
  }
  assert.equal([...seen].sort(), ['0 s, 5 bytes', '7 s, 5 bytes', 'ETIMEDOUT after 127 s']);
});

/** Listens on shard 1, which has no free slot and takes nobody any more; what shard 2 finds there. */
async function fullBacklog(where) {
  const values = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options = { seed, shards: 3, limits: { connectionSlots: 24 } };
    const { value } = await simulate(options, async (world) => {
      const listener = await world.on(1, () => listen({ ...where, backlog: 2, reusePort: false }));
      for (let i = 0; i < 8; i++) await connect(where);
      const taken = await world.on(1, () => Promise.all(Array.from({ length: 8 }, () => listener.accept())));
      const tries = await world.on(2, async () => {
        const dropped = await outcome((await connect(where)).read()); // there was no slot for it
        for (let i = 0; i < 3; i++) await connect(where);
        await sleep(5);
        const late = outcome(connect(where), 5 * MINUTE_MS);
        return { dropped, late };
      });
      await sleep(2000);
      const start = world.elapsedMs;
      const accepted = world.on(1, () => {
        for (const socket of taken) socket.close();
        return Promise.all(Array.from({ length: 4 }, () => outcome(listener.accept(), 5 * MINUTE_MS)));
      });
      const late = await tries.late;
      return `${tries.dropped}, ${late} after ${Math.round((world.elapsedMs - start) / 1000)} s, ${await accepted}`;
    });
    values.add(value);
  }
  return [...values].sort();
}

test('a machine hears at its own addresses, and nobody else at its loopback one', async () => {
  const { value } = await simulate({ seed: 1, ...twoHosts }, async (world) => {
    const texts = await world.on(1, async () => {
      await listen({ port: 80, hostname: '127.0.0.1', reusePort: false });
      await listen({ port: 81, hostname: '10.0.0.2', reusePort: false });
      const here = [await outcome(connect({ port: 80 })), await outcome(connect({ port: 81, hostname: 'db' }))];
      return [...here, await outcome(listen({ port: 82, hostname: 'web', reusePort: false }))];
    });
    texts.push(
      await outcome(connect({ port: 80, hostname: 'db' })),
      await outcome(connect({ port: 81, hostname: 'db' })),
    );
    const loopback = await UdpSocket.bind({ hostname: '127.0.0.1' });
    texts.push(await outcome(loopback.send('x', { hostname: 'db', port: 80 })));
    texts.push(await outcome(loopback.send('x', { hostname: 'web', port: 80 })));
    return texts.join(', ');
  });
  assert.equal(value, 'open, open, EADDRNOTAVAIL, ECONNREFUSED, open, EINVAL, ok');
});

test('a full backlog: one more than it says may wait, the next one asks again; at a path it waits', async () => {
  assert.equal(await fullBacklog({ port: 80 }), ['end, open after 1 s, open,open,open,open']);
  assert.equal(await fullBacklog({ path: '/socket' }), ['end, open after 0 s, open,open,open,open']);
});

test('a path whose listener closes refuses those that wait for room', async () => {
  const { value } = await simulate({ seed: 1, shards: 3, limits: { connectionSlots: 24 } }, async (world) => {
    const where = { path: '/socket' };
    const listener = await world.on(1, () => listen({ ...where, backlog: 1 }));
    for (let i = 0; i < 8; i++) await connect(where);
    return world.on(2, async () => {
      for (let i = 0; i < 3; i++) await connect(where);
      await sleep(5);
      const late = outcome(connect(where), MINUTE_MS);
      setTimeout(() => world.kill(1), 5);
      return [listener.path, await late];
    });
  });
  assert.equal(value, ['/socket', 'ECONNREFUSED']);
});

test('a shard that dies closes what it had, for good; its port is free for its next life', async () => {
  const seen = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed, shards: 2 }, async (world) => {
      const accept = () => world.on(1, async () => (await listen({ port: 80, reusePort: false })).accept());
      const accepting = accept();
      await sleep(1);
      const [read, unread] = [await connect({ port: 80 }), connect({ port: 80 })];
      await accepting;
      const late = await unread;
      await late.write('nobody reads this');
      await sleep(5);
      const ends = [outcome(read.read()), outcome(late.read())];
      world.kill(1);
      const refused = sleep(5).then(() => outcome(connect({ port: 80 })));
      const told = [await ends[0], await ends[1], await refused];
      await world.restart(1);
      const again = accept();
      await sleep(1);
      const client = await connect({ port: 80 });
      await again;
      return [...told, await outcome(client.read())].join(', ');
    });
    seen.add(value);
  }
  assert.equal([...seen], ['end, ECONNRESET, ECONNREFUSED, waits']);
});

test.run();
