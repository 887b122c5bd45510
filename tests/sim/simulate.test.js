// core: debug
// The simulator: one seed decides everything, a run repeats exactly, what goes wrong is told and never hangs.
//
// The flow: a program for simulate() -> its report -> hashes, orders and errors compared.
//
// Next: tests/sim/program.js, the program of `npm run sim`.

import childProcess, { spawn as startProcess } from 'node:child_process';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { interval, now, runtime, sleep, spawn, yieldNow } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';
import { runSeed } from './program.js';
import { twoHosts } from './two-hosts.js';

const module = new URL('./module.js', import.meta.url);
const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const SEEDS = 40;

/** The order in which three shards answer. */
const orderOf = (seed) =>
  simulate({ seed, shards: 4, module }, async () => {
    const order = [];
    const ask = async (shard) => order.push(await runtime().on(shard).where());
    await Promise.all([1, 2, 3].map(ask));
    return order.join();
  });

test('the same seed gives the same trace, another seed another', async () => {
  const first = await runSeed(7);
  const again = await runSeed(7);
  const other = await runSeed(8);
  assert.match(first.traceHash, /^[0-9a-f]{16}$/);
  assert.is(again.traceHash, first.traceHash);
  assert.is(again.events, first.events);
  assert.is.not(other.traceHash, first.traceHash);
});

test('seeds give different orders, and all of them', async () => {
  const orders = new Set();
  for (let seed = 1; seed <= 5 * SEEDS; seed++) orders.add((await orderOf(seed)).value);
  assert.is(orders.size, 6, [...orders].join(' '));
});

test('a call of all shards that takes too long names those that have not answered', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    await simulate({ seed, shards: 4, module }, async () => {
      const late = await rejection(runtime().onAll().with({ timeoutMs: 1000 }).neverOn(2));
      assert.equal([late.code, late.message], ['FEATHERSTAR_TIMEOUT', 'shard 2 has not answered within 1000 ms']);
      const all = await rejection(runtime().onOthers().with({ timeoutMs: 1000 }).never());
      assert.is(all.message, 'shards 1, 2, 3 have not answered within 1000 ms');
    });
  }
});

test('a shard that lives is killed and started again by force, and what is open at it is told', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { value } = await simulate({ seed, shards: 3, module }, async (world) => {
      await runtime().on(1).add(5);
      const open = rejection(runtime().on(1).never());
      assert.is((await rejection(world.restart(1))).code, 'FEATHERSTAR_OPTION');
      assert.is((await rejection(world.restart(0, { force: true }))).code, 'FEATHERSTAR_OPTION');
      await world.restart(1, { force: true });
      return [(await open).code, await runtime().on(1).add(1)];
    });
    assert.equal(value, ['FEATHERSTAR_PEER_DOWN', 1]);
  }
});

test('the test program passes under faults', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) await runSeed(seed);
});

test('a day passes at once, and chance and clocks are the seed’s', async () => {
  const program = async () => {
    const start = [Date.now(), performance.now()];
    await sleep(23 * 3_600_000);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const passed = [Date.now() - start[0], performance.now() - start[1]];
    return { passed, drawn: [Math.random(), crypto.randomUUID()], date: new Date().toISOString() };
  };
  const { value, virtualMs } = await simulate({ seed: 5 }, program);
  for (const ms of value.passed) assert.is(Math.round(ms / 1000), 23 * 3600 + 1);
  assert.match(value.date, /^2026-01-01T23:00:01/);
  assert.ok(virtualMs > 82_801_000);
  assert.equal((await simulate({ seed: 5 }, program)).value, value);
  assert.not.equal((await simulate({ seed: 6 }, program)).value.drawn, value.drawn);
});

test('timers of JavaScript fire in order, can be cleared, and keep nobody waiting if unref’d', async () => {
  const { value } = await simulate({ seed: 1 }, async () => {
    const order = [];
    setTimeout(() => order.push('cleared'), 5).close();
    clearTimeout(setTimeout(() => order.push('cleared'), 5));
    setTimeout(() => order.push('20'), 20);
    setTimeout(() => order.push('10'), 10);
    setImmediate(() => order.push('immediate'));
    process.nextTick(() => order.push('tick'));
    queueMicrotask(() => order.push('microtask'));
    let beats = 0;
    const beat = setInterval(() => {
      order.push('beat');
      if (++beats === 2) clearInterval(beat);
    }, 100);
    setInterval(() => order.push('unref'), 400).unref();
    await sleep(450);
    return order.join();
  });
  assert.is(value, 'microtask,tick,immediate,10,20,beat,beat,unref');
});

