// deadline: 300 s
// Bugs on purpose (live/mutants.js): the seed that found each finds it again, in the way that this bug shows. The whole
// search is `npm run sim -- --live --mutant NAME --seeds 2000`.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MUTANTS, makeMutant } from './live/mutants.js';
import { runSeeds } from './live/run.js';

for (const [name, { what, seed, text }] of Object.entries(MUTANTS)) {
  test(`found with seed ${seed}: ${what}`, async () => {
    const { failures } = await runSeeds({ root: makeMutant(name), from: seed, count: 1 });
    assert.is(failures.length, 1);
    assert.match(failures[0].failure, text);
  });
}

test.run();
