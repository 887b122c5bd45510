// FileHandle and Dir of node:fs in a simulated program.
//
// Next: node-fs-calls.ts.

import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { AnyFunction } from '../calls/remote.js';
import { refuse } from './doors.js';
import {
  close,
  DESCRIPTOR_OPERATIONS,
  type FsSteps,
  fstat,
  fsync,
  ftruncate,
  OPERATIONS,
  placeToRead,
  placeToWrite,
  readdir,
  readInto,
  readMany,
  writeFrom,
  writeMany,
} from './node-fs-calls.js';
import { type FsCallback, promised, runNow } from './node-fs-run.js';
import { optionsOf } from './node-fs-values.js';
import { bound, isOtherRuntime, onStage } from './replace.js';

const CLOSED = -1;

export type FsFunctions = Record<string, AnyFunction>;

/** The result of `open()` of node:fs/promises. */
export class SimFileHandle extends EventEmitter {
  #fd: number;

  constructor(fd: number) {
    super();
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    if (fd === CLOSED) return;
    this.#fd = CLOSED;
    await promised(close(fd));
    this.emit('close');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async read(...args: unknown[]): Promise<object> {
    const { buffer, bytes, position } = placeToRead(args);
    return { bytesRead: await promised(readInto(this.#fd, bytes, position)), buffer };
  }

  async write(...args: unknown[]): Promise<object> {
    const { buffer, bytes, position } = placeToWrite(args);
    return { bytesWritten: await promised(writeFrom(this.#fd, bytes, position)), buffer };
  }

  async readv(buffers: ArrayBufferView[], position: number | null = null): Promise<object> {
    return { bytesRead: await promised(readMany(this.#fd, buffers, position)), buffers };
  }

  async writev(buffers: ArrayBufferView[], position: number | null = null): Promise<object> {
    return { bytesWritten: await promised(writeMany(this.#fd, buffers, position)), buffers };
  }

  async readFile(options?: unknown): Promise<unknown> {
    return promised(OPERATIONS.readFile(this.#fd, options), optionsOf(options).signal);
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    await writeParts(this.#fd, data, options);
  }

  async appendFile(data: unknown, options?: unknown): Promise<void> {
    await writeParts(this.#fd, data, options);
  }

  async stat(options?: unknown): Promise<object> {
    return promised(fstat(this.#fd, options));
  }

  async sync(): Promise<void> {
    await promised(fsync(this.#fd));
  }

  async datasync(): Promise<void> {
    await promised(fsync(this.#fd));
  }

  async truncate(size?: number): Promise<void> {
    await promised(ftruncate(this.#fd, size));
  }

  async chmod(mode: unknown): Promise<void> {
    await promised(DESCRIPTOR_OPERATIONS.fchmod(this.#fd, mode));
  }

  async chown(): Promise<void> {
    await promised(DESCRIPTOR_OPERATIONS.fchown(this.#fd));
  }

  async utimes(atime: unknown, mtime: unknown): Promise<void> {
    await promised(DESCRIPTOR_OPERATIONS.futimes(this.#fd, atime, mtime));
  }

  createReadStream(options: object = {}): fs.ReadStream {
    return handleStream('createReadStream', { ...options, fd: this.#fd, fs: this.#functions() }) as fs.ReadStream;
  }

  createWriteStream(options: object = {}): fs.WriteStream {
    return handleStream('createWriteStream', { ...options, fd: this.#fd, fs: this.#functions() }) as fs.WriteStream;
  }

  readLines(options: object = {}): Interface {
    return createInterface({ input: this.createReadStream(options), crlfDelay: Number.POSITIVE_INFINITY });
  }

  readableWebStream(): never {
    refuse('readableWebStream() of a FileHandle', 'Use createReadStream()');
  }

  /** Those that a stream uses: it closes the handle, not its number. */
  #functions(): FsFunctions {
    const onClose = (_fd: number, callback: FsCallback) => void this.close().then(() => callback(null), callback);
    return { ...(fs as unknown as FsFunctions), close: onClose as never };
  }
}

function handleStream(name: 'createReadStream' | 'createWriteStream', options: object): unknown {
  if (isOtherRuntime) refuse(`${name}() of a FileHandle`, 'Use read() and write()');
  return fs[name]('', options as never);
}

/** Writes data of one piece, or of those that an iterable gives. */
export async function writeParts(fd: number, data: unknown, options: unknown): Promise<void> {
  const { signal } = optionsOf(options);
  for await (const part of chunksToWrite(data)) await promised(OPERATIONS.writeFile(fd, part, options), signal);
}

function chunksToWrite(data: unknown): AsyncIterable<unknown> | Iterable<unknown> {
  const isOne = typeof data !== 'object' || data === null || ArrayBuffer.isView(data);
  const isIterable = !isOne && (Symbol.asyncIterator in data || Symbol.iterator in data);
  return isIterable ? (data as Iterable<unknown>) : [data];
}

/** The result of `opendir()`: the names of the moment at which it was called. */
export class SimDir {
  readonly path: string;
  readonly #entries: object[];
  #isClosed = false;

  constructor(path: string, entries: readonly object[]) {
    this.path = path;
    this.#entries = [...entries];
  }

  readSync(): object | null {
    this.#check();
    return this.#entries.shift() ?? null;
  }

  closeSync(): void {
    this.#check();
    this.#isClosed = true;
  }

  read(callback?: FsCallback): Promise<object | null> | undefined {
    return this.#later(() => this.readSync(), callback);
  }

  close(callback?: FsCallback): Promise<void> | undefined {
    return this.#later(() => this.closeSync(), callback);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<object> {
    try {
      for (let entry = await this.read(); entry; entry = await this.read()) yield entry;
    } finally {
      await this.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) await this.close();
  }

  #later<T>(run: () => T, callback: FsCallback | undefined): Promise<T> | undefined {
    this.#check();
    const { world, place } = onStage();
    if (callback === undefined) return new Promise((resolve) => world.post(place, () => resolve(run())));
    world.post(
      place,
      bound(() => callback(null, run())),
    );
    return undefined;
  }

  #check(): void {
    if (this.#isClosed) throw Object.assign(new Error('Directory handle was closed'), { code: 'ERR_DIR_CLOSED' });
  }
}

export function* openDir(path: unknown, options: unknown): FsSteps<SimDir> {
  const entries = yield* readdir(path, { ...optionsOf(options), withFileTypes: true }, 'opendir');
  return new SimDir(String(path), entries as object[]);
}

/** Opens a directory at once. */
export const openDirNow = (path: unknown, options: unknown): SimDir => runNow(openDir(path, options));
