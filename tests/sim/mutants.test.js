// deadline: 300 s
// Bugs on purpose (live/mutants.js): each is found, and in the way that it shows. The search begins with the seed that
// found it first. A change elsewhere may lead to another one, which is searched for a while.
// `npm run sim -- --live --mutants --seeds 2000` says which seed finds each now.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MUTANTS, makeMutant } from './live/mutants.js';
import { runSeeds } from './live/run.js';

const SEEDS_MAX = 300;

for (const [name, { what, seed, text }] of Object.entries(MUTANTS)) {
  test(`found: ${what}`, async () => {
    const { failures } = await runSeeds({ root: makeMutant(name), from: seed, count: SEEDS_MAX });
    assert.is(failures.length, 1, `not within ${SEEDS_MAX} seeds`);
    assert.match(failures[0].failure, text);
    console.log(`# ${name}: seed ${failures[0].seed}`);
  });
}

test.run();
