// === Operations: from submission to completion ===
//
// An operation is one request to the kernel. Its slot lives from submit() to its last completion, even if its owner no
// longer wants the result. Until then the kernel may read or write its buffer. So the owner stays. If a buffer or
// a file comes late, the owner gives it back.
//
//           submit()               the host submits           last completion
//   FREE ------------> IN_KERNEL (staged, then submitted) -------------------> FREE
//
// The kernel returns user_data = slot | generation << 32 with each completion. A late completion names a generation
// that is over, and is dropped. The top bit is 0: it is set in the host's own completions, which never get here.
//
// A quiet operation (IOSQE_CQE_SKIP_SUCCESS, e.g. a SEND with MSG_DONTWAIT) ends inside the enter that submits it. It
// has a completion only if it failed or sent less than was asked. So after an enter whose completions were all taken,
// the quiet operations that are left have succeeded; settleQuiet() tells their owners. This halves the turns of a
// server: an enter that waits is not cut short by the completions of its own sends.
//
// The submission window is an array of SQEs in the kernel's layout, with offsets into linear memory for addresses. The
// gate (host/native/gate.c) checks each and translates it. The write index is control.submitCount: the core raises it,
// the host sets it to 0 when it has taken all. A full window in mid-turn is emptied by one call of uring.enter.
//
// Next: stats.ts.

import { FULL, OK, STALE } from './check';
import { control, header, MoreWork, OP_BYTES, Ready, ReadyKind, shardBase } from './layout';
import { GENERATION_MASK, slabGive, slabInit, slabLive, slabTake, slabUsed } from './slab';
import { counters } from './stats';
import { enter } from './uring';

const SQE_BYTES: u32 = 64;
const CQE_BYTES: u32 = 16;

// include/uapi/linux/io_uring.h
const IORING_OP_ASYNC_CANCEL: u32 = 14;
const IORING_OP_CLOSE: u32 = 19;
const IORING_OP_MSG_RING: u32 = 40;
const IOSQE_CQE_SKIP_SUCCESS: u32 = 64;
const IORING_CQE_F_BUFFER: u32 = 1;
const IORING_CQE_F_MORE: u32 = 2;

const QUIET: u32 = 1;
const FAILED: u32 = 2; // was quiet, and has completed

@unmanaged
class Op {
  generation: u32;
  next: u32;
  opcode: u32;
  owner: u32; // comes back in the ready entry; 0: no owner waits
  tag: u32; // so does this
  state: u32; // 0, QUIET or FAILED
  sqe: u32; // index in the window, true only while it is staged
  len: u32; // what a quiet success stands for
}

@unmanaged
export class Sqe {
  opcode: u8;
  flags: u8;
  ioprio: u16;
  fd: i32;
  off: u64;
  addr: u64;
  len: u32;
  opFlags: u32;
  userData: u64;
  bufGroup: u16;
  personality: u16;
  fileIndex: u32;
  addr3: u64;
  unused: u64;
}

@unmanaged
export class Cqe {
  userData: u64;
  result: i32;
  flags: u32;
}

function ops(): usize {
  return shardBase() + header().opsOffset;
}

function opAt(index: u32): Op {
  assert(index != 0);
  assert(index <= header().opSlots);
  return changetype<Op>(ops() + index * OP_BYTES);
}

export function opsInit(): void {
  assert(OP_BYTES >= offsetof<Op>());
  assert(offsetof<Sqe>() == SQE_BYTES);
  slabInit(ops(), OP_BYTES, header().opSlots);
}

let quietHead: u32 = 0; // quiet ops, newest first, linked by Op.next

export function openOps(): u32 {
  return slabUsed(ops());
}

// --- staging --------------------------------------------------------------------------------------------------------

/** The next free SQE of the window, zeroed. Empties the window first when it is full. */
function nextSqe(): Sqe {
  assert(control().submitCount <= header().sqeSlots);
  const c = control();
  if (c.submitCount == header().sqeSlots) {
    const before = c.submitOnly;
    c.submitOnly = 1; // the completions of this turn are still being read
    enter();
    c.submitOnly = before;
    if (c.submitCount == header().sqeSlots) unreachable(); // the host took nothing: stop, not overrun
  }
  const at = shardBase() + header().sqeOffset + c.submitCount * SQE_BYTES;
  memory.fill(at, 0, SQE_BYTES);
  c.submitCount++;
  assert(c.submitCount <= header().sqeSlots);
  counters().submissions++;
  return changetype<Sqe>(at);
}

