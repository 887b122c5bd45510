// deadline: 300 s
// The core in C does what core.wasm does: the same results, and the same bytes of memory after each call.
//
// The flow: a test file of tests/core runs with record.js, which writes down every call and every write to memory.
// replay.c repeats that with dist/c/featherstar_core.c. It is built by each compiler that is here, in several variants.
// The build for arm64 runs under qemu. modules.js does the same for single instructions and for branches.
//
// Invariant: a wrong translation is found: the last test plants some.
//
// Next: assembly/c/wasm-to-c.mjs.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FULL } from '../support/seeds.js';
import { arm64Tools, buildReplayer, nativeCompilers, run } from './replayer.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RECORD = fileURLToPath(new URL('record.js', import.meta.url));
const MODULES = fileURLToPath(new URL('modules.js', import.meta.url));
const STEP_MS = 120_000;
const CALLS_MAX = FULL ? 200_000 : 10_000; // of one file
const HTTP_CALLS_MAX = FULL ? 50_000 : 4000; // their memory is large
const MODULE_CALLS_MAX = 100_000;
const folder = mkdtempSync(join(tmpdir(), 'featherstar-c-'));
const [compiler] = nativeCompilers;
const arm64 = arm64Tools();

/** Recorded programs, and how many calls of each over one memory. */
const CORE = ['wheel', 'mesh', 'mesh-cases', 'op', 'task', 'layout'].map((name) => [
  `tests/core/${name}.test.js`,
  1000,
]);
const INTERNALS = ['arena', 'slab', 'spsc'].map((name) => [`tests/core/${name}.test.js`, CALLS_MAX]);
const HTTP = ['parser', 'body', 'response'].map((name) => [`tests/http/${name}.test.js`, HTTP_CALLS_MAX]);

const UNDEFINED = ['-O2', '-fsanitize=undefined', '-fno-sanitize-recover=all'];
const ALL_VARIANTS = [
  { compiler, name: 'plain', flags: ['-O2'] },
  ...nativeCompilers.map((name) => ({ compiler: name, name: `${name}-undefined`, flags: UNDEFINED })),
  { compiler, name: 'scalar', flags: ['-O1', '-DFEATHERSTAR_SCALAR'] },
  // may fuse a product and a sum:
  { compiler, name: 'checked', flags: ['-O3', '-march=native', '-DFEATHERSTAR_CHECKED=1'] },
];
const FEW_VARIANTS = ALL_VARIANTS.slice(0, 1);
if (arm64 !== undefined) {
  const variant = { compiler: arm64.compiler, name: 'arm64', flags: ['-O2', '-static'], run: arm64.run };
  ALL_VARIANTS.push(variant);
  FEW_VARIANTS.push(variant);
}

/** qemu keeps tables of all that is reserved, and tests/core/layout.test.js makes two thousand memories. */
function withoutGuards(variant) {
  return variant.run === undefined ? variant : { ...variant, flags: [...variant.flags, '-DFEATHERSTAR_CHECKED=1'] };
}

/** Bugs of a translator, each with the module that must show it. */
const PLANTS = [
  {
    name: 'control',
    file: 'function.mjs',
    from: 'if (isChangedBy(each, this.effects))',
    to: 'if (values.length > 99)',
  },
  { name: 'control', file: 'function.mjs', from: "each.reads.has('trap') ? this.keep(each, type) : each", to: 'each' },
  {
    name: 'instructions',
    file: 'prelude.c',
    from: 'return a << (b & (bits - 1)); }',
    to: 'return a << (b & (bits - 2)); }',
  },
  { name: 'instructions', file: 'prelude.c', from: 'a >= 18446744073709551616.0', to: 'a >= 9223372036854775808.0' },
  {
    name: 'instructions',
    file: 'instructions.mjs',
    from: "compareSigned(signed, '<=')",
    to: "compareSigned(signed, '<')",
  },
];

/** Records a program's calls of one module. Returns the trace. */
function record(wasm, name, program, args, eachMax, callsMax = Math.max(CALLS_MAX, eachMax)) {
  const directory = join(folder, `trace-${name}`);
  mkdirSync(directory);
  const env = {
    ...process.env,
    FEATHERSTAR_CORE: '',
    FEATHERSTAR_TRACE_DIR: directory,
    FEATHERSTAR_TRACE_MODULES: wasm,
    FEATHERSTAR_TRACE_CALLS: String(callsMax),
    FEATHERSTAR_TRACE_EACH: String(eachMax),
  };
  const options = { cwd: ROOT, env, encoding: 'utf8', timeout: STEP_MS, killSignal: 'SIGKILL' };
  const { status, error, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', RECORD, program, ...args],
    options,
  );
  if (error) throw error;
  assert.is(status, 0, `${program}\n${stdout}${stderr}`);
  const trace = join(directory, `${/([^/]*)\.wasm$/.exec(wasm)[1]}.trace`);
  assert.ok(statSync(trace).size > 10_000, `${program} has recorded little`);
  return trace;
}

