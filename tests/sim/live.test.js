// deadline: 300 s
// The live mode: seeds in which no shard and no client that behaves well waits for ever. `npm run sim -- --live` runs
// more of them; CI runs 2,000.

import { availableParallelism } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runLive } from './live/live.js';
import { runSeeds } from './live/run.js';
import { missing } from './live/states.js';

const SEEDS = 200;
const JOBS = Math.min(2, availableParallelism());

test(`${SEEDS} seeds pass, and reach the states that they should`, async () => {
  const { failures, done, counts } = await runSeeds({ count: SEEDS, jobs: JOBS });
  for (const { failure } of failures) assert.unreachable(failure);
  assert.is(done, SEEDS);
  assert.equal(missing(counts, SEEDS), []);
});

test('a seed has one trace', async () => {
  for (const seed of [4, 26, 58]) {
    const first = await runLive(seed);
    const again = await runLive(seed);
    assert.is(again.traceHash, first.traceHash);
    assert.is(again.turns, first.turns);
  }
});

test.run();
