// How busy a shard is, in Node's own figures. On the uring host a thread waits in a callback of libuv (loop.c), which
// Node takes for work. So performance.eventLoopUtilization() would be 1 for a shard that sleeps. The loop counts the
// time in which it had nothing to do. Here Node's figures are corrected by it, in each thread that is a shard.
//
//   loop.c --> HostControl.idleNs --> eventLoopUtilization(), nodeTiming.idleTime           in the shard's own thread
//                                 --> worker.performance.eventLoopUtilization()             in the thread that made it
//
// The correction stays when the runtime has closed, so that a figure that was taken before can still be compared.

import { syncBuiltinESMExports } from 'node:module';
import perfHooks, { type EventLoopUtilityFunction, type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { Worker } from 'node:worker_threads';
import { HostControl } from '../core/layout.js';
import { monotonicNs } from './host.js';

/** On Bun and Deno there is nothing to correct: there the wait is not hidden in a callback. */
export const isNode = process.versions.bun === undefined && !('Deno' in globalThis);

/** How long a shard has had nothing to do, ms. Any thread may ask, also while it sleeps. */
export function idleMs(memory: WebAssembly.Memory, base: number): number {
  const word = new Float64Array(memory.buffer, base + HostControl.idleNs, 1)[0] as number;
  return (word < 0 ? word + monotonicNs() : word) / 1e6; // below zero: it sleeps, since -word (loop.c)
}

type Utilization = (since?: EventLoopUtilization, until?: EventLoopUtilization) => EventLoopUtilization;

/** Node's function, with `moreIdleMs` counted as idle and not as active. */
function corrected(original: Utilization, moreIdleMs: () => number): EventLoopUtilityFunction {
  return function eventLoopUtilization(this: unknown, since?: EventLoopUtilization, until?: EventLoopUtilization) {
    if (until) return original.call(this, since, until); // the difference of two that were corrected
    const seen = original.call(this);
    if (seen.idle + seen.active === 0) return seen; // the loop has not begun
    const more = moreIdleMs();
    const idle = seen.idle + more - (since?.idle ?? 0);
    const active = seen.active - more - (since?.active ?? 0);
    return { idle, active, utilization: active / (idle + active) };
  };
}

let here: (() => number) | undefined;
let endedMs = 0; // of runtimes of this thread that have closed
let isCorrected = false;

const hereMs = () => endedMs + (here?.() ?? 0);

/** Corrects what this thread's Node says of itself. */
export function countIdle(memory: WebAssembly.Memory, base: number): void {
  here = () => idleMs(memory, base);
  if (isCorrected) return;
  isCorrected = true;
  const isWritable = { writable: true, configurable: true };
  const value = corrected(performance.eventLoopUtilization, hereMs);
  Object.defineProperty(performance, 'eventLoopUtilization', { value, ...isWritable });
  if ('eventLoopUtilization' in perfHooks) {
    // Node 25 and later
    Object.assign(perfHooks, { eventLoopUtilization: value });
    syncBuiltinESMExports();
  }
  const { nodeTiming } = performance;
  const idleTime = Object.getOwnPropertyDescriptor(nodeTiming, 'idleTime')?.get;
  if (idleTime === undefined) return;
  const get = () => idleTime.call(nodeTiming) + hereMs();
  Object.defineProperty(nodeTiming, 'idleTime', { get, enumerable: true, configurable: true });
}

/** The shard has closed: what it counted is kept. */
export function endIdle(): void {
  endedMs = hereMs();
  here = undefined;
}

/** Corrects what Node says of a shard's worker to the thread that made it. */
export function countIdleOf(worker: Worker, memory: WebAssembly.Memory, base: number): void {
  if (!isNode) return;
  const { eventLoopUtilization } = worker.performance;
  worker.performance.eventLoopUtilization = corrected(eventLoopUtilization, () => idleMs(memory, base));
}
