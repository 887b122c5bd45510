// The core benchmark: the loops of assembly/ in Wasm beside the same in C, and beside Node's own means. Then call()
// beside a MessagePort and piscina, and tasks beside plain promises.
//
// The required ratios are printed below the tables with PASS or MISS. A program that fails is named; the exit code is
// 1.
//
// Next: core/bench.ts.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildWasm } from '../tests/support/asc.js';
import { choose, count, measureAll, ns, ratio, times } from './rounds.js';
import { BenchError, COMPILE_FLAGS, compile, hasCommand, machineLine, median, table, versionOf } from './tools.js';

const CORES = '0,1';
const WASM = 'dist/bench/core.wasm';
const DEFAULT_TIMERS = [1000, 10_000, 100_000, 1_000_000];
const BATCHES = [1, 16, 64];
const PAYLOADS = ['round-trip-8B', 'round-trip-1KiB', 'round-trip-1MiB', 'round-trip-moved'];
const CALLS = ['round-trip', 'in-flight', 'sleeping', 'map-reduce', ...PAYLOADS, 'in-flight-8B', 'in-flight-1KiB'];
const POOLED = ['round-trip', 'in-flight']; // what piscina is measured with
const TASKS = ['spawn', 'yield', 'semaphore', 'semaphore-contended', 'channel'];

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  timers: { type: 'string', default: DEFAULT_TIMERS.join(',') },
  only: { type: 'string' },
  node: { type: 'string' },
  piscina: { type: 'string' },
  json: { type: 'string' },
};

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

function readOptions(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  values.rounds = count('rounds', values.rounds, 1000);
  values.timers = values.timers.split(',').map((text) => count('timers', text, 1_000_000));
  return values;
}

function checkMachine() {
  if (process.platform !== 'linux') throw new BenchError(`Linux is needed (futex, taskset), not ${process.platform}`);
  if (availableParallelism() < 2) throw new BenchError('two cores are needed, one for each thread of a pair');
  if (!hasCommand('taskset')) throw new BenchError('no taskset in PATH: apt-get install util-linux');
}

// --- what is measured -----------------------------------------------------------------------------------------------

/** Units of work: each has the arguments of the program in C, of wasm.js and node.js, or what calls.js is to do. */
function allUnits(timers) {
  const alike = (name, args, { node = args } = {}) => ({ name, c: args, wasm: args, node });
  return [
    ...timers.map((n) => alike(`wheel.${n}`, ['wheel', String(n)])),
    alike('slab', ['slab'], { node: null }),
    alike('task', ['task']),
    ...BATCHES.map((n) => alike(`spsc.${n}`, ['spsc', String(n)], { node: n === 16 ? ['spsc'] : null })),
    alike('pingpong', ['pingpong']),
    alike('pingpong-sleep', ['pingpong-sleep']),
    ...CALLS.map((what) => ({ name: `call.${what}`, calls: what })),
    ...TASKS.map((what) => ({ name: `tasks.${what}`, tasks: what })),
    { name: 'tasks.shares', shares: true },
  ];
}

/** The folder that has piscina, or undefined: then its column is empty, and says why. */
function findPiscina(directory = file('..')) {
  try {
    createRequire(join(directory, 'index.js')).resolve('piscina');
    return directory;
  } catch {
    process.stderr.write(`no piscina in ${directory}: npm i --no-save --prefix DIR piscina, then --piscina DIR\n`);
    return undefined;
  }
}

/** The programs of a unit: who runs, and the command line. `nodes` maps a suffix, '' or '@v26', to a binary. */
function programsOf(unit, binary, nodes, piscina) {
  const programs = unit.c ? [{ who: 'c', command: binary, args: unit.c }] : [];
  for (const [suffix, command] of Object.entries(nodes)) {
    const add = (who, script, args) => programs.push({ who: who + suffix, command, args: [file(script), ...args] });
    if (unit.wasm) add('wasm', 'core/wasm.js', [file(`../${WASM}`), ...unit.wasm]);
    if (unit.node) add('node', 'core/node.js', unit.node);
    for (const how of unit.calls ? ['call', 'port'] : []) add(how, 'core/calls.js', [how, unit.calls]);
    if (piscina && POOLED.includes(unit.calls)) add('piscina', 'core/calls.js', ['piscina', unit.calls, piscina]);
    for (const how of unit.tasks ? ['ours', 'plain'] : []) add(how, 'core/tasks.js', [how, unit.tasks]);
    if (unit.shares) add('ours', 'core/tasks.js', ['ours', 'shares']);
  }
  return programs;
}

// --- the report -----------------------------------------------------------------------------------------------------

function loopRows(figures, suffix) {
  const rows = [...figures].filter(([name]) => !/^(call|tasks)\./.test(name));
  return rows.map(([name, who]) => {
    const [wasm, node] = [who[`wasm${suffix}`], who[`node${suffix}`]];
    return [name, ns(who.c), ns(wasm), times(ratio(wasm, who.c)), ns(node), times(ratio(node, wasm))];
  });
}

function callRows(figures, suffix) {
  const rows = [...figures].filter(([name]) => name.startsWith('call.'));
  return rows.map(([name, who]) => {
    const [call, port, pool] = ['call', 'port', 'piscina'].map((how) => who[how + suffix]);
    return [name, ns(call), ns(port), times(ratio(port, call)), ns(pool), times(ratio(pool, call))];
  });
}

