// A handler that serves the files of a directory. It has the directory as a right (featherstar/fs), and no path leads
// out of that.
//
//   path of the URL --decoded, name by name--> path in the directory --> open-files.ts --> file-response.ts
//
// Next: open-files.ts.

import { fileURLToPath } from 'node:url';
import { optionError } from '../base/errors.js';
import {
  type Check,
  type Checks,
  checkBoolean,
  checkFunction,
  checkOptions,
  checkString,
  integer,
} from '../base/options.js';
import { Directory, openDirectory } from '../fs/directory.js';
import { findShard } from '../shard/shard.js';
import { respondWithFile, typeOf, validatorsOf } from './file-response.js';
import { acceptedCodings, CODINGS, type Coding } from './negotiation.js';
import { OpenFile, OpenFiles } from './open-files.js';
import type { FeatherRequest } from './request.js';
import { FeatherResponse } from './response.js';
import type { AnyResponse } from './server.js';

/** Options of `serveStatic()`. */
export interface StaticOptions {
  /** The file that stands for its directory; '' for none. Default 'index.html'. */
  index?: string | undefined;
  /** Whether files whose name begins with a dot are served, and those in such directories. Default false. */
  dotfiles?: boolean | undefined;
  /**
   * Whether a file beside the wanted one is sent instead if the client takes its coding: `app.js.br`, `app.js.zst`,
   * `app.js.gz`. Default false.
   */
  precompressed?: boolean | undefined;
  /** The Cache-Control header of each response with a file. Default: none is sent. */
  cacheControl?: string | undefined;
  /** Responds to requests for files that are not there. Default: 404. */
  fallback?: ((request: FeatherRequest & Request) => AnyResponse | Promise<AnyResponse>) | undefined;
  /** How long a file that was looked at counts as unchanged, in milliseconds. Default 1000. */
  revalidateMs?: number | undefined;
  /** How many files are kept open, on each shard. Default 256. */
  openFiles?: number | undefined;
}

/** The handler that `serveStatic()` resolves to. */
export interface StaticHandler {
  /** Responds to one request. */
  (request: FeatherRequest & Request): Promise<AnyResponse>;
  /** Closes the files, and the directory if it was given as a path. Responses that are being sent go on. */
  close(): Promise<void>;
  /** Calls `close()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

const OPEN_FILES = 256;
const REVALIDATE_MS = 1000;
const REVALIDATE_MAX_MS = 3_600_000;
const OPEN_FILES_MAX = 65_536;
const ALLOWED = { allow: 'GET, HEAD' };

const checkHeader: Check = (name, value) => {
  if (/[^\t\x20-\x7e]/.test(checkString(name, value))) throw optionError(name, value, 'a header value');
};

const checkIndex: Check = (name, value) => {
  if (checkString(name, value).includes('/')) throw optionError(name, value, 'the name of a file, without a slash');
};

const STATIC_CHECKS: Checks<StaticOptions> = {
  index: checkIndex,
  dotfiles: checkBoolean,
  precompressed: checkBoolean,
  cacheControl: checkHeader,
  fallback: checkFunction,
  revalidateMs: integer(0, REVALIDATE_MAX_MS),
  openFiles: integer(0, OPEN_FILES_MAX),
};

class StaticFiles {
  readonly #options: StaticOptions;
  readonly #directory: Directory;
  readonly #files: OpenFiles;
  readonly #codings: readonly Coding[];

  constructor(directory: Directory, options: StaticOptions) {
    this.#options = options;
    this.#directory = directory;
    this.#files = new OpenFiles(directory, options.openFiles ?? OPEN_FILES, options.revalidateMs ?? REVALIDATE_MS);
    this.#codings = options.precompressed === true ? CODINGS : [];
  }

  async respond(request: FeatherRequest & Request): Promise<AnyResponse> {
    const { method } = request;
    if (method !== 'GET' && method !== 'HEAD') return new FeatherResponse(null, { status: 405, headers: ALLOWED });
    const path = this.#pathIn(request);
    return (path === undefined ? undefined : await this.#file(request, path)) ?? this.#notFound(request);
  }

  #notFound(request: FeatherRequest & Request): AnyResponse | Promise<AnyResponse> {
    return this.#options.fallback?.(request) ?? new FeatherResponse('Not Found', { status: 404 });
  }

  /** The path in the directory, '' for itself, with a slash at its end if the URL has one; undefined: none. */
  #pathIn(request: FeatherRequest & Request): string | undefined {
    const names = [];
    for (const part of (request.path ?? new URL(request.url).pathname).slice(1).split('/')) {
      const name = decoded(part);
      if (name === undefined || (name.startsWith('.') && this.#options.dotfiles !== true)) return undefined;
      names.push(name);
    }
    const inner = names.slice(0, -1);
    const isOdd = inner.includes('') || names.includes('.') || names.includes('..');
    return isOdd ? undefined : names.join('/');
  }

  async #file(request: FeatherRequest & Request, path: string): Promise<FeatherResponse | undefined> {
    const { index = 'index.html' } = this.#options;
    const isFolder = path === '' || path.endsWith('/');
    if (isFolder && index === '') return undefined;
    const wanted = isFolder ? path + index : path;
    const found = await this.#files.take(wanted);
    if (found instanceof OpenFile) {
      try {
        return await this.#send(request, wanted, found);
      } finally {
        found.leave();
      }
    }
    if (found === 'directory' && !isFolder && index !== '') return toFolder(request, path);
    return undefined;
  }

