// The values of node:fs in a simulated program: errors, paths, flags, Stats, Dirent.
//
// Next: node-fs-calls.ts.

import fs, { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { errnoName } from '../base/errno.js';
import { Errno } from '../core/kernel.js';
import type { FileKind } from '../hosts/host.js';
import type { Inode } from './sim-disk.js';

const SECTOR_BYTES = 512; // the unit of Stats.blocks
const BLOCK_BYTES = 4096;

// --- errors ----------------------------------------------------------------------------------------------------------

/** The texts of libuv. */
const TEXTS: Record<number, string> = {
  [Errno.ENOENT]: 'no such file or directory',
  [Errno.EIO]: 'i/o error',
  [Errno.EBADF]: 'bad file descriptor',
  [Errno.ENOMEM]: 'not enough memory',
  [Errno.EEXIST]: 'file already exists',
  [Errno.ENOTDIR]: 'not a directory',
  [Errno.EISDIR]: 'illegal operation on a directory',
  [Errno.EINVAL]: 'invalid argument',
  [Errno.ENFILE]: 'file table overflow',
  [Errno.EMFILE]: 'too many open files',
  [Errno.ENOSPC]: 'no space left on device',
  [Errno.ENAMETOOLONG]: 'name too long',
  [Errno.ENOTEMPTY]: 'directory not empty',
};

/** The paths that a call names, for its error. */
export interface Named {
  readonly path?: string;
  readonly dest?: string;
}

/** A program that means a file of the real disk learns where it has looked instead. */
const REMEDY = 'It has only what the program has written: read or import a real file before simulate()';
const WHERE = `on the disk of the simulation. ${REMEDY}`;

export function fsError(errno: number, syscall: string, { path, dest }: Named): NodeJS.ErrnoException {
  const code = errnoName(errno);
  const to = dest === undefined ? '' : ` -> '${dest}'`;
  const where = path === undefined ? '' : ` '${path}'${to}${errno === Errno.ENOENT ? ` ${WHERE}` : ''}`;
  const error = new Error(`${code}: ${TEXTS[errno]}, ${syscall}${where}`);
  const named = { ...(path === undefined ? {} : { path }), ...(dest === undefined ? {} : { dest }) };
  return Object.assign(error, { errno, code, syscall }, named);
}

export function argumentError(name: string, value: unknown, wanted: string, code = 'ERR_INVALID_ARG_TYPE'): Error {
  const text = `The "${name}" argument must be ${wanted}. Received ${typeof value} ${String(value)}`;
  const made = code === 'ERR_OUT_OF_RANGE' ? new RangeError(text) : new TypeError(text);
  return Object.assign(made, { code });
}

// --- arguments -------------------------------------------------------------------------------------------------------

/** A path as text. */
export function pathText(path: unknown, name = 'path'): string {
  const text =
    path instanceof URL ? fileURLToPath(path) : path instanceof Uint8Array ? Buffer.from(path).toString() : path;
  if (typeof text !== 'string') throw argumentError(name, path, 'of type string or an instance of Buffer or URL');
  if (!text.includes('\0')) return text;
  throw argumentError(name, path, 'a string without null bytes', 'ERR_INVALID_ARG_VALUE');
}

export function descriptorOf(fd: unknown): number {
  if (Number.isInteger(fd)) return fd as number;
  throw argumentError('fd', fd, 'of type number');
}

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND } = constants;
const O_SYNC = constants.O_SYNC ?? 0;
const FLAGS: Record<string, number> = {
  r: O_RDONLY,
  'r+': O_RDWR,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  a: O_WRONLY | O_CREAT | O_APPEND,
  'a+': O_RDWR | O_CREAT | O_APPEND,
};

/** `'wx'` and the like as bits. */
export function flagsOf(flags: unknown = 'r'): number {
  if (typeof flags === 'number') return flags;
  const letters = String(flags ?? 'r');
  const bits = FLAGS[letters.replace(/[xs]/, '')];
  if (bits === undefined) throw argumentError('flags', flags, 'flags of open()', 'ERR_INVALID_ARG_VALUE');
  return bits | (letters.includes('x') ? O_EXCL : 0) | (letters.includes('s') ? O_SYNC : 0);
}

/** Bits of a mode, which may be octal digits. */
export function modeOf(mode: unknown, otherwise: number): number {
  if (mode === undefined || mode === null) return otherwise;
  return (typeof mode === 'string' ? Number.parseInt(mode, 8) : (mode as number)) & 0o7777;
}