test('ticks and microtasks run in the order of Node', async () => {
  const run = async () => {
    const order = [];
    process.nextTick(() => {
      order.push('tick 1');
      queueMicrotask(() => {
        order.push('microtask');
        process.nextTick(() => order.push('tick 3'));
      });
      process.nextTick(() => order.push('tick 2'));
    });
    await sleep(1);
    return order.join();
  };
  const { value } = await simulate({ seed: 1 }, run);
  assert.is(value, 'tick 1,tick 2,microtask,tick 3');
});

test('an interval ticks in the world’s time', async () => {
  const { value } = await simulate({ seed: 3 }, async () => {
    const ticks = interval(10);
    const start = now();
    for (let i = 0; i < 100; i++) await ticks.tick();
    return now() - start;
  });
  assert.ok(value >= 990, `${value}`);
});

test('what can never end is told, with what each shard waits for', async () => {
  const error = await rejection(simulate({ seed: 9, shards: 2, module }, () => runtime().on(1).never()));
  assert.is(error.code, 'FEATHERSTAR_SIMULATION');
  assert.is(error.seed, 9);
  assert.match(error.message, /^seed 9: nothing is left to happen, .*shard 0 has 0 operations and 1 calls open/);
  assert.ok(error.trace.length > 3);
  assert.match(error.trace.at(-1), /µs {2}shard/);
});

test('what a program expects is told first', async () => {
  const program = (world) => world.within(1000, 'the reply', new Promise(() => {}));
  const error = await rejection(simulate({ seed: 9 }, program));
  assert.match(error.message, /^seed 9: nothing is left to happen, and the program is not done: the reply is expected/);
});

test('what never ends is told: turns and time have limits', async () => {
  const spins = async () => {
    for (;;) await yieldNow();
  };
  const endless = await rejection(simulate({ seed: 1, maxTurns: 1000 }, spins));
  assert.match(endless.message, /not done after 1000 turns/);
  const late = await rejection(simulate({ seed: 1, maxMs: 1000 }, () => sleep(2000)));
  assert.match(late.message, /not done after 1000 ms/);
});

test('a program that throws fails with its error as the cause', async () => {
  const cause = new Error('mine');
  for (const program of [
    () => Promise.reject(cause),
    () => {
      throw cause;
    },
    async () => {
      setTimeout(() => {
        throw cause;
      }, 5);
      await sleep(100);
    },
    async () => {
      void Promise.reject(cause);
      await sleep(100);
      for (let i = 0; i < 600; i++) await sleep(1);
    },
    async () => {
      spawn(() => Promise.reject(cause));
      await sleep(100);
    },
  ]) {
    const error = await rejection(simulate({ seed: 1 }, program));
    assert.is(error.code, 'FEATHERSTAR_SIMULATION');
    assert.is(error.cause, cause);
  }
});

test('a shard that dies takes its calls with it, and nobody else', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value, left } = await simulate({ seed, shards: 3, module }, async (world) => {
      const rt = runtime();
      const lost = rejection(rt.on(2).slowAdd(1, 2, 100));
      const kept = rt.on(1).slowAdd(1, 2, 100);
      await sleep(1);
      world.kill(2);
      const code = (await lost).code;
      const later = (await rejection(rt.on(2).where())).code;
      return [code, later, await kept];
    });
    assert.equal(value, ['FEATHERSTAR_PEER_DOWN', 'FEATHERSTAR_PEER_DOWN', 3]);
    assert.is(left[2], undefined);
    assert.is(left[0].openCalls + left[1].openCalls, 0);
  }
});

test('a shard that dies while another runs code on it, or while everything closes, holds nobody up', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const { left } = await simulate({ seed, shards: 3 }, async (world) => {
      const waiting = world.on(1, () => new Promise(() => {}));
      setTimeout(() => world.kill(1), 2);
      assert.is((await rejection(waiting)).code, 'FEATHERSTAR_PEER_DOWN');
      setTimeout(() => world.kill(2), Math.random() * 3); // the program ends about then
      await new Promise((resolve) => setTimeout(resolve, 2));
    });
    assert.is(left.length, 3);
  }
});

