// deadline: 300 s
//
// Vectors of the simulator, which call every export with every kind of result. They are replayed on three builds of the
// core, and on builds with a defect. A host or an engine is right if it has the hash of all others. A wrong one has
// another hash: this is shown here.
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
const PAGE = readFileSync(new URL('../../docs/abi.md', import.meta.url), 'utf8');
const layout = JSON.parse(readFileSync(new URL('../../dist/layout.json', import.meta.url), 'utf8'));
const vectors = readFileSync(await vectorsFile(SEEDS));
const compiled = (name) => new WebAssembly.Module(readFileSync(new URL(`../../dist/${name}`, import.meta.url)));
const shipped = compiled('core.wasm');
const { hash, calls, results, differences } = replay(shipped, vectors);
const schemata = await build();

test('the core does what was recorded', () => {
  assert.equal(differences, []);
  assert.ok(calls > 10_000, `${calls} calls`);
  assert.match(hash, /^[\da-f]{16}$/);
});

const REFUSAL = 'less than 0';

/** Kinds of results that an export has by docs/abi.md: codes, 0, and REFUSAL for `-status` or `-code`. */
function promised(name) {
  const row = new RegExp(`^\\| \`${name}\\(.*\\)\` \\| ([^|]*) \\|`, 'm').exec(PAGE);
  assert.ok(row !== null, `docs/abi.md has no row for ${name}()`);
  const codes = row[1].match(/\b[A-Z_]{2,}\b/g) ?? [];
  const kinds = codes.map((code) => layout.enums.Code[code]);
  if (/\bor 0\b|^0 or|; 0;/.test(row[1])) kinds.push(0);
  if (/-(status|code)\b/.test(row[1])) kinds.push(REFUSAL);
  return kinds;
}

const NOT_RECORDED = [
  'firstTask() returns 0', // hosts call it when there is a task
  'plan() returns 0', // then there is no shard
];

test('the vectors call every export, with every kind of result', () => {
  const functions = WebAssembly.Module.exports(shipped).filter(({ kind }) => kind === 'function');
  const missing = functions.flatMap(({ name }) => {
    const seen = results.get(name);
    if (seen === undefined) return [`${name}() is not called`];
    const isRefused = [...seen].some((result) => result < 0 && result > layout.enums.Code.FULL);
    const lacking = promised(name).filter((result) => (result === REFUSAL ? !isRefused : !seen.has(result)));
    return lacking.map((result) => `${name}() returns ${result}`);
  });
  assert.equal(missing.sort(), NOT_RECORDED);
});

test('a build with asserts, and one without optimising, have the same hash', () => {
  const others = [compiled('core.debug.wasm'), new WebAssembly.Module(select(schemata.bytes, 0))];
  for (const other of others) assert.equal(replay(other, vectors), { hash, seeds: SEEDS, calls, results, differences });
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
  'websocket/frames/headLength <',
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
