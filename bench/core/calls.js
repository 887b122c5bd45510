// One shard calls another, the same over a MessagePort, and the same through piscina: `node calls.js call|port|piscina
// WHAT [DIR]`, where DIR is a folder that has piscina in its node_modules.
//
//   in-flight    64 calls open at any time: both sides are busy. ns per call
//   round-trip   one call at a time, both shards poll and are awake when it comes. ns, median
//   sleeping     one call every 2 ms, default polling: the peer sleeps, and is woken. ns, median
//   map-reduce   one on each of two shards, and the sum; over the port: a function here and one message. ns, median
//
// in-flight and round-trip send a small number; with -8B, -1KiB, -1MiB behind, so many bytes; with -moved, a mebibyte
// that is not copied: allocate() in shared memory, a transfer list over the port.
//
// Each prints its name, and the CPU time per call of all threads together as name.cpu. A call over the port does as
// little as possible. Replies come in order, so there are no numbers to match, and the value is the whole message.
//
// Next: ../core.js.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { allocate, Runtime } from '../../dist/host/index.js';
import { nowNs, pin, print, quantile } from './threads.js';

const IN_FLIGHT = 64;
const PAUSE_MS = 2;
const MIB = 1 << 20;

const [how, what, directory] = process.argv.slice(2);
const [mode, payload = 'small'] = (what ?? '')
  .replace('-8B', '/8B')
  .replace('-1', '/1')
  .replace('-moved', '/moved')
  .split('/');

const KINDS = {
  'in-flight': { warmUp: 50_000, count: 200_000 },
  'round-trip': { warmUp: 5000, count: 20_000, pollUs: 1000 },
  'map-reduce': { warmUp: 5000, count: 20_000, pollUs: 1000 },
  sleeping: { warmUp: 50, count: 400 },
};
const PARTS = { small: 1, '8B': 1, '1KiB': 0.5, '1MiB': 0.02, moved: 0.1 }; // of the counts: larger ones take longer

function bytes(length) {
  const value = new Uint8Array(length).fill(7);
  return { make: () => value, isRight: (answer) => answer.length === length && answer[length - 1] === 7 };
}

/** The byte of a block of shared memory, or of an array. */
const lastOf = (block) => (block.bytes ?? block)[MIB - 17];

let block; // what is moved: it goes on its way again with the next call

/** The value that is sent, and a check of the value that came back. */
const VALUES = {
  small: { make: (i) => i, isRight: (answer, sent) => answer === sent },
  '8B': bytes(8),
  '1KiB': bytes(1024),
  '1MiB': bytes(MIB - 16),
  moved: {
    make() {
      block ??= how === 'call' ? allocate(MIB - 16) : new Uint8Array(MIB - 16);
      (block.bytes ?? block).fill(7, MIB - 17);
      return block;
    },
    isRight(answer) {
      block = answer;
      return lastOf(answer) === 7;
    },
  },
};

async function openShard() {
  const module = new URL('./shard.js', import.meta.url);
  const runtime = await Runtime.start({ shards: 2, module, idlePollUs: KINDS[mode].pollUs });
  pin(0);
  const peer = runtime.on(1);
  await peer.pin(1);
  const echo =
    mode === 'map-reduce'
      ? async (value) => (await runtime.onAll().echo(value)).reduce(sum, 0)
      : (value) => peer.echo(value);
  return { echo, close: () => runtime.close() };
}

const sum = (total, value) => total + value;

async function openPort() {
  const worker = new Worker(new URL(import.meta.url), { workerData: { isMoved: payload === 'moved' } });
  const waiting = []; // a ring of resolvers: replies come in order
  let head = 0;
  await new Promise((resolve) => worker.once('message', resolve));
  pin(0);
  worker.on('message', (value) => waiting[head++ % IN_FLIGHT](value));
  let tail = 0;
  const send = (value) =>
    new Promise((resolve) => {
      waiting[tail++ % IN_FLIGHT] = resolve;
      worker.postMessage(value, payload === 'moved' ? [value.buffer] : undefined);
    });
  const here = async (value) => value;
  const echo =
    mode === 'map-reduce' ? async (value) => (await Promise.all([here(value), send(value)])).reduce(sum, 0) : send;
  return { echo, close: () => worker.terminate() };
}

async function openPiscina() {
  const require = createRequire(pathToFileURL(join(directory, 'index.js')));
  const { Piscina } = require('piscina');
  const filename = fileURLToPath(new URL('./shard.js', import.meta.url));
  const pool = new Piscina({
    filename,
    name: 'echo',
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: IN_FLIGHT,
  });
  return { echo: (value) => pool.run(value), close: () => pool.destroy() };
}

const { make, isRight } = VALUES[payload];

function check(answer, sent) {
  if (!(mode === 'map-reduce' ? answer === 2 * sent : isRight(answer, sent))) {
    throw new Error('a call answered something else');
  }
}

/** ns of each call. */
async function oneByOne(echo, count, pauseMs) {
  const times = [];
  for (let i = 0; i < count; i++) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const start = nowNs();
    const sent = make(i);
    check(await echo(sent), sent);
    times.push(nowNs() - start);
  }
  return times;
}

async function manyAtOnce(echo, count) {
  const start = nowNs();
  let left = count;
  const caller = async () => {
    while (left-- > 0) {
      const sent = make(left); // no function between the call and its await: a promise more is a third of a call
      check(await echo(sent), sent);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  return [(nowNs() - start) / count];
}

async function measure(echo) {
  const part = PARTS[payload] / (how === 'piscina' ? 4 : 1);
  const warmUp = Math.ceil(KINDS[mode].warmUp * part);
  const count = Math.ceil(KINDS[mode].count * part);
  const run = (n) =>
    mode === 'in-flight' ? manyAtOnce(echo, n) : oneByOne(echo, n, mode === 'sleeping' ? PAUSE_MS : 0);
  await run(warmUp);
  const before = process.cpuUsage();
  const times = await run(count);
  const { user, system } = process.cpuUsage(before);
  print(`call.${what}`, quantile(times, 0.5));
  print(`call.${what}.cpu`, ((user + system) * 1000) / count);
}

if (isMainThread) {
  const { echo, close } = await { call: openShard, port: openPort, piscina: openPiscina }[how]();
  await measure(echo);
  await close();
} else {
  pin(1);
  const { isMoved } = workerData;
  parentPort.on('message', (value) => parentPort.postMessage(value, isMoved ? [value.buffer] : undefined));
  parentPort.postMessage('ready');
}
