// Result codes. An export returns >= 0 (a slot, a count) or one of these; host/base/errors.ts has their names and
// texts. Kernel errors are -1 ... -4095 (-errno), so ours begin below that.
//
// Next: list.ts.

export const OK: i32 = 0;
export const FULL: i32 = -5001; // a table, ring or pool has no free slot; nothing was changed
export const STALE: i32 = -5002; // the handle's generation is over; nothing was changed
export const RANGE: i32 = -5003; // an argument is outside its limits; nothing was changed
export const NO_CREDIT: i32 = -5004; // as many requests are out as that peer may have unbegun; a ROOM entry will follow
export const PEER_DOWN: i32 = -5005; // that shard does not run
