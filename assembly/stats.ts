// === Counters ===
//
// One block a shard: written by its shard with plain stores, read by anyone. A reader in another thread may see a
// value a moment old; aligned words do not tear. host/layout.ts names the same words in the same order.
//
// Next: shard.ts.

import { header, shardBase } from './layout';

@unmanaged
export class Counters {
  turns: u64;
  completions: u64; // taken from the completion window
  staleCompletions: u64; // named an operation that is over; never obeyed
  submissions: u64; // staged in the submission window
  timersFired: u64;
  tasksRun: u64;
  requestsSent: u64;
  requestsReceived: u64;
  repliesSent: u64;
  repliesReceived: u64;
  staleReplies: u64; // named a call that is over
  doorbells: u64; // peers that had to be woken by the kernel
  ringFull: u64; // messages that had to wait for room in a ring
  creditRefused: u64; // calls that had to wait for credit
}

export function counters(): Counters {
  return changetype<Counters>(shardBase() + header().countersOffset);
}
