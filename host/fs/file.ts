// An open file: bytes at positions. Without a position, reads and writes continue at the file's cursor, one after the
// other in the order of the calls.
//
//   arrays and strings   in pieces of 64 KiB, by way of a block of memory: the kernel would write to an array that has
//                        moved
//   SharedBytes          as they lie, in pieces of 1 MiB: a larger one from the page cache would hold up the shard
//
// Next: operations.ts.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { optionError, systemError } from '../base/errors.js';
import {
  type Checks,
  checkBoolean,
  checkedLater,
  checkInteger,
  checkOptions,
  checkWait,
  integer,
  signal,
  WAIT_CHECKS,
} from '../base/options.js';
import { SharedBytes } from '../calls/shared-bytes.js';
import { Errno } from '../core/kernel.js';
import type { Operation } from '../shard/operation.js';
import type { Shard } from '../shard/shard.js';
import { readFile, syncFile, truncateFile, writeFile } from './operations.js';
import { type Block, getBlock, perform, pinnedBlock, Uses } from './perform.js';

/** The most that goes into one operation; more is split. */
export const PIECE_BYTES = 65_536;
/** The longest piece of shared bytes, which are not copied. */
export const SHARED_PIECE_BYTES = 1_048_576;
const POSITION_MAX = Number.MAX_SAFE_INTEGER;

/** Which bytes `read()` and `write()` use, and what can end the wait. */
export interface PositionOptions extends WaitOptions {
  /** Where in the file, in bytes from its start. Default: the cursor, which such a call then moves. */
  position?: number | undefined;
  /** The first byte of the array that is used. Default 0. */
  offset?: number | undefined;
  /** How many bytes of the array are used. Default: the rest of it. */
  length?: number | undefined;
}

/** Options of `File.sync()`. */
export interface SyncOptions extends WaitOptions {
  /** Whether only the content and the length must be on the disk, but not the times. Default false. */
  dataOnly?: boolean | undefined;
}

/** Options of `File.stream()`. */
export interface StreamOptions {
  /** The first byte. Default 0. */
  start?: number | undefined;
  /** Behind the last byte. Default: the end of the file. */
  end?: number | undefined;
  /** When it aborts, the stream fails with its reason. */
  signal?: AbortSignal | undefined;
}

const POSITION_CHECKS: Checks<PositionOptions> = {
  position: integer(0, POSITION_MAX),
  offset: checkedLater,
  length: checkedLater,
  ...WAIT_CHECKS,
};
const STREAM_CHECKS: Checks<StreamOptions> = {
  start: integer(0, POSITION_MAX),
  end: integer(0, POSITION_MAX),
  signal,
};
const SYNC_CHECKS: Checks<SyncOptions> = { dataOnly: checkBoolean, ...WAIT_CHECKS };

/**
 * An open file, made by `directory.open()`.
 *
 * @example
 * await using file = await directory.open('log', { flags: 'a+' });
 * await file.write('a line\n');
 * await file.sync();
 */
export class File {
  /** The path that it was opened with, after that of its directory. */
  readonly path: string;
  readonly #shard: Shard;
  readonly #slot: number;
  readonly #uses: Uses;
  readonly #appends: boolean;
  #cursor = 0;
  #last: Promise<unknown> = Promise.resolve();
  /** When what was aborted has ended, if anything was. */
  #late: Promise<void> | undefined;

