// === The map of the shared memory ===
//
// One WebAssembly.Memory serves every shard. This file says where everything lies and which side writes it. `plan()`
// turns the limits in the header into offsets, once, before any shard starts. Nothing is allocated after that.
//
//      0 +---------------------+
//        | never used          |  so 0 is no valid address
//   4096 +---------------------+  HEADER
//        | runtime header      |  limits (written by the host), offsets (written by plan()), state of each shard
//   8192 +---------------------+  MESH
//        | ring 0>1, 0>2, ...  |  one SPSC ring for each ordered pair; drawn in spsc.ts
//        +---------------------+  header.shardsOffset, 64 KiB aligned
//        | shard 0             |  control block, windows, tables, buffers; drawn below
//        +---------------------+  + header.shardBytes
//        | shard 1 ...         |
//        +---------------------+  header.totalPages; behind it lies the host's block table (host/shard/block-pool.ts)
// Blocks of allocate() lie in a second memory, which the core only names. The upper half of an address in a submission
// is the region's number (0 linear memory, 1 blocks). So no sum of address and length leads from one to the other.
//
// A shard's part. Offsets are the same in every shard, so the header holds them once. All of it is private to the
// shard but for the two `park` lines and the arena, which its peers also use.
//
//        | control block   512 | lines below
//        | sqe window          | sqeSlots x 64, as the kernel lays them out, but with offsets for addresses
//        | cqe window          | cqeSlots x 16
//        | recycle list        | u32 buffer ids that go back to the kernel with the next enter
//        | ready ring          | readySlots x 16: what JavaScript has to do
//        | counters        256 | stats.ts: written by the shard, read by anyone
//        | ops, timers, wheel, |
//        | tasks, groups       |
//        | inbox               | readySlots x 64: a message beside each entry of the ready ring; and one to be sent
//        | connections         | connectionSlots x 64: HTTP parser state, indexed by file slot
//        | scratch             | scratchBytes: HTTP heads that arrived in pieces; response templates
//        | arena               | arenaBytes: payloads of messages that do not fit a ring slot
//        | receive buffers     | the kernel writes here (provided buffers): small ones, then large ones
//        | send buffers        | the kernel reads here
//        | guard           256 | host/shard/memory-checks.ts
//
// Offsets are written in the core's sources only. assembly/translate.mjs reads them there, and writes them down for
// hosts in other languages: host/core/offsets.ts, host/native/featherstar.h, dist/layout.json.
//
// Next: check.ts, then list.ts and slab.ts.

export const MAGIC: u32 = 0x52545346; // "FSTR"
export const ABI_VERSION: u32 = 2;

export const SHARDS_MAX: u32 = 64; // one bit each in a dirty mask
export const GROUPS_MAX: u32 = 16;
export const LINE: u32 = 64;
export const PAGE: u32 = 65536;

// --- runtime header -------------------------------------------------------------------------------------------------

export const HEADER: usize = 4096;
export const HEADER_STATES: usize = HEADER + 512; // one u32 per shard, see ShardState
export const HEADER_SCRATCH: usize = HEADER + 1024; // 16 bytes, written by the spawning thread: for wasi-threads, clock
export const MESH: usize = 8192;

export enum ShardState {
  ABSENT = 0,
  RUNNING = 1,
  STOPPED = 2, // left in order, or died: peers reject what they have waiting for it
}

