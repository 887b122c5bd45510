// The portable host's half of a shard's windows: completions on their way to the core, free receive buffers, and open
// operations. Sockets write into it; portable.ts moves what is in it.
//
//   socket event --> post() --> [ queue ] --> deliver() --> completion window, when the core has emptied it
//   core's recycle list --> recycle() --> [ free buffers ] --> takeBuffer() --> the next receive
//
// Bytes that the platform has read into an array of their own are not copied. keepBytes() gives them a number that no
// buffer has. By that takeBytes() finds them (ShardHost.receivedBytes). Bytes for which no large buffer is free are
// kept likewise, as a copy.
//
// Invariants: an operation that is open posts exactly one completion without MORE, and is closed by it. The queue needs
// no limit of its own. Each open operation adds one entry at most, and each further entry holds a buffer or a file
// slot.
//
// Next: portable-sockets.ts.

import { errnoName } from '../base/errors.js';
import { copyTo } from '../base/own-bytes.js';
import { CQE_MORE, CQE_WORDS, Errno, LARGE_BUFFERS, SMALL_BUFFERS } from '../core/kernel.js';
import { Control, type Header, recvBufferAt } from '../core/layout.js';
import { type ChunkSink, monotonicNs, type Windows } from './host.js';

const QUEUE_FIRST = 64; // entries; a power of two
const QUEUE_MAX = 2 ** 26; // more than there can be open operations: a multiple of every length of the queue
/** The most that copyBytes() copies into memory that is used again. */
export const SCRATCH_BYTES = 65_536;
const KEPT_MAX = 128; // chunks of streams that are received and not read yet: until the turn that follows
const BUFFERS_END = 65_536; // a completion has 16 bits for the number of a buffer
const HELD = 1;
const FREE = 0;

const ERRNO_END = 134;

const errnos = new Map<string, number>();
for (let errno = 1; errno < ERRNO_END; errno++) errnos.set(errnoName(-errno), -errno);

/**
 * Linux's number for the error that Node names. An error without an entry in errors.ts keeps its number on Linux, which
 * Deno has in the text only. Elsewhere numbers differ, and it becomes EIO.
 */
export function errnoOf(error: unknown): number {
  const { code, errno, message } = (error ?? {}) as { code?: unknown; errno?: unknown; message?: unknown };
  const known = errnos.get(String(code));
  if (known !== undefined || process.platform !== 'linux') return known ?? Errno.EIO;
  const number = Number(errno ?? -Number(/\(os error (\d+)\)/.exec(String(message))?.[1]));
  return number < 0 && number > -ERRNO_END ? number : Errno.EIO;
}

/** Objects that can end an operation early. */
export interface OpOwner {
  cancel(op: Op): void;
}

/** The region of an address that lies in none. */
const NOWHERE = Buffer.alloc(0);

/** The `bufGroup` of an operation that picks no buffer. */
export const NO_GROUP = -1;

/** One operation that the host has taken. `low` and `high` are its user_data; it names `len` bytes of `memory`. */
export class Op {
  owner: OpOwner | undefined;
  /** Of a receive: takes large chunks in place of events, of which there were `told` so far. */
  sink: ChunkSink | undefined;
  told = 0;
  /** Another open operation with the same `low`. */
  twin: Op | undefined;
  readonly low: number;
  readonly high: number;
  readonly isQuiet: boolean;
  readonly isMultishot: boolean;
  /** The group of the buffer that the host picks for it, or NO_GROUP: it names memory itself. */
  readonly bufGroup: number;
  /** The region that its address names, and the offset there. */
  readonly memory: Buffer;
  readonly ptr: number;
  readonly len: number;

  constructor(
    low: number,
    high: number,
    isQuiet: boolean,
    isMultishot: boolean,
    bufGroup: number,
    memory: Buffer,
    ptr: number,
    len: number,
  ) {
    this.low = low;
    this.high = high;
    this.isQuiet = isQuiet;
    this.isMultishot = isMultishot;
    this.bufGroup = bufGroup;
    this.memory = memory;
    this.ptr = ptr;
    this.len = len;
  }

  get picksBuffer(): boolean {
    return this.bufGroup !== NO_GROUP;
  }
}

