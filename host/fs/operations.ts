// The operations on files, by name, as shard/ops.ts has those on sockets. All of these throw FULL. `file` is a slot;
// `directory` an index of the host's table (host.directories), never a descriptor.
//
// Next: perform.ts.

import { constants } from 'node:fs';
import { optionError } from '../base/errors.js';
import * as kernel from '../core/kernel.js';
import type { FileKind } from '../hosts/host.js';
import { type Operation, prepare } from '../shard/operation.js';
import { prepareFile } from '../shard/ops.js';
import type { Block } from './perform.js';

/** Bytes of a path, its zero included (host/native/ring.h). */
export const PATH_BYTES = 1024;

// A block of a path's operation: two paths, struct open_how, struct statx.
const OTHER_AT = PATH_BYTES;
const HOW_AT = OTHER_AT + PATH_BYTES;
const STATX_AT = HOW_AT + 64;
export const PATH_BLOCK_BYTES = STATX_AT + kernel.STATX_BYTES;

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
  operation: Operation,
  directory: number,
  path: string,
  flags: number,
  mode: number,
  block: Block,
): void {
  const { memory } = block;
  const how = block.offset + HOW_AT;
  memory.fill(0, how, how + kernel.HOW_BYTES);
  memory.writeInt32LE(flags, how);
  memory.writeInt32LE((flags & constants.O_CREAT) === 0 ? 0 : mode, how + 8);
  const what = prepare(kernel.OP_OPENAT2, directory);
  what.ptr = putPath(block, path);
  what.off = block.at + HOW_AT;
  what.len = kernel.HOW_BYTES;
  what.fileIndex = kernel.FILE_INDEX_ALLOC;
  operation.stageOrThrow(what);
}

export function statName(operation: Operation, directory: number, name: string, block: Block): void {
  const what = prepare(kernel.OP_STATX, directory);
  what.ptr = putPath(block, name);
  what.off = block.at + STATX_AT;
  what.len = kernel.STATX_BASIC_STATS;
  operation.stageOrThrow(what);
}

/** The result of `Directory.stat()`. */
export interface FileStat {
  /** The kind of file. */
  kind: FileKind;
  /** Its length in bytes. */
  size: number;
  /** Permission bits. */
  mode: number;
  /** When its content was changed last, milliseconds since 1970. */
  mtimeMs: number;
  /** Its number in its file system: another file that takes its name has another one. 0 in the simulator. */
  inode: number;
}

const KINDS: Record<number, FileKind> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFLNK]: 'link',
};

/** The result of statName(): struct statx. */
export function readStat({ memory: bytes, offset }: Block): FileStat {
  const at = offset + STATX_AT;
  const mode = bytes.readUInt16LE(at + 28);
  const seconds = Number(bytes.readBigInt64LE(at + 112));
  return {
    kind: KINDS[mode & constants.S_IFMT] ?? 'other',
    size: Number(bytes.readBigUInt64LE(at + 40)),
    mode: mode & 0o7777,
    inode: Number(bytes.readBigUInt64LE(at + 32)),
    mtimeMs: seconds * 1000 + Math.floor(bytes.readUInt32LE(at + 120) / 1e6),
  };
}

export function renameName(
  operation: Operation,
  from: { directory: number; name: string },
  to: { directory: number; name: string },
  replaces: boolean,
  block: Block,
): void {
  const what = prepare(kernel.OP_RENAMEAT, from.directory);
  what.ptr = putPath(block, from.name);
  what.off = putPath(block, to.name, OTHER_AT);
  what.len = to.directory;
  what.opFlags = replaces ? 0 : kernel.RENAME_NOREPLACE;
  operation.stageOrThrow(what);
}

export function removeName(
  operation: Operation,
  directory: number,
  name: string,
  isDirectory: boolean,
  block: Block,
): void {
  const what = prepare(kernel.OP_UNLINKAT, directory);
  what.ptr = putPath(block, name);
  what.opFlags = isDirectory ? kernel.AT_REMOVEDIR : 0;
  operation.stageOrThrow(what);
}

export function makeName(operation: Operation, directory: number, name: string, mode: number, block: Block): void {
  const what = prepare(kernel.OP_MKDIRAT, directory);
  what.ptr = putPath(block, name);
  what.len = mode;
  operation.stageOrThrow(what);
}

/** Reads `bytes` bytes of the file, from `position` on, to `at`. */
export function readFile(operation: Operation, file: number, position: number, at: number, bytes: number): void {
  const what = prepareFile(kernel.OP_READ, file);
  what.off = position;
  what.ptr = at;
  what.len = bytes;
  operation.stageOrThrow(what);
}

/** Writes `bytes` bytes at `at` to the file, from `position` on. */
export function writeFile(operation: Operation, file: number, position: number, at: number, bytes: number): void {
  const what = prepareFile(kernel.OP_WRITE, file);
  what.off = position;
  what.ptr = at;
  what.len = bytes;
  operation.stageOrThrow(what);
}

export function syncFile(operation: Operation, file: number, dataOnly: boolean): void {
  const what = prepareFile(kernel.OP_FSYNC, file);
  what.opFlags = dataOnly ? kernel.FSYNC_DATASYNC : 0;
  operation.stageOrThrow(what);
}

export function truncateFile(operation: Operation, file: number, bytes: number): void {
  const what = prepareFile(kernel.OP_FTRUNCATE, file);
  what.off = bytes;
  operation.stageOrThrow(what);
}
