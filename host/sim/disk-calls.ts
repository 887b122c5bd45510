// System calls on the disk of a shard's machine. Each happens at the moment at which the kernel performs it.
//
//   featherstar/fs --> operations of the ring --> sim-files.ts \
//   node:fs        --> node-fs.ts                               +--> DiskCalls --> the Volume of the machine
//
// A call returns a result or -errno. Faults of the disk strike here, so both ways have the same ones.
//
// Next: sim-disk.ts.

import { constants } from 'node:fs';
import { Errno, OP_FSYNC, OP_READ, OP_WRITE } from '../core/kernel.js';
import type { Entry } from './calendar.js';
import type { Faults } from './faults.js';
import { type Found, type Inode, SECTOR_BYTES, type Volume } from './sim-disk.js';
import type { World } from './world.js';

const ACCESS = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;
const O_DIRECTORY = constants.O_DIRECTORY ?? 0;
const O_SYNC = (constants.O_SYNC ?? 0) | (constants.O_DSYNC ?? 0);

/** A file or a directory that is open. */
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

  get isReadable(): boolean {
    return (this.flags & ACCESS) !== constants.O_WRONLY;
  }

  get isWritable(): boolean {
    return (this.flags & ACCESS) !== constants.O_RDONLY;
  }

  close(): void {
    if (this.#volume.crashes !== this.#crashes) return; // a world that has lost power closes its files all the same
    this.inode.opens--;
    this.#volume.release(this.inode);
  }
}

export class DiskCalls {
  readonly volume: Volume;
  readonly #world: World;
  readonly #shard: number;

  constructor(world: World, shard: number) {
    this.volume = world.disk.volume(world.machines.of(shard));
    this.#world = world;
    this.#shard = shard;
  }

  get nowMs(): number {
    return this.#world.dateMs(this.#shard);
  }