export class PortableWindow {
  /** Linear memory, and that of blocks. */
  readonly bytes: Buffer;
  readonly blocks: Buffer;
  /** The length of a small receive buffer, and of a large one. */
  readonly bufferBytes: readonly [number, number];
  readonly #control: Int32Array;
  readonly #clock: Float64Array;
  readonly #cqes: Int32Array;
  readonly #cqeSlots: number;
  readonly #recycled: Int32Array;
  readonly #header: Header;
  readonly #recvAt: number;
  readonly #onPost: () => void;
  /** Takes a turn before the stream that calls goes on. */
  readonly turnNow: () => void;
  readonly #smallCount: number;
  readonly #freeBuffers: readonly [number[], number[]];
  readonly #bufferStates: Uint8Array;
  readonly #keptBytes = new Map<number, Uint8Array>();
  readonly #freeNumbers: number[] = []; // for those; no buffer has one of them
  #queue = new Int32Array(QUEUE_FIRST * CQE_WORDS);
  #head = 0;
  #count = 0;
  readonly #open = new Map<number, Op>();
  #scratch: Buffer = Buffer.alloc(SCRATCH_BYTES);
  #scratchAt = 0;

  constructor(windows: Windows, onPost: () => void, turnNow: () => void = onPost) {
    const { memory, blocks, base, header } = windows;
    const count = header.recvBufferCount + header.largeRecvBufferCount;
    this.bytes = Buffer.from(memory.buffer);
    this.blocks = Buffer.from(blocks);
    this.bufferBytes = [header.recvBufferBytes, header.largeRecvBufferBytes];
    this.#control = new Int32Array(memory.buffer, base, 128);
    this.#cqes = new Int32Array(memory.buffer, base + header.cqeOffset, header.cqeSlots * CQE_WORDS);
    this.#clock = new Float64Array(memory.buffer, base, 64);
    this.#cqeSlots = header.cqeSlots;
    this.#recycled = new Int32Array(memory.buffer, base + header.recycleOffset, count);
    this.#header = header;
    this.#recvAt = base + header.recvOffset;
    this.#onPost = onPost;
    this.turnNow = turnNow;
    this.#smallCount = header.recvBufferCount;
    this.#freeBuffers = [[], []];
    for (let buffer = count - 1; buffer >= 0; buffer--) this.#freeBuffers[this.#groupOf(buffer)].push(buffer);
    this.#bufferStates = new Uint8Array(count);
    for (let i = 1; i <= KEPT_MAX; i++) this.#freeNumbers.push(BUFFERS_END - i);
  }

  // --- memory --------------------------------------------------------------------------------------------------------

  /** The region whose number is the upper half of an address. */
  region(high: number): Buffer {
    if (high === 0) return this.bytes;
    return high === 1 ? this.blocks : NOWHERE;
  }

  /** Whether a region has these bytes; an empty one has not even 0 of them. */
  has(memory: Buffer, at: number, len: number): boolean {
    return memory.length !== 0 && at + len <= memory.length;
  }

  // --- completions ---------------------------------------------------------------------------------------------------

  /** Sets the time of this turn: JavaScript runs that is not in one. */
  setClock(): void {
    this.#clock[Control.nowNs >> 3] = monotonicNs();
  }

  get pending(): number {
    return this.#count;
  }

