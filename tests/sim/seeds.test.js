// deadline: 300 s
// Many seeds of the test program of `npm run sim` (program.js). How many: 2,000, in two processes.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const PROCESSES = 2;
const SEEDS_EACH = 1000;

/** All that the command prints, and its exit code. */
function run(from) {
  return new Promise((resolve, reject) => {
    const args = [MAIN, '--from', String(from), '--seeds', String(SEEDS_EACH)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

test('every seed passes', async () => {
  const runs = await Promise.all(Array.from({ length: PROCESSES }, (_, i) => run(1 + i * SEEDS_EACH)));
  for (const { code, text } of runs) {
    assert.is(code, 0, text);
    assert.match(text, new RegExp(`^${SEEDS_EACH} of ${SEEDS_EACH} seeds passed`, 'm'));
  }
});

test.run();
