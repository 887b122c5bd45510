// How a runtime ends: in order, and always.
//
//   services   sharded services stop, one after the other                              sharded.ts
//   drain      every shard aborts runtime.signal and runs what onClose() registered;
//              calls that are open end                                                 until `timeoutMs` is over
//   cancel     every shard closes what is still open                                   at most GRACE_MS
//   stop       every shard gives its memory and its ring back; its thread ends          at most GRACE_MS
//   terminate  threads that have not ended, because they never came round to listening       at most THREAD_END_MS
//
// A disk that does not answer can hold an operation for ever, and nothing can take it back. The thread that began it
// cannot end before, and a thread that waits for it is blocked. So it is left alone, with its memory, and the report
// says what it waits for.
//
// All shards are in the same phase, so what ends in one can still call the others.

import { inTime } from '../base/in-time.js';
import type { Shard } from '../shard/shard.js';
import type { ShardWorker } from './protocol.js';
import { type Holdings, openFileOperations, readHoldings, unansweredCalls } from './stats.js';
import { askWorker, endThread } from './workers.js';

const GRACE_MS = 250;
const LOOK_MS = 2;

/** How a shard ended, and what it held then: all zeros if nothing was lost. */
export interface ShardEnd {
  /**
   * 'died': before it was told to stop. 'terminated': it did not respond. The shard is 'stuck' if its thread has not
   * ended, because it waits for something that cannot be interrupted. It ends when that does.
   */
  how: 'stopped' | 'terminated' | 'died' | 'stuck';
  /** undefined for a shard that could not say. */
  left: Holdings | undefined;
  /** If it is stuck: its operations on files that have not ended; none if it waits for something else. */
  waitsFor?: readonly string[];
}

/** How a runtime has ended, as `Runtime.close()` resolves to it. */
export interface CloseReport {
  /** Whether everything ended by itself, so that nothing had to be cancelled for want of time. */
  drained: boolean;
  /** In shard order. */
  shards: ShardEnd[];
}

interface Closing {
  readonly stopServices: ((timeoutMs: number) => Promise<unknown[]>) | undefined;
  runOnClose(timeoutMs: number): Promise<unknown[]>;
  cancel(graceMs: number): Promise<void>;
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until no operation and no call of this shard is open: those who listen to runtime.signal may make some. */
export async function quiet(shard: Shard, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  const isBusy = () => shard.core.openOps() !== 0 || unansweredCalls(shard, shard.index) !== 0;
  await later(0);
  while (isBusy() && performance.now() < deadline) {
    shard.hurry();
    await later(LOOK_MS);
  }
}

/** Waits until no shard that lives has a call open. No message tells shard 0 of the others' calls, so it looks. */
async function callsEnd(own: Shard, workers: readonly (ShardWorker | undefined)[], deadline: number): Promise<boolean> {
  const isOpen = (shard: number) => (shard === 0 || workers[shard] !== undefined) && unansweredCalls(own, shard) !== 0;
  while (workers.some((_, shard) => isOpen(shard))) {
    if (performance.now() >= deadline) return false;
    await later(LOOK_MS);
  }
  return true;
}

/** Ends all shards but for this one's ring. `failures`: of services, and of what onClose() registered on this shard. */
export async function shutDown(
  runtime: Closing,
  own: Shard,
  workers: readonly (ShardWorker | undefined)[],
  timeoutMs: number,
): Promise<{ report: CloseReport; failures: unknown[] }> {
  const deadline = performance.now() + timeoutMs;
  const left = () => Math.max(0, deadline - performance.now());
  const wasThere = workers.map((worker) => worker !== undefined);
  /** `each` of every worker that is still there; in shard order. */
  const all = <T>(each: (worker: ShardWorker) => Promise<T | undefined>) =>
    Promise.all(workers.map((worker) => (worker === undefined ? undefined : each(worker))));

  const stopping = runtime.stopServices?.(timeoutMs).catch((error) => [error]); // one more failure, no reason to stay
  const services = await inTime(Promise.resolve(stopping ?? []), timeoutMs + GRACE_MS);
  const draining = all((worker) => askWorker(worker, { type: 'drain', timeoutMs: left() }, 'drained', left()));
  const hooks = await inTime(runtime.runOnClose(left()), left());
  const drains = await draining;
  drains.forEach((said, shard) => {
    for (const text of said?.failures ?? []) {
      process.emitWarning(`onClose failed on shard ${shard}: ${text}`, 'Featherstar');
    }
  });
  const ended = await callsEnd(own, workers, deadline);
  const drained =
    services !== undefined && hooks !== undefined && ended && drains.every((said, i) => said || !wasThere[i]);

  const cancelling = all((worker) =>
    askWorker(worker, { type: 'cancel', graceMs: GRACE_MS }, 'cancelled', 2 * GRACE_MS),
  );
  const failures = [...(services ?? []), ...(hooks ?? [])];
  await runtime.cancel(GRACE_MS).catch((error) => failures.push(error)); // the threads are ended all the same
  await cancelling;

  const isGone = workers.map((worker) => worker === undefined);
  const exits = workers.map((worker) => worker && new Promise((resolve) => worker.onExit(resolve)));
  const stops = await all((worker) => askWorker(worker, { type: 'stop' }, 'stopped', GRACE_MS));
  const waitsForNothing = stops.map((stopped) => (stopped?.waitsFor ?? []).length === 0);
  const ending = exits.filter((_, shard) => waitsForNothing[shard]);
  await inTime(Promise.all(ending), GRACE_MS); // of themselves, so that their own 'exit' handlers run
  const ends = await Promise.all(
    workers.map((worker, shard) => worker === undefined || (waitsForNothing[shard] && endThread(worker))),
  );

  const shards = workers.map((worker, shard): ShardEnd => {
    if (shard === 0) {
      const [left, waitsFor] = [readHoldings(own, 0), own.waitsFor()];
      return waitsFor.length === 0 ? { how: 'stopped', left } : stuckEnd(0, left, waitsFor);
    }
    if (isGone[shard]) return { how: 'died', left: undefined };
    const stopped = stops[shard];
    const how = stopped === undefined ? 'terminated' : 'stopped';
    if (ends[shard]) return { how, left: stopped?.left };
    worker?.unref();
    return stuckEnd(shard, stopped?.left, stopped?.waitsFor ?? openFileOperations(own, shard));
  });
  return { report: { drained, shards }, failures };
}

function stuckEnd(shard: number, left: Holdings | undefined, waitsFor: readonly string[]): ShardEnd {
  const what = waitsFor.length === 0 ? 'something that is no operation on a file' : waitsFor.join(', ');
  const text = `shard ${shard} has not ended: it waits for ${what}, which cannot be interrupted`;
  process.emitWarning(
    `${text}. Its thread and its memory are left to it; the process cannot end before.`,
    'Featherstar',
  );
  return { how: 'stuck', left, waitsFor };
}
