// === The timer wheel ===
//
// Hierarchical timing wheels, after G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987),
// scheme 7. The choice of level by the highest differing bit, and the bitmaps, are as in tokio and Linux.
//
// Time is counted in ticks of 512 ns. Eight levels of 64 slots: a slot of level n spans 64^n ticks.
//
//   level 0   64 slots of 512 ns      level 4   of 8.6 s
//   level 1        of 32.8 µs         level 5   of 9.2 min
//   level 2        of 2.1 ms          level 6   of 9.8 h
//   level 3        of 134 ms          level 7   of 26 days, all 64: 4.5 years
//
// A timer's level is that of the highest bit in which its tick differs from `elapsed`. Its own bits name the slot
// there. When `elapsed` reaches a slot of a higher level, its timers move to lower levels (at most seven times in a
// timer's life). Each level has a bitmap of its occupied slots. So the next deadline is a rotate and a count of
// trailing zeros, and no empty slot is visited.
//
// Invariant: every timer lies at or after `elapsed`, and no timer of a level above 0 lies in the slot that `elapsed`
// is in. So timers with equal ticks are always in one list, in the order in which they were inserted. The earlier one
// has already come down when the later one is put beside it.
//
// Error: a timer never fires early. Its deadline is rounded up to a tick, so the wheel adds less than 512 ns.
//
//   +0    elapsed u64
//   +64   occupied, 8 x u64
//   +128  slots, 8 x 64 x List
//
// Next: spsc.ts.

import { FULL, OK, RANGE, STALE } from './check';
import { header, shardBase, TIMER_BYTES, WHEEL_BYTES } from './layout';
import { List, push, remove } from './list';
import { slabGive, slabInit, slabLive, slabTake } from './slab';

export const TICK_NS: f64 = 512;
const DEADLINE_MAX_NS: f64 = <f64>((<u64>1) << 60); // 36 years: the clock may count from the machine's start
const LEVELS: u32 = 8;
const LEVEL_BITS: u32 = 6;
const SLOT_MASK: u64 = 63;
const HORIZON: u64 = (<u64>63) << 42; // furthest tick ahead that has a slot of its own; later ones wait in the last

const OCCUPIED: usize = 64;
const SLOTS: usize = 128;

@unmanaged
class Wheel {
  elapsed: u64;
}

@unmanaged
export class Timer {
  generation: u32;
  next: u32;
  prev: u32;
  where: u32; // level * 64 + slot
  tick: u64; // when it is due
  owner: u32; // the maker's word
  kind: u32; // the maker's word, 24 bits
}

// Where both tables lie. Set once: looking it up each time took an eighth of an insert and a cancel.
let wheelAt: usize = 0;
let timers: usize = 0;

function wheel(): Wheel {
  assert(wheelAt != 0);
  return changetype<Wheel>(wheelAt);
}

export function timerAt(index: u32): Timer {
  assert(index != 0);
  assert(index <= header().timerSlots);
  return changetype<Timer>(timers + index * TIMER_BYTES);
}

export function wheelInit(nowNs: f64): void {
  assert(nowNs >= 0);
  assert(WHEEL_BYTES >= SLOTS + ((LEVELS << LEVEL_BITS) << 3));
  wheelAt = shardBase() + header().wheelOffset;
  timers = shardBase() + header().timersOffset;
  slabInit(timers, TIMER_BYTES, header().timerSlots);
  wheel().elapsed = <u64>(nowNs / TICK_NS);
}

function slotList(where: u32): List {
  assert(where < LEVELS << LEVEL_BITS);
  return changetype<List>(wheelAt + SLOTS + (where << 3));
}

function occupiedAddress(level: u32): usize {
  assert(level < LEVELS);
  return wheelAt + OCCUPIED + (level << 3);
}

/** Only asserts call this: all other code reads the bits of a whole level at once. */
function isOccupied(where: u32): bool {
  return ((load<u64>(occupiedAddress(where >> LEVEL_BITS)) >> (<u64>where & SLOT_MASK)) & 1) != 0;
}

/** A slot's first timer has come, or its last one has gone. */
function flipOccupied(where: u32): void {
  assert(where < LEVELS << LEVEL_BITS);
  const at = occupiedAddress(where >> LEVEL_BITS);
  store<u64>(at, load<u64>(at) ^ ((<u64>1) << (<u64>where & SLOT_MASK)));
}

/** Puts a timer that is on no list where its tick belongs, as seen from `elapsed`. */
function file(table: usize, index: u32, tick: u64): void {
  assert(index != 0);
  const elapsed = wheel().elapsed;
  // A past tick is due at once. One beyond the horizon goes into the furthest slot, and is filed again when that is
  // dealt out.
  if (tick - elapsed > HORIZON) tick = tick < elapsed ? elapsed : elapsed + HORIZON;
  assert(tick >= elapsed);
  assert(tick - elapsed <= HORIZON);
  const bit = 63 - <u32>clz<u64>((elapsed ^ tick) | SLOT_MASK);
  const level = min<u32>((bit * 43) >> 8, LEVELS - 1); // bit / LEVEL_BITS; the top turns over
  const where = (level << LEVEL_BITS) | <u32>((tick >> (level * LEVEL_BITS)) & SLOT_MASK);
  changetype<Timer>(table + index * TIMER_BYTES).where = where;
  assert(where >> LEVEL_BITS == level);
  assert(isOccupied(where) == (slotList(where).head != 0));
  const list = slotList(where);
  if (list.head == 0) flipOccupied(where);
  push(list, table, TIMER_BYTES, index);
  assert(isOccupied(where));
}