  post(low: number, high: number, result: number, flags: number): void {
    if ((this.#count + 1) * CQE_WORDS > this.#queue.length) this.#grow();
    const at = ((this.#head + this.#count) * CQE_WORDS) & (this.#queue.length - 1);
    this.#queue[at] = low;
    this.#queue[at + 1] = high;
    this.#queue[at + 2] = result;
    this.#queue[at + 3] = flags;
    this.#count++;
    this.#onPost();
  }

  #grow(): void {
    const larger = new Int32Array(this.#queue.length * 2);
    const from = (this.#head * CQE_WORDS) & (this.#queue.length - 1);
    larger.set(this.#queue.subarray(from));
    larger.set(this.#queue.subarray(0, from), this.#queue.length - from);
    this.#queue = larger;
    this.#head = 0;
  }

  /**
   * Moves into the completion window what fits behind that which the core has not read yet. So if the window is not
   * full afterwards, there are no more: the core concludes from this that its quiet operations have succeeded.
   */
  deliver(): void {
    if (this.#count === 0) return;
    const before = this.#control[Control.completionCount >> 2] as number;
    const count = Math.min(this.#count, this.#cqeSlots - before);
    const from = (this.#head * CQE_WORDS) & (this.#queue.length - 1);
    const to = before * CQE_WORDS;
    const words = count * CQE_WORDS;
    for (let i = 0; i < words; i++) this.#cqes[to + i] = this.#queue[(from + i) & (this.#queue.length - 1)] as number;
    this.#head = (this.#head + count) & (QUEUE_MAX - 1);
    this.#count -= count;
    this.#control[Control.completionCount >> 2] = before + count;
  }

  // --- operations ----------------------------------------------------------------------------------------------------

  /** Keeps an operation that does not complete at once, so that it can be cancelled. */
  open(op: Op, owner: OpOwner): void {
    op.owner = owner;
    op.twin = this.#open.get(op.low);
    this.#open.set(op.low, op);
  }

  find(low: number, high: number): Op | undefined {
    let op = this.#open.get(low);
    while (op !== undefined && op.high !== high) op = op.twin;
    return op;
  }

  #close(op: Op): void {
    const first = this.#open.get(op.low) as Op;
    if (first !== op) {
      let before = first;
      while (before.twin !== op) before = before.twin as Op;
      before.twin = op.twin;
    } else if (op.twin === undefined) this.#open.delete(op.low);
    else this.#open.set(op.low, op.twin);
    op.owner = undefined;
  }

  /** An operation's last completion. */
  finish(op: Op, result: number, flags = 0): void {
    if (op.owner !== undefined) this.#close(op);
    if (result < 0 || !op.isQuiet) this.post(op.low, op.high, result, flags);
  }

  /** One completion of a multishot operation that goes on. */
  more(op: Op, result: number, flags: number): void {
    op.told++;
    this.post(op.low, op.high, result, flags | CQE_MORE);
  }

  // --- copies of what is sent ----------------------------------------------------------------------------------------

  /** A copy of an operation's first bytes, good until the next one is made, or until it is given away by keepCopy(). */
  copyOf({ memory, ptr }: Op, len: number): Buffer {
    return this.copyBytes(memory, ptr, len);
  }

  /** A copy of `len` bytes of `memory` from `ptr` on, likewise. */
  copyBytes(memory: Uint8Array, ptr: number, len: number): Buffer {
    if (len > SCRATCH_BYTES) return Buffer.from(memory.subarray(ptr, ptr + len));
    if (this.#scratchAt + len > SCRATCH_BYTES) {
      this.#scratch = Buffer.alloc(SCRATCH_BYTES);
      this.#scratchAt = 0;
    }
    const copy = this.#scratch.subarray(this.#scratchAt, this.#scratchAt + len);
    copyTo(copy, 0, memory, ptr, ptr + len);
    return copy;
  }

  keepCopy(copy: Buffer): void {
    if (copy.buffer === this.#scratch.buffer) this.#scratchAt += copy.length;
  }

  // --- receive buffers -----------------------------------------------------------------------------------------------

  #groupOf(buffer: number): 0 | 1 {
    return buffer < this.#smallCount ? SMALL_BUFFERS : LARGE_BUFFERS;
  }

  /** The number of a free buffer of this group, or -1. */
  takeBuffer(group: number): number {
    const buffer = this.#freeBuffers[group as 0 | 1].pop();
    if (buffer === undefined) return -1;
    this.#bufferStates[buffer] = HELD;
    return buffer;
  }

  /** Where a buffer lies in linear memory. */
  bufferAt(buffer: number): number {
    return recvBufferAt(this.#recvAt, this.#header, buffer);
  }

  /** A number that stands for these bytes until takeBytes(), in the place of a buffer's; -1: too many are kept. */
  keepBytes(bytes: Uint8Array): number {
    const number = this.#freeNumbers.pop() ?? -1;
    if (number >= 0) this.#keptBytes.set(number, bytes);
    return number;
  }

  takeBytes(number: number): Uint8Array | undefined {
    const bytes = this.#keptBytes.get(number);
    if (this.#keptBytes.delete(number)) this.#freeNumbers.push(number);
    return bytes;
  }

  /** Takes back what the core has put on the recycle list; drops numbers that were not given out. */
  recycle(): void {
    const count = Math.min((this.#control[Control.recycleCount >> 2] as number) >>> 0, this.#recycled.length);
    for (let i = 0; i < count; i++) {
      const buffer = this.#recycled[i] as number;
      if (this.#bufferStates[buffer] !== HELD) continue;
      this.#bufferStates[buffer] = FREE;
      this.#freeBuffers[this.#groupOf(buffer)].push(buffer);
    }
    this.#control[Control.recycleCount >> 2] = 0;
  }
}
