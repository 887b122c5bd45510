// Files are opened in a directory. Code that has one can reach everything beneath it, and nothing else. On io_uring the
// kernel sees to that (RESOLVE_BENEATH, host/native/directory.c), for each operation again.
//
// The kernel knows "beneath" only for opening. So stat, rename, remove and make take one name. For a path with slashes
// its directory is opened first, beneath, for as long as that takes (ways.ts).
//
// Next: ways.ts, file.ts.

import { constants } from 'node:fs';
import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { FeatherstarError, optionError, systemError } from '../base/errors.js';
import {
  type Checks,
  checkBoolean,
  checkedLater,
  checkOptions,
  checkWait,
  integer,
  WAIT_CHECKS,
} from '../base/options.js';
import type { SharedBytes } from '../calls/shared-bytes.js';
import { Errno } from '../core/kernel.js';
import type { Directories, DirectoryEntry } from '../hosts/host.js';
import type { Operation } from '../shard/operation.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { dataOf, File } from './file.js';
import {
  checkPath,
  type FileStat,
  makeName,
  openBeneath,
  PATH_BLOCK_BYTES,
  readStat,
  removeName,
  renameName,
  statName,
} from './operations.js';
import { type Block, getBlock, perform, Uses } from './perform.js';
import { withWays } from './ways.js';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND } = constants;
const O_DIRECTORY = constants.O_DIRECTORY ?? 0; // Windows has none
const FLAGS = {
  r: O_RDONLY,
  'r+': O_RDWR,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_EXCL,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  'wx+': O_RDWR | O_CREAT | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
  'a+': O_RDWR | O_CREAT | O_APPEND,
} as const satisfies Record<OpenFlags, number>;
const FILE_MODE = 0o666; // the umask takes off what the user does not want
const DIRECTORY_MODE = 0o777;
const MODE_MAX = 0o777;
const READ_MAX_BYTES = 268_435_456;
const STORES_FILES = 'a directory of a file system that stores files (procfs, sysfs and their like are not granted)';

/** How a file is opened, in the letters of Node: `r` reads, `w` writes anew, `a` appends, `x` wants a new file. */
export type OpenFlags = 'r' | 'r+' | 'w' | 'wx' | 'w+' | 'wx+' | 'a' | 'a+';

/** Options of `Directory.open()` and `writeFile()`. */
export interface OpenOptions extends WaitOptions {
  /** How the file is opened. Default: 'r' for `open()`, 'w' for `writeFile()`. */
  flags?: OpenFlags | undefined;
  /** Permission bits of a file that is made, 0 to 0o777, less those of the umask. Default 0o666. */
  mode?: number | undefined;
}

/** Options of `Directory.openDirectory()`. */
export interface OpenDirectoryOptions {
  /** Whether the path may lead into another mount. It never leads to procfs, sysfs or the like. Default false. */
  crossMounts?: boolean | undefined;
}

/** Options of `Directory.makeDirectory()`. */
export interface MakeDirectoryOptions extends WaitOptions {
  /** Permission bits, 0 to 0o777, less those of the umask. Default 0o777. */
  mode?: number | undefined;
}

/** Options of `Directory.remove()`. */
export interface RemoveOptions extends WaitOptions {
  /** Removes an empty directory instead of a file. Default false. */
  directory?: boolean | undefined;
}

/** Options of `Directory.rename()`. */
export interface RenameOptions extends WaitOptions {
  /** The directory, of this shard, that `to` lies in. Default: the same one. */
  into?: Directory | undefined;
  /** Whether a file that is there already is replaced. If not, that is EEXIST. Default true. */
  replace?: boolean | undefined;
}

/** Options of `Directory.readFile()` and `readText()`. */
export interface ReadFileOptions extends WaitOptions {
  /** The longest content, 0 to 268,435,456 bytes; default 268,435,456. A longer file is EFBIG. */
  maxBytes?: number | undefined;
}

/** Options of `Directory.replaceFile()`. */
export interface ReplaceFileOptions extends WaitOptions {
  /** Permission bits, 0 to 0o777, less those of the umask. Default 0o666. */
  mode?: number | undefined;
}

