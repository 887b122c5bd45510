// core: debug
// Links and disks that are slow, lossy, narrow or held. Nothing is lost that should arrive, order is kept, and the
// trace says what happened.

import { sleep } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';
import { outcome } from './kernel.js';
import { overWire, twoHosts } from './two-hosts.js';

const MINUTE_MS = 60_000;
const RESEND_MS = 200;

/** Sends messages one by one. Returns how long each took, ms. */
const times = (count, bytes) => async (world, client, server) => {
  const taken = [];
  for (let i = 0; i < count; i++) {
    const sentMs = world.elapsedMs;
    const arrival = world.on(1, async () => {
      for (let got = 0; got < bytes; ) got += (await server.read()).length;
      return world.elapsedMs;
    });
    await client.write(new Uint8Array(bytes));
    taken.push((await arrival) - sentMs);
  }
  return taken;
};

/** The last lines of the trace of a program that throws at its end. */
async function traceOf(options, program) {
  const error = await rejection(
    overWire({ ...options, traceEvents: 10_000 }, async (...given) => {
      await program(...given);
      throw new Error('the end');
    }),
  );
  assert.match(error.message, /the end/);
  return error.trace.join('\n');
}

test('what is held arrives in order when it is delivered, and nothing is lost', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await overWire({ seed }, async (world, client, server) => {
      await client.write('in flight,');
      world.hold('web', 'db');
      await client.write('held,');
      let text = '';
      const reading = world.on(1, async () => {
        while (!text.endsWith('.')) text += Buffer.from(await server.read());
      });
      await outcome(reading, 10 * MINUTE_MS);
      assert.not.match(text, /held/);
      world.deliver('web', 'db');
      await client.write('late.');
      await reading;
      return text;
    });
    assert.is(value, 'in flight,held,late.');
  }
});

test('one way is held, the other is not; a hold of half an hour ends the connection', async () => {
  const { value } = await overWire({}, async (world, client, server) => {
    world.hold('web', 'db', { oneWay: true });
    await client.write('question');
    await world.on(1, () => server.write('unasked'));
    const got = String(Buffer.from(await client.read()));
    return [got, await outcome(client.read(), 30 * MINUTE_MS)];
  });
  assert.equal(value, ['unasked', 'ETIMEDOUT']);
});

test('deliver() does not end a cut: its quarter of an hour goes on', async () => {
  const { value } = await overWire({}, async (world, client) => {
    world.partition('web', 'db');
    await client.write('lost');
    await sleep(10 * MINUTE_MS);
    world.deliver('web', 'db');
    return outcome(client.read(), 7 * MINUTE_MS);
  });
  assert.is(value, 'ETIMEDOUT');
});

test('a reset is held, too', async () => {
  const { value } = await overWire({}, async (world, client, server) => {
    await client.write('unread');
    await sleep(5);
    world.hold('web', 'db');
    await world.on(1, () => server.close());
    const reading = client.read();
    const before = await outcome(reading, MINUTE_MS);
    world.deliver('web', 'db');
    return [before, await outcome(reading, MINUTE_MS)];
  });
  assert.equal(value, ['waits', 'ECONNRESET']);
});

test('a connect is held, or gives up; a cut that comes meanwhile has to end as well', async () => {
  const { value } = await overWire({}, async (world) => {
    const listener = await world.on(1, () => listen({ port: 81, reusePort: false }));
    world.hold('db', 'web', { oneWay: true }); // the reply
    const patient = connect({ port: 81, hostname: 'db', timeoutMs: 300_000 });
    const first = await outcome(patient, MINUTE_MS);
    world.deliver('web', 'db');
    const second = await outcome(patient, MINUTE_MS);
    world.hold('web', 'db');
    const third = await outcome(connect({ port: 81, hostname: 'db', timeoutMs: 300_000 }), 3 * MINUTE_MS);
    const cut = connect({ port: 81, hostname: 'db', timeoutMs: 300_000 });
    await sleep(1000);
    world.partition('web', 'db');
    world.deliver('web', 'db');
    const fourth = await outcome(cut, 30_000);
    world.heal('web', 'db');
    const fifth = await outcome(cut, MINUTE_MS);
    await world.on(1, () => listener.close());
    return [first, second, third, fourth, fifth];
  });
  assert.equal(value, ['waits', 'open', 'ETIMEDOUT', 'waits', 'open']);
});

