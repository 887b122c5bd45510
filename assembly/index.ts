// The ABI: everything that a host may call, in the order of a shard's life. All arguments and results are numbers;
// what is larger lies in memory, where layout.ts says. Results below 0 are codes of check.ts.
//
// Reading order: layout, check, list, slab, group, task, arena, wheel, spsc, mesh, park, op, stats, shard.

import { HEADER_SCRATCH, header } from './layout';
import { boot as bootShard } from './shard';
import { threadSpawn } from './wasi';

export { plan } from './layout';
export { boot, stop, turn } from './shard';
export { wantsTurn, trySleep, awake } from './park';
export { flush } from './mesh';

/** Starts shard `shard` in a thread of its own. Returns the thread's id, or < 0. */
export function startShard(shard: u32): i32 {
  assert(shard < header().shardCount);
  return threadSpawn(shard);
}

/** The wasi-threads entry, called in the new thread's own instance. The host has put the clock into the header. */
export function wasi_thread_start(_tid: i32, shard: u32): void {
  assert(shard < header().shardCount);
  bootShard(shard, load<f64>(HEADER_SCRATCH + 8));
}

export { first as firstTask, next as nextTask, spawnHost } from './task';
export { setShares } from './group';

export { armTimer } from './shard';
export { cancel as cancelTimer } from './wheel';

export { submit, extend, cancelOp, closeFile, recycle, hurry, openOps } from './op';

export { mayPost, post, payloadTake, holdRequest, beginRequest, peerDown } from './mesh';
export { arenaRelease, arenaUsed } from './arena';

export * from './http/index';
export * from './websocket/index';
