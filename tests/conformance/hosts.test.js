// deadline: 480 s
//
// The hosts of examples/hosts/: each does what it says. One whose tools are not here is skipped aloud.
//
// Next: conformance.test.js.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pick } from '../../dist/host/hosts/pick.js';
import { checkFullTable, checkMostShards, checkServer } from '../c/server-checks.js';
import { CORE, HOSTS, replayIn } from './engines.js';
import { replay } from './replay.js';
import { vectorsFile } from './vectors.js';

const EXAMPLES = new URL('../../examples/hosts/', import.meta.url);
const RUN_MS = 60_000;
const BUILD_MS = 300_000;
const CALLS = 20_000;

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const BUILT = join(DIST, 'conformance');
mkdirSync(BUILT, { recursive: true });

const hasCommand = (name, option = '--version') => spawnSync(name, [option], { stdio: 'ignore' }).status === 0;
const pathOf = (name) => fileURLToPath(new URL(name, EXAMPLES));

function outputOf(command, args) {
  return execFileSync(command, args, { encoding: 'utf8', timeout: RUN_MS, stdio: ['ignore', 'pipe', 'pipe'] });
}

test('javascript: two threads call each other, run timers and tasks, sleep, and end', () => {
  const text = outputOf(process.execPath, [pathOf('javascript/host.js'), String(CALLS)]);
  assert.is(text, `${CALLS} calls between two threads, 20 timers, 5 tasks, 42 settled\n`);
});

/** Builds a folder of examples/hosts with cargo. Returns where its programs are; undefined: skipped aloud. */
function buildWithCargo(folder) {
  for (const command of ['cargo', 'cc', 'ar']) {
    if (hasCommand(command)) continue;
    console.log(`# skipped: ${folder}: no ${command} in PATH`);
    return undefined;
  }
  const target = fileURLToPath(new URL(`../../dist/${folder}-host`, import.meta.url));
  const args = ['build', '--release', '--quiet', '--locked', '--target-dir', target, '--manifest-path'];
  const options = { encoding: 'utf8', timeout: BUILD_MS };
  const { status, stderr } = spawnSync('cargo', [...args, pathOf(`${folder}/Cargo.toml`)], options);
  const isOffline = /failed to (download|get|fetch|query|load source)|offline/i.test(stderr);
  if (status !== 0 && isOffline) {
    console.log(`# skipped: ${folder}: its crates cannot be had: ${stderr.trim().split('\n')[0]}`);
    return undefined;
  }
  assert.is(status, 0, stderr);
  return `${target}/release/`;
}

test('rust: the core in C under std threads, two of which call each other', () => {
  const programs = buildWithCargo('rust');
  if (programs === undefined) return;
  assert.is(outputOf(`${programs}calls`, [String(CALLS)]), `${CALLS} calls between two threads, 20 timers\n`);
});

/** Checks the server `http` of a folder, where the kernel has io_uring. */
async function checkHttp(folder, programs) {
  const { name, reason } = pick();
  if (name === 'uring') await checkServer(`${programs}http`, ['0', '2']);
  else console.log(`# skipped: ${folder}: HTTP: ${reason}`);
}

test('rust: an HTTP server on every core', async () => {
  const programs = buildWithCargo('rust');
  if (programs === undefined) return;
  await checkHttp('rust', programs);
  if (pick().name === 'uring') {
    await checkFullTable(`${programs}http`, ['0', '1']);
    await checkMostShards(`${programs}http`);
  }
  const { status, stderr } = spawnSync(`${programs}http`, ['0', '0'], { encoding: 'utf8' });
  assert.is(`${status} ${stderr}`, '2 usage: http [PORT [SHARDS]]\n');
});

test('python: the core in C by ctypes, and two threads that call each other', () => {
  for (const command of ['python3', 'cc']) {
    if (hasCommand(command)) continue;
    console.log(`# skipped: python: no ${command} in PATH`);
    return;
  }
  const library = join(BUILT, 'featherstar.so');
  const core = `${DIST}c/featherstar_core.c`;
  execFileSync('cc', ['-O2', '-shared', '-fPIC', '-D_DEFAULT_SOURCE', '-o', library, core]);
  const text = outputOf('python3', [pathOf('python/calls.py'), library, DIST, String(CALLS)]);
  assert.is(text, `${CALLS} calls between two threads, 20 timers\n`);
});

test('go: the module in wazero, and two threads that call each other', () => {
  if (!hasCommand('go', 'version')) {
    console.log('# skipped: go: not in PATH');
    return;
  }
  const program = join(BUILT, 'calls-go');
  const args = ['build', '-C', pathOf('go'), '-o', program, './calls'];
  const { status, stderr } = spawnSync('go', args, { encoding: 'utf8', timeout: BUILD_MS });
  if (status !== 0 && /dial tcp|lookup|no such host|module lookup disabled/.test(stderr)) {
    console.log(`# skipped: go: wazero cannot be had: ${stderr.trim().split('\n').at(-1)}`);
    return;
  }
  assert.is(status, 0, stderr);
  const text = outputOf(program, [CORE, `${DIST}layout.json`, String(CALLS)]);
  assert.is(text, `${CALLS} calls between two threads, 20 timers\n`);
});

test('rust with wasmtime: the module in a sandbox, under the same programs', async () => {
  if (process.env.FEATHERSTAR_FULL !== '1') {
    console.log('# skipped: wasmtime in Rust: its crates take minutes to build; node tests/run.js --full does it');
    return;
  }
  const programs = buildWithCargo('wasmtime');
  if (programs === undefined) return;
  assert.is(outputOf(`${programs}calls`, [String(CALLS)]), `${CALLS} calls between two threads, 20 timers\n`);
  await checkHttp('wasmtime', programs);
});

const SEEDS = 60;
const vectors = await vectorsFile(SEEDS);
const damaged = `${vectors}.damaged`;
const bytes = Uint8Array.from(readFileSync(vectors));
bytes[bytes.length - 2] ^= 1; // of the last hash
writeFileSync(damaged, bytes);
const { hash, calls } = replay(new WebAssembly.Module(readFileSync(CORE)), readFileSync(vectors));

// Under qemu it takes long. There tests/c/replay.test.js has shorter traces, and `npm run conformance` all seeds.
for (const host of HOSTS.filter(({ runner }) => runner === undefined)) {
  test(`${host.name}: replays the vectors, and has the hash of JavaScript's engines`, () => {
    const { printed, lacks } = replayIn(host, CORE, vectors);
    if (printed === undefined) {
      console.log(`# skipped: ${host.name}: ${lacks}`);
      return;
    }
    assert.is(printed, `${hash} ${SEEDS} seeds, ${calls} calls, 0 differ`);
    assert.match(
      replayIn(host, CORE, damaged).printed,
      new RegExp(`^[\\da-f]{16} ${SEEDS} seeds, ${calls} calls, 1 differ\n  seed 60`),
    );
  });
}

test.run();