  /** @internal directory.open() makes them. */
  constructor(shard: Shard, slot: number, path: string, appends: boolean) {
    this.#shard = shard;
    this.#slot = slot;
    this.path = path;
    this.#appends = appends;
    this.#uses = new Uses(`the file ${path}`, () => {
      if (!shard.closed) shard.closeFile(slot);
    });
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#uses.isClosed;
  }

  /**
   * Reads bytes into `into`, which the caller must leave alone meanwhile. Resolves to their number, which is less than
   * the length only at the end of the file. Bytes are read into SharedBytes without a copy. Those cannot be sent to
   * another shard (FEATHERSTAR_BUSY) until the kernel has ended, also after an abort. Rejects with FEATHERSTAR_SYSTEM,
   * FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's reason.
   */
  async read(into: Uint8Array | SharedBytes, options: PositionOptions = {}): Promise<number> {
    checkOptions(options, POSITION_CHECKS);
    const part = partOf('into', into, options);
    return withDeadline(options, (signal) => this.#read(part, options.position, signal));
  }

  async #read(part: BytesPart, position: number | undefined, signal: AbortSignal | undefined): Promise<number> {
    if (position !== undefined) return this.#readAt(part, position, signal);
    return this.#inOrder(signal, async () => {
      const count = await this.#readAt(part, this.#cursor, signal);
      this.#cursor += count;
      return count;
    });
  }

  async #readAt(
    { bytes, from, length }: BytesPart,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    this.#uses.check();
    const shared = bytes instanceof SharedBytes ? bytes : undefined;
    shared?.pin(); // also between its pieces
    let at = 0;
    try {
      while (at < length) {
        const left = length - at;
        const count =
          bytes instanceof SharedBytes
            ? await this.#readShared(bytes, from + at, left, position + at, signal)
            : await this.#readPiece(bytes, from + at, left, position + at, signal);
        if (count === 0) break;
        at += count;
      }
    } finally {
      shared?.unpin();
    }
    return at;
  }

  #readShared(
    into: SharedBytes,
    at: number,
    left: number,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const shard = this.#shard;
    const block = pinnedBlock(shard, into, at, Math.min(SHARED_PIECE_BYTES, left));
    return perform(shard, {
      syscall: 'read',
      what: this.path,
      uses: this.#uses,
      block,
      signal,
      stage: (operation) => readFile(operation, this.#slot, position, block.at, block.bytes),
      done: (count) => count,
    });
  }

  async #readPiece(
    into: Uint8Array,
    at: number,
    left: number,
    position: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const shard = this.#shard;
    const block = await getBlock(shard, Math.min(PIECE_BYTES, left), signal);
    const bytes = Math.min(block.bytes, left);
    return perform(shard, {
      syscall: 'read',
      what: this.path,
      uses: this.#uses,
      block,
      signal,
      stage: (operation) => readFile(operation, this.#slot, position, block.at, bytes),
      done: (count) => {
        into.set(block.memory.subarray(block.offset, block.offset + count), at);
        return count;
      },
    });
  }

  /**
   * Writes all of `data`, which the caller must leave alone meanwhile. If the file was opened to append, it is written
   * at the end. A string is written as UTF-8. SharedBytes are written without a copy. Rejects with FEATHERSTAR_SYSTEM
   * (`error.errnoName`: ENOSPC, EIO, ...), FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's reason.
   */
  async write(data: Uint8Array | string | SharedBytes, options: PositionOptions = {}): Promise<void> {
    checkOptions(options, POSITION_CHECKS);
    const part = partOf('data', dataOf(data), options);
    await withDeadline(options, (signal) => this.#write(part, options.position, signal));
  }

  async #write(part: BytesPart, position: number | undefined, signal: AbortSignal | undefined): Promise<void> {
    if (position !== undefined) await this.#writeAt(part, position, signal);
    else {
      await this.#inOrder(signal, async () => {
        await this.#writeAt(part, this.#cursor, signal);
        this.#cursor += part.length;
      });
    }
  }

  async #writeAt({ bytes, from, length }: BytesPart, position: number, signal: AbortSignal | undefined): Promise<void> {
    this.#uses.check();
    const shared = bytes instanceof SharedBytes ? bytes : undefined;
    shared?.pin();
    try {
      for (let at = 0; at < length; ) {
        const left = length - at;
        const block =
          bytes instanceof SharedBytes
            ? pinnedBlock(this.#shard, bytes, from + at, Math.min(SHARED_PIECE_BYTES, left))
            : await this.#copyPiece(bytes, from + at, left, signal);
        at += await this.#writeBlock(block, Math.min(block.bytes, left), position + at, signal);
      }
    } finally {
      shared?.unpin();
    }
  }

  async #copyPiece(data: Uint8Array, at: number, left: number, signal: AbortSignal | undefined): Promise<Block> {
    const block = await getBlock(this.#shard, Math.min(PIECE_BYTES, left), signal);
    block.memory.set(data.subarray(at, at + Math.min(block.bytes, left)), block.offset);
    return block;
  }

  async #writeBlock(block: Block, length: number, position: number, signal: AbortSignal | undefined): Promise<number> {
    const shard = this.#shard;
    const where = this.#appends ? 0 : position; // the kernel appends, wherever it is told to write
    const count = await perform(shard, {
      syscall: 'write',
      what: this.path,
      uses: this.#uses,
      block,
      signal,
      stage: (operation) => writeFile(operation, this.#slot, where, block.at, length),
      done: (written) => written,
      onAbandoned: this.#onAbandoned,
    });
    if (count === 0) throw systemError('write', Errno.EIO, this.path); // it would never end
    return count;
  }

  readonly #onAbandoned = (ended: Promise<void>): void => {
    const before = this.#late;
    this.#late = ended.then(() => before);
  };

  /**
   * One after the other, whether the one before has failed or not. After an abort it waits until the host has finished.
   * Otherwise late bytes of that write might overwrite those of the next one.
   */
  async #inOrder<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      signal?.throwIfAborted();
      return run();
    });
    this.#last = turn.catch(() => this.#late); // who asked is told; the next one goes on
    return abortable(turn, { signal });
  }

  /** Resolves when everything that was written is on the disk. Rejects like `write()`. */
  async sync(options: SyncOptions = {}): Promise<void> {
    const { dataOnly = false } = checkOptions(options, SYNC_CHECKS);
    await this.#perform('fsync', options, (operation) => syncFile(operation, this.#slot, dataOnly));
  }

  /**
   * Makes the file `size` bytes long: it is cut off, or zeros are added. Rejects like `write()`. On io_uring it needs
   * Linux 6.9.
   */
  async truncate(size: number, options: WaitOptions = {}): Promise<void> {
    checkInteger('size', size, 0, POSITION_MAX);
    checkWait(options);
    await this.#perform('ftruncate', options, (operation) => truncateFile(operation, this.#slot, size));
  }

  #perform(syscall: string, options: WaitOptions, stage: (operation: Operation) => void): Promise<void> {
    return withDeadline(options, (signal) =>
      perform(this.#shard, {
        syscall,
        what: this.path,
        uses: this.#uses,
        block: undefined,
        signal,
        stage,
        done: () => undefined,
      }),
    );
  }

  /**
   * The bytes from `start` up to `end`, in pieces of at most 65,536 bytes; the cursor stays. `end` may lie behind the
   * end of the file. The stream fails like `read()`.
   */
  stream(options: StreamOptions = {}): ReadableStream<Uint8Array> {
    const { start = 0, end = POSITION_MAX, signal } = checkOptions(options, STREAM_CHECKS);
    this.#uses.check();
    let position = start;
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const piece = new Uint8Array(Math.max(Math.min(PIECE_BYTES, end - position), 0));
          const count = piece.length === 0 ? 0 : await this.read(piece, { position, signal });
          position += count;
          if (count !== 0) controller.enqueue(piece.subarray(0, count));
          if (count < PIECE_BYTES || position === end) controller.close();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** The content from the cursor on, in pieces of at most 65,536 bytes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const piece = new Uint8Array(PIECE_BYTES);
      const count = await this.read(piece);
      if (count > 0) yield piece.subarray(0, count);
      if (count < PIECE_BYTES) return;
    }
  }

  /** Closes the file: later calls reject with FEATHERSTAR_CLOSED. Resolves when the calls that are open have ended. */
  close(): Promise<void> {
    return this.#uses.close();
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** The bytes to write, checked. */
export function dataOf(data: unknown): Uint8Array | SharedBytes {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  if (bytes instanceof Uint8Array || bytes instanceof SharedBytes) return bytes;
  throw optionError('data', data, 'a string, a Uint8Array or what allocate() returns');
}

interface BytesPart {
  bytes: Uint8Array | SharedBytes;
  from: number;
  length: number;
}

/** Which part of its bytes an operation uses, checked. */
function partOf(name: string, bytes: unknown, { offset = 0, length }: PositionOptions): BytesPart {
  if (!(bytes instanceof Uint8Array) && !(bytes instanceof SharedBytes)) {
    throw optionError(name, bytes, 'a Uint8Array, or what allocate() returns');
  }
  const rest = bytes.length - checkInteger('offset', offset, 0, bytes.length);
  if (length !== undefined) checkInteger('length', length, 0, rest);
  return { bytes, from: offset, length: length ?? rest };
}
