// deadline: 180 s
// Planted bugs of the sample are found, shrunk to 5 % of their choices and located within 1 % of the run. One of them
// loses power, so its run has two worlds. `npm run sim -- --bugs --jobs 2` does this for all of them.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findBug } from './bugs.js';

const directory = mkdtempSync(join(tmpdir(), 'featherstar-bugs-'));
test.after(() => rmSync(directory, { recursive: true }));

const SHOWS = {
  'double reply': [/a second answer/, /shard \d {2}(calls|replies|gets|freezes)/],
  'non-atomic replace': [/JSON|was saved as/, /world 1 .*shard \d {2}writes \d+ bytes to store-[01]/],
};

for (const [bug, [message, event]] of Object.entries(SHOWS)) {
  test(`found, shrunk, located, explained: ${bug}`, async () => {
    const found = await findBug(bug, { jobs: 1, directory, shrinkSeconds: 30 });
    assert.match(found.message, message);
    assert.match(found.explanation, event);
    assert.ok(found.mattering <= 0.05 * found.choices, `${found.mattering} of ${found.choices} choices matter`);
    const [from, to] = found.inevitable;
    assert.ok(to - from <= 0.01 * found.choices, `between ${from} and ${to}`);
  });
}

test.run();