/** Arms a timer for `deadlineNs` on the host's clock; a past one is due at once. Returns its slot, or FULL, RANGE. */
export function insert(deadlineNs: f64, kind: u32, owner: u32): i32 {
  assert(kind >> 24 == 0);
  if (!(deadlineNs >= 0 && deadlineNs <= DEADLINE_MAX_NS)) return RANGE; // NaN fails too
  const table = timers; // a global is memory to V8, and is read again after each store; a local is a register
  const index = slabTake(table, TIMER_BYTES);
  if (index == 0) return FULL;
  const timer = changetype<Timer>(table + index * TIMER_BYTES);
  const tick = <u64>ceil<f64>(deadlineNs / TICK_NS);
  timer.tick = tick;
  timer.kind = kind;
  timer.owner = owner;
  assert(<f64>timer.tick * TICK_NS >= deadlineNs);
  file(table, index, tick);
  return <i32>index;
}

/** Ends a timer that nextDue() returned, or one that is cancelled. O(1). */
export function expire(index: u32): void {
  assert((timerAt(index).generation & 1) != 0);
  const table = timers;
  const where = changetype<Timer>(table + index * TIMER_BYTES).where;
  const list = slotList(where);
  remove(list, table, TIMER_BYTES, index);
  if (list.head == 0) flipOccupied(where);
  assert(isOccupied(where) == (list.head != 0));
  slabGive(table, TIMER_BYTES, index);
}

/** Disarms a timer. STALE if it has fired or was cancelled before. O(1). */
export function cancel(index: u32, generation: u32): i32 {
  if (!slabLive(timers, TIMER_BYTES, index, generation)) return STALE;
  expire(index);
  return OK;
}

let foundLevel: u32 = 0;
let foundWhere: u32 = 0;

/** The first tick at which a slot must be emptied, or u64.MAX_VALUE. Sets foundLevel and foundWhere to that slot. */
function findNext(): u64 {
  const elapsed = wheel().elapsed;
  for (let level: u32 = 0; level < LEVELS; level++) {
    const occupied = load<u64>(occupiedAddress(level));
    if (occupied == 0) continue;
    const shift: u64 = level * LEVEL_BITS;
    const here = (elapsed >> shift) & SLOT_MASK;
    const ahead = ctz<u64>(rotr<u64>(occupied, here));
    foundLevel = level;
    foundWhere = (level << LEVEL_BITS) | <u32>((here + ahead) & SLOT_MASK);
    assert(slotList(foundWhere).head != 0);
    // The lowest occupied level is the soonest: slots of higher levels begin after this level's last slot.
    const start = ((elapsed >> shift) + ahead) << shift;
    assert((start >> shift) - (elapsed >> shift) < 64);
    assert(start >= elapsed);
    return start;
  }
  return u64.MAX_VALUE;
}

/** When nextDue() must be called next, ns; Infinity if no timer is pending. May be early by a level, never late. */
export function nextDeadlineNs(): f64 {
  assert(wheel().elapsed < u64.MAX_VALUE >> 1);
  const tick = findNext();
  return tick == u64.MAX_VALUE ? Infinity : <f64>tick * TICK_NS;
}

/** Deals a slot of a higher level out to the levels below, in order. */
function dealOut(where: u32): void {
  assert(where >> LEVEL_BITS != 0);
  assert(slotList(where).head != 0);
  const list = slotList(where);
  let index = list.head;
  list.head = 0;
  list.tail = 0;
  flipOccupied(where);
  while (index != 0) {
    const next = timerAt(index).next;
    assert(timerAt(index).where == where);
    assert((timerAt(index).generation & 1) != 0);
    file(timers, index, timerAt(index).tick);
    index = next;
  }
}

/**
 * Moves time on to `nowNs` and returns the slot of one due timer, or 0 if there is none. The timer is still armed: read
 * it, then expire() it. Call it in a loop; stopping in the middle loses nothing.
 */
export function nextDue(nowNs: f64): u32 {
  assert(nowNs >= 0);
  const now = <u64>(nowNs / TICK_NS);
  for (;;) {
    const tick = findNext();
    if (tick > now) break; // also when nothing is pending
    assert(tick >= wheel().elapsed);
    wheel().elapsed = tick;
    assert(foundLevel != 0 || timerAt(slotList(foundWhere).head).tick <= now);
    if (foundLevel == 0) return slotList(foundWhere).head;
    dealOut(foundWhere);
  }
  if (now > wheel().elapsed) wheel().elapsed = now;
  return 0;
}
