// npm run sim -- --seed N     one run of tests/sim/program.js: the hash of core.wasm, and that of the run's trace
// npm run sim -- --seeds M    seeds 1 to M (or from --from N on); the first that fails is told, and how to repeat it
// --program chaos             another program: chaos.js, lives.js
// --bugs --jobs J            finds, shrinks and locates each planted bug of the sample: bugs.js
// --live                      the live mode: live/command.js has its options

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { coreHash } from 'featherstar/testing';
import { tellBugs } from './bugs.js';
import { runChaos } from './chaos.js';
import { live } from './live/command.js';
import { runLives } from './lives.js';
import { runSeed } from './program.js';

const PROGRAMS = { program: runSeed, chaos: runChaos, lives: runLives };

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    program: { type: 'string', default: 'program' },
    bugs: { type: 'boolean' },
    live: { type: 'boolean' },
    jobs: { type: 'string' },
    mutant: { type: 'string' },
    mutants: { type: 'boolean' },
    only: { type: 'string' },
    all: { type: 'boolean' },
    counts: { type: 'boolean' },
    stacks: { type: 'boolean' },
  },
});
if (!Object.hasOwn(PROGRAMS, values.program)) {
  console.error(`--program takes ${Object.keys(PROGRAMS).join(' or ')}, not ${values.program}`);
  process.exit(2);
}

function whole(name) {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  console.error(`--${name} takes a whole number, not ${JSON.stringify(values[name])}`);
  process.exit(2);
}

function tell(seed, error) {
  const { cause = error, trace = [] } = error;
  for (const line of trace) console.log(line);
  console.log(`\nseed ${seed} failed: ${cause?.stack ?? cause}`);
  const program = values.program === 'program' ? '' : ` --program ${values.program}`;
  console.log(`repeat it: npm run sim -- --seed ${seed}${program}`);
}

async function run(seed) {
  try {
    return await PROGRAMS[values.program](seed);
  } catch (error) {
    tell(seed, error);
    process.exitCode = 1;
    return undefined;
  }
}

console.log(`core.wasm ${coreHash()}`);
if (values.bugs) process.exitCode = (await tellBugs(whole('jobs'), join(tmpdir(), 'sim-failures'), 40)) ? 0 : 1;
else if (values.live) await live(values, whole);
else if (values.seed !== undefined) {
  const seed = whole('seed');
  const report = await run(seed);
  if (report !== undefined) console.log(`seed ${seed} trace ${report.traceHash} (${report.events} events)`);
} else {
  const [from, count] = [whole('from'), whole('seeds')];
  const startMs = performance.now();
  let [turns, virtualMs, done] = [0, 0, 0];
  for (let seed = from; seed < from + count; seed++) {
    const report = await run(seed);
    if (report === undefined) break;
    turns += report.turns;
    virtualMs += report.virtualMs;
    done++;
  }
  const seconds = (performance.now() - startMs) / 1000;
  const rate = `${Math.round(turns / seconds)} turns/s, ${Math.round(virtualMs / 1000 / seconds)} x real time`;
  console.log(`${done} of ${count} seeds passed in ${seconds.toFixed(1)} s: ${turns} turns, ${rate}`);
}
