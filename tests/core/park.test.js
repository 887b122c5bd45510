// deadline: 60 s
// core: both
//
// Sleeping and waking: the protocol of park.ts under stress in two real threads, in every order of its steps, and in
// mutants, which must lose a wake-up: so the tests can fail.
//
// The stress keeps no call waiting: each request is answered at once. So whenever both threads sleep, a message that
// somebody should have been woken for lies undelivered. The watchdog waits 5 s for that, which no test of ours
// depends on being exact. Run with `recheck: false` (R2 left out, see park-worker.js) the same stress stood still at
// the first try, within the first second: both asleep, a dirty bit set.
//
// Next: ../support/core.js.

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeMemory } from '../../dist/host/core/core.js';
import { Control, ReadyKind } from '../../dist/host/core/layout.js';
import { SEED } from '../http/random.js';
import { Cluster, Code, SMALL } from '../support/core.js';

const STRESS_MS = 10_000;
const STANDSTILL_MS = 5000;
const LOOK_MS = 100;

/** What a failed run is judged by. */
function dump(memory, header, progress, flags) {
  const shards = [0, 1].map((shard) => {
    const words = new Int32Array(memory.buffer, header.shardsOffset + shard * header.shardBytes, 128);
    const named = Object.entries(Control).map(([name, offset]) => [name, words[offset >> 2]]);
    return Object.fromEntries(named.filter(([name]) => !name.endsWith('Ns')));
  });
  const rings = ['0 > 1', '1 > 0'].map((name, i) => {
    const words = new Uint32Array(memory.buffer, 8192 + (i === 0 ? 1 : 2) * header.ringBytes, 64);
    return { name, tail: words[0], waiting: words[16], head: words[32] };
  });
  return JSON.stringify({ progress: [...progress], flags: [...flags], shards, rings });
}

async function stress(recheck, limits, ms) {
  const { memory, header } = makeMemory(2, { ...SMALL, ...limits });
  const shared = () => new Int32Array(new SharedArrayBuffer(16));
  const [bells, progress, flags] = [shared(), shared(), shared()];
  const url = new URL('../support/park-worker.js', import.meta.url);
  const workers = [0, 1].map((index) => {
    return new Worker(url, { workerData: { memory, header, index, seed: SEED, bells, progress, flags, recheck } });
  });
  let timer;
  const watch = new Promise((_, reject) => {
    let last = '';
    let stoodMs = 0;
    let ranMs = 0;
    timer = setInterval(() => {
      const now = String([...progress]);
      stoodMs = now === last ? stoodMs + LOOK_MS : 0;
      last = now;
      ranMs += LOOK_MS;
      if (ranMs >= ms) Atomics.store(flags, 0, 1);
      if (stoodMs < STANDSTILL_MS) return;
      reject(new Error(`a wake-up was lost (FEATHERSTAR_SEED=${SEED}): ${dump(memory, header, progress, flags)}`));
    }, LOOK_MS);
  });
  try {
    const results = Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]));
    return await Promise.race([results, watch]);
  } finally {
    clearInterval(timer);
    for (const worker of workers) await worker.terminate();
  }
}

for (const ringSlots of [1, 4]) {
  test(`two threads that sleep whenever they can lose no wake-up, rings of ${ringSlots}`, async () => {
    const [a, b] = await stress(true, { ringSlots, creditCount: 4 }, STRESS_MS / 2);
    for (const [own, other] of [
      [a, b],
      [b, a],
    ]) {
      assert.is(own.answered, own.calls);
      assert.is(own.served, other.calls);
      assert.is(own.openCalls, 0);
      assert.ok(own.sleeps > 50 && own.doorbells > 10, JSON.stringify(own));
    }
  });
}

// --- every order of the steps ---------------------------------------------------------------------------------------

/** All ways to merge two lists, each in its own order. */
function* merges(a, b) {
  if (a.length === 0 || b.length === 0) yield [...a, ...b];
  else {
    for (const rest of merges(a.slice(1), b)) yield [a[0], ...rest];
    for (const rest of merges(a, b.slice(1))) yield [b[0], ...rest];
  }
}

const STEPS = {
  S1: (s) => Object.assign(s, { mail: 1 }),
  S2: (s) => Object.assign(s, { dirty: 1 }),
  S3: (s) => s.sleeping === 1 && Object.assign(s, { sleeping: 2, bell: 1 }),
  R1: (s) => Object.assign(s, { sleeping: 1 }),
  R2: (s) => s.dirty === 1 && Object.assign(s, { sleeping: 0, awake: 1 }),
  R3: (s) => s.awake === 0 && Object.assign(s, { asleep: 1 }),
};