  async #send(request: FeatherRequest & Request, path: string, plain: OpenFile): Promise<FeatherResponse> {
    const { cacheControl } = this.#options;
    const headers: Record<string, string> = { 'content-type': typeOf(path) };
    if (cacheControl !== undefined) headers['cache-control'] = cacheControl;
    if (this.#codings.length === 0) return respond(request, plain, headers);
    headers.vary = 'accept-encoding';
    for (const { name, suffix } of acceptedCodings(request.headers.get('accept-encoding'), this.#codings)) {
      const found = await this.#files.take(path + suffix);
      if (!(found instanceof OpenFile)) continue;
      try {
        return respond(request, found, { ...headers, 'content-encoding': name }, name);
      } finally {
        found.leave();
      }
    }
    return respond(request, plain, headers);
  }

  async close(closesDirectory: boolean): Promise<void> {
    this.#files.close();
    if (closesDirectory) await this.#directory.close();
  }
}

function respond(
  request: FeatherRequest & Request,
  file: OpenFile,
  headers: Record<string, string>,
  coding = '',
): FeatherResponse {
  const { size, mtimeMs } = file;
  const facts = { size, ...validatorsOf(size, mtimeMs, Date.now(), coding) };
  return respondWithFile(request, facts, headers, (start, end) => file.stream(start, end));
}

/** A part of a URL's path as a name; undefined for what no file can be called. */
function decoded(part: string): string | undefined {
  try {
    const name = part.includes('%') ? decodeURIComponent(part) : part;
    return /[/\\\0]/.test(name) ? undefined : name;
  } catch {
    return undefined; // a % that begins nothing: URIError, which says no more
  }
}

/** Relative links of a page in a directory need the slash. './': a name may have a colon, or be empty. */
function toFolder(request: FeatherRequest & Request, path: string): FeatherResponse {
  const name = encodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
  const { search } = new URL(request.url);
  return new FeatherResponse(null, { status: 308, headers: { location: `./${name}/${search}` } });
}

/**
 * Resolves to a handler that serves the files of a directory: with types, ranges, conditional requests, and
 * compressed files if they are there. `directory`: a path, a `file:` URL, or a `Directory` of this shard. Rejects with
 * FEATHERSTAR_OPTION, and with FEATHERSTAR_SYSTEM (`error.errnoName`: ENOENT, ...) if the directory cannot be opened.
 * In a thread that is no shard yet, the directory is opened with the first request, and its error is that request's.
 *
 * @example
 * await serve({ fetch: await serveStatic('./public'), port: 8080 });
 */
export async function serveStatic(
  directory: string | URL | Directory,
  options: StaticOptions = {},
): Promise<StaticHandler> {
  checkOptions(options, STATIC_CHECKS);
  const isGiven = directory instanceof Directory;
  const path = isGiven ? '' : directoryPath(directory);
  const open = async () => new StaticFiles(isGiven ? directory : await openDirectory(path), options);
  let files: Promise<StaticFiles> | undefined;
  if (findShard() !== undefined) {
    files = open();
    await files;
  }
  const handler = async (request: FeatherRequest & Request) => {
    files ??= open();
    return (await files).respond(request);
  };
  const close = async () => (await files)?.close(!isGiven);
  return Object.assign(handler, { close, [Symbol.asyncDispose]: close });
}

function directoryPath(directory: unknown): string {
  if (typeof directory === 'string') return directory;
  if (directory instanceof URL && directory.protocol === 'file:') return fileURLToPath(directory);
  throw optionError('directory', directory, 'a path, a file: URL or a Directory');
}
