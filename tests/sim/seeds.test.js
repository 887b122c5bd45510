// deadline: 300 s
// core: debug
// Many seeds of the test programs of `npm run sim`, in two processes: 2,000 of program.js, 1,000 of chaos.js.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const PROCESSES = 2;
const SEEDS = { program: 2000, chaos: 1000 };

/** All that the command prints, and its exit code. */
function run(program, from, count) {
  return new Promise((resolve, reject) => {
    const args = [MAIN, '--program', program, '--from', String(from), '--seeds', String(count)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (part) => {
      text += part;
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

for (const [program, seeds] of Object.entries(SEEDS)) {
  test(`every seed of ${program} passes`, async () => {
    const each = seeds / PROCESSES;
    const runs = await Promise.all(Array.from({ length: PROCESSES }, (_, i) => run(program, 1 + i * each, each)));
    for (const { code, text } of runs) {
      assert.is(code, 0, text);
      assert.match(text, new RegExp(`^${each} of ${each} seeds passed`, 'm'));
    }
  });
}

test.run();
