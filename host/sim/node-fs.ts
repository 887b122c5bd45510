// node:fs and node:fs/promises of a simulated program, over the disk of its machine. A library that keeps files runs in
// a world, and loses what it has not synced when the power fails.
//
//   fs.readFileSync(), fs.readFile(), fs.promises.readFile(), streams --> steps --> DiskCalls --> the simulated disk
//
// Three kinds of calls reach the real disk. Code outside of a shard's turn makes some, Node makes some to load a module
// by require(), and output goes to stdout and stderr. Functions that the simulated disk does not have are refused.
//
// Next: node-fs-calls.ts.

import fs from 'node:fs';
import type { AnyFunction } from '../calls/remote.js';
import { abortError } from '../node/node-errors.js';
import { functionsOf, refuse } from './doors.js';
import { isLoading } from './module-loads.js';
import {
  DESCRIPTOR_OPERATIONS,
  type FsSteps,
  OPERATIONS,
  openPath,
  placeToRead,
  placeToWrite,
  readInto,
  readMany,
  realpathNative,
  writeFrom,
  writeMany,
} from './node-fs-calls.js';
import { type FsFunctions, openDir, openDirNow, SimFileHandle, writeParts } from './node-fs-handle.js';
import { type FsCallback, promised, runLater, runNow } from './node-fs-run.js';
import { argumentError, optionsOf } from './node-fs-values.js';
import { pooled } from './pool-work.js';
import { isOtherRuntime, type Replacement, switched } from './replace.js';

type FsOperation = (...args: unknown[]) => FsSteps<unknown>;

const STANDARD_STREAMS = [1, 2];
/** Classes, and what is made of other functions of node:fs: Node's own streams call `fs.open()` and its relatives. */
const KEPT_CLASSES = ['Stats', 'Dirent', 'Dir', 'ReadStream', 'WriteStream', 'FileReadStream', 'FileWriteStream'];
const KEPT_STREAMS = isOtherRuntime ? [] : ['createReadStream', 'createWriteStream'];

const POLL = 'Call stat() again and again, with setTimeout()';
const COPY = 'Use copyFile(): the disk has no links';
const REMEDIES: Record<string, string> = {
  watch: POLL,
  watchFile: POLL,
  unwatchFile: POLL,
  link: COPY,
  symlink: COPY,
  cp: 'Use readdir() and copyFile()',
  glob: 'Use readdir() with recursive',
  openAsBlob: 'Use readFile()',
  createReadStream: 'Use readFile() or read(): this runtime has streams of its own',
  createWriteStream: 'Use writeFile() or write(): this runtime has streams of its own',
};
const OTHERWISE = 'Use open(), read(), write(), stat() and their relatives';
const WHY = 'the simulated disk does not have it';

// --- at once, with a callback, with a promise ------------------------------------------------------------------------

function callbackOf(args: readonly unknown[]): FsCallback {
  const callback = args.at(-1);
  if (typeof callback !== 'function') throw argumentError('cb', callback, 'of type function');
  return callback as FsCallback;
}

const signalOf = (args: readonly unknown[]) => optionsOf(args.at(-1)).signal;

function withCallback(operation: FsOperation): AnyFunction {
  return (...args: unknown[]): void => {
    const given = args.slice(0, -1);
    runLater(operation(...given), callbackOf(args), signalOf(given));
  };
}

function allAtOnce(): FsFunctions {
  const made: FsFunctions = {};
  for (const [name, operation] of Object.entries<FsOperation>({ ...OPERATIONS, ...DESCRIPTOR_OPERATIONS })) {
    made[`${name}Sync`] = (...args: unknown[]) => runNow(operation(...args));
  }
  return {
    ...made,
    opendirSync: openDirNow as AnyFunction,
    readSync: (fd: unknown, ...args: unknown[]) => {
      const { bytes, position } = placeToRead(args);
      return runNow(readInto(fd, bytes, position));
    },
    writeSync: (fd: unknown, ...args: unknown[]) => {
      const { bytes, position } = placeToWrite(args);
      return runNow(writeFrom(fd, bytes, position));
    },
    readvSync: (fd: unknown, buffers: ArrayBufferView[], position: number | null = null) =>
      runNow(readMany(fd, buffers, position)),
    writevSync: (fd: unknown, buffers: ArrayBufferView[], position: number | null = null) =>
      runNow(writeMany(fd, buffers, position)),
  };
}

/** A callback gets the number of bytes and the buffer. */
function counted(steps: FsSteps<number>, buffer: unknown, callback: FsCallback): void {
  runLater(steps, (error, count) => (callback as (...args: unknown[]) => void)(error, count ?? 0, buffer));
}

