// === One ring: a single producer, a single consumer ===
//
// Lamport's queue with the other side's index cached, as in FastForward, Folly and the Disruptor. Indices run freely
// (u32, wrapping); slot = index & (slots - 1); tail - head is what lies in the ring, so all of its slots can be used.
//
//   +0    tail     u32   written by the producer (atomic), read by the consumer
//   +64   waiting  u32   1: the producer found the ring full and wants to be told of room; see mesh.ts
//   +128  head     u32   written by the consumer (atomic), read by the producer
//   +256  staged, headSeen   u32   the producer's own: next index to write; head as last read
//   +384  taken, tailSeen    u32   the consumer's own: next index to read; tail as last read
//   +512  slots, 64 bytes each
//
// Lines are 128 bytes apart where two threads write, because processors fetch lines in pairs.
//
// Order. AssemblyScript's atomics are sequentially consistent; what is needed here is less, release and acquire:
//   publish() stores tail   -- pairs with -->  available() loads tail: the slot's bytes are seen with the index.
//   release() stores head   -- pairs with -->  room() loads head: the slot is not written before it was read.
// A store of this kind waits for the other core's line (36-57 ns a message when done for each), so it is done per
// batch: mesh.ts publishes after 16 messages, at the end of a turn, and always before the shard goes idle.
//
// Next: mesh.ts.

import { RING_CONTROL_BYTES, SLOT_BYTES } from './layout';

const TAIL: usize = 0;
const WAITING: usize = 64;
const HEAD: usize = 128;

@unmanaged
class Producer {
  staged: u32;
  headSeen: u32;
}

@unmanaged
class Consumer {
  taken: u32;
  tailSeen: u32;
}

function producer(ring: usize): Producer {
  return changetype<Producer>(ring + 256);
}

function consumer(ring: usize): Consumer {
  return changetype<Consumer>(ring + 384);
}

function slotAt(ring: usize, slots: u32, index: u32): usize {
  return ring + RING_CONTROL_BYTES + (index & (slots - 1)) * SLOT_BYTES;
}

// --- producer -------------------------------------------------------------------------------------------------------

/** The address of the next slot to write, or 0 when the ring is full. Written slots count only after stage(). */
export function claim(ring: usize, slots: u32): usize {
  const mine = producer(ring);
  if (mine.staged - mine.headSeen == slots) {
    mine.headSeen = atomic.load<u32>(ring + HEAD); // pairs with release()
    if (mine.staged - mine.headSeen == slots) return 0;
  }
  return slotAt(ring, slots, mine.staged);
}

/** The claimed slot is written. The consumer does not see it before publish(). */
export function stage(ring: usize): void {
  producer(ring).staged++;
}

/** Shows the consumer all that is staged. */
export function publish(ring: usize): void {
  atomic.store<u32>(ring + TAIL, producer(ring).staged); // pairs with available()
}

/** Asks to be told when there is room. True if there is some already: then nobody will tell. Pairs with release(). */
export function waitForRoom(ring: usize, slots: u32): bool {
  atomic.store<u32>(ring + WAITING, 1);
  const mine = producer(ring);
  mine.headSeen = atomic.load<u32>(ring + HEAD); // after the store above: either we see the room, or release() sees us
  if (mine.staged - mine.headSeen == slots) return false;
  atomic.store<u32>(ring + WAITING, 0);
  return true;
}

// --- consumer -------------------------------------------------------------------------------------------------------

/** The address of the oldest message, or 0 when there is none. It stays there until taken and released. */
export function available(ring: usize, slots: u32): usize {
  const mine = consumer(ring);
  if (mine.taken == mine.tailSeen) {
    mine.tailSeen = atomic.load<u32>(ring + TAIL); // pairs with publish()
    if (mine.taken == mine.tailSeen) return 0;
  }
  return slotAt(ring, slots, mine.taken);
}

/** The oldest message has been read. Its slot is not given back before release(). */
export function take(ring: usize): void {
  consumer(ring).taken++;
}

/** Gives all that was taken back. True if the producer waits for room and must be told (once). */
export function release(ring: usize): bool {
  atomic.store<u32>(ring + HEAD, consumer(ring).taken); // pairs with claim() and waitForRoom()
  return atomic.load<u32>(ring + WAITING) != 0 && atomic.xchg<u32>(ring + WAITING, 0) != 0;
}
