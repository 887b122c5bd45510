// The hosts of examples/hosts/: each does what it says. One whose tools are not here is skipped aloud.
//
// Next: conformance.test.js.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const HOSTS = new URL('../../examples/hosts/', import.meta.url);
const RUN_MS = 60_000;
const CALLS = 20_000;

const pathOf = (name) => fileURLToPath(new URL(name, HOSTS));

test('javascript: two threads call each other, run timers and tasks, sleep, and end', () => {
  const args = [pathOf('javascript/host.js'), String(CALLS)];
  const text = execFileSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: RUN_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  assert.is(text, `${CALLS} calls between two threads, 20 timers, 5 tasks, 42 settled\n`);
});

test.run();