/** Limits are written by the host before plan(); everything after them by plan(). Constant once a shard has booted. */
@unmanaged
export class Header {
  magic: u32;
  abiVersion: u32;
  // limits; "power of two" where said
  shardCount: u32;
  ringSlots: u32; // power of two, per ordered pair
  creditCount: u32; // requests of one shard to one peer that the peer has not begun
  sqeSlots: u32; // power of two
  cqeSlots: u32; // power of two
  readySlots: u32; // power of two, more than cqeSlots
  opSlots: u32;
  timerSlots: u32;
  taskSlots: u32;
  connectionSlots: u32;
  recvBufferCount: u32; // power of two
  recvBufferBytes: u32;
  largeRecvBufferCount: u32; // power of two
  largeRecvBufferBytes: u32;
  sendBufferCount: u32;
  sendBufferBytes: u32;
  arenaBytes: u32;
  scratchBytes: u32;
  // offsets from address 0
  ringBytes: u32;
  shardsOffset: u32;
  shardBytes: u32;
  totalPages: u32; // of 64 KiB; the memory's initial and maximum
  // offsets from a shard's base
  sqeOffset: u32;
  cqeOffset: u32;
  recycleOffset: u32;
  readyOffset: u32;
  countersOffset: u32;
  opsOffset: u32;
  timersOffset: u32;
  wheelOffset: u32;
  tasksOffset: u32;
  groupsOffset: u32;
  inboxOffset: u32;
  outgoingOffset: u32;
  connectionsOffset: u32;
  scratchOffset: u32;
  arenaOffset: u32;
  recvOffset: u32;
  sendOffset: u32;
  callSlots: u32; // a limit of the host's: calls that one shard may have open
}

export function header(): Header {
  return changetype<Header>(HEADER);
}

// --- control block: the first 512 bytes of a shard ------------------------------------------------------------------

export const CONTROL_BYTES: u32 = 512;

/**
 * Lines are grouped by writer, so that no two threads ever write one line, except the two that are made for it:
 * `sleeping` and `dirty`, which peers touch only with atomics (park.ts).
 */
@unmanaged
export class Control {
  // line 0, written by the core, read by the host at enter
  submitCount: u32; // SQEs staged in the window
  recycleCount: u32; // buffer ids staged in the recycle list
  moreWork: u32; // bits of MoreWork; if it is not 0, the host takes another turn at once and does not sleep
  submitOnly: u32; // 1: a full window is emptied in mid-turn: submit, but leave the completion window as it is
  nextDeadlineNs: f64; // when the wheel wants a turn, on the clock of nowNs; Infinity = never
  unused0: v128; // of 16 bytes, and aligned to them: they fill the line
  unused1: v128;
  // line 1 (+64), written by the host, read by the core
  completionCount: u32; // CQEs in the window, all of them new
  enterResult: i32; // result of the last enter: >= 0, or -errno
  nowNs: f64; // monotonic clock, ns; 2^53 ns = 104 days are exact, later ones round to 2 ns
  refusedCount: u32; // SQEs that the gate refused since it was opened
  overflowCount: u32; // CQ overflows since the ring was opened
  idlePollNs: f64; // longest poll before a sleep; 0 = none
  quotaNs: f64; // longest run of tasks in one turn
  enterCount: f64; // native calls
  sleepCount: f64; // enters that really slept
  pollCount: f64; // polls that found work, so no sleep was needed
  // line 2 (+128), written by this shard and its peers: 0 awake, 1 sleeping, 2 sleeping and being rung
  sleeping: u32;
  unused2: v128;
  unused3: v128;
  unused4: v128;
  // line 3 (+192), set by peers, taken by this shard: bit i = mail or room in a ring with shard i
  dirty: u64;
  unused5: v128;
  unused6: v128;
  unused7: v128;
  // line 4 (+256): the ready ring's indices; free-running u32
  readyTail: u32; // written by the core
  readyHead: u32; // written by the host
}

/**
 * The host's own words, behind those of the core and on lines of their own. The core never looks there. These are what
 * the hosts of this project have there; another host may have something else, from line 5 on.
 */
@unmanaged
export class HostControl extends Control {
  unused8: u64; // they fill line 4
  unused9: v128;
  unused10: v128;
  unused11: v128;
  // line 5 (+320), written by the shard's host, read by other threads
  sendBuffersUsed: u32;
  watched: u32;
  births: u32; // how often this shard was started
  openCalls: u32; // calls of this shard that are not settled
  idleNs: f64; // time without work; host/native/loop.c
  running: f64; // which function or handler runs; host/shard/stall.ts
  servedCalls: u32; // calls of peers that run here
  exits: u32;
  isLoaded: u32; // 1: the shard module is loaded
}

