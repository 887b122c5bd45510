// The files that a static handler has open, by path: what they are, and which version.
//
//   take(path) --> known, and looked at not long ago: as it is
//              \-> else a look at the directory: the same still, or opened anew
//                  a link: its text is a path from where it lies, which is looked at instead
//   leave()    --> the user has no more need of it
//
// A file is looked at before and after it is opened. So length and version are those of the file that is open, also if
// another one takes its name meanwhile. Requests that want the same file at once share one look.
//
// The text of a link is only a path. The directory follows no path that leads out of it, so no link does.
//
// A file that is dropped (too many, or another version) is closed when its last user leaves.
//
// Next: serve-static.ts.

import { FeatherstarError, systemError } from '../base/errors.js';
import { allocate, type SharedBytes } from '../calls/shared-bytes.js';
import { Errno } from '../core/kernel.js';
import type { Directory } from '../fs/directory.js';
import type { File } from '../fs/file.js';
import type { FileStat } from '../fs/operations.js';
import { type Pieces, withPieces } from './pieces.js';

const PIECE_BYTES = 65_536; // of an array
const BLOCK_BYTES = 262_144; // stays in a core's own cache between the read and the send
/** Blocks in use by responses of a shard, 16 MiB. */
export const BLOCKS_MAX = 64;
const LINKS_MAX = 8; // in a row
const TRIES = 3; // for a file whose name is given to others all the time

/** Errors that say: there is no file with this name. */
const ABSENT: readonly unknown[] = ['ENOENT', 'ENOTDIR', 'EISDIR', 'EXDEV', 'ELOOP', 'ENAMETOOLONG'];

let blocks = 0; // of this thread's parts of files

/**
 * Reads a part of a file into a block of memory, from which it is sent. At most BLOCKS_MAX responses have a block at a
 * time, because a slow client keeps its own for long. The others read into an array, which costs a copy.
 */
class FilePart implements Pieces {
  readonly #file: File;
  readonly #end: number;
  readonly #leave: () => void;
  #position: number;
  #block: SharedBytes | undefined;
  #isOver = false;

  /** `leave` is called once, when nothing is read any more. */
  constructor(file: File, start: number, end: number, leave: () => void) {
    this.#file = file;
    this.#position = start;
    this.#end = end;
    this.#leave = leave;
  }

  /** Whether the last byte was read. */
  get isRead(): boolean {
    return this.#position === this.#end;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.isRead || this.#isOver) {
      this.end();
      return undefined;
    }
    try {
      const piece = await this.#read(this.#end - this.#position);
      this.#position += piece.length;
      return piece;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  async #read(left: number): Promise<Uint8Array> {
    if (left > PIECE_BYTES) this.#block ??= tryBlock();
    const into = this.#block ?? new Uint8Array(Math.min(left, PIECE_BYTES));
    const length = Math.min(left, into.length);
    const count = await this.#file.read(into, { position: this.#position, length });
    if (count < length) throw systemError('read', Errno.EIO, `${this.#file.path}, which was cut while it was sent`);
    return into instanceof Uint8Array ? into : into.bytes.subarray(0, length);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#block !== undefined) blocks--;
    this.#block?.dispose(); // a read that still goes on keeps it until its end
    this.#leave();
  }
}

function tryBlock(): SharedBytes | undefined {
  if (blocks === BLOCKS_MAX) return undefined;
  try {
    const block = allocate(BLOCK_BYTES);
    blocks++;
    return block;
  } catch (error) {
    if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_FULL') return undefined; // the program has them all
    throw error;
  }
}

/** A file that is open, of which size and mtimeMs are known. */
export class OpenFile {
  readonly file: File;
  readonly size: number;
  readonly mtimeMs: number;
  readonly #inode: number;
  checkedMs: number;
  #users = 0;
  #isDropped = false;
  #isClosed = false;

  constructor(file: File, { size, mtimeMs, inode }: FileStat, checkedMs: number) {
    this.file = file;
    this.#inode = inode;
    this.size = size;
    this.mtimeMs = mtimeMs;
    this.checkedMs = checkedMs;
  }

  isSame({ kind, size, mtimeMs, inode }: FileStat): boolean {
    return kind === 'file' && size === this.size && mtimeMs === this.mtimeMs && inode === this.#inode;
  }

