// deadline: 900 s
//
// The tests of the gate once more, with its C under AddressSanitizer and UndefinedBehaviorSanitizer. Node itself is not
// built with them, so libasan is preloaded, and leaks are not looked for: Node's own would drown ours.
//
// Next: host/native/build.mjs, which builds that variant.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from '../support/deny.js';
import { buildVariant } from '../support/native.js';
import { obstacle } from './rig.js';

const FILES = [
  'gate.test.js',
  'paths.test.js',
  'datagrams.test.js',
  'ring.test.js',
  'lent.test.js',
  'loop.test.js',
  'fuzz.test.js',
  'tls.test.js',
];
const SQES = '1000000';
const DEADLINE_MS = 300_000;

function findLibasan() {
  const compiler = findCompiler();
  if (compiler === undefined) return undefined;
  const path = execFileSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
  return existsSync(path) ? path : undefined; // who has none answers the bare name
}

const libasan = process.platform === 'linux' ? findLibasan() : undefined;
const test = suite('sanitize');
const reason = libasan === undefined ? 'no libasan beside the compiler' : obstacle();
if (reason !== undefined) {
  console.log(`# skipped: sanitize: ${reason}`);
  test.skip(reason, () => {});
}

/** Runs a test file under the sanitizers. Returns its exit code and what it printed. */
function run(file) {
  const env = {
    ...process.env,
    LD_PRELOAD: libasan,
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    FEATHERSTAR_TEST_VARIANT: 'asan',
    FEATHERSTAR_FUZZ_SQES: process.env.FEATHERSTAR_FUZZ_SQES ?? SQES,
  };
  const child = spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url))], { env });
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, output });
    });
  });
}

for (const file of reason === undefined ? FILES : []) {
  test(file, async () => {
    buildVariant('asan');
    const { code, signal, output } = await run(file);
    assert.equal([code, signal], [0, null], output);
    assert.not.match(output, /AddressSanitizer|runtime error/);
    assert.match(output, /Passed: +[1-9]/, 'it ran');
  });
}

test.run();
