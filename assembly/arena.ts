// === The arena: payloads too large for a ring slot ===
//
// Each shard owns one. It writes a payload into a block of its own arena and sends the block's address; the receiver
// reads it, copies what it wants to keep, and marks the block as read: one atomic store, no message back. The owner
// takes blocks back in the order in which it gave them out, so the arena is a ring of bytes:
//
//        tail: oldest block not taken back           head: where the next one begins
//   |....[READ][LIVE][READ][LIVE]....................|
//
// A block is 16 bytes of header and its payload, rounded up to 16; it never wraps round the end (a READ filler does).
// Who holds on to a block holds up those behind it; receivers copy at once, so this is a turn's time.
//
// Next: wheel.ts.

import { header, shardBase } from './layout';

const LIVE: u32 = 1;
const READ: u32 = 2;
const BLOCK_HEADER: u32 = 16;

@unmanaged
class Block {
  bytes: u32; // with header; written by the owner
  state: u32; // LIVE by the owner, READ by the receiver: atomics
  peer: u32; // receiver's index + 1, 0 = not sent yet; the owner's
}

let head: u32 = 0; // both below arenaBytes
let tail: u32 = 0;
let used: u32 = 0;

export function arenaInit(): void {
  head = 0;
  tail = 0;
  used = 0;
}

function at(offset: u32): usize {
  return shardBase() + header().arenaOffset + offset;
}

/** Takes blocks back that were read. Pairs with arenaRelease(). */
function reclaim(): void {
  while (used != 0) {
    const block = at(tail);
    if (atomic.load<u32>(block + offsetof<Block>('state')) != READ) return;
    const bytes = changetype<Block>(block).bytes;
    used -= bytes;
    tail += bytes;
    if (tail == header().arenaBytes) tail = 0;
  }
  head = 0; // all free: begin where the cache is warm
  tail = 0;
}

function write(bytes: u32, state: u32): usize {
  const block = at(head);
  changetype<Block>(block).bytes = bytes;
  changetype<Block>(block).peer = 0;
  atomic.store<u32>(block + offsetof<Block>('state'), state);
  used += bytes;
  head += bytes;
  if (head == header().arenaBytes) head = 0;
  return block;
}

/** Room for a payload: its address, or 0 when the arena is full for now or the payload is larger than it can be. */
export function arenaTake(bytes: u32): usize {
  if (bytes > header().arenaBytes - BLOCK_HEADER) return 0;
  const size = (bytes + BLOCK_HEADER + 15) & ~15;
  reclaim();
  if (size > header().arenaBytes - used) return 0;
  if (head >= tail) {
    const toEnd = header().arenaBytes - head;
    if (size > toEnd) {
      if (size > tail) return 0;
      write(toEnd, READ);
    }
  } else if (size > tail - head) return 0;
  return write(size, LIVE) + BLOCK_HEADER;
}

/** The payload at this address has been read. Called by the receiver. Pairs with reclaim(). */
export function arenaRelease(payload: usize): void {
  atomic.store<u32>(payload - BLOCK_HEADER + offsetof<Block>('state'), READ);
}

/** The payload is on its way to a peer. */
export function arenaSend(payload: usize, peer: u32): void {
  changetype<Block>(payload - BLOCK_HEADER).peer = peer + 1;
}

/** That peer will read no more. Without this one block of its would hold up the whole arena for ever. */
export function arenaPeerDown(peer: u32): void {
  for (let rest = used, offset = tail; rest != 0; ) {
    const block = changetype<Block>(at(offset));
    if (block.peer == peer + 1) arenaRelease(at(offset) + BLOCK_HEADER);
    rest -= block.bytes;
    offset += block.bytes;
    if (offset == header().arenaBytes) offset = 0;
  }
}

export function arenaUsed(): u32 {
  reclaim();
  return used;
}
