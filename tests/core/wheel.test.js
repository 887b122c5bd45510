// core: both
// The timer wheel through armTimer(), cancelTimer() and turn(), against a naive sorted list: a million random steps
// with
// deadlines of every magnitude, then each limit and each promise by itself.
//
// The list's law: a timer is due when the tick (512 ns) that its deadline is rounded up to has been reached; timers
// fire in the order of their ticks, and within a tick in the order in which they were armed. One armed for the past
// counts as of the tick at which it was armed.
//
// Next: slab.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Code, MoreWork, oneShard } from '../support/core.js';
import { anyMagnitude, FULL, forSeeds } from '../support/seeds.js';

const TICK_NS = 512;
const TIMER = 2; // ReadyKind
const MAX_NS = 2 ** 60;

const S = 1e9;
const SPANS = [
  0,
  1,
  511,
  512,
  513,
  1e3,
  32_768,
  1e6,
  2_097_152,
  1e8,
  S,
  60 * S,
  3600 * S,
  86_400 * S,
  100 * 86_400 * S,
];

class Model {
  constructor(nowNs) {
    this.pending = []; // { key, seq, owner, deadline, index, generation }, sorted by key, then seq
    this.elapsed = Math.floor(nowNs / TICK_NS);
    this.seq = 0;
  }

  insert(entry) {
    entry.key = Math.max(Math.ceil(entry.deadline / TICK_NS), this.elapsed);
    entry.seq = this.seq++;
    let low = 0;
    let high = this.pending.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.pending[middle].key <= entry.key) low = middle + 1;
      else high = middle;
    }
    this.pending.splice(low, 0, entry);
  }

  advance(nowNs) {
    this.elapsed = Math.max(this.elapsed, Math.floor(nowNs / TICK_NS));
    let count = 0;
    while (count < this.pending.length && this.pending[count].key <= this.elapsed) count++;
    return this.pending.splice(0, count);
  }
}

/** One random life of a wheel. */
class Drive {
  constructor(random, bootNs) {
    this.random = random;
    this.shard = oneShard({ timerSlots: 300, readySlots: 512 }, { bootNs });
    this.model = new Model(bootNs);
    this.dead = [];
    this.owner = 0;
    this.fills = 0;
    this.steps = 0;
  }

  step() {
    const what = this.random(100);
    const busy = (this.steps++ & 0x3fff) < 0x2000 ? 66 : 40; // drifts now to a full table, now to an empty one
    if (what < busy) this.arm();
    else if (what < 70) this.cancel();
    else this.turn(this.shard.now() + this.advance());
    assert.is(this.shard.pendingTimers(), this.model.pending.length);
    this.checkDeadline();
  }

  arm() {
    const { random, shard, model } = this;
    const span = random(3) === 0 ? anyMagnitude(random, 53) : SPANS[random(SPANS.length)] + random(3) - 1;
    const near = model.pending.length > 0 && random(4) === 0;
    const base = near ? model.pending[random(model.pending.length)].deadline : shard.now() + span;
    const deadline = Math.min(Math.max(random(8) === 0 ? shard.now() - span : base, 0), MAX_NS);
    const owner = ++this.owner;
    const index = shard.core.armTimer(deadline, owner & 0xfff, owner);
    if (model.pending.length === shard.header.timerSlots) {
      assert.is(index, Code.FULL);
      this.fills++;
      return;
    }
    assert.ok(index > 0 && index <= shard.header.timerSlots, `slot ${index}`);
    model.insert({ owner, deadline, index, generation: shard.timerGeneration(index), armedNs: shard.now() });
  }