function taskRows(figures, suffix) {
  const rows = [...figures].filter(([name]) => name.startsWith('tasks.') && name !== 'tasks.shares');
  return rows.map(([name, who]) => {
    const [ours, plain] = [who[`ours${suffix}`], who[`plain${suffix}`]];
    return [name, ns(ours), ns(plain), times(ratio(plain, ours))];
  });
}

/** The required ratios: [text, the ratio, whether it is good enough]. */
function requirements(figures, suffix) {
  const get = (name, who) => figures.get(name)?.[who === 'c' ? who : who + suffix];
  const lines = [];
  const atMost = (name, limit) => {
    const value = ratio(get(name, 'wasm'), get(name, 'c'));
    lines.push([`${name}: Wasm <= ${limit} x C`, value, value <= limit]);
  };
  const atLeast = (name, limit, ours, theirs, text) => {
    const value = ratio(get(name, theirs), get(name, ours));
    lines.push([`${name}: ${text}`, value, value >= limit]);
  };
  atLeast('spsc.16', 0.8, 'wasm', 'c', 'messages per second >= 0.8 x C');
  for (const name of figures.keys()) {
    if (!name.startsWith('wheel.insert-cancel.')) continue;
    atMost(name, 1.5);
    atLeast(name, 10, 'wasm', 'node', 'setTimeout and clearTimeout >= 10 x Wasm');
  }
  for (const name of ['wheel.recent', 'wheel.insert-fire']) {
    const each = [...figures.keys()].filter((key) => key.startsWith(`${name}.`)).map((key) => get(key, 'wasm'));
    if (each.length < 2 || each.includes(undefined)) continue;
    const medians = each.map((values) => median(values.filter((value) => value !== undefined)));
    const spread = Math.max(...medians) / Math.min(...medians);
    lines.push([`${name}: most pending <= 1.5 x fewest, or the other way round`, spread, spread <= 1.5]);
  }
  atMost('pingpong.round-trip', 1.5);
  const shared = get('tasks.shares', 'ours');
  if (shared !== undefined) {
    const value = median(shared.filter((times) => times !== undefined));
    lines.push(['tasks.shares: groups of 1 : 3 do work of 1 : 3 within 5 %', value, Math.abs(value / 3 - 1) <= 0.05]);
  }
  atLeast('call.round-trip', 10, 'call', 'port', 'MessagePort >= 10 x call(), peer awake');
  atLeast('call.in-flight', 5, 'call', 'port', 'MessagePort >= 5 x call(), 64 at a time');
  atLeast('call.in-flight', 10, 'call', 'piscina', 'piscina >= 10 x call(), 64 at a time');
  atLeast('call.sleeping', 1, 'call', 'port', 'MessagePort >= call(), peer asleep');
  return lines.filter(([, value]) => !Number.isNaN(value));
}

function reportNode({ figures }, suffix, version) {
  const [loops, calls, tasks] = [loopRows, callRows, taskRows].map((rows) => rows(figures, suffix));
  console.log(`\nNode ${version}: ns, median of the rounds (min..max); x: median of the rounds' ratios`);
  if (loops.length > 0) {
    console.log(`\n${table([['ns per operation', 'C', 'Wasm', 'x C', 'Node', 'x Wasm'], ...loops])}`);
  }
  const rivals = ['call()', 'MessagePort', 'x call()', 'piscina', 'x call()'];
  if (calls.length > 0) console.log(`\n${table([['ns per call', ...rivals], ...calls])}`);
  if (tasks.length > 0) console.log(`\n${table([['ns per operation', 'ours', 'plain', 'x ours'], ...tasks])}`);
  console.log('');
  for (const [text, value, good] of requirements(figures, suffix)) {
    console.log(`${good ? 'PASS' : 'MISS'}  ${times(value).padStart(6)}  ${text}`);
  }
}

function exactCommand(options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return `npm run bench -- core ${given.map(([name, value]) => `--${name} ${value}`).join(' ')}`;
}

export async function main(args) {
  const options = readOptions(args);
  checkMachine();
  const units = choose(allUnits(options.timers), options.only);
  const versions = { '': process.version };
  const nodes = { '': process.execPath };
  if (options.node !== undefined) {
    const other = versionOf(options.node);
    if (other === undefined) throw new BenchError(`--node ${options.node} cannot be run`);
    versions[`@${other}`] = other;
    nodes[`@${other}`] = options.node;
  }
  const piscina = findPiscina(options.piscina);
  const binary = await compile('core');
  buildWasm('bench/core/bench.ts', WASM);
  const measured = await measureAll(units, options.rounds, CORES, (unit) => programsOf(unit, binary, nodes, piscina));

  for (const [suffix, version] of Object.entries(versions)) reportNode(measured, suffix, version);
  for (const failure of measured.failures) console.log(`FAILED ${failure}`);
  const [command, machine] = [exactCommand(options), machineLine({ node: Object.values(versions).join(' and ') })];
  console.log(`\ncommand: ${command}`);
  console.log(`machine: ${machine}; cc ${COMPILE_FLAGS.join(' ')} -O2; all on cores ${CORES}`);
  if (options.json !== undefined) {
    const results = { command, machine, options, ...measured, figures: Object.fromEntries(measured.figures) };
    writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`);
  }
  return measured.failures.length > 0 ? 1 : 0;
}
