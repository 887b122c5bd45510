// core: both
// Tasks and scheduling groups.
//
// Time is virtual: the test moves the clock on by what a task "cost", as the host does between two tasks.
//
// Next: park.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';
import { Code, MoreWork, oneShard } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const GROUPS = 16;
const SHARES_MAX = 1000;

function setQuota(shard, ns) {
  shard.f64[Control.quotaNs >> 3] = ns;
}

/** A host's run of tasks: each JavaScript task costs what `cost(owner)` says. Returns the owners in order. */
function run(shard, cost = () => 100) {
  const owners = [];
  for (let owner = shard.core.firstTask(); owner !== 0; owner = shard.core.nextTask()) {
    owners.push(owner);
    shard.setClock(shard.now() + cost(owner));
  }
  return owners;
}

test('JavaScript tasks run in the order in which they were queued, and their slots are free again', () => {
  const shard = oneShard();
  for (let i = 1; i <= 10; i++) assert.ok(shard.core.spawnHost(3, i) > 0);
  assert.is(shard.liveTasks(), 10);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  assert.equal(run(shard), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.is(shard.liveTasks(), 0);
  assert.is(shard.word('moreWork'), 0);
  assert.is(shard.core.firstTask(), 0);
  assert.is(shard.counters().tasksRun, 10);
});

test('a full table and a bad group answer codes, and change nothing', () => {
  const shard = oneShard({ taskSlots: 4 });
  for (const group of [GROUPS, 2 ** 31, -1]) assert.is(shard.core.spawnHost(group, 1), Code.RANGE);
  for (let i = 0; i < 4; i++) assert.ok(shard.core.spawnHost(GROUPS - 1, i + 1) > 0);
  assert.is(shard.core.spawnHost(0, 9), Code.FULL);
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
  const shard = oneShard();
  setQuota(shard, 1000);
  for (let i = 1; i <= 25; i++) shard.core.spawnHost(0, i);
  assert.is(run(shard).length, 10);
  assert.is(shard.word('moreWork'), MoreWork.TASKS);
  assert.is(run(shard).length, 10);
  assert.is(run(shard).length, 5);
  assert.is(shard.word('moreWork'), 0);
});

// --- groups ---------------------------------------------------------------------------------------------------------

/** Keeps two tasks ready in every group of `shares`, until `total` have run. Returns the runs of each group. */
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
  const [one, three] = compete(oneShard(), [100, 300], 100_000, () => 1000);
  assert.ok(Math.abs(three / one - 3) < 0.03, `${one} : ${three}`);
});

test('what is shared out is time, not runs: dear tasks run less often', () => {
  const [cheap, dear] = compete(oneShard(), [200, 200], 100_000, (group) => (group === 0 ? 100 : 900));
  assert.ok(Math.abs(cheap / dear - 9) < 0.2, `${cheap} : ${dear}`);
});

test('the shortest step that is charged is one of a nanosecond', () => {
  const [instant, short] = compete(oneShard(), [100, 100], 10_000, (group) => (group === 0 ? 0 : 3));
  assert.ok(Math.abs(instant / short - 3) < 0.05, `${instant} : ${short}`);
});

test('random shares and costs: each group gets its part of the time', () => {
  forSeeds(FULL ? 40 : 8, (random) => {
    const shares = Array.from({ length: 2 + random(GROUPS - 2) }, () => 20 + random(SHARES_MAX - 20));
    const costs = shares.map(() => 100 + random(2000));
    const counts = compete(oneShard(), shares, 60_000, (group) => costs[group]);
    const times = counts.map((count, group) => count * costs[group]);
    const [time, share] = [times, shares].map((all) => all.reduce((sum, each) => sum + each));
    times.forEach((each, group) => {
      const [part, due] = [each / time, shares[group] / share];
      assert.ok(Math.abs(part - due) < 0.01, `group ${group} of ${shares}: ${part}, due ${due}`);
    });
  });
});

test('a group that was idle does not hoard, but for the one task that ran when it came', () => {
  const shard = oneShard();
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

test('a group that has had more than others is not forgiven because it was idle', () => {
  const shard = oneShard();
  setQuota(shard, 1e9);
  shard.core.spawnHost(1, 2);
  assert.equal(
    run(shard, () => 1000),
    [2],
  );
  for (let i = 0; i < 20; i++) shard.core.spawnHost(0, 1); // less than group 1 has had already
  shard.core.spawnHost(1, 2);
  assert.is(run(shard, () => 40).indexOf(2), 20);
});

test('time in which no task ran is not charged to any group', () => {
  for (const endsByQuota of [false, true]) {
    const shard = oneShard();
    setQuota(shard, endsByQuota ? 100 : 1e9);
    shard.core.spawnHost(1, 2);
    if (endsByQuota) shard.core.spawnHost(1, 2);
    assert.equal(run(shard), [2]); // the second one has to wait: the quota is used up
    setQuota(shard, 1e9);
    shard.setClock(shard.now() + 1e9); // the shard slept, or looked at the network
    for (let i = 0; i < 10; i++) {
      shard.core.spawnHost(0, 1);
      shard.core.spawnHost(1, 2);
    }
    const first = run(shard).slice(0, 10);
    const second = first.filter((owner) => owner === 2).length;
    assert.ok(Math.abs(second - 5) <= 1, `${second} of the first 10`);
  }
});

test('a task whose step takes no time is charged a nanosecond, so that others get their turn', () => {
  const shard = oneShard();
  for (let i = 0; i < 3; i++) shard.core.spawnHost(0, 1);
  for (let i = 0; i < 3; i++) shard.core.spawnHost(1, 2);
  assert.equal(
    run(shard, () => 0),
    [1, 2, 1, 2, 1, 2],
  );
});

test.run();
