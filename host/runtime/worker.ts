// The entry of a shard's worker thread: its port, its processor, its end. The thread library loads the core and starts
// it.
//
// Next: worker-shard.ts, all that a shard does in its worker.

import { parentPort, workerData } from 'node:worker_threads';
import { setProcessSecret } from '../base/secrets.js';
import { pick } from '../hosts/pick.js';
import { pinThread } from './cpus.js';
import { noteExit } from './death.js';
import { importModule } from './node-platform.js';
import type { ShardData, ToWorker, WorkerPort } from './protocol.js';
import { handleThread } from './threads.js';
import { WorkerShard } from './worker-shard.js';

const data = workerData as ShardData & { secret: Uint8Array };
const port = parentPort as NonNullable<typeof parentPort>;
let shard: WorkerShard | undefined;

setProcessSecret(data.secret);

const own: WorkerPort = {
  importModule,
  say: (message, transfer = []) => port.postMessage({ featherstar: message }, transfer as never),
  leave: () => {
    if (typeof port.close === 'function') port.close();
    else (globalThis as { close?: () => void }).close?.(); // Deno's parentPort is the worker's own global
  },
};

if (data.cpu !== undefined) pinThread(data.cpu); // first of all, so that its memory is near

handleThread(
  ({ module, memory }) => {
    const made = new WorkerShard(data, pick(data.host), module, memory, own);
    shard = made;
    process.on('exit', () => noteExit(memory, made.base)); // not if it is ended from outside
    return made.core;
  },
  () => shard?.start(),
);

port.on('message', ({ featherstar: message }: { featherstar?: ToWorker }) => {
  if (message !== undefined) shard?.onMessage(message); // else it is the thread library's
});