const MODE_CHECKS: Checks<{ mode?: number | undefined } & WaitOptions> = { mode: checkMode, ...WAIT_CHECKS };
const OPEN_CHECKS: Checks<OpenOptions> = { flags: checkFlags, ...MODE_CHECKS };
const OPEN_DIRECTORY_CHECKS: Checks<OpenDirectoryOptions> = { crossMounts: checkBoolean };
const REMOVE_CHECKS: Checks<RemoveOptions> = { directory: checkBoolean, ...WAIT_CHECKS };
const RENAME_CHECKS: Checks<RenameOptions> = { into: checkedLater, replace: checkBoolean, ...WAIT_CHECKS };
const READ_CHECKS: Checks<ReadFileOptions> = { maxBytes: integer(0, READ_MAX_BYTES), ...WAIT_CHECKS };

interface Wanted {
  from: Directory;
  way: string | undefined;
  name: string;
}

interface ParentAndName {
  directory: Directory;
  name: string;
}

/**
 * A directory, as the right to reach what lies beneath it, and nothing else. `openDirectory()` makes it.
 *
 * @example
 * await using data = await openDirectory('/var/lib/app');
 * const text = await data.readText('settings.json');
 * await data.replaceFile('settings.json', JSON.stringify(settings));
 */
export class Directory {
  /** The path that it was opened with. */
  readonly path: string;
  readonly #shard: Shard;
  readonly #table: Directories;
  readonly #index: number;
  readonly #uses: Uses;