  get #faults(): Faults {
    return this.#world.diskFaults.of(String(this.#world.machines.of(this.#shard)));
  }

  /** How long the disk takes, ns. `what`: for what. */
  timeNs(what: string): number {
    const { random } = this.#world;
    const { diskUs, diskSlow, diskSlowUs } = this.#faults;
    const ns = random.below(diskUs * 1000 + 1, `time of ${what}, ns`);
    if (!random.chance(diskSlow, 'fault: the disk is slow')) return ns;
    const us = random.doubling(diskUs, diskSlowUs, 'time of a slow disk, µs');
    this.#world.note('stall', this.#shard, us, 0, what);
    return ns + us * 1000;
  }

  /** Runs `then` when the disk gets to it, unless the power fails before. */
  after(what: string, then: () => void): Entry {
    const { calendar, nowNs } = this.#world;
    const { crashes } = this.volume;
    return calendar.add(nowNs + this.timeNs(what), () => {
      if (this.volume.crashes === crashes) then();
    });
  }

  // --- names ---------------------------------------------------------------------------------------------------------

  /** `install` gives the file a slot or a descriptor, or returns -errno. */
  open(found: Found, flags: number, mode: number, install: (file: SimOpenFile) => number): number {
    const { volume } = this;
    const writes = (flags & ACCESS) !== constants.O_RDONLY;
    let { inode } = found;
    if (inode === undefined) {
      if ((flags & constants.O_CREAT) === 0 || found.directory.links === 0) return Errno.ENOENT;
      if (found.isDirectoryMeant) return Errno.EISDIR;
      inode = volume.make('file', found, mode, this.nowMs);
    } else if ((flags & constants.O_CREAT) !== 0 && (flags & constants.O_EXCL) !== 0) return Errno.EEXIST;
    if (inode.isDirectory && writes) return Errno.EISDIR;
    if (!inode.isDirectory && (flags & O_DIRECTORY) !== 0) return Errno.ENOTDIR;
    const file = new SimOpenFile(volume, inode, flags);
    const slot = install(file);
    if (slot < 0) file.close();
    else if ((flags & constants.O_TRUNC) !== 0) this.truncate(inode, 0);
    return slot;
  }

  makeDirectory(found: Found, mode: number): number {
    if (found.inode !== undefined) return Errno.EEXIST;
    if (found.directory.links === 0) return Errno.ENOENT;
    this.volume.make('directory', found, mode, this.nowMs);
    return 0;
  }

  remove(found: Found, wantsDirectory: boolean): number {
    const { inode } = found;
    if (inode === undefined) return Errno.ENOENT;
    if (found.name === '.') return Errno.EINVAL;
    if (inode.isDirectory !== wantsDirectory) return wantsDirectory ? Errno.ENOTDIR : Errno.EISDIR;
    if (inode.names.size !== 0) return Errno.ENOTEMPTY;
    this.#world.note('name', this.#shard, 0, 0, `${found.name} is removed`);
    this.volume.remove(found, this.nowMs);
    return 0;
  }

  rename(from: Found, to: Found, replaces: boolean): number {
    const { inode } = from;
    if (inode === undefined || to.directory.links === 0) return Errno.ENOENT;
    if (to.inode !== undefined && !replaces) return Errno.EEXIST; // itself, too
    if (from.name === '.' || isAbove(inode, to.directory)) return Errno.EINVAL; // into itself
    if (to.isDirectoryMeant && !inode.isDirectory) return Errno.ENOTDIR;
    if (to.inode !== undefined && to.inode !== inode) {
      if (isAbove(to.inode, from.directory)) return Errno.ENOTEMPTY;
      if (to.inode.isDirectory !== inode.isDirectory) {
        return inode.isDirectory ? Errno.ENOTDIR : Errno.EISDIR;
      }
      if (to.inode.names.size !== 0) return Errno.ENOTEMPTY;
    }
    this.#world.note('name', this.#shard, 0, 0, `${from.name} becomes ${to.name}`);
    this.volume.rename(from, to, this.nowMs);
    return 0;
  }

  // --- content -------------------------------------------------------------------------------------------------------

  /** Returns the file's own bytes: copy them at once. */
  read({ inode, isReadable }: SimOpenFile, position: number, length: number): Uint8Array | number {
    if (inode.isDirectory) return Errno.EISDIR;
    if (!isReadable) return Errno.EBADF;
    const bytes = inode.read(position, this.#part(length));
    if (bytes.length !== 0 && this.#world.fault('bitRot', this.#shard, OP_READ, 0, this.#faults))
      this.#rot(inode, position, bytes);
    return bytes;
  }

  /** A file that was opened to append has its own position. */
  write({ inode, flags, isWritable }: SimOpenFile, position: number, given: Uint8Array): number {
    const world = this.#world;
    if (!isWritable) return Errno.EBADF; // a directory never is
    const bytes = given.subarray(0, this.#part(given.length));
    let at = (flags & constants.O_APPEND) === 0 ? position : inode.size;
    if (world.fault('misdirect', this.#shard, OP_WRITE, 0, this.#faults)) {
      at = SECTOR_BYTES * world.random.below(Math.ceil(inode.size / SECTOR_BYTES), 'sector of a misdirected write');
    }
    if (!this.volume.grow(inode, at + bytes.length)) return Errno.ENOSPC;
    inode.write(at, bytes);
    inode.change(this.nowMs);
    world.note('disk', this.#shard, at, bytes.length, {
      ends: inode.name,
      bytes,
      from: this.#shard,
      sentNs: world.nowNs,
    });
    const synced = (flags & O_SYNC) === 0 ? 0 : this.sync(inode);
    return synced < 0 ? synced : bytes.length;
  }

  /** One bit of these bytes is another from now on. */
  #rot(inode: Inode, position: number, { length }: Uint8Array): void {
    const { random } = this.#world;
    inode.flip(position + random.below(length, 'byte that has rotted'), 1 << random.below(8, 'bit that has rotted'));
  }

  /** How many bytes of so many: all, or fewer. */
  #part(bytes: number): number {
    const { random, faults } = this.#world;
    return bytes > 1 && random.chance(faults.partial, 'fault: a read or a write takes a part')
      ? random.between(1, bytes, 'bytes that it takes')
      : bytes;
  }

  truncate(inode: Inode, size: number): number {
    if (!this.volume.grow(inode, size)) return Errno.ENOSPC;
    this.volume.shrink(inode, size);
    inode.truncate(size);
    inode.change(this.nowMs);
    return 0;
  }

  sync(inode: Inode): number {
    const world = this.#world;
    if (world.fault('errno', this.#shard, OP_FSYNC, Errno.EIO)) {
      inode.forget();
      return Errno.EIO;
    }
    if (inode.isDirectory) this.volume.syncNames(inode);
    else inode.sync();
    world.note('sync', this.#shard, 0, 0, inode.name || '/');
    return 0;
  }
}

/** Whether it is that directory, or one that this is in. */
function isAbove(inode: Inode, directory: Inode): boolean {
  for (let at: Inode | undefined = directory; at !== undefined; at = at.parent) if (at === inode) return true;
  return false;
}
