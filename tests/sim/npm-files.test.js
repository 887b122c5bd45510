// Unmodified libraries of npm keep their files on the simulated disk. A library's promise holds when the power fails,
// or a seed shows that it does not: docs/testing.md has these findings.
// FEATHERSTAR_NODE is another Node to compare.
//
// Next: npm-files.js.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lockProgram, programs, runLibrary } from './npm-files.js';

const MAIN = fileURLToPath(new URL('./npm-files.js', import.meta.url));
const SEEDS = 60;
const LOCK_SEEDS = 10;
const { FEATHERSTAR_NODE } = process.env;

async function run(name, node = process.execPath) {
  const { stdout } = await promisify(execFile)(node, [MAIN, name, '7']);
  return JSON.parse(stdout);
}

for (const name of Object.keys(programs)) {
  test(`${name} runs unmodified, and repeats`, async () => {
    const first = await run(name);
    assert.equal(await run(name), first);
    if (FEATHERSTAR_NODE !== undefined) assert.equal(await run(name, FEATHERSTAR_NODE), first);
  });
}

/** Kinds of results after a power failure, over many seeds. */
async function outcomes(name, firstSeed, faults) {
  const seen = new Set();
  for (let seed = firstSeed; seed < firstSeed + SEEDS; seed++) {
    const { saved, found } = await runLibrary(name, seed, faults);
    if (typeof found === 'number') seen.add(found < saved ? 'lost' : 'kept');
    else
      seen.add(saved === 0 && found.startsWith('ENOENT') ? 'kept' : (/JSON|corrupt|ENOENT/.exec(found)?.[0] ?? found));
  }
  return [...seen].sort();
}

test('lowdb does not sync: what it has written may be lost, and its file may be no JSON any more', async () => {
  assert.equal(await outcomes('lowdb', 1), ['JSON', 'kept', 'lost']);
});

test('write-file-atomic does not sync the directory: a write may be undone, but no file is torn', async () => {
  assert.equal(await outcomes('write-file-atomic', 1), ['kept', 'lost']);
});

test('write-file-atomic does not look how much was written: then a file may be torn', async () => {
  assert.ok((await outcomes('write-file-atomic', 1001, { partial: 0.3 })).includes('JSON'));
});

test('nedb loses nothing that it has compacted, but refuses to start if a short log ends in the middle', async () => {
  assert.equal(await outcomes('nedb', 1), ['corrupt', 'kept']);
});

test('proper-lockfile gives a lock to one holder at a time', async () => {
  for (let seed = 1; seed <= LOCK_SEEDS; seed++) {
    assert.is((await simulate({ seed, shards: 2 }, lockProgram)).value, 1);
  }
});

test.run();
