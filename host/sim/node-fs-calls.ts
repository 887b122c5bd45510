// The functions of node:fs as steps. A step is one system call; between two of them other shards run, and the power may
// fail. So each function is written once, and runs in three ways:
//
//   readFileSync()           all steps at once, and time passes      \
//   readFile(path, callback) each step after a time of its own         > node-fs.ts
//   promises.readFile()      the same, with a promise                /
//
// An error of an argument is thrown before the first step.
//
// Next: node-fs.ts.

import { constants, type Stats } from 'node:fs';
import { join } from 'node:path';
import {
  Errno,
  OP_FTRUNCATE,
  OP_MKDIRAT,
  OP_NOP,
  OP_OPENAT2,
  OP_READ,
  OP_RENAMEAT,
  OP_STATX,
  OP_UNLINKAT,
  OP_WRITE,
} from '../core/kernel.js';
import type { Descriptor } from './descriptors.js';
import {
  argumentError,
  bytesToWrite,
  descriptorOf,
  direntOf,
  encoded,
  type FsOptions,
  flagsOf,
  fsError,
  modeOf,
  type Named,
  optionsOf,
  pathText,
  statsOf,
  timeOf,
} from './node-fs-values.js';
import type { Found, Inode } from './sim-disk.js';
import type { SimHost } from './sim-host.js';

const UMASK = 0o022;

/** One system call. `run` returns its result or -errno. */
export interface SystemCall {
  readonly name: string;
  readonly opcode: number;
  readonly named: Named;
  run(host: SimHost): unknown;
}

export type FsSteps<T> = Generator<SystemCall, T, unknown>;

function* systemCall<T>(
  name: string,
  opcode: number,
  named: Named,
  run: (host: SimHost) => T | number,
): Generator<SystemCall, T, unknown> {
  const result = yield { name, opcode, named, run };
  if (typeof result === 'number' && result < 0) throw fsError(result, name, named);
  return result as T;
}

// --- system calls on names -------------------------------------------------------------------------------------------

function findPath({ disk }: SimHost, path: string): Found | number {
  if (path === '') return Errno.ENOENT;
  return disk.volume.find(disk.volume.root, path, false);
}

/** A call on something that exists. */
function onInode<T>(name: string, opcode: number, path: string, run: (inode: Inode, host: SimHost) => T | number) {
  return systemCall<T>(name, opcode, { path }, (host) => {
    const found = findPath(host, path);
    if (typeof found === 'number') return found;
    return found.inode === undefined ? Errno.ENOENT : run(found.inode, host);
  });
}

export function* openPath(path: unknown, flags?: unknown, mode?: unknown): FsSteps<number> {
  const text = pathText(path);
  const bits = flagsOf(flags);
  const rights = modeOf(mode, 0o666) & ~UMASK;
  return yield* systemCall<number>('open', OP_OPENAT2, { path: text }, (host) => {
    const found = findPath(host, text);
    if (typeof found === 'number') return found;
    const install = (file: Descriptor['file']) => {
      const fd = host.descriptors.add(file, text);
      return fd < 0 ? Errno.EBADF : fd;
    };
    return host.disk.open(found, bits, rights, install);
  });
}

function* statCall(name: string, path: unknown, options: unknown): FsSteps<object | undefined> {
  const text = pathText(path);
  const { bigint, throwIfNoEntry } = optionsOf(options);
  try {
    return yield* onInode<object>(name, OP_STATX, text, (inode) => statsOf(inode, bigint));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || (code === 'ENOTDIR' && name === 'stat'); // as Node's: lstat() throws then
    if (isMissing && throwIfNoEntry === false) return undefined;
    throw error;
  }
}

/** There are no access rights: what exists may be used. */
function* access(path: unknown): FsSteps<undefined> {
  yield* onInode('access', OP_STATX, pathText(path), () => 0);
}

function* exists(path: unknown): FsSteps<boolean> {
  try {
    yield* access(path);
    return true;
  } catch {
    return false; // whatever the reason, as Node's does
  }
}

function* makeDirectory(path: string, mode: number, name = 'mkdir', shown = path): FsSteps<undefined> {
  yield* systemCall(name, OP_MKDIRAT, { path: shown }, (host) => {
    const found = findPath(host, path);
    return typeof found === 'number' ? found : host.disk.makeDirectory(found, mode);
  });
}

