// npm run interleave: all interleavings of two shards over the shipped core, or one, or random ones.
//
// Without arguments it explores every scenario within the bounds of `BOUNDS`, then the mutants, and prints a table.
// A failure prints what was broken, the last steps, and the command that repeats it.
//
// Next: transform.js, machine.js, scenario.js, explore.js; then docs/how-it-works/5-sleep.md.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { decode, describe, encode, exhaust, follow, wander } from './explore.js';
import { Machine } from './machine.js';
import { MUTANTS, mutantBytes } from './mutants.js';
import { SCENARIOS, Scenario } from './scenario.js';
import { transform } from './transform.js';

const USAGE = `usage: npm run interleave -- [options]
  --full               larger bounds, minutes
  --scenario NAME      one of ${Object.keys(SCENARIOS).join(', ')}
  --capacity N         slots of a ring, 1 or 2; default 1
  --messages N         of each shard that calls; default 2
  --mutant NAME        one of ${Object.keys(MUTANTS).join(', ')}, instead of the core
  --seed N --runs N    random schedules from seed N on, instead of all
  --schedule TEXT      one schedule, step by step`;

const STATES_MAX = 2_000_000;
const STEPS_MAX = 100_000; // of a random schedule
const SHOWN = 24; // last steps of a failure

// scenario, capacity, messages: what is exhausted on every run of the tests, and what only with --full.
export const BOUNDS = [
  ['ring', 1, 3],
  ['ring', 2, 3],
  ['dirty', 1, 2],
  ['dirty', 2, 3],
  ['sleep', 1, 2],
  ['sleep', 2, 3],
  ['credit', 1, 2],
  ['credit', 2, 3],
  ['call', 1, 1],
  ['call', 2, 1],
];
export const BOUNDS_FULL = [
  ['ring', 1, 6],
  ['ring', 2, 6],
  ['dirty', 1, 4],
  ['dirty', 2, 4],
  ['sleep', 1, 3],
  ['sleep', 1, 4],
  ['sleep', 2, 4],
  ['credit', 1, 4],
  ['credit', 2, 4],
  ['call', 1, 2],
  ['call', 2, 2],
  ['cross', 1, 1],
  ['cross', 2, 1],
];

const copies = new Map();

/** The copy of the core, or of a mutant, with its switch points. */
export function copyOf(mutant = '') {
  if (!copies.has(mutant)) {
    const core = new URL('../../dist/core.wasm', import.meta.url);
    copies.set(mutant, transform(mutant === '' ? readFileSync(core) : mutantBytes(mutant)));
  }
  return copies.get(mutant);
}

export function machineOf([name, capacity, messages], mutant = '') {
  return new Machine(copyOf(mutant).module, new Scenario(name, capacity, messages));
}

export function commandOf([name, capacity, messages], mutant, path) {
  const which = `--scenario ${name} --capacity ${capacity} --messages ${messages}`;
  return `npm run interleave -- ${which}${mutant ? ` --mutant ${mutant}` : ''} --schedule ${encode(path)}`;
}

function printFailure(bound, mutant, { broken, path }) {
  const steps = [];
  follow(machineOf(bound, mutant), path, (machine, shard) => {
    steps.push(`  ${String(steps.length).padStart(5)}  shard ${shard}  ${describe(machine, shard)}`);
  });
  console.log(`BROKEN: ${broken}`);
  if (steps.length > SHOWN) console.log(`  ... ${steps.length - SHOWN} steps before these`);
  console.log(steps.slice(-SHOWN).join('\n'));
  console.log(commandOf(bound, mutant, path));
}

/** Explores one bound; prints a line. Answers exhaust()'s report. */
export function explore(bound, mutant = '') {
  const started = performance.now();
  const report = exhaust(machineOf(bound, mutant), { statesMax: STATES_MAX });
  const [name, capacity, messages] = bound;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const end = report.failure ? 'a failure' : report.exhausted ? 'exhausted' : `gave up at ${STATES_MAX} states`;
  console.log(
    `${mutant || 'core'}: ${name}, capacity ${capacity}, messages ${messages}: ${report.states} states, ` +
      `${report.steps} steps, depth ${report.depth}, ${report.ends} ends, ${seconds} s: ${end}`,
  );
  return report;
}

function all(full) {
  let failed = 0;
  for (const bound of full ? [...BOUNDS, ...BOUNDS_FULL] : BOUNDS) {
    const { failure, exhausted } = explore(bound);
    if (failure) printFailure(bound, '', failure);
    if (!exhausted) failed++;
  }
  for (const [mutant, { what, scenario }] of Object.entries(MUTANTS)) {
    console.log(`mutant ${mutant}: ${what}`);
    const bound = [scenario, 1, 2];
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
  const run = follow(machineOf(bound, mutant), decode(schedule), (machine, shard) => {
    steps.push(`  ${String(steps.length).padStart(5)}  shard ${shard}  ${describe(machine, shard)}`);
  });
  console.log(steps.join('\n'));
  console.log(run.broken === null ? 'nothing broken' : `BROKEN: ${run.broken}`);
  return run.broken === null ? 0 : 1;
}

function main() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { full: flag, help: flag, scenario: text, mutant: text, schedule: text };
  for (const name of ['capacity', 'messages', 'seed', 'runs']) options[name] = text;
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
  if (scenario !== undefined && !(scenario in SCENARIOS)) throw new TypeError(`--scenario ${scenario}: there is none`);
  const { hash, points } = copyOf(mutant);
  console.log(`${mutant || 'core.wasm'} ${hash}: ${points.atomic} atomic accesses, ${points.plain} plain ones`);
  const bound = [scenario ?? MUTANTS[mutant]?.scenario ?? 'sleep', number('capacity', 1), number('messages', 2)];
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
