// Runs the steps of a function of node:fs: at once, or with a time of its own for each step.
//
//   runNow()     step, step, step --> the result; the shard waits, so time passes for all shards
//   runLater()   step, wait, step, wait --> in a turn of the shard, the callback
//
// Next: node-fs-calls.ts.

import { abortError } from '../node/node-errors.js';
import type { FsSteps, SystemCall } from './node-fs-calls.js';
import { bound, onStage } from './replace.js';
import { FILE_ERRNOS } from './sim-files.js';
import type { SimHost } from './sim-host.js';
import { FILE_LOOKS } from './world.js';

export type FsCallback = (error: unknown, value?: unknown) => void;

/** A callback of a function without a result gets one argument, as Node's do. */
function succeed(settle: FsCallback, value: unknown): void {
  if (value === undefined) settle(null);
  else settle(null, value);
}

/** Performs one step, unless a fault strikes. */
function performCall(host: SimHost, { name, opcode, named, run }: SystemCall): unknown {
  const { world, shard } = host;
  const errno = world.drawErrno(shard, opcode, FILE_ERRNOS[opcode]);
  const result = errno === 0 ? run(host) : errno;
  const about = named.path === undefined ? name : `${name} ${named.path}`;
  world.note('file', shard, opcode, typeof result === 'number' ? result : 0, about);
  return result;
}

export function runNow<T>(steps: FsSteps<T>): T {
  const { world, place } = onStage();
  let step = steps.next();
  while (!step.done) {
    world.look(FILE_LOOKS); // a loop that waits for a file never ends: no other code runs meanwhile
    const host = place.host as SimHost;
    world.nowNs += host.disk.timeNs(`${step.value.name}Sync`);
    step = steps.next(performCall(host, step.value));
  }
  return step.value;
}

/** Calls back in a turn of the shard that asks. Throws if an argument is wrong. */
export function runLater<T>(steps: FsSteps<T>, settle: FsCallback, signal?: AbortSignal): void {
  if (signal?.aborted) {
    settle(abortError(signal));
    return;
  }
  const { world, place } = onStage();
  const host = place.host as SimHost;
  let result: unknown;
  let isAborted = false;

  function nextStep(): IteratorResult<SystemCall, T> {
    if (signal === undefined || !signal.aborted || isAborted) return steps.next(result);
    isAborted = true; // once: the steps behind it close what is open
    return steps.throw(abortError(signal));
  }

  const resume = bound(() => {
    let step: IteratorResult<SystemCall, T>;
    try {
      step = nextStep();
    } catch (error) {
      settle(error);
      return;
    }
    if (step.done) succeed(settle, step.value);
    else submit(step.value);
  });

  function submit(call: SystemCall): void {
    host.disk.after(call.name, () => {
      result = performCall(host, call);
      world.post(place, resume);
    });
  }

  const first = nextStep();
  if (!first.done) submit(first.value);
  else {
    const { value } = first;
    world.post(
      place,
      bound(() => succeed(settle, value)),
    );
  }
}

export function promised<T>(steps: FsSteps<T>, signal?: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    runLater(steps, (error, value) => (error === null ? resolve(value as T) : reject(error)), signal);
  });
}