/** Orders in which the receiver ends up asleep, with mail, and no bell rings. */
function losses(sender, receiver) {
  return [...merges(sender, receiver)].filter((order) => {
    const state = { mail: 0, dirty: 0, sleeping: 0, bell: 0, awake: 0, asleep: 0 };
    for (const step of order) STEPS[step](state);
    return state.asleep === 1 && state.mail === 1 && state.bell === 0;
  });
}

test('no order of the steps loses a wake-up, and every step is needed where it stands', () => {
  const [sender, receiver] = [
    ['S1', 'S2', 'S3'],
    ['R1', 'R2', 'R3'],
  ];
  assert.is([...merges(sender, receiver)].length, 20);
  assert.equal(losses(sender, receiver), []);
  assert.ok(losses(sender, ['R1', 'R3']).length > 0, 'without the second look');
  assert.ok(losses(sender, ['R2', 'R1', 'R3']).length > 0, 'look first, then say so');
  assert.ok(losses(['S1', 'S3', 'S2'], receiver).length > 0, 'look first, then set the bit');
  assert.ok(losses(['S1', 'S2'], receiver).length > 0, 'never ring');
});

// --- the core's own steps, in one thread ----------------------------------------------------------------------------

function send(shard) {
  assert.is(shard.post(1), 0);
  shard.core.flush();
  shard.enter();
}

/** Receiver and sender in an order where mail comes between the last turn and the sleep; `sleep` is R1 and R2. */
function meet(sleep) {
  const [a, b] = new Cluster(2).shards;
  assert.equal(b.turn(), []);
  send(a); // `sleeping` is 0, so no bell
  const asleep = sleep(b);
  return { lost: asleep && b.bells === 0, b };
}

test('mail before the sleep is seen by trySleep(); a mutant without the second look loses it', () => {
  const { lost, b } = meet((shard) => shard.core.trySleep(0) === 1);
  assert.not(lost);
  assert.is(b.word('sleeping'), 0);
  assert.is(b.turn().length, 1);

  const mutant = meet((shard) => {
    shard.setWord('sleeping', 1);
    return true;
  });
  assert.ok(mutant.lost, 'or this test could not fail');
});

test('mail after sleeping is published rings once, whoever else sends', () => {
  const [a, b, c] = new Cluster(3).shards;
  b.turn();
  assert.is(b.core.trySleep(0), 1);
  send(a);
  send(c);
  send(a);
  assert.is(b.word('sleeping'), 2);
  assert.is(b.bells, 1);
  b.core.awake();
  assert.is(b.word('sleeping'), 0);
  assert.is(b.turn().length, 3);
  send(a);
  assert.is(b.bells, 1, 'awake: nobody rings');
});

test('room in a ring that was full wakes its producer', () => {
  const [a, b] = new Cluster(2, { ringSlots: 1 }).shards;
  send(a);
  assert.is(a.post(1), Code.FULL);
  a.core.flush();
  assert.is(a.core.trySleep(0), 1);
  assert.is(b.turn().length, 1); // gives the slot back
  b.enter();
  assert.is(a.bells, 1);
  assert.is(a.u64[Control.dirty >> 3], 2n);
  a.core.awake();
  assert.equal(
    a.turn().map(({ kind }) => kind),
    [ReadyKind.ROOM],
  );
  send(a);
  assert.is(b.turn().length, 1);
});

test('a sender looks at the dirty word of its peer, not at what lies before the block', () => {
  const [a, b] = new Cluster(2).shards;
  b.u32.fill(0xffffffff, (b.base - 256) >>> 2, b.base >>> 2);
  send(a);
  assert.is(b.u64[Control.dirty >> 3], 1n);
});

test('a shard with a completion in its window wants a turn and does not sleep', () => {
  const [a] = new Cluster(2).shards;
  assert.is(a.core.wantsTurn(), 0);
  a.complete({ index: 0, generation: 0 });
  a.enter();
  assert.is(a.core.wantsTurn(), 1);
  assert.is(a.core.trySleep(0), 0);
});

test('a shard wants a turn as soon as its deadline has come', () => {
  const [a] = new Cluster(2).shards;
  const deadlineNs = a.now() + 5e6;
  a.core.armTimer(deadlineNs, 0, 1);
  a.setClock(deadlineNs - 1);
  assert.is(a.core.wantsTurn(), 0);
  a.setClock(deadlineNs);
  assert.is(a.core.wantsTurn(), 1);
});

test('trySleep() of a busy shard answers no and leaves it awake', () => {
  const [a] = new Cluster(2).shards;
  assert.is(a.core.trySleep(1), 0);
  assert.is(a.word('sleeping'), 0);
});

test.run();
