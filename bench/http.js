// The HTTP benchmark: hello-world servers against a floor written in C. Each round starts every contender in turn, so
// that a noisy minute hits all of them. The order rotates. They run on core 0, and wrk on core 1. The figure to trust
// is CPU time per request, and its ratio to the C server of the same round.
//
// A contender that cannot run is printed with its reason, and errors are a column: nothing is dropped.
//
// Next: baseline/http-uring.c.

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

const OPTIONS = {
  connections: { type: 'string', default: '64' },
  pipeline: { type: 'string', default: '1' },
  headers: { type: 'string', default: 'few' },
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '5' },
  'poll-us': { type: 'string' }, // absent: featherstar's own default, and C does not poll
  only: { type: 'string' },
  node: { type: 'string' },
  bun: { type: 'string', default: 'bun' },
  json: { type: 'string' },
};
const RANGES = { connections: 1000, pipeline: 64, seconds: 600, rounds: 100, 'poll-us': 1_000_000 };

const HEADERS = ['few', 'browser']; // Host alone; or what Chromium sends, 0.6 KiB in 16 lines

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

function readOptions(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  for (const [name, max] of Object.entries(RANGES)) {
    if (values[name] === undefined) continue;
    const value = Number(values[name]);
    const min = name === 'poll-us' ? 0 : 1;
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new BenchError(`--${name} ${values[name]}: a whole number from ${min} to ${max} is needed`);
    }
    values[name] = value;
  }
  if (!HEADERS.includes(values.headers)) {
    throw new BenchError(`--headers ${values.headers}: choose from ${HEADERS.join(', ')}`);
  }
  return values;
}

function checkMachine() {
  if (process.platform !== 'linux') throw new BenchError(`Linux is needed (/proc, taskset), not ${process.platform}`);
  if (availableParallelism() < 2) throw new BenchError('two cores are needed, one for the server and one for wrk');
  for (const [command, remedy] of Object.entries({
    wrk: 'apt-get install wrk',
    taskset: 'apt-get install util-linux',
  })) {
    if (!hasCommand(command)) throw new BenchError(`no ${command} in PATH: ${remedy}`);
  }
}

// --- contenders -----------------------------------------------------------------------------------------------------

/** Everyone who could take part: { name, command, args, env, source } or { name, unavailable: reason }. */
function allContenders(options, versions) {
  const pollUs = options['poll-us'];
  const env = pollUs !== undefined ? { FEATHERSTAR_IDLE_POLL_US: String(pollUs) } : {};
  const featherstar = file('baseline/featherstar.mjs');
  const onNode = (command, suffix) => [
    { name: `featherstar${suffix}`, command, args: [featherstar], env: { ...env, FEATHERSTAR_HOST: 'uring' } },
    {
      name: `featherstar-web${suffix}`,
      command,
      args: [featherstar, '--web'],
      env: { ...env, FEATHERSTAR_HOST: 'uring' },
    },
    { name: `featherstar-portable${suffix}`, command, args: [featherstar], env: { FEATHERSTAR_HOST: 'portable' } },
    { name: `node-net${suffix}`, command, args: [file('baseline/node-net.mjs')], env: {} },
    { name: `node-http${suffix}`, command, args: [file('baseline/node-http.mjs')], env: {} },
  ];
  const contenders = [
    { name: REFERENCE, source: 'http-uring', args: pollUs > 0 ? ['--poll-us', String(pollUs)] : [], env: {} },
    { name: 'c-epoll', source: 'http-epoll', args: [], env: {} },
    ...onNode(process.execPath, ''),
  ];
  if (options.node !== undefined) {
    if (versions.otherNode === undefined) throw new BenchError(`--node ${options.node} cannot be run`);
    contenders.push(...onNode(options.node, `@${versions.otherNode}`));
  }
  const onBun = [
    { name: 'bun-serve', command: options.bun, args: [file('baseline/bun-serve.mjs')], env: {} },
    {
      name: 'featherstar-portable@bun',
      command: options.bun,
      args: [featherstar],
      env: { FEATHERSTAR_HOST: 'portable' },
    },
    { name: 'node-net@bun', command: options.bun, args: [file('baseline/node-net.mjs')], env: {} },
  ];
  if (versions.bun === undefined) {
    for (const contender of onBun) contender.unavailable = `no ${options.bun} in PATH (--bun PATH names one)`;
  }
  return [...contenders, ...onBun];
}

/** Keeps those named by --only; a name without @version means it on every Node. */
function choose(contenders, only) {
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
  const child = startPinned(WRK_CORE, 'wrk', [...args, String(options.pipeline), options.headers], {
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

// --- the run --------------------------------------------------------------------------------------------------------

export async function main(args) {
  const options = readOptions(args);
  checkMachine();
  const versions = {
    node: process.version,
    otherNode: options.node === undefined ? undefined : versionOf(options.node),
    bun: versionOf(options.bun),
  };
  const contenders = choose(allContenders(options, versions), options.only);
  for (const contender of contenders) {
    if (contender.source !== undefined) contender.command = await compile(contender.source);
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
  return report(contenders, options, versions);
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

function exactCommand(options) {
  const given = Object.entries(options).filter(
    ([name, value]) => value !== undefined && value !== OPTIONS[name].default,
  );
  const shown = { connections: options.connections, pipeline: options.pipeline, seconds: options.seconds };
  const all = { ...shown, rounds: options.rounds, ...Object.fromEntries(given) };
  return `npm run bench -- http ${Object.entries(all)
    .map(([name, value]) => `--${name} ${value}`)
    .join(' ')}`;
}

function report(contenders, options, versions) {
  const reference = contenders.find(({ name }) => name === REFERENCE);
  const head = ['contender', 'CPU us/req', 'x C', 'req/s', 'x C', 'p50 us', 'p99 us', 'errors'];
  const ran = contenders.filter(({ rounds }) => rounds.some((result) => result !== undefined));
  console.log(
    `\nmedian of ${options.rounds} interleaved rounds (min..max); x C: median of the rounds' ratios to ${REFERENCE}`,
  );
  if (options['poll-us'] > 0) {
    console.log(
      `${REFERENCE} and featherstar on uring poll ${options['poll-us']} us before each sleep; the others sleep at once`,
    );
  }
  console.log(`\n${table([head, ...ran.map((contender) => summaryRow(contender, reference))])}\n`);
  const missing = contenders.filter(({ unavailable, failed }) => unavailable !== undefined || failed !== undefined);
  for (const { name, unavailable, failed } of missing) {
    console.log(unavailable === undefined ? `${name} FAILED, ${failed}` : `${name} not run: ${unavailable}`);
  }
  const { otherNode, ...named } = versions;
  const runtimes = {
    ...named,
    bun: named.bun ?? 'none',
    ...(otherNode === undefined ? {} : { 'other node': otherNode }),
  };
  const [command, machine] = [exactCommand(options), machineLine(runtimes)];
  console.log(`command: ${command}`);
  console.log(`machine: ${machine}; cc ${COMPILE_FLAGS.join(' ')}; server on core ${SERVER_CORE}, wrk on ${WRK_CORE}`);
  if (options.json !== undefined) {
    const results = contenders.map(({ name, rounds, unavailable, failed }) => ({ name, rounds, unavailable, failed }));
    writeFileSync(options.json, `${JSON.stringify({ command, machine, options, contenders: results }, null, 2)}\n`);
  }
  return contenders.some(({ failed }) => failed !== undefined) ? 1 : 0;
}