test('a shard that freezes answers when it thaws', async () => {
  const { value } = await simulate({ seed: 1, shards: 2, module }, async (world) => {
    const start = world.elapsedMs;
    world.freeze(1, 5000);
    await runtime().on(1).where();
    return world.elapsedMs - start;
  });
  assert.ok(value >= 5000, `${value}`);
});

test('each shard has an instance of the module, and a run has new ones', async () => {
  for (let i = 0; i < 2; i++) {
    const { value } = await simulate({ seed: 1, shards: 2, module }, async () => {
      const rt = runtime();
      await rt.on(1).add(5);
      return [await rt.on(0).add(1), await rt.on(1).add(1)];
    });
    assert.equal(value, [1, 6]);
  }
});

test('world.on() runs code on a shard', async () => {
  const { value } = await simulate({ seed: 2, shards: 3 }, (world) =>
    Promise.all([0, 1, 2].map((shard) => world.on(shard, () => sleep(1).then(() => runtime().self)))),
  );
  assert.equal(value, [0, 1, 2]);
});

// --- the network ----------------------------------------------------------------------------------------------------

const echoOnce = async (faults, seed = 1) =>
  simulate({ seed, shards: 2, faults }, async (world) => {
    const listener = await listen({ port: 80, hostname: 'server.test', reusePort: false });
    spawn(async () => {
      for await (const socket of listener) {
        for await (const bytes of socket) await socket.write(bytes);
        await socket.end();
      }
    });
    return world.on(1, async () => {
      const socket = await connect({ port: 80, hostname: 'server.test' });
      await socket.write('hello');
      await socket.end();
      const parts = [];
      for await (const bytes of socket) parts.push(Buffer.from(bytes).toString());
      socket.close();
      return parts;
    });
  });

test('bytes go there and back; in parts, if the seed says so', async () => {
  assert.equal((await echoOnce({})).value, ['hello']);
  const all = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await echoOnce({ partial: 0.5 }, seed);
    assert.is(value.join(''), 'hello');
    all.add(value.join('|'));
  }
  assert.ok(all.size > 3, [...all].join(' '));
});

test('connects are refused, reset and short of files where faults say so, and where nobody listens', async () => {
  const failure = async (faults, name) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const error = await rejection(echoOnce(faults, seed));
      assert.is(error.cause.code, 'FEATHERSTAR_SYSTEM');
      if (error.cause.errnoName === name) return;
    }
    assert.unreachable(name);
  };
  await failure({ refuse: 1 }, 'ECONNREFUSED');
  await failure({ refuse: 1 }, 'ETIMEDOUT');
  await failure({ reset: 1 }, 'ECONNRESET');
  await failure({ noFiles: 1 }, 'ENFILE');
  const nobody = await rejection(simulate({ seed: 1 }, () => connect({ port: 81 })));
  assert.is(nobody.cause.errnoName, 'ECONNREFUSED');
});

test('a port is taken once', async () => {
  const { value } = await simulate({ seed: 1 }, async () => {
    const first = await listen({ port: 80, reusePort: false });
    const error = await rejection(listen({ port: 80, reusePort: false }));
    first.close();
    await sleep(1);
    await listen({ port: 80, reusePort: false });
    return error.errnoName;
  });
  assert.is(value, 'EADDRINUSE');
});

test('a partition holds what is sent, and lets nobody in, until it is healed', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed, ...twoHosts }, async (world) => {
      await world.on(1, async () => {
        const listener = await listen({ port: 80, reusePort: false });
        spawn(async () => {
          for await (const socket of listener) {
            for await (const bytes of socket) await socket.write(bytes);
            await socket.end();
          }
        });
      });
      const socket = await connect({ port: 80, hostname: 'db' });
      world.partition('web', 'db');
      await socket.write('first ');
      await socket.write('second');
      const late = await rejection(connect({ port: 80, hostname: 'db' }));
      const start = world.elapsedMs;
      await sleep(10_000);
      world.heal('web', 'db');
      await socket.end();
      let text = '';
      for await (const bytes of socket) text += Buffer.from(bytes);
      return [text, late.errnoName, world.elapsedMs - start < 10_100];
    });
    assert.equal(value, ['first second', 'ETIMEDOUT', true]);
  }
});

