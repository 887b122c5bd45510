// biome-ignore-all lint: AssemblyScript is typed, so == compares numbers, and a class is no mere type
// The loops of `npm run bench -- core` that run inside Wasm: the core of assembly/ imported as a library, and measured
// with no boundary in the loop. Each function does what its namesake in baseline/core.c does, in the same order and
// with the same random numbers. A wrong result traps, which ends the run.
//
// Compiled with the options of asconfig.json into a module of its own; nothing of it is in core.wasm.
//
// Next: wasm.js, which calls these functions and holds the clock.

import { Control, control, header, MESH, shardBase, shardBaseOf } from '../../assembly/layout';
import { slabGive, slabInit, slabLive, slabTake, slabUsed } from '../../assembly/slab';
import { available, claim, publish, release, stage, take } from '../../assembly/spsc';
import { first, next, spawnHost } from '../../assembly/task';
import { cancel, expire, insert, nextDeadlineNs, nextDue, TICK_NS, timerAt } from '../../assembly/wheel';

export { boot, plan } from '../../assembly/index';

function must(condition: bool): void {
  if (!condition) unreachable();
}

// Marsaglia's xorshift32, with the seed of core.c.
let random: u32 = 2463534242;
function randomU32(): u32 {
  let x = random; // a global is memory to V8: a local keeps the steps in a register, as C does
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  random = x;
  return x;
}

/** Handles of 8 bytes, index and generation, lie in the scratch space. */
function handleAt(i: u32): usize {
  return shardBase() + header().scratchOffset + (i << 3);
}

// --- wheel ----------------------------------------------------------------------------------------------------------

/**
 * Inserts a timer, 10 ms to 60 s ahead in whole microseconds, and cancels a random one of the `count` handles from
 * `first` on, again and again. `filling`: instead of cancelling, fills the next place. One loop for both, so that its
 * parts are inlined, as in C.
 */
export function wheelChurn(first: u32, count: u32, operations: u32, bootNs: f64, filling: bool): void {
  const handles = handleAt(first);
  for (let i: u32 = 0; i < operations; i++) {
    const handle = handles + ((filling ? i : <u32>((<u64>randomU32() * count) >> 32)) << 3);
    const aheadUs: u64 = 10_000 + ((<u64>randomU32() * 59_990_000) >> 32);
    const index = <u32>insert(bootNs + <f64>(<i64>aheadUs) * 1000, 0, 0);
    if (!filling) must(cancel(load<u32>(handle), load<u32>(handle, 4)) == 0);
    store<u32>(handle, index);
    store<u32>(handle, timerAt(index).generation, 4);
  }
}

/** Inserts a timer that is due at the next tick, and fires it, again and again; 4 ns pass, so that no other is due. */
export function wheelPass(operations: u32, bootNs: f64): void {
  let nowNs = bootNs;
  for (let i: u32 = 0; i < operations; i++) {
    nowNs += 4;
    const index = <u32>insert(nowNs, 0, 0);
    must(nextDue(nowNs + TICK_NS) == index);
    expire(index);
  }
}

/** Fires everything as an idle shard would: sleep to the next deadline, take what is due, again. Returns how many. */
export function wheelFire(): u32 {
  let fired: u32 = 0;
  for (let at = nextDeadlineNs(); at != Infinity; at = nextDeadlineNs()) {
    for (let index = nextDue(at); index != 0; index = nextDue(at)) {
      must(<f64>timerAt(index).tick * TICK_NS == at);
      expire(index);
      fired++;
    }
  }
  return fired;
}

// --- slab and tasks -------------------------------------------------------------------------------------------------

const SLOT: u32 = 32;
const LIVE: u32 = 64;

/** Gives back the oldest of 64 handles and takes a new one. */
export function slabChurn(operations: u32): void {
  const table = shardBase() + header().arenaOffset;
  memory.fill(table, 0, 1025 * SLOT);
  slabInit(table, SLOT, 1024);
  for (let i: u32 = 0; i < LIVE; i++) store<u32>(handleAt(i), slabTake(table, SLOT));
  for (let i: u32 = 0; i < LIVE; i++) store<u32>(handleAt(i), 1, 4);
  for (let i: u32 = 0; i < operations; i++) {
    const handle = handleAt(i & (LIVE - 1));
    const index = load<u32>(handle);
    must(slabLive(table, SLOT, index, load<u32>(handle, 4)));
    slabGive(table, SLOT, index);
    const fresh = slabTake(table, SLOT);
    store<u32>(handle, fresh);
    store<u32>(handle, load<u32>(table + fresh * SLOT), 4);
  }
  must(slabUsed(table) == LIVE);
}

