// What featherstar/fs asks the core to stage, by name. Numbers are the kernel's (include/uapi/linux/io_uring.h). `file`
// is a slot; `directory` an index of the host's table (host.directories), never a descriptor.
//
// Next: perform.ts.

import { constants } from 'node:fs';
import { optionError } from '../base/errors.js';
import type { FileKind } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import type { Block } from './perform.js';

const FIXED_FILE = 1;
const OP_FSYNC = 3;
const OP_STATX = 21;
const OP_READ = 22;
const OP_WRITE = 23;
const OP_OPENAT2 = 28;
const OP_RENAMEAT = 35;
const OP_UNLINKAT = 36;
const OP_MKDIRAT = 37;
const OP_FTRUNCATE = 55;
const FILE_INDEX_ALLOC = -1;
const FSYNC_DATASYNC = 1;
const RENAME_NOREPLACE = 1;
const AT_REMOVEDIR = 0x200;
const STATX_BASIC_STATS = 0x7ff;

/** Bytes of a path, its zero included (host/native/ring.h). */
export const PATH_BYTES = 1024;

// A block of a path's operation: two paths, struct open_how, struct statx.
const OTHER_AT = PATH_BYTES;
const HOW_AT = OTHER_AT + PATH_BYTES;
const HOW_BYTES = 24;
const STATX_AT = HOW_AT + 64;
const STATX_BYTES = 256;
export const PATH_BLOCK_BYTES = STATX_AT + STATX_BYTES;

/** Writes a path and its zero. Returns how submissions name it. */
function putPath({ memory, offset, at }: Block, path: string, from = 0): number {
  memory[offset + from + memory.write(path, offset + from)] = 0;
  return at + from;
}

/** Checks what becomes a path of a submission. */
export function checkPath(name: string, path: unknown): string {
  const isPath = typeof path === 'string' && path !== '' && !path.includes('\0');
  if (isPath && Buffer.byteLength(path) < PATH_BYTES) return path;
  throw optionError(name, path, `a path of 1 to ${PATH_BYTES - 1} bytes`);
}

/** The event has the slot. */
export function openBeneath(
  shard: Shard,
  directory: number,
  path: string,
  flags: number,
  mode: number,
  block: Block,
  owner: number,
): number {
  const at = putPath(block, path);
  const { memory } = block;
  const how = block.offset + HOW_AT;
  memory.fill(0, how, how + HOW_BYTES);
  memory.writeInt32LE(flags, how);
  memory.writeInt32LE((flags & constants.O_CREAT) === 0 ? 0 : mode, how + 8);
  shard.host.poke();
  return shard.core.submit(OP_OPENAT2, 0, 0, directory, at + HOW_AT, at, HOW_BYTES, 0, FILE_INDEX_ALLOC, owner, 0);
}

export function statName(shard: Shard, directory: number, name: string, block: Block, owner: number): number {
  const at = putPath(block, name);
  shard.host.poke();
  return shard.core.submit(OP_STATX, 0, 0, directory, at + STATX_AT, at, STATX_BASIC_STATS, 0, 0, owner, 0);
}

export interface FileStat {
  kind: FileKind;
  size: number;
  /** Permission bits. */
  mode: number;
  /** When its content was changed last, milliseconds since 1970. */
  mtimeMs: number;
}

const KINDS: Record<number, FileKind> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFLNK]: 'link',
};

/** What statName() has brought: struct statx. */
export function readStat({ memory: bytes, offset }: Block): FileStat {
  const at = offset + STATX_AT;
  const mode = bytes.readUInt16LE(at + 28);
  const seconds = Number(bytes.readBigInt64LE(at + 112));
  return {
    kind: KINDS[mode & constants.S_IFMT] ?? 'other',
    size: Number(bytes.readBigUInt64LE(at + 40)),
    mode: mode & 0o7777,
    mtimeMs: seconds * 1000 + Math.floor(bytes.readUInt32LE(at + 120) / 1e6),
  };
}

export function renameName(
  shard: Shard,
  from: { directory: number; name: string },
  to: { directory: number; name: string },
  replaces: boolean,
  block: Block,
  owner: number,
): number {
  const at = putPath(block, from.name);
  const other = putPath(block, to.name, OTHER_AT);
  const flags = replaces ? 0 : RENAME_NOREPLACE;
  shard.host.poke();
  return shard.core.submit(OP_RENAMEAT, 0, 0, from.directory, other, at, to.directory, flags, 0, owner, 0);
}

export function removeName(
  shard: Shard,
  directory: number,
  name: string,
  isDirectory: boolean,
  block: Block,
  owner: number,
): number {
  return shard.submit(
    OP_UNLINKAT,
    0,
    0,
    directory,
    putPath(block, name),
    0,
    isDirectory ? AT_REMOVEDIR : 0,
    0,
    owner,
    0,
  );
}

export function makeName(
  shard: Shard,
  directory: number,
  name: string,
  mode: number,
  block: Block,
  owner: number,
): number {
  return shard.submit(OP_MKDIRAT, 0, 0, directory, putPath(block, name), mode, 0, 0, owner, 0);
}

export function readFile(
  shard: Shard,
  file: number,
  position: number,
  at: number,
  bytes: number,
  owner: number,
): number {
  shard.host.poke();
  return shard.core.submit(OP_READ, FIXED_FILE, 0, file, position, at, bytes, 0, 0, owner, 0);
}

export function writeFile(
  shard: Shard,
  file: number,
  position: number,
  at: number,
  bytes: number,
  owner: number,
): number {
  shard.host.poke();
  return shard.core.submit(OP_WRITE, FIXED_FILE, 0, file, position, at, bytes, 0, 0, owner, 0);
}

export function syncFile(shard: Shard, file: number, dataOnly: boolean, owner: number): number {
  return shard.submit(OP_FSYNC, FIXED_FILE, 0, file, 0, 0, dataOnly ? FSYNC_DATASYNC : 0, 0, owner, 0);
}

export function truncateFile(shard: Shard, file: number, bytes: number, owner: number): number {
  shard.host.poke();
  return shard.core.submit(OP_FTRUNCATE, FIXED_FILE, 0, file, bytes, 0, 0, 0, 0, owner, 0);
}
