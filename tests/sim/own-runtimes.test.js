// Machines of a simulated world that have a runtime of their own. No call crosses machines. Shard 0 of a machine may
// die, by a kill or a power failure, and starts again.
//
// The flow: `hosts: { db: { shards, module } }` -> production's Runtime.launch() on each machine -> world.host('db').
//
// Next: machines.test.js, machines with shards of the program's runtime.

import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import { runtime, sleep } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const module = new URL('./own-runtime-module.js', import.meta.url);
const HOSTS = { a: { shards: 2, module }, b: { shards: 3, module }, c: {} };
const run = (seed, program, options) => simulate({ seed, hosts: HOSTS, ...options }, program);

/** A service with a log: replies to each message when it is on the disk. */
async function serveLog() {
  const listener = await listen({ port: 7000 });
  const serve = async (socket) => {
    for await (const bytes of socket) {
      const dir = await openDirectory('/');
      await dir.replaceFile('log', bytes);
      await socket.write('saved');
    }
  };
  const accept = async () => {
    for await (const socket of listener) void serve(socket).catch(() => {});
  };
  accept().catch((error) => assert.is(error.code, 'FEATHERSTAR_CLOSED'));
}

const readText = async (socket) => Buffer.from((await socket.read()) ?? '').toString();

test('each machine has its own runtime: shards count from 0, and calls stay on the machine', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { value, left } = await run(seed, async (world) => {
      const [a, b, c] = ['a', 'b', 'c'].map((name) => world.host(name));
      await a.on(0, () => runtime().on(1).set('key', 'of a'));
      await b.on(2, () => runtime().on(1).set('key', 'of b'));
      const get = () => runtime().on(1).get('key');
      const seen = [await a.on(1, get), await b.on(0, get), await a.on(0, () => runtime().onAll().whereAmI())];
      const none = await rejection(c.on(0, async () => runtime().on(1)));
      const machine = await b.on(2, () => [os.hostname(), os.cpus().length]);
      return [...seen, none.code, machine, a.shards, b.shards, runtime().shardCount];
    });
    const places = [
      [0, 2],
      [1, 2],
    ];
    assert.equal(value, ['of a', 'of b', places, 'FEATHERSTAR_OPTION', ['b', 3], [0, 1], [0, 1, 2], 1]);
    assert.is(left.length, 1 + 2 + 3 + 1);
    assert.ok(left.every((each) => each?.openOperations === 0));
  }
});

test('a power failure takes a whole machine; it starts again on its disk, with nothing in memory', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { value } = await run(seed, async (world) => {
      const b = world.host('b');
      await b.on(0, serveLog);
      await b.on(0, () => runtime().on(2).set('key', 'lost'));
      const socket = await connect({ hostname: 'b', port: 7000 });
      await socket.write('one');
      const saved = await readText(socket);
      const working = rejection(b.on(0, () => sleep(1e6)));
      b.crash();
      const down = [(await working).code, (await rejection(b.on(1, () => 1))).code];
      const read = rejection(socket.read());
      const silent = await Promise.race([read, sleep(60_000).then(() => 'nothing')]);
      await b.restart();
      await socket.write('are you there').catch(() => {});
      const reset = (await read).errnoName;
      const memory = await b.on(0, () => runtime().on(2).get('key'));
      const log = await b.on(0, async () => (await openDirectory('/')).readText('log'));
      await b.on(0, serveLog);
      const again = await connect({ hostname: 'b', port: 7000 });
      await again.write('two');
      return [saved, ...down, silent, reset, memory, log, await readText(again)];
    });
    const dead = 'FEATHERSTAR_PEER_DOWN';
    assert.equal(value, ['saved', dead, dead, 'nothing', 'ECONNRESET', undefined, 'one', 'saved']);
  }
});

test('a kill of shard 0 ends its process: peers hear of it at once, and the disk loses nothing', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { value } = await run(seed, async (world) => {
      const b = world.host('b');
      await b.on(0, serveLog);
      const socket = await connect({ hostname: 'b', port: 7000 });
      await b.on(1, () => fs.writeFileSync('/unsynced', 'kept'));
      const others = rejection(b.on(1, () => sleep(1e6)));
      b.kill(0);
      const begin = performance.now();
      const end = await readText(socket).catch((error) => error.errnoName);
      const refused = (await rejection(connect({ hostname: 'b', port: 7000 }))).errnoName;
      const isSoon = performance.now() - begin < 100;
      await b.restart();
      const kept = await b.on(2, () => fs.readFileSync('/unsynced', 'utf8'));
      return [['', 'ECONNRESET'].includes(end), refused, isSoon, (await others).code, kept];
    });
    assert.equal(value, [true, 'ECONNREFUSED', true, 'FEATHERSTAR_PEER_DOWN', 'kept']);
  }
});