function* removePath(name: string, path: string): FsSteps<undefined> {
  yield* systemCall(name, OP_UNLINKAT, { path }, (host) => {
    const found = findPath(host, path);
    if (typeof found === 'number') return found;
    return host.disk.remove(found, name === 'rmdir');
  });
}

function* rename(from: unknown, to: unknown): FsSteps<undefined> {
  const named = { path: pathText(from, 'oldPath'), dest: pathText(to, 'newPath') };
  yield* systemCall('rename', OP_RENAMEAT, named, (host) => {
    const [source, target] = [findPath(host, named.path), findPath(host, named.dest)];
    if (typeof source === 'number') return source;
    return typeof target === 'number' ? target : host.disk.rename(source, target, true);
  });
}

interface ListedName {
  readonly name: string;
  readonly kind: Inode['kind'];
}

function* list(path: string, syscall: string): FsSteps<ListedName[]> {
  return yield* onInode<ListedName[]>(syscall, OP_STATX, path, (inode) => {
    if (!inode.isDirectory) return Errno.ENOTDIR;
    const entries = [...inode.names].map(([name, { kind }]) => ({ name, kind }));
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1)); // as libuv does
  });
}

/** Changes what Stats shows. The disk keeps it at a power failure, too. */
function* setStats(name: string, target: unknown, set: (inode: Inode) => void): FsSteps<undefined> {
  const change = (inode: Inode, host: SimHost) => {
    set(inode);
    inode.ctimeMs = host.disk.nowMs;
    return 0;
  };
  if (typeof target === 'number')
    yield* onOpen(`f${name}`, OP_NOP, target, ({ file }, host) => change(file.inode, host));
  else yield* onInode(name, OP_NOP, pathText(target), change);
}

/** There are no owners: nothing changes. */
function* chown(target: unknown): FsSteps<undefined> {
  yield* setStats('chown', target, () => {});
}

function* chmod(target: unknown, mode: unknown): FsSteps<undefined> {
  const bits = modeOf(mode, 0);
  yield* setStats('chmod', target, (inode) => {
    inode.mode = bits;
  });
}

function* utimes(target: unknown, atime: unknown, mtime: unknown): FsSteps<undefined> {
  const times = { atimeMs: timeOf(atime), mtimeMs: timeOf(mtime) };
  yield* setStats('utime', target, (inode) => void Object.assign(inode, times));
}

// --- system calls on open files --------------------------------------------------------------------------------------

function onOpen<T>(name: string, opcode: number, fd: unknown, run: (open: Descriptor, host: SimHost) => T | number) {
  const number = descriptorOf(fd);
  return systemCall<T>(name, opcode, {}, (host) => {
    const open = host.descriptors.get(number);
    return open === undefined ? Errno.EBADF : run(open, host);
  });
}

export function* close(fd: unknown): FsSteps<undefined> {
  const number = descriptorOf(fd);
  yield* systemCall('close', OP_NOP, {}, ({ descriptors }) => (descriptors.close(number) ? 0 : Errno.EBADF));
}

/** `position` null: at the cursor, which moves. */
export function* readInto(fd: unknown, into: Uint8Array, position: number | null): FsSteps<number> {
  return yield* onOpen<number>('read', OP_READ, fd, (open, { disk }) => {
    const bytes = disk.read(open.file, position ?? open.position, into.length);
    if (typeof bytes === 'number') return bytes;
    into.set(bytes);
    if (position === null) open.position += bytes.length;
    return bytes.length;
  });
}

/** It may write fewer bytes. */
export function* writeFrom(fd: unknown, bytes: Uint8Array, position: number | null): FsSteps<number> {
  return yield* onOpen<number>('write', OP_WRITE, fd, (open, { disk }) => {
    const count = disk.write(open.file, position ?? open.position, bytes);
    const { inode, flags } = open.file;
    const isAtEnd = (flags & constants.O_APPEND) !== 0;
    if (position === null && count > 0) open.position = isAtEnd ? inode.size : open.position + count;
    return count;
  });
}

export function* fsync(fd: unknown): FsSteps<undefined> {
  yield* onOpen('fsync', OP_NOP, fd, ({ file }, { disk }) => disk.sync(file.inode));
}

