// === Counters ===
//
// One block a shard: written by its shard with plain stores, read by anyone. A reader in another thread may see a value
// a moment old; aligned words do not tear. The host (host/core/layout.ts) names the same words in the same order.
//
// Next: shard.ts.

import { header, shardBase } from './layout';

@unmanaged
export class Counters {
  turns: u64;
  completions: u64; // taken from the completion window
  staleCompletions: u64; // named an operation that is over; dropped
  submissions: u64; // staged in the submission window
  timersFired: u64;
  tasksRun: u64;
  requestsSent: u64;
  requestsReceived: u64;
  repliesSent: u64;
  repliesReceived: u64;
  doorbells: u64; // peers that had to be woken by the kernel
  ringFull: u64; // refusals: no slot in the ring
  creditRefused: u64; // refusals: no credit
}

export function counters(): Counters {
  assert(header().countersOffset != 0);
  return changetype<Counters>(shardBase() + header().countersOffset);
}
