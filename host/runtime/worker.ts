// The entry of a shard's worker. Order: the thread library loads the core and starts it (the loop runs from then on);
// the runtime hands over the peers' doorbells; the shard module is imported; then the shard serves calls.

import { parentPort, workerData } from 'node:worker_threads';
import { FeatherstarError } from '../base/errors.js';
import { Calls } from '../calls/call.js';
import { offerParts } from '../calls/parts.js';
import { readHeader } from '../core/layout.js';
import type { DoorbellToken } from '../hosts/host.js';
import { pick } from '../hosts/pick.js';
import { enterShard, Shard } from '../shard/shard.js';
import { pinThread } from './cpus.js';
import { noteExit } from './death.js';
import type { FromWorker, ShardData, ToWorker } from './protocol.js';
import { setRuntime, WorkerRuntime } from './runtime.js';
import type { SignalLink } from './signal-board.js';
import { readHoldings } from './stats.js';
import { handleThread } from './threads.js';
import { Watcher } from './watch.js';
import { doorbells, importModule, ports } from './workers.js';

const LOOK_MS = 50;

const data = workerData as ShardData;
const port = parentPort as NonNullable<typeof parentPort>;
let shard: Shard;
let runtimeHere: WorkerRuntime | undefined;
let watcher: Watcher | undefined;

function say(message: FromWorker, transfer: unknown[] = []): void {
  port.postMessage({ featherstar: message }, transfer as never);
}

function fail(error: unknown): void {
  const code = FeatherstarError.is(error) ? error.code : undefined;
  say({ type: 'failed', error: error instanceof Error ? error : new Error(String(error)), code });
}

if (data.cpu !== undefined) pinThread(data.cpu); // first of all, so that its memory is near

handleThread(
  ({ module, memory }) => {
    shard = new Shard({
      module,
      memory,
      blocks: data.blocks,
      header: readHeader(memory),
      shard: data.shard,
      factory: pick(data.host),
      network: data.network,
      idlePollNs: data.idlePollNs,
      quotaNs: data.quotaNs,
      stallMs: data.stallMs,
      unhandled: data.unhandled,
      checkMemory: data.checkMemory,
      threadSpawn: () => -1, // shards are started by shard 0
    });
    return shard.core;
  },
  () => {
    offerParts();
    shard.calls = new Calls(shard, data.shardCount); // they keep what peers that begin sooner ask for
    enterShard(shard);
    shard.start();
    process.on('exit', () => noteExit(shard.memory, shard.base)); // not if it is ended from outside
    const tokens = doorbells(shard, data.shardCount);
    say({ type: 'booted', tokens }, ports(tokens));
  },
);

const signalLink: SignalLink = {
  want: (name, isWanted) => say({ type: 'signalWanted', name, isWanted }),
  waited: (names) => say({ type: 'signalWaited', names }),
  done: (name) => say({ type: 'signalDone', name }),
};

async function begin(tokens: (number | object | undefined)[]): Promise<void> {
  tokens.forEach((token, peer) => {
    if (peer !== data.shard) shard.host.setPeer(peer, token as never);
  });
  runtimeHere = new WorkerRuntime(shard, data.shardCount, data.host, signalLink);
  setRuntime(runtimeHere);
  watcher = new Watcher(shard, data.stallMs);
  const exports = await importModule(data.module);
  if (data.stallMs > 0) shard.stepMark.nudge = () => say({ type: 'busy' }); // loading may take its time
  shard.calls?.setModule(exports);
  say({ type: 'running' });
}

async function bury(peer: number, number: number): Promise<void> {
  await shard.calls?.peers.whenBuried(peer);
  const token = shard.host.doorbell(peer);
  say({ type: 'buried', number, token }, ports([token]));
}

function welcome(peer: number, number: number, token: DoorbellToken): void {
  if (shard.closed) return;
  try {
    shard.host.setPeer(peer, token);
  } catch {
    return; // it has died since: 'peerDown' is behind this message
  }
  shard.calls?.peers.up(peer);
  say({ type: 'welcomed', number });
}

async function drain(timeoutMs: number): Promise<void> {
  const failures = (await runtimeHere?.runOnClose(timeoutMs)) ?? [];
  say({ type: 'drained', failures: failures.map(String) });
}

async function cancel(graceMs: number): Promise<void> {
  await runtimeHere?.cancel(graceMs);
  say({ type: 'cancelled' });
}

function stop(): void {
  watcher?.stop();
  const left = readHoldings(shard, shard.index);
  const waitsFor = shard.waitsFor();
  if (waitsFor.length === 0) shard.close();
  say({ type: 'stopped', left, waitsFor });
  if (waitsFor.length === 0) leave();
  else closeWhenOver();
}

/** This thread must not end before what the kernel still does for it: its end would wait for that, and who joins it. */
function closeWhenOver(): void {
  const timer = setInterval(() => {
    if (shard.waitsFor().length !== 0) return;
    clearInterval(timer);
    shard.close();
    leave();
  }, LOOK_MS);
}

function leave(): void {
  if (typeof port.close === 'function') port.close();
  else (globalThis as { close?: () => void }).close?.(); // Deno's parentPort is the worker's own global
}

port.on('message', ({ featherstar: message }: { featherstar?: ToWorker }) => {
  if (message === undefined) return; // the thread library's
  if (message.type === 'peers') begin(message.tokens).catch(fail);
  else if (message.type === 'peerDown') {
    if (shard.closed) return;
    shard.calls?.peers.down(message.shard);
    shard.host.setPeer(message.shard, undefined);
  } else if (message.type === 'bury') bury(message.shard, message.number).catch(fail);
  else if (message.type === 'peerUp') welcome(message.shard, message.number, message.token);
  else if (message.type === 'signal') runtimeHere?.signals.deliver(message.name).catch(fail);
  else if (message.type === 'busy') watcher?.begin(0);
  else if (message.type === 'drain') drain(message.timeoutMs).catch(fail);
  else if (message.type === 'cancel') cancel(message.graceMs).catch(fail);
  else stop();
});