export function* ftruncate(fd: unknown, size: unknown = 0): FsSteps<undefined> {
  const bytes = Math.max(0, Number(size));
  yield* onOpen('ftruncate', OP_FTRUNCATE, fd, ({ file }, { disk }) => {
    if (!file.isWritable || file.inode.isDirectory) return Errno.EINVAL;
    return disk.truncate(file.inode, bytes);
  });
}

export function* fstat(fd: unknown, options?: unknown): FsSteps<object> {
  const { bigint } = optionsOf(options);
  return yield* onOpen<object>('fstat', OP_STATX, fd, ({ file }) => statsOf(file.inode, bigint));
}

// --- functions of several system calls -------------------------------------------------------------------------------

const READ_BYTES = 65_536;

/** Runs steps with an open file; one that was opened here is closed behind them. */
function* withFile<T>(target: unknown, flags: unknown, mode: unknown, run: (fd: number) => FsSteps<T>): FsSteps<T> {
  if (typeof target === 'number') return yield* run(target);
  const fd = yield* openPath(target, flags, mode);
  try {
    return yield* run(fd);
  } finally {
    yield* close(fd);
  }
}

function* readAll(fd: number): FsSteps<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const part = Buffer.alloc(READ_BYTES);
    const count = yield* readInto(fd, part, null);
    if (count === 0) return Buffer.concat(parts);
    parts.push(part.subarray(0, count));
  }
}

function* writeAll(fd: number, bytes: Uint8Array): FsSteps<undefined> {
  for (let at = 0; at < bytes.length; ) at += yield* writeFrom(fd, bytes.subarray(at), null);
}

function* readWholeFile(target: unknown, given: unknown): FsSteps<Buffer | string> {
  const { encoding, flag } = optionsOf(given);
  return encoded(yield* withFile(target, flag, undefined, readAll), encoding);
}

function* putFile(target: unknown, data: unknown, given: unknown, otherwise: string): FsSteps<undefined> {
  const { encoding, flag, mode, flush } = optionsOf(given);
  const bytes = bytesToWrite(data, encoding);
  yield* withFile(target, flag ?? otherwise, mode, function* (fd) {
    yield* writeAll(fd, bytes);
    if (flush) yield* fsync(fd);
    return undefined;
  });
}

function* truncate(path: unknown, size: unknown): FsSteps<undefined> {
  yield* withFile(path, 'r+', undefined, (fd) => ftruncate(fd, size));
}

/** If the copy fails, the target is removed, also one that was there before: libuv does so. */
function* copyFile(from: unknown, to: unknown, mode: unknown = 0): FsSteps<undefined> {
  const [source, target] = [pathText(from, 'src'), pathText(to, 'dest')];
  const exclusive = (Number(mode) & constants.COPYFILE_EXCL) === 0 ? 0 : constants.O_EXCL;
  const flags = constants.O_WRONLY | constants.O_CREAT | exclusive;
  try {
    yield* withFile(source, 'r', undefined, function* (input) {
      const own = (yield* fstat(input)) as Stats;
      const output = yield* openPath(target, flags, own.mode);
      yield* copyInto(input, output, target, own);
      return undefined;
    });
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    throw errno === undefined ? error : fsError(errno, 'copyfile', { path: source, dest: target });
  }
}

function* copyInto(input: number, output: number, target: string, own: Stats): FsSteps<undefined> {
  let isDone = false;
  try {
    const { ino } = (yield* fstat(output)) as Stats;
    if (ino !== own.ino) {
      yield* ftruncate(output, 0);
      yield* chmod(output, own.mode);
      yield* writeAll(output, yield* readAll(input));
    }
    isDone = true;
  } finally {
    yield* close(output);
    if (!isDone) yield* removePath('unlink', target);
  }
}

