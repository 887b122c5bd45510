// core: debug
// drawWorld(): each seed has a world of its own, which simulate() takes, and limits are as low as they can be at times.

import { runtime, sleep, spawn } from 'featherstar';
import { drawWorld, simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SEEDS = 150;

test('a seed always draws the same, and simulate() takes it', async () => {
  const seen = new Map();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const drawn = drawWorld(seed);
    assert.equal(drawWorld(seed), drawn);
    const { shards, limits, faults } = drawn;
    await simulate({ seed, ...drawn }, () => assert.is(runtime().shardCount, shards));
    for (const [name, value] of Object.entries({ shards, ...limits, ...faults })) {
      seen.set(name, (seen.get(name) ?? new Set()).add(value));
    }
  }
  for (const name of ['ringSlots', 'creditCount', 'recvBufferCount', 'sendBufferCount']) {
    assert.ok(seen.get(name).has(1), name);
    assert.ok(seen.get(name).size > 2, name);
  }
  assert.equal([...seen.get('shards')].sort(), [2, 3, 4, 5]);
  for (const name of ['reset', 'partial', 'errno', 'latencyUs', 'diskUs']) assert.ok(seen.get(name).size > 20, name);
});

test('the report says how often each limit was reached', async () => {
  const module = new URL('./module.js', import.meta.url);
  const limits = { ringSlots: 1, creditCount: 1, arenaBytes: 2048, taskSlots: 4, timerSlots: 2 };
  const { reached } = await simulate({ seed: 1, shards: 2, module, limits }, async () => {
    const peer = runtime().on(1);
    const calls = Array.from({ length: 8 }, () => peer.giveBack('x'.repeat(1500)));
    const sleeps = Array.from({ length: 3 }, () => sleep(1));
    const tasks = Array.from({ length: 6 }, () => spawn(() => 1));
    await Promise.allSettled([...calls, ...sleeps, ...tasks]);
  });
  for (const limit of ['creditCount', 'taskSlots', 'timerSlots']) assert.ok(reached[limit] > 0, limit);
  const { reached: none } = await simulate({ seed: 1 }, () => sleep(1));
  assert.equal(none, {});
});

test('a seed that is none is refused', () => {
  for (const seed of [-1, 0.5, 2 ** 53, '1', undefined]) assert.throws(() => drawWorld(seed), /^seed must be/);
});

test.run();
