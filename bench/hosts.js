// The hosts of examples/hosts that have the core as C, or in wasmtime. Under wrk they stand beside the hand-written C
// server. The calls between threads stand beside those of a pair of rings in C (baseline/core.c).
//
// Next: wrk.js; ../examples/hosts/README.md.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { REFERENCE } from './contest.js';
import { baseline } from './peers.js';
import { BenchError, compile, compileFiles, compileGo, compileRust, hasCommand, median, table } from './tools.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

const DECLARED = {
  ...WRK_OPTIONS,
  pipeline: { type: 'string', default: '1' },
  calls: { type: 'string', default: '1000000' }, // 0: none
};
const CORES = '0,1';
const oneShard = (port) => [String(port), '1'];

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Compiles a program of examples/hosts/c with the core, and the gate or epoll.c. */
function compileHost(program, ring = 'uring') {
  const withoutGate = ['featherstar_core.c', 'listen.c', 'shard.c'];
  const isWanted = (name) => name.endsWith('.c') && (ring === 'uring' || withoutGate.includes(name));
  const own = [`${program}.c`, 'host.c', ...(ring === 'uring' ? [] : [`${ring}.c`])];
  const shipped = readdirSync(path('dist/c')).filter(isWanted);
  const sources = [...own.map((name) => `examples/hosts/c/${name}`), ...shipped.map((name) => `dist/c/${name}`)];
  const flags = ['-pthread', '-I', path('dist/c')];
  return compileFiles(`host-${program}-${ring}`, sources.map(path), flags);
}

const WASM = { FEATHERSTAR_WASM: path('dist/core.wasm') };

/** A server of examples/hosts that cargo builds. */
async function cargoHost(folder, name, env) {
  const { path: command, unavailable } = await compileRust(`examples/hosts/${folder}`, 'http');
  return { name, on: 'built', command, unavailable, args: oneShard, env };
}

/** Runs a program on two cores. Returns the number that `pattern` finds in its output. */
function figureOf(command, args, env, pattern) {
  const options = { encoding: 'utf8', env: { ...process.env, ...env } };
  const { status, stdout, stderr } = spawnSync('taskset', ['-c', CORES, command, ...args], options);
  const found = pattern.exec(`${stdout}${stderr}`);
  if (status !== 0 || found === null) throw new BenchError(`${command} ended with ${status}: ${stdout}${stderr}`);
  return Number(found[1]);
}

const OPEN = { 'one open': 1, '64 open': 64, '256 open': 256 };
const SLOWER = 50; // with one open, both sides sleep for each call: fewer are enough
const IN_PYTHON = 20; // times slower than the others, at least

/** Python loads the core as a shared library. */
async function pythonCaller() {
  const name = 'python';
  if (!hasCommand('python3')) return { name, unavailable: 'no python3 in PATH' };
  const flags = ['-D_DEFAULT_SOURCE', '-shared', '-fPIC'];
  const library = await compileFiles('host-python.so', [path('dist/c/featherstar_core.c')], flags);
  const program = [path('examples/hosts/python/calls.py'), library, path('dist/')];
  return { name, command: 'python3', args: (...rest) => [...program, ...rest], fewer: IN_PYTHON };
}

/** Programs that make calls between two threads: `calls COUNT OPEN`. They make `fewer` times fewer. */
async function callers() {
  const inGo = await compileGo('examples/hosts/go', 'calls');
  const goArgs = (...rest) => [path('dist/core.wasm'), path('dist/layout.json'), ...rest];
  const inRust = await compileRust('examples/hosts/rust', 'calls');
  const inWasmtime = await compileRust('examples/hosts/wasmtime', 'calls');
  return [
    { name: 'C, a pair of rings', command: await compile('core'), args: (...rest) => ['calls', ...rest] },
    { name: 'c-host', command: await compileHost('calls') },
    { name: 'c-host by epoll', command: await compileHost('calls', 'epoll') },
    { name: 'rust-host', command: inRust.path, unavailable: inRust.unavailable },
    { name: 'wasmtime in Rust', command: inWasmtime.path, env: WASM, unavailable: inWasmtime.unavailable },
    { name: 'wazero in Go', command: inGo.path, args: goArgs, unavailable: inGo.unavailable },
    await pythonCaller(),
  ];
}

async function measureCalls(rounds, count) {
  const all = await callers();
  for (const { name, unavailable } of all)
    if (unavailable !== undefined) console.log(`${name} not run: ${unavailable}`);
  const programs = all.filter(({ unavailable }) => unavailable === undefined);
  for (const program of programs) program.figures = Object.fromEntries(Object.keys(OPEN).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, open] of Object.entries(OPEN)) {
      const calls = open === 1 ? Math.ceil(count / SLOWER) : count;
      for (const { command, args = (...rest) => rest, env, fewer = 1, figures } of programs) {
        const given = args(String(Math.ceil(calls / fewer)), String(open));
        figures[name].push(figureOf(command, given, env, /(\d+) ns (?:each|a call)/));
      }
    }
  }
  const rows = programs.map(({ name, figures }) => {
    const ratio = (key) => median(figures[key].map((ns, round) => ns / programs[0].figures[key][round])).toFixed(2);
    return [name, ...Object.keys(OPEN).map((key) => `${Math.round(median(figures[key]))} (${ratio(key)})`)];
  });
  const head = ['ns of a call (x C)', ...Object.keys(OPEN)];
  console.log(`\nns of a call between two threads, median of ${rounds} rounds\n${table([head, ...rows])}`);
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  checkWrkOptions(options, { pipeline: 64, calls: 1_000_000_000 }, { calls: 0 });
  const featherstar = baseline('featherstar.mjs');
  const specs = [
    { name: REFERENCE, on: 'c', source: 'http-uring', args: [] },
    { name: 'c-epoll', on: 'c', source: 'http-epoll', args: [] },
    { name: 'c-host', on: 'built', command: await compileHost('http'), args: oneShard },
    { name: 'c-host-epoll', on: 'built', command: await compileHost('http', 'epoll'), args: oneShard },
    await cargoHost('rust', 'rust-host'),
    await cargoHost('wasmtime', 'wasmtime-host', WASM),
    { name: 'featherstar', on: 'node', args: [featherstar], env: { FEATHERSTAR_HOST: 'uring' } },
  ];
  const code = await wrkContest('hosts', DECLARED, options, [{ name: '', specs }]);
  if (options.calls > 0) await measureCalls(options.rounds, options.calls);
  return code;
}
