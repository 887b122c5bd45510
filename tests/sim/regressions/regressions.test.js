// Seeds that have found a bug once (list.js) pass.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { REGRESSIONS } from './list.js';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

for (const { program, seed, what } of REGRESSIONS) {
  test(`${program}, seed ${seed}: ${what}`, async () => {
    const args = [MAIN, '--program', program, '--seed', String(seed)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    assert.match(stdout, new RegExp(`^seed ${seed} trace [0-9a-f]{16} `, 'm'));
  });
}

test.run();
