// The globals of a simulated program: time, chance and timers are the world's. Put back afterwards, whatever has
// happened.
//
// Only code of a shard in its turn gets the simulated ones. Other code in this thread (a test runner's timer, the
// module loader) gets the real ones. But Date and performance.now() are the world's for all code. Doors to the real
// world that can be watched are shut: `fetch`, sockets, child processes, workers, files by promise and by callback. A
// list of things that cannot be watched is in docs/testing.md.

import childProcess from 'node:child_process';
import dgram from 'node:dgram';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { FeatherstarError } from '../base/errors.js';
import type { AnyFunction } from '../calls/remote.js';
import type { Entry } from './calendar.js';
import { type Place, START_NS, type World } from './world.js';

const EPOCH_MS = Date.UTC(2026, 0, 1); // when every world begins
const DELAY_MAX_MS = 2 ** 31 - 1;

type Callback = (...args: unknown[]) => void;
type Undo = () => void;

/** The result of setTimeout() and setInterval(). */
class SimTimer {
  readonly #world: World;
  readonly #place: Place;
  readonly #run: () => void;
  readonly #ms: number;
  readonly #isRepeated: boolean;
  #entry: Entry;
  #isRef = true;
  #round = 0;

  constructor(world: World, run: () => void, ms: number, isRepeated: boolean) {
    this.#world = world;
    this.#place = world.current as Place;
    this.#run = run;
    this.#ms = ms >= 1 && ms <= DELAY_MAX_MS ? Math.trunc(ms) : 1; // as Node does
    this.#isRepeated = isRepeated;
    world.note('timer', this.#place.index, this.#ms);
    this.#entry = this.#arm();
  }

  #arm(): Entry {
    return this.#world.calendar.add(this.#world.nowNs + this.#ms * 1e6, this.#due, this.#isRef);
  }

  readonly #due = (): void => {
    const round = this.#round;
    this.#world.post(this.#place, () => {
      if (round !== this.#round) return; // cleared, or begun anew, since it was due
      if (this.#isRepeated) this.#entry = this.#arm();
      this.#run();
    });
  };

  ref(): this {
    return this.#setRef(true);
  }

  unref(): this {
    return this.#setRef(false);
  }

  #setRef(isRef: boolean): this {
    this.#isRef = isRef;
    this.#world.calendar.setRef(this.#entry, isRef);
    return this;
  }

  hasRef(): boolean {
    return this.#isRef;
  }

  refresh(): this {
    this.close();
    this.#entry = this.#arm();
    return this;
  }

  close(): this {
    this.#world.calendar.cancel(this.#entry);
    this.#round++;
    return this;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The result of setImmediate(). */
class SimImmediate {
  isCleared = false;
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  hasRef(): boolean {
    return true;
  }
}

function replace(target: object, name: PropertyKey, value: unknown): Undo {
  const before = Object.getOwnPropertyDescriptor(target, name);
  if (before !== undefined && !before.configurable && !before.writable) return () => {};
  Object.defineProperty(target, name, {
    value,
    writable: true,
    configurable: before?.configurable ?? true,
    enumerable: before?.enumerable ?? false,
  });
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name);
    else Object.defineProperty(target, name, before);
  };
}

function simulatedDate(world: World): DateConstructor {
  const Real = Date;
  const now = () => Math.floor(EPOCH_MS + (world.look() - START_NS) / 1e6);
  // A function, as Date may be called without `new`; `Reflect.construct` keeps classes that extend it.
  function SimDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new Real(now()).toString();
    return Reflect.construct(Real, args.length === 0 ? [now()] : args, new.target);
  }
  Object.defineProperties(SimDate, {
    prototype: { value: Real.prototype, writable: false },
    name: { value: 'Date' },
    length: { value: 7 },
    now: { value: now, writable: true, configurable: true },
    parse: { value: Real.parse, writable: true, configurable: true },
    UTC: { value: Real.UTC, writable: true, configurable: true },
  });
  return SimDate as unknown as DateConstructor;
}

function clocks(world: World): Undo[] {
  const hrtime = Object.assign(
    (since?: [number, number]): [number, number] => {
      const ns = world.look() - (since === undefined ? 0 : since[0] * 1e9 + since[1]);
      return [Math.floor(ns / 1e9), ns % 1e9];
    },
    { bigint: () => BigInt(world.look()) },
  );
  return [
    replace(globalThis, 'Date', simulatedDate(world)),
    replace(performance, 'now', () => (world.look() - START_NS) / 1e6),
    replace(process, 'hrtime', hrtime),
  ];
}

function chances(world: World): Undo[] {
  const fill = (array: ArrayBufferView): ArrayBufferView => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let i = 0; i < bytes.length; i++) bytes[i] = world.fortune.below(256, 'a byte of crypto');
    return array;
  };
  const uuid = () => {
    const bytes = fill(new Uint8Array(16)) as Uint8Array;
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
  return [
    replace(Math, 'random', () => world.fortune.fraction()),
    replace(globalThis.crypto, 'getRandomValues', fill),
    replace(globalThis.crypto, 'randomUUID', uuid),
  ];
}

