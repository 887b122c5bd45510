// npm run sim -- --live --seeds N    live seeds; the first that fails is told, and how to repeat it
// npm run sim -- --live --seed K     one of them, with what it drew and the hash of its trace
// --from A --jobs J                  seeds from A on, in J processes
// --mutant NAME     the same with a bug on purpose (mutants.js)
// --mutants         looks for all of those, one by one: which seed finds each, and what it says
// --only http,locks a part of the work (plan.js)
// --all             goes on behind a failure, and tells them all, a line each
// --stacks          errors of this --seed with their stacks; its trace may be another one then
// --counts          how often each state was reached, also of few seeds

import { availableParallelism } from 'node:os';
import { ledger } from './ledger.js';
import { runLive } from './live.js';
import { MUTANTS, makeMutant } from './mutants.js';
import { PARTS, planOf } from './plan.js';
import { runSeeds } from './run.js';
import { missing } from './states.js';

const SEARCH = 100; // seeds at a time

function fail(text) {
  console.error(text);
  process.exit(2);
}

function again({ mutant, only }, seed) {
  const flags = { '--mutant': mutant, '--only': only?.join() };
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return ['repeat it: npm run sim -- --live --seed', seed, ...given.flat()].join(' ');
}

function tell({ seed, failure, stack, trace }, options) {
  for (const line of trace) console.log(line);
  console.log(`\n${failure}\n${stack}`);
  console.log(`seed ${seed} failed\n${again(options, seed)}`);
}

async function one(seed, options) {
  const { only, stacks } = options;
  console.log(`seed ${seed} draws ${JSON.stringify(planOf(seed, only ?? PARTS))}`);
  try {
    const { traceHash, events, turns, virtualMs } = await runLive(seed, { only, stacks });
    for (const [state, times] of [...ledger.counts].sort()) console.log(`${String(times).padStart(6)}  ${state}`);
    console.log(`${turns} turns, ${Math.round(virtualMs)} ms of its time`);
    console.log(`seed ${seed} trace ${traceHash} (${events} events)`);
  } catch (error) {
    const { trace = [], cause = error, message } = error;
    tell({ seed, failure: message, stack: cause?.stack, trace }, options);
    process.exitCode = 1;
  }
}

function firstLine({ seed, failure }) {
  return `seed ${seed}: ${failure.split(/: shard|\n/, 1)[0].replace(/^seed \d+: /, '')}`;
}

async function many(from, count, options) {
  const { mutant, only, all, jobs, counts } = options;
  const root = mutant === undefined ? undefined : makeMutant(mutant);
  const startMs = performance.now();
  const result = await runSeeds({ root, from, count, jobs, only, all });
  const seconds = (performance.now() - startMs) / 1000;
  if (counts || count >= 200) {
    for (const [state, times] of [...result.counts].sort()) console.log(`${String(times).padStart(8)}  ${state}`);
  }
  for (const failure of result.failures) {
    if (all) console.log(firstLine(failure));
    else tell(failure, options);
  }
  const never = result.failures.length === 0 && only === undefined ? missing(result.counts, count) : [];
  for (const state of never) console.log(`never reached: ${state}`);
  const passed = result.done - result.failures.length;
  const rate = `${(result.done / seconds).toFixed(1)} seeds/s, ${result.turns} turns`;
  console.log(`${passed} of ${count} seeds passed in ${seconds.toFixed(1)} s: ${rate}`);
  if (result.failures.length !== 0 || never.length !== 0) process.exitCode = 1;
}

/** The first seed that finds each mutant. */
async function searchAll(from, count) {
  for (const name of Object.keys(MUTANTS)) {
    let [seed, failure] = [from, undefined];
    const root = makeMutant(name);
    for (; seed < from + count && failure === undefined; seed += SEARCH) {
      const { failures } = await runSeeds({ root, from: seed, count: SEARCH });
      failure = failures[0]; // with one job the first is the lowest
    }
    console.log(failure === undefined ? `${name}: not found` : `${name}: ${firstLine(failure)}`);
    if (failure === undefined || !MUTANTS[name].text.test(failure.failure)) process.exitCode = 1;
  }
}

/** `values`: what the command line says. */
export async function live(values, whole) {
  const { mutant, all = false, counts = false, stacks = false } = values;
  if (mutant !== undefined && !Object.hasOwn(MUTANTS, mutant)) {
    fail(`--mutant takes one of ${Object.keys(MUTANTS).join(', ')}, not ${mutant}`);
  }
  const only = values.only?.split(',');
  for (const part of only ?? []) if (!PARTS.includes(part)) fail(`--only takes ${PARTS.join(',')}, not ${part}`);
  const jobs = values.jobs === undefined ? Math.min(2, availableParallelism()) : whole('jobs');
  const options = { mutant, only, all, jobs, counts, stacks };
  if (values.mutants) await searchAll(whole('from'), whole('seeds'));
  else if (values.seed !== undefined && mutant === undefined) await one(whole('seed'), options);
  else if (values.seed !== undefined) await many(whole('seed'), 1, options);
  else await many(whole('from'), whole('seeds'), options);
}
