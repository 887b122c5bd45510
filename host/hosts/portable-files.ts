// Files of the portable host, over node:fs. A directory is a real path here. A path beneath it is resolved first, and
// the result must be beneath it, in the same file system. Then the name that was found is opened, without following a
// link, and what was opened is looked at once more.
//
// That is weaker than the kernel's check (RESOLVE_BENEATH). A program that moves directories between the two steps can
// lead an open out, but not into another file system. Links that lead out and come back are followed. This is
// documented in docs/fs.md.
//
// An operation that node:fs has begun cannot be taken back. So a cancellation changes nothing, as mostly with the
// kernel. The operation completes when it is done, and a caller that waits for an idle handle waits for that. When the
// host closes, what is brought late is dropped, and a file that was opened is closed.
//
// Next: portable-window.ts.

import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  link,
  lstat,
  mkdir,
  open,
  read,
  realpath,
  realpathSync,
  rename,
  rmdir,
  type Stats,
  statSync,
  unlink,
  write,
} from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import {
  AT_REMOVEDIR,
  Errno,
  FILE_INDEX_ALLOC,
  HOW_BYTES,
  OP_MKDIRAT,
  OP_OPENAT2,
  OP_RENAMEAT,
  OP_STATX,
  OP_UNLINKAT,
  SQE_CQE_SKIP_SUCCESS,
  STATX_BYTES,
} from '../core/kernel.js';
import { isWithin, makeRoot, type Root } from './file-systems.js';
import type { Directories, DirectoryEntry } from './host.js';
import { errnoOf, type Op, type OpOwner, type PortableWindow } from './portable-window.js';
import { readDirectory, readLinkIn } from './read-directory.js';

/** Directories that a shard can have open (host/native/ring.h). */
export const DIRECTORY_SLOTS = 64;

const PATH_BYTES = 1024;
const MODE_MAX = 0o777;
const SIZE_MAX = 2 ** 52 - 1; // Bun throws beyond it

// Windows has none of these.
const O_NOFOLLOW = constants.O_NOFOLLOW ?? 0;
const O_DIRECTORY = constants.O_DIRECTORY ?? 0;
const O_NONBLOCK = constants.O_NONBLOCK ?? 0;
const { O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND } = constants;
const OPEN_FLAGS = O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK;

const isDeno = 'Deno' in globalThis; // its unlink() removes an empty directory, too

/** Whether an operation names files by a directory and a path. */
export function isPathOp(opcode: number): boolean {
  return opcode === OP_OPENAT2 || opcode === OP_STATX || (opcode >= OP_RENAMEAT && opcode <= OP_MKDIRAT);
}

type Failure = NodeJS.ErrnoException | null | undefined;

/** Operations that node:fs has and that are not answered yet. */
class PendingFileOp implements OpOwner {
  readonly #window: PortableWindow;
  readonly #ops = new Set<Op>();

  constructor(window: PortableWindow) {
    this.#window = window;
  }

  begin(op: Op): void {
    this.#window.open(op, this);
    this.#ops.add(op);
  }

  /** False: the host or the file was closed, and no caller waits for this. */
  end(op: Op, result: number): boolean {
    if (!this.#ops.delete(op)) return false;
    this.#window.finish(op, result);
    return true;
  }

  isOpen(op: Op): boolean {
    return this.#ops.has(op);
  }

  /** It cannot be: see above. */
  cancel(): void {}

  /** But for what node:fs still reads or writes where it lies: that has not ended. */
  endAll(): void {
    for (const op of this.#ops) if (op.memory !== this.#window.blocks) this.end(op, Errno.ECANCELED);
  }
}

/** A file in a slot. */
export class PortableOpenFile {
  readonly #window: PortableWindow;
  readonly #fd: number;
  readonly #appends: boolean;
  readonly #pending: PendingFileOp;
  #busy = 0; // calls of node:fs that have the descriptor
  #isClosed = false;

  constructor(window: PortableWindow, fd: number, flags: number) {
    this.#window = window;
    this.#fd = fd;
    this.#appends = (flags & O_APPEND) !== 0;
    this.#pending = new PendingFileOp(window);
  }

  #begin(op: Op): void {
    this.#pending.begin(op);
    this.#busy++;
  }

  #end(op: Op, result: number): void {
    this.#pending.end(op, result);
    this.#busy--;
    this.#closeIfIdle();
  }

