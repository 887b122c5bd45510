// The map of the shared memory, as the host uses it: types, and functions that read and write the runtime header.
//
// The numbers are in offsets.ts, which the build of the core writes. The original, with a drawing, is
// assembly/layout.ts; tests/core/layout.test.js shows by effect that both agree.

import { Counters, HEADER, HeaderOffset } from './offsets.js';

export * from './offsets.js';

declare global {
  // So that the declarations compile without the DOM library, too. With it, these add nothing.
  namespace WebAssembly {
    interface Memory {}
    interface Module {}
  }
}

/** A word of the runtime header: a limit, or what plan() makes of the limits. */
export type HeaderField = keyof typeof HeaderOffset;
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

/** Addresses of submissions from here on lie in the block memory (assembly/layout.ts); offset 0 is its first byte. */
export const BLOCK_SPACE = 2 ** 32;
/** Bytes of the block memory that have one entry in the block table (block-pool.ts), and of that entry. */
export const BLOCK_UNIT = 4096;
export const BLOCK_ENTRY_BYTES = 16;

/** Counters of a shard: words of 8 bytes at countersOffset, in this order. */
export const COUNTER_NAMES = Object.keys(Counters) as CounterName[];
export type CounterName = keyof typeof Counters;

const HEADER_FIELDS = Object.entries(HeaderOffset) as [HeaderField, number][];
const HEADER_WORDS = HEADER_FIELDS.length;

export function writeLimits(memory: WebAssembly.Memory, shardCount: number, limits: Limits): void {
  const words = new Uint32Array(memory.buffer, HEADER, HEADER_WORDS);
  words[HeaderOffset.shardCount >> 2] = shardCount;
  for (const [name, value] of Object.entries(limits)) words[HeaderOffset[name as HeaderField] >> 2] = value;
}

export function readHeader(memory: WebAssembly.Memory): Header {
  const words = new Uint32Array(memory.buffer, HEADER, HEADER_WORDS);
  const header = {} as Record<HeaderField, number>;
  for (const [name, offset] of HEADER_FIELDS) header[name] = words[offset >> 2] as number;
  return { ...header }; // built key by key it is in V8's dictionary mode; the copy is not, and this is on the hot path
}

/** Where a receive buffer lies, if those of its shard begin at `recvAt`: the small ones, then the large ones. */
export function recvBufferAt(recvAt: number, header: Header, buffer: number): number {
  const { recvBufferCount, recvBufferBytes, largeRecvBufferBytes } = header;
  if (buffer < recvBufferCount) return recvAt + buffer * recvBufferBytes;
  return recvAt + recvBufferCount * recvBufferBytes + (buffer - recvBufferCount) * largeRecvBufferBytes;
}
