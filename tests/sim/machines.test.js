// Machines of a simulated world: power that fails on one of them, one-way cuts, clocks that differ, disks that lie.
//
// The flow: `hosts` for simulate() -> world.host(name) -> what shards on this machine and on others see.
//
// Next: machine-samples.js, five bugs that need such a machine.

import { runtime, sleep } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';
import { samples } from './machine-samples.js';

const HOSTS = { a: [0], b: [1], c: [2] };
const SEEDS_MAX = 2000;
const SOUND_SEEDS = 20;
const bytesOf = (text) => new TextEncoder().encode(text);

const run = (seed, program, options) => simulate({ seed, shards: 3, hosts: HOSTS, ...options }, program);

test('when a machine loses power, its peers hear nothing; when it is back, they are reset', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { value } = await run(seed, async (world) => {
      await world.on(1, async () => {
        const listener = await listen({ port: 7000 });
        void listener.accept().then((socket) => socket.write('hello'));
      });
      const socket = await connect({ hostname: 'b', port: 7000 });
      const hello = (await socket.read()).length;
      world.host('b').crash();
      const read = socket.read().then(
        () => 'end',
        (error) => error.errnoName,
      );
      const silent = await Promise.race([read, sleep(60_000).then(() => 'nothing')]);
      const refused = await rejection(connect({ hostname: 'b', port: 7000, timeoutMs: 1000 }));
      await world.host('b').restart();
      await socket.write('are you there');
      const again = await rejection(connect({ hostname: 'b', port: 7000 }));
      return [hello, silent, refused.code, await read, again.errnoName];
    });
    assert.equal(value, [5, 'nothing', 'FEATHERSTAR_TIMEOUT', 'ECONNRESET', 'ECONNREFUSED']);
  }
});

test('a machine that loses power keeps what was synced, and may lose the rest; other disks lose nothing', async () => {
  const found = new Set();
  for (let seed = 1; seed <= 40; seed++) {
    const { value } = await run(seed, async (world) => {
      const write = async () => {
        const dir = await openDirectory('/');
        await dir.replaceFile('synced', 'x');
        await dir.writeFile('unsynced', 'y');
      };
      await Promise.all([0, 1, 2].map((shard) => world.on(shard, write)));
      world.host('b').crash();
      await world.host('b').restart();
      const read = async () => {
        const dir = await openDirectory('/');
        return [await dir.readText('synced'), await dir.readText('unsynced').catch(() => 'lost')];
      };
      return Promise.all([0, 1, 2].map((shard) => world.on(shard, read)));
    });
    assert.equal(
      [value[0], value[2]],
      [
        ['x', 'y'],
        ['x', 'y'],
      ],
    );
    assert.is(value[1][0], 'x');
    found.add(value[1][1]);
  }
  assert.ok(found.has('lost') && found.has('y'), [...found].join());
});

test('a write that waits for the disk is not done after the power has failed', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await run(
      seed,
      async (world) => {
        const started = world.on(1, async () => (await openDirectory('/')).replaceFile('late', 'x'));
        await sleep(2);
        world.host('b').crash();
        const outcome = await started.then(
          () => 'done',
          (error) => error.code,
        );
        await world.host('b').restart();
        await sleep(60_000);
        const names = await world.on(1, async () => (await openDirectory('/')).readText('late').catch(() => 'none'));
        return [outcome, names];
      },
      { faults: { diskUs: 50_000 } },
    );
    assert.equal(value, ['FEATHERSTAR_PEER_DOWN', 'none']);
  }
});

test('a machine starts again with another version of the module', async () => {
  const module = new URL('./versions/one.js', import.meta.url);
  const { value } = await run(
    1,
    async (world) => {
      const versions = () => Promise.all([0, 1, 2].map((shard) => runtime().on(shard).version()));
      const before = await versions();
      world.host('b').crash();
      await world.host('b').restart({ module: new URL('./versions/two.js', import.meta.url) });
      return [before, await versions()];
    },
    { module },
  );
  assert.equal(value, [
    [1, 1, 1],
    [1, 2, 1],
  ]);
});

