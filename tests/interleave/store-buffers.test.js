// deadline: 300 s
// The sleep protocol and the rings with store buffers: every order of steps, in which a plain store may also become
// visible late. The first tests are about the model itself, by the programs that tell memory models apart.
//
// Next: store-buffers.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BOUNDS, nameOf } from './main.js';
import { StoreBuffers } from './store-buffers.js';
import { Access } from './transform.js';
import { compileBeside, isHeld, mutantIsCaught, mutantsOf } from './verdicts.js';

const WORD = 4 << Access.BYTES;
const load = (word) => ({ at: word * 4, access: WORD });
const store = (word, value = 1) => ({ at: word * 4, access: WORD | Access.STORE, value });
const atomic = (step) => ({ ...step, access: step.access | Access.ATOMIC });
const [X, Y] = [0, 1];

/** All that two programs can read under `model`: each outcome is the list of what the loads of both have read. */
function outcomes(model, programs) {
  const found = new Set();
  const u32 = new Uint32Array(2);
  const buffers = new StoreBuffers(u32, model);
  const explore = (places, read) => {
    const choices = [0, 1].filter((shard) => {
      const step = programs[shard][places[shard]];
      return step !== undefined && !buffers.delays(shard, step.access);
    });
    choices.push(...buffers.choices());
    if (choices.length === 0) found.add(read.flat().join(' '));
    for (const choice of choices) {
      const [memory, stores] = [u32.slice(), buffers.save()];
      const after = [places, read].map((list) => list.map((one) => (Array.isArray(one) ? [...one] : one)));
      if (!buffers.drain(choice)) {
        const step = programs[choice][after[0][choice]++];
        buffers.show(choice, step);
        if (step.value === undefined) after[1][choice].push(u32[step.at / 4]);
        else u32[step.at / 4] = step.value;
        buffers.hide(choice);
      }
      explore(...after);
      u32.set(memory);
      buffers.restore(stores);
    }
  };
  explore([0, 0], [[], []]);
  return [...found].sort();
}

test('store buffering: both shards may miss the other, unless the stores are atomic', () => {
  const plain = [
    [store(X), atomic(load(Y))],
    [store(Y), atomic(load(X))],
  ];
  const fenced = [
    [atomic(store(X)), atomic(load(Y))],
    [atomic(store(Y)), atomic(load(X))],
  ];
  assert.equal(outcomes('sc', plain), ['0 1', '1 0', '1 1']);
  for (const model of ['tso', 'relaxed']) {
    assert.equal(outcomes(model, plain), ['0 0', '0 1', '1 0', '1 1']);
    assert.equal(outcomes(model, fenced), ['0 1', '1 0', '1 1']);
  }
});

test('message passing: a flag may come before its message on ARM, not on x86, and not if it is atomic', () => {
  const plain = [
    [store(X), store(Y)],
    [atomic(load(Y)), atomic(load(X))],
  ];
  const released = [[store(X), atomic(store(Y))], plain[1]];
  assert.equal(outcomes('tso', plain), ['0 0', '0 1', '1 1']);
  assert.equal(outcomes('relaxed', plain), ['0 0', '0 1', '1 0', '1 1']);
  assert.equal(outcomes('relaxed', released), ['0 0', '0 1', '1 1']);
});

test('a plain store may overtake an atomic one on ARM, not on x86', () => {
  const programs = [
    [atomic(store(X)), store(Y)],
    [atomic(load(Y)), atomic(load(X))],
  ];
  assert.equal(outcomes('tso', programs), ['0 0', '0 1', '1 1']);
  assert.equal(outcomes('relaxed', programs), ['0 0', '0 1', '1 0', '1 1']);
});

test('a read-modify-write lets nothing pass', () => {
  const add = { at: X * 4, access: WORD | Access.STORE | Access.ATOMIC | Access.MODIFY, value: 1 };
  const programs = [
    [add, store(Y)],
    [atomic(load(Y)), atomic(load(X))],
  ];
  for (const model of ['tso', 'relaxed']) assert.equal(outcomes(model, programs), ['0 0', '0 1', '1 1']);
});

test('a shard sees its own stores, and two stores to one word stay in order', () => {
  const programs = [
    [store(X, 1), load(X), store(X, 2), load(X)],
    [load(X), load(X)],
  ];
  for (const model of ['tso', 'relaxed']) {
    const read = outcomes(model, programs);
    assert.ok(read.every((one) => one.startsWith('1 2 ')));
    assert.equal(read, ['1 2 0 0', '1 2 0 1', '1 2 0 2', '1 2 1 1', '1 2 1 2', '1 2 2 2']);
  }
});

const isHere = ([, , , model, park]) => model !== 'sc' && park === 'core';

for (const bound of BOUNDS.filter(isHere)) test(`every interleaving: ${nameOf(bound)}`, () => isHeld(bound));

const mutants = mutantsOf(isHere);
const compiled = compileBeside(mutants);
for (const mutant of mutants) test(`mutant ${mutant} is caught`, () => mutantIsCaught(mutant, compiled));

test.run();