/** A time that a program gives to utimes(), ms. */
export function timeOf(time: unknown): number {
  const ms = time instanceof Date ? time.getTime() : Number(time) * 1000;
  if (Number.isFinite(ms)) return ms;
  throw argumentError('time', time, 'a Date or a number of seconds');
}

export interface FsOptions {
  encoding?: BufferEncoding | 'buffer' | null;
  flag?: unknown;
  flags?: unknown;
  mode?: unknown;
  flush?: boolean;
  recursive?: boolean;
  force?: boolean;
  withFileTypes?: boolean;
  bigint?: boolean;
  throwIfNoEntry?: boolean;
  signal?: AbortSignal;
}

/** Options, of which a string is the encoding. */
export function optionsOf(given: unknown): FsOptions {
  if (typeof given === 'string') return { encoding: given as BufferEncoding };
  return typeof given === 'object' && given !== null ? (given as FsOptions) : {};
}

/** The bytes that a program writes. */
export function bytesToWrite(data: unknown, encoding?: unknown): Uint8Array {
  if (typeof data === 'string') {
    return Buffer.from(data, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8');
  }
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  throw argumentError('data', data, 'of type string or an instance of Buffer, TypedArray or DataView');
}

/** Bytes as the program wants them. */
export function encoded(bytes: Buffer, encoding: FsOptions['encoding']): Buffer | string {
  return encoding === undefined || encoding === null || encoding === 'buffer' ? bytes : bytes.toString(encoding);
}

// --- Stats and Dirent ------------------------------------------------------------------------------------------------

const TYPES: Record<FileKind, number> = { file: constants.S_IFREG, directory: constants.S_IFDIR, link: 0, other: 0 };

/** `isFile()` and its relatives. */
class Kind {
  readonly #kind: FileKind;

  constructor(kind: FileKind) {
    this.#kind = kind;
  }

  isFile(): boolean {
    return this.#kind === 'file';
  }
  isDirectory(): boolean {
    return this.#kind === 'directory';
  }
  isSymbolicLink(): boolean {
    return false;
  }
  isBlockDevice(): boolean {
    return false;
  }
  isCharacterDevice(): boolean {
    return false;
  }
  isFIFO(): boolean {
    return false;
  }
  isSocket(): boolean {
    return false;
  }
}

class SimStats extends Kind {}
class SimDirent extends Kind {}

/** `instanceof` knows both classes. */
function standsFor(made: { prototype: object }, real: unknown): void {
  const { prototype } = real as { prototype: object };
  for (const name of Object.getOwnPropertyNames(Kind.prototype)) {
    const shape = Object.getOwnPropertyDescriptor(Kind.prototype, name) as PropertyDescriptor;
    Object.defineProperty(made.prototype, name, shape);
  }
  Object.setPrototypeOf(made.prototype, prototype);
}
standsFor(SimStats, fs.Stats);
standsFor(SimDirent, fs.Dirent);

type Times = Pick<Inode, 'atimeMs' | 'mtimeMs' | 'ctimeMs' | 'birthtimeMs'>;
const TIMES = ['atime', 'mtime', 'ctime', 'birthtime'] as const;

/** An own property, also where the class has an accessor of that name. */
function put(target: object, values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
  }
}

/** A copy: later changes of the file do not show in it. */
export function statsOf(inode: Inode, isBig = false): object {
  const stats = new SimStats(inode.kind);
  const numbers = {
    dev: 1,
    mode: TYPES[inode.kind] | inode.mode,
    nlink: inode.links,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: BLOCK_BYTES,
    ino: inode.number,
    size: inode.size,
    blocks: Math.ceil(inode.size / SECTOR_BYTES),
  };
  for (const [name, value] of Object.entries(numbers)) put(stats, { [name]: isBig ? BigInt(value) : value });
  for (const time of TIMES) {
    const ms = (inode as Times)[`${time}Ms`];
    put(stats, { [`${time}Ms`]: isBig ? BigInt(Math.trunc(ms)) : ms });
    if (isBig) put(stats, { [`${time}Ns`]: BigInt(Math.trunc(ms)) * 1_000_000n + BigInt(Math.trunc((ms % 1) * 1e6)) });
    put(stats, { [time]: new Date(ms) });
  }
  return stats;
}

/** `path`: of the directory that it is in. */
export function direntOf(name: string, kind: FileKind, path: string): object {
  const entry = new SimDirent(kind);
  put(entry, { name, parentPath: path, path });
  return entry;
}
