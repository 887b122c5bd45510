// The four measurements of one contender in one round. Each starts a server, the clients that it must live with, and
// mostly a probe beside them; each returns its figures by name. Times are milliseconds, CPU times microseconds.
//
// Next: ../live.js.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ContenderError, startServer } from '../server.js';
import { startPinned, stop } from '../tools.js';

const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const ANSWER_MS = 20_000;
const WORK_MS = 240_000; // the longest piece of work of clients.js
const WARM_UP_MS = 3000;
const QUIET_MS = 30_000; // the longest wait until a server has nothing to do
const QUIET_SHARE = 0.05; // of a core: less is nothing
const WARM_UP_BYTES = 262_144;
const WARM_UP_CLIENTS = 200;
const NOTICE_MS = 10_000; // the longest wait until a handler is told that its client has left
const ESTABLISHED = '01'; // as /proc/net/tcp spells it

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

// --- children -------------------------------------------------------------------------------------------------------

/** A program of this folder, on the core of the clients. It takes commands and prints JSON, a line each. */
class Program {
  constructor(name, args) {
    this.name = name;
    const command = [file(`${name}.js`), ...args.map(String)];
    this.child = startPinned(CLIENT_CORE, process.execPath, command, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.errors = '';
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.errors += text;
    });
    this.child.stdin.on('error', () => {}); // it has ended: next() says so
  }

  say(command) {
    this.child.stdin.write(`${command}\n`);
  }

  async next() {
    const timer = setTimeout(() => stop(this.child), WORK_MS);
    const { value, done } = await this.lines.next();
    clearTimeout(timer);
    if (done) throw new ContenderError(`${this.name}.js ended: ${this.errors.trim().slice(-500)}`);
    return JSON.parse(value);
  }

  stop() {
    return stop(this.child);
  }
}

/** Runs `use` with a server and with programs beside it, and stops all of them. */
async function beside(contender, use) {
  const server = await startServer(contender, SERVER_CORE);
  const programs = [];
  const start = (name, ...args) => {
    const program = new Program(name, args);
    programs.push(program);
    return program;
  };
  try {
    const figures = await use(server, start);
    if (server.failure() !== undefined) throw new ContenderError(server.failure());
    return figures;
  } finally {
    await Promise.all(programs.map((program) => program.stop()));
    await server.stop();
  }
}

async function get(server, path) {
  try {
    const options = { signal: AbortSignal.timeout(ANSWER_MS) };
    return await (await fetch(`http://127.0.0.1:${server.port}${path}`, options)).json();
  } catch (error) {
    throw new ContenderError(server.failure() ?? `${path}: ${error.cause?.message ?? error.message}`);
  }
}

/** Runs `work`. Returns its result, and the CPU time of the server meanwhile. */
async function withCpu(server, work) {
  const beforeUs = await get(server, '/cpu');
  const result = await work();
  return [result, (await get(server, '/cpu')) - beforeUs];
}

/** Resolves when the server has next to nothing to do. */
async function quiet(server) {
  const endMs = performance.now() + QUIET_MS;
  for (let calm = 0; calm < 3 && performance.now() < endMs; ) {
    const startMs = performance.now();
    const [, cpuUs] = await withCpu(server, () => sleep(200));
    calm = cpuUs / 1000 < QUIET_SHARE * (performance.now() - startMs) ? calm + 1 : 0;
  }
}

/** What the probe sees while `work` runs. */
async function probed(probe, work, command = 'begin') {
  probe.say(command);
  await work();
  probe.say('end');
  return probe.next();
}

function warmUp(probe) {
  return probed(probe, () => sleep(WARM_UP_MS), 'warm');
}

// --- stalled readers ------------------------------------------------------------------------------------------------

/** Connections that the server has open, or that wait to be accepted. */
function established(port) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const sockets = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  return sockets.filter(([, local, , state]) => state === ESTABLISHED && local.endsWith(suffix)).length;
}