  cancel() {
    const { random, shard, model } = this;
    const kind = random(4);
    if (kind === 0 && this.dead.length > 0) {
      const { index, generation } = this.dead[random(this.dead.length)];
      assert.is(shard.core.cancelTimer(index, generation), Code.STALE);
    } else if (kind === 1) {
      assert.is(shard.core.cancelTimer(random(2) ? random(600) : random(2 ** 32), 2 * random(2 ** 20)), Code.STALE);
      assert.is(shard.core.cancelTimer(301 + random(2 ** 31), 1), Code.STALE);
    } else if (model.pending.length > 0) {
      const [entry] = model.pending.splice(random(model.pending.length), 1);
      assert.is(shard.core.cancelTimer(entry.index, entry.generation), 0);
      assert.is(shard.core.cancelTimer(entry.index, entry.generation), Code.STALE, 'twice');
      this.bury(entry);
    }
  }

  bury(entry) {
    if (this.dead.length < 500) this.dead.push(entry);
    else this.dead[this.random(500)] = entry;
  }

  advance() {
    const { random, shard } = this;
    const kind = random(10);
    if (kind < 2) return 0;
    if (kind < 4) return TICK_NS;
    if (kind < 6) return random(1e6);
    if (kind < 9) return Math.min(Math.max(shard.deadline() - shard.now(), 0), (MAX_NS - shard.now()) / 64);
    return Math.min(SPANS[random(SPANS.length)], (MAX_NS - shard.now()) / 256);
  }

  turn(nowNs) {
    const { shard, model } = this;
    const before = this.lastTurnNs ?? shard.now();
    const fired = shard.turn(nowNs);
    const due = model.advance(nowNs);
    assert.is(fired.length, due.length, `fired at ${nowNs}`);
    for (let i = 0; i < due.length; i++) {
      const { kind, tag, index } = fired[i];
      const { owner, deadline, armedNs } = due[i];
      if (kind !== TIMER || index !== owner || tag !== (owner & 0xfff)) {
        assert.unreachable(`${i}: fired ${JSON.stringify(fired[i])}, due ${JSON.stringify(due[i])}`);
      }
      if (deadline > nowNs) assert.unreachable(`early: ${deadline} at ${nowNs}`);
      if (armedNs < before && before - deadline >= TICK_NS) {
        assert.unreachable(`late: ${deadline} was not taken at ${before}`);
      }
      this.bury(due[i]);
    }
    this.lastTurnNs = nowNs;
  }

  checkDeadline() {
    const { shard, model } = this;
    const told = shard.deadline();
    if (model.pending.length === 0) return;
    const next = model.pending[0].key * TICK_NS;
    if (told > next) assert.unreachable(`the next deadline is ${next}, told ${told}`);
  }

  /** Sleeps from deadline to deadline until nothing is left: a few turns each, as timers come down by levels. */
  finish() {
    const { shard, model } = this;
    this.turn(shard.now());
    let idle = 0;
    while (model.pending.length > 0) {
      const left = model.pending.length;
      const told = shard.deadline();
      assert.ok(Number.isFinite(told) && told >= shard.now() - TICK_NS, `deadline ${told}`);
      this.turn(Math.max(told, shard.now()));
      this.checkDeadline();
      idle = model.pending.length === left ? idle + 1 : 0;
      assert.ok(idle <= 8, 'more turns in vain than there are levels');
    }
    assert.is(shard.deadline(), Number.POSITIVE_INFINITY);
    assert.is(shard.pendingTimers(), 0);
  }
}

test('a million random steps agree with a sorted list', () => {
  const steps = FULL ? 2_000_000 : 250_000;
  let fills = 0;
  for (const bootNs of [0, 1e9, 2 ** 52, 2 ** 57]) {
    forSeeds(1, (random) => {
      const drive = new Drive(random, bootNs);
      for (let i = 0; i < steps; i++) drive.step();
      drive.finish();
      fills += drive.fills;
    });
  }
  assert.ok(fills > 0, 'the table was full at times');
});