test('hosts have ports of their own; nobody is where no host is', async () => {
  const { value } = await simulate({ seed: 1, ...twoHosts }, async (world) => {
    const listening = [0, 1].map((shard) => world.on(shard, async () => (await listen({ port: 80 })).port));
    const ports = await Promise.all(listening);
    const codes = [];
    for (const hostname of ['10.0.0.9', '10.0.0.2', 'web']) {
      const attempt = connect({ port: 80, hostname });
      codes.push(
        await attempt.then(
          () => 'connected',
          (error) => error.errnoName,
        ),
      );
    }
    codes.push((await rejection(connect({ port: 80, hostname: 'other' }))).code);
    return [ports, codes];
  });
  assert.equal(value, [
    [80, 80],
    ['EHOSTUNREACH', 'connected', 'connected', 'FEATHERSTAR_DNS'],
  ]);
  const bad = await rejection(simulate({ seed: 1, hosts: { a: [0], b: [0] } }, () => undefined));
  assert.match(bad.message, /^hosts.b must be/);
});

// --- the border -----------------------------------------------------------------------------------------------------

test('doors to the real world are shut, with a clear error', async () => {
  const doors = [() => childProcess.spawn('true'), () => tls.connect(1), () => new MessageChannel()];
  const isNode = process.versions.bun === undefined && !('Deno' in globalThis);
  if (!isNode) doors.push(() => fetch('http://127.0.0.1:1/')); // see the page
  for (const door of doors) {
    const error = await rejection(simulate({ seed: 1 }, async () => door()));
    assert.is(error.cause.code, 'FEATHERSTAR_SIMULATION');
    assert.match(error.message, /leaves the simulation/);
  }
});

test('what belongs to another shard cannot be used', async () => {
  const error = await rejection(
    simulate({ seed: 1, shards: 2 }, async (world) => {
      const ticks = interval(10);
      await world.on(1, () => ticks.tick());
    }),
  );
  assert.match(error.message, /something of shard 0 was used while that shard did not run/);
});

test('everything is put back, also after a failure', async () => {
  const names = ['Date', 'setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'fetch'];
  const before = [...names.map((name) => globalThis[name]), Math.random, performance.now, process.nextTick];
  await simulate({ seed: 1 }, () => sleep(1));
  await rejection(simulate({ seed: 1 }, () => Promise.reject(new Error('no'))));
  const after = [...names.map((name) => globalThis[name]), Math.random, performance.now, process.nextTick];
  after.forEach((value, i) => {
    assert.is(value, before[i], `${names[i] ?? i}`);
  });
  assert.ok(Date.now() > Date.UTC(2020, 0, 1));
  assert.is((await rejection((async () => sleep(1))())).code, 'FEATHERSTAR_NO_SHARD');
});

test('bad options are refused; so is a simulation within one', async () => {
  const bad = [
    [{}, /^seed must be/],
    [{ seed: -1 }, /^seed must be/],
    [{ seed: 1, shards: 65 }, /^shards must be/],
    [{ seed: 1, module: 1 }, /^module must be/],
    [{ seed: 1, faults: { rest: 1 } }, /^Unknown option "faults.rest"/],
    [{ seed: 1, faults: { reset: 2 } }, /^faults.reset must be/],
    [{ seed: 1, limits: { ringSlots: 3 } }, /^limits.ringSlots must be/],
  ];
  for (const [options, text] of bad) {
    const error = await rejection(simulate(options, () => undefined));
    assert.is(error.code, 'FEATHERSTAR_OPTION');
    assert.match(error.message, text);
  }
  const nested = await rejection(simulate({ seed: 1 }, () => simulate({ seed: 1 }, () => undefined)));
  assert.is(nested.cause.code, 'FEATHERSTAR_STATE');
});

// --- the command ----------------------------------------------------------------------------------------------------

function main(...args) {
  return new Promise((resolve, reject) => {
    const child = startProcess(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

test('npm run sim prints both hashes, the same each time and as in this process', async () => {
  const { code, text } = await main('--seed', '12');
  assert.is(code, 0);
  assert.match(text, /^core\.wasm [0-9a-f]{64}\nseed 12 trace [0-9a-f]{16} /);
  assert.ok(text.includes(`trace ${(await runSeed(12)).traceHash} `), text);
  assert.is((await main('--seed', '12')).text, text);
});

test.run();
