// featherstar/browser/shard: what a shard module in a page imports. Tasks, time and calls; there are no sockets, files
// or signals of a process here.
//
// Next: browser-host.ts.

import './globals.js';
import { homeOf as homeAmong } from '../base/home-of.js';
import { checkShard } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import type { Remote, RemoteAll, UntypedModule } from '../calls/remote.js';
import { currentShard } from '../shard/shard.js';

export { FeatherstarError } from '../base/errors.js';
export { allocate, type SharedBytes } from '../calls/shared-bytes.js';
export * from '../sync/index.js';
export { type Interval, interval } from '../tasks/interval.js';
export type { JoinHandle } from '../tasks/join-handle.js';
export { spawn, yieldNow } from '../tasks/task.js';
export { sleep, timeout } from '../tasks/timer.js';

let count = 1;

/** @internal */
export function setShardCount(shardCount: number): void {
  count = shardCount;
}

/** How many shards there are. */
export const shardCount = (): number => count;
/** The number of this shard. */
export const self = (): number => currentShard().index;

/**
 * The functions of the shard module, as they run on one shard: `on(1).get('key')`, typed by `on<typeof module>(1)`.
 * Each returns a promise. `on(1).with({ signal, timeoutMs })` ends the wait. Throws FEATHERSTAR_OPTION if there is no
 * such shard, and FEATHERSTAR_MODULE before the module is loaded.
 */
export function on<M extends object = UntypedModule>(index: number): Remote<M> {
  checkShard(index, count);
  return (currentShard().calls as Calls).remote(index) as Remote<M>;
}

/**
 * The functions of the shard module, as they run on every shard at once: `onAll().size()` resolves to an array, in
 * shard order. Rejects with the first error; the other calls go on.
 */
export function onAll<M extends object = UntypedModule>(): RemoteAll<M> {
  const shards = Array.from({ length: count }, (_, index) => index);
  return (currentShard().calls as Calls).remoteAll(shards) as RemoteAll<M>;
}

/** The shard that a key lives on. Every shard, and the page, has the same answer. Text counts as its UTF-8 bytes. */
export function homeOf(key: string | Uint8Array): number {
  return homeAmong(key, count);
}
