// A turn that never ends holds the only thread, so no code of this thread can notice it. A second thread does: it looks
// whether turns go on, asks V8 where the first thread is, prints that, and ends the process.
//
// Only on Node, and only for the main thread: other threads, and other runtimes, have no such inspector.
//
// Next: watchdog-thread.ts.

import inspector from 'node:inspector';
import { isMainThread, Worker } from 'node:worker_threads';

/** The numbers that both threads see. */
export const Beat = { TURNS: 0, STALL_MS: 1, SEED: 2, SHARD: 3 } as const;

const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const beat = new Float64Array(new SharedArrayBuffer(4 * Float64Array.BYTES_PER_ELEMENT));
let watcher: Worker | undefined;

/** Watches the simulation that begins, until end(). `stallMs`: how long a turn may take, in real time; 0: for ever. */
export function watch(seed: number, stallMs: number): { end(): void } {
  if (stallMs === 0 || !isNode || !isMainThread || inspector.url() !== undefined) return { end: () => {} };
  if (watcher === undefined) {
    watcher = new Worker(new URL('./watchdog-thread.js', import.meta.url), { workerData: beat, execArgv: [] });
    watcher.unref();
  }
  beat[Beat.SEED] = seed;
  beat[Beat.STALL_MS] = stallMs;
  return {
    end: () => {
      beat[Beat.STALL_MS] = 0;
    },
  };
}

/** A turn of this shard begins. */
export function tellTurn(shard: number): void {
  (beat[Beat.TURNS] as number)++;
  beat[Beat.SHARD] = shard;
}
