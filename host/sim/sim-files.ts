// Performs a simulated shard's operations on files, by the disk of its machine, after a time that the seed picks. So
// operations on one file overtake each other as the kernel's do. An operation is done at the moment of its answer.
//
// Cancelling comes too late for half of them: they are done, and say so.
//
// Next: disk-calls.ts.

import { constants } from 'node:fs';
import { systemError } from '../base/errors.js';
import {
  Errno,
  OP_FSYNC,
  OP_FTRUNCATE,
  OP_MKDIRAT,
  OP_OPENAT2,
  OP_READ,
  OP_RENAMEAT,
  OP_STATX,
  OP_UNLINKAT,
  OP_WRITE,
  RENAME_NOREPLACE,
  STATX_BYTES,
} from '../core/kernel.js';
import type { Directories, DirectoryEntry } from '../hosts/host.js';
import { DIRECTORY_SLOTS } from '../hosts/portable-files.js';
import type { Op, OpOwner } from '../hosts/portable-window.js';
import type { Entry } from './calendar.js';
import type { DiskCalls, SimOpenFile } from './disk-calls.js';
import type { Found, Inode, Volume } from './sim-disk.js';
import type { SimHost } from './sim-host.js';
import { opcodeName } from './trace.js';
import type { Place } from './world.js';

const TOO_LATE = 0.5;

/** The errors that these may fail with. */
export const FILE_ERRNOS: Record<number, readonly number[]> = {
  [OP_OPENAT2]: [Errno.EIO, Errno.ENOMEM, Errno.ENFILE, Errno.EMFILE],
  [OP_STATX]: [Errno.EIO, Errno.ENOMEM],
  [OP_READ]: [Errno.EIO, Errno.ENOMEM],
  [OP_WRITE]: [Errno.EIO, Errno.ENOMEM, Errno.ENOSPC],
  [OP_RENAMEAT]: [Errno.EIO, Errno.ENOSPC],
  [OP_UNLINKAT]: [Errno.EIO],
  [OP_MKDIRAT]: [Errno.EIO, Errno.ENOSPC],
  [OP_FTRUNCATE]: [Errno.EIO],
};

/** Whether an operation is the disk's. */
export function isFileOp(opcode: number): boolean {
  return opcode === OP_FSYNC || FILE_ERRNOS[opcode] !== undefined;
}

export class SimFiles implements Directories, OpOwner {
  readonly #host: SimHost;
  readonly #directories: (Inode | undefined)[] = new Array(DIRECTORY_SLOTS).fill(undefined);
  readonly #waiting = new Map<Op, Entry>();

  constructor(host: SimHost) {
    this.#host = host;
  }

