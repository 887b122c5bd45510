// core: debug
// How a simulated program fails that does not throw: a rejection without a handler, however late; a wait that never
// ends, whatever timers are pending.

import { runtime, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 20;

const orphan = () => {
  void Promise.reject(new Error('no handler'));
};

for (const sleeps of [0, 1, 5, 20, 50, 100, 200, 300]) {
  test(`a rejection without a handler is found with ${sleeps} sleeps behind it`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const program = async () => {
        orphan();
        for (let i = 0; i < sleeps; i++) await sleep(1);
      };
      const error = await rejection(simulate({ seed }, program));
      assert.is(error.code, 'FEATHERSTAR_SIMULATION');
      assert.is(error.cause.message, 'no handler');
    }
  });
}

test('a rejection without a handler is found on another shard, while all closes, and at a crash', async () => {
  const programs = {
    'on another shard': (world) => world.on(1, orphan),
    'while all closes': () => void runtime().onClose(orphan),
    'at a crash': (world) => {
      orphan();
      return world.crash();
    },
  };
  for (const [where, program] of Object.entries(programs)) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const error = await rejection(simulate({ seed, shards: 2, module }, program));
      assert.is(error.cause.message, 'no handler', where);
    }
  }
});

test('a rejection that is handled in the same turn is none', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed }, async () => {
      const failed = Promise.reject(new Error('handled'));
      await undefined;
      return failed.catch((error) => error.message);
    });
    assert.is(value, 'handled');
  }
});

test('a pending timer hides no deadlock: what is expected settles in time, or the simulation fails', async () => {
  const program = async (world) => {
    setInterval(() => {}, 10);
    setTimeout(() => world.crash(), 3_600_000);
    const failing = world.within(50, 'a call that fails', runtime().on(1).fails());
    assert.is((await rejection(failing)).message, 'as asked');
    assert.is(await world.within(50, 'a call that ends', runtime().on(1).slowAdd(1, 2, 20)), 3);
    await world.within(2000, 'the answer of never()', runtime().on(1).never());
  };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const error = await rejection(simulate({ seed, shards: 2, module }, program));
    assert.match(
      error.message,
      /^seed \d+: the answer of never\(\) has not settled within 2000 ms: the answer of never/,
    );
    assert.match(error.message, /: the answer of never\(\) is expected, for 2000\.\d\d\d ms so far\n {2}shard 0 has/);
    assert.match(error.message, /^ {2}shard 0: 1 x never\(\) sent to shard 1$/m);
    assert.match(error.message, /\n {2}shard 1 has .*, 1 calls of peers running, /);
  }
});

test('what a shard expected that has died, is expected no more', async () => {
  const { virtualMs } = await simulate({ seed: 1, shards: 2, module }, async (world) => {
    const lost = world.on(1, () => world.within(100, 'a sleep', sleep(200)));
    world.kill(1);
    assert.is((await rejection(lost)).code, 'FEATHERSTAR_PEER_DOWN');
    await sleep(500);
  });
  assert.ok(virtualMs >= 500);
});

test('what another shard settles comes as a turn of the shard that expects it', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed, shards: 2, module }, async (world) => {
      let settle;
      const promise = new Promise((resolve) => {
        settle = resolve;
      });
      void world.on(1, () => sleep(5).then(settle));
      await world.within(100, 'what shard 1 does', promise);
      return runtime().self;
    });
    assert.is(value, 0);
  }
});

test('quietMs: a program in which only timers happen has failed', async () => {
  const ticks = async () => {
    setInterval(() => {}, 10);
    await runtime().on(1).never();
  };
  const error = await rejection(simulate({ seed: 1, shards: 2, module, quietMs: 5000 }, ticks));
  assert.match(error.message, /nothing but timers has happened for 5000 ms, .*1 calls open/s);
  const busy = async () => {
    for (let i = 0; i < 10; i++) {
      await sleep(4000);
      await runtime().on(1).add(1);
    }
  };
  await simulate({ seed: 1, shards: 2, module, quietMs: 5000 }, busy);
});

test.run();
