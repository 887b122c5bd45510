// Waiting for each other within a shard: units, locks, events, values, bytes; and the first of several.
//
// Nothing here crosses shards, and nothing is locked in the machine's sense: a shard is one thread. Read wait-queue.ts
// first, then semaphore.ts.

export { CancellationToken } from './cancellation.js';
export { Channel, type ChannelOptions, type Sender } from './channel.js';
export { Condvar, Event } from './event.js';
export { Mutex, RwLock } from './lock.js';
export { maxConcurrent, parallelForEach } from './loops.js';
export { Pipe, type PipeOptions, type PipeReadOptions } from './pipe.js';
export { type SelectBranches, type Selected, select } from './select.js';
export { type AcquireOptions, type Guard, Semaphore } from './semaphore.js';
export type { QueueOptions, WaitOptions } from './wait-queue.js';
