// A contest: servers take turns under the same load. In each round every contender is started in turn, so that a noisy
// minute hits all of them, and the order rotates. The servers run on core 0, the client on core 1. The figure to trust
// is CPU time per operation, and its ratio to the reference in the same round.
//
// A contender that cannot run is printed with its reason, and errors are a column: nothing is dropped.
//
// Next: peers.js.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContenderError, cpuBetween, cpuTime, startServer } from './server.js';
import { BenchError, COMPILE_FLAGS, hasCommand, machineLine, median, startPinned, stop, table } from './tools.js';

export const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const WARM_UP_S = 2; // V8 still compiles after one, on a busy machine

/** The contender that the others are compared with. */
export const REFERENCE = 'c-uring';

export const CONTEST_OPTIONS = {
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '5' },
  only: { type: 'string' },
  json: { type: 'string' },
};

export const CONTEST_RANGES = { connections: 10_000, seconds: 600, rounds: 100 };

/** Replaces the texts of options by numbers: `ranges` has the greatest, `least` those that may be 0. */
export function readNumbers(values, ranges, least = {}) {
  for (const [name, max] of Object.entries(ranges)) {
    if (values[name] === undefined) continue;
    const value = Number(values[name]);
    const min = least[name] ?? 1;
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new BenchError(`--${name} ${values[name]}: a whole number from ${min} to ${max} is needed`);
    }
    values[name] = value;
  }
}

/** Throws if this machine cannot run a contest. `commands`: name -> how to get it. */
export function checkMachine(commands) {
  if (process.platform !== 'linux') throw new BenchError(`Linux is needed (/proc, taskset), not ${process.platform}`);
  if (availableParallelism() < 2)
    throw new BenchError('two cores are needed, one for the server and one for the client');
  for (const [command, remedy] of Object.entries({ taskset: 'apt-get install util-linux', ...commands })) {
    if (!hasCommand(command)) throw new BenchError(`no ${command} in PATH: ${remedy}`);
  }
}

/** Throws if a process may not have `connections` open. Node raises its limit, and its children's, to the hard one. */
export function checkFiles(connections) {
  const limit = Number(spawnSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout);
  if (!(limit < connections + 100)) return; // NaN: unlimited
  throw new BenchError(`--connections ${connections}: ulimit -Hn allows ${limit} open files`);
}

/** A folder for files of a benchmark, which is removed when the process ends. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  return folder;
}

// --- one measurement ------------------------------------------------------------------------------------------------

/** Runs a client on its core, and resolves with the JSON of its line `RESULT`. */
export async function runClient(command, args, seconds) {
  const child = startPinned(CLIENT_CORE, command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const kill = setTimeout(() => stop(child), (seconds + 10) * 1000);
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  clearTimeout(kill);
  const result = /^RESULT (.+)$/m.exec(output);
  if (code !== 0 || result === null) {
    throw new ContenderError(`the client ended with ${code}: ${output.trim().slice(-300)}`);
  }
  return JSON.parse(result[1]);
}

/** Starts a contender, lets `check(port)` look at it, warms it up, and measures what `load(port, seconds)` costs it. */
export async function measureServer(contender, check, load, seconds) {
  const server = await startServer(contender, SERVER_CORE, check);
  try {
    await load(server.port, WARM_UP_S);
    const before = cpuTime(server.pid);
    const result = await load(server.port, seconds);
    if (server.failure() !== undefined) throw new ContenderError(server.failure());
    const cpuNs = cpuBetween(before, cpuTime(server.pid));
    if (result.requests === 0) throw new ContenderError(`no request was answered; ${errorText([result])}`);
    return {
      ...result,
      cpuUs: cpuNs / 1000 / result.requests,
      perSecond: (result.requests * 1e6) / result.durationUs,
    };
  } finally {
    await server.stop();
  }
}

/**
 * Measures the contenders of each unit, { name, contenders }, round by round. Afterwards a contender has `rounds` (one
 * entry per round; undefined where it failed), and `failed` if it did.
 */
export async function interleave(units, rounds, measure) {
  for (const { contenders } of units) for (const contender of contenders) contender.rounds = [];
  for (let round = 0; round < rounds; round++) {
    for (const unit of units) {
      const { name, contenders } = unit;
      for (let i = 0; i < contenders.length; i++) {
        const contender = contenders[(i + round) % contenders.length];
        if (contender.unavailable !== undefined || contender.failed !== undefined) continue;
        process.stderr.write(`round ${round + 1}/${rounds}: ${name} ${contender.name}\n`);
        try {
          contender.rounds[round] = await measure(contender, unit);
        } catch (error) {
          if (!(error instanceof ContenderError)) throw error;
          contender.failed = `round ${round + 1}: ${error.message}`;
        }
      }
    }
  }
}

// --- the report -----------------------------------------------------------------------------------------------------

function errorText(rounds) {
  const sums = {};
  for (const { errors } of rounds) for (const [kind, n] of Object.entries(errors)) sums[kind] = (sums[kind] ?? 0) + n;
  const kinds = Object.entries(sums).filter(([, n]) => n > 0);
  return kinds.length === 0 ? '0' : kinds.map(([kind, n]) => `${kind} ${n}`).join(' ');
}

function spread(values, digits) {
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)].map((v) => v.toFixed(digits));
  return `${middle} (${low}..${high})`;
}

