// === One ring: a single producer, a single consumer ===
//
// Lamport's queue with the other side's index cached, as in FastForward, Folly and the Disruptor. Indices run freely
// (u32, wrapping); slot = index & (slots - 1); tail - head is what lies in the ring, so all of its slots can be used.
//
//   +0    tail     u32   written by the producer (atomic), read by the consumer
//   +128  head     u32   written by the consumer (atomic), read by the producer
//   +132  begun    u32   written by the consumer (atomic), read by the producer: requests that its host has begun
//   +192  waiting  u32   1: the producer waits for room or credit, and wants to be told; the consumer clears it
//   +256  staged, headSeen, asked, begunSeen, shown   u32   the producer's own: next index to write; head as last
//                                                           read; requests sent so far; begun as last read; tail
//   +384  taken, tailSeen, begun, given               u32   the consumer's own: next index to read; tail as last
//                                                           read; requests begun so far; begun as last published
//   +512  slots, 64 bytes each
//
// Two things bound a producer. A message needs a slot: tail - head of them are taken. A request needs a credit as well:
// asked - begun of them are out. It comes back when the consumer's host has begun the request (mesh.ts says why).
//
// Lines are 128 bytes apart where two threads write, because processors fetch lines in pairs. `waiting` shares a
// pair with head. The consumer reads it in each turn. Next to tail it would lose its line to the producer's stores.
//
// Order. AssemblyScript's atomics are sequentially consistent; what is needed here is less, release and acquire:
//   publish() stores tail   -- pairs with -->  available() loads tail: the slot's bytes are seen with the index.
//   release() stores head   -- pairs with -->  claim() loads head: the slot is not written before it was read.
//   giveCredit() stores begun -- pairs with --> hasCredit() loads begun.
// `waiting` needs the full order, as the words of park.ts do. The producer stores 1 and then looks at head and begun;
// the consumer stores head and begun and then looks at `waiting`. One of the two sees what the other has stored.
//
// A store of this kind waits for the other core's line: 36 to 57 ns, if each message has one. So mesh.ts publishes in
// batches: after 16 messages, at the end of a turn, and always before the shard goes idle. A load of
// one's own word waits as long, if the other side has just read it. So each side keeps copies of its words.
//
// Next: mesh.ts.

import { LINE, MESSAGE_BYTES, RING_CONTROL_BYTES } from './layout';

const TAIL: usize = 0;
const WAITING: usize = 192;
const HEAD: usize = 128;
const BEGUN: usize = 132;

@unmanaged
class Producer {
  staged: u32;
  headSeen: u32;
  asked: u32;
  begunSeen: u32;
  shown: u32;
}

@unmanaged
class Consumer {
  taken: u32;
  tailSeen: u32;
  begun: u32;
  given: u32;
}

function producer(ring: usize): Producer {
  assert((ring & (LINE - 1)) == 0);
  return changetype<Producer>(ring + 256);
}

function consumer(ring: usize): Consumer {
  assert((ring & (LINE - 1)) == 0);
  return changetype<Consumer>(ring + 384);
}

function slotAt(ring: usize, slots: u32, index: u32): usize {
  assert(popcnt(slots) == 1);
  return ring + RING_CONTROL_BYTES + (index & (slots - 1)) * MESSAGE_BYTES;
}

// --- producer -------------------------------------------------------------------------------------------------------

/** The address of the next slot to write, or 0 when the ring is full. Written slots count only after stage(). */
export function claim(ring: usize, slots: u32): usize {
  assert(producer(ring).staged - producer(ring).headSeen <= slots);
  const mine = producer(ring);
  if (mine.staged - mine.headSeen == slots) {
    mine.headSeen = atomic.load<u32>(ring + HEAD); // pairs with release()
    if (mine.staged - mine.headSeen == slots) return 0;
  }
  return slotAt(ring, slots, mine.staged);
}

/** The claimed slot is written. The consumer does not see it before publish(). Returns how many it does not see. */
export function stage(ring: usize): u32 {
  const mine = producer(ring);
  assert(<i32>(mine.staged - mine.shown) >= 0);
  assert(mine.shown == load<u32>(ring + TAIL));
  return ++mine.staged - mine.shown;
}

/** Shows the consumer all that is staged. */
export function publish(ring: usize): void {
  const mine = producer(ring);
  assert(<i32>(mine.staged - mine.shown) >= 0);
  mine.shown = mine.staged;
  atomic.store<u32>(ring + TAIL, mine.staged); // pairs with available()
}

/** Whether another request may be sent: fewer than `credits` are out that the consumer has not begun. */
export function hasCredit(ring: usize, credits: u32): bool {
  assert(producer(ring).asked - producer(ring).begunSeen <= credits);
  const mine = producer(ring);
  if (mine.asked - mine.begunSeen < credits) return true;
  mine.begunSeen = atomic.load<u32>(ring + BEGUN); // pairs with giveCredit()
  return mine.asked - mine.begunSeen < credits;
}

/** A request was staged: its credit is out. */
export function takeCredit(ring: usize): void {
  producer(ring).asked++;
}

/** Asks the consumer to tell us when head or begun has moved. The caller must then look at both once more. */
export function setWaiting(ring: usize): void {
  assert((ring & (LINE - 1)) == 0);
  atomic.store<u32>(ring + WAITING, 1); // pairs with takeWaiting()
}

// --- consumer -------------------------------------------------------------------------------------------------------

/** The address of the oldest message, or 0 when there is none. It stays there until taken and released. */
export function available(ring: usize, slots: u32): usize {
  assert(consumer(ring).tailSeen - consumer(ring).taken <= slots);
  const mine = consumer(ring);
  if (mine.taken == mine.tailSeen) {
    mine.tailSeen = atomic.load<u32>(ring + TAIL); // pairs with publish()
    if (mine.taken == mine.tailSeen) return 0;
  }
  return slotAt(ring, slots, mine.taken);
}

/** The oldest message has been read. Its slot is not given back before release(). */
export function take(ring: usize): void {
  assert(consumer(ring).taken != consumer(ring).tailSeen);
  consumer(ring).taken++;
}

/** Gives the slots of all that was taken back. */
export function release(ring: usize): void {
  assert(<i32>(consumer(ring).taken - load<u32>(ring + HEAD)) >= 0);
  atomic.store<u32>(ring + HEAD, consumer(ring).taken); // pairs with claim()
}

/** `count` 1: the host has begun a request. -1: a request that was counted is one that the host has not begun yet. */
export function countBegun(ring: usize, count: i32): void {
  assert(count == 1 || count == -1);
  consumer(ring).begun += <u32>count;
}

/** Gives back the credit of all requests that have begun. */
export function giveCredit(ring: usize): void {
  const mine = consumer(ring);
  assert(<i32>(mine.begun - mine.given) >= 0);
  assert(mine.given == load<u32>(ring + BEGUN));
  if (mine.given == mine.begun) return;
  mine.given = mine.begun;
  atomic.store<u32>(ring + BEGUN, mine.begun); // pairs with hasCredit()
}

/** True if the producer waits and must be told, once. Called after release() and giveCredit(). */
export function takeWaiting(ring: usize): bool {
  assert((ring & (LINE - 1)) == 0);
  return atomic.load<u32>(ring + WAITING) != 0 && atomic.xchg<u32>(ring + WAITING, 0) != 0; // pairs with setWaiting()
}