test('datagrams that are held all arrive, in an order of the seed', async () => {
  let overtaken = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, ...twoHosts }, async (world) => {
      const came = [];
      const server = await world.on(1, () => UdpSocket.bind({ port: 5000 }));
      const listening = world.on(1, async () => {
        for await (const { bytes } of server) came.push(Number(Buffer.from(bytes)));
      });
      const client = await UdpSocket.bind({ hostname: '0.0.0.0' });
      world.hold('web', 'db');
      for (let i = 0; i < 10; i++) await client.send(`${i}`, { hostname: 'db', port: 5000 });
      await sleep(1000);
      assert.equal(came, []);
      world.deliver('web', 'db');
      await sleep(10);
      client.close();
      await world.on(1, () => server.close());
      await listening;
      return came;
    });
    assert.equal([...value].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    if (value.join('') !== '0123456789') overtaken++;
  }
  assert.ok(overtaken > 10, `${overtaken} of 20`);
});

test('a deadlock names the messages that are held', async () => {
  const program = async (world) => {
    const receiver = await world.on(1, () => UdpSocket.bind({ port: 7000 }));
    const sender = await UdpSocket.bind({ port: 7001 });
    world.hold('web', 'db');
    await sender.send('one', { hostname: 'db', port: 7000 });
    await sender.send('two', { hostname: 'db', port: 7000 });
    await world.on(1, () => receiver.receive());
  };
  const error = await rejection(simulate({ seed: 1, shards: 2, hosts: { web: [0], db: [1] } }, program));
  assert.match(error.message, /nothing is left to happen/);
  assert.match(
    error.message,
    /^ {2}2 messages between web and db are held, until deliver\(\), heal\(\) or restart\(\)$/m,
  );
});

test('latency has a tail: each doubling of the time is as likely as the others', async () => {
  const faults = { latencyUs: 1000, slow: 0.5, slowUs: 1_024_000 };
  const { value } = await overWire({ faults }, times(2000, 1));
  const slow = value.filter((ms) => ms > 2.2); // the latency is added to it
  assert.ok(slow.length > 800 && slow.length < 1000, `${slow.length} of 2000`); // the shortest tenth is below
  assert.ok(Math.max(...slow) > 500 && Math.max(...slow) < 1027, `${Math.max(...slow)} ms at most`);
  for (let from = 4; from < 1024; from *= 2) {
    const count = slow.filter((ms) => ms >= from && ms < 2 * from).length;
    assert.ok(count > 60 && count < 145, `${count} from ${from} ms`);
  }
});

test('a packet of a stream that is lost is sent again, and later ones wait for it', async () => {
  const { value } = await overWire({ faults: { retransmit: 0.2 } }, times(400, 1));
  const again = value.filter((ms) => ms > RESEND_MS);
  assert.ok(again.length > 50 && again.length < 110, `${again.length} of 400`);
  const twice = again.filter((ms) => ms > 3 * RESEND_MS).length;
  assert.ok(twice > 5 && twice < 35, `${twice} twice`);
  for (let seed = 1; seed <= 20; seed++) {
    const order = await overWire({ seed, faults: { retransmit: 0.2 } }, async (world, client, server) => {
      const reading = world.on(1, async () => {
        let text = '';
        for await (const bytes of server) text += Buffer.from(bytes);
        return text;
      });
      for (let i = 0; i < 20; i++) {
        await client.write(`${i};`);
        await sleep(1);
      }
      await client.end();
      return reading;
    });
    assert.is(order.value, Array.from({ length: 20 }, (_, i) => `${i};`).join(''));
  }
});

test('a link has a bandwidth, which connections share', async () => {
  const alone = await overWire({ faults: { kilobyteUs: 1000 } }, times(5, 50_000));
  for (const ms of alone.value) assert.ok(ms >= 50 && ms < 60, `${ms} ms`);
  const shared = await overWire({ faults: { kilobyteUs: 1000 } }, async (world, client, server) => {
    const accepting = world.on(1, async () => (await listen({ port: 81, reusePort: false })).accept());
    await sleep(1);
    const other = await connect({ port: 81, hostname: 'db' });
    const end = await accepting;
    return (await Promise.all([times(1, 50_000)(world, client, server), times(1, 50_000)(world, other, end)])).flat();
  });
  const last = Math.max(...shared.value);
  assert.ok(last >= 100 && last < 120, `${last} ms`);
});

