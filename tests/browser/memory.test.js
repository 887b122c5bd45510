// The example's view of the shared memory (examples/browser/memory.js), compared with the core. It has offsets of its
// own, and each test shows by effect that they are right.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { COUNTER_NAMES } from '../../dist/host/core/layout.js';
import { Watch } from '../../examples/browser/memory.js';
import { Cluster } from '../support/core.js';

const SLEEPING_AND_RUNG = 2;

function begin() {
  const cluster = new Cluster(2);
  return { shards: cluster.shards, watch: new Watch(cluster) };
}

test('a ring, and who sleeps and has mail', () => {
  const { shards, watch } = begin();
  const [from, to] = shards;
  assert.equal(watch.ring(0, 1), { head: 0, tail: 0, staged: 0, slots: 8 });
  assert.is(to.core.trySleep(0), 1);
  assert.equal([watch.sleeping(0), watch.sleeping(1), watch.isDirty(1)], [0, 1, false]);
  assert.is(from.post(1), 0);
  assert.equal(watch.ring(0, 1), { head: 0, tail: 0, staged: 1, slots: 8 });
  from.core.flush();
  assert.equal(watch.ring(0, 1), { head: 0, tail: 1, staged: 1, slots: 8 });
  assert.equal([watch.sleeping(1), watch.isDirty(1), watch.isDirty(0)], [SLEEPING_AND_RUNG, true, false]);
  to.core.awake();
  to.turn();
  assert.equal(watch.ring(0, 1), { head: 1, tail: 1, staged: 1, slots: 8 });
  assert.equal([watch.sleeping(1), watch.isDirty(1)], [0, false]);
  assert.equal(watch.ring(1, 0), { head: 0, tail: 0, staged: 0, slots: 8 });
  const counts = [watch.counters(0), watch.counters(1)];
  assert.equal([counts[0].requestsSent, counts[0].doorbells, counts[1].requestsReceived], [1, 1, 1]);
});

test('two rings are seen at one moment, or not at all', () => {
  const { shards, watch } = begin();
  const [caller, callee] = shards;
  const realLoad = Atomics.load;
  /** Sends a request and its reply behind every `everyLoads` loads, `rounds` times. */
  const whileCallsGo = (everyLoads, rounds, run) => {
    let loads = 0;
    Atomics.load = (...args) => {
      const value = realLoad(...args);
      if (++loads % everyLoads === 0 && loads <= rounds * everyLoads) {
        Atomics.load = realLoad;
        for (const [from, to] of [
          [caller, callee],
          [callee, caller],
        ]) {
          from.post(to.index);
          from.core.flush();
          to.turn();
        }
        Atomics.load = whileCallsGo.load;
      }
      return value;
    };
    whileCallsGo.load = Atomics.load;
    try {
      return run();
    } finally {
      Atomics.load = realLoad;
    }
  };
  const plain = whileCallsGo(2, 1, () => [watch.ring(0, 1), watch.ring(1, 0)]);
  assert.ok(plain[1].head > plain[0].tail, 'one load after another shows more replies read than requests written');
  const rings = whileCallsGo(2, 1, () => watch.rings(0, 1));
  assert.ok(rings[1].head <= rings[0].tail);
  assert.equal(rings, [watch.ring(0, 1), watch.ring(1, 0)]);
  assert.is(
    whileCallsGo(2, 3, () => watch.rings(0, 1, 1)),
    undefined,
  );
});

test('every counter under its own name', () => {
  const { shards, watch } = begin();
  for (const { base, header, u32 } of shards) {
    const at = (base + header.countersOffset) >>> 2;
    for (let i = 0; i < COUNTER_NAMES.length; i++) u32[at + 2 * i] = 100 + i;
  }
  for (const shard of shards) {
    const all = shard.counters();
    for (const [name, count] of Object.entries(watch.counters(shard.index))) assert.is(count, all[name], name);
  }
});

test('the wheel: its time, its timers, and the level that a timer lies on', () => {
  const { shards, watch } = begin();
  const shard = shards[1];
  const levelOf = ({ occupied }) => occupied.findIndex((bits) => bits !== 0n);
  assert.equal([watch.wheel(1).pending, levelOf(watch.wheel(1))], [0, -1]);
  assert.is(watch.wheel(1).elapsed, BigInt(Math.floor(shard.now() / 512)));
  const index = shard.core.armTimer(shard.now() + 3600e9, 0, 1);
  const far = watch.wheel(1);
  assert.equal([far.pending, levelOf(far)], [1, 5]); // an hour: the level of 9 minutes
  shard.core.cancelTimer(index, shard.timerGeneration(index));
  shard.core.armTimer(shard.now() + 512, 0, 1);
  assert.is(levelOf(watch.wheel(1)), 0);
  shard.turn(shard.now() + 5120);
  assert.equal([watch.wheel(1).pending, watch.wheel(0).pending, watch.counters(1).timersFired], [0, 0, 1]);
  assert.ok(watch.wheel(1).elapsed > far.elapsed);
});

test('the task table', () => {
  const { shards, watch } = begin();
  const { core } = shards[0];
  const free = [false, false, false];
  assert.equal([watch.tasks(0, 3), watch.liveTasks(0)], [free, 0]);
  core.spawnHost(0, 1);
  core.spawnHost(0, 2);
  assert.equal([watch.tasks(0, 3), watch.liveTasks(0)], [[true, true, false], 2]);
  assert.equal([watch.tasks(1, 3), watch.liveTasks(1)], [free, 0]);
  shards[0].turn();
  core.firstTask(); // its slot is free as soon as its owner has it
  assert.equal([watch.tasks(0, 3), watch.liveTasks(0)], [[false, true, false], 1]);
});

test.run();
