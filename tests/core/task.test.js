// Tasks and scheduling groups. Wasm tasks are scripted ones of internals.ts: a record in memory says what each answers.
//
// Time is virtual: the test moves the clock on by what a task "cost", as the host does between two tasks.
//
// Next: park.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';
import { buildWasm } from '../support/asc.js';
import { Code, MoreWork, oneShard } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const module = buildWasm('tests/core/internals.ts', 'dist/test-internals.wasm');
const AGAIN = 2;
const DONE = 1;
const IDLE = 0;
const GROUPS = 16;
const SHARES_MAX = 1000;

function shardWith(limits) {
  return oneShard(limits, { module });
}

/** Where the script of task `n` lies. */
function scriptAt(shard, n) {
  return shard.base + shard.header.scratchOffset + n * 32;
}

/** Starts a scripted Wasm task. */
function spawnScript(shard, n, group, { answer = DONE, wakes = 0, costNs = 0 } = {}) {
  const at = scriptAt(shard, n);
  shard.u32.set([0, answer, wakes, costNs, 0], at >>> 2);
  const index = shard.core.spawnWasm(group, shard.core.scriptedIndex(), at);
  if (index > 0) shard.u32[(at >>> 2) + 4] = shard.taskGeneration(index);
  return { index, generation: index > 0 ? shard.taskGeneration(index) : 0 };
}

function runs(shard, n) {
  return shard.u32[scriptAt(shard, n) >>> 2];
}

function setAnswer(shard, n, answer) {
  shard.u32[(scriptAt(shard, n) >>> 2) + 1] = answer;
}

function setQuota(shard, ns) {
  shard.f64[Control.quotaNs >> 3] = ns;
}

/** A host's run of tasks: each JavaScript task costs what `cost(owner)` says. Answers the owners in order. */
function run(shard, cost = () => 100) {
  const owners = [];
  for (let owner = shard.core.firstTask(); owner !== 0; owner = shard.core.nextTask()) {
    owners.push(owner);
    shard.setClock(shard.now() + cost(owner));
  }
  return owners;
}

