// A directory is what files are opened in: whoever has one can reach what lies beneath it, and nothing else. On
// io_uring the kernel sees to that (RESOLVE_BENEATH, host/native/directory.c), for each operation again.
//
// The kernel knows "beneath" only for opening. So stat, rename, remove and make take one name, and for a path with
// slashes its directory is opened first, beneath, for as long as that takes (ways.ts).
//
// Next: ways.ts, file.ts.

import { constants } from 'node:fs';
import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { FeatherstarError, optionError, systemError } from '../base/errors.js';
import { type Checks, checkBoolean, checkInteger, checkOptions, checkSignal } from '../base/options.js';
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
} as const;
const FILE_MODE = 0o666; // the umask takes off what the user does not want
const DIRECTORY_MODE = 0o777;
const MODE_MAX = 0o777;
const READ_MAX_BYTES = 268_435_456;
const STORES_FILES = 'a directory of a file system that stores files (procfs, sysfs and their like are not granted)';

export type OpenFlags = keyof typeof FLAGS;

export interface OpenOptions extends AbortOptions {
  /** As Node has them: r, r+, w, wx, w+, wx+, a, a+. Default 'r'. */
  flags?: OpenFlags | undefined;
  /** Permission bits of a file that is made, 0 to 0o777; the umask counts. Default 0o666. */
  mode?: number | undefined;
}

export interface OpenDirectoryOptions {
  /** Whether the path may lead into another mount. It never leads to procfs, sysfs or the like. Default false. */
  crossMounts?: boolean | undefined;
}

const OPEN_CHECKS: Checks<OpenDirectoryOptions> = { crossMounts: checkBoolean };

export interface MakeDirectoryOptions extends AbortOptions {
  /** Permission bits, 0 to 0o777; the umask counts. Default 0o777. */
  mode?: number | undefined;
}

export interface RemoveOptions extends AbortOptions {
  /** An empty directory instead of a file. Default false. */
  directory?: boolean | undefined;
}

export interface RenameOptions extends AbortOptions {
  /** Another directory of this shard that `to` lies in. Default: the same. */
  into?: Directory | undefined;
  /** A file that is there already is replaced. If not, EEXIST. Default true. */
  replaces?: boolean | undefined;
}

export interface ReadFileOptions extends AbortOptions {
  /** EFBIG if there is more. Default, and at most, 268,435,456. */
  maxBytes?: number | undefined;
}

export interface ReplaceFileOptions extends AbortOptions {
  /** Permission bits, 0 to 0o777; the umask counts. Default 0o666. */
  mode?: number | undefined;
}

interface Wanted {
  from: Directory;
  way: string | undefined;
  name: string;
}

interface Place {
  directory: Directory;
  name: string;
}

export class Directory {
  /** Its path, as it was opened. */
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

  get closed(): boolean {
    return this.#uses.isClosed;
  }

