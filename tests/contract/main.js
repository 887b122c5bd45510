// The contract: one list of behaviours (behaviours.js) on each host that can be had here, on whatever runs this.
//
//   node tests/contract/main.js [--host uring|portable|sim] [PART-OF-A-NAME ...]
//
// A behaviour passes, fails, or is lacked: then lacks.js says why, it is run all the same, and has to fail. Ends with a
// line `N passed, N failed, N lacked`; the exit code is 1 if any failed.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Runtime } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { uringObstacle } from '../../dist/host/hosts/pick.js';
import { BEHAVIOURS } from './behaviours.js';
import { lackOf } from './lacks.js';

const DEADLINE_MS = 20_000;
const MODULE = new URL('./module.js', import.meta.url);
const { setTimeout: realTimeout, clearTimeout: realClear } = globalThis; // also while a world has its own

async function reason(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}

const helpers = {
  errno: async (promise) => (await reason(promise)).errnoName,
  code: async (promise) => (await reason(promise)).code,
};

async function onRuntime(host, { shards, limits, run }) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-contract-'));
  try {
    const runtime = await Runtime.start({ shards, host, module: MODULE, limits });
    try {
      const kill = (shard) =>
        void runtime
          .on(shard)
          .exit()
          .catch(() => {});
      const restart = (shard) => runtime.restart(shard);
      const signal = (name) => process.kill(process.pid, name);
      await run({ ...helpers, folder, path: (name) => join(folder, name), kill, restart, signal });
    } finally {
      await runtime.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function inWorld({ shards, limits, run }) {
  const t = { ...helpers, folder: '/', path: (name) => `/${name}` };
  return simulate({ seed: 1, shards, module: MODULE, limits }, (world) => {
    const kill = (shard) => world.kill(shard);
    const restart = (shard) => world.restart(shard);
    return run({ ...t, kill, restart, signal: (name) => world.signal(name) });
  });
}

/** Undefined, or why it failed. */
async function outcomeOf(host, behaviour) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = realTimeout(() => reject(new Error(`not within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  try {
    await Promise.race([host === 'sim' ? inWorld(behaviour) : onRuntime(host, behaviour), late]);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    realClear(timer);
  }
}

const { values, positionals } = parseArgs({ options: { host: { type: 'string' } }, allowPositionals: true });
const obstacle = uringObstacle();
if (obstacle !== undefined && values.host === undefined) console.log(`# skipped: uring: ${obstacle}`);
const hosts = values.host ? [values.host] : [...(obstacle === undefined ? ['uring'] : []), 'portable', 'sim'];
const count = { passed: 0, failed: 0, lacked: 0 };

for (const host of hosts) {
  for (const behaviour of BEHAVIOURS) {
    if (positionals.length !== 0 && !positionals.some((part) => behaviour.name.includes(part))) continue;
    const lack = lackOf(host, behaviour.name);
    const error = await outcomeOf(host, behaviour);
    if (lack === undefined) {
      count[error === undefined ? 'passed' : 'failed']++;
      if (error !== undefined) console.log(`FAIL  ${host}: ${behaviour.name}\n${error.stack ?? error}`);
    } else if (error === undefined) {
      count.failed++;
      console.log(`FAIL  ${host}: ${behaviour.name}: works, and lacks.js says: ${lack.reason}`);
    } else {
      count.lacked++;
      console.log(`lacks ${host}: ${behaviour.name}: ${lack.reason}`);
    }
  }
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.lacked} lacked`);
process.exit(count.failed === 0 ? 0 : 1); // whatever a failure has left open