  /** Of the host, which forgets it: variables of shard modules keep directories, and those keep this object. */
  get #disk(): DiskCalls {
    return this.#host.disk;
  }

  get #volume(): Volume {
    return this.#disk.volume;
  }

  // --- directories ---------------------------------------------------------------------------------------------------

  open(path: string, parent?: number): number {
    const index = this.#directories.indexOf(undefined);
    if (index < 0) return Errno.EMFILE;
    const from = parent === undefined ? this.#volume.root : this.#directories[parent];
    if (from === undefined) return Errno.EBADF;
    const found = this.#volume.find(from, path, parent !== undefined);
    if (typeof found === 'number') return found;
    if (found.inode === undefined) return Errno.ENOENT;
    if (!found.inode.isDirectory) return Errno.ENOTDIR;
    this.#directories[index] = found.inode;
    return index;
  }

  close(index: number): void {
    this.#directories[index] = undefined;
  }

  /** This disk has no links. */
  async readLink(_index: number, name: string): Promise<string> {
    throw systemError('readlink', Errno.EINVAL, name);
  }

  list(index: number): Promise<DirectoryEntry[]> {
    const { world, shard } = this.#host;
    const place = world.places[shard] as Place;
    return new Promise((resolve) => {
      this.#disk.after('a list of names', () => {
        const names = this.#directories[index]?.names ?? new Map<string, Inode>();
        const entries = [...names].map(([name, { kind }]) => ({ name, kind }));
        world.post(place, () => resolve(entries));
      });
    });
  }

  // --- submissions ---------------------------------------------------------------------------------------------------

  /** `words`: a copy of the submission; `file`: what is in the slot that it names, if it names one. */
  take(op: Op, opcode: number, words: Int32Array, file: SimOpenFile | undefined): void {
    const { window } = this.#host;
    const directory = this.#directories[words[1] as number];
    if (file === undefined && directory === undefined) {
      this.#host.gate.finish(op, Errno.EBADF);
      return;
    }
    const name = file === undefined ? textAt(op.memory, op.ptr) : '';
    const second = window.region(words[3] as number);
    const at = (words[2] as number) >>> 0;
    const other = opcode === OP_RENAMEAT ? textAt(second, at) : ''; // read now: it is not kept until then
    const data = opcode === OP_WRITE ? new Uint8Array(op.memory.subarray(op.ptr, op.ptr + op.len)) : undefined;
    const how = opcode === OP_OPENAT2 ? [second.readInt32LE(at), second.readInt32LE(at + 8)] : [];
    window.open(op, this);
    const entry = this.#disk.after(`${opcodeName(opcode)} ${file === undefined ? name : file.inode.name}`, () => {
      this.#waiting.delete(op);
      const result =
        file !== undefined
          ? this.#onFile(op, opcode, words, file, data)
          : this.#onName(opcode, words, directory as Inode, name, other, how);
      if (!this.#host.isClosed) this.#host.gate.finish(op, result);
    });
    this.#waiting.set(op, entry);
  }

  cancel(op: Op): void {
    const { world, gate } = this.#host;
    const entry = this.#waiting.get(op);
    if (entry === undefined || world.random.chance(TOO_LATE, 'a cancel comes too late')) return;
    this.#waiting.delete(op);
    world.calendar.cancel(entry);
    gate.finish(op, Errno.ECANCELED);
  }

  #onName(
    opcode: number,
    words: Int32Array,
    from: Inode,
    name: string,
    other: string,
    [flags, mode]: readonly number[],
  ): number {
    const disk = this.#disk;
    const found = this.#volume.find(from, name, true);
    if (typeof found === 'number') return found;
    switch (opcode) {
      case OP_OPENAT2:
        return disk.open(found, flags as number, mode as number, this.#install);
      case OP_MKDIRAT:
        return disk.makeDirectory(found, words[6] as number);
      case OP_UNLINKAT:
        return disk.remove(found, words[7] !== 0);
      case OP_STATX: {
        const memory = this.#host.window.region(words[3] as number);
        return found.inode === undefined ? Errno.ENOENT : stat(found.inode, memory, (words[2] as number) >>> 0);
      }
      default:
        return this.#rename(found, words, other);
    }
  }

  readonly #install = (file: SimOpenFile): number => {
    const slot = this.#host.isClosed ? -1 : this.#host.gate.install(file);
    return slot < 0 ? Errno.ENFILE : slot;
  };

  #rename(from: Found, words: Int32Array, other: string): number {
    if (from.inode === undefined) return Errno.ENOENT;
    const into = this.#directories[words[6] as number];
    if (into === undefined) return Errno.EBADF;
    const to = this.#volume.find(into, other, true);
    return typeof to === 'number' ? to : this.#disk.rename(from, to, ((words[7] as number) & RENAME_NOREPLACE) === 0);
  }

  #onFile(op: Op, opcode: number, words: Int32Array, file: SimOpenFile, data: Uint8Array | undefined): number {
    const position = ((words[2] as number) >>> 0) + (words[3] as number) * 2 ** 32;
    const disk = this.#disk;
    if (opcode === OP_FSYNC) return disk.sync(file.inode);
    if (opcode === OP_WRITE) return disk.write(file, position, data as Uint8Array);
    if (opcode === OP_FTRUNCATE) {
      if (file.inode.isDirectory) return Errno.EISDIR;
      return file.isWritable ? disk.truncate(file.inode, position) : Errno.EBADF;
    }
    const bytes = disk.read(file, position, op.len);
    if (typeof bytes === 'number') return bytes;
    op.memory.set(bytes, op.ptr);
    return bytes.length;
  }
}

function stat(inode: Inode, bytes: Buffer, at: number): number {
  bytes.fill(0, at, at + STATX_BYTES);
  const type = inode.isDirectory ? constants.S_IFDIR : constants.S_IFREG;
  bytes.writeUInt16LE(type | inode.mode, at + 28);
  bytes.writeBigUInt64LE(BigInt(inode.size), at + 40);
  bytes.writeBigInt64LE(BigInt(Math.floor(inode.mtimeMs / 1000)), at + 112);
  bytes.writeUInt32LE(Math.floor((inode.mtimeMs % 1000) * 1e6), at + 120);
  return 0;
}

function textAt(bytes: Buffer, at: number): string {
  return bytes.toString('utf8', at, bytes.indexOf(0, at));
}