  /**
   * A directory beneath this one. Rejects as openDirectory() does, and with EXDEV for a path that leads out, or into
   * another mount without `crossMounts`.
   */
  async openDirectory(path: string, options: OpenDirectoryOptions = {}): Promise<Directory> {
    const { crossMounts = false } = checkOptions(options, OPEN_CHECKS);
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
   * Opens a file beneath this directory. Rejects with FEATHERSTAR_SYSTEM (`error.errnoName`): ENOENT, EEXIST, EACCES,
   * EISDIR, ENFILE, and EXDEV for a path that leads out.
   */
  async open(path: string, { flags = 'r', mode = FILE_MODE, signal }: OpenOptions = {}): Promise<File> {
    const bits = Object.hasOwn(FLAGS, flags) ? FLAGS[flags] : undefined;
    if (bits === undefined) throw optionError('flags', flags, `one of ${Object.keys(FLAGS).join(', ')}`);
    if (checkPath('path', path).endsWith('/')) throw optionError('path', path, 'the path of a file'); // hosts differ
    return this.#open(path, bits, checkMode(mode), checkSignal(signal));
  }

  #open(path: string, flags: number, mode: number, signal: AbortSignal | undefined): Promise<File> {
    const shard = this.#shard;
    return this.#run('open', path, signal, {
      stage: (block, operation) => openBeneath(operation, this.#index, path, flags, mode, block),
      done: (slot) => new File(shard, slot, `${this.path}/${path}`, (flags & O_APPEND) !== 0),
      undo: (slot) => shard.closeFile(slot),
    });
  }

  /** About a file, a directory or a link; links are not followed. */
  async stat(path: string, { signal }: AbortOptions = {}): Promise<FileStat> {
    return this.#at(path, signal, ({ directory, name }) =>
      directory.#run('stat', name, signal, {
        stage: (block, operation) => statName(operation, directory.#index, name, block),
        done: (_, block) => readStat(block),
      }),
    );
  }

  async makeDirectory(path: string, { mode = DIRECTORY_MODE, signal }: MakeDirectoryOptions = {}): Promise<void> {
    const bits = checkMode(mode);
    await this.#at(path, signal, ({ directory, name }) =>
      directory.#run('mkdir', name, signal, {
        stage: (block, operation) => makeName(operation, directory.#index, name, bits, block),
        done: () => undefined,
      }),
    );
  }

  async remove(path: string, { directory: isDirectory = false, signal }: RemoveOptions = {}): Promise<void> {
    await this.#at(path, signal, ({ directory, name }) =>
      directory.#run(isDirectory ? 'rmdir' : 'unlink', name, signal, {
        stage: (block, operation) => removeName(operation, directory.#index, name, isDirectory, block),
        done: () => undefined,
      }),
    );
  }

  /** Moves a file or a directory. At no moment is there none, or half of one, at `to`. */
  async rename(from: string, to: string, { into = this, replaces = true, signal }: RenameOptions = {}): Promise<void> {
    const shard = this.#shard;
    if (!(into instanceof Directory) || into.#shard !== shard) {
      throw optionError('into', into, 'a Directory of this shard');
    }
    const wanted = [this.#place(from), into.#place(to)];
    await Directory.#atAll(shard, wanted, checkSignal(signal), async ([source, target]) => {
      target.directory.#uses.begin();
      try {
        const [a, b] = [source, target].map(({ directory, name }) => ({ directory: directory.#index, name }));
        await source.directory.#run('rename', `${source.name} to ${target.name}`, signal, {
          stage: (block, operation) => renameName(operation, a, b, replaces, block),
          done: () => undefined,
        });
      } finally {
        target.directory.#uses.end();
      }
    });
  }

  /** What lies in it, in no order. */
  async list({ signal }: AbortOptions = {}): Promise<DirectoryEntry[]> {
    checkSignal(signal)?.throwIfAborted();
    this.#uses.begin();
    return abortable(this.#list(), { signal });
  }

  async #list(): Promise<DirectoryEntry[]> {
    try {
      checkOpen(this.#shard);
      const entries = await this.#table.list(this.#index);
      checkOpen(this.#shard); // or they may be of another directory that was opened as soon as this one was closed
      return entries;
    } finally {
      this.#uses.end();
    }
  }

  /** The names in it are on the disk as they are: what was made, renamed and removed. */
  async sync({ signal }: AbortOptions = {}): Promise<void> {
    checkSignal(signal)?.throwIfAborted();
    await abortable(this.#sync(signal), { signal });
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

  /** All of a file. */
  async readFile(path: string, { maxBytes = READ_MAX_BYTES, signal }: ReadFileOptions = {}): Promise<Uint8Array> {
    checkInteger('maxBytes', maxBytes, 0, READ_MAX_BYTES);
    checkSignal(signal)?.throwIfAborted();
    return abortable(this.#readFile(path, maxBytes, signal), { signal });
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

  async readText(path: string, options: ReadFileOptions = {}): Promise<string> {
    return Buffer.from(await this.readFile(path, options)).toString('utf8');
  }

  /**
   * Writes a file in place: who reads it meanwhile, or after a crash, may see a part. See replaceFile(). An abort
   * rejects when the host has done with what it has begun, or that might come over what is written next.
   */
  async writeFile(path: string, data: Uint8Array | string | SharedBytes, options: OpenOptions = {}): Promise<void> {
    const { flags = 'w', mode, signal } = options;
    const bytes = dataOf(data); // before the file is cut
    const file = await this.open(path, { flags, mode, signal });
    try {
      await file.write(bytes, { signal });
    } finally {
      await file.close();
    }
  }

  /**
   * Replaces a file, or makes it: whoever reads it sees the old content or the new one, also after a crash, and when
   * this resolves the new one. Written beside it under another name, synced, renamed, and the directory synced.
   */
  async replaceFile(
    path: string,
    data: Uint8Array | string | SharedBytes,
    options: ReplaceFileOptions = {},
  ): Promise<void> {
    const { signal, mode = FILE_MODE } = options;
    const { way = '.', name } = this.#place(path);
    checkMode(mode);
    checkSignal(signal)?.throwIfAborted();
    // A directory of its own: what was begun is tidied up also when this one is closed meanwhile.
    const replacing = withWays(this.#shard, [() => this.#openDirectory(way)], signal, ([directory]) =>
      directory.#replace(name, data, mode, signal),
    );
    await abortable(replacing, { signal });
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
  async #at<T>(path: string, signal: AbortSignal | undefined, run: (place: Place) => Promise<T>): Promise<T> {
    return Directory.#atAll(this.#shard, [this.#place(path)], checkSignal(signal), ([place]) => run(place));
  }

  static async #atAll<T>(
    shard: Shard,
    wanted: readonly Wanted[],
    signal: AbortSignal | undefined,
    run: (places: Place[]) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const opens = wanted.flatMap(({ from, way }) => (way === undefined ? [] : [() => from.#openDirectory(way)]));
    return withWays(shard, opens, signal, (opened) => {
      const ways = opened.values();
      return run(
        wanted.map(({ from, way, name }) => {
          const directory = way === undefined ? from : (ways.next().value as Directory);
          return { directory, name };
        }),
      );
    });
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

  /** Resolves when what is open in it has ended and it was given back. Files that were opened in it stay open. */
  close(): Promise<void> {
    return this.#uses.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checkOpen(shard: Shard): void {
  if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
}

function checkMode(mode: unknown): number {
  if (Number.isInteger(mode) && (mode as number) >= 0 && (mode as number) <= MODE_MAX) return mode as number;
  throw optionError('mode', mode, 'permission bits, 0 to 0o777');
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
