// The map of the shared memory, for the parts that the host reads or writes. The original, with a drawing, is
// assembly/layout.ts; tests/core/layout.test.js compares the two.

declare global {
  // So that the declarations compile without the DOM library, too. With it, these add nothing.
  namespace WebAssembly {
    interface Memory {}
    interface Module {}
  }
}

/** Words of the runtime header, in order: limits first, then what plan() makes of them. */
const HEADER_FIELDS = [
  'magic',
  'abiVersion',
  'shardCount',
  'ringSlots',
  'creditCount',
  'sqeSlots',
  'cqeSlots',
  'readySlots',
  'opSlots',
  'timerSlots',
  'taskSlots',
  'connectionSlots',
  'recvBufferCount',
  'recvBufferBytes',
  'largeRecvBufferCount',
  'largeRecvBufferBytes',
  'sendBufferCount',
  'sendBufferBytes',
  'arenaBytes',
  'scratchBytes',
  'ringBytes',
  'shardsOffset',
  'shardBytes',
  'totalPages',
  'sqeOffset',
  'cqeOffset',
  'recycleOffset',
  'readyOffset',
  'countersOffset',
  'opsOffset',
  'timersOffset',
  'wheelOffset',
  'tasksOffset',
  'groupsOffset',
  'inboxOffset',
  'outgoingOffset',
  'connectionsOffset',
  'scratchOffset',
  'arenaOffset',
  'recvOffset',
  'sendOffset',
  'callSlots',
] as const;

export type HeaderField = (typeof HEADER_FIELDS)[number];
/** The numbers at the start of the shared memory: limits, and where things lie. */
export type Header = Readonly<Record<HeaderField, number>>;

/** The limits that the host decides; docs/limits.md says what each one bounds. */
export type Limits = Pick<
  Header,
  | 'ringSlots'
  | 'creditCount'
  | 'callSlots'
  | 'sqeSlots'
  | 'cqeSlots'
  | 'readySlots'
  | 'opSlots'
  | 'timerSlots'
  | 'taskSlots'
  | 'connectionSlots'
  | 'recvBufferCount'
  | 'recvBufferBytes'
  | 'largeRecvBufferCount'
  | 'largeRecvBufferBytes'
  | 'sendBufferCount'
  | 'sendBufferBytes'
  | 'arenaBytes'
  | 'scratchBytes'
>;

export const ABI_VERSION = 2;
export const SHARDS_MAX = 64;
export const HEADER = 4096;
export const HEADER_STATES = HEADER + 512;
export const HEADER_SCRATCH = HEADER + 1024;
export const MESH = 8192;
export const SEND_STAGGER = 192;
export const MESSAGE_BYTES = 64;
/** Bytes of arguments or result that lie in the message itself. */
export const INLINE_BYTES = 40;
export const CONNECTION_BYTES = 64;
export const OP_BYTES = 64;
export const TIMER_BYTES = 32;

/** Addresses of submissions from here on lie in the block memory (assembly/layout.ts); offset 0 is its first byte. */
export const BLOCK_SPACE = 2 ** 32;
/** Bytes of the block memory that have one entry in the block table (block-pool.ts), and of that entry. */
export const BLOCK_UNIT = 4096;
export const BLOCK_ENTRY_BYTES = 16;

/** The last bytes of each shard's part (memory-checks.ts). */
export const GUARD_BYTES = 256;

export const ShardState = { ABSENT: 0, RUNNING: 1, STOPPED: 2 } as const;

export const ReadyKind = { OP: 1, TIMER: 2, MAIL: 3, ROOM: 4 } as const;

/** Byte offsets in a shard's control block. */
export const Control = {
  submitCount: 0,
  recycleCount: 4,
  moreWork: 8,
  submitOnly: 12,
  nextDeadlineNs: 16,
  completionCount: 64,
  enterResult: 68,
  nowNs: 72,
  refusedCount: 80,
  overflowCount: 84,
  idlePollNs: 88,
  quotaNs: 96,
  enterCount: 104,
  sleepCount: 112,
  pollCount: 120,
  sleeping: 128,
  dirty: 192,
  readyTail: 256,
  readyHead: 260,
} as const;

/**
 * The host's own words in the control block, behind the core's words (which end at 264), on lines of their own.
 * `openCalls`: calls of this shard that are not settled; a shard that rang a peer and has some expects to be rung soon
 * (host/native/loop.c). `running`: 8 bytes, which function or handler runs (shard/stall.ts). `servedCalls`: calls of
 * peers that run here. `isLoaded`: 1 when the shard module is.
 */
export const HostControl = {
  sendBuffersUsed: 320,
  watched: 324,
  births: 328,
  openCalls: 332,
  idleNs: 336,
  running: 344,
  servedCalls: 352,
  exits: 356,
  isLoaded: 360,
} as const;

// The two lines behind that are the host's too: which step of a task the shard is in (stall.ts). Written by the shard,
// read by anyone; a word that the sampler of `HostControl` reads is never in a line that each step writes.
//
//   +384  sequence i32 | name's bytes i32 | start of the step f64, 0 = no step runs | name, UTF-8, up to 112 bytes
//   +512  end of the control block
export const STEP_OFFSET = 384;
export const STEP_NAME_BYTES = 112;

/** Offsets in the head of a table of the core (assembly/slab.ts): the first slot never taken; how many are taken. */
export const SLAB_FRESH = 12;
export const SLAB_USED = 16;

/** Words of 8 bytes at countersOffset. */
export const COUNTER_NAMES = [
  'turns',
  'completions',
  'staleCompletions',
  'submissions',
  'timersFired',
  'tasksRun',
  'requestsSent',
  'requestsReceived',
  'repliesSent',
  'repliesReceived',
  'doorbells',
  'ringFull',
  'creditRefused',
] as const;

export type CounterName = (typeof COUNTER_NAMES)[number];

export function writeLimits(memory: WebAssembly.Memory, shardCount: number, limits: Limits): void {
  const words = new Uint32Array(memory.buffer, HEADER, HEADER_FIELDS.length);
  words[HEADER_FIELDS.indexOf('shardCount')] = shardCount;
  for (const [name, value] of Object.entries(limits)) words[HEADER_FIELDS.indexOf(name as HeaderField)] = value;
}

export function readHeader(memory: WebAssembly.Memory): Header {
  const words = new Uint32Array(memory.buffer, HEADER, HEADER_FIELDS.length);
  const header = {} as Record<HeaderField, number>;
  HEADER_FIELDS.forEach((name, i) => {
    header[name] = words[i] as number;
  });
  return { ...header }; // built key by key it is in V8's dictionary mode; the copy is not, and this is on the hot path
}

/** Where a receive buffer lies, if those of its shard begin at `recvAt`: the small ones, then the large ones. */
export function recvBufferAt(recvAt: number, header: Header, buffer: number): number {
  const { recvBufferCount, recvBufferBytes, largeRecvBufferBytes } = header;
  if (buffer < recvBufferCount) return recvAt + buffer * recvBufferBytes;
  return recvAt + recvBufferCount * recvBufferBytes + (buffer - recvBufferCount) * largeRecvBufferBytes;
}
