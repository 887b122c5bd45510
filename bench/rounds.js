// Programs that measure themselves: each is a process of its own that prints a line `name ns` for every figure. In each
// round the programs of a unit run one after the other, in an order that rotates. So a noisy minute hits all of them.
// The figure to trust is the ratio within a round; its median is shown.
//
// Next: tools.js.

import { BenchError, median, startPinned, stop } from './tools.js';

const PROGRAM_TIMEOUT_MS = 120_000;

/** An option that is a whole number. */
export function count(name, text, max) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new BenchError(`--${name} ${text}: a whole number from 1 to ${max} is needed`);
}

/** The units whose names begin with one of `only`, a list with commas; all of them without it. `option` is its name. */
export function choose(units, only, option = 'only') {
  if (only === undefined) return units;
  const wanted = only.split(',');
  for (const wish of wanted) {
    if (units.some(({ name }) => name.startsWith(wish))) continue;
    throw new BenchError(`--${option} ${wish}: choose from ${units.map(({ name }) => name).join(', ')}`);
  }
  return units.filter(({ name }) => wanted.some((wish) => name.startsWith(wish)));
}

/** Runs a program, and resolves with what it printed: { name: ns }. */
async function runProgram({ command, args, env }, cores) {
  const child = startPinned(cores, command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const output = { stdout: '', stderr: '' };
  for (const name of Object.keys(output)) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text;
    });
  }
  const kill = setTimeout(() => stop(child), PROGRAM_TIMEOUT_MS);
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  clearTimeout(kill);
  if (code !== 0) throw new BenchError(`ended with ${code}: ${output.stderr.trim().slice(-500)}`);
  const lines = output.stdout.trim().split('\n');
  return Object.fromEntries(lines.map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]));
}

/** All figures: names in order of appearance, and for each { who: [ns of each round] }; and who failed, and why. */
export async function measureAll(units, rounds, cores, programsFor) {
  const figures = new Map();
  const failures = [];
  for (let round = 0; round < rounds; round++) {
    for (const unit of units) {
      process.stderr.write(`round ${round + 1}/${rounds}: ${unit.name}\n`);
      const programs = programsFor(unit);
      for (let i = 0; i < programs.length; i++) {
        const program = programs[(i + round) % programs.length];
        try {
          for (const [name, ns] of Object.entries(await runProgram(program, cores))) {
            if (!figures.has(name)) figures.set(name, {});
            figures.get(name)[program.who] ??= [];
            figures.get(name)[program.who][round] = ns;
          }
        } catch (error) {
          if (!(error instanceof BenchError)) throw error;
          failures.push(`${unit.name}, ${program.who}, round ${round + 1}: ${error.message}`);
        }
      }
    }
  }
  return { figures, failures };
}

/** The median of the rounds' ratios; NaN if there is no round with both. */
export function ratio(above, below) {
  const ratios = (above ?? []).map((ns, round) => ns / below?.[round]).filter(Number.isFinite);
  return ratios.length === 0 ? Number.NaN : median(ratios);
}

export function ns(values) {
  const present = (values ?? []).filter((value) => value !== undefined);
  if (present.length === 0) return '-';
  const show = (value) => value.toFixed(value < 100 ? 1 : 0);
  return `${show(median(present))} (${show(Math.min(...present))}..${show(Math.max(...present))})`;
}

export function times(value) {
  return Number.isNaN(value) ? '-' : value.toFixed(2);
}
