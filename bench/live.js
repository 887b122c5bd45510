// The benchmark of liveness: the cost of clients that do not read, dribble or leave for the others. It compares
// featherstar on both of its hosts with node:http. In each round the contenders run one after the other, in an order
// that rotates. The figures to trust are ratios and differences within a round, and CPU time.
//
// A bound that is missed is printed as MISS and does not change the exit code: one noisy minute can cause it.
//
// Next: live/measure.js.

import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MEASUREMENTS } from './live/measure.js';
import { choose, count } from './rounds.js';
import { ContenderError } from './server.js';
import { BenchError, hasCommand, machineLine, median, table } from './tools.js';

const SPARE_FILES = 200; // what a process has open besides its connections
const RIVAL = 'node-http';

const OPTIONS = {
  rounds: { type: 'string', default: '3' },
  only: { type: 'string' },
  readers: { type: 'string', default: '4300' },
  seconds: { type: 'string', default: '3' },
  'body-bytes': { type: 'string', default: '8388608' },
  leavers: { type: 'string', default: '1000' },
  dribblers: { type: 'string', default: '32' },
  json: { type: 'string' },
};
const RANGES = { rounds: 100, readers: 16_000, seconds: 30, 'body-bytes': 8_388_608, leavers: 10_000, dribblers: 1000 };

const SERVER = fileURLToPath(new URL('live/server.js', import.meta.url));
const ours = (host) => ({ args: [SERVER, '--kind', 'ours'], env: { FEATHERSTAR_HOST: host } });
const CONTENDERS = [
  { name: 'featherstar', ...ours('uring') },
  { name: 'featherstar-portable', ...ours('portable') },
  { name: RIVAL, args: [SERVER, '--kind', 'node'], env: {} },
];

// --- what is asked, and what is required ----------------------------------------------------------------------------

/** Columns: head -> the figure's name, and its digits. `bounds`: name -> whether the medians of ours keep it. */
const UNITS = [
  {
    name: 'stalled',
    title: ({ readers }) => `${readers} clients ask for 8 MiB and do not read; another client's small answers, in ms`,
    columns: {
      'p50 without': ['withoutP50', 3],
      'p99 without': ['withoutP99', 3],
      'p50 with': ['p50', 3],
      'p99 with': ['p99', 3],
      'p99 x': ['timesP99', 2],
      'p99 + ms': ['moreP99', 2],
      'first response': ['first', 2],
      'CPU us/req without': ['withoutCpu', 1],
      with: ['cpu', 1],
      errors: ['errors', 0],
      closed: ['lost', 0],
    },
    bounds: { 'p99 at most 3 times as long, or 10 ms longer': (our) => our('timesP99') <= 3 || our('moreP99') <= 10 },
  },
  {
    name: 'chunks',
    title: (options) => `a body of ${options['body-bytes']} bytes in chunks of one byte, read by request.text()`,
    columns: {
      'CPU s': ['cpu', 2],
      x: ['cpu', 2, RIVAL],
      'CPU ns/chunk': ['each', 0],
      'time s': ['time', 2],
      'others p50 ms': ['p50Ms', 2],
      'others p99 ms': ['p99Ms', 2],
      'x ': ['p99Ms', 2, RIVAL],
      'others max ms': ['maxMs', 1],
      errors: ['errors', 0],
    },
    bounds: {
      'CPU at most twice that of node:http': (_our, ratio) => ratio('cpu') <= 2,
      "others' p99 at most that of node:http": (_our, ratio) => ratio('p99Ms') <= 1,
    },
  },
  ...[
    ['fin', 'one a millisecond'],
    ['burst', 'all at once'],
  ].map(([name, how]) => ({
    name,
    title: ({ leavers }) => `${leavers} clients leave while their handlers wait, ${how}; ms until a handler is told`,
    columns: {
      p50: ['p50', 3],
      p99: ['p99', 3],
      x: ['p99', 2, RIVAL],
      max: ['max', 2],
      'CPU us/client': ['cpu', 1],
      'x ': ['cpu', 2, RIVAL],
      errors: ['errors', 0],
    },
    bounds: {},
  })),
  {
    name: 'heads',
    title: ({ dribblers }) => `heads of 0.7 KiB that come in byte by byte on ${dribblers} connections`,
    columns: { 'CPU us/byte': ['cpu', 2], x: ['cpu', 2, RIVAL] },
    bounds: {},
  },
];

function readOptions(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  for (const [name, max] of Object.entries(RANGES)) values[name] = count(name, values[name], max);
  return values;
}

