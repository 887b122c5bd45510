// core: both
// One ring: producer and consumer interleaved by seed in one thread, against a queue; then in two threads.
//
// The interleaving is at the grain of ring functions: all that one of them reads of the other side is one index, so
// finer steps show nothing new. (Every interleaving of the accesses themselves: tests/interleave.)
//
// Next: mesh.test.js.
// deadline: 300 s

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { instantiateCore } from '../../dist/host/core/core.js';
import { buildWasm } from '../support/asc.js';
import { FULL, forSeeds } from '../support/seeds.js';

const module = buildWasm('tests/core/internals.ts', 'dist/test-internals.wasm');
const memory = new WebAssembly.Memory({ initial: 3, maximum: 65536, shared: true });
const never = () => assert.unreachable('a ring calls nobody');
const core = instantiateCore(module, memory, { enter: never, threadSpawn: never });
const words = new Uint32Array(memory.buffer);

const RING = 65536;
const at = (offset) => (RING + offset) >>> 2;
const TAIL = at(0);
const WAITING = at(192);
const HEAD = at(128);
const INDICES = [TAIL, HEAD, at(256), at(260), at(272), at(384), at(388)];
const BEGUN = at(132);
const CREDIT_COUNTS = [BEGUN, at(264), at(268), at(392), at(396)];

/** An empty ring whose indices stand at `start`. */
function makeRing(slots, start) {
  words.fill(0, at(0), at(512 + slots * 64));
  for (const index of [...INDICES, ...CREDIT_COUNTS]) words[index] = start;
}

class Drive {
  constructor(random, slots, start) {
    Object.assign(this, { random, slots, start, written: 0, published: 0, taken: 0, released: 0 });
    Object.assign(this, { credits: 1 + random(8), asked: 0, begun: 0, given: 0 });
    this.waits = false; // the producer waits, and was not told yet
    this.told = 0;
    makeRing(slots, start);
  }

  /** The producer knows `released` only when it last looked; it looks when it seems full, so it is never wrong. */
  produce() {
    const slot = core.claim(RING, this.slots);
    if (this.written - this.released === this.slots) {
      assert.is(slot, 0, 'full');
      return;
    }
    assert.is(slot, RING + 512 + (((this.start + this.written) >>> 0) % this.slots) * 64);
    words[slot >>> 2] = this.written;
    words[(slot >>> 2) + 15] = ~this.written;
    if (this.random(8) === 0) return; // claimed, not staged: it does not count
    core.stage(RING);
    this.written++;
  }

  publish() {
    core.publish(RING);
    this.published = this.written;
  }

  /** A request needs credit beside its slot. */
  ask() {
    const isFree = this.asked - this.given < this.credits;
    assert.is(
      core.hasCredit(RING, this.credits),
      isFree ? 1 : 0,
      `${this.asked - this.given} of ${this.credits} are out`,
    );
    if (!isFree) return;
    core.takeCredit(RING);
    this.asked++;
  }

  /** The consumer's host begins a request, or finds that it cannot yet. */
  begin() {
    const count = this.begun > this.given && this.random(3) === 0 ? -1 : 1;
    if (count === 1 && this.begun === this.asked) return;
    core.countBegun(RING, count);
    this.begun += count;
  }

  wait() {
    core.setWaiting(RING);
    assert.is(words[WAITING], 1);
    this.waits = true;
  }

  consume() {
    const slot = core.available(RING, this.slots);
    if (this.taken === this.published) {
      assert.is(slot, 0, 'only what is published is there');
      return;
    }
    assert.ok(slot !== 0);
    assert.is(words[slot >>> 2], this.taken % 2 ** 32, 'in order');
    assert.is(words[(slot >>> 2) + 15], ~this.taken >>> 0);
    if (this.random(8) === 0) return; // looked at, not taken: it stays
    core.take(RING);
    this.taken++;
  }

  release() {
    core.release(RING);
    core.giveCredit(RING);
    assert.is(words[BEGUN], (this.start + this.begun) >>> 0);
    assert.is(core.takeWaiting(RING), this.waits ? 1 : 0, 'a producer that waits is told, once');
    if (this.waits) this.told++;
    this.waits = false;
    this.released = this.taken;
    this.given = this.begun;
  }

  run(steps) {
    for (let i = 0; i < steps; i++) {
      const what = this.random(16);
      const flood = (i & 0x1fff) < 0x1000;
      if (what < (flood ? 8 : 4)) this.produce();
      else if (what < 9) this.publish();
      else if (what < 10) this.wait();
      else if (what < 11) this.ask();
      else if (what < 12) this.begin();
      else if (what < (flood ? 14 : 15)) this.consume();
      else this.release();
    }
    this.publish();
    while (this.taken < this.published) this.consume();
    this.release();
    assert.is(words[TAIL], (this.start + this.written) >>> 0);
    assert.is(words[HEAD], words[TAIL]);
  }
}