  /** @internal openDirectory() makes them. */
  constructor(shard: Shard, table: Directories, index: number, path: string) {
    this.#shard = shard;
    this.#table = table;
    this.#index = index;
    this.path = path;
    this.#uses = new Uses(`the directory ${path}`, () => {
      if (!shard.closed) table.close(index);
    });
  }

  /** Whether `close()` was called. */
  get isClosed(): boolean {
    return this.#uses.isClosed;
  }

  /**
   * Opens a directory beneath this one. Rejects like the function `openDirectory()`, and with EXDEV for a path that
   * leads out, or into another mount without `crossMounts`.
   */
  async openDirectory(path: string, options: OpenDirectoryOptions = {}): Promise<Directory> {
    const { crossMounts = false } = checkOptions(options, OPEN_DIRECTORY_CHECKS);
    return this.#openDirectory(checkPath('path', path), crossMounts);
  }

  #openDirectory(path: string, crossMounts = false): Directory {
    this.#uses.begin();
    try {
      return open(this.#shard, this.#table, path, `${this.path}/${path}`, this.#index, crossMounts);
    } finally {
      this.#uses.end();
    }
  }

  /**
   * Opens a file beneath this directory. Rejects with FEATHERSTAR_SYSTEM (`error.errnoName`: ENOENT, EEXIST, EACCES,
   * EISDIR, ENFILE, and EXDEV for a path that leads out), FEATHERSTAR_CLOSED, FEATHERSTAR_TIMEOUT, or the signal's
   * reason.
   */
  async open(path: string, options: OpenOptions = {}): Promise<File> {
    const { flags = 'r', mode = FILE_MODE } = checkOptions(options, OPEN_CHECKS);
    if (checkPath('path', path).endsWith('/')) throw optionError('path', path, 'the path of a file'); // hosts differ
    return withDeadline(options, (signal) => this.#open(path, FLAGS[flags], mode, signal));
  }

  #open(path: string, flags: number, mode: number, signal: AbortSignal | undefined): Promise<File> {
    const shard = this.#shard;
    return this.#run('open', path, signal, {
      stage: (block, operation) => openBeneath(operation, this.#index, path, flags, mode, block),
      done: (slot) => new File(shard, slot, `${this.path}/${path}`, (flags & O_APPEND) !== 0),
      undo: (slot) => shard.closeFile(slot),
    });
  }

  /** Resolves to the kind, size and time of a file, a directory or a link (not its target). Rejects like `open()`. */
  async stat(path: string, options: WaitOptions = {}): Promise<FileStat> {
    return this.#at(path, checkWait(options), ({ directory, name }, signal) =>
      directory.#run('stat', name, signal, {
        stage: (block, operation) => statName(operation, directory.#index, name, block),
        done: (_, block) => readStat(block),
      }),
    );
  }

  /** Makes a directory. Rejects like `open()`; EEXIST if it is there already. */
  async makeDirectory(path: string, options: MakeDirectoryOptions = {}): Promise<void> {
    const { mode: bits = DIRECTORY_MODE } = checkOptions(options, MODE_CHECKS);
    await this.#at(path, options, ({ directory, name }, signal) =>
      directory.#run('mkdir', name, signal, {
        stage: (block, operation) => makeName(operation, directory.#index, name, bits, block),
        done: () => undefined,
      }),
    );
  }

  /** Removes a file or a link, or, with `directory`, an empty directory. Rejects like `open()`. */
  async remove(path: string, options: RemoveOptions = {}): Promise<void> {
    const { directory: isDirectory = false } = checkOptions(options, REMOVE_CHECKS);
    await this.#at(path, options, ({ directory, name }, signal) =>
      directory.#run(isDirectory ? 'rmdir' : 'unlink', name, signal, {
        stage: (block, operation) => removeName(operation, directory.#index, name, isDirectory, block),
        done: () => undefined,
      }),
    );
  }

  /**
   * Moves a file or a directory in one step: at no moment is a file at `to` missing or incomplete. Rejects like
   * `open()`.
   */
  async rename(from: string, to: string, options: RenameOptions = {}): Promise<void> {
    const { into = this, replace = true } = checkOptions(options, RENAME_CHECKS);
    const shard = this.#shard;
    if (!(into instanceof Directory) || into.#shard !== shard) {
      throw optionError('into', into, 'a Directory of this shard');
    }
    const wanted = [this.#place(from), into.#place(to)];
    await Directory.#atAll(shard, wanted, options, async (places, signal) => {
      const [source, target] = places as [ParentAndName, ParentAndName];
      target.directory.#uses.begin();
      try {
        const a = { directory: source.directory.#index, name: source.name };
        const b = { directory: target.directory.#index, name: target.name };
        await source.directory.#run('rename', `${source.name} to ${target.name}`, signal, {
          stage: (block, operation) => renameName(operation, a, b, replace, block),
          done: () => undefined,
        });
      } finally {
        target.directory.#uses.end();
      }
    });
  }

  /** Resolves to the entries of the directory, in no order. Rejects like `open()`. */
  async list(options: WaitOptions = {}): Promise<DirectoryEntry[]> {
    checkWait(options);
    this.#uses.begin();
    return abortable(this.#list(), options);
  }

  async #list(): Promise<DirectoryEntry[]> {
    return this.#ask(() => this.#table.list(this.#index));
  }

  /** @internal Resolves to the text of a link. Rejects like `open()`; with EINVAL if it is none. */
  async readLink(path: string): Promise<string> {
    return this.#at(path, {}, ({ directory, name }) => {
      directory.#uses.begin();
      return directory.#ask(() => directory.#table.readLink(directory.#index, name));
    });
  }

  /** Asks the host what no operation tells. Ends a use. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      checkOpen(this.#shard);
      const answer = await question();
      checkOpen(this.#shard); // or it may be of another directory that was opened as soon as this one was closed
      return answer;
    } finally {
      this.#uses.end();
    }
  }

  /**
   * Resolves when the names in the directory are on the disk: what was made, renamed and removed. Rejects like
   * `open()`.
   */
  async sync(options: WaitOptions = {}): Promise<void> {
    await withDeadline(checkWait(options), (signal) => abortable(this.#sync(signal), { signal }));
  }

  async #sync(signal: AbortSignal | undefined): Promise<void> {
    const self = await this.#open('.', O_RDONLY | O_DIRECTORY, 0, signal);
    try {
      await self.sync({ signal });
    } finally {
      await self.close();
    }
  }

  // --- whole files ---------------------------------------------------------------------------------------------------

  /** Resolves to the whole content of a file. Rejects like `open()`; EFBIG beyond `maxBytes`. */
  async readFile(path: string, options: ReadFileOptions = {}): Promise<Uint8Array> {
    const { maxBytes = READ_MAX_BYTES } = checkOptions(options, READ_CHECKS);
    return withDeadline(options, (signal) => abortable(this.#readFile(path, maxBytes, signal), { signal }));
  }

  async #readFile(path: string, maxBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const file = await this.open(path, { signal });
    try {
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      for (;;) {
        const piece = new Uint8Array(Math.min(maxBytes - bytes + 1, bytes === 0 ? 4096 : 65_536));
        const count = await file.read(piece, { signal });
        bytes += count;
        if (bytes > maxBytes) throw systemError('read', Errno.EFBIG, file.path);
        pieces.push(piece.subarray(0, count));
        if (count < piece.length) return Buffer.concat(pieces);
      }
    } finally {
      await file.close();
    }
  }

  /** Resolves to the whole content of a file, decoded from UTF-8. Rejects like `readFile()`. */
  async readText(path: string, options: ReadFileOptions = {}): Promise<string> {
    return Buffer.from(await this.readFile(path, options)).toString('utf8');
  }

  /**
   * Writes a file in place. A reader may see a part of it, and so may a program that starts after a crash: see
   * `replaceFile()`. After an abort it rejects when the kernel has ended, so that no late write overwrites a newer one.
   * Rejects like `open()` and `File.write()`.
   */
  async writeFile(path: string, data: Uint8Array | string | SharedBytes, options: OpenOptions = {}): Promise<void> {
    const { flags = 'w', mode } = checkOptions(options, OPEN_CHECKS);
    const bytes = dataOf(data); // before the file is cut
    await withDeadline(options, async (signal) => {
      const file = await this.open(path, { flags, mode, signal });
      try {
        await file.write(bytes, { signal });
      } finally {
        await file.close();
      }
    });
  }

  /**
   * Replaces a file, or makes it. Each reader sees the whole old content or the whole new one, also after a crash. When
   * this resolves, the new content is on the disk. It is written to another name, synced and renamed, and then the
   * directory is synced. Rejects like `open()` and `File.write()`.
   */
  async replaceFile(
    path: string,
    data: Uint8Array | string | SharedBytes,
    options: ReplaceFileOptions = {},
  ): Promise<void> {
    const { mode = FILE_MODE } = checkOptions(options, MODE_CHECKS);
    const { way = '.', name } = this.#place(path);
    await withDeadline(options, (signal) => {
      // A directory of its own: what was begun is tidied up also when this one is closed meanwhile.
      const replacing = withWays(this.#shard, [() => this.#openDirectory(way)], signal, ([directory]) =>
        (directory as Directory).#replace(name, data, mode, signal),
      );
      return abortable(replacing, { signal });
    });
  }

  async #replace(name: string, data: Uint8Array | string | SharedBytes, mode: number, signal: AbortSignal | undefined) {
    const { file, temporary } = await this.#openTemporary(name, mode); // not aborted: it has to be removed then
    try {
      try {
        await file.write(data, { signal });
        await file.sync({ signal });
      } finally {
        await file.close();
      }
      await this.rename(temporary, name, { signal });
    } catch (error) {
      await this.remove(temporary).catch(() => undefined); // what failed first is what is told
      throw error;
    }
    await this.sync({ signal });
  }

  async #openTemporary(name: string, mode: number) {
    for (;;) {
      const temporary = `.${name.slice(0, 64)}.${Math.random().toString(36).slice(2, 10)}.tmp`;
      try {
        return { file: await this.open(temporary, { flags: 'wx', mode }), temporary };
      } catch (error) {
        if (!FeatherstarError.is(error) || error.errno !== Errno.EEXIST) throw error; // another name, then
      }
    }
  }

  // --- the way there -------------------------------------------------------------------------------------------------

  /** Where the last name of a path lies: `way` leads there from here. */
  #place(path: string): Wanted {
    const trimmed = checkPath('path', path).replace(/\/+$/, '');
    const slash = trimmed.lastIndexOf('/');
    const name = trimmed.slice(slash + 1);
    if (name === '' || name === '.' || name === '..') throw optionError('path', path, 'a path that ends in a name');
    return { from: this, way: slash < 0 ? undefined : trimmed.slice(0, slash) || '/', name };
  }

  /** Runs `run` with the directory that the last name of the path lies in. */
  async #at<T>(
    path: string,
    options: WaitOptions,
    run: (place: ParentAndName, signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    return Directory.#atAll(this.#shard, [this.#place(path)], options, ([place], signal) =>
      run(place as ParentAndName, signal),
    );
  }

  static async #atAll<T>(
    shard: Shard,
    wanted: readonly Wanted[],
    options: WaitOptions,
    run: (places: ParentAndName[], signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const opens = wanted.flatMap(({ from, way }) => (way === undefined ? [] : [() => from.#openDirectory(way)]));
    return withDeadline(options, (signal) =>
      withWays(shard, opens, signal, (opened) => {
        const ways = opened.values();
        const places = wanted.map(({ from, way, name }) => {
          const directory = way === undefined ? from : (ways.next().value as Directory);
          return { directory, name };
        });
        return run(places, signal);
      }),
    );
  }

  async #run<T>(
    syscall: string,
    what: string,
    signal: AbortSignal | undefined,
    job: {
      stage: (block: Block, operation: Operation) => void;
      done: (result: number, block: Block) => T;
      undo?: (result: number) => void;
    },
  ): Promise<T> {
    signal?.throwIfAborted();
    const block = await getBlock(this.#shard, PATH_BLOCK_BYTES, signal, PATH_BLOCK_BYTES);
    return perform(this.#shard, {
      syscall,
      what: `${this.path}/${what}`,
      uses: this.#uses,
      block,
      signal,
      stage: (operation) => job.stage(block, operation),
      done: (result) => job.done(result, block),
      ...(job.undo === undefined ? {} : { undo: job.undo }),
    });
  }

  /**
   * Closes the directory: later calls reject with FEATHERSTAR_CLOSED. Resolves when the calls that are open have ended.
   * Files that were opened in it stay open.
   */
  close(): Promise<void> {
    return this.#uses.close();
  }

  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checkOpen(shard: Shard): void {
  if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
}

function checkMode(name: string, mode: unknown): void {
  if (Number.isInteger(mode) && (mode as number) >= 0 && (mode as number) <= MODE_MAX) return;
  throw optionError(name, mode, 'permission bits, 0 to 0o777');
}

function checkFlags(name: string, flags: unknown): void {
  if (typeof flags === 'string' && Object.hasOwn(FLAGS, flags)) return;
  throw optionError(name, flags, `one of ${Object.keys(FLAGS).join(', ')}`);
}

function open(
  shard: Shard,
  table: Directories,
  path: string,
  whole: string,
  parent?: number,
  crossMounts?: boolean,
): Directory {
  checkOpen(shard);
  const index = table.open(path, parent, crossMounts);
  if (index === Errno.ENODEV) throw optionError('path', whole, STORES_FILES);
  if (index < 0) throw systemError('open', index, whole);
  return new Directory(shard, table, index, whole);
}

/**
 * Opens a directory of this machine for this shard; at most 64 at a time. This and directory.openDirectory() ask the
 * kernel at once and wait for it. Rejects with FEATHERSTAR_SYSTEM: ENOENT, ENOTDIR, EACCES, EMFILE; with
 * FEATHERSTAR_OPTION for procfs, sysfs and their like, which can reach memory of this process.
 */
export async function openDirectory(path: string): Promise<Directory> {
  const shard = currentShard();
  const { directories } = shard.host;
  if (directories === undefined) {
    throw new FeatherstarError('FEATHERSTAR_HOST', `the host ${shard.host.name} has no files`);
  }
  return open(shard, directories, checkPath('path', path), path);
}
