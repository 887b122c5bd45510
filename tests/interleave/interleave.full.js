// deadline: 600 s
//
// The larger bounds of the interleaving tool, with --full; they took 250 s beside other work. See interleave.test.js.

import { test } from 'uvu';
import { BOUNDS_FULL, canRun, nameOf } from './main.js';
import { isHeld } from './verdicts.js';

for (const bound of BOUNDS_FULL.filter(canRun)) {
  test(`every interleaving: ${nameOf(bound)}`, () => isHeld(bound));
}

test.run();
