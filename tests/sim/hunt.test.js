// The defects of published packages (docs/bugs-found.md) are found again: one seed of each. A package that is not
// installed in the version that was searched is skipped, and the test says so.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { versionOf } from './hunt/hunted.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const isOtherRuntime = 'Bun' in globalThis || 'Deno' in globalThis; // there, node:net is refused

const FOUND = [
  { name: 'async-cache-dedupe', version: '3.4.0', seed: 3, message: /has no value from before/ },
  { name: 'async-lock', version: '1.5.0', seed: 1, message: /has the lock for itself/ },
  { name: 'async-mutex', version: '0.5.0', seed: 2, message: /the only one who waits gets free slots/ },
  { name: 'async-mutex', version: '0.5.0', seed: 6, message: /waitForUnlock\(\) resolves when there is room/ },
  { name: 'ioredis', version: '6.0.0', seed: 4, message: /a command before disconnect\(\) is expected/ },
  { name: 'opossum', version: '9.0.0', seed: 21, message: /when the service is well, the breaker closes/ },
  { name: 'opossum', version: '9.0.0', seed: 180, message: /after shutdown\(\) no call reaches the action/ },
  { name: 'p-debounce', version: '5.1.1', seed: 20, message: /each call gets a result of the function/ },
  { name: 'p-debounce', version: '5.1.1', seed: 286, message: /does not start after the abort/ },
  { name: 'pg', version: '8.23.1', seed: 31, message: /queries before end\(\) has not settled/ },
  { name: 'tarn', version: '3.1.2', seed: 72, message: /a request is served if the pool has room/ },
];

/** Why a defect cannot be looked for here; undefined: it can. */
function obstacle({ name, version }) {
  if (isOtherRuntime) return 'it needs Node';
  try {
    const installed = versionOf(name);
    return installed === version ? undefined : `version ${installed} is installed`;
  } catch (error) {
    return error.message;
  }
}

function run(program, seed) {
  const file = fileURLToPath(new URL(`./hunt/${program}.js`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, 'sim', file, '--seed', String(seed)], (_error, stdout) => resolve(stdout));
  });
}

for (const found of FOUND) {
  const { name, version, program = name, seed, message } = found;
  const why = obstacle(found);
  if (why !== undefined) console.log(`skipped: ${name} ${version}, seed ${seed}: ${why}`);
  (why === undefined ? test : test.skip)(`${name} ${version}: ${message}`, async () => {
    assert.match(await run(program, seed), message);
  });
}

test.run();
