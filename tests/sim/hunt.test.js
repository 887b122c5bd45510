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
  { name: 'ioredis', version: '6.0.0', seed: 7, message: /command a0 .*: false\) is expected/ },
  { name: 'mqtt', version: '5.16.0', seed: 4, message: /end\(false\) is expected/ },
  { name: 'mqtt', version: '5.16.0', seed: 19, message: /a publish before end\(\) is expected/ },
  { name: 'opossum', version: '10.0.0', seed: 21, message: /when the service is well, the breaker closes/ },
  { name: 'opossum', version: '10.0.0', seed: 180, message: /after shutdown\(\) no call reaches the action/ },
  { name: 'p-debounce', version: '5.1.1', seed: 20, message: /each call gets a result of the function/ },
  { name: 'p-debounce', version: '5.1.1', seed: 286, message: /does not start after the abort/ },
  { name: 'pg', version: '8.23.1', seed: 207, message: /queries before end\(\) has not settled/ },
  { name: 'bottleneck', version: '2.19.5', seed: 86, message: /This job has been dropped by Bottleneck/ },
  { name: 'cockatiel', version: '3.2.1', seed: 57, message: /an accepted call begins when a slot is free/ },
  { name: 'generic-pool', version: '3.9.0', seed: 519, message: /drain\(\) waits for all resources/ },
  { name: 'proper-lockfile', version: '4.1.2', seed: 235, message: /a lock has one owner/ },
  { name: 'reconnecting-websocket', version: '4.4.0', seed: 4, message: /after reconnect\(\) the client connects/ },
  { name: 'reconnecting-websocket', version: '4.4.0', seed: 18, message: /was closed before the connection/ },
  { name: 'redis', version: '6.3.1', seed: 15, message: /close\(\) is expected/ },
  { name: 'undici', version: '7.30.2', seed: 46, message: /a POST is sent once/ },
  { name: 'undici', version: '8.13.1', seed: 46, message: /a POST is sent once/ },
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

function run(name, seed) {
  const file = fileURLToPath(new URL(`./hunt/${name}.js`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, 'sim', file, '--seed', String(seed)], (_error, stdout) => resolve(stdout));
  });
}

for (const found of FOUND) {
  const { name, version, seed, message } = found;
  const why = obstacle(found);
  if (why !== undefined) console.log(`skipped: ${name} ${version}, seed ${seed}: ${why}`);
  (why === undefined ? test : test.skip)(`${name} ${version}: ${message}`, async () => {
    assert.match(await run(name, seed), message);
  });
}

test.run();
