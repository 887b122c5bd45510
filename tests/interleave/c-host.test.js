// deadline: 300 s
// In no order of its steps does the host in C of examples/hosts/c lose a wake-up or a message, with ring.c and the gate
// below it. It rings a doorbell in the middle of a turn. Its mutants are caught. Skipped, aloud, where it cannot be
// compiled.
//
// Next: c-host.js, c-host.c.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { wander } from './explore.js';
import { BOUNDS, canRun, commandOf, machineOf, nameOf } from './main.js';
import { compileBeside, isHeld, mutantIsCaught, mutantsOf } from './verdicts.js';

const isHere = ([name]) => name === 'host';
const RANDOM = ['host', 64, 40, 'sc', 'c']; // more than can be exhausted
const STEPS_MAX = 100_000;
const RUNS = 8;

for (const bound of BOUNDS.filter(isHere))
  if (canRun(bound)) test(`every interleaving: ${nameOf(bound)}`, () => isHeld(bound));

const mutants = canRun(RANDOM) ? mutantsOf(isHere) : [];
const compiled = compileBeside(mutants);
for (const mutant of mutants) test(`mutant ${mutant} is caught`, () => mutantIsCaught(mutant, compiled));

if (canRun(RANDOM)) {
  test(`random schedules: ${nameOf(RANDOM)}`, () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const run = wander(machineOf(RANDOM), seed, STEPS_MAX);
      assert.is(run.broken, null, run.broken && `${run.broken}\n${commandOf(RANDOM, '', run.path)}`);
      assert.ok(run.ended, 'it comes to an end');
    }
  });
}

test.run();
