// core: both
// Slabs and lists, through the test-only module internals.ts, against a Map and arrays: a million random steps.
//
// Next: spsc.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { instantiateCore } from '../../dist/host/core/core.js';
import { buildWasm } from '../support/asc.js';
import { FULL, forSeeds } from '../support/seeds.js';

const module = buildWasm('tests/core/internals.ts', 'dist/test-internals.wasm');
const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536, shared: true });
const never = () => assert.unreachable('a slab calls nobody');
const core = instantiateCore(module, memory, { enter: never, threadSpawn: never });
const words = new Uint32Array(memory.buffer);

const TABLE = 65536;
const LIST = 32768; // head, tail
const MASK = 0x7fffffff;
const LEFT = 0xabababaa; // even

function wordAt(stride, index) {
  return (TABLE + stride * index) >>> 2;
}

function makeSlab(stride, limit) {
  words.fill(0, TABLE >>> 2);
  words.fill(LEFT, wordAt(stride, 1), wordAt(stride, limit + 1)); // as an earlier life has left them
  core.slabInit(TABLE, stride, limit);
}

/** Steps of take, give and ask; the model knows the free list's order, so every answer is foretold. */
function drive(random, stride, limit, steps) {
  makeSlab(stride, limit);
  const taken = new Map(); // index -> generation
  const free = []; // newest last
  const stale = [];
  let fresh = 1;
  const generations = new Map();
  for (let step = 0; step < steps; step++) {
    const what = random(10);
    if (what < ((step & 0x1fff) < 0x1000 ? 5 : 3)) {
      const index = core.slabTake(TABLE, stride);
      const expected = free.pop() ?? (fresh <= limit ? fresh++ : 0);
      assert.is(index, expected, 'newest free slot first, then a fresh one');
      if (index === 0) continue;
      const generation = ((generations.get(index) ?? LEFT) + 1) & MASK;
      assert.is(words[wordAt(stride, index)], generation);
      assert.is(generation & 1, 1, 'odd while taken');
      generations.set(index, generation);
      taken.set(index, generation);
    } else if (what < 8 && taken.size > 0) {
      const index = [...taken.keys()][random(Math.min(taken.size, 8))];
      core.slabGive(TABLE, stride, index);
      stale[random(200)] = [index, taken.get(index)];
      taken.delete(index);
      free.push(index);
      generations.set(index, (generations.get(index) + 1) & MASK);
      assert.is(core.slabLive(TABLE, stride, index, generations.get(index)), 0, 'a slot that is free');
    } else {
      for (const [index, generation] of [...taken].slice(0, 2)) {
        assert.is(core.slabLive(TABLE, stride, index, generation), 1);
        assert.is(core.slabLive(TABLE, stride, index, generation + 1), 0);
        assert.is(core.slabLive(TABLE, stride, index, generation | 0x80000000), 0);
      }
      const [index, generation] = stale[random(200)] ?? [0, 1];
      assert.is(core.slabLive(TABLE, stride, index, generation), 0, `stale ${index}, ${generation}`);
      assert.is(core.slabLive(TABLE, stride, random(2 ** 32), 2 * random(2 ** 31)), 0, 'an even generation');
      assert.is(core.slabLive(TABLE, stride, fresh + random(2 ** 31), 1), 0, 'a slot never handed out');
    }
    assert.is(core.slabUsed(TABLE), taken.size);
  }
  for (let i = wordAt(stride, fresh); i < wordAt(stride, limit + 1); i++) assert.is(words[i], LEFT, 'fresh memory');
  return fresh - 1;
}

test('a million random steps agree with a model', () => {
  const steps = FULL ? 1_000_000 : 300_000;
  forSeeds(1, (random) => {
    for (const [stride, limit] of [
      [32, 1],
      [64, 7],
      [128, 500],
      [20, 3000],
    ]) {
      const reached = drive(random, stride, limit, steps);
      if (limit <= 500) assert.is(reached, limit, 'the table was full at times');
    }
  });
});

test('memory of slots that were never taken is not touched', () => {
  makeSlab(64, 100);
  for (let i = 0; i < 10; i++) core.slabTake(TABLE, 64);
  for (let i = 1; i <= 10; i++) core.slabGive(TABLE, 64, i);
  for (let i = 0; i < 10; i++) core.slabTake(TABLE, 64);
  for (let i = wordAt(64, 11); i < wordAt(64, 101); i++) assert.is(words[i], LEFT);
});

test('a generation wraps round within 31 bits, still odd while taken', () => {
  makeSlab(64, 1);
  assert.is(core.slabTake(TABLE, 64), 1);
  words[wordAt(64, 1)] = MASK; // the last odd one
  assert.is(core.slabLive(TABLE, 64, 1, MASK), 1);
  core.slabGive(TABLE, 64, 1);
  assert.is(words[wordAt(64, 1)], 0);
  assert.is(core.slabLive(TABLE, 64, 1, MASK), 0);
  assert.is(core.slabTake(TABLE, 64), 1);
  assert.is(core.slabLive(TABLE, 64, 1, 1), 1);
});

test('a list keeps its order through pushes, shifts and removals from anywhere', () => {
  const stride = 32;
  const steps = FULL ? 1_000_000 : 200_000;
  forSeeds(1, (random) => {
    makeSlab(stride, 500);
    words.fill(0, wordAt(stride, 1), wordAt(stride, 501)); // links are zero at first, as in the core's tables
    words[LIST >>> 2] = 0;
    words[(LIST >>> 2) + 1] = 0;
    const model = [];
    for (let step = 0; step < steps; step++) {
      const what = random(10);
      if (what < 5) {
        const index = core.slabTake(TABLE, stride);
        if (index === 0) continue;
        core.pushAt(LIST, TABLE, stride, index);
        model.push(index);
      } else if (what < 7) {
        const index = core.shiftAt(LIST, TABLE, stride);
        assert.is(index, model.shift() ?? 0);
        if (index !== 0) core.slabGive(TABLE, stride, index);
      } else if (model.length > 0) {
        const [index] = model.splice(random(model.length), 1);
        core.removeAt(LIST, TABLE, stride, index);
        core.slabGive(TABLE, stride, index);
      }
      assert.is(words[LIST >>> 2], model[0] ?? 0, 'head');
      assert.is(words[(LIST >>> 2) + 1], model.at(-1) ?? 0, 'tail');
    }
    while (model.length > 0) assert.is(core.shiftAt(LIST, TABLE, stride), model.shift());
    assert.is(core.shiftAt(LIST, TABLE, stride), 0);
  });
});

test.run();
