// The hosts of examples/hosts/: each does what it says. One whose tools are not here is skipped aloud.
//
// Next: conformance.test.js.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CORE, HOSTS, replayIn } from './engines.js';
import { replay } from './replay.js';
import { vectorsFile } from './vectors.js';

const EXAMPLES = new URL('../../examples/hosts/', import.meta.url);
const RUN_MS = 60_000;
const CALLS = 20_000;

const pathOf = (name) => fileURLToPath(new URL(name, EXAMPLES));

test('javascript: two threads call each other, run timers and tasks, sleep, and end', () => {
  const args = [pathOf('javascript/host.js'), String(CALLS)];
  const text = execFileSync(process.execPath, args, {
    encoding: 'utf8',
    timeout: RUN_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  assert.is(text, `${CALLS} calls between two threads, 20 timers, 5 tasks, 42 settled\n`);
});

test('rust: the core in C under std threads, two of which call each other', () => {
  for (const command of ['cargo', 'cc', 'ar']) {
    if (spawnSync(command, ['--version']).error === undefined) continue;
    console.log(`# skipped: no ${command} in PATH`);
    return;
  }
  const target = fileURLToPath(new URL('../../dist/rust-host', import.meta.url));
  const args = ['run', '--release', '--quiet', '--locked', '--offline', '--target-dir', target];
  const text = execFileSync('cargo', [...args, '--manifest-path', pathOf('rust/Cargo.toml'), '--', String(CALLS)], {
    encoding: 'utf8',
    timeout: 2 * RUN_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  assert.is(text, `${CALLS} calls between two threads, 20 timers\n`);
});

const SEEDS = 60;
const vectors = await vectorsFile(SEEDS);
const damaged = `${vectors}.damaged`;
const bytes = Uint8Array.from(readFileSync(vectors));
bytes[bytes.length - 2] ^= 1; // of the last hash
writeFileSync(damaged, bytes);
const { hash, calls } = replay(new WebAssembly.Module(readFileSync(CORE)), readFileSync(vectors));

for (const host of HOSTS) {
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