test('timers of equal deadlines fire in the order in which they were armed, at every distance', () => {
  forSeeds(20, (random) => {
    const shard = oneShard({ timerSlots: 600, readySlots: 1024 });
    for (const span of SPANS) {
      const deadline = shard.now() + span + random(1000);
      const order = [];
      for (let i = 0; i < 500; i++) {
        shard.core.armTimer(deadline, 0, i + 1);
        order.push(i + 1);
        const left = deadline - shard.now();
        if (left > 4 * TICK_NS && random(8) === 0) assert.is(shard.turn(shard.now() + random(left / 2)).length, 0);
      }
      const fired = shard.turn(deadline + TICK_NS).map(({ index }) => index);
      assert.equal(fired, order, `distance ${span}`);
    }
  });
});

test('what is no deadline is refused, and changes nothing', () => {
  const shard = oneShard();
  shard.turn();
  for (const bad of [
    Number.NaN,
    -1,
    -Number.MIN_VALUE,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    2 ** 60 + 256,
  ]) {
    assert.is(shard.core.armTimer(bad, 0, 1), Code.RANGE, `${bad}`);
  }
  assert.is(shard.pendingTimers(), 0);
  assert.is(shard.deadline(), Number.POSITIVE_INFINITY);
  assert.ok(shard.core.armTimer(MAX_NS, 0, 1) > 0);
  assert.ok(shard.core.armTimer(0, 0, 2) > 0);
  assert.ok(shard.core.armTimer(-0, 0, 3) > 0);
  assert.equal(
    shard.turn().map(({ index }) => index),
    [2, 3],
  );
  assert.equal(
    shard.turn(MAX_NS).map(({ index }) => index),
    [1],
  );
});

test('a full table answers FULL and recovers', () => {
  const shard = oneShard({ timerSlots: 3 });
  shard.turn();
  const far = shard.now() + S;
  for (let i = 1; i <= 3; i++) assert.is(shard.core.armTimer(far, 0, i), i);
  assert.is(shard.core.armTimer(5, 0, 4), Code.FULL);
  assert.is(shard.deadline(), far, 'the refused one does not wake the host');
  assert.is(shard.core.cancelTimer(2, shard.timerGeneration(2)), 0);
  assert.is(shard.core.armTimer(far, 0, 5), 2);
  assert.is(shard.turn(far + TICK_NS).length, 3);
  assert.is(shard.core.armTimer(far, 0, 6) > 0, true);
});

test('more timers than the ready ring holds: the rest follows when it is drained, in order', () => {
  const shard = oneShard({ timerSlots: 200, readySlots: 32, cqeSlots: 16 });
  for (let i = 1; i <= 200; i++) shard.core.armTimer(i * 1000, 0, i);
  const order = shard.turn(S).map(({ index }) => index);
  assert.is(order.length, 32);
  while (shard.word('moreWork') & MoreWork.BLOCKED) {
    assert.is(shard.core.wantsTurn(), 1);
    order.push(...shard.turn().map(({ index }) => index));
  }
  assert.equal(
    order,
    Array.from({ length: 200 }, (_, i) => i + 1),
  );
  assert.is(shard.counters().timersFired, 200);
});

test('timers armed before the first turn count as of the time of boot', () => {
  const shard = oneShard({}, { bootNs: S });
  shard.core.armTimer(S - 2e6, 0, 1);
  shard.core.armTimer(S - 3e6, 0, 2);
  assert.equal(
    shard.turn().map(({ index }) => index),
    [1, 2],
  );
});

test('a host whose clock goes back gets no timer early and loses none', () => {
  const shard = oneShard();
  shard.turn(2 * S);
  shard.core.armTimer(S, 0, 1);
  shard.core.armTimer(2 * S + 10 * TICK_NS, 0, 2);
  assert.equal(shard.turn(S), []); // time is what the wheel has seen: it waits until the clock is there again
  assert.equal(shard.turn(S + 64 * TICK_NS), []); // each slot of level 0 comes round once in so many ticks
  assert.is(shard.turn(2 * S).length, 1);
  assert.is(shard.turn(2 * S + 10 * TICK_NS).length, 1);
});

test.run();
