// An open file: bytes at positions, through blocks of linear memory. Who gives no position reads and writes behind the
// last such read or write, one after the other in the order of asking.
//
// Next: operations.ts.

import { type AbortOptions, checkSignal, unlessAborted } from '../abort.js';
import { optionError, systemError } from '../errors.js';
import type { Shard } from '../shard.js';
import { readFile, syncFile, truncateFile, writeFile } from './operations.js';
import { getBlock, perform, Uses } from './perform.js';

/** The most that goes into one operation; more is split. */
export const PIECE_BYTES = 65_536;
const POSITION_MAX = Number.MAX_SAFE_INTEGER;
const EIO = -5;

export interface PositionOptions extends AbortOptions {
  /** Where, in bytes from the start. Default: behind the last read or write that had none. */
  position?: number | undefined;
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

  /** Fills `into`. Answers how many bytes: fewer only at the end of the file. Leave `into` alone until then. */
  async read(into: Uint8Array, { position, signal }: PositionOptions = {}): Promise<number> {
    if (!(into instanceof Uint8Array)) throw optionError('into', into, 'a Uint8Array');
    checkSignal(signal)?.throwIfAborted();
    if (position !== undefined) return this.#readAt(into, checkPosition(position), signal);
    return this.#inOrder(signal, async () => {
      const count = await this.#readAt(into, this.#cursor, signal);
      this.#cursor += count;
      return count;
    });
  }

  async #readAt(into: Uint8Array, position: number, signal: AbortSignal | undefined): Promise<number> {
    this.#uses.check();
    let at = 0;
    while (at < into.length) {
      const count = await this.#readPiece(into, at, position + at, signal);
      if (count === 0) break;
      at += count;
    }
    return at;
  }

  async #readPiece(into: Uint8Array, at: number, position: number, signal: AbortSignal | undefined): Promise<number> {
    const shard = this.#shard;
    const block = await getBlock(shard, Math.min(PIECE_BYTES, into.length - at), signal);
    const bytes = Math.min(block.bytes, into.length - at);
    return perform(shard, {
      syscall: 'read',
      what: this.path,
      uses: this.#uses,
      block,
      signal,
      stage: (owner) => readFile(shard, this.#slot, position, block.at, bytes, owner),
      done: (count) => {
        into.set(shard.bytes.subarray(block.at, block.at + count), at);
        return count;
      },
    });
  }

  /** Writes all of it; behind the end if the file was opened to append. Leave `data` alone until then. */
  async write(data: Uint8Array | string, { position, signal }: PositionOptions = {}): Promise<void> {
    const bytes = bytesOf(data);
    checkSignal(signal)?.throwIfAborted();
    if (position !== undefined) await this.#writeAt(bytes, checkPosition(position), signal);
    else {
      await this.#inOrder(signal, async () => {
        await this.#writeAt(bytes, this.#cursor, signal);
        this.#cursor += bytes.length;
      });
    }
  }

  async #writeAt(data: Uint8Array, position: number, signal: AbortSignal | undefined): Promise<void> {
    this.#uses.check();
    for (let at = 0; at < data.length; ) at += await this.#writePiece(data, at, position + at, signal);
  }

  async #writePiece(data: Uint8Array, at: number, position: number, signal: AbortSignal | undefined): Promise<number> {
    const shard = this.#shard;
    const block = await getBlock(shard, Math.min(PIECE_BYTES, data.length - at), signal);
    const piece = data.subarray(at, at + block.bytes);
    shard.bytes.set(piece, block.at);
    const where = this.#appends ? 0 : position; // the kernel appends, wherever it is told to write
    const count = await perform(shard, {
      syscall: 'write',
      what: this.path,
      uses: this.#uses,
      block,
      signal,
      stage: (owner) => writeFile(shard, this.#slot, where, block.at, piece.length, owner),
      done: (written) => written,
      onAbandoned: this.#onAbandoned,
    });
    if (count === 0) throw systemError('write', EIO, this.path); // it would never end
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
    return unlessAborted(turn, signal);
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
      stage: (owner) => syncFile(this.#shard, this.#slot, dataOnly, owner),
      done: () => undefined,
    });
  }

  /** The file is `size` bytes long from now on: cut off, or with zeros added. On io_uring from Linux 6.9. */
  async truncate(size: number, { signal }: AbortOptions = {}): Promise<void> {
    if (!Number.isSafeInteger(size) || size < 0) throw optionError('size', size, 'bytes, 0 or more');
    checkSignal(signal);
    await perform(this.#shard, {
      syscall: 'ftruncate',
      what: this.path,
      uses: this.#uses,
      block: undefined,
      signal,
      stage: (owner) => truncateFile(this.#shard, this.#slot, size, owner),
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
export function bytesOf(data: unknown): Uint8Array {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  if (bytes instanceof Uint8Array) return bytes;
  throw optionError('data', data, 'a string or a Uint8Array');
}

function checkPosition(position: unknown): number {
  if (Number.isSafeInteger(position) && (position as number) >= 0) return position as number;
  throw optionError('position', position, `an integer from 0 to ${POSITION_MAX}`);
}
