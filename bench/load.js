// HTTP servers under wrk's load. Each round starts every contender in turn, so that a noisy minute hits all of them.
// The order rotates. They run on core 0, and wrk on core 1. The figure to trust is CPU time per request, and its ratio
// to the C server of the same round.
//
// A contender that cannot run is printed with its reason, and errors are a column: nothing is dropped. A contender is {
// name, command, args, env, headers, pipelined, unavailable }: `headers` are lines that its responses must have.
// `pipelined` is false if it cannot take two requests at once. `unavailable` says why it cannot run. A C program has no
// command, but what compile() takes: { source, program, flags }.
//
// Next: server.js, the life of one contender.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ContenderError, cpuBetween, cpuTime, reconnects, startServer } from './server.js';
import {
  BenchError,
  COMPILE_FLAGS,
  compile,
  hasCommand,
  machineLine,
  median,
  startPinned,
  stop,
  table,
  versionOf,
} from './tools.js';

const SERVER_CORE = 0;
const WRK_CORE = 1;
const WARM_UP_S = 1;
const REFERENCE = 'c-uring';

/** Options that every benchmark of servers has. */
export const OPTIONS = {
  connections: { type: 'string', default: '64' },
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '5' },
  only: { type: 'string' },
  node: { type: 'string' },
  bun: { type: 'string', default: 'bun' },
  json: { type: 'string' },
};
const RANGES = { connections: [1, 1000], seconds: [1, 600], rounds: [1, 100] };

/** The path of a file in bench/. */
export const file = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The values of `options`; those that `ranges` names, { name: [min, max] }, as whole numbers. */
export function readOptions(args, options, ranges = {}) {
  const { values } = parseArgs({ args, options });
  for (const [name, [min, max]] of Object.entries({ ...RANGES, ...ranges })) {
    if (values[name] === undefined) continue;
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new BenchError(`--${name} ${values[name]}: a whole number from ${min} to ${max} is needed`);
    }
    values[name] = value;
  }
  return values;
}

/** Throws a BenchError unless two cores and all tools are there. */
export function checkMachine() {
  if (process.platform !== 'linux') throw new BenchError(`Linux is needed (/proc, taskset), not ${process.platform}`);
  if (availableParallelism() < 2) throw new BenchError('two cores are needed, one for the server and one for wrk');
  for (const [command, remedy] of Object.entries({
    wrk: 'apt-get install wrk',
    taskset: 'apt-get install util-linux',
  })) {
    if (!hasCommand(command)) throw new BenchError(`no ${command} in PATH: ${remedy}`);
  }
}

/** Versions of the runtimes that take part. Throws a BenchError if --node names none. */
export function findVersions(options) {
  const otherNode = options.node === undefined ? undefined : versionOf(options.node);
  if (options.node !== undefined && otherNode === undefined)
    throw new BenchError(`--node ${options.node} cannot be run`);
  return { node: process.version, otherNode, bun: versionOf(options.bun) };
}

/** Calls `make(command, suffix)` for this Node and for the one of --node, and returns the contenders of both. */
export function onEachNode(options, versions, make) {
  const here = make(process.execPath, '');
  return versions.otherNode === undefined ? here : [...here, ...make(options.node, `@${versions.otherNode}`)];
}

/** Contenders that need Bun: they say why they cannot run if there is none. */
export function onBun(options, versions, contenders) {
  const unavailable = versions.bun === undefined ? `no ${options.bun} in PATH (--bun PATH names one)` : undefined;
  return contenders.map((contender) => ({ ...contender, command: options.bun, unavailable }));
}

/** Keeps those named by --only; a name without @version means it on every Node. */
export function choose(contenders, only) {
  if (only === undefined) return contenders;
  const wanted = only.split(',');
  const matches = (name, wish) => name === wish || name.split('@')[0] === wish;
  for (const wish of wanted) {
    if (contenders.some(({ name }) => matches(name, wish))) continue;
    throw new BenchError(`--only ${wish}: choose from ${contenders.map(({ name }) => name).join(', ')}`);
  }
  return contenders.filter(({ name }) => wanted.some((wish) => matches(name, wish)));
}

// --- one measurement ------------------------------------------------------------------------------------------------

