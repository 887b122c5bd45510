// Finds the file system of a path, as far as Node can tell. The portable host must not leave the file system that a
// directory was granted in. On uring the kernel ensures that (RESOLVE_NO_XDEV, host/native/directory.c). Here devices
// are compared, so a bind mount of the same file system is not noticed.
//
// Next: portable-files.ts.

import { type Stats, statfs, statfsSync } from 'node:fs';

// linux/magic.h
const PROC = 0x9fa0;
const SYSFS = 0x62656572;
const EFIVARFS = 0xde5e81e4;
const OVERLAY = 0x794c7630;
const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
const FUSE = 0x65735546;
const NFS = 0x6969;
const V9FS = 0x01021997;
const CEPH = 0x00c36400;
const CIFS = 0xff534d42;
const SMB2 = 0xfe534d42;
const MAY_HAVE_NO_BLOCKS = [OVERLAY, TMPFS, RAMFS, FUSE, NFS, V9FS, CEPH, CIFS, SMB2];

const isLinux = process.platform === 'linux';

/** A directory that was granted. */
export interface Root {
  readonly path: string;
  readonly device: number;
  /** Files of an overlay may have the devices of its layers; directories have its own. */
  readonly isOverlay: boolean;
}

/** Undefined if `path` does not lie in a file system that stores files: procfs, sysfs. */
export function makeRoot(path: string, { dev: device }: Stats): Root | undefined {
  if (!isLinux) return { path, device, isOverlay: false };
  const { type, blocks } = statfsSync(path);
  const storesFiles = MAY_HAVE_NO_BLOCKS.includes(type) || (blocks > 0 && ![PROC, SYSFS, EFIVARFS].includes(type));
  return storesFiles ? { path, device, isOverlay: type === OVERLAY } : undefined;
}

/** Whether what `path` names, which has these `stats`, lies in the file system of `root`. */
export function isWithin(root: Root, stats: Stats, path: string, callback: (isWithin: boolean) => void): void {
  if (stats.dev === root.device || process.platform === 'win32') callback(true);
  else if (!root.isOverlay || stats.isDirectory()) callback(false);
  else statfs(path, (error, found) => callback(!error && found.type === OVERLAY));
}
