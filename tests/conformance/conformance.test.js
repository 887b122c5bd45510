// deadline: 300 s
//
// Vectors of the simulator, replayed on three builds of the core, and on builds with a defect. A host
// or an engine is right if it has the hash of all others. A wrong one has another hash: this is shown here.
//
//   record.js --60 seeds--> vectors --replay.js--> core.wasm, core.debug.wasm, without optimising:   one hash
//                                              --> one instruction changed (tests/mutate/schemata.js): another hash
//
// `npm run conformance` replays a thousand seeds, in each engine that is here.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { build, select } from '../mutate/schemata.js';
import { replay } from './replay.js';
import { vectorsFile } from './vectors.js';

const SEEDS = 60;
const vectors = readFileSync(await vectorsFile(SEEDS));
const compiled = (name) => new WebAssembly.Module(readFileSync(new URL(`../../dist/${name}`, import.meta.url)));
const shipped = compiled('core.wasm');
const { hash, calls, called, differences } = replay(shipped, vectors);
const schemata = await build();

test('the core does what was recorded', () => {
  assert.equal(differences, []);
  assert.ok(calls > 10_000, `${calls} calls`);
  assert.match(hash, /^[\da-f]{16}$/);
});

test('the vectors call every export', () => {
  const functions = WebAssembly.Module.exports(shipped).filter(({ kind }) => kind === 'function');
  assert.equal(
    functions.map(({ name }) => name).filter((name) => !called.has(name)),
    [],
  );
});

test('a build with asserts, and one without optimising, have the same hash', () => {
  const others = [compiled('core.debug.wasm'), new WebAssembly.Module(select(schemata.bytes, 0))];
  for (const other of others) assert.equal(replay(other, vectors), { hash, seeds: SEEDS, calls, called, differences });
});

/** Beginnings of names of mutants: function, and what is changed. */
const PLANTED = [
  'task/next drop',
  'wheel/nextDeadlineNs <',
  'spsc/giveCredit drop',
  'mesh/mayPost <',
  'park/nudge 1',
  'op/apply 1',
  'group/charge +',
  'arena/write 1',
  'shard/armTimer 1',
  'http/response/http_head 1',
  'http/parser/finish +',
  'http/body/sizeLine <',
  'websocket/utf8/afterNext <',
];

test('a defect changes the hash', () => {
  const seen = new Set([hash]);
  for (const name of PLANTED) {
    const index = schemata.mutants.findIndex((each) => each.name.startsWith(name));
    assert.ok(index >= 0, `no mutant ${name}`);
    const wrong = replay(new WebAssembly.Module(select(schemata.bytes, index + 1)), vectors);
    const [first] = wrong.differences;
    assert.ok(first !== undefined, `${schemata.mutants[index].name} is not seen`);
    assert.not.ok(seen.has(wrong.hash), name);
    seen.add(wrong.hash);
    console.log(`# ${schemata.mutants[index].name}: ${wrong.hash}, seed ${first.seed}: ${first.what}`);
  }
});

test('vectors that are damaged are not taken for a right core', () => {
  const damaged = Uint8Array.from(vectors);
  damaged[damaged.length - 2] ^= 1; // of the last hash
  assert.is(replay(shipped, damaged).differences.length, 1);
  assert.throws(() => replay(shipped, vectors.subarray(1)), /no vectors/);
  assert.throws(() => replay(shipped, vectors.subarray(0, 2000)), /end too early/);
});

test.run();
