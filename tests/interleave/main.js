// npm run interleave: all interleavings of two shards over the shipped core, or one, or random ones. With --model, also
// what store buffers add; with --park c, the receiver's half in C; with --scenario host, the whole host in C.
//
// Without arguments it explores every scenario within the bounds of `BOUNDS`, then the mutants, and prints a table.
// A failure prints what was broken, the last steps, and the command that repeats it.
//
// Next: transform.js, machine.js, scenario.js, explore.js; then docs/how-it-works/5-sleep.md.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { hasCompiler } from './c-build.js';
import { compileHost, HostScenario } from './c-host.js';
import { CPark, compilePark } from './c-park.js';
import { decode, describe, encode, exhaust, follow, wander } from './explore.js';
import { Machine } from './machine.js';
import { MUTANTS, mutantBytes } from './mutants.js';
import { SCENARIOS, Scenario } from './scenario.js';
import { MODELS } from './store-buffers.js';
import { transform } from './transform.js';

const NAMES = [...Object.keys(SCENARIOS), 'host']; // host: all of the host in C (c-host.js)

const USAGE = `usage: npm run interleave -- [options]
  --full               larger bounds, minutes
  --scenario NAME      one of ${NAMES.join(', ')}
  --capacity N         slots of a ring, 1, 2, 4, ...; default 1
  --messages N         of each shard that calls; default 2
  --model NAME         one of ${MODELS.join(', ')}; default sc
  --park NAME          core: the core's exports; c: host/native/park.h; default core
  --mutant NAME        one of ${Object.keys(MUTANTS).join(', ')}, instead of the core
  --seed N --runs N    random schedules from seed N on, instead of all
  --schedule TEXT      one schedule, step by step`;

const STATES_MAX = 2_000_000;
const STEPS_MAX = 100_000; // of a random schedule
const SHOWN = 24; // last steps of a failure

// scenario, capacity, messages, model of memory, park: what is exhausted on every run of the tests, and with --full.
export const BOUNDS = [
  ['ring', 1, 3, 'sc', 'core'],
  ['ring', 2, 3, 'sc', 'core'],
  ['dirty', 1, 2, 'sc', 'core'],
  ['dirty', 2, 3, 'sc', 'core'],
  ['sleep', 1, 2, 'sc', 'core'],
  ['sleep', 2, 3, 'sc', 'core'],
  ['credit', 1, 2, 'sc', 'core'],
  ['credit', 2, 2, 'sc', 'core'],
  ['call', 1, 1, 'sc', 'core'],
  ['call', 2, 1, 'sc', 'core'],
  ['sleep', 1, 2, 'sc', 'c'],
  ['sleep', 2, 3, 'sc', 'c'],
  ['credit', 1, 2, 'sc', 'c'],
  ['call', 1, 1, 'sc', 'c'],
  ['early', 2, 2, 'sc', 'core'],
  ['early', 2, 2, 'sc', 'c'],
  ['host', 1, 1, 'sc', 'c'],
  ['host', 32, 16, 'sc', 'c'],
  ['host', 2, 2, 'tso', 'c'],
  ['ring', 2, 2, 'tso', 'core'],
  ['sleep', 1, 2, 'tso', 'core'],
  ['early', 2, 2, 'tso', 'core'],
  ['drip', 2, 2, 'tso', 'core'],
  ['drip', 2, 2, 'tso', 'c'],
  ['ring', 2, 2, 'relaxed', 'core'],
  ['drip', 2, 2, 'relaxed', 'core'],
  ['drip', 2, 2, 'relaxed', 'c'],
];
export const BOUNDS_FULL = [
  ['ring', 1, 6, 'sc', 'core'],
  ['ring', 2, 6, 'sc', 'core'],
  ['dirty', 1, 4, 'sc', 'core'],
  ['dirty', 2, 4, 'sc', 'core'],
  ['sleep', 1, 3, 'sc', 'core'],
  ['sleep', 1, 4, 'sc', 'core'],
  ['sleep', 2, 4, 'sc', 'core'],
  ['credit', 1, 4, 'sc', 'core'],
  ['credit', 2, 3, 'sc', 'core'],
  ['credit', 2, 4, 'sc', 'core'],
  ['call', 1, 2, 'sc', 'core'],
  ['call', 2, 2, 'sc', 'core'],
  ['cross', 1, 1, 'sc', 'core'],
  ['cross', 2, 1, 'sc', 'core'],
  ['sleep', 2, 4, 'sc', 'c'],
  ['credit', 2, 3, 'sc', 'c'],
  ['call', 2, 2, 'sc', 'c'],
  ['host', 1, 2, 'sc', 'c'],
  ['host', 32, 17, 'sc', 'c'],
  ['host', 32, 16, 'tso', 'c'],
  ['early', 2, 2, 'relaxed', 'core'],
  ['early', 2, 2, 'tso', 'c'],
  ['sleep', 1, 3, 'tso', 'core'],
  ['credit', 1, 2, 'tso', 'core'],
  ['call', 1, 1, 'tso', 'c'],
  ['sleep', 1, 2, 'relaxed', 'core'],
];