  /** A block is its owner's until the operation has ended, so node:fs gets it as it is. Linear memory may be reused. */
  read(op: Op, position: number): void {
    const isBlock = op.memory === this.#window.blocks;
    const bytes = isBlock ? op.memory.subarray(op.ptr, op.ptr + op.len) : Buffer.allocUnsafe(op.len);
    this.#begin(op);
    read(this.#fd, bytes, 0, op.len, position, (error: Failure, count) => {
      if (!error && !isBlock && this.#pending.isOpen(op)) bytes.copy(op.memory, op.ptr, 0, count);
      this.#end(op, error ? errnoOf(error) : count);
    });
  }

  write(op: Op, position: number): void {
    const there = op.memory.subarray(op.ptr, op.ptr + op.len);
    const bytes = op.memory === this.#window.blocks ? there : Buffer.from(there);
    this.#begin(op);
    write(this.#fd, bytes, 0, op.len, this.#appends ? null : position, (error: Failure, count) => {
      this.#end(op, error ? errnoOf(error) : count);
    });
  }

  sync(op: Op, dataOnly: boolean): void {
    this.#begin(op);
    (dataOnly ? fdatasync : fsync)(this.#fd, (error) => this.#end(op, error ? errnoOf(error) : 0));
  }

  truncate(op: Op, size: number): void {
    this.#begin(op);
    if (size > SIZE_MAX) this.#end(op, Errno.EFBIG);
    else ftruncate(this.#fd, size, (error) => this.#end(op, error ? errnoOf(error) : 0));
  }

  close(): void {
    this.#isClosed = true;
    this.#pending.endAll();
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    if (this.#isClosed && this.#busy === 0) close(this.#fd, ignore);
  }
}

/** Closing a file that was closed for its owner: no owner must be told. */
function ignore(): void {}

export class PortableFiles implements Directories {
  readonly #window: PortableWindow;
  readonly #install: (file: PortableOpenFile) => number;
  readonly #pending: PendingFileOp;
  readonly #roots: (Root | undefined)[] = new Array(DIRECTORY_SLOTS).fill(undefined);

  /** `install`: puts a file into a slot, or returns -1. */
  constructor(window: PortableWindow, install: (file: PortableOpenFile) => number) {
    this.#window = window;
    this.#install = install;
    this.#pending = new PendingFileOp(window);
  }

  // --- directories ---------------------------------------------------------------------------------------------------

  open(path: string, parent?: number, crossMounts = false): number {
    const index = this.#roots.indexOf(undefined);
    if (index < 0) return Errno.EMFILE;
    const root = parent === undefined ? undefined : this.#roots[parent];
    if (parent !== undefined && root === undefined) return Errno.EBADF;
    if (root !== undefined && leadsOut(path)) return Errno.EXDEV;
    try {
      const real = realpathSync.native(root === undefined ? path : beneath(root.path, path));
      if (root !== undefined && !isBeneath(root.path, real)) return Errno.EXDEV;
      const stats = statSync(real);
      if (!stats.isDirectory()) return Errno.ENOTDIR;
      if (root !== undefined && !crossMounts && stats.dev !== root.device) return Errno.EXDEV;
      const made = makeRoot(real, stats);
      if (made === undefined) return Errno.ENODEV;
      this.#roots[index] = made;
      return index;
    } catch (error) {
      return errnoOf(error);
    }
  }

  close(index: number): void {
    this.#roots[index] = undefined;
  }

  list(index: number): Promise<DirectoryEntry[]> {
    return readDirectory(this.#roots[index]?.path ?? '');
  }

  readLink(index: number, name: string): Promise<string> {
    return readLinkIn(this.#roots[index]?.path ?? '', name);
  }

  /** The host closes: later results of node:fs are dropped. */
  shutDown(): void {
    this.#pending.endAll();
  }

  // --- submissions ---------------------------------------------------------------------------------------------------

  /** Returns 0, or the reason for a refusal, as directory.c does. `words`: a copy of the submission. */
  take(op: Op, opcode: number, ioprio: number, words: Int32Array): number {
    const root = this.#roots[words[1] as number];
    if (root === undefined) return Errno.EBADF;
    if (ioprio !== 0) return Errno.EINVAL;
    const path = this.#text((words[4] as number) >>> 0, words[5] as number);
    if (typeof path === 'number') return path;
    if (opcode === OP_OPENAT2) return this.#open(op, root, path, words);
    if (path.includes('/') || path === '.' || path === '..') return Errno.EPERM;
    const whole = join(root.path, path);
    if (opcode === OP_STATX) return this.#stat(op, whole, words);
    if (opcode === OP_RENAMEAT) return this.#rename(op, whole, words);
    if (words[2] !== 0 || words[3] !== 0 || words[11] !== 0) return Errno.EINVAL;
    if (opcode === OP_UNLINKAT) return this.#remove(op, whole, words[7] as number);
    if (op.len > MODE_MAX || words[7] !== 0) return Errno.EINVAL;
    this.#pending.begin(op);
    mkdir(whole, op.len, (error) => this.#pending.end(op, error ? errnoOf(error) : 0));
    return 0;
  }

  /** A path in memory, or why it is none. */
  #text(at: number, high: number): string | number {
    const bytes = this.#window.region(high);
    if (at >= bytes.length) return Errno.EFAULT;
    const copy = Buffer.from(bytes.subarray(at, at + PATH_BYTES));
    const end = copy.indexOf(0);
    if (end < 0) return copy.length === PATH_BYTES ? Errno.ENAMETOOLONG : Errno.EFAULT;
    const path = copy.toString('utf8', 0, end);
    if (sep === '\\' && /[\\:]/.test(path)) return Errno.EINVAL; // Windows: other ways to say / and to lead out
    return end === 0 ? Errno.ENOENT : path;
  }

  #open(op: Op, root: Root, path: string, words: Int32Array): number {
    const at = (words[2] as number) >>> 0;
    const bytes = this.#window.region(words[3] as number);
    if (op.len !== HOW_BYTES || words[7] !== 0 || words[11] !== FILE_INDEX_ALLOC) return Errno.EINVAL;
    if ((((words[0] as number) >>> 8) & SQE_CQE_SKIP_SUCCESS) !== 0) return Errno.EINVAL;
    if (!this.#window.has(bytes, at, HOW_BYTES)) return Errno.EFAULT;
    const how = Buffer.from(bytes.subarray(at, at + HOW_BYTES));
    const [flags, mode] = [how.readUInt32LE(0), how.readUInt32LE(8)];
    const high = how.readUInt32LE(4) | how.readUInt32LE(12) | how.readUInt32LE(16) | how.readUInt32LE(20);
    if ((flags & ~OPEN_FLAGS) !== 0 || mode > MODE_MAX || high !== 0) return Errno.EINVAL;
    this.#pending.begin(op);
    this.#resolve(root, path, flags, (errno, real) => {
      if (errno !== 0) this.#pending.end(op, errno);
      else if (this.#pending.isOpen(op)) this.#openReal(op, root, real, flags, mode);
    });
    return 0;
  }

  /** Where a path leads beneath `root`; a file that is to be made may be missing. */
  #resolve(root: Root, path: string, flags: number, callback: (errno: number, real: string) => void): void {
    if (leadsOut(path)) {
      callback(Errno.EXDEV, '');
      return;
    }
    const whole = beneath(root.path, path);
    /** `last`: what is to be made in `real`. */
    const found = (error: Failure, real: string, last = '') => {
      if (error) callback(errnoOf(error), '');
      else if (!isBeneath(root.path, real)) callback(Errno.EXDEV, '');
      else {
        lstat(real, (failure, stats) => {
          if (failure) callback(errnoOf(failure), '');
          else isWithin(root, stats, real, (isInside) => callback(isInside ? 0 : Errno.EXDEV, join(real, last)));
        });
      }
    };
    realpath.native(whole, (error: Failure, real) => {
      const makes = (flags & O_CREAT) !== 0;
      if (errnoOf(error) !== Errno.ENOENT || !makes) {
        if (!error && makes && (flags & O_EXCL) !== 0) callback(Errno.EEXIST, '');
        else found(error, real);
      } else realpath.native(dirname(whole), (e: Failure, parent) => found(e, parent, basename(whole)));
    });
  }

  #openReal(op: Op, root: Root, real: string, flags: number, mode: number): void {
    // Without O_NONBLOCK a pipe without a writer would block one of Node's four threads for ever.
    open(real, flags | O_NOFOLLOW | O_NONBLOCK, mode, (error: Failure, fd) => {
      if (error) {
        this.#pending.end(op, errnoOf(error));
        return;
      }
      if (!this.#pending.isOpen(op)) {
        close(fd, ignore);
        return;
      }
      fstat(fd, (failure, stats) => {
        if (failure) this.#opened(op, fd, flags, errnoOf(failure));
        else isWithin(root, stats, `/proc/self/fd/${fd}`, (is) => this.#opened(op, fd, flags, is ? 0 : Errno.EXDEV));
      });
    });
  }

  /** `errno`: 0, or why the file is closed again. */
  #opened(op: Op, fd: number, flags: number, errno: number): void {
    const isWanted = errno === 0 && this.#pending.isOpen(op);
    if (!isWanted) {
      close(fd, ignore);
      this.#pending.end(op, errno);
      return;
    }
    const file = new PortableOpenFile(this.#window, fd, flags);
    const slot = this.#install(file);
    if (slot < 0) file.close();
    this.#pending.end(op, slot < 0 ? Errno.ENFILE : slot);
  }

  #stat(op: Op, whole: string, words: Int32Array): number {
    const at = (words[2] as number) >>> 0;
    const bytes = this.#window.region(words[3] as number);
    if (words[7] !== 0 || words[11] !== 0) return Errno.EINVAL;
    if (!this.#window.has(bytes, at, STATX_BYTES)) return Errno.EFAULT;
    this.#pending.begin(op);
    lstat(whole, (error, stats) => {
      if (!error && this.#pending.isOpen(op)) putStat(bytes, at, stats);
      this.#pending.end(op, error ? errnoOf(error) : 0);
    });
    return 0;
  }

  #rename(op: Op, whole: string, words: Int32Array): number {
    const root = this.#roots[op.len];
    if (root === undefined) return Errno.EBADF;
    if (((words[7] as number) & ~1) !== 0 || words[11] !== 0) return Errno.EINVAL;
    const name = this.#text((words[2] as number) >>> 0, words[3] as number);
    if (typeof name === 'number') return name;
    if (name.includes('/') || name === '.' || name === '..') return Errno.EPERM;
    const to = join(root.path, name);
    const end = (error: Failure) => this.#pending.end(op, error ? errnoOf(error) : 0);
    this.#pending.begin(op);
    if (words[7] === 0) rename(whole, to, end);
    else this.#renameIfFree(op, whole, to, end);
    return 0;
  }

  /**
   * Node has no rename that leaves alone what is there. For a file, to link it and to remove the old name is as good:
   * of two who want the name one gets it. A file that cannot be linked is renamed if the target did not exist.
   */
  #renameIfFree(op: Op, from: string, to: string, end: (error: Failure) => void): void {
    const look = () =>
      lstat(to, (error) => {
        if (!error) this.#pending.end(op, Errno.EEXIST);
        else if (this.#pending.isOpen(op)) rename(from, to, end);
      });
    lstat(from, (error, stats) => {
      if (error) end(error);
      else if (!this.#pending.isOpen(op)) return;
      else if (!stats.isFile()) look();
      else {
        link(from, to, (failure: Failure) => {
          if (!failure) unlink(from, (error: Failure) => (error ? unlink(to, () => end(error)) : end(null)));
          else if (errnoOf(failure) === Errno.EEXIST) end(failure);
          else look(); // also where there are no hard links, or none to files of others
        });
      }
    });
  }

  #remove(op: Op, whole: string, flags: number): number {
    if ((flags & ~AT_REMOVEDIR) !== 0 || op.len !== 0) return Errno.EINVAL;
    this.#pending.begin(op);
    const end = (error: Failure) => this.#pending.end(op, error ? errnoOf(error) : 0);
    if (flags !== 0) rmdir(whole, end);
    else if (!isDeno) unlink(whole, end);
    else {
      lstat(whole, (error, stats) => {
        if (!error && stats.isDirectory()) this.#pending.end(op, Errno.EISDIR);
        else if (this.#pending.isOpen(op)) unlink(whole, end);
      });
    }
    return 0;
  }
}

/** A path whose `..` and `.` are still in it: where they lead is the system's to say, as there may be links before. */
function beneath(root: string, path: string): string {
  return root + sep + path;
}

/** Whether the names alone lead out of where they begin. */
function leadsOut(path: string): boolean {
  let depth = 0;
  for (const name of path.split('/')) {
    if (name === '..') depth--;
    else if (name !== '' && name !== '.') depth++;
    if (depth < 0) return true;
  }
  return path.startsWith('/');
}

function isBeneath(root: string, real: string): boolean {
  return real === root || real.startsWith(root.endsWith(sep) ? root : root + sep);
}

/** struct statx, as far as operations.ts reads it. */
function putStat(bytes: Buffer, at: number, stats: Stats): void {
  const seconds = Math.floor(stats.mtimeMs / 1000); // before 1970, too, nanoseconds count on from a whole second
  bytes.fill(0, at, at + STATX_BYTES);
  bytes.writeUInt16LE(stats.mode & 0xffff, at + 28);
  bytes.writeBigUInt64LE(BigInt(stats.ino), at + 32);
  bytes.writeBigUInt64LE(BigInt(stats.size), at + 40);
  bytes.writeBigInt64LE(BigInt(seconds), at + 112);
  bytes.writeUInt32LE(Math.floor((stats.mtimeMs - seconds * 1000) * 1e6), at + 120);
}