  /** Bytes [start, end) as a body. The file stays open until the body is read or cancelled. */
  stream(start: number, end: number): ReadableStream<Uint8Array> {
    const part = new FilePart(this.file, start, end, () => this.leave());
    this.#users++;
    const stream = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const piece = await part.next();
          if (piece !== undefined) controller.enqueue(piece.slice());
          if (!part.isRead) return;
          part.end();
          controller.close();
        },
        cancel: () => part.end(),
      },
      { highWaterMark: 0 },
    );
    return withPieces(stream, () => part);
  }

  /** Whether it is open still; then it stays so until leave(). */
  tryUse(): boolean {
    if (!this.#isClosed) this.#users++;
    return !this.#isClosed;
  }

  leave(): void {
    this.#users--;
    this.#closeIfUnused();
  }

  /** No one else finds it. */
  drop(): void {
    this.#isDropped = true;
    this.#closeIfUnused();
  }

  /** Only the one who looked for it finds it. */
  dropAfterUse(): void {
    this.#isDropped = true;
  }

  #closeIfUnused(): void {
    if (!this.#isDropped || this.#users !== 0) return;
    this.#isClosed = true;
    void this.file.close();
  }
}

/** The file at a path, or why there is none to send. */
export type FoundFile = OpenFile | 'directory' | 'absent';

export class OpenFiles {
  readonly #directory: Directory;
  readonly #capacity: number;
  readonly #revalidateMs: number;
  readonly #files = new Map<string, OpenFile>(); // the one that was used last is the last
  readonly #looks = new Map<string, Promise<FoundFile>>();
  #isClosed = false;

  constructor(directory: Directory, capacity: number, revalidateMs: number) {
    this.#directory = directory;
    this.#capacity = capacity;
    this.#revalidateMs = revalidateMs;
  }

  /** A file that is found is the caller's to leave. Rejects with FEATHERSTAR_SYSTEM: EMFILE, EIO, EACCES, ... */
  async take(path: string): Promise<FoundFile> {
    for (;;) {
      const found = await this.#look(path);
      if (!(found instanceof OpenFile) || found.tryUse()) return found;
    }
  }

  #look(path: string): FoundFile | Promise<FoundFile> {
    const known = this.#files.get(path);
    if (known !== undefined) {
      this.#files.delete(path);
      this.#files.set(path, known);
      if (Date.now() - known.checkedMs < this.#revalidateMs) return known;
    }
    let look = this.#looks.get(path);
    if (look === undefined) {
      look = this.#find(path).finally(() => this.#looks.delete(path));
      this.#looks.set(path, look);
    }
    return look;
  }

  async #find(path: string): Promise<FoundFile> {
    try {
      return await this.#refresh(path);
    } catch (error) {
      this.#forget(path);
      const isName = FeatherstarError.is(error) && error.code === 'FEATHERSTAR_OPTION'; // too long to be a path
      if (isName || (FeatherstarError.is(error) && ABSENT.includes(error.errnoName))) return 'absent';
      throw error;
    }
  }

  /** Follows links: to the path and the facts of a file or a directory. Undefined: a link leads to none here. */
  async #resolve(path: string): Promise<{ real: string; stat: FileStat } | undefined> {
    let real = path;
    for (let links = 0; links <= LINKS_MAX; links++) {
      const stat = await this.#directory.stat(real);
      if (stat.kind !== 'link') return { real, stat };
      const text = await this.#directory.readLink(real);
      if (text.startsWith('/')) return undefined;
      real = real.slice(0, real.lastIndexOf('/') + 1) + text;
    }
    return undefined;
  }

  async #refresh(path: string): Promise<FoundFile> {
    const checkedMs = Date.now();
    const found = await this.#resolve(path);
    const known = this.#files.get(path);
    if (found !== undefined && known?.isSame(found.stat)) {
      known.checkedMs = checkedMs;
      return known;
    }
    this.#forget(path);
    if (found?.stat.kind === 'directory') return 'directory';
    if (found?.stat.kind !== 'file') return 'absent';
    const { real } = found;
    let { stat } = found;
    for (let tries = 1; ; tries++) {
      const opened = new OpenFile(await this.#directory.open(real), stat, checkedMs);
      stat = await this.#directory.stat(real);
      if (opened.isSame(stat) || tries === TRIES) return this.#keep(path, opened);
      opened.drop();
    }
  }

  #keep(path: string, opened: OpenFile): OpenFile {
    if (this.#isClosed || this.#capacity === 0) {
      opened.dropAfterUse();
      return opened;
    }
    this.#files.set(path, opened);
    for (const [oldest] of this.#files) {
      if (this.#files.size <= this.#capacity) break;
      this.#forget(oldest);
    }
    return opened;
  }

  #forget(path: string): void {
    this.#files.get(path)?.drop();
    this.#files.delete(path);
  }

  close(): void {
    this.#isClosed = true;
    for (const path of [...this.#files.keys()]) this.#forget(path);
  }
}