const copies = new Map();

/** In the place of a mutant: the core with its asserts. They look at shared words too, so it has far more states. */
export const DEBUG = 'debug';

/** The copy of the core, or of a mutant, with its switch points. */
export function copyOf(mutant = '') {
  if (!copies.has(mutant)) {
    const core = new URL(`../../dist/${mutant === DEBUG ? 'core.debug' : 'core'}.wasm`, import.meta.url);
    copies.set(mutant, transform(mutant === '' || mutant === DEBUG ? readFileSync(core) : mutantBytes(mutant)));
  }
  return copies.get(mutant);
}

const parks = new Map();
const hosts = new Map();

/** park.h, or a mutant of it. */
function parkOf(mutant = '') {
  if (!parks.has(mutant)) parks.set(mutant, new CPark(compilePark(mutant || 'park', MUTANTS[mutant]?.park)));
  return parks.get(mutant);
}

/** Whether it is a mutant of C, so that the core is the shipped one. */
function isOfC(mutant) {
  return mutant in MUTANTS && MUTANTS[mutant].changes === undefined;
}

/** The host in C, or a mutant of it. */
function hostOf(mutant = '') {
  if (!hosts.has(mutant)) hosts.set(mutant, compileHost(mutant || 'host', MUTANTS[mutant]?.host));
  return hosts.get(mutant);
}

export function machineOf([name, capacity, messages, model, park], mutant = '') {
  const isInC = isOfC(mutant);
  const { module } = copyOf(isInC ? '' : mutant);
  if (name === 'host')
    return new Machine(module, new HostScenario(hostOf(isInC ? mutant : ''), capacity, messages), model);
  const scenario = new Scenario(name, capacity, messages);
  return new Machine(module, scenario, model, park === 'c' ? parkOf(isInC ? mutant : '') : undefined);
}

/** A bound in words. */
export function nameOf([name, capacity, messages, model, park]) {
  const memory = model === 'sc' ? '' : `, ${model}`;
  const inC = name === 'host' ? ', in C' : park === 'c' ? ', park.h' : '';
  return `${name}, ${capacity} slots, ${messages} messages${memory}${inC}`;
}

export function commandOf([name, capacity, messages, model, park], mutant, path) {
  const which = `--scenario ${name} --capacity ${capacity} --messages ${messages} --model ${model} --park ${park}`;
  return `npm run interleave -- ${which}${mutant ? ` --mutant ${mutant}` : ''} --schedule ${encode(path)}`;
}

function printFailure(bound, mutant, { broken, path }) {
  const steps = [];
  follow(machineOf(bound, mutant), path, (machine, choice) => {
    steps.push(`  ${String(steps.length).padStart(5)}  ${describe(machine, choice)}`);
  });
  console.log(`BROKEN: ${broken}`);
  if (steps.length > SHOWN) console.log(`  ... ${steps.length - SHOWN} steps before these`);
  console.log(steps.slice(-SHOWN).join('\n'));
  console.log(commandOf(bound, mutant, path));
}