test('JavaScript tasks run in the order in which they were queued, and their slots are free again', () => {
  const shard = shardWith();
  for (let i = 1; i <= 10; i++) assert.ok(shard.core.spawnHost(3, i) > 0);
  assert.is(shard.core.liveTasks(), 10);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  assert.equal(run(shard), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.is(shard.core.liveTasks(), 0);
  assert.is(shard.word('moreWork'), 0);
  assert.is(shard.core.firstTask(), 0);
  assert.is(shard.counters().tasksRun, 10);
});

test('a Wasm task is polled until it is done; idle, it waits for a wake-up', () => {
  const shard = shardWith();
  const { index, generation } = spawnScript(shard, 0, 0, { answer: IDLE });
  run(shard);
  run(shard);
  assert.is(runs(shard, 0), 1);
  assert.is(shard.core.wake(index, generation), 0);
  assert.is(shard.core.wake(index, generation), 0, 'twice queues once');
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  run(shard);
  assert.is(runs(shard, 0), 2);
  setAnswer(shard, 0, DONE);
  shard.core.wake(index, generation);
  run(shard);
  assert.is(runs(shard, 0), 3);
  assert.is(shard.core.liveTasks(), 0);
  assert.is(shard.core.wake(index, generation), Code.STALE);
  assert.is(shard.core.wake(0, 1), Code.STALE);
  assert.is(shard.core.wake(2 ** 31, 1), Code.STALE);
  assert.is(shard.word('moreWork'), 0);
});

test('a task that is woken while it runs, once or more, runs once again', () => {
  for (const wakes of [1, 2, 5]) {
    const shard = shardWith();
    spawnScript(shard, 0, 0, { answer: IDLE, wakes });
    setQuota(shard, 1e9);
    shard.core.firstTask();
    assert.is(runs(shard, 0), 64, 'it wakes itself each time: 64 runs, then a look at the clock');
    shard.u32[(scriptAt(shard, 0) >>> 2) + 2] = 0;
    shard.core.firstTask();
    assert.is(runs(shard, 0), 65);
    assert.is(shard.core.firstTask(), 0);
    assert.is(runs(shard, 0), 65);
  }
});

test('a task that was woken while it runs and then is done is over', () => {
  const shard = shardWith();
  spawnScript(shard, 0, 0, { answer: DONE, wakes: 3 });
  run(shard);
  assert.is(runs(shard, 0), 1);
  assert.is(shard.core.liveTasks(), 0);
  assert.is(shard.word('moreWork'), 0);
});

test('POLL_AGAIN goes to the end of the line, and the run breaks off after 64 with more to do', () => {
  const shard = shardWith();
  for (let n = 0; n < 4; n++) spawnScript(shard, n, 0, { answer: AGAIN });
  assert.is(shard.core.firstTask(), 0);
  for (let n = 0; n < 4; n++) assert.is(runs(shard, n), 16);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  assert.is(shard.core.hasWork(), 1);
  for (let n = 0; n < 4; n++) setAnswer(shard, n, DONE);
  shard.core.firstTask();
  for (let n = 0; n < 4; n++) assert.is(runs(shard, n), 17);
  assert.is(shard.word('moreWork'), 0);
});

test('a dropped task is skipped; a Wasm task cannot be dropped', () => {
  const shard = shardWith();
  const tasks = [1, 2, 3].map((owner) => shard.core.spawnHost(0, owner));
  const generation = shard.taskGeneration(tasks[1]);
  assert.is(shard.core.dropTask(tasks[1], generation), 0);
  assert.is(shard.core.dropTask(tasks[1], generation + 2), Code.STALE);
  assert.equal(run(shard), [1, 3]);
  assert.is(shard.core.dropTask(tasks[1], generation), Code.STALE);
  assert.is(shard.core.liveTasks(), 0);

  const wasm = spawnScript(shard, 0, 0, { answer: IDLE });
  assert.is(shard.core.dropTask(wasm.index, wasm.generation), Code.RANGE);
  run(shard);
  assert.is(runs(shard, 0), 1, 'with the state that it was given');
});

test('a full table and a bad group answer codes, and change nothing', () => {
  const shard = shardWith({ taskSlots: 4 });
  for (const group of [GROUPS, 2 ** 31, -1]) assert.is(shard.core.spawnHost(group, 1), Code.RANGE);
  assert.is(spawnScript(shard, 0, GROUPS).index, Code.RANGE);
  for (let i = 0; i < 4; i++) assert.ok(shard.core.spawnHost(GROUPS - 1, i + 1) > 0);
  assert.is(shard.core.spawnHost(0, 9), Code.FULL);
  assert.is(spawnScript(shard, 0, 0).index, Code.FULL);
  assert.equal(run(shard), [1, 2, 3, 4]);
  assert.ok(shard.core.spawnHost(0, 5) > 0);
  assert.equal(run(shard), [5]);

  for (const [group, shares] of [
    [GROUPS, 1],
    [-1, 1],
    [0, 0],
    [0, SHARES_MAX + 1],
    [0, -1],
  ]) {
    assert.is(shard.core.setShares(group, shares), Code.RANGE, `${group}, ${shares}`);
  }
  assert.is(shard.core.setShares(GROUPS - 1, SHARES_MAX), 0);
  assert.is(shard.core.setShares(0, 1), 0);
});

test('the quota ends a run, and moreWork says that there is more', () => {
  const shard = shardWith();
  setQuota(shard, 1000);
  for (let i = 1; i <= 25; i++) shard.core.spawnHost(0, i);
  assert.is(run(shard).length, 10);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  assert.is(run(shard).length, 10);
  assert.is(run(shard).length, 5);
  assert.is(shard.word('moreWork'), 0);

  spawnScript(shard, 0, 0, { answer: AGAIN, costNs: 300 }); // a Wasm task that moves the clock on is bounded, too
  shard.core.firstTask();
  assert.is(runs(shard, 0), 4);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
});

// --- groups ---------------------------------------------------------------------------------------------------------

/** Keeps two tasks ready in every group of `shares`, until `total` have run. Answers the runs of each group. */
function compete(shard, shares, total, cost) {
  const counts = shares.map(() => 0);
  shares.forEach((each, group) => {
    assert.is(shard.core.setShares(group, each), 0);
    for (let i = 0; i < 2; i++) shard.core.spawnHost(group, group + 1);
  });
  let done = 0;
  while (done < total) {
    for (let owner = shard.core.firstTask(); owner !== 0; owner = shard.core.nextTask()) {
      counts[owner - 1]++;
      done++;
      shard.core.spawnHost(owner - 1, owner);
      shard.setClock(shard.now() + cost(owner - 1));
    }
    shard.setClock(shard.now() + 5000); // sleeping, submitting: nobody is charged for that
  }
  return counts;
}

test('groups with shares 1 : 3 get runs 1 : 3', () => {
  const [one, three] = compete(shardWith(), [100, 300], 100_000, () => 1000);
  assert.ok(Math.abs(three / one - 3) < 0.03, `${one} : ${three}`);
});

test('what is shared out is time, not runs: dear tasks run less often', () => {
  const [cheap, dear] = compete(shardWith(), [200, 200], 100_000, (group) => (group === 0 ? 100 : 900));
  assert.ok(Math.abs(cheap / dear - 9) < 0.2, `${cheap} : ${dear}`);
});

test('random shares and costs: each group gets its part of the time', () => {
  forSeeds(FULL ? 40 : 8, (random) => {
    const shares = Array.from({ length: 2 + random(GROUPS - 2) }, () => 20 + random(SHARES_MAX - 20));
    const costs = shares.map(() => 100 + random(2000));
    const counts = compete(shardWith(), shares, 60_000, (group) => costs[group]);
    const times = counts.map((count, group) => count * costs[group]);
    const [time, share] = [times, shares].map((all) => all.reduce((sum, each) => sum + each));
    times.forEach((each, group) => {
      const [part, due] = [each / time, shares[group] / share];
      assert.ok(Math.abs(part - due) < 0.01, `group ${group} of ${shares}: ${part}, due ${due}`);
    });
  });
});

test('a group that was idle does not hoard, but for the one task that ran when it came', () => {
  const shard = shardWith();
  setQuota(shard, 1e12);
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 50; i++) shard.core.spawnHost(0, 1);
    run(shard, () => 1000); // group 0 alone
  }
  for (let i = 0; i < 20; i++) shard.core.spawnHost(0, 1);
  for (let i = 0; i < 20; i++) shard.core.spawnHost(1, 2); // was idle all the time
  const owners = run(shard, () => 1000);
  for (const end of [10, 20, 30]) {
    const second = owners.slice(0, end).filter((owner) => owner === 2).length;
    assert.ok(Math.abs(second - end / 2) <= 1.5, `${second} of the first ${end}`);
  }
});

test('time in which nothing ran is charged to nobody', () => {
  const shard = shardWith();
  spawnScript(shard, 0, 1, { answer: IDLE });
  run(shard);
  shard.setClock(shard.now() + 1e9); // the shard slept
  for (let i = 0; i < 10; i++) {
    shard.core.spawnHost(0, 1);
    shard.core.spawnHost(1, 2);
  }
  const first = run(shard).slice(0, 10);
  assert.is(first.filter((owner) => owner === 2).length, 5);
});

test('Wasm tasks are charged for their time, also when a run broke off after them', () => {
  const shard = shardWith();
  setQuota(shard, 1e9);
  spawnScript(shard, 0, 1, { answer: AGAIN, costNs: 1000 });
  const [one] = compete(shard, [100], 2000, () => 1000);
  const wasm = runs(shard, 0);
  assert.ok(wasm > 1000 && wasm < 4000, `${one} JavaScript tasks, ${wasm} Wasm tasks of the same cost and shares`);
});

test.run();