export const STEP_OFFSET: u32 = 384; // lines 6 and 7: which step of a task the host is in; host/shard/stall.ts
export const STEP_NAME_BYTES: u32 = 112;

/** Why another turn is wanted at once. The code that does that work clears its bit. */
export enum MoreWork {
  TASKS = 1, // a task is ready
  MAIL = 2, // messages were written between turns and are not published yet
  QUIET = 8, // an owner waits for an operation that completes silently
  BLOCKED = 4, // the ready ring was too full to take something
}

/** One entry of the ready ring: 16 bytes, written by the core, read by the host in the same thread. */
@unmanaged
export class Ready {
  kind: u32; // ReadyKind, and for OP and TIMER the tag that their maker gave, shifted left by 8
  index: u32; // OP, TIMER: the owner that their maker gave; MAIL, ROOM: peer
  result: i32; // OP: the completion's result; 0 otherwise
  extra: u32; // OP: CQE flags
}

export enum ReadyKind {
  OP = 1, // an operation that JavaScript waits for has a completion
  TIMER = 2, // a timer that JavaScript owns has fired; its slot is free already
  MAIL = 3, // a message of peer `index`; it lies in the inbox, in the slot that this entry has in the ready ring
  ROOM = 4, // post() or payloadTake() refused something for peer `index`, and now it may go
}

// --- this instance --------------------------------------------------------------------------------------------------

// A `let` is a Wasm global, and globals belong to the instance: every thread has its own. Memory is what is shared.
let base: usize = 0;
let self: u32 = 0;

/** Where this shard's block begins. All of the core asks here. */
export function shardBase(): usize {
  assert(base != 0);
  return base;
}

export function shardIndex(): u32 {
  assert(base != 0);
  return self;
}

export function control(): Control {
  assert(base != 0);
  return changetype<Control>(base);
}

export function shardBaseOf(shard: u32): usize {
  assert(shard < header().shardCount);
  assert(header().shardBytes != 0);
  return header().shardsOffset + shard * header().shardBytes;
}

export function stateAddress(shard: u32): usize {
  assert(shard < SHARDS_MAX);
  return HEADER_STATES + (shard << 2);
}

/** Binds this instance to a shard. Called once, by boot(). */
export function bind(shard: u32): void {
  assert(header().magic == MAGIC);
  assert(header().abiVersion == ABI_VERSION);
  assert(shard < header().shardCount);
  assert(<u32>memory.size() >= header().totalPages);
  assert(popcnt(header().ringSlots) == 1);
  assert(popcnt(header().sqeSlots) == 1);
  assert(popcnt(header().cqeSlots) == 1);
  assert(popcnt(header().readySlots) == 1);
  assert(popcnt(header().recvBufferCount) == 1);
  assert(popcnt(header().largeRecvBufferCount) == 1);
  assert(header().readySlots > header().cqeSlots);
  self = shard;
  base = shardBaseOf(shard);
}

// --- plan -----------------------------------------------------------------------------------------------------------

export const RING_CONTROL_BYTES: u32 = 512; // spsc.ts
export const OP_BYTES: u32 = 64; // op.ts
export const TIMER_BYTES: u32 = 32; // wheel.ts
export const WHEEL_BYTES: u32 = 8192; // wheel.ts
export const TASK_BYTES: u32 = 32; // task.ts; slot 0 of each table holds a Slab of 20 bytes
export const GROUP_BYTES: u32 = 64; // group.ts
export const MESSAGE_BYTES: u32 = 64; // mesh.ts
export const MESSAGE_INLINE: u32 = 24; // what a message carries itself begins there
export const INLINE_BYTES: u32 = 40; // and is so long at most
export const CONNECTION_BYTES: u32 = 64; // http/connection.ts
export const COUNTERS_BYTES: u32 = 256; // stats.ts
export const GUARD_BYTES: u32 = 256; // the last ones of each shard's block
export const SEND_STAGGER: u32 = 192; // see sendStride()
const LIMIT_MAX: u32 = 1 << 25; // of each limit before arenaBytes, so that no u32 product of them wraps round

