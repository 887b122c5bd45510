// A turn that never ends holds the only thread, so no code of this thread can notice it. A second thread does: it looks
// whether turns go on, asks V8 where the first thread is, prints that, and ends the process. A module that is never
// loaded is noticed, too.
//
// The second thread: only on Node, and only for the main thread. Others have no such inspector.
//
// Next: watchdog-thread.ts.

import inspector from 'node:inspector';
import { isMainThread, Worker } from 'node:worker_threads';
import { FeatherstarError } from '../base/errors.js';
import { real } from './real.js';

/** The numbers that both threads see. NAME_BYTES: the length of the name of the module that is loaded; 0: none is. */
export const Beat = { TURNS: 0, STALL_MS: 1, SEED: 2, SHARD: 3, NAME_BYTES: 4, COUNT: 5 } as const;

const NAME_BYTES_MAX = 4096;
const ROUND_MS = 100;
const encoder = new TextEncoder();
const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const shared = new SharedArrayBuffer(Beat.COUNT * Float64Array.BYTES_PER_ELEMENT + NAME_BYTES_MAX);
const { beat, name } = viewsOf(shared);
let watcher: Worker | undefined;

/** Both views of the shared memory: the numbers, and the name of the module that is loaded. */
export function viewsOf(memory: SharedArrayBuffer): { beat: Float64Array; name: Uint8Array } {
  const beat = new Float64Array(memory, 0, Beat.COUNT);
  return { beat, name: new Uint8Array(memory, beat.byteLength) };
}

/** Watches the simulation that begins, until end(). `stallMs`: how long a turn may take, in real time; 0: for ever. */
export function watch(seed: number, stallMs: number): { end(): void } {
  beat[Beat.SEED] = seed;
  return watchThread(stallMs);
}

/** Watches the thread, until end(). */
function watchThread(stallMs: number): { end(): void } {
  if (stallMs === 0 || !isNode || !isMainThread || inspector.url() !== undefined) return { end: () => {} };
  if (watcher === undefined) {
    watcher = new Worker(new URL('./watchdog-thread.js', import.meta.url), { workerData: shared, execArgv: [] });
    watcher.unref();
  }
  const before = beat[Beat.STALL_MS] as number;
  beat[Beat.STALL_MS] = stallMs;
  return {
    end: () => {
      beat[Beat.STALL_MS] = before;
    },
  };
}

/**
 * Loads a module. If it is not loaded after `maxMs` of real time, it rejects with an error that names the module; 0: it
 * waits for ever. A loop without an end at the top level ends the process, as in a turn.
 */
export async function loadInTime<T>(module: string, maxMs: number, load: () => Promise<T>): Promise<T> {
  const watched = watchThread(maxMs);
  let leftMs = maxMs === 0 ? Number.POSITIVE_INFINITY : maxMs;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    // Each round shows the other thread that this one is not held up.
    timer = real.setInterval(() => {
      (beat[Beat.TURNS] as number)++;
      leftMs -= ROUND_MS;
      if (leftMs > 0) return;
      const why = 'its top level waits for something that does not come';
      reject(new FeatherstarError('FEATHERSTAR_MODULE', `${module} is not loaded after ${maxMs / 1000} s: ${why}`));
    }, ROUND_MS);
  });
  try {
    beat[Beat.NAME_BYTES] = encoder.encodeInto(module, name).written;
    return await Promise.race([load(), late]);
  } finally {
    beat[Beat.NAME_BYTES] = 0;
    real.clearInterval(timer);
    watched.end();
  }
}

/** A turn of this shard begins. */
export function tellTurn(shard: number): void {
  (beat[Beat.TURNS] as number)++;
  beat[Beat.SHARD] = shard;
}