function checkMachine() {
  if (process.platform !== 'linux') throw new BenchError(`Linux is needed (/proc, taskset), not ${process.platform}`);
  if (availableParallelism() < 2) throw new BenchError('two cores are needed, one for the server and one for clients');
  if (!hasCommand('taskset')) throw new BenchError('no taskset in PATH: apt-get install util-linux');
}

/** Lowers the numbers of clients to what this process, and so its children, may have open. Node raises it to `-Hn`. */
function fitFiles(options) {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  const most = Number(limit ?? Number.POSITIVE_INFINITY) - SPARE_FILES;
  if (most < 1) throw new BenchError(`ulimit -Hn is ${limit}: ${SPARE_FILES + 1} files are needed at least`);
  const notes = [];
  for (const name of ['readers', 'leavers', 'dribblers']) {
    if (options[name] <= most) continue;
    notes.push(`NOTE only ${most} ${name}, not ${options[name]}: ulimit -Hn is ${limit}`);
    options[name] = most;
  }
  return notes;
}

// --- the run --------------------------------------------------------------------------------------------------------

/** Fills `unit.results`: contender -> the figures of each round; and returns what failed. */
async function measureAll(units, options) {
  const failures = [];
  for (const unit of units) unit.results = new Map(CONTENDERS.map(({ name }) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const unit of units) {
      for (let i = 0; i < CONTENDERS.length; i++) {
        const contender = CONTENDERS[(i + round) % CONTENDERS.length];
        process.stderr.write(`round ${round + 1}/${options.rounds}: ${unit.name}, ${contender.name}\n`);
        try {
          const command = { ...contender, command: process.execPath };
          unit.results.get(contender.name)[round] = await MEASUREMENTS[unit.name](command, options);
        } catch (error) {
          if (!(error instanceof ContenderError)) throw error;
          failures.push(`FAILED ${unit.name}, ${contender.name}, round ${round + 1}: ${error.message}`);
        }
      }
    }
  }
  return failures;
}

// --- the report -----------------------------------------------------------------------------------------------------

/** The median of a figure over the rounds; as a ratio to `rival`'s within each round, if it is given. */
function figure(unit, who, name, rival) {
  const values = unit.results.get(who).map((figures, round) => {
    if (rival === undefined) return figures[name];
    return figures[name] / (unit.results.get(rival)[round]?.[name] ?? Number.NaN);
  });
  const present = values.filter((value) => Number.isFinite(value));
  return present.length === 0 ? Number.NaN : median(present);
}

/** Errors are summed up: a median would hide those of a single round. */
function cell(unit, who, [name, digits, rival]) {
  if (name === 'errors' || name === 'lost') {
    return String(unit.results.get(who).reduce((sum, figures) => sum + figures[name], 0));
  }
  const value = figure(unit, who, name, rival);
  return Number.isNaN(value) ? '-' : value.toFixed(digits);
}

function reportUnit(unit, options) {
  const ran = CONTENDERS.map(({ name }) => name).filter((name) => unit.results.get(name).length > 0);
  const columns = Object.entries(unit.columns);
  const rows = ran.map((who) => [who, ...columns.map(([, column]) => cell(unit, who, column))]);
  console.log(`\n${unit.name}: ${unit.title(options)}\n`);
  console.log(table([['contender', ...columns.map(([head]) => head.trim())], ...rows]));
  for (const [text, isKept] of Object.entries(unit.bounds)) {
    for (const who of ran.filter((name) => name !== RIVAL)) {
      const kept = isKept(
        (name) => figure(unit, who, name),
        (name) => figure(unit, who, name, RIVAL),
      );
      console.log(`${kept ? 'ok  ' : 'MISS'} ${who}: ${text}`);
    }
  }
}

export async function main(args) {
  const options = readOptions(args);
  checkMachine();
  const units = choose(UNITS, options.only);
  const notes = fitFiles(options);
  for (const note of notes) console.error(note);
  const failures = await measureAll(units, options);
  console.log(`\nmedian of ${options.rounds} interleaved rounds; x: median of the rounds' ratios to ${RIVAL}`);
  for (const unit of units) reportUnit(unit, options);
  const given = Object.entries(options).map(([name, value]) => `--${name} ${value}`);
  const command = `npm run bench -- live ${given.join(' ')}`;
  const machine = machineLine({ node: process.version });
  console.log(`\n${[...notes, ...failures, `command: ${command}`].join('\n')}`);
  console.log(`machine: ${machine}; server on core 0, clients on core 1`);
  if (options.json !== undefined) {
    const results = units.map((unit) => ({ name: unit.name, contenders: Object.fromEntries(unit.results) }));
    writeFileSync(
      options.json,
      `${JSON.stringify({ command, machine, options, failures, units: results }, null, 2)}\n`,
    );
  }
  return failures.length > 0 ? 1 : 0;
}
