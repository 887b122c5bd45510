// The hosts of examples/hosts that have the core as C. Under wrk they stand beside the hand-written C server. The calls
// between threads of the C host stand beside bare messages through the rings of baseline/core.c.
//
// Next: wrk.js; ../examples/hosts/README.md.

import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { REFERENCE } from './contest.js';
import { baseline } from './peers.js';
import { BenchError, compile, compileFiles, compileRust, median, table } from './tools.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

const DECLARED = {
  ...WRK_OPTIONS,
  pipeline: { type: 'string', default: '1' },
  calls: { type: 'string', default: '1000000' }, // 0: none
};
const CORES = '0,1';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

/** Compiles a program of examples/hosts/c with the core and the gate. */
function compileHost(program) {
  const shipped = readdirSync(path('dist/c')).filter((name) => name.endsWith('.c'));
  const sources = [
    `examples/hosts/c/${program}.c`,
    'examples/hosts/c/host.c',
    ...shipped.map((name) => `dist/c/${name}`),
  ];
  return compileFiles(`host-${program}`, sources.map(path), ['-D_GNU_SOURCE', '-pthread', '-I', path('dist/c')]);
}

async function rustHost() {
  const { path: command, unavailable } = await compileRust('examples/hosts/rust', 'http');
  return { name: 'rust-host', on: 'built', command, unavailable, args: (port) => [String(port), '1'] };
}

/** Runs a program on two cores. Resolves with the number that `pattern` finds in its output. */
function figureOf(command, args, pattern) {
  const { status, stdout, stderr } = spawnSync('taskset', ['-c', CORES, command, ...args], { encoding: 'utf8' });
  const found = pattern.exec(stdout);
  if (status !== 0 || found === null) throw new BenchError(`${command} ended with ${status}: ${stdout}${stderr}`);
  return Number(found[1]);
}

async function measureCalls(rounds, count) {
  const calls = await compileHost('calls');
  const twin = await compile('core');
  const rows = { 'one open': [], 'C, one bare message, both sides sleep': [], '64 open': [] };
  for (let round = 0; round < rounds; round++) {
    rows['one open'].push(figureOf(calls, [count, '1'], /(\d+) ns each/));
    rows['64 open'].push(figureOf(calls, [count, '64'], /(\d+) ns each/));
    rows['C, one bare message, both sides sleep'].push(figureOf(twin, ['pingpong-sleep'], /^pingpong-sleep\S* (\S+)/m));
  }
  const lines = Object.entries(rows).map(([name, values]) => [name, Math.round(median(values)).toString()]);
  console.log(`\nns of a call between two threads, median of ${rounds} rounds\n${table([['calls', 'ns'], ...lines])}`);
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  checkWrkOptions(options, { pipeline: 64, calls: 1_000_000_000 }, { calls: 0 });
  const featherstar = baseline('featherstar.mjs');
  const specs = [
    { name: REFERENCE, on: 'c', source: 'http-uring', args: [] },
    { name: 'c-host', on: 'built', command: await compileHost('http'), args: (port) => [String(port), '1'] },
    await rustHost(),
    { name: 'featherstar', on: 'node', args: [featherstar], env: { FEATHERSTAR_HOST: 'uring' } },
  ];
  const code = await wrkContest('hosts', DECLARED, options, [{ name: '', specs }]);
  if (options.calls > 0) await measureCalls(options.rounds, String(options.calls));
  return code;
}
