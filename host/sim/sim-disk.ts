// A simulated disk: what is read back is what was written, until the power fails. Then only what was synced is certain.
//
//   write, truncate     in the file's content at once; on the disk after sync() of the file
//   make, rename, remove   in the names at once; on the disk after sync() of each directory that they touch
//
// At a crash the seed decides for each change that is not on the disk yet whether it survives. A write may survive in
// part, by sectors; a rename wholly or not at all. That is what POSIX leaves open. A journal keeps more than this, and
// a program that relies on it relies on one file system.
//
// Invariant: a change of names is on the disk only with all that it builds on (NameChange.needs). Else an old rename
// that is synced late would undo what was synced since, and what was moved could be left without any name.
//
// Next: disk-calls.ts.

import { checkInteger } from '../base/options.js';
import { Errno } from '../core/kernel.js';
import type { FileKind } from '../hosts/host.js';
import type { Random } from './random.js';

export const SECTOR_BYTES = 512;
const NAME_BYTES = 255;
const PATH_BYTES = 4096;
/** When the first world of a disk begins. */
const EPOCH_MS = Date.UTC(2026, 0, 1);
const CAPACITY_BYTES = 67_108_864;

/** One change of a file's content: bytes at a position, or its length alone. */
interface Change {
  readonly at: number;
  readonly bytes: Uint8Array | undefined;
}

/** Names that change at once; `unsynced`: the directories that do not have it on the disk yet. */
interface NameChange {
  readonly edits: readonly { readonly directory: Inode; readonly name: string; readonly inode: Inode | undefined }[];
  readonly unsynced: Set<Inode>;
  /**
   * The changes that are on the disk if this one is: older changes, of the same names and of the way to where something
   * moves.
   */
  needs: NameChange[];
}

/** Bytes that grow. */
class Content {
  #bytes = new Uint8Array(0);
  size = 0;

  read(at: number, bytes: number): Uint8Array {
    return this.#bytes.subarray(Math.min(at, this.size), Math.min(at + bytes, this.size));
  }

  apply({ at, bytes }: Change): void {
    if (bytes === undefined) {
      if (at < this.size) this.#bytes.fill(0, at, this.size);
      this.#reserve(at);
      this.size = at;
    } else {
      this.#reserve(at + bytes.length);
      this.#bytes.set(bytes, at);
      this.size = Math.max(this.size, at + bytes.length);
    }
  }