/** Resolves when the kernel has made all connections. If the backlog is full, a client's connect() returns before. */
async function settled(port, count) {
  const endMs = performance.now() + QUIET_MS;
  while (established(port) < count && performance.now() < endMs) await sleep(200);
}

async function stalled(contender, { readers, seconds }) {
  return beside(contender, async (server, start) => {
    const probe = start('probe', server.port);
    const look = () => withCpu(server, () => probed(probe, () => sleep(seconds * 1000)));
    await warmUp(probe);
    const [without, withoutCpuUs] = await look();
    const { connected } = await start('clients', 'stalled', server.port, readers).next();
    await settled(server.port, connected);
    await quiet(server);
    const [beside, besideCpuUs] = await look();
    return {
      withoutP50: without.p50Ms,
      withoutP99: without.p99Ms,
      p50: beside.p50Ms,
      p99: beside.p99Ms,
      first: beside.firstMs,
      timesP99: beside.p99Ms / without.p99Ms,
      moreP99: beside.p99Ms - without.p99Ms,
      withoutCpu: withoutCpuUs / without.answers,
      cpu: besideCpuUs / beside.answers,
      errors: without.errors + beside.errors,
      lost: Math.max(0, connected - established(server.port)), // at least so many has the server closed
    };
  });
}

// --- a body in chunks of one byte -----------------------------------------------------------------------------------

async function chunks(contender, { 'body-bytes': bytes }) {
  return beside(contender, async (server, start) => {
    const probe = start('probe', server.port);
    await start('clients', 'chunks', server.port, 1, Math.min(bytes, WARM_UP_BYTES)).next();
    await warmUp(probe);
    let result;
    const [others, cpuUs] = await withCpu(server, () =>
      probed(probe, async () => {
        result = await start('clients', 'chunks', server.port, 1, bytes).next();
      }),
    );
    const { p50Ms, p99Ms, maxMs, errors } = others;
    return { cpu: cpuUs / 1e6, time: result.ms / 1000, each: (cpuUs * 1000) / bytes, p50Ms, p99Ms, maxMs, errors };
  });
}

// --- clients that leave ---------------------------------------------------------------------------------------------

/** `count` clients leave. Returns how long it took in each case until the handler was told; and how many it was not. */
async function leave(server, clients, count) {
  await clients.next();
  await quiet(server);
  clients.say('go');
  const { left } = await clients.next();
  const noticed = {};
  const endMs = performance.now() + NOTICE_MS;
  while (Object.keys(noticed).length < count && performance.now() < endMs) {
    await sleep(100);
    Object.assign(noticed, await get(server, '/left'));
  }
  const latencies = [];
  for (const [id, ns] of Object.entries(noticed)) latencies.push(Number(BigInt(ns) - BigInt(left[id])) / 1e6);
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN;
  const early = latencies.filter((ms) => ms < 0).length; // told before it was so
  return { p50: at(0.5), p99: at(0.99), max: at(1), errors: count - latencies.length + early };
}

function leaving(name) {
  return (contender, { leavers }) =>
    beside(contender, async (server, start) => {
      await leave(server, start('clients', 'burst', server.port, WARM_UP_CLIENTS), WARM_UP_CLIENTS);
      const clients = start('clients', name, server.port, leavers);
      const [figures, cpuUs] = await withCpu(server, () => leave(server, clients, leavers));
      return { ...figures, cpu: cpuUs / leavers };
    });
}

// --- heads that come in byte by byte --------------------------------------------------------------------------------

async function heads(contender, { dribblers }) {
  return beside(contender, async (server, start) => {
    const run = () => start('clients', 'heads', server.port, dribblers).next();
    await run();
    const [{ bytes }, cpuUs] = await withCpu(server, run);
    return { cpu: cpuUs / bytes, bytes };
  });
}

export const MEASUREMENTS = { stalled, chunks, fin: leaving('fin'), burst: leaving('burst'), heads };
