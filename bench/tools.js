// The common parts of all benchmarks: building the C twins, children that never outlive us, medians, and a table. Each
// ends with the line that says which machine a figure comes from. Importing it has no side effects but one: the
// handlers that kill children.
//
// Next: server.js.

import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A condition of the benchmark is not met; the message says which one, and what to do about it. */
export class BenchError extends Error {}

const run = promisify(execFile);
const root = new URL('../', import.meta.url);
const outDir = fileURLToPath(new URL('dist/bench/', root));

export const COMPILE_FLAGS = ['-O3', '-march=native'];

/** The last -O wins. gcc 12 makes the rings of core.c slower at -O3 than at -O2, and a twin must be at its best. */
const EXTRA_FLAGS = { core: ['-O2', '-pthread'] };

/** Whether a command can be started at all. */
export function hasCommand(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Compiles the C source of that name in bench/baseline into dist/bench/PROGRAM and returns its path. */
export function compile(name, program = name, moreFlags = []) {
  const source = fileURLToPath(new URL(`bench/baseline/${name}.c`, root));
  return compileFiles(program, [source], [...(EXTRA_FLAGS[name] ?? []), ...moreFlags]);
}

/** Compiles C sources, as paths, into dist/bench/PROGRAM and returns its path. */
export async function compileFiles(program, sources, flags) {
  const output = `${outDir}${program}`;
  mkdirSync(outDir, { recursive: true });
  try {
    await run('cc', [...COMPILE_FLAGS, '-Wall', '-Wextra', ...flags, '-o', output, ...sources]);
  } catch (error) {
    if (error.code === 'ENOENT') {
      throw new BenchError('no C compiler: the C baselines need `cc` in PATH (apt-get install gcc, dnf install gcc)');
    }
    throw new BenchError(`cc could not compile ${sources[0]}:\n${error.stderr}`);
  }
  return output;
}

/** Builds a crate of this repository. Resolves with { path } of a program, or { unavailable }: the reason. */
export async function compileRust(folder = 'bench/baseline/rust', program = 'featherstar-bench-rust') {
  const manifest = fileURLToPath(new URL(`${folder}/Cargo.toml`, root));
  const target = `${outDir}${folder.replaceAll('/', '-')}`;
  const env = { ...process.env, RUSTFLAGS: '-C target-cpu=native', CFLAGS: COMPILE_FLAGS.join(' ') };
  try {
    const args = ['build', '--release', '--locked', '--manifest-path', manifest, '--target-dir', target];
    await run('cargo', args, { env }); // which may fetch crates
  } catch (error) {
    if (error.code === 'ENOENT') return { unavailable: 'no cargo in PATH (apt-get install cargo)' };
    return { unavailable: `cargo could not build ${folder}: ${error.stderr?.trim().split('\n').at(-1)}` };
  }
  return { path: `${target}/release/${program}` };
}

/** Builds a program of a Go module of this repository. Resolves likewise. */
export async function compileGo(folder, program) {
  const path = `${outDir}${folder.replaceAll('/', '-')}-${program}`;
  try {
    await run('go', ['build', '-C', fileURLToPath(new URL(folder, root)), '-o', path, `./${program}`]);
  } catch (error) {
    if (error.code === 'ENOENT') return { unavailable: 'no go in PATH' };
    return { unavailable: `go could not build ${folder}: ${error.stderr?.trim().split('\n').at(-1)}` };
  }
  return { path };
}

/** The version of a Node, Bun or Deno binary, as `v26.1.0`; undefined if it cannot be run. */
export function versionOf(binary) {
  const { error, status, stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) return undefined;
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0]; // Deno: `deno 2.9.6 (stable, …)`
  return version === undefined ? undefined : `v${version}`;
}

// --- children -------------------------------------------------------------------------------------------------------

const children = new Set();

/** Starts a command pinned to one core, as a process group of its own that dies with us, however we end. */
export function startPinned(core, command, args, options) {
  const child = spawn('taskset', ['-c', String(core), command, ...args], { ...options, detached: true });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

/** Ends a child: SIGTERM, and SIGKILL if it is still there half a second later. Resolves when it is gone. */
export async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  killGroup(child, 'SIGTERM');
  const timer = setTimeout(() => killGroup(child, 'SIGKILL'), 500);
  await gone;
  clearTimeout(timer);
  killGroup(child, 'SIGKILL'); // whatever it has started itself
}

function killGroup(child, signal) {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // the group is gone
  }
}

process.on('exit', () => {
  for (const child of children) killGroup(child, 'SIGKILL');
});
for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
  process.on(signal, () => process.exit(code));
}

// --- figures --------------------------------------------------------------------------------------------------------

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Rows of strings as aligned columns; the first row is the head, the first column is text, the others are numbers. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ');
  return [line(rows[0]), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.slice(1).map(line)].join('\n');
}

/** Processor, kernel and versions: a figure without this line cannot be compared with anything. */
export function machineLine(versions) {
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? cpus()[0]?.model;
  const compiler = spawnSync('cc', ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? 'no cc';
  const runtimes = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [`${cpus().length} x ${model}`, `Linux ${release()}`, ...runtimes, compiler].join(', ');
}