function withCallbacks(): FsFunctions {
  const made: FsFunctions = {};
  for (const [name, operation] of Object.entries<FsOperation>({ ...OPERATIONS, ...DESCRIPTOR_OPERATIONS })) {
    made[name] = withCallback(operation);
  }
  const { close } = DESCRIPTOR_OPERATIONS;
  const many =
    (run: typeof readMany) =>
    (fd: unknown, buffers: ArrayBufferView[], ...rest: unknown[]) => {
      const position = typeof rest[0] === 'number' ? rest[0] : null;
      counted(run(fd, buffers, position), buffers, callbackOf(rest));
    };
  return {
    ...made,
    opendir: withCallback(openDir),
    close: (fd: unknown, callback: FsCallback = () => {}) => runLater(close(fd), callback),
    exists: (path: unknown, callback: (found: boolean) => void) =>
      runLater(DESCRIPTOR_OPERATIONS.exists(path), (_error, found) => callback(found as boolean)),
    read: (fd: unknown, ...args: unknown[]) => {
      const { buffer, bytes, position } = placeToRead(args.slice(0, -1));
      counted(readInto(fd, bytes, position), buffer, callbackOf(args));
    },
    write: (fd: unknown, ...args: unknown[]) => {
      const { buffer, bytes, position } = placeToWrite(args.slice(0, -1));
      counted(writeFrom(fd, bytes, position), buffer, callbackOf(args));
    },
    readv: many(readMany) as AnyFunction,
    writev: many(writeMany) as AnyFunction,
  };
}

function withPromises(): FsFunctions {
  const made: FsFunctions = {};
  for (const [name, operation] of Object.entries<FsOperation>(OPERATIONS)) {
    made[name] = async (target: unknown, ...args: unknown[]) => {
      const own = target instanceof SimFileHandle ? target.fd : target;
      return promised(operation(own, ...args), signalOf(args));
    };
  }
  const putInto = (otherwise: string) => async (target: unknown, data: unknown, options: unknown) => {
    const { flag, mode, flush, signal } = optionsOf(options);
    if (signal?.aborted) throw abortError(signal); // before the file is cut
    if (target instanceof SimFileHandle) return target.writeFile(data, options);
    const handle = await openHandle(target, flag ?? otherwise, mode);
    try {
      await writeParts(handle.fd, data, options);
      if (flush) await handle.sync();
    } finally {
      await handle.close();
    }
  };
  return {
    ...made,
    open: openHandle as AnyFunction,
    realpath: async (path: unknown, options: unknown) => promised(realpathNative(path, options)),
    opendir: async (path: unknown, options: unknown) => promised(openDir(path, options)),
    writeFile: putInto('w') as AnyFunction,
    appendFile: putInto('a') as AnyFunction,
  };
}

async function openHandle(path: unknown, flags?: unknown, mode?: unknown): Promise<SimFileHandle> {
  return new SimFileHandle(await promised(openPath(path, flags, mode)));
}

// --- in the place of Node's ------------------------------------------------------------------------------------------

/** The functions of a module, as the simulated ones, or refused. */
function switchedFiles(target: object, module: string, simulated: FsFunctions): Replacement[] {
  return functionsOf(target, [...KEPT_CLASSES, ...KEPT_STREAMS]).flatMap((name) => {
    const real = (target as FsFunctions)[name] as AnyFunction;
    const remedy = REMEDIES[name.replace(/Sync$/, '')] ?? OTHERWISE;
    const own = simulated[name] ?? (() => refuse(`${name}() of node:${module}`, remedy, WHY));
    return switched(target, name, (...args: never[]) => (isLoading() ? real(...args) : own(...args)));
  });
}

/** Output of a program is allowed. */
function withOutput(simulated: FsFunctions): FsFunctions {
  const { writeSync } = fs;
  const real: FsFunctions = { writeSync: writeSync as AnyFunction, write: pooled(writeSync as AnyFunction) };
  const made = Object.entries(real).map(([name, output]): [string, AnyFunction] => [
    name,
    (...args: never[]) => {
      const run = STANDARD_STREAMS.includes(args[0] as unknown as number) ? output : (simulated[name] as AnyFunction);
      return run(...args);
    },
  ]);
  return { ...simulated, ...Object.fromEntries(made) };
}

export function nodeFiles(): Replacement[] {
  const simulated = withOutput({ ...withCallbacks(), ...allAtOnce() });
  const natives: FsFunctions = {
    realpath: withCallback(realpathNative),
    realpathSync: (path: unknown, options: unknown) => runNow(realpathNative(path, options)),
  };
  const made = switchedFiles(fs, 'fs', simulated);
  for (const { name, value } of made) {
    const native = natives[name as string];
    if (native === undefined) continue;
    const [replacement] = switchedFiles(value as object, 'fs', { native });
    Object.assign(value as object, { native: replacement?.value });
  }
  return [...made, ...switchedFiles(fs.promises, 'fs/promises', withPromises())];
}
