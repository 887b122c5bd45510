// deadline: 600 s
//
// The larger bounds of the interleaving tool, with --full; they took 250 s beside other work. See interleave.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BOUNDS_FULL, commandOf, explore } from './main.js';

for (const bound of BOUNDS_FULL) {
  test(`every interleaving: ${bound[0]}, ${bound[1]} slots, ${bound[2]} messages`, () => {
    const { failure, exhausted } = explore(bound);
    assert.is(failure, null, failure && `${failure.broken}\n${commandOf(bound, '', failure.path)}`);
    assert.ok(exhausted);
  });
}

test.run();
