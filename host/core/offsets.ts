// Written by assembly/translate.mjs, from the sources of the core. Do not edit: npm run build:core
//
// Numbers of the map of memory that the host uses; assembly/layout.ts explains them.

export const ABI_VERSION = 2;
export const SHARDS_MAX = 64;
export const HEADER = 4096;
export const HEADER_STATES = 4608;
export const HEADER_SCRATCH = 5120;
export const MESH = 8192;
export const SEND_STAGGER = 192;
export const MESSAGE_BYTES = 64;
export const MESSAGE_INLINE = 24;
export const INLINE_BYTES = 40;
export const CONNECTION_BYTES = 64;
export const OP_BYTES = 64;
export const TIMER_BYTES = 32;
export const GUARD_BYTES = 256;
export const STEP_OFFSET = 384;
export const STEP_NAME_BYTES = 112;

export const Code = {
  OK: 0,
  FULL: -5001,
  STALE: -5002,
  RANGE: -5003,
  NO_CREDIT: -5004,
  PEER_DOWN: -5005,
} as const;

export const ShardState = {
  ABSENT: 0,
  RUNNING: 1,
  STOPPED: 2,
} as const;

export const MoreWork = {
  TASKS: 1,
  MAIL: 2,
  QUIET: 8,
  BLOCKED: 4,
} as const;

export const ReadyKind = {
  OP: 1,
  TIMER: 2,
  MAIL: 3,
  ROOM: 4,
} as const;

export const HttpFlag = {
  KEEP_ALIVE: 1,
  CHUNKED: 2,
  HAS_LENGTH: 4,
  EXPECT_CONTINUE: 8,
  HTTP_1_0: 16,
  UPGRADE: 32,
  CLOSE: 64,
  HAS_HOST: 128,
  DONE: 256,
  ODD_TARGET: 512,
  ODD_HOST: 1024,
} as const;

export const HttpMethod = {
  OTHER: 0,
  GET: 1,
  HEAD: 2,
  POST: 3,
  PUT: 4,
  DELETE: 5,
  CONNECT: 6,
  OPTIONS: 7,
  TRACE: 8,
  PATCH: 9,
} as const;

export const HttpState = {
  REQUEST_LINE: 0,
  HEADERS: 1,
  LENGTH: 2,
  SIZE_FIRST: 3,
  SIZE: 4,
  SIZE_SPACE: 5,
  EXTENSION_FIRST: 6,
  EXTENSION_NAME: 7,
  EXTENSION_NAME_SPACE: 8,
  EXTENSION_VALUE_FIRST: 9,
  EXTENSION_VALUE: 10,
  EXTENSION_QUOTED: 11,
  EXTENSION_ESCAPE: 12,
  EXTENSION_END: 13,
  SIZE_LF: 14,
  DATA: 15,
  DATA_CR: 16,
  DATA_LF: 17,
  TRAILER_START: 18,
  TRAILER_NAME: 19,
  TRAILER_VALUE: 20,
  TRAILER_LF: 21,
  LAST_LF: 22,
  DONE: 23,
  FAILED: 24,
} as const;

export const FrameEvent = {
  TEXT: 1,
  BINARY: 2,
  CLOSE: 8,
  PING: 9,
  PONG: 10,
  OPCODE: 15,
  COMPRESSED: 16,
  WIDE: 32,
  FIN: 64,
  END: 128,
} as const;

export const FrameFlag = {
  MASKED: 1,
  DEFLATE: 2,
} as const;

/** Offsets of the fields of Header, in bytes from its start. */
export const HeaderOffset = {
  magic: 0,
  abiVersion: 4,
  shardCount: 8,
  ringSlots: 12,
  creditCount: 16,
  sqeSlots: 20,
  cqeSlots: 24,
  readySlots: 28,
  opSlots: 32,
  timerSlots: 36,
  taskSlots: 40,
  connectionSlots: 44,
  recvBufferCount: 48,
  recvBufferBytes: 52,
  largeRecvBufferCount: 56,
  largeRecvBufferBytes: 60,
  sendBufferCount: 64,
  sendBufferBytes: 68,
  arenaBytes: 72,
  scratchBytes: 76,
  ringBytes: 80,
  shardsOffset: 84,
  shardBytes: 88,
  totalPages: 92,
  sqeOffset: 96,
  cqeOffset: 100,
  recycleOffset: 104,
  readyOffset: 108,
  countersOffset: 112,
  opsOffset: 116,
  timersOffset: 120,
  wheelOffset: 124,
  tasksOffset: 128,
  groupsOffset: 132,
  inboxOffset: 136,
  outgoingOffset: 140,
  connectionsOffset: 144,
  scratchOffset: 148,
  arenaOffset: 152,
  recvOffset: 156,
  sendOffset: 160,
  callSlots: 164,
} as const;

/** Offsets of the fields of Control, in bytes from its start. */
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

/** Offsets of the fields of HostControl, in bytes from its start. */
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

/** Offsets of the fields of Message, in bytes from its start. */
export const Message = {
  kind: 0,
  status: 1,
  method: 2,
  caller: 4,
  number: 8,
  payloadBytes: 12,
  payload: 16,
} as const;

/** Offsets of the fields of Slab, in bytes from its start. */
export const Slab = {
  slotBytes: 0,
  limit: 4,
  free: 8,
  fresh: 12,
  used: 16,
} as const;

/** Offsets of the fields of Counters, in bytes from its start. */
export const Counters = {
  turns: 0,
  completions: 8,
  staleCompletions: 16,
  submissions: 24,
  timersFired: 32,
  tasksRun: 40,
  requestsSent: 48,
  requestsReceived: 56,
  repliesSent: 64,
  repliesReceived: 72,
  doorbells: 80,
  ringFull: 88,
  creditRefused: 96,
} as const;

/** Offsets of the fields of HttpConnection, in bytes from its start. */
export const ParserState = {
  state: 0,
  lineBytes: 2,
  flags: 4,
  methodId: 8,
  methodStart: 12,
  methodEnd: 16,
  targetStart: 20,
  targetEnd: 24,
  pathEnd: 28,
  headersStart: 32,
  headerCount: 36,
  progress: 40,
  contentLength: 48,
  dataStart: 56,
  dataBytes: 60,
} as const;

/** Offsets of the fields of WebSocketFrames, in bytes from its start. */
export const WebSocketFrames = {
  state: 0,
  headBytes: 1,
  message: 2,
  flags: 4,
  frame: 8,
  event: 12,
  mask: 16,
  left: 20,
  messageBytes: 24,
  maxBytes: 28,
  dataStart: 32,
  dataBytes: 36,
  head: 40,
  headRest: 48,
} as const;