test('a one-way cut lets bytes through in the other direction, until it is healed', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { value } = await run(seed, async (world) => {
      const heard = [];
      await world.on(1, async () => {
        const listener = await listen({ port: 7000 });
        const serve = async () => {
          const socket = await listener.accept();
          await socket.write('from b');
          for await (const bytes of socket) heard.push(bytes.length);
        };
        serve().catch((error) => assert.is(error.code, 'FEATHERSTAR_CLOSED')); // the world is over
      });
      const socket = await connect({ hostname: 'b', port: 7000 });
      await sleep(100);
      world.partition('a', 'b', { oneWay: true });
      await socket.write('from a');
      const read = (await socket.read()).length;
      await sleep(10_000);
      const before = [...heard];
      world.heal('a', 'b');
      await sleep(10_000);
      return [read, before, heard.reduce((sum, bytes) => sum + bytes, 0)];
    });
    assert.equal(value, [6, [], 6]);
  }
});

test('the date of a machine is ahead, drifts and steps; its timers do not', async () => {
  const { value } = await run(1, async (world) => {
    const look = (shard) => world.on(shard, () => [Date.now(), performance.now()]);
    const ahead = async () => Math.round(((await look(1))[0] - Date.now()) / 1000);
    const seen = [await ahead()];
    world.host('b').setClock({ offsetMs: 60_000, driftPpm: 1000 });
    seen.push(await ahead());
    const before = await look(1);
    await world.on(1, () => sleep(10_000_000));
    const after = await look(1);
    seen.push(await ahead(), Math.round((after[1] - before[1]) / 1000), Math.round((after[0] - before[0]) / 1000));
    world.host('b').setClock({ offsetMs: -5000 });
    seen.push(await ahead());
    return seen;
  });
  assert.equal(value, [0, 60, 70, 10_000, 10_010, -5]);
});

test('a bit that has rotted stays so; a misdirected write lands in another sector', async () => {
  const rotted = await simulate({ seed: 1 }, async (world) => {
    const dir = await openDirectory('/');
    await dir.replaceFile('file', bytesOf('0'.repeat(100)));
    world.setFaults({ bitRot: 1 });
    const first = await dir.readText('file');
    world.setFaults({});
    return [first === '0'.repeat(100), first === (await dir.readText('file')), first.length];
  });
  assert.equal(rotted.value, [false, true, 100]);
  const places = new Set();
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed }, async (world) => {
      const dir = await openDirectory('/');
      const file = await dir.open('file', { flags: 'w+' });
      await file.write(new Uint8Array(2048), { position: 0 });
      world.setFaults({ misdirect: 1 });
      await file.write(bytesOf('x'), { position: 512 });
      world.setFaults({});
      await file.close();
      return (await dir.readText('file')).indexOf('x') / 512;
    });
    places.add(value);
  }
  assert.equal([...places].sort(), [0, 1, 2, 3]);
});

test('all shards of a machine stand still', async () => {
  const { value } = await run(1, async (world) => {
    world.host('b').freeze(5000);
    const begin = performance.now();
    await world.on(1, () => undefined);
    return Math.round((performance.now() - begin) / 1000);
  });
  assert.is(value, 5);
});

test('the machine of the program cannot crash; bad names and options are refused', async () => {
  const { value } = await run(1, async (world) => {
    const attempts = [
      () => world.host('a').crash(),
      () => world.host('z'),
      () => world.host('b').setClock({ offsetMs: Number.NaN }),
      () => world.partition('a', 'b', { way: 1 }),
      () => world.host('b').freeze(Number.NaN),
      () => world.host('b').restart(),
    ];
    return Promise.all(attempts.map(async (attempt) => (await rejection((async () => attempt())())).message));
  });
  assert.match(value[0], /^host must be a machine without shard 0/);
  assert.match(value[1], /^host must be one of a, b, c/);
  assert.match(value[2], /^offsetMs must be/);
  assert.match(value[3], /^Unknown option "way"/);
  assert.is(value[5], 'the machine b has power: crash() takes it');
  assert.match(value[4], /^ms must be milliseconds from 0 to 3600000, got NaN/);
});

for (const [name, sample] of Object.entries(samples)) {
  test(`found: ${name}`, async () => {
    for (let seed = 1; seed <= SOUND_SEEDS; seed++) await sample(seed, true);
    for (let seed = 1; ; seed++) {
      assert.ok(seed <= SEEDS_MAX, 'no seed has found it');
      const error = await sample(seed, false).catch((failure) => failure);
      if (!(error instanceof Error)) continue;
      assert.match(error.message, /two leaders|a stale read|two holders|has become/);
      assert.is((await rejection(sample(seed, false))).traceHash, error.traceHash);
      break;
    }
  });
}

test.run();