/** Median of the ratios to the reference, taken round by round; `-` without a common round. */
function ratio(contender, reference, key) {
  const ratios = [];
  contender.rounds.forEach((result, round) => {
    const base = reference?.rounds[round];
    if (base !== undefined) ratios.push(result[key] / base[key]);
  });
  return ratios.length === 0 ? '-' : median(ratios).toFixed(2);
}

function latency(rounds, key) {
  return rounds[0][key] === null ? '-' : median(rounds.map((result) => result[key])).toFixed(0);
}

function figuresOf(contender, key) {
  return contender.rounds.flatMap((result) => (result === undefined ? [] : [result[key]]));
}

function summaryRow(contender, reference) {
  const rounds = contender.rounds.filter((result) => result !== undefined);
  return [
    contender.name,
    spread(figuresOf(contender, 'cpuUs'), 2),
    ratio(contender, reference, 'cpuUs'),
    spread(figuresOf(contender, 'perSecond'), 0),
    ratio(contender, reference, 'perSecond'),
    latency(rounds, 'p50Us'),
    latency(rounds, 'p99Us'),
    errorText(rounds),
  ];
}

const hasRun = ({ rounds }) => rounds.some((result) => result !== undefined);
const referenceOf = (contenders) => contenders.find(({ name }) => name === REFERENCE);

/** The table of a unit: a line for each contender that has run. `what` is one operation: `req`. */
export function unitTable(contenders, what) {
  const head = ['contender', `CPU us/${what}`, 'x C', `${what}/s`, 'x C', 'p50 us', 'p99 us', 'errors'];
  const rows = contenders.filter(hasRun).map((contender) => summaryRow(contender, referenceOf(contenders)));
  return table([head, ...rows]);
}

/** One table of all units: CPU time and, in brackets, the ratio to the reference. */
function overviewTable(units) {
  const names = [...new Set(units.flatMap(({ contenders }) => contenders.map(({ name }) => name)))];
  const cell = (name, { contenders }) => {
    const contender = contenders.find((candidate) => candidate.name === name);
    if (contender === undefined || !hasRun(contender)) return '-';
    const middle = median(figuresOf(contender, 'cpuUs'));
    return `${middle.toFixed(middle < 100 ? 1 : 0)} (${ratio(contender, referenceOf(contenders), 'cpuUs')})`;
  };
  const head = ['CPU us (x C)', ...units.map(({ name }) => name)];
  return table([head, ...names.map((name) => [name, ...units.map((unit) => cell(name, unit))])]);
}

/** Prints the table of each unit, and that of all. */
export function printUnits(units, rounds, what) {
  console.log(`\n${aboutRounds(rounds)}`);
  for (const { name, contenders } of units) console.log(`\n${name}\n${unitTable(contenders, what)}`);
  console.log(`\n${overviewTable(units)}\n`);
}

/** Prints who has not run and why, the command and the machine; writes `--json`. Returns the exit code. */
export function conclude(name, units, options, versions, specs) {
  const all = units.flatMap(({ name: unit, contenders }) => contenders.map((contender) => ({ ...contender, unit })));
  const reasons = all.flatMap(({ name: who, unit, unavailable, failed }) => {
    if (unavailable !== undefined) return [`${who} not run: ${unavailable}`];
    return failed === undefined ? [] : [`${[unit, who].join(' ').trim()} FAILED, ${failed}`];
  });
  for (const reason of new Set(reasons)) console.log(reason);
  const always = ['connections', 'seconds', 'rounds'];
  const given = Object.entries(options).filter(
    ([option, value]) => always.includes(option) || (value !== undefined && value !== specs[option].default),
  );
  const command = `npm run bench -- ${name} ${given.map(([option, value]) => `--${option} ${value}`).join(' ')}`;
  const named = Object.entries(versions).map(([peer, version]) => [
    peer === 'otherNode' ? 'other node' : peer,
    version,
  ]);
  const machine = machineLine(Object.fromEntries(named.filter(([, version]) => version !== undefined)));
  console.log(`command: ${command}`);
  console.log(
    `machine: ${machine}; cc ${COMPILE_FLAGS.join(' ')}; server on core ${SERVER_CORE}, client on ${CLIENT_CORE}`,
  );
  if (options.json !== undefined) {
    const results = all.map(({ unit, name: who, rounds, unavailable, failed }) => ({
      unit,
      name: who,
      rounds,
      unavailable,
      failed,
    }));
    writeFileSync(options.json, `${JSON.stringify({ command, machine, options, contenders: results }, null, 2)}\n`);
  }
  return all.some(({ failed }) => failed !== undefined) ? 1 : 0;
}

/** The first line of a report. */
export function aboutRounds(rounds) {
  return `median of ${rounds} interleaved rounds (min..max); x C: median of the rounds' ratios to ${REFERENCE}`;
}
