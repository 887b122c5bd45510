// What `npm run sim` runs: tasks, timers, calls, connections, files on four shards, under faults that the seed picks.
// It checks itself: what is read is what was written, every call is answered once, and nothing is left over.

import assert from 'node:assert/strict';
import { runtime, sleep, spawn, timeout } from 'featherstar';
import { simulate } from 'featherstar/testing';

const SHARDS = 4;
const EXCHANGES = 6;
const module = new URL('./module.js', import.meta.url);

/** Which faults this seed has, and how tight its tables are. Every fourth has none. */
function worldOf(seed) {
  const on = (bit, share) => (seed % 4 === 0 || ((seed >>> 2) & bit) === 0 ? 0 : share);
  const isTight = seed % 3 === 0;
  return {
    faults: {
      freeze: on(1, 0.01),
      spurious: on(2, 0.05),
      partial: on(4, 0.3),
      reset: on(8, 0.02),
      refuse: on(16, 0.1),
      noBuffers: on(32, 0.05),
      noFiles: on(64, 0.05),
      errno: on(128, 0.03),
    },
    limits: isTight
      ? {
          ringSlots: 1,
          creditCount: 1,
          sqeSlots: 4,
          cqeSlots: 4,
          readySlots: 16,
          recvBufferCount: 2,
          sendBufferCount: 3,
        }
      : {},
  };
}

async function calls() {
  const rt = runtime();
  const sums = await Promise.all(Array.from({ length: 24 }, (_, i) => rt.on(i % SHARDS).slowAdd(i, 1000, i % 5)));
  sums.forEach((sum, i) => {
    assert.equal(sum, i + 1000);
  });
  const hops = 40; // far deeper than there is credit
  assert.equal((await rt.on(1).around(hops)).length, hops + 1);
  for (let i = 1; i <= 5; i++) assert.equal(await rt.on(2).add(1), i);
  assert.deepEqual(await rt.onAll().work(10), new Array(SHARDS).fill(30));
}

async function timers() {
  const order = [];
  const waits = [30, 10, 20].map((ms) => spawn(() => sleep(ms).then(() => order.push(ms))));
  await Promise.all(waits);
  assert.deepEqual(order, [10, 20, 30]);
  await assert.rejects(timeout(5, runtime().on(3).slowAdd(1, 2, 1000)));
  const before = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(Date.now() - before >= 50);
}

/** `canTell`: a server that gives up, or has no slot, ends a connection as one that is done does. */
async function connections(hasNoFaults, canTell) {
  const rt = runtime();
  const port = await rt.on(0).echo(0);
  for (let i = 1; i < SHARDS; i++) await rt.on(i).echo(port);
  const sizes = Array.from({ length: EXCHANGES }, (_, i) => 1 + ((i * 7919) % 5000) + (i === 0 ? 100_000 : 0));
  const results = await Promise.all(sizes.map((bytes, i) => rt.on(i % SHARDS).exchange(port, bytes, i)));
  results.forEach(({ read, broken }, i) => {
    if (hasNoFaults) assert.equal(broken, false);
    if (!broken && canTell) assert.equal(read, sizes[i]);
  });
}

async function files(hasNoFaults) {
  const failures = await runtime().onAll().files(4);
  if (hasNoFaults) assert.deepEqual(failures, new Array(SHARDS).fill(0));
}

/** Rejects with a SimulationError where the program fails. */
export function runSeed(seed) {
  const world = worldOf(seed);
  const hasNoFaults = Object.values(world.faults).every((share) => share === 0);
  const canTell = world.faults.errno === 0 && world.faults.noFiles === 0;
  return simulate({ seed, shards: SHARDS, module, maxMs: 600_000, maxTurns: 200_000, ...world }, async () => {
    const parts = [calls, timers, () => connections(hasNoFaults, canTell), () => files(hasNoFaults)];
    await Promise.all(parts.map((part) => spawn(part)));
  }).then((report) => {
    assert.ok(report.drained, `seed ${seed}: something had to be cancelled`);
    report.left.forEach((held, shard) => {
      for (const [what, count] of Object.entries(held)) assert.equal(count, 0, `shard ${shard} still holds ${what}`);
    });
    return report;
  });
}