let cursor: u64 = 0;

function place(bytes: u64, align: u64): u32 {
  assert(popcnt(align) == 1);
  cursor = (cursor + align - 1) & ~(align - 1);
  const at = cursor;
  cursor += bytes;
  return <u32>at;
}

/** Distance of two send buffers: no power of two, or their first lines would all fall into the same cache sets. */
export function sendStride(): u32 {
  assert(header().sendBufferBytes != 0);
  return header().sendBufferBytes + SEND_STAGGER;
}

/** Turns limits into offsets. Returns the number of pages, 0 if they do not fit 4 GiB. Needs one page of memory. */
export function plan(): u32 {
  const h = header();
  h.magic = MAGIC;
  h.abiVersion = ABI_VERSION;
  if (h.shardCount > SHARDS_MAX) return 0;
  for (let at = offsetof<Header>('ringSlots'); at < offsetof<Header>('arenaBytes'); at += 4) {
    if (load<u32>(HEADER + at) > LIMIT_MAX) return 0;
  }
  h.ringBytes = RING_CONTROL_BYTES + h.ringSlots * MESSAGE_BYTES;

  cursor = 0;
  place(CONTROL_BYTES, LINE);
  h.sqeOffset = place(<u64>h.sqeSlots * 64, LINE);
  h.cqeOffset = place(<u64>h.cqeSlots * 16, LINE);
  h.recycleOffset = place((<u64>h.recvBufferCount + h.largeRecvBufferCount) * 4, LINE);
  h.readyOffset = place(<u64>h.readySlots * 16, LINE);
  h.countersOffset = place(COUNTERS_BYTES, LINE);
  h.opsOffset = place(<u64>(h.opSlots + 1) * OP_BYTES, LINE);
  h.timersOffset = place(<u64>(h.timerSlots + 1) * TIMER_BYTES, LINE);
  h.wheelOffset = place(WHEEL_BYTES, LINE);
  h.tasksOffset = place(<u64>(h.taskSlots + 1) * TASK_BYTES, LINE);
  h.groupsOffset = place(GROUPS_MAX * GROUP_BYTES, LINE);
  h.inboxOffset = place(<u64>h.readySlots * MESSAGE_BYTES, LINE);
  h.outgoingOffset = place(MESSAGE_BYTES, LINE);
  h.connectionsOffset = place(<u64>h.connectionSlots * CONNECTION_BYTES, LINE);
  h.scratchOffset = place(h.scratchBytes, LINE);
  h.arenaOffset = place(h.arenaBytes, LINE);
  const largeBytes = <u64>h.largeRecvBufferCount * h.largeRecvBufferBytes;
  h.recvOffset = place(<u64>h.recvBufferCount * h.recvBufferBytes + largeBytes, 4096);
  h.sendOffset = place(<u64>h.sendBufferCount * sendStride(), 4096);
  const shardBytes = (cursor + GUARD_BYTES + PAGE - 1) & ~(<u64>(PAGE - 1));

  const meshBytes = <u64>h.shardCount * h.shardCount * h.ringBytes; // the diagonal is never touched
  const shardsOffset = (<u64>MESH + meshBytes + PAGE - 1) & ~(<u64>(PAGE - 1));
  const total = shardsOffset + shardBytes * h.shardCount;
  if (total > <u64>0x100000000 - PAGE) return 0;
  h.shardsOffset = <u32>shardsOffset;
  h.shardBytes = <u32>shardBytes;
  h.totalPages = <u32>(total >> 16);
  assert((h.shardsOffset & (PAGE - 1)) == 0);
  assert((h.shardBytes & (PAGE - 1)) == 0);
  return h.totalPages;
}
