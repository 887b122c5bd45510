// core: debug
// Bugs that are planted in a sample server (sample.js), each found by the simulator: a seed within SEEDS_MAX fails, in
// the way that this bug does, and fails again when it is repeated. Without a bug the same seeds pass.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';
import { runSample } from './sample-clients.js';
import { runCrash } from './sample-crash.js';

const SEEDS_MAX = 2000;
const SEEDS_SOUND = 300;

/** How each bug shows. */
const BUGS = {
  'lost wake-up': /nothing is left to happen/,
  'double reply': /a second answer/,
  'stale handle': /somebody else's question/,
  'missing backpressure': /bytes unsent/,
  'forgotten abort': /somebody still waits/,
  'reply after reset': /the socket is closed|ECONNRESET|EPIPE/,
  'locks in a circle': /nothing is left to happen/,
  'non-atomic replace': /JSON|was saved as/,
};

const runnerOf = (bug) => (bug === 'non-atomic replace' ? runCrash : runSample);

test('without a bug all seeds pass', async () => {
  for (let seed = 1; seed <= SEEDS_SOUND; seed++) await runSample(seed);
  for (let seed = 1; seed <= SEEDS_SOUND; seed++) await runCrash(seed);
});

for (const [bug, text] of Object.entries(BUGS)) {
  test(`found: ${bug}`, async () => {
    const run = runnerOf(bug);
    for (let seed = 1; seed <= SEEDS_MAX; seed++) {
      const error = await run(seed, bug).then(
        () => undefined,
        (failure) => failure,
      );
      if (error === undefined) continue;
      assert.match(error.message, text);
      console.log(`# ${bug}: seed ${seed}, trace ${error.traceHash}`);
      await run(seed); // without the bug it passes: that is what was found
      assert.is((await rejection(run(seed, bug))).traceHash, error.traceHash);
      return;
    }
    assert.unreachable(`not within ${SEEDS_MAX} seeds`);
  });
}

test.run();