test('a million random steps agree with a queue, also where indices wrap round', () => {
  const steps = FULL ? 500_000 : 150_000;
  let total = 0;
  forSeeds(2, (random) => {
    for (const slots of [1, 2, 4, 1024]) {
      for (const start of [0, 2 ** 32 - 20]) {
        const drive = new Drive(random, slots, start);
        drive.run(steps);
        assert.ok(drive.told > 0, 'the producer had to wait at times');
        assert.ok(drive.written > 2 * slots && (start === 0 || words[TAIL] < start));
        total += steps;
      }
    }
  });
  assert.ok(total >= 1e6 || process.env.FEATHERSTAR_SEED !== undefined);
});

test('all slots of a ring can be used, and nothing is seen before it is published', () => {
  for (const slots of [1, 2, 4, 1024]) {
    makeRing(slots, 0);
    for (let i = 0; i < slots; i++) {
      assert.ok(core.claim(RING, slots) !== 0);
      core.stage(RING);
      assert.is(core.available(RING, slots), 0);
    }
    assert.is(core.claim(RING, slots), 0);
    core.publish(RING);
    for (let i = 0; i < slots; i++) {
      assert.ok(core.available(RING, slots) !== 0);
      core.take(RING);
      assert.is(core.claim(RING, slots), 0, 'taken is not yet given back');
    }
    assert.is(core.available(RING, slots), 0);
    core.release(RING);
    assert.ok(core.claim(RING, slots) !== 0);
  }
});

// --- two threads ----------------------------------------------------------------------------------------------------

// Each slot carries its number and a checksum over all words; whoever reads half a message finds out.
const THREAD = `
  import { workerData } from 'node:worker_threads';
  const { module, memory, host, producer, slots, count, RING } = workerData;
  const { instantiateCore } = await import(host);
  const never = () => { throw new Error('a ring calls nobody'); };
  const core = instantiateCore(module, memory, { enter: never, threadSpawn: never });
  const words = new Uint32Array(memory.buffer);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const mix = (n, i) => Math.imul(n + i * 0x9e3779b9, 0x85ebca6b) >>> 0;
  let spins = 0;
  const idle = () => { if (++spins % 1000 === 0) Atomics.wait(pause, 0, 0, 0.01); }; // they may share one processor
  if (producer) {
    for (let n = 0; n < count; n++) {
      let slot = core.claim(RING, slots) >>> 2;
      while (slot === 0) {
        core.publish(RING);
        idle();
        slot = core.claim(RING, slots) >>> 2;
      }
      for (let i = 0; i < 16; i++) words[slot + i] = mix(n, i);
      core.stage(RING);
      if ((n & 15) === 15) core.publish(RING);
    }
    core.publish(RING);
  } else {
    for (let n = 0; n < count; n++) {
      let slot = core.available(RING, slots) >>> 2;
      while (slot === 0) {
        core.release(RING);
        idle();
        slot = core.available(RING, slots) >>> 2;
      }
      for (let i = 0; i < 16; i++) {
        if (words[slot + i] !== mix(n, i)) throw new Error('message ' + n + ', word ' + i + ': ' + words[slot + i]);
      }
      core.take(RING);
      if ((n & 7) === 7) core.release(RING);
    }
    core.release(RING);
  }
`;

for (const slots of [1, 2, 1024]) {
  const count = Math.min(200_000 * slots, 2_000_000); // a handover costs much where there is only one processor
  test(`two threads pass ${count} messages through ${slots} slots, whole and in order`, async () => {
    makeRing(slots, 2 ** 32 - 1000);
    const host = new URL('../../dist/host/core/core.js', import.meta.url).href;
    const url = new URL(`data:text/javascript,${encodeURIComponent(THREAD)}`);
    const workers = [true, false].map((producer) => {
      return new Worker(url, { workerData: { module, memory, host, producer, slots, count, RING } });
    });
    try {
      const codes = await Promise.all(workers.map((worker) => once(worker, 'exit'))); // or the error that one died of
      assert.equal(codes, [[0], [0]]);
    } finally {
      for (const worker of workers) await worker.terminate();
    }
    assert.is(words[TAIL], (2 ** 32 - 1000 + count) >>> 0);
    assert.is(words[HEAD], words[TAIL]);
  });
}

test.run();