/** Repeats traces with the C in a directory, in each variant. Returns the number of calls in one. */
function replay(wasm, directory, variants, traces) {
  const counts = variants.map((variant) => {
    const [file, ...args] = [...(variant.run ?? []), buildReplayer(wasm, directory, variant)];
    let calls = 0;
    for (const trace of traces) {
      const [, count] = /^(\d+) calls, .*: equal\n$/.exec(run(file, [...args, trace], { timeout: STEP_MS }));
      calls += Number(count);
    }
    return calls;
  });
  assert.ok(
    counts.every((count) => count === counts[0]),
    `${counts}`,
  );
  return counts[0];
}

/** Builds a module for tests, and the same in C. */
function buildModule(entry, name) {
  const directory = join(folder, name);
  const wasm = join(directory, `test-${name}.wasm`);
  execFileSync(process.execPath, [join(ROOT, 'assembly/build.mjs'), entry, wasm, '--c', directory]);
  return { wasm, directory };
}

function copyCore() {
  const directory = join(folder, 'core');
  mkdirSync(directory);
  for (const name of ['featherstar_core.c', 'featherstar_core.h'])
    copyFileSync(join(ROOT, 'dist/c', name), join(directory, name));
  return { wasm: join(ROOT, 'dist/core.wasm'), directory };
}

function writeModule(name, directory, translator) {
  execFileSync(process.execPath, [MODULES, '--write', name, directory, translator]);
}

/** A module of modules.js in C, and its trace. */
function moduleCases(name) {
  const directory = join(folder, name);
  writeModule(name, directory, join(ROOT, 'assembly/c/wasm-to-c.mjs'));
  const wasm = join(directory, `${name}.wasm`);
  return { wasm, directory, trace: record(wasm, name, MODULES, [name, directory], MODULE_CALLS_MAX) };
}

test.after(() => rmSync(folder, { recursive: true }));

if (compiler === undefined) {
  test('the core in C', () => console.log('# skipped: the core in C: no C compiler found (gcc, clang, cc)'));
} else {
  if (arm64 === undefined && process.arch !== 'arm64')
    console.log('# skipped: the core in C on arm64: needs aarch64-linux-gnu-gcc (or CC_ARM64) and qemu-aarch64');

  test('single instructions', () => {
    const { wasm, directory, trace } = moduleCases('instructions');
    assert.ok(replay(wasm, directory, ALL_VARIANTS, [trace]) > 5000);
  });

  test('the order of effects, and branches', () => {
    const { wasm, directory, trace } = moduleCases('control');
    assert.ok(replay(wasm, directory, ALL_VARIANTS, [trace]) > 1000);
  });

  test("tests/core, and the simulator's program", () => {
    const { wasm, directory } = copyCore();
    const traces = CORE.map(([program, each], i) => record(wasm, `core${i}`, program, [], each));
    traces.push(record(wasm, 'sim', 'tests/sim/main.js', ['--seeds', FULL ? '20' : '1'], CALLS_MAX));
    assert.ok(replay(wasm, directory, ALL_VARIANTS.map(withoutGuards), traces) > 15_000);
  });

  test('the parts of the core, on their own', () => {
    const { wasm, directory } = buildModule('tests/core/internals.ts', 'internals');
    const traces = INTERNALS.map(([program, each], i) => record(wasm, `internals${i}`, program, [], each));
    assert.ok(replay(wasm, directory, FEW_VARIANTS, traces) > 15_000);
  });

  test('HTTP', () => {
    const { wasm, directory } = buildModule('assembly/http/index.ts', 'http');
    const traces = HTTP.map(([program, each], i) => record(wasm, `http${i}`, program, [], each, each));
    assert.ok(replay(wasm, directory, FEW_VARIANTS, traces) > 10_000);
  });

  for (const { name, file, from, to } of PLANTS)
    test(`a wrong translation is found: ${to}`, () => {
      const translator = join(ROOT, 'dist/c-plant'); // within the project, where binaryen is found
      cpSync(join(ROOT, 'assembly/c'), translator, { recursive: true });
      const text = readFileSync(join(translator, file), 'utf8');
      assert.is(text.split(from).length, 2, `${file} has not exactly one: ${from}`);
      writeFileSync(
        join(translator, file),
        text.replace(from, () => to),
      );
      const directory = join(folder, 'plant');
      writeModule(name, directory, join(translator, 'wasm-to-c.mjs'));
      const program = buildReplayer(join(directory, `${name}.wasm`), directory, ALL_VARIANTS[0]);
      assert.throws(
        () => run(program, [join(folder, `trace-${name}`, `${name}.trace`)]),
        /call \d+: .* (differs|here)\n/,
      );
      rmSync(translator, { recursive: true });
    });
}

test.run();