/** Explores one bound; prints a line. Returns exhaust()'s report. */
export function explore(bound, mutant = '') {
  const started = performance.now();
  const report = exhaust(machineOf(bound, mutant), { statesMax: STATES_MAX });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const end = report.failure ? 'a failure' : report.exhausted ? 'exhausted' : `gave up at ${STATES_MAX} states`;
  console.log(
    `${mutant || 'core'}: ${nameOf(bound)}: ${report.states} states, ` +
      `${report.steps} steps, depth ${report.depth}, ${report.ends} ends, ${seconds} s: ${end}`,
  );
  return report;
}

/** Without a C compiler, C is skipped, aloud. */
export function canRun(bound) {
  const can = bound[4] !== 'c' || hasCompiler();
  if (!can) console.log(`# skipped: ${nameOf(bound)}: no C compiler`);
  return can;
}

function all(full) {
  let failed = 0;
  for (const bound of (full ? [...BOUNDS, ...BOUNDS_FULL] : BOUNDS).filter(canRun)) {
    const { failure, exhausted } = explore(bound);
    if (failure) printFailure(bound, '', failure);
    if (!exhausted) failed++;
  }
  for (const [mutant, { what, bound }] of Object.entries(MUTANTS)) {
    if (!canRun(bound)) continue;
    console.log(`mutant ${mutant}: ${what}`);
    const { failure } = explore(bound, mutant);
    if (failure) printFailure(bound, mutant, failure);
    else failed++;
  }
  return failed;
}

function randomly(bound, mutant, seed, runs) {
  let steps = 0;
  let ended = 0;
  for (let i = 0; i < runs; i++) {
    const run = wander(machineOf(bound, mutant), seed + i, STEPS_MAX);
    steps += run.path.length;
    if (run.ended) ended++;
    if (run.broken === null) continue;
    console.log(`seed ${seed + i}`);
    printFailure(bound, mutant, run);
    return 1;
  }
  console.log(`${runs} schedules from seed ${seed}: ${steps} steps, ${ended} came to an end, nothing broken`);
  return 0;
}

function one(bound, mutant, schedule) {
  const steps = [];
  const run = follow(machineOf(bound, mutant), decode(schedule), (machine, choice) => {
    steps.push(`  ${String(steps.length).padStart(5)}  ${describe(machine, choice)}`);
  });
  console.log(steps.join('\n'));
  console.log(run.broken === null ? 'nothing broken' : `BROKEN: ${run.broken}`);
  return run.broken === null ? 0 : 1;
}

function main() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { full: flag, help: flag, scenario: text, mutant: text, schedule: text };
  for (const name of ['capacity', 'messages', 'model', 'park', 'seed', 'runs']) options[name] = text;
  const { values } = parseArgs({ options });
  const number = (name, fallback) => {
    const value = Number(values[name] ?? fallback);
    if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`--${name} ${values[name]}: not a count`);
    return value;
  };
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const { mutant = '', scenario } = values;
  if (mutant !== '' && !(mutant in MUTANTS)) throw new TypeError(`--mutant ${mutant}: there is none`);
  if (scenario !== undefined && !NAMES.includes(scenario)) throw new TypeError(`--scenario ${scenario}: there is none`);
  const usual = MUTANTS[mutant]?.bound ?? ['sleep', 1, 2, 'sc', scenario === 'host' ? 'c' : 'core'];
  const { model = usual[3], park = usual[4] } = values;
  if (!MODELS.includes(model)) throw new TypeError(`--model ${model}: there is none`);
  if (park !== 'core' && park !== 'c') throw new TypeError(`--park ${park}: there is none`);
  const { hash, points } = copyOf(isOfC(mutant) ? '' : mutant);
  console.log(`${mutant || 'core.wasm'} ${hash}: ${points.atomic} atomic accesses, ${points.plain} plain ones`);
  const bound = [scenario ?? usual[0], number('capacity', usual[1]), number('messages', usual[2]), model, park];
  if (values.schedule !== undefined) return one(bound, mutant, values.schedule);
  if (values.seed !== undefined) return randomly(bound, mutant, number('seed'), number('runs', 100));
  if (scenario === undefined && mutant === '') return all(values.full);
  const { failure, exhausted } = explore(bound, mutant);
  if (failure) printFailure(bound, mutant, failure);
  return exhausted ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    process.exitCode = main();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n${USAGE}`);
    process.exitCode = 1;
  }
}