function* mkdir(path: unknown, given: unknown): FsSteps<string | undefined> {
  const text = pathText(path);
  const { recursive, mode } = typeof given === 'object' ? optionsOf(given) : ({ mode: given } as FsOptions);
  const rights = modeOf(mode, 0o777) & ~UMASK;
  if (!recursive) return yield* makeDirectory(text, rights);
  const names = join('/', text).split('/').filter(Boolean);
  let first: string | undefined;
  for (let count = 1; count <= names.length; count++) {
    const each = `/${names.slice(0, count).join('/')}`;
    try {
      yield* makeDirectory(each, rights);
      first ??= each;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const isDirectory = yield* onInode<boolean>('mkdir', OP_STATX, each, (inode) => inode.isDirectory);
      if (!isDirectory) throw count === names.length ? error : fsError(Errno.ENOTDIR, 'mkdir', { path: text });
    }
  }
  return first;
}

function* rm(path: unknown, given: unknown): FsSteps<undefined> {
  const text = pathText(path);
  const { recursive, force } = optionsOf(given);
  try {
    const isDirectory = yield* onInode<boolean>('rm', OP_STATX, text, (inode) => inode.isDirectory);
    if (!isDirectory) return yield* removePath('unlink', text);
    if (!recursive) {
      const error = fsError(Errno.EISDIR, 'rm', { path: text });
      throw Object.assign(error, { code: 'ERR_FS_EISDIR' });
    }
    for (const { name } of yield* list(text, 'rm')) yield* rm(join(text, name), { recursive, force });
    return yield* removePath('rmdir', text);
  } catch (error) {
    if (force && (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function* rmdir(path: unknown, given: unknown): FsSteps<undefined> {
  if (optionsOf(given).recursive) yield* rm(path, { recursive: true });
  else yield* removePath('rmdir', pathText(path));
}

type Walk = FsSteps<(ListedName & { inside: string })[]>;

/** A path within a directory. The directory's own path is left as it was given: what is before its `..` must exist. */
const within = (path: string, inside: string) => (inside === '' ? path : join(path, inside));

function* walk(path: string, isDeep: boolean, prefix: string, syscall: string): Walk {
  const all = [];
  for (const entry of yield* list(within(path, prefix), syscall)) {
    all.push({ ...entry, inside: prefix });
    if (isDeep && entry.kind === 'directory') all.push(...(yield* walk(path, true, join(prefix, entry.name), syscall)));
  }
  return all;
}

/** `syscall`: the name that errors have. */
export function* readdir(path: unknown, given: unknown, syscall = 'scandir'): FsSteps<unknown[]> {
  const text = pathText(path);
  const { withFileTypes, recursive, encoding } = optionsOf(given);
  const entries = yield* walk(text, recursive === true, '', syscall);
  return entries.map(({ name, kind, inside }) => {
    if (withFileTypes) return direntOf(name, kind, within(text, inside));
    const found = join(inside, name);
    return inEncoding(found, encoding);
  });
}

/** A name or a path as the program wants it. */
function inEncoding(name: string, encoding: FsOptions['encoding']): string | Buffer {
  return encoding === 'buffer' ? Buffer.from(name) : name;
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const DRAWN_LETTERS = 6;

function* mkdtemp(given: unknown, options: unknown): FsSteps<string | Buffer> {
  const draw = () => LETTERS[Math.floor(Math.random() * LETTERS.length)];
  const prefix = pathText(given, 'prefix');
  const path = prefix + Array.from({ length: DRAWN_LETTERS }, draw).join('');
  yield* makeDirectory(path, 0o700, 'mkdtemp', prefix + 'X'.repeat(DRAWN_LETTERS));
  return inEncoding(path, optionsOf(options).encoding);
}

/** There are no links, so a path is real if it has no dots. */
function* realpath(path: unknown, options: unknown): FsSteps<string | Buffer> {
  return yield* realpathNative(join('/', pathText(path)), options);
}

/** The kernel's: what is before `..` must exist. */
export function* realpathNative(path: unknown, options?: unknown): FsSteps<string | Buffer> {
  const text = pathText(path);
  yield* onInode('realpath', OP_STATX, text, () => 0);
  const whole = join('/', text);
  const isLong = whole.length > 1 && whole.endsWith('/');
  return inEncoding(isLong ? whole.slice(0, -1) : whole, optionsOf(options).encoding);
}

function* readlink(path: unknown): FsSteps<undefined> {
  yield* onInode('readlink', OP_STATX, pathText(path), () => Errno.EINVAL);
}

/** The steps of each function that has the same name at once, with a callback, and with a promise. */
export const OPERATIONS = {
  access,
  appendFile: (target, data, options) => putFile(target, data, options, 'a'),
  chmod,
  chown,
  copyFile,
  lchown: chown,
  lstat: (path, options) => statCall('lstat', path, options),
  lutimes: utimes,
  mkdir,
  mkdtemp,
  readdir: (path, options) => readdir(path, options),
  readFile: readWholeFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat: (path, options) => statCall('stat', path, options),
  truncate,
  unlink: (path) => removePath('unlink', pathText(path)),
  utimes,
  writeFile: (target, data, options) => putFile(target, data, options, 'w'),
} satisfies Record<string, (...args: unknown[]) => FsSteps<unknown>>;

/** Those that the promises have as methods of a FileHandle, or not at all. */
export const DESCRIPTOR_OPERATIONS = {
  close,
  exists,
  fchmod: chmod,
  fchown: chown,
  fdatasync: fsync,
  fstat,
  fsync,
  ftruncate,
  futimes: utimes,
  open: openPath,
} satisfies Record<string, (...args: unknown[]) => FsSteps<unknown>>;

// --- read() and write(), whose arguments have many shapes ------------------------------------------------------------

interface BytesAt {
  /** The object that the program gave. */
  readonly buffer: unknown;
  readonly bytes: Uint8Array;
  readonly position: number | null;
}

interface BytesAtOptions {
  buffer?: ArrayBufferView;
  offset?: number;
  length?: number;
  position?: number | bigint | null;
}

/** `(buffer, offset, length, position)`, `(buffer, options)` or `(options)`. */
export function placeToRead(args: readonly unknown[]): BytesAt {
  const [first, second] = args;
  const isView = ArrayBuffer.isView(first);
  const options: BytesAtOptions =
    isView && typeof second !== 'object' ? shapeOf(args) : ((isView ? second : first) ?? {});
  const buffer = isView ? first : (options.buffer ?? Buffer.alloc(READ_BYTES / 4));
  const { offset = 0, length = buffer.byteLength - offset, position = null } = options;
  const isWithin = offset >= 0 && length >= 0 && offset + length <= buffer.byteLength;
  if (!isWithin) throw argumentError('length', length, `within ${buffer.byteLength} bytes`, 'ERR_OUT_OF_RANGE');
  return {
    buffer,
    bytes: new Uint8Array(buffer.buffer, buffer.byteOffset + offset, length),
    position: positionOf(position),
  };
}

function shapeOf([, offset, length, position]: readonly unknown[]): BytesAtOptions {
  const given = { offset, length, position };
  const set = Object.entries(given).filter(
    ([name, value]) => value !== undefined && (value !== null || name === 'position'),
  );
  return Object.fromEntries(set);
}

/** The bytes for write(): arguments like those of read(), or `(text, position, encoding)`. */
export function placeToWrite(args: readonly unknown[]): BytesAt {
  const [data, position, encoding] = args;
  if (typeof data !== 'string') return { ...placeToRead([bytesToWrite(data), ...args.slice(1)]), buffer: data };
  const bytes = bytesToWrite(data, encoding);
  return { buffer: data, bytes, position: positionOf(position) };
}

/** Null: at the cursor. Node's WriteStream says NaN for that. */
function positionOf(position: unknown): number | null {
  const isGiven = typeof position === 'number' || typeof position === 'bigint';
  return isGiven && position >= 0 ? Number(position) : null;
}

/** Buffers one after the other, until one is not full. */
export function* readMany(fd: unknown, buffers: readonly ArrayBufferView[], position: number | null): FsSteps<number> {
  return yield* eachOf(buffers, position, (bytes, at) => readInto(fd, bytes, at));
}

export function* writeMany(fd: unknown, buffers: readonly ArrayBufferView[], position: number | null): FsSteps<number> {
  return yield* eachOf(buffers, position, (bytes, at) => writeFrom(fd, bytes, at));
}

function* eachOf(
  buffers: readonly ArrayBufferView[],
  position: number | null,
  run: (bytes: Uint8Array, at: number | null) => FsSteps<number>,
): FsSteps<number> {
  let total = 0;
  for (const buffer of buffers) {
    const bytes = bytesToWrite(buffer);
    const count = yield* run(bytes, position === null ? null : position + total);
    total += count;
    if (count < bytes.length) break;
  }
  return total;
}
