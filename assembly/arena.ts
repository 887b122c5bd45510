// === The arena: payloads too large for a ring slot ===
//
// Each shard owns one. It writes a payload into a block of its own arena and sends the block's address. The receiver
// reads it, copies what it keeps, and marks the block as read: one atomic store, no message back.
//
//   |[LIVE]...[READ]......[LIVE]...[READ]..............|   blocks follow each other and fill the arena
//                                   ^ cursor: the search for room begins here
//
// A block is 16 bytes of header and its payload, rounded up to 16. Only the owner makes, joins and splits blocks, and
// only those that are READ: next fit with joining on the way (Knuth, TAOCP 1, 2.5). A receiver changes one word of a
// block that is LIVE. So a slow peer keeps only its own blocks from being used again, and not those behind them.
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

let cursor: u32 = 0; // where a block begins, below arenaBytes

function at(offset: u32): Block {
  assert(offset < header().arenaBytes);
  assert((offset & 15) == 0);
  return changetype<Block>(shardBase() + header().arenaOffset + offset);
}

function isRead(offset: u32): bool {
  return atomic.load<u32>(changetype<usize>(at(offset)), offsetof<Block>('state')) == READ; // pairs with arenaRelease()
}

function write(offset: u32, bytes: u32, state: u32): void {
  assert(bytes >= BLOCK_HEADER);
  assert(offset + bytes <= header().arenaBytes);
  assert((bytes & 15) == 0);
  assert(state == LIVE || state == READ);
  const block = at(offset);
  block.bytes = bytes;
  block.peer = 0;
  atomic.store<u32>(changetype<usize>(block), state, offsetof<Block>('state'));
}

export function arenaInit(): void {
  assert(header().arenaBytes > BLOCK_HEADER);
  assert(cursor == 0);
  write(0, header().arenaBytes, READ);
}

/** Joins the READ block at `offset` with those behind it until it has `size` bytes. Returns how many it has. */
function join(offset: u32, size: u32): u32 {
  assert(size >= BLOCK_HEADER);
  let bytes = at(offset).bytes;
  while (bytes < size && offset + bytes < header().arenaBytes && isRead(offset + bytes)) {
    bytes += at(offset + bytes).bytes;
  }
  at(offset).bytes = bytes;
  assert(offset + bytes <= header().arenaBytes);
  if (cursor > offset && cursor < offset + bytes) cursor = offset; // no block begins there any more
  return bytes;
}

/** The offset of a READ block of at least `size` bytes, or -1. Looks at the start first: it is warm in the cache. */
function find(size: u32): i32 {
  assert((size & 15) == 0);
  assert(cursor < header().arenaBytes);
  const end = header().arenaBytes;
  if (isRead(0) && join(0, size) >= size) return 0;
  let offset = cursor;
  for (let searched: u32 = 0; searched < end; ) {
    const read = isRead(offset);
    const bytes = read ? join(offset, size) : at(offset).bytes;
    assert(bytes >= BLOCK_HEADER);
    if (read && bytes >= size) return offset;
    searched += bytes;
    offset += bytes;
    if (offset == end) offset = 0;
  }
  return -1;
}

function sizeOf(bytes: u32): u32 {
  assert(bytes <= header().arenaBytes - BLOCK_HEADER);
  return (bytes + BLOCK_HEADER + 15) & ~15;
}

/** Whether arenaTake() would find room. */
export function arenaFits(bytes: u32): bool {
  return bytes <= header().arenaBytes - BLOCK_HEADER && find(sizeOf(bytes)) >= 0;
}

/** Room for a payload: its address, or 0 when the arena is full for now or the payload is larger than it can be. */
export function arenaTake(bytes: u32): usize {
  if (bytes > header().arenaBytes - BLOCK_HEADER) return 0;
  const size = sizeOf(bytes);
  const offset = find(size);
  if (offset < 0) return 0;
  const rest = at(offset).bytes - size;
  assert(at(offset).bytes >= size);
  assert((rest & 15) == 0);
  if (rest != 0) write(offset + size, rest, READ);
  write(offset, size, LIVE);
  cursor = rest != 0 ? offset + size : 0;
  assert(cursor < header().arenaBytes);
  return changetype<usize>(at(offset)) + BLOCK_HEADER;
}

/** The payload at this address has been read. Called by the receiver. Pairs with isRead(). */
export function arenaRelease(payload: usize): void {
  assert(payload >= header().shardsOffset + BLOCK_HEADER);
  assert((payload & 15) == 0);
  assert(load<u32>(payload - BLOCK_HEADER + offsetof<Block>('state')) == LIVE);
  atomic.store<u32>(payload - BLOCK_HEADER + offsetof<Block>('state'), READ);
}

/** The payload is on its way to a peer. */
export function arenaSend(payload: usize, peer: u32): void {
  assert(peer < header().shardCount);
  assert((payload & 15) == 0);
  assert(changetype<Block>(payload - BLOCK_HEADER).peer == 0);
  assert(changetype<Block>(payload - BLOCK_HEADER).state == LIVE);
  changetype<Block>(payload - BLOCK_HEADER).peer = peer + 1;
}

/** That peer has stopped: the owner marks its blocks as read. */
export function arenaPeerDown(peer: u32): void {
  assert(peer < header().shardCount);
  for (let offset: u32 = 0; offset < header().arenaBytes; offset += at(offset).bytes) {
    assert(at(offset).bytes >= BLOCK_HEADER);
    if (at(offset).peer == peer + 1) write(offset, at(offset).bytes, READ);
  }
}

/** The peers that have not read all their blocks, a bit each. */
export function arenaHolders(): u64 {
  let holders: u64 = 0;
  for (let offset: u32 = 0; offset < header().arenaBytes; offset += at(offset).bytes) {
    assert(at(offset).bytes >= BLOCK_HEADER);
    if (!isRead(offset) && at(offset).peer != 0) holders |= (<u64>1) << (at(offset).peer - 1);
  }
  return holders;
}

/** Bytes of all blocks that are not read yet, with their headers. */
export function arenaUsed(): u32 {
  let used: u32 = 0;
  for (let offset: u32 = 0; offset < header().arenaBytes; offset += at(offset).bytes) {
    assert(at(offset).bytes >= BLOCK_HEADER);
    used += isRead(offset) ? 0 : at(offset).bytes;
  }
  return used;
}