test('a kill of another shard is for the runtime of its machine, which may restart it', async () => {
  const { value } = await run(1, async (world) => {
    const b = world.host('b');
    const deaths = [];
    await b.on(0, () => runtime().onShardDown((shard) => deaths.push(shard)));
    await b.on(0, () => runtime().on(2).set('key', 'value'));
    b.kill(2);
    await sleep(100);
    const call = await rejection(b.on(0, () => runtime().on(2).get('key')));
    await b.on(0, () => runtime().restart(2));
    return [deaths, call.code, await b.on(0, () => runtime().on(2).get('key')), await world.host('a').on(0, () => 1)];
  });
  assert.equal(value, [[2], 'FEATHERSTAR_PEER_DOWN', undefined, 1]);
});

test('a machine starts again with another version of the module, and stands still', async () => {
  const hosts = { a: { shards: 2, module: new URL('./versions/one.js', import.meta.url) } };
  const { value } = await run(
    1,
    async (world) => {
      const a = world.host('a');
      const versions = () => a.on(0, () => runtime().onAll().version());
      const before = await versions();
      a.crash();
      await a.restart({ module: new URL('./versions/two.js', import.meta.url) });
      const after = await versions();
      a.kill(0);
      await a.restart(); // the version stays
      a.freeze(5000);
      const begin = performance.now();
      return [before, after, await versions(), Math.round((performance.now() - begin) / 1000)];
    },
    { hosts },
  );
  assert.equal(value, [[1, 1], [2, 2], [2, 2], 5]);
});

test('a machine dies while it starts, and while its runtime works; the seed repeats it', async () => {
  const program = async (world) => {
    const b = world.host('b');
    let starts = 0;
    for (let round = 0; round < 8; round++) {
      b[Math.random() < 0.5 ? 'crash' : 'kill'](0);
      const starting = b.restart().then(
        () => 'started',
        (error) => error.code,
      );
      if (Math.random() < 0.5) await sleep(Math.random() * 8);
      else await starting;
      if ((await Promise.race([starting, sleep(0)])) === 'started') starts++;
    }
    return starts;
  };
  const starts = new Set();
  for (let seed = 1; seed <= 20; seed++) {
    const { value, traceHash } = await run(seed, program);
    assert.is((await run(seed, program)).traceHash, traceHash);
    starts.add(value);
  }
  assert.ok(starts.size > 1, [...starts].join());
});

test('node:http of two machines uses the same port, and a partition cuts them', async () => {
  const { value } = await run(1, async (world) => {
    const serve = (name) => () =>
      new Promise((resolve) => http.createServer((_, response) => response.end(name)).listen(80, resolve));
    await world.host('a').on(0, serve('a'));
    await world.host('b').on(0, serve('b'));
    const ask = async (name) => (await fetch(`http://${name}/`)).text();
    const seen = [await ask('a'), await ask('b'), await world.host('a').on(1, () => ask('b'))];
    world.partition('a', 'b');
    const cut = await world.host('a').on(1, () => rejection(connect({ hostname: 'b', port: 80, timeoutMs: 1000 })));
    return [...seen, cut.code, await ask('b')];
  });
  assert.equal(value, ['a', 'b', 'b', 'FEATHERSTAR_TIMEOUT', 'b']);
});

test('a failure names the machine of a shard; bad options are refused', async () => {
  const error = await rejection(
    run(1, async (world) => {
      await world.host('b').on(1, () => connect({ hostname: 'a', port: 1 }).catch(() => {}));
      await world.within(1000, 'the reply', new Promise(() => {}));
    }),
  );
  assert.match(error.message, /shard 1 of b has 0 operations/);
  assert.ok(
    error.trace.some((line) => / shard 1 \(b\) {2}asks the kernel: CONNECT/.test(line)),
    error.trace.join('\n'),
  );
  for (const [hosts, text] of [
    [
      { a: 1 },
      /^hosts\.a must be an array of shards from 0 to 0, each on one host, or an object with shards and module/,
    ],
    [{ a: { shards: 65 } }, /^hosts\.a\.shards must be/],
    [{ a: { shard: 1 } }, /^Unknown option "hosts\.a\.shard"/],
  ]) {
    assert.match((await rejection(simulate({ seed: 1, hosts }, () => {}))).message, text);
  }
  const { value } = await run(1, async (world) => {
    const attempts = [
      () => world.host('a').restart(),
      () => world.host('a').on(2, () => 1),
      () => world.on(1, () => 1),
      () => world.host('c').kill(7),
    ];
    return Promise.all(attempts.map(async (attempt) => (await rejection((async () => attempt())())).message));
  });
  assert.is(value[0], 'the machine a has power: crash() takes it');
  assert.match(value[1], /^shard must be a shard of the machine a: 0, 1, got 2/);
  assert.match(value[2], /^shard must be/);
  assert.match(value[3], /^shard must be a shard of the machine c: 0, got 7/);
});

test.run();
