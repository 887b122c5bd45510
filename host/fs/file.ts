// An open file: bytes at positions. Without a position, reads and writes continue at the file's cursor, one after the
// other in the order of the calls.
//
//   arrays and strings   in pieces of 64 KiB, by way of a block of memory: the kernel would write to an array that has
//                        moved
//   SharedBytes          as they lie, in pieces of 1 MiB: a larger one from the page cache would hold up the shard
//
// Next: operations.ts.

import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { optionError, systemError } from '../base/errors.js';
import { checkInteger, checkSignal } from '../base/options.js';
import { SharedBytes } from '../calls/shared-bytes.js';
import { Errno } from '../core/kernel.js';
import type { Shard } from '../shard/shard.js';
import { readFile, syncFile, truncateFile, writeFile } from './operations.js';
import { type Block, getBlock, perform, pinnedBlock, Uses } from './perform.js';

/** The most that goes into one operation; more is split. */
export const PIECE_BYTES = 65_536;
/** The same of shared bytes, which are not copied. */
export const SHARED_PIECE_BYTES = 1_048_576;
const POSITION_MAX = Number.MAX_SAFE_INTEGER;

export interface PositionOptions extends AbortOptions {
  /** Where, in bytes from the start. Default: behind the last read or write that had none. */
  position?: number | undefined;
  /** First byte of `into` or `data` that is used. Default 0. */
  offset?: number | undefined;
  /** How many are used. Default: the rest. */
  length?: number | undefined;
}

export interface SyncOptions extends AbortOptions {
  /** The content, and its length, but not its times. Default false. */
  dataOnly?: boolean | undefined;
}

export class File {
  /** Its path, as it was opened. */
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

  get closed(): boolean {
    return this.#uses.isClosed;
  }

  /**
   * Fills `into`. Resolves with how many bytes: fewer only at the end of the file. Leave `into` alone until then.
   * SharedBytes are read into where they lie, without a copy; they cannot be sent to another shard meanwhile, also not
   * when this was aborted and the kernel still writes to them (FEATHERSTAR_BUSY).
   */
  async read(into: Uint8Array | SharedBytes, options: PositionOptions = {}): Promise<number> {
    const { position, signal } = options;
    const part = partOf('into', into, options);
    checkSignal(signal)?.throwIfAborted();
    if (position !== undefined) return this.#readAt(part, checkInteger('position', position, 0, POSITION_MAX), signal);
    return this.#inOrder(signal, async () => {
      const count = await this.#readAt(part, this.#cursor, signal);
      this.#cursor += count;
      return count;
    });
  }

  async #readAt({ bytes, from, length }: Part, position: number, signal: AbortSignal | undefined): Promise<number> {
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
   * Writes all of it; behind the end if the file was opened to append. Leave `data` alone until then. SharedBytes are
   * written from where they lie, as they are read().
   */
  async write(data: Uint8Array | string | SharedBytes, options: PositionOptions = {}): Promise<void> {
    const { position, signal } = options;
    const part = partOf('data', dataOf(data), options);
    checkSignal(signal)?.throwIfAborted();
    if (position !== undefined) await this.#writeAt(part, checkInteger('position', position, 0, POSITION_MAX), signal);
    else {
      await this.#inOrder(signal, async () => {
        await this.#writeAt(part, this.#cursor, signal);
        this.#cursor += part.length;
      });
    }
  }

  async #writeAt({ bytes, from, length }: Part, position: number, signal: AbortSignal | undefined): Promise<void> {
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
   * One after the other, whether the one before has failed or not. If that was aborted, when the host has done with it:
   * else what it still writes might come behind what is asked next, and over it.
   */
  async #inOrder<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      signal?.throwIfAborted();
      return run();
    });
    this.#last = turn.catch(() => this.#late); // who asked is told; the next one goes on
    return abortable(turn, { signal });
  }

  /** What was written is on the disk. */
  async sync({ dataOnly = false, signal }: SyncOptions = {}): Promise<void> {
    checkSignal(signal);
    await perform(this.#shard, {
      syscall: 'fsync',
      what: this.path,
      uses: this.#uses,
      block: undefined,
      signal,
      stage: (operation) => syncFile(operation, this.#slot, dataOnly),
      done: () => undefined,
    });
  }

  /** The file is `size` bytes long from now on: cut off, or with zeros added. On io_uring from Linux 6.9. */
  async truncate(size: number, { signal }: AbortOptions = {}): Promise<void> {
    checkInteger('size', size, 0, POSITION_MAX);
    checkSignal(signal);
    await perform(this.#shard, {
      syscall: 'ftruncate',
      what: this.path,
      uses: this.#uses,
      block: undefined,
      signal,
      stage: (operation) => truncateFile(operation, this.#slot, size),
      done: () => undefined,
    });
  }

  /** What is in it from the cursor on, in pieces of at most PIECE_BYTES. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const piece = new Uint8Array(PIECE_BYTES);
      const count = await this.read(piece);
      if (count > 0) yield piece.subarray(0, count);
      if (count < PIECE_BYTES) return;
    }
  }

  /** Resolves when what is open on it has ended and it was given back. It is closed for everybody at once. */
  close(): Promise<void> {
    return this.#uses.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What is written, checked. */
export function dataOf(data: unknown): Uint8Array | SharedBytes {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  if (bytes instanceof Uint8Array || bytes instanceof SharedBytes) return bytes;
  throw optionError('data', data, 'a string, a Uint8Array or what allocate() returns');
}

interface Part {
  bytes: Uint8Array | SharedBytes;
  from: number;
  length: number;
}

/** Which part of its bytes an operation uses, checked. */
function partOf(name: string, bytes: unknown, { offset = 0, length }: PositionOptions): Part {
  if (!(bytes instanceof Uint8Array) && !(bytes instanceof SharedBytes)) {
    throw optionError(name, bytes, 'a Uint8Array, or what allocate() returns');
  }
  const rest = bytes.length - checkInteger('offset', offset, 0, bytes.length);
  if (length !== undefined) checkInteger('length', length, 0, rest);
  return { bytes, from: offset, length: length ?? rest };
}
