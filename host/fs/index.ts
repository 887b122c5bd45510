// featherstar/fs: files of this machine, in directories that were opened for the program.
//
// Next: directory.ts.

export type { DirectoryEntry, FileKind } from '../hosts/host.js';
export {
  type Directory,
  type MakeDirectoryOptions,
  type OpenDirectoryOptions,
  type OpenFlags,
  type OpenOptions,
  openDirectory,
  type ReadFileOptions,
  type RemoveOptions,
  type RenameOptions,
  type ReplaceFileOptions,
} from './directory.js';
export type { File, PositionOptions, StreamOptions, SyncOptions } from './file.js';
export type { FileStat } from './operations.js';