function sleepers(world: World): Undo[] {
  const real = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
  const { nextTick } = process;
  const { timeout: realSignalTimeout } = AbortSignal;
  const inside = () => world.current !== undefined;
  const simulated = {
    setTimeout: (run: Callback, ms = 0, ...args: unknown[]) =>
      inside() ? new SimTimer(world, () => run(...args), ms, false) : real.setTimeout(run, ms, ...args),
    setInterval: (run: Callback, ms = 0, ...args: unknown[]) =>
      inside() ? new SimTimer(world, () => run(...args), ms, true) : real.setInterval(run, ms, ...args),
    setImmediate: (run: Callback, ...args: unknown[]) => {
      if (!inside()) return real.setImmediate(run, ...args);
      const immediate = new SimImmediate();
      world.post(world.current as Place, () => {
        if (!immediate.isCleared) run(...args);
      });
      return immediate;
    },
    clearTimeout: (timer: unknown) => (timer instanceof SimTimer ? timer.close() : real.clearTimeout(timer as never)),
    clearInterval: (timer: unknown) => (timer instanceof SimTimer ? timer.close() : real.clearInterval(timer as never)),
    clearImmediate: (timer: unknown) => {
      if (timer instanceof SimImmediate) timer.isCleared = true;
      else real.clearImmediate(timer as never);
    },
  };
  const tick = (run: Callback, ...args: unknown[]) => {
    if (world.current === undefined) nextTick.call(process, run, ...args);
    else world.current.ticks.push(() => run(...args));
  };
  const signalTimeout = (ms: number): AbortSignal => {
    if (!inside()) return realSignalTimeout.call(AbortSignal, ms);
    const controller = new AbortController();
    const late = () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    simulated.setTimeout(late, ms);
    return controller.signal;
  };
  return [
    ...Object.entries(simulated).flatMap(([name, fn]) => [replace(globalThis, name, fn), replace(timers, name, fn)]),
    ...promisedTimers(world, simulated.setTimeout as never, simulated.setImmediate as never),
    replace(process, 'nextTick', tick),
    replace(AbortSignal, 'timeout', signalTimeout),
  ];
}

/** node:timers/promises. */
function promisedTimers(world: World, later: typeof setTimeout, soon: typeof setImmediate): Undo[] {
  const real = { setTimeout: timersPromises.setTimeout, setImmediate: timersPromises.setImmediate };
  const wait = (value: unknown, signal: AbortSignal | undefined, start: (run: () => void) => void) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      start(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve(value);
      });
    });
  return [
    replace(timersPromises, 'setTimeout', (ms?: number, value?: unknown, options?: { signal?: AbortSignal }) =>
      world.current === undefined
        ? real.setTimeout(ms, value, options)
        : wait(value, options?.signal, (run) => later(run, ms)),
    ),
    replace(timersPromises, 'setImmediate', (value?: unknown, options?: { signal?: AbortSignal }) =>
      world.current === undefined
        ? real.setImmediate(value, options)
        : wait(value, options?.signal, (run) => soon(run)),
    ),
  ];
}

/** Warnings of the library go into the trace. */
function warnings(world: World): Undo[] {
  const real = process.emitWarning as (...args: unknown[]) => void;
  const emitWarning = (...args: [text: string | Error, type?: unknown]) => {
    if (world.current === undefined || args[1] !== 'Featherstar') real.apply(process, args);
    else world.trace.remark(world.nowNs, world.current.index, `warning: ${args[0]}`);
  };
  return [replace(process, 'emitWarning', emitWarning)];
}

/** A function that a simulated program may not call. */
function shut(world: World, target: object, name: string, what: string): Undo {
  const real = (target as Record<string, unknown>)[name] as AnyFunction | undefined;
  if (typeof real !== 'function') return () => {};
  function guarded(this: unknown, ...args: never[]): unknown {
    if (world.current !== undefined) {
      const text = `${what} leaves the simulation: what it does depends on more than the seed`;
      throw new FeatherstarError('FEATHERSTAR_SIMULATION', text);
    }
    return new.target === undefined ? real?.apply(this, args) : Reflect.construct(real as never, args, new.target);
  }
  guarded.prototype = real.prototype;
  return replace(target, name, guarded);
}

const FILES = 'open readFile writeFile appendFile read write fsync stat lstat readdir mkdir rename unlink rm'.split(
  ' ',
);
const CHILDREN = ['spawn', 'spawnSync', 'exec', 'execFile', 'execSync', 'execFileSync', 'fork'];

function doors(world: World): Undo[] {
  const close = (target: object, names: readonly string[], what: (name: string) => string) =>
    names.map((name) => shut(world, target, name, what(name)));
  return [
    ...close(globalThis, ['fetch', 'WebSocket', 'Worker'], (name) => `${name}()`),
    ...close(net.Socket.prototype, ['connect'], () => 'a connection of node:net'),
    ...close(net.Server.prototype, ['listen'], () => 'a server of node:net'),
    ...close(dgram.Socket.prototype, ['bind', 'send'], (name) => `${name}() of node:dgram`),
    ...close(fs, FILES, (name) => `${name}() of node:fs`),
    ...close(fs.promises, FILES, (name) => `${name}() of node:fs/promises`),
    ...close(childProcess, CHILDREN, (name) => `${name}() of node:child_process`),
  ];
}

/** Puts the world's in the place of all that. Returns a function that puts it back. */
export function replaceGlobals(world: World): Undo {
  const undos: Undo[] = [];
  const undo = () => {
    for (const each of undos.splice(0).reverse()) each();
    syncBuiltinESMExports();
  };
  try {
    for (const part of [clocks, chances, sleepers, warnings, doors]) undos.push(...part(world));
    syncBuiltinESMExports(); // for `import { readFile } from 'node:fs'`
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}
