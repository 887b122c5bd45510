// deadline: 300 s
// All interleavings of two shards within BOUNDS, random ones beyond, and the mutants, which must be caught: so the
// tool can fail. `npm run interleave` prints more, main.js says what.
//
// Next: between.test.js; then store-buffers.test.js and c-park.test.js, which do the same with store buffers, and with
// the receiver in C.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeMemory } from '../../dist/host/core/core.js';
import { SMALL } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';
import { exhaust, wander } from './explore.js';
import { BOUNDS, commandOf, copyOf, DEBUG, machineOf, nameOf } from './main.js';
import { Access } from './transform.js';
import { compileBeside, isHeld, mutantIsCaught, mutantsOf } from './verdicts.js';

const STATES_MAX = 100_000;
const STEPS_MAX = 100_000;

/** Calls there and back between two instances of `module`; answers all bytes of their memory. */
function bytesAfterCalls(module, point) {
  const { memory, header } = makeMemory(2, { ...SMALL, ringSlots: 1 });
  const imports = { env: { memory }, uring: { enter() {} }, wasi: { 'thread-spawn': () => -1 }, inter: { point } };
  const [a, b] = [0, 1].map((shard) => {
    const core = new WebAssembly.Instance(module, imports).exports;
    core.boot(shard, 1e9);
    return core;
  });
  const post = (core, from, peer, kind) => {
    const base = header.shardsOffset + from * header.shardBytes;
    new Uint32Array(memory.buffer, base + header.outgoingOffset, 16).set([kind, 0, 0, 8, 0, 0, from, kind]);
    return core.post(peer);
  };
  assert.is(post(a, 0, 1, 1), 0);
  assert.ok(post(a, 0, 1, 1) < 0, 'one slot, one request');
  a.flush();
  assert.is(b.turn(), 1);
  assert.is(post(b, 1, 0, 2), 0);
  b.trySleep(0);
  for (let i = 0; i < 3; i++) for (const core of [a, b]) core.turn();
  return Buffer.from(new Uint8Array(memory.buffer));
}

test('a copy that is never stopped writes the same bytes as core.wasm', () => {
  const { module, points, hash } = copyOf();
  const shipped = readFileSync(new URL('../../dist/core.wasm', import.meta.url));
  const asked = [0, 0];
  const copy = bytesAfterCalls(module, (address, _offset, access) => {
    asked[access & Access.ATOMIC]++;
    return address;
  });
  assert.ok(copy.equals(bytesAfterCalls(new WebAssembly.Module(shipped), undefined)));
  assert.ok(asked[0] > 100 && asked[1] > 30, String(asked));
  assert.ok(points.atomic > 30, 'each atomic of the core');
  console.log(`core.wasm ${hash}`);
});

const isHere = ([, , , model, park]) => model === 'sc' && park === 'core';

for (const bound of BOUNDS.filter(isHere)) test(`every interleaving: ${nameOf(bound)}`, () => isHeld(bound));

const mutants = mutantsOf(isHere);
const compiled = compileBeside(mutants);
for (const mutant of mutants) test(`mutant ${mutant} is caught`, () => mutantIsCaught(mutant, compiled));

// Whatever a walk without save() and restore() meets, the search has met: else it loses states, and proves nothing.
for (const bound of [
  ['sleep', 1, 2, 'sc', 'core'],
  ['drip', 2, 2, 'tso', 'core'],
]) {
  test(`every state of a random walk is among those that were explored: ${nameOf(bound)}`, () => {
    const { seen } = exhaust(machineOf(bound), { statesMax: STATES_MAX });
    const met = new Set();
    forSeeds(100, (random) => {
      const machine = machineOf(bound);
      const stay = 1 + random(20); // steps that a shard does in a row, about
      let choice = random(2);
      for (;;) {
        const able = machine.choices();
        if (able.length === 0) break;
        if (!able.includes(choice) || random(stay) === 0) choice = able[random(able.length)];
        machine.step(choice);
        assert.ok(seen.has(machine.hash()), 'a state that the search has not seen');
        met.add(machine.hash());
      }
    });
    assert.ok(met.size > 100, String(met.size));
  });
}

for (const capacity of [1, 2]) {
  test(`random deep schedules: calls both ways, ${capacity} slots, 12 messages each`, () => {
    forSeeds(FULL ? 2000 : 60, (_random, seed) => {
      const bound = ['cross', capacity, 12, 'sc', 'core'];
      const run = wander(machineOf(bound), seed, STEPS_MAX);
      assert.is(run.broken, null, run.broken && `${run.broken}\n${commandOf(bound, '', run.path)}`);
      assert.ok(run.ended, 'it comes to an end');
    });
  });
}

test('random schedules break no assert of the debug core', () => {
  for (const bound of [...BOUNDS.filter(isHere), ['cross', 1, 8, 'sc', 'core']]) {
    forSeeds(FULL ? 500 : 10, (_random, seed) => {
      const run = wander(machineOf(bound, DEBUG), seed, STEPS_MAX);
      assert.is(run.broken, null, run.broken && `${run.broken}\n${commandOf(bound, DEBUG, run.path)}`);
      assert.ok(run.ended, 'it comes to an end');
    });
  }
});

test.run();
