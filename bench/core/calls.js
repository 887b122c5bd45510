// One shard calls another, and the same over a MessagePort: `node calls.js call|port in-flight|round-trip|sleeping`.
//
//   in-flight    64 calls open at any time: both sides are busy. ns per call
//   round-trip   one call at a time, both shards poll and are awake when it comes. ns, median
//   sleeping     one call every 2 ms, default polling: the peer sleeps, and is woken. ns, median
//
// Each prints its name, and the CPU time per call of all threads together as name.cpu. Over the port the least that a
// call can do is done: replies come in order, so there are no numbers to match, and the value is the whole message.
//
// Next: ../core.js.

import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { Runtime } from '../../dist/host/index.js';
import { nowNs, pin, print, quantile } from './threads.js';

const POLL_US = { 'in-flight': undefined, 'round-trip': 1000, sleeping: undefined };
const IN_FLIGHT = 64;
const PAUSE_MS = 2;

async function openShard(what) {
  const module = new URL('./shard.js', import.meta.url);
  const runtime = await Runtime.start({ shards: 2, module, idlePollUs: POLL_US[what] });
  pin(0);
  const peer = runtime.shard(1);
  await peer.call('pin', 1);
  return { echo: (value) => peer.call('echo', value), close: () => runtime.close() };
}

async function openPort() {
  const worker = new Worker(new URL(import.meta.url));
  const waiting = []; // a ring of resolvers: replies come in order
  let head = 0;
  await new Promise((resolve) => worker.once('message', resolve));
  pin(0);
  worker.on('message', (value) => waiting[head++ % IN_FLIGHT](value));
  let tail = 0;
  const echo = (value) =>
    new Promise((resolve) => {
      waiting[tail++ % IN_FLIGHT] = resolve;
      worker.postMessage(value);
    });
  return { echo, close: () => worker.terminate() };
}

async function checked(echo, value) {
  if ((await echo(value)) !== value) throw new Error('a call answered something else');
}

/** ns of each call. */
async function oneByOne(echo, count, pauseMs) {
  const times = [];
  for (let i = 0; i < count; i++) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const start = nowNs();
    await checked(echo, i);
    times.push(nowNs() - start);
  }
  return times;
}

async function manyAtOnce(echo, count) {
  const start = nowNs();
  let left = count;
  const caller = async () => {
    while (left-- > 0) await checked(echo, left);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  return [(nowNs() - start) / count];
}

async function measure(what, echo) {
  const [warmUp, count] = { 'in-flight': [50_000, 200_000], 'round-trip': [5000, 20_000], sleeping: [50, 400] }[what];
  const run = (n) =>
    what === 'in-flight' ? manyAtOnce(echo, n) : oneByOne(echo, n, what === 'sleeping' ? PAUSE_MS : 0);
  await run(warmUp);
  const before = process.cpuUsage();
  const times = await run(count);
  const { user, system } = process.cpuUsage(before);
  print(`call.${what}`, quantile(times, 0.5));
  print(`call.${what}.cpu`, ((user + system) * 1000) / count);
}

if (isMainThread) {
  const [how, what] = process.argv.slice(2);
  const { echo, close } = how === 'call' ? await openShard(what) : await openPort();
  await measure(what, echo);
  await close();
} else {
  pin(1);
  parentPort.on('message', (value) => parentPort.postMessage(value));
  parentPort.postMessage('ready');
}