async function runWrk(port, options, seconds) {
  const url = `http://127.0.0.1:${port}/`;
  const args = ['-t1', `-c${options.connections}`, `-d${seconds}s`, '--latency', '-s', file('wrk.lua'), url, '--'];
  const child = startPinned(WRK_CORE, 'wrk', [...args, String(options.pipeline ?? 1), options.headers ?? 'few'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
  if (code !== 0 || result === null) throw new ContenderError(`wrk ended with ${code}: ${output.trim().slice(-300)}`);
  return JSON.parse(result[1]);
}

async function measure(contender, options, tickNs) {
  const server = await startServer(contender, SERVER_CORE);
  try {
    await runWrk(server.port, options, WARM_UP_S);
    const before = cpuTime(server.pid, tickNs);
    const result = await runWrk(server.port, options, options.seconds);
    if (server.failure() !== undefined) throw new ContenderError(server.failure());
    const expected = 1 + 2 * (options.connections + 1); // the check; warm-up and this run, and wrk tries the host first
    result.errors.reconnects = reconnects(server.port, expected);
    const cpuNs = cpuBetween(before, cpuTime(server.pid, tickNs));
    if (result.requests === 0) throw new ContenderError(`no request was answered; ${errorText([result])}`);
    if (options.pipeline > 1) result.p50Us = result.p99Us = null; // wrk's own arithmetic is wrong there, see README.md
    return {
      ...result,
      cpuUs: cpuNs / 1000 / result.requests,
      perSecond: (result.requests * 1e6) / result.durationUs,
    };
  } finally {
    await server.stop();
  }
}

/** Runs all rounds. Afterwards each contender has `rounds`, and `failed` with the reason if it could not go on. */
async function measureAll(contenders, options) {
  for (const contender of contenders) {
    const { source, program, flags } = contender;
    if (source !== undefined) contender.command = await compile(source, program, flags);
    contender.rounds = []; // one entry per round; undefined where it failed
  }
  const tickNs = 1e9 / Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout);

  for (let round = 0; round < options.rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round) % contenders.length];
      if (contender.unavailable !== undefined || contender.failed !== undefined) continue;
      process.stderr.write(`round ${round + 1}/${options.rounds}: ${contender.name}\n`);
      try {
        contender.rounds[round] = await measure(contender, options, tickNs);
      } catch (error) {
        if (!(error instanceof ContenderError)) throw error;
        contender.failed = `round ${round + 1}: ${error.message}`;
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

function summaryRow(contender, reference) {
  const rounds = contender.rounds.filter((result) => result !== undefined);
  return [
    contender.name,
    spread(
      rounds.map((r) => r.cpuUs),
      2,
    ),
    ratio(contender, reference, 'cpuUs'),
    spread(
      rounds.map((r) => r.perSecond),
      0,
    ),
    ratio(contender, reference, 'perSecond'),
    latency(rounds, 'p50Us'),
    latency(rounds, 'p99Us'),
    errorText(rounds),
  ];
}

/** The command that gives these figures again: `bench` is its name, `declared` its options with their defaults. */
function exactCommand(bench, declared, options) {
  const shown = ['connections', 'seconds', 'rounds'];
  const given = Object.keys(declared).filter(
    (name) => shown.includes(name) || (options[name] !== undefined && options[name] !== declared[name].default),
  );
  return `npm run bench -- ${bench} ${given.map((name) => `--${name} ${options[name]}`).join(' ')}`;
}

function printTable({ title, contenders }) {
  const reference = contenders.find(({ name }) => name === REFERENCE);
  const head = ['contender', 'CPU us/req', 'x C', 'req/s', 'x C', 'p50 us', 'p99 us', 'errors'];
  const ran = contenders.filter(({ rounds }) => rounds.some((result) => result !== undefined));
  if (title !== undefined) console.log(title);
  console.log(`${table([head, ...ran.map((contender) => summaryRow(contender, reference))])}\n`);
  const missing = contenders.filter(({ unavailable, failed }) => unavailable !== undefined || failed !== undefined);
  for (const { name, unavailable, failed } of missing) {
    console.log(unavailable === undefined ? `${name} FAILED, ${failed}\n` : `${name} not run: ${unavailable}\n`);
  }
}

/**
 * Measures all contenders and prints a table for each of `tables`: { title, contenders }. Resolves with the exit code:
 * 1 if a contender failed.
 */
export async function contest(bench, declared, options, versions, tables) {
  const contenders = tables.flatMap((each) => each.contenders);
  await measureAll(contenders, options);
  console.log(
    `\nmedian of ${options.rounds} interleaved rounds (min..max); x C: median of the rounds' ratios to ${REFERENCE}`,
  );
  if (options['poll-us'] > 0) {
    console.log(
      `${REFERENCE} and featherstar on uring poll ${options['poll-us']} us before each sleep; the others sleep at once`,
    );
  }
  console.log();
  for (const each of tables) printTable(each);
  const { otherNode, ...named } = versions;
  const runtimes = {
    ...named,
    bun: named.bun ?? 'none',
    ...(otherNode === undefined ? {} : { 'other node': otherNode }),
  };
  const [command, machine] = [exactCommand(bench, declared, options), machineLine(runtimes)];
  console.log(`command: ${command}`);
  console.log(`machine: ${machine}; cc ${COMPILE_FLAGS.join(' ')}; server on core ${SERVER_CORE}, wrk on ${WRK_CORE}`);
  if (options.json !== undefined) {
    const results = tables.flatMap((each) =>
      each.contenders.map(({ name, rounds, unavailable, failed }) => {
        return { table: each.title, name, rounds, unavailable, failed };
      }),
    );
    writeFileSync(options.json, `${JSON.stringify({ command, machine, options, contenders: results }, null, 2)}\n`);
  }
  return contenders.some(({ failed }) => failed !== undefined) ? 1 : 0;
}
