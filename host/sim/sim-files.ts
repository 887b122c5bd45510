// Performs a simulated shard's operations on files, by the disk of its machine, after a time that the seed picks. So
// operations on one file overtake each other as the kernel's do. An operation is done at the moment of its answer.
//
// Cancelling comes too late for half of them: they are done, and say so.
//
// Next: sim-disk.ts.

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
import { type Inode, SECTOR_BYTES, type Volume } from './sim-disk.js';
import type { SimHost } from './sim-host.js';
import { opcodeName } from './trace.js';
import { type Place, START_NS } from './world.js';

const ACCESS = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;
const O_DIRECTORY = constants.O_DIRECTORY ?? 0;
const EPOCH_MS = Date.UTC(2026, 0, 1);
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

/** An open file in a slot. */
export class SimOpenFile {
  refs = 0;
  readonly inode: Inode;
  readonly flags: number;
  readonly #volume: Volume;
  readonly #crashes: number;

  constructor(volume: Volume, inode: Inode, flags: number) {
    this.#volume = volume;
    this.#crashes = volume.crashes;
    this.inode = inode;
    this.flags = flags;
    inode.opens++;
  }

  close(): void {
    if (this.#volume.crashes !== this.#crashes) return; // a world that has lost power closes its files all the same
    this.inode.opens--;
    this.#volume.release(this.inode);
  }
}

export class SimFiles implements Directories, OpOwner {
  readonly #host: SimHost;
  readonly #volume: Volume;
  readonly #directories: (Inode | undefined)[] = new Array(DIRECTORY_SLOTS).fill(undefined);
  readonly #waiting = new Map<Op, Entry>();

  constructor(host: SimHost) {
    this.#host = host;
    this.#volume = host.world.disk.volume(host.world.machines.of(host.shard));
  }