/**
 * Stages an operation on a file slot. The words go into the SQE unchanged. `off` and `ptr` are whole and not negative
 * (f64, as JavaScript has no cheap u64). `ptr` is an address of either region (layout.ts). `owner` 0: no owner waits,
 * so the operation must bring neither a buffer nor a file. `bufGroup`: which receive buffers an operation picks from.
 * Returns the op's slot, or FULL: then nothing is staged.
 */
export function submit(
  opcode: u32,
  sqeFlags: u32,
  ioprio: u32,
  file: i32,
  off: f64,
  ptr: f64,
  len: u32,
  opFlags: u32,
  fileIndex: u32,
  owner: u32,
  tag: u32,
  bufGroup: u32,
): i32 {
  assert(off >= 0);
  assert(floor<f64>(off) == off);
  assert(floor<f64>(ptr) == ptr);
  assert(opcode < 256);
  assert(sqeFlags < 256);
  assert(tag >> 24 == 0);
  assert(bufGroup < 2);
  const index = slabTake(ops(), OP_BYTES);
  if (index == 0) return FULL;
  const sqe = nextSqe();
  const op = opAt(index);
  op.opcode = opcode;
  op.owner = owner;
  op.tag = tag;
  op.state = 0;
  op.sqe = control().submitCount - 1;
  op.len = len;
  if ((sqeFlags & IOSQE_CQE_SKIP_SUCCESS) != 0 && owner != 0) {
    op.state = QUIET;
    op.next = quietHead;
    quietHead = index;
  }
  sqe.opcode = <u8>opcode;
  sqe.flags = <u8>sqeFlags;
  sqe.ioprio = <u16>ioprio;
  sqe.fd = file;
  sqe.off = <u64>off;
  sqe.addr = <u64>(<i64>ptr); // signed: what is negative by mistake lies in no region
  sqe.len = len;
  sqe.opFlags = opFlags;
  sqe.userData = userData(index, op.generation);
  sqe.bufGroup = <u16>bufGroup;
  sqe.fileIndex = fileIndex;
  return <i32>index;
}

function userData(index: u32, generation: u32): u64 {
  assert(index != 0);
  assert((generation & 1) != 0);
  return ((<u64>generation) << 32) | index;
}

/** The staged SQE of an op, or null when the host has taken it already. */
function stagedSqe(index: u32, generation: u32): usize {
  assert(opAt(index).generation == generation);
  const at = opAt(index).sqe;
  assert(at < header().sqeSlots);
  if (at >= control().submitCount) return 0;
  const sqe = shardBase() + header().sqeOffset + at * SQE_BYTES;
  return changetype<Sqe>(sqe).userData == userData(index, generation) ? sqe : 0;
}

/** Makes a staged SEND longer, so that responses of one turn leave in one operation. STALE once it was submitted. */
export function extend(index: u32, generation: u32, bytes: u32): i32 {
  assert(bytes != 0);
  if (!slabLive(ops(), OP_BYTES, index, generation)) return STALE;
  const sqe = stagedSqe(index, generation);
  if (sqe == 0) return STALE;
  assert(changetype<Sqe>(sqe).len == opAt(index).len);
  changetype<Sqe>(sqe).len += bytes;
  opAt(index).len += bytes;
  return OK;
}

/** Asks the kernel to cancel. The op still completes: with -ECANCELED, or with the result that it already had. */
export function cancelOp(index: u32, generation: u32): i32 {
  if (!slabLive(ops(), OP_BYTES, index, generation)) return STALE;
  const sqe = nextSqe(); // user_data 0: its own completion has no owner
  sqe.opcode = <u8>IORING_OP_ASYNC_CANCEL;
  sqe.flags = <u8>IOSQE_CQE_SKIP_SUCCESS;
  sqe.addr = userData(index, generation);
  return OK;
}

/** Closes a file slot. No owner waits, so it needs no op slot: no file is lost to a full table. */
export function closeFile(file: u32): i32 {
  assert(<i32>file >= 0);
  const index = submit(IORING_OP_CLOSE, 0, 0, 0, 0, 0, 0, 0, file + 1, 0, 0, 0);
  if (index != FULL) return index;
  const sqe = nextSqe(); // user_data 0: its completion counts as stale
  sqe.opcode = <u8>IORING_OP_CLOSE;
  sqe.fileIndex = file + 1;
  return OK;
}

