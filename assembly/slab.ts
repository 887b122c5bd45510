// === Slabs: tables of fixed slots with generations ===
//
// A handle is an index and a generation. The generation counts how often the slot was taken and given back: odd while
// it is taken, even while it is free. So a handle that outlived its slot names a generation that is over, and one
// comparison shows that. A late completion, a late reply or a second cancel is counted and dropped.
//
//   slot 0   | slotBytes | limit | free | fresh | used |     the slab itself; index 0 names no slot
//   slot 1.. | generation | next free | ...             |     `fresh` is the first slot that was never taken
//
// Slots are handed out from the free list, newest first (its lines are still in the cache), and only then from the
// fresh end. So memory of slots that a program never uses is never touched, and a generous limit costs nothing.
//
// Generations are 31 bits: they travel to the kernel in a user_data whose top bit belongs to the host.
//
// Next: group.ts.

import { Link } from './list';

export const GENERATION_MASK: u32 = 0x7fffffff;

@unmanaged
export class Slab {
  slotBytes: u32;
  limit: u32; // highest index
  free: u32; // first free slot, 0 = none
  fresh: u32; // lowest index never handed out
  used: u32;
}

/**
 * Makes an empty slab of `slotCount` slots in (slotCount + 1) * slotBytes of zeros. The zeros may hold
 * generations of an earlier life, if these are even: then handles of that life stay stale.
 */
export function slabInit(table: usize, slotBytes: u32, slotCount: u32): void {
  assert(slotBytes >= offsetof<Slab>());
  assert(table != 0);
  assert(changetype<Slab>(table).used == 0);
  assert(changetype<Slab>(table).free == 0);
  const slab = changetype<Slab>(table);
  slab.slotBytes = slotBytes;
  slab.limit = slotCount;
  slab.fresh = 1;
}

/** Takes a slot. Returns its index, or 0 when all are taken. Only generation and next are defined. */
export function slabTake(table: usize, slotBytes: u32): u32 {
  assert(changetype<Slab>(table).slotBytes == slotBytes);
  const slab = changetype<Slab>(table);
  const isFresh = slab.free == 0;
  const index = isFresh ? slab.fresh : slab.free;
  if (index > slab.limit) return 0;
  const slot = changetype<Link>(table + index * slotBytes);
  if (isFresh) slab.fresh = index + 1;
  else slab.free = slot.next;
  slot.generation = (slot.generation + 1) & GENERATION_MASK;
  slab.used++;
  assert((slot.generation & 1) != 0);
  assert(slab.used <= slab.limit);
  return index;
}

/** Gives a taken slot back. The caller has checked the handle. */
export function slabGive(table: usize, slotBytes: u32, index: u32): void {
  assert(changetype<Slab>(table).slotBytes == slotBytes);
  assert(index != 0);
  assert(index < changetype<Slab>(table).fresh);
  assert((changetype<Link>(table + index * slotBytes).generation & 1) != 0);
  assert(changetype<Slab>(table).used != 0);
  const slab = changetype<Slab>(table);
  const slot = changetype<Link>(table + index * slotBytes);
  slot.generation = (slot.generation + 1) & GENERATION_MASK;
  slot.next = slab.free;
  slab.free = index;
  slab.used--;
}

/** Whether a handle still names what it named when it was made. Takes any index and generation. */
export function slabLive(table: usize, slotBytes: u32, index: u32, generation: u32): bool {
  assert(changetype<Slab>(table).slotBytes == slotBytes);
  const slab = changetype<Slab>(table);
  if (index > slab.limit) return false;
  // Odd, so it is neither a slot that was never taken (0) nor slot 0, whose first word is slotBytes.
  return (generation & 1 & u32(changetype<Link>(table + index * slotBytes).generation == generation)) != 0;
}

export function slabUsed(table: usize): u32 {
  assert(changetype<Slab>(table).used <= changetype<Slab>(table).limit);
  return changetype<Slab>(table).used;
}
