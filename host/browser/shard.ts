// featherstar/browser/shard: what a shard module in a page imports. Tasks, time and calls; there are no sockets, files
// or signals of a process here.
//
// Next: browser-host.ts.

import './globals.js';
import { checkShard } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import { ShardHandle, type UntypedModule } from '../calls/call-api.js';
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

/** How many shards there are, and which one this is. */
export const shardCount = (): number => count;
export const self = (): number => currentShard().index;

/** Another shard, or this one: `shard(1).call(name, ...args)`, typed as `shard<typeof module>(1)`. */
export function shard<M extends object = UntypedModule>(index: number): ShardHandle<M> {
  checkShard(index, count);
  return new ShardHandle<M>(index, currentShard().calls as Calls);
}