test('a link has faults of its own, in one direction or both, until it has none', async () => {
  const { value } = await overWire({}, async (world, client, server) => {
    const there = async () => Math.max(...(await times(20, 1)(world, client, server)));
    const back = async () => {
      const sentMs = await world.on(1, async () => {
        await server.write('x');
        return world.elapsedMs;
      });
      await client.read();
      return world.elapsedMs - sentMs;
    };
    world.setLink('web', 'db', { latencyUs: 1_000_000, oneWay: true });
    world.setFaults({});
    const slow = [await there(), await back()];
    world.setLink('web', 'db');
    return [...slow, await there()];
  });
  assert.ok(value[0] > 500 && value[1] < 5 && value[2] < 5, value.join(' '));
});

test('datagrams are lost on one link only', async () => {
  const { value } = await simulate({ seed: 1, shards: 3, hosts: { a: [0], b: [1], c: [2] } }, async (world) => {
    world.setLink('a', 'b', { lose: 1 });
    const came = { b: 0, c: 0 };
    for (const [shard, name] of [
      [1, 'b'],
      [2, 'c'],
    ]) {
      void world.on(shard, async () => {
        for await (const _ of await UdpSocket.bind({ port: 5000 })) came[name]++;
      });
    }
    await sleep(5);
    const client = await UdpSocket.bind({ hostname: '0.0.0.0' });
    for (const hostname of ['b', 'c', 'b', 'c']) await client.send('x', { hostname, port: 5000 });
    await sleep(5);
    client.close();
    return came;
  });
  assert.equal(value, { b: 0, c: 2 });
});

test('one disk is slow and rots, the other does not', async () => {
  const { value } = await simulate({ seed: 1, ...twoHosts }, async (world) => {
    const use = async () => {
      const dir = await openDirectory('/');
      const beginMs = world.elapsedMs;
      await dir.replaceFile('file', '0'.repeat(100));
      const isSound = (await dir.readText('file')) === '0'.repeat(100);
      return [isSound, world.elapsedMs - beginMs > 1000];
    };
    world.setDisk('db', { diskSlow: 1, diskUs: 500_000, bitRot: 1 });
    const both = [await use(), await world.on(1, use)];
    world.setDisk('db');
    return [...both, await world.on(1, use)];
  });
  assert.equal(value, [
    [true, false],
    [false, true],
    [true, false],
  ]);
});

test('the trace says what happened', async () => {
  const ends = 'web:\\d+ > db:80';
  const slow = await traceOf({ faults: { slow: 1, retransmit: 0.5 } }, times(10, 3));
  assert.match(slow, new RegExp(`shard 0 \\(web\\) {2}has sent a slow packet, [\\d.]+ ms, 3 bytes, ${ends}`));
  assert.match(slow, new RegExp(`shard 0 \\(web\\) {2}sends a lost packet again, after 200 ms, 3 bytes, ${ends}`));
  const held = await traceOf({}, async (world, client) => {
    world.hold('web', 'db');
    await client.write('held');
    await sleep(5);
  });
  assert.match(held, /notes: messages between web and db are held/);
  assert.match(held, new RegExp(`shard 0 \\(web\\) {2}has a packet held, 4 bytes, ${ends}`));
  const disk = await traceOf({ faults: { diskSlow: 1, bitRot: 1 } }, async () => {
    const dir = await openDirectory('/');
    await dir.replaceFile('file', 'text');
    await dir.readText('file');
  });
  assert.match(disk, /shard 0 \(web\) {2}waits for a slow disk, [\d.]+ ms: WRITE \S+/);
  assert.match(disk, /is given the fault bitRot: READ/);
});

test('a path is no link', async () => {
  const faults = { slow: 1, retransmit: 1, kilobyteUs: 1_000_000 };
  const { value } = await simulate({ seed: 1, faults }, async (world) => {
    const listener = await listen({ path: '/socket' });
    const client = await connect({ path: '/socket' });
    const server = await listener.accept();
    await client.write(new Uint8Array(1000));
    await server.read();
    return world.elapsedMs;
  });
  assert.ok(value < 20, `${value} ms`);
});

test('names and options are checked', async () => {
  await overWire({}, async (world) => {
    assert.throws(() => world.hold('web', 'nowhere'), /one of web, db/);
    assert.throws(() => world.setLink('web', 'db', { latency: 1 }), /Unknown option/i);
    assert.throws(() => world.setLink('web', 'db', { slow: 2 }), /slow/);
    assert.throws(() => world.setDisk('db', { partial: 1 }), /Unknown option/i);
  });
});

test.run();
