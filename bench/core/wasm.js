// Calls the loops of bench.ts and holds the clock: `node wasm.js wheel N | slab | task | spsc B | pingpong |
// pingpong-sleep`. The counterpart of baseline/core.c: same counts, same names, and of as many runs.
//
// Each loop is called a few times before it counts: V8 optimises a Wasm function only when it has run for a while. It
// does so in the background, and uses the new code at the next call. Two-thread runs: this thread is shard 0 on core 0,
// the worker (this file again) shard 1 on core 1.
//
// Next: node.js.

import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { DEFAULT_LIMITS, instantiateCore, makeMemory } from '../../dist/host/core/core.js';
import { nowNs, PAIR_RUNS, pin, print, quantile, RUNS, settle } from './threads.js';

const BOOT_NS = 123456789 * 512; // a machine that has been up for a minute
const WARM_UPS = 12;
const WARM_UP_PART = 0.05;
const HANDLE_BYTES = 8;
const RECENT = 64; // timers of requests that are being served: most are cancelled soon after they were made
const PAIR_LIMITS = { ...DEFAULT_LIMITS, ringSlots: 1024 };

function instance(module, memory) {
  const never = () => {
    throw new Error('these loops call nobody');
  };
  return instantiateCore(module, memory, { enter: never, threadSpawn: never });
}

/** One shard in untouched memory, as core.c has it in each run. */
function freshShard(module, limits) {
  const core = instance(module, makeMemory(1, { ...DEFAULT_LIMITS, ...limits }).memory);
  core.boot(0, BOOT_NS);
  core.setQuota(1e9);
  return core;
}

/** The median (or `part`) of `runs` calls of `run`, which answers { name: ns }, after some that do not count. */
async function measure(run, runs = RUNS, part = 0.5) {
  for (let i = 0; i < WARM_UPS; i++) await run(WARM_UP_PART);
  await settle();
  await run(WARM_UP_PART);
  const results = [];
  for (let i = 0; i < runs; i++) results.push(await run(1));
  for (const name of Object.keys(results[0])) {
    const all = results.map((result) => result[name]);
    print(name, quantile(all, part));
  }
}

// --- one thread -----------------------------------------------------------------------------------------------------

function timeNs(run) {
  const start = nowNs();
  run();
  return nowNs() - start;
}

/** `count` timers are pending all the while. Random ones are exchanged, then the last 64; one more comes and goes. */
function runWheel(module, count) {
  const handles = count + RECENT;
  const limits = { timerSlots: handles + 1, scratchBytes: Math.max(handles * HANDLE_BYTES, 4096) };
  return (part) => {
    const operations = 2_000_000 * part;
    const each = (run) => timeNs(run) / operations;
    const core = freshShard(module, limits);
    core.wheelChurn(0, count, count, BOOT_NS, 1);
    const churn = each(() => core.wheelChurn(0, count, operations, BOOT_NS, 0));
    core.wheelChurn(count, RECENT, RECENT, BOOT_NS, 1);
    const recent = each(() => core.wheelChurn(count, RECENT, operations, BOOT_NS, 0));
    const pass = each(() => core.wheelPass(operations, BOOT_NS));
    const fire = timeNs(() => {
      if (core.wheelFire() !== handles) throw new Error('not every timer fired');
    });
    return {
      [`wheel.insert-cancel.${count}`]: churn,
      [`wheel.recent.${count}`]: recent,
      [`wheel.insert-fire.${count}`]: pass,
      [`wheel.fire.${count}`]: fire / handles,
    };
  };
}

function runSlab(module) {
  return (part) => {
    const core = freshShard(module);
    return { 'slab.give-take': timeNs(() => core.slabChurn(20_000_000 * part)) / (20_000_000 * part) };
  };
}

function runTask(module) {
  return (part) => {
    const core = freshShard(module);
    return { 'task.queue-run': timeNs(() => core.tasksRun(200_000 * part)) / (64 * 200_000 * part) };
  };
}

// --- two threads ----------------------------------------------------------------------------------------------------

const PAIRS = {
  spsc: { messages: 400_000, name: (batch) => `spsc.${batch}` },
  pingpong: { messages: 50_000, name: () => 'pingpong.round-trip' },
  'pingpong-sleep': { messages: 1000, name: () => 'pingpong-sleep.round-trip' },
};

function near(core, kind, messages, batch) {
  if (kind === 'spsc') core.streamOut(messages, batch);
  else core.pingOut(messages, kind === 'pingpong-sleep' ? 1 : 0);
}

function far(core, kind, messages, batch) {
  if (kind === 'spsc') core.streamIn(messages, batch);
  else core.pingIn(messages, kind === 'pingpong-sleep' ? 1 : 0);
}

async function measurePair(module, kind, batch) {
  const { memory } = makeMemory(2, PAIR_LIMITS);
  const core = instance(module, memory);
  core.boot(0, BOOT_NS);
  pin(0);
  const worker = new Worker(new URL(import.meta.url), { workerData: { module, memory } });
  worker.once('error', (error) => {
    throw error;
  });
  const answer = () => new Promise((resolve) => worker.once('message', resolve));
  await answer();
  let round = 0;
  const run = async (part) => {
    const messages = PAIRS[kind].messages * (part === WARM_UP_PART ? 0.5 : 1); // V8 wants millions of them
    const ended = answer();
    worker.postMessage({ kind, messages, batch, round: ++round });
    core.meet(round);
    const start = nowNs();
    near(core, kind, messages, batch);
    return { [PAIRS[kind].name(batch)]: ((await ended) - start) / messages };
  };
  await measure(run, PAIR_RUNS, 0.25);
  await worker.terminate();
}

function serve({ module, memory }) {
  const core = instance(module, memory);
  core.boot(1, BOOT_NS);
  pin(1);
  parentPort.on('message', ({ kind, messages, batch, round }) => {
    core.meet(round);
    far(core, kind, messages, batch);
    parentPort.postMessage(nowNs());
  });
  parentPort.postMessage('ready');
}

if (isMainThread) {
  const [path, what, count] = process.argv.slice(2);
  const module = new WebAssembly.Module(readFileSync(path));
  if (what in PAIRS) await measurePair(module, what, Number(count));
  else await measure({ wheel: runWheel, slab: runSlab, task: runTask }[what](module, Number(count)));
} else serve(workerData);