  flip(at: number, bits: number): void {
    if (at < this.size) this.#bytes[at] = (this.#bytes[at] as number) ^ bits;
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(size, 2 * this.#bytes.length));
    larger.set(this.#bytes.subarray(0, this.size));
    this.#bytes = larger;
  }
}

/** A file or a directory. */
export class Inode {
  readonly kind: FileKind;
  /** Unique on its volume. */
  readonly number: number;
  mode: number;
  /** The last name that it was given, for the trace. */
  name = '';
  /** Of its content; of anything; of its making; of the last read as `utimes()` has set it. */
  mtimeMs: number;
  ctimeMs: number;
  readonly birthtimeMs: number;
  atimeMs: number;
  /** Of a directory: what it holds, and what of it is on the disk. */
  readonly names = new Map<string, Inode>();
  readonly durableNames = new Map<string, Inode>();
  /** Of a directory: the last change of each name that is not on the disk yet; and the one that gave it its own. */
  readonly changing = new Map<string, NameChange>();
  placing: NameChange | undefined;
  parent: Inode | undefined;
  /** How many names it has; a directory without one was removed, and nothing can be made in it. */
  links = 0;
  /** Of a file. */
  opens = 0;
  #now = new Content();
  #durable = new Content();
  #changes: Change[] = [];

  constructor(kind: FileKind, number: number, mode: number, nowMs: number, parent: Inode | undefined) {
    this.kind = kind;
    this.number = number;
    this.mode = mode;
    this.mtimeMs = nowMs;
    this.ctimeMs = nowMs;
    this.birthtimeMs = nowMs;
    this.atimeMs = nowMs;
    this.parent = parent;
  }

  /** Its content is another one since now. */
  change(nowMs: number): void {
    this.mtimeMs = nowMs;
    this.ctimeMs = nowMs;
  }

  get isDirectory(): boolean {
    return this.kind === 'directory';
  }

  get size(): number {
    return this.#now.size;
  }

  read(at: number, bytes: number): Uint8Array {
    return this.#now.read(at, bytes);
  }

  write(at: number, bytes: Uint8Array): void {
    this.#change({ at, bytes: new Uint8Array(bytes) }); // a copy: slice() of a Buffer is none
  }

  truncate(size: number): void {
    this.#change({ at: size, bytes: undefined });
  }

  #change(change: Change): void {
    this.#now.apply(change);
    this.#changes.push(change);
  }

  /** Puts all changes since the last sync on the disk, but not those that a failed sync has lost. */
  sync(): void {
    for (const change of this.#changes) this.#durable.apply(change);
    this.#changes = [];
  }

  /** A sync that has failed: the kernel forgets what it could not write, and no later sync brings it back. */
  forget(): void {
    this.#changes = [];
  }

  /** Changes bits of a byte, on the disk too: no later sync repairs it. */
  flip(at: number, bits: number): void {
    for (const content of [this.#now, this.#durable]) content.flip(at, bits);
  }

  /** Returns the file as it is when the power is back. This object is then only for code from before. */
  afterCrash(random: Random, parent: Inode): Inode {
    const copy = this.copy(parent);
    for (const change of this.#changes) {
      if (random.chance(0.4, 'the crash loses a change of a file')) continue;
      const isWhole = random.chance(0.5, 'the crash keeps a whole write');
      if (change.bytes === undefined || isWhole) this.#durable.apply(change);
      else this.#tear(change.at, change.bytes, random);
    }
    this.#changes = [];
    for (const content of [copy.#now, copy.#durable]) {
      content.apply({ at: 0, bytes: this.#durable.read(0, this.#durable.size) });
    }
    return copy;
  }

  /** An empty one of this kind, with one name. */
  copy(parent: Inode | undefined): Inode {
    const copy = new Inode(this.kind, this.number, this.mode, this.birthtimeMs, parent);
    Object.assign(copy, { mtimeMs: this.mtimeMs, ctimeMs: this.ctimeMs, atimeMs: this.atimeMs, name: this.name });
    copy.links = 1;
    return copy;
  }

  /** Writes some of the sectors. */
  #tear(at: number, bytes: Uint8Array, random: Random): void {
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + SECTOR_BYTES - ((at + from) % SECTOR_BYTES));
      if (random.chance(0.5, 'the crash keeps a sector'))
        this.#durable.apply({ at: at + from, bytes: bytes.subarray(from, to) });
      from = to;
    }
  }
}

/** Where a path leads: the directory of its last name, and what has that name there. */
export interface Found {
  readonly directory: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
  /** The path ends with a slash: what has that name is a directory, or becomes one. */
  readonly isDirectoryMeant?: boolean;
}

/** The files of one machine. */
export class Volume {
  readonly root: Inode;
  /** How often the power has failed: what was opened before is open no more. */
  crashes = 0;
  readonly #capacityBytes: number;
  #usedBytes = 0;
  #inodes = 1;
  #changes: NameChange[] = [];

  constructor(capacityBytes: number, root = new Inode('directory', 1, 0o755, EPOCH_MS, undefined)) {
    this.#capacityBytes = capacityBytes;
    this.root = root.copy(undefined);
  }

  // --- names ---------------------------------------------------------------------------------------------------------

  /** `beneath`: no way leads out of `from`. */
  find(from: Inode, path: string, beneath: boolean): Found | number {
    if (beneath && path.startsWith('/')) return Errno.EXDEV;
    if (path.length > PATH_BYTES / 4 && Buffer.byteLength(path) >= PATH_BYTES) return Errno.ENAMETOOLONG;
    let at = path.startsWith('/') ? this.root : from;
    let found: Found = { directory: at, name: '.', inode: at };
    for (const name of path.split('/')) {
      if (name === '' || name === '.') continue;
      if (found.inode === undefined) return Errno.ENOENT;
      if (!found.inode.isDirectory) return Errno.ENOTDIR;
      if (Buffer.byteLength(name) > NAME_BYTES) return Errno.ENAMETOOLONG;
      at = found.inode;
      if (name !== '..') found = { directory: at, name, inode: at.names.get(name) };
      else if (beneath && at === from) return Errno.EXDEV;
      else {
        const up = at.parent ?? this.root;
        found = { directory: up, name: '.', inode: up };
      }
    }
    if (!/\/\.?$/.test(path)) return found;
    if (found.inode === undefined) return path.endsWith('.') ? Errno.ENOENT : { ...found, isDirectoryMeant: true };
    return found.inode.isDirectory ? found : Errno.ENOTDIR;
  }

  make(kind: FileKind, { directory, name }: Found, mode: number, nowMs: number): Inode {
    const inode = new Inode(kind, ++this.#inodes, mode, nowMs, directory);
    this.#change([{ directory, name, inode }], nowMs);
    return inode;
  }

  remove({ directory, name }: Found, nowMs: number): void {
    this.#change([{ directory, name, inode: undefined }], nowMs);
  }

  rename(from: Found, to: Found, nowMs: number): void {
    const { inode } = from;
    if (inode === undefined || inode === to.inode) return;
    if (inode.isDirectory) inode.parent = to.directory;
    this.#change(
      [
        { ...from, inode: undefined },
        { ...to, inode },
      ],
      nowMs,
    );
  }

  #change(edits: NameChange['edits'], nowMs: number): void {
    const change = { edits, unsynced: new Set(edits.map(({ directory }) => directory)), needs: needsOf(edits) };
    for (const { inode } of edits) if (inode !== undefined) inode.links++; // first: what is moved is never without one
    for (const { directory, name, inode } of edits) {
      const before = directory.names.get(name);
      if (inode !== undefined) {
        inode.placing = change;
        inode.name = name;
        directory.names.set(name, inode);
      } else directory.names.delete(name);
      directory.changing.set(name, change);
      directory.change(nowMs);
      if (before === undefined) continue;
      before.links--;
      this.release(before);
    }
    this.#changes.push(change);
  }

  /** Puts the changes of a directory on the disk. */
  syncNames(directory: Inode): void {
    for (const { unsynced } of this.#changes) unsynced.delete(directory);
    this.#keep(this.#changes.filter(({ unsynced }) => unsynced.size === 0));
  }

  /** These, and what they need, are on the disk. */
  #keep(open: NameChange[]): void {
    const kept = new Set<NameChange>();
    for (let change = open.pop(); change !== undefined; change = open.pop()) {
      if (kept.has(change)) continue;
      kept.add(change);
      for (const need of change.needs) open.push(need);
    }
    const left: NameChange[] = [];
    for (const change of this.#changes) {
      if (kept.has(change)) keep(change);
      else left.push(change);
    }
    this.#changes = left;
  }

  // --- room ----------------------------------------------------------------------------------------------------------

  /** False: the disk is full. */
  grow(inode: Inode, size: number): boolean {
    const bytes = Math.max(0, size - inode.size);
    if (this.#usedBytes + bytes > this.#capacityBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  shrink(inode: Inode, size: number): void {
    this.#usedBytes -= Math.max(0, inode.size - size);
  }

  /** It was closed, or its name was removed. */
  release(inode: Inode): void {
    if (inode.links === 0 && inode.opens === 0) this.#usedBytes -= inode.size;
  }

  // --- power ---------------------------------------------------------------------------------------------------------

  /**
   * Returns the volume as it is when the power is back. This object is left as it is, for code that goes on in the turn
   * of the power failure. All writes of that code are lost.
   */
  crash(random: Random): Volume {
    this.crashes++;
    this.#keep(this.#changes.filter(() => random.chance(0.5, 'the crash keeps a change of a name')));
    const after = new Volume(this.#capacityBytes, this.root);
    after.#inodes = this.#inodes;
    const copies = new Map<Inode, Inode>();
    const visit = (from: Inode, to: Inode) => {
      for (const [name, inode] of from.durableNames) {
        let copy = copies.get(inode);
        if (copy !== undefined) copy.links++;
        else {
          copy = inode.isDirectory ? inode.copy(to) : inode.afterCrash(random, to);
          copies.set(inode, copy);
          after.#usedBytes += copy.size;
          visit(inode, copy);
        }
        copy.name = name;
        to.names.set(name, copy);
        to.durableNames.set(name, copy);
      }
    };
    visit(this.root, after.root);
    return after;
  }
}

/** Older changes of the same names; of what was in a directory that goes; of the way to where something moves. */
function needsOf(edits: NameChange['edits']): NameChange[] {
  const needs = new Set<NameChange>();
  const isMove = edits.length > 1;
  for (const { directory, name, inode } of edits) {
    const last = directory.changing.get(name);
    if (last !== undefined) needs.add(last);
    const before = directory.names.get(name);
    const isMoved = edits.some((edit) => edit.inode === before);
    if (before !== undefined && !isMoved) for (const change of before.changing.values()) needs.add(change);
    if (!isMove || inode === undefined) continue;
    for (let at: Inode | undefined = directory; at !== undefined; at = at.parent) {
      if (at.placing !== undefined) needs.add(at.placing);
    }
  }
  return [...needs];
}

function keep(change: NameChange): void {
  for (const { directory, name, inode } of change.edits) {
    if (inode === undefined) directory.durableNames.delete(name);
    else directory.durableNames.set(name, inode);
    if (directory.changing.get(name) === change) directory.changing.delete(name);
    if (inode?.placing === change) inode.placing = undefined;
  }
  change.needs = []; // or each would hold all before it
}

/** Options of a SimDisk. */
export interface SimDiskOptions {
  /** Bytes of all files of one machine; more is ENOSPC. Default 67,108,864. */
  capacityBytes?: number | undefined;
}

/**
 * The disks of a simulated world, one for each machine, empty but for the root. It outlives the world: give it to the
 * next one to see what is left after `world.crash()`.
 */
export class SimDisk {
  readonly #capacityBytes: number;
  readonly #volumes = new Map<number, Volume>();
  #epochMs = EPOCH_MS;

  /** Throws FEATHERSTAR_OPTION if an option is out of its range. */
  constructor({ capacityBytes = CAPACITY_BYTES }: SimDiskOptions = {}) {
    this.#capacityBytes = checkInteger('capacityBytes', capacityBytes, 0, Number.MAX_SAFE_INTEGER);
  }

  /** @internal When the next world begins: where the one before ended. Else its files would be of the future. */
  get epochMs(): number {
    return this.#epochMs;
  }

  /** @internal A world with this disk ends, after so much of its time. */
  passTime(ms: number): void {
    this.#epochMs += Math.ceil(ms);
  }

  /** @internal */
  volume(machine: number): Volume {
    let volume = this.#volumes.get(machine);
    if (volume === undefined) {
      volume = new Volume(this.#capacityBytes);
      this.#volumes.set(machine, volume);
    }
    return volume;
  }

  /** @internal The power of one machine fails. */
  crashOne(machine: number, random: Random): void {
    this.#volumes.set(machine, this.volume(machine).crash(random));
  }

  /** @internal The power fails everywhere. */
  crash(random: Random): void {
    for (const machine of this.#volumes.keys()) this.crashOne(machine, random);
  }
}