/** Wakes a sleeping peer: a message from ring to ring. If the peer is gone, the error is a stale completion. */
export function ringDoorbell(peer: u32): void {
  assert(peer < header().shardCount);
  const sqe = nextSqe();
  sqe.opcode = <u8>IORING_OP_MSG_RING;
  sqe.flags = <u8>IOSQE_CQE_SKIP_SUCCESS;
  sqe.fd = <i32>peer;
}

/** Gives a receive buffer back to the kernel with the next enter. Large ones have the numbers after the small ones. */
export function recycle(buffer: u32): void {
  const count = header().recvBufferCount + header().largeRecvBufferCount;
  assert(buffer < count);
  const c = control();
  if (c.recycleCount == count) return; // every buffer is listed: this one was recycled twice
  store<u32>(shardBase() + header().recycleOffset + (c.recycleCount << 2), buffer);
  c.recycleCount++;
}

export function readyRoom(): u32 {
  assert(control().readyTail - control().readyHead <= header().readySlots);
  const c = control();
  return header().readySlots - (c.readyTail - c.readyHead);
}

/** Adds an entry to the ready ring. The caller has seen in readyRoom() that one fits. */
export function pushReady(kind: u32, index: u32, result: i32, extra: u32): void {
  assert(readyRoom() != 0);
  assert((kind & 0xff) != 0);
  const c = control();
  const at = shardBase() + header().readyOffset + ((c.readyTail & (header().readySlots - 1)) << 4);
  const entry = changetype<Ready>(at);
  entry.kind = kind;
  entry.index = index;
  entry.result = result;
  entry.extra = extra;
  c.readyTail++;
}

// --- completions ----------------------------------------------------------------------------------------------------

/** Takes all completions out of the window. The caller has seen that the ready ring has room for them. */
export function takeCompletions(): void {
  assert(control().completionCount <= header().cqeSlots);
  assert(readyRoom() >= control().completionCount);
  const c = control();
  const count = c.completionCount;
  const window = shardBase() + header().cqeOffset;
  for (let i: u32 = 0; i < count; i++) apply(changetype<Cqe>(window + i * CQE_BYTES));
  c.completionCount = 0;
  counters().completions += count;
}

function apply(cqe: Cqe): void {
  const index = <u32>cqe.userData;
  const generation = <u32>(cqe.userData >> 32) & GENERATION_MASK;
  if (!slabLive(ops(), OP_BYTES, index, generation)) {
    counters().staleCompletions++;
    return;
  }
  const op = opAt(index);
  const last = (cqe.flags & IORING_CQE_F_MORE) == 0 && op.state != QUIET; // a quiet op's slot is settleQuiet()'s
  assert(op.state != FAILED);
  assert(op.owner != 0 || op.state == 0);
  assert(op.owner != 0 || (cqe.flags & IORING_CQE_F_BUFFER) == 0);
  if (op.state == QUIET) op.state = FAILED;
  if (op.owner != 0) pushReady(ReadyKind.OP | (op.tag << 8), op.owner, cqe.result, cqe.flags);
  if (last) slabGive(ops(), OP_BYTES, index);
}

/** An owner waits for a quiet op: the next turn comes at once, instead of with the next event. */
export function hurry(): void {
  assert(quietHead <= header().opSlots);
  if (quietHead != 0) control().moreWork |= MoreWork.QUIET;
}

/**
 * Settles quiet ops: called after takeCompletions(), with `all` if no completion is left in the kernel's ring. An op
 * that failed has completed already, so only its slot is given back. If the window is empty, all were submitted.
 */
export function settleQuiet(all: bool): void {
  const c = control();
  if (!all || c.submitCount != 0) return;
  for (let index = quietHead; index != 0; ) {
    const op = opAt(index);
    assert(op.owner != 0);
    assert(op.state != 0);
    assert((op.generation & 1) != 0);
    if (readyRoom() == 0) return; // JavaScript does not drain: the rest is settled next time
    const next = op.next;
    quietHead = next;
    if (op.state == QUIET) pushReady(ReadyKind.OP | (op.tag << 8), op.owner, op.len, 0);
    slabGive(ops(), OP_BYTES, index);
    index = next;
  }
  c.moreWork &= ~MoreWork.QUIET;
}
