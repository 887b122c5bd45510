// Lists a directory of this machine, and reads links in it. io_uring can do neither, so every host uses node:fs.

import { readdir, readlink } from 'node:fs/promises';
import { systemError } from '../base/errors.js';
import type { DirectoryEntry, FileKind } from './host.js';
import { errnoOf } from './portable-window.js';

interface Kinds {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

function kindOf(entry: Kinds): FileKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'link' : 'other';
}

export async function readDirectory(path: string): Promise<DirectoryEntry[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }));
  } catch (error) {
    throw systemError('getdents', errnoOf(error));
  }
}

export async function readLinkIn(directory: string, name: string): Promise<string> {
  try {
    return await readlink(`${directory}/${name}`);
  } catch (error) {
    throw systemError('readlink', errnoOf(error), name);
  }
}
