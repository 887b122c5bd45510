// Suites that run under vitest. The peer's side runs as it is. On our side, vitest-config.js replaces one module of the
// suite's sources, the server, by one of adapters/.
//
// vitest and what else a suite imports must be installed in the folder DIR or above it.
//
// Next: adapters/hono-node-server.js, adapters/srvx.js.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addOutcome } from './exceptions.js';

const CONFIG = fileURLToPath(new URL('vitest-config.js', import.meta.url));
const OUTCOMES = { passed: 'pass', failed: 'fail' }; // everything else is skipped

/** The path of vitest's command, as the suite in `dir` would find it. */
function vitestOf(dir, install) {
  const require = createRequire(join(dir, 'package.json'));
  try {
    return join(dirname(require.resolve('vitest/package.json')), 'vitest.mjs');
  } catch {
    throw new Error(`no vitest in ${dir} or above it: ${install}`);
  }
}

/** Runs vitest. Returns the outcome of each test by file and name. */
function run(vitest, dir, args, env) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-suites-'));
  const file = join(folder, 'results.json');
  try {
    const command = [vitest, 'run', '--root', dir, '--reporter=json', `--outputFile=${file}`, ...args];
    const options = { cwd: dir, encoding: 'utf8', env: { ...process.env, ...env } };
    const { stdout, stderr } = spawnSync(process.execPath, command, options);
    const results = readResults(file, `${stdout}${stderr}`);
    const outcomes = new Map();
    for (const { name, assertionResults } of results) {
      for (const { fullName, status, failureMessages } of assertionResults) {
        const message = failureMessages[0]?.split('\n')[0] ?? status;
        addOutcome(outcomes, `${basename(name)}: ${fullName}`, OUTCOMES[status] ?? 'skip', message);
      }
    }
    return outcomes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readResults(file, output) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).testResults;
  } catch (error) {
    throw new Error(`vitest wrote no results: ${output.slice(-2000)}`, { cause: error });
  }
}

/** Runs test files of a suite: { peer, peerOutcomes, ourOutcomes }. `adapter` replaces the module that it is for. */
function onBoth(dir, { peer, adapter, files, filter = [], install }) {
  const vitest = vitestOf(dir, install);
  const args = [...files, ...filter];
  return {
    peer,
    peerOutcomes: run(vitest, dir, args, {}),
    ourOutcomes: run(vitest, dir, ['--config', CONFIG, ...args], { SUITE_ADAPTER: adapter, SUITE_DIR: dir }),
  };
}

/** The tests that Hono's server for Node has of itself as a server. Those of its inner parts are left out. */
export function honoNodeServer(dir) {
  return onBoth(dir, {
    peer: "Hono's own server for Node",
    adapter: 'hono-node-server',
    files: ['test/server.test.ts', 'test/serve-static.test.ts', 'test/request-client-disconnect.test.ts'],
    install: `npm i --prefix ${dir}`,
  });
}

/** The tests that srvx runs on each of its runtimes, as its Node adapter runs them over HTTP/1.1. */
export function srvx(dir) {
  return onBoth(dir, {
    peer: "srvx's server for Node",
    adapter: 'srvx',
    files: ['test/node.test.ts'],
    filter: ['-t', 'node \\(http1'],
    install: `npm i --prefix ${dir}`,
  });
}