/** Queues 64 tasks and takes one after the other, again and again. */
export function tasksRun(rounds: u32): void {
  for (let i: u32 = 0; i < rounds; i++) {
    for (let owner: u32 = 1; owner <= LIVE; owner++) must(spawnHost(0, owner) > 0);
    let expected: u32 = 1;
    for (let owner = first(); owner != 0; owner = next()) must(owner == expected++);
    must(expected == LIVE + 1);
  }
}

// --- two threads ----------------------------------------------------------------------------------------------------

const SLOTS: u32 = 1024; // header().ringSlots; a constant, as in core.c

function ringFrom(shard: u32): usize {
  return MESH + (shard == 0 ? 1 : 2) * header().ringBytes; // 0>1 and 1>0 of two shards
}

/** Waits for the other thread: both leave together. `round` counts from 1. */
export function meet(round: u32): void {
  const at = shardBaseOf(0) + header().scratchOffset;
  atomic.add<u32>(at, 1);
  while (atomic.load<u32>(at) < 2 * round) {}
}

function writeMessage(slot: usize, value: u64): void {
  const first = i64x2.add(i64x2.splat(value), i64x2(0, 1));
  v128.store(slot, first);
  v128.store(slot, i64x2.add(first, i64x2.splat(2)), 16);
  v128.store(slot, i64x2.add(first, i64x2.splat(4)), 32);
  v128.store(slot, i64x2.add(first, i64x2.splat(6)), 48);
}

function checkMessage(slot: usize, value: u64): void {
  const first = i64x2.add(i64x2.splat(value), i64x2(0, 1));
  let wrong = v128.xor(v128.load(slot), first);
  wrong = v128.or(wrong, v128.xor(v128.load(slot, 16), i64x2.add(first, i64x2.splat(2))));
  wrong = v128.or(wrong, v128.xor(v128.load(slot, 32), i64x2.add(first, i64x2.splat(4))));
  wrong = v128.or(wrong, v128.xor(v128.load(slot, 48), i64x2.add(first, i64x2.splat(6))));
  must(!v128.any_true(wrong));
}

export function streamOut(messages: u32, batch: u32): void {
  const ring = ringFrom(0);
  let unpublished: u32 = 0;
  for (let i: u32 = 0; i < messages; i++) {
    let slot = claim(ring, SLOTS);
    if (slot == 0) {
      // full: show what there is, then spin
      if (unpublished != 0) publish(ring);
      unpublished = 0;
      do slot = claim(ring, SLOTS);
      while (slot == 0);
    }
    writeMessage(slot, i);
    stage(ring);
    if (++unpublished == batch) {
      publish(ring);
      unpublished = 0;
    }
  }
  publish(ring);
}

export function streamIn(messages: u32, batch: u32): void {
  const ring = ringFrom(0);
  let unreleased: u32 = 0;
  for (let i: u32 = 0; i < messages; i++) {
    let slot = available(ring, SLOTS);
    if (slot == 0) {
      // empty: give back what was read, then spin
      if (unreleased != 0) release(ring);
      unreleased = 0;
      do slot = available(ring, SLOTS);
      while (slot == 0);
    }
    checkMessage(slot, i);
    take(ring);
    if (++unreleased == batch) {
      release(ring);
      unreleased = 0;
    }
  }
  release(ring);
}

function sleepingOf(shard: u32): usize {
  return shardBaseOf(shard) + offsetof<Control>('sleeping');
}

function sendOne(from: u32, value: u64, sleeping: bool): void {
  const ring = ringFrom(from);
  const slot = claim(ring, SLOTS);
  must(slot != 0);
  writeMessage(slot, value);
  stage(ring);
  publish(ring);
  if (!sleeping) return;
  const at = sleepingOf(1 - from);
  if (atomic.load<u32>(at) != 0 && atomic.xchg<u32>(at, 0) != 0) atomic.notify(at, 1);
}

function receiveOne(from: u32, value: u64, sleeping: bool): void {
  const ring = ringFrom(from);
  let slot = available(ring, SLOTS);
  while (slot == 0) {
    if (sleeping) {
      const at = sleepingOf(1 - from);
      atomic.store<u32>(at, 1);
      if (available(ring, SLOTS) == 0) atomic.wait<u32>(at, 1);
      atomic.store<u32>(at, 0);
    }
    slot = available(ring, SLOTS);
  }
  checkMessage(slot, value);
  take(ring);
  release(ring);
}

/** One message there and back, again and again; the side that sends first. */
export function pingOut(messages: u32, sleeping: bool): void {
  for (let i: u32 = 0; i < messages; i++) {
    sendOne(0, i, sleeping);
    receiveOne(1, i, sleeping);
  }
}

export function pingIn(messages: u32, sleeping: bool): void {
  for (let i: u32 = 0; i < messages; i++) {
    receiveOne(0, i, sleeping);
    sendOne(1, i, sleeping);
  }
}

/** The quota has to be there before a task may run. */
export function setQuota(quotaNs: f64): void {
  control().quotaNs = quotaNs;
}