  get #nowMs(): number {
    return EPOCH_MS + (this.#host.world.nowNs - START_NS) / 1e6;
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
      world.after(
        world.faults.diskUs,
        () => {
          const names = this.#directories[index]?.names ?? new Map<string, Inode>();
          const entries = [...names].map(([name, { kind }]) => ({ name, kind }));
          world.post(place, () => resolve(entries));
        },
        0,
        'time of a list of names, ns',
      );
    });
  }

  // --- submissions ---------------------------------------------------------------------------------------------------

  /** `words`: a copy of the submission; `file`: what is in the slot that it names, if it names one. */
  take(op: Op, opcode: number, words: Int32Array, file: SimOpenFile | undefined): void {
    const { world, window } = this.#host;
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
    const { crashes } = this.#volume;
    const entry = world.after(
      world.faults.diskUs,
      () => {
        this.#waiting.delete(op);
        if (this.#volume.crashes !== crashes) return; // the power has failed before it was done
        const result =
          file !== undefined
            ? this.#onFile(op, opcode, words, file, data)
            : this.#onName(opcode, words, directory as Inode, name, other, how);
        if (!this.#host.isClosed) this.#host.gate.finish(op, result);
      },
      0,
      `time of ${opcodeName(opcode)}${file === undefined ? ` ${name}` : ` ${file.inode.name}`}, ns`,
    );
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
    const volume = this.#volume;
    const found = volume.find(from, name, true);
    if (typeof found === 'number') return found;
    const { inode } = found;
    if (opcode === OP_OPENAT2) return this.#open(found, flags as number, mode as number);
    if (opcode === OP_MKDIRAT) {
      if (inode !== undefined) return Errno.EEXIST;
      if (found.directory.links === 0) return Errno.ENOENT;
      volume.make('directory', found, words[6] as number, this.#nowMs);
      return 0;
    }
    if (inode === undefined) return Errno.ENOENT;
    if (opcode === OP_STATX) {
      return this.#stat(inode, this.#host.window.region(words[3] as number), (words[2] as number) >>> 0);
    }
    if (opcode === OP_UNLINKAT) {
      const wantsDirectory = words[7] !== 0;
      if (inode.isDirectory !== wantsDirectory) return wantsDirectory ? Errno.ENOTDIR : Errno.EISDIR;
      if (inode.names.size !== 0) return Errno.ENOTEMPTY;
      this.#host.world.note('name', this.#host.shard, 0, 0, `${found.name} is removed`);
      volume.remove(found, this.#nowMs);
      return 0;
    }
    return this.#rename(inode, found, words, other);
  }

  #rename(inode: Inode, from: { directory: Inode; name: string }, words: Int32Array, other: string): number {
    const into = this.#directories[words[6] as number];
    if (into === undefined) return Errno.EBADF;
    const to = this.#volume.find(into, other, true);
    if (typeof to === 'number') return to;
    if (to.directory.links === 0) return Errno.ENOENT;
    if (to.inode !== undefined && ((words[7] as number) & RENAME_NOREPLACE) !== 0) return Errno.EEXIST; // itself, too
    if (to.inode !== undefined && to.inode !== inode) {
      if (to.inode.isDirectory !== inode.isDirectory) {
        return inode.isDirectory ? Errno.ENOTDIR : Errno.EISDIR;
      }
      if (to.inode.names.size !== 0) return Errno.ENOTEMPTY;
    }
    for (let at: Inode | undefined = into; at !== undefined; at = at.parent) {
      if (at === inode) return Errno.EINVAL; // into itself
    }
    const { world, shard } = this.#host;
    world.note('name', shard, 0, 0, `${from.name} becomes ${to.name}`);
    this.#volume.rename({ ...from, inode }, to, this.#nowMs);
    return 0;
  }

  #open(found: { directory: Inode; name: string; inode: Inode | undefined }, flags: number, mode: number): number {
    const volume = this.#volume;
    const writes = (flags & ACCESS) !== constants.O_RDONLY;
    let { inode } = found;
    if (inode === undefined) {
      if ((flags & constants.O_CREAT) === 0 || found.directory.links === 0) return Errno.ENOENT;
      inode = volume.make('file', found, mode, this.#nowMs);
    } else if ((flags & constants.O_CREAT) !== 0 && (flags & constants.O_EXCL) !== 0) return Errno.EEXIST;
    if (inode.isDirectory && writes) return Errno.EISDIR;
    if (!inode.isDirectory && (flags & O_DIRECTORY) !== 0) return Errno.ENOTDIR;
    const file = new SimOpenFile(volume, inode, flags);
    const slot = this.#host.isClosed ? -1 : this.#host.gate.install(file);
    if (slot < 0) {
      file.close();
      return Errno.ENFILE;
    }
    if ((flags & constants.O_TRUNC) !== 0) this.#truncate(inode, 0);
    return slot;
  }

  #stat(inode: Inode, bytes: Buffer, at: number): number {
    bytes.fill(0, at, at + STATX_BYTES);
    const type = inode.isDirectory ? constants.S_IFDIR : constants.S_IFREG;
    bytes.writeUInt16LE(type | inode.mode, at + 28);
    bytes.writeBigUInt64LE(BigInt(inode.size), at + 40);
    bytes.writeBigInt64LE(BigInt(Math.floor(inode.mtimeMs / 1000)), at + 112);
    bytes.writeUInt32LE(Math.floor((inode.mtimeMs % 1000) * 1e6), at + 120);
    return 0;
  }

  // --- open files ----------------------------------------------------------------------------------------------------

  #onFile(op: Op, opcode: number, words: Int32Array, file: SimOpenFile, data: Uint8Array | undefined): number {
    const { inode, flags } = file;
    const { world } = this.#host;
    const position = ((words[2] as number) >>> 0) + (words[3] as number) * 2 ** 32;
    const access = flags & ACCESS;
    if (opcode === OP_FSYNC) return this.#sync(inode);
    if (inode.isDirectory) return Errno.EISDIR;
    if (opcode === OP_READ) {
      if (access === constants.O_WRONLY) return Errno.EBADF;
      const bytes = inode.read(position, this.#part(op.len));
      if (bytes.length !== 0 && world.fault('bitRot', this.#host.shard, OP_READ, 0)) this.#rot(inode, position, bytes);
      op.memory.set(bytes, op.ptr);
      return bytes.length;
    }
    if (access === constants.O_RDONLY) return Errno.EBADF;
    if (opcode === OP_FTRUNCATE) return this.#truncate(inode, position);
    const bytes = (data as Uint8Array).subarray(0, this.#part(op.len));
    let at = (flags & constants.O_APPEND) === 0 ? position : inode.size;
    if (world.fault('misdirect', this.#host.shard, OP_WRITE, 0)) {
      at = SECTOR_BYTES * world.random.below(Math.ceil(inode.size / SECTOR_BYTES), 'sector of a misdirected write');
    }
    if (!this.#volume.grow(inode, at + bytes.length)) return Errno.ENOSPC;
    inode.write(at, bytes);
    inode.mtimeMs = this.#nowMs;
    const sentNs = world.nowNs;
    world.note('disk', this.#host.shard, at, bytes.length, { ends: inode.name, bytes, from: this.#host.shard, sentNs });
    return bytes.length;
  }

  /** One bit of these bytes is another from now on. */
  #rot(inode: Inode, position: number, { length }: Uint8Array): void {
    const { random } = this.#host.world;
    inode.flip(position + random.below(length, 'byte that has rotted'), 1 << random.below(8, 'bit that has rotted'));
  }

  /** How many bytes of so many: all, or fewer. */
  #part(bytes: number): number {
    const { random, faults } = this.#host.world;
    return bytes > 1 && random.chance(faults.partial, 'fault: a read or a write takes a part')
      ? random.between(1, bytes, 'bytes that it takes')
      : bytes;
  }

  #truncate(inode: Inode, size: number): number {
    if (!this.#volume.grow(inode, size)) return Errno.ENOSPC;
    this.#volume.shrink(inode, size);
    inode.truncate(size);
    inode.mtimeMs = this.#nowMs;
    return 0;
  }

  #sync(inode: Inode): number {
    const { world, shard } = this.#host;
    if (world.fault('errno', shard, OP_FSYNC, Errno.EIO)) {
      inode.forget();
      return Errno.EIO;
    }
    if (inode.isDirectory) this.#volume.syncNames(inode);
    else inode.sync();
    world.note('sync', shard, 0, 0, inode.name || '/');
    return 0;
  }
}

function textAt(bytes: Buffer, at: number): string {
  return bytes.toString('utf8', at, bytes.indexOf(0, at));
}
