// Node's own means for the same jobs: `node node.js wheel N | task | spsc | pingpong | pingpong-sleep`. Prints the
// names that wasm.js prints; for the wheel also one that is Node's best case: all timers of one duration.
//
// A MessagePort knows no batches and does not spin, so there is one figure for a message, and one for a round trip.
//
// Next: calls.js.

import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { nowNs, pin, print, quantile, RUNS } from './threads.js';

let random = 2463534242;
function randomPart() {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) / 2 ** 32;
}

/** The median of RUNS runs, after one that does not count. */
async function measure(name, run) {
  const results = [];
  await run();
  for (let i = 0; i < RUNS; i++) results.push(await run());
  print(name, quantile(results, 0.5));
}

function churnTimers(count, delayMs) {
  const idle = () => {
    throw new Error('a timer fired too early');
  };
  const pending = Array.from({ length: count }, () => setTimeout(idle, delayMs()));
  const operations = 50_000;
  const start = nowNs();
  for (let i = 0; i < operations; i++) {
    const at = Math.floor(randomPart() * count);
    const timer = setTimeout(idle, delayMs());
    clearTimeout(pending[at]);
    pending[at] = timer;
  }
  const ns = (nowNs() - start) / operations;
  for (const timer of pending) clearTimeout(timer);
  return ns;
}

async function runTimers(count) {
  await measure(`wheel.insert-cancel.${count}`, () => churnTimers(count, () => 10_000 + randomPart() * 59_990));
  await measure(`one-duration.insert-cancel.${count}`, () => churnTimers(count, () => 10_000));
}

/** 64 async functions take turns: what it costs to go on with the next one. */
async function runTasks() {
  await measure('task.queue-run', async () => {
    const rounds = 20_000;
    const start = nowNs();
    const task = async () => {
      for (let i = 0; i < rounds; i++) await undefined;
    };
    await Promise.all(Array.from({ length: 64 }, task));
    return (nowNs() - start) / (64 * rounds);
  });
}

async function withPeer(run) {
  pin(0);
  const peer = new Worker(new URL(import.meta.url));
  const answer = () => new Promise((resolve) => peer.once('message', resolve));
  await answer();
  try {
    await run(peer, answer);
  } finally {
    await peer.terminate();
  }
}

const STREAM = 50_000;

function runStream() {
  const message = new BigUint64Array(8);
  return withPeer((peer, answer) =>
    measure('spsc.16', async () => {
      const start = nowNs();
      for (let i = 0; i < STREAM; i++) peer.postMessage(message);
      return ((await answer()) - start) / STREAM;
    }),
  );
}

function runRoundTrip(name) {
  return withPeer((peer) =>
    measure(name, async () => {
      const messages = 3000;
      const start = nowNs();
      await new Promise((resolve) => {
        let left = messages;
        peer.on('message', () => {
          if (--left > 0) return peer.postMessage(left);
          peer.removeAllListeners('message');
          resolve();
        });
        peer.postMessage(left);
      });
      return (nowNs() - start) / messages;
    }),
  );
}

function serve() {
  let streamed = 0;
  pin(1);
  parentPort.on('message', (value) => {
    if (typeof value === 'number') parentPort.postMessage(value);
    else if (++streamed % STREAM === 0) parentPort.postMessage(nowNs());
  });
  parentPort.postMessage('ready');
}

if (isMainThread) {
  const [what, count] = process.argv.slice(2);
  if (what === 'wheel') await runTimers(Number(count));
  else if (what === 'task') await runTasks();
  else if (what === 'spsc') await runStream();
  else await runRoundTrip(`${what}.round-trip`);
} else serve();
