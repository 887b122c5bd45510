// Timers and ticks of a simulated program. A timer is an entry of the world's calendar, and its callback is a turn of
// its shard.
//
// Next: globals.ts.

import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';
import { addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { platform } from '../base/platform-timers.js';
import type { AnyFunction } from '../calls/remote.js';
import { abortError } from '../node/node-errors.js';
import type { Entry, Hold } from './calendar.js';
import {
  bound,
  type Callback,
  keepShape,
  onStage,
  type Replacement,
  replaced,
  type Stage,
  stage,
  switched,
} from './replace.js';
import type { Place, World } from './world.js';

const DELAY_MAX_MS = 2 ** 31 - 1;

/** The result of setTimeout() and setInterval(). */
class SimTimer {
  #world: World;
  #place: Place;
  readonly #run: () => void;
  readonly #ms: number;
  readonly #isRepeated: boolean;
  #entry: Entry;
  #isRef = true;
  #round = 0;

  constructor({ world, place }: Stage, run: () => void, ms: number, isRepeated: boolean) {
    this.#world = world;
    this.#place = place;
    this.#run = bound(run);
    this.#ms = ms >= 1 && ms <= DELAY_MAX_MS ? Math.trunc(ms) : 1; // as Node does
    this.#isRepeated = isRepeated;
    world.note('timer', this.#place.index, this.#ms);
    this.#entry = this.#arm();
  }

  #arm(): Entry {
    return this.#world.calendar.add(this.#world.nowNs + this.#ms * 1e6, this.#due, this.#hold);
  }

  get #hold(): Hold {
    return this.#isRef ? 'always' : 'with others';
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
    this.#world.calendar.setHold(this.#entry, this.#hold);
    return this;
  }

  hasRef(): boolean {
    return this.#isRef;
  }

  /** A module that all worlds share may keep a timer of a shard that is no more. It begins again for this one. */
  refresh(): this {
    this.close();
    const now = stage();
    if (now !== undefined && (now.world !== this.#world || this.#place.hasEnded)) {
      this.#world = now.world;
      this.#place = now.place;
      this.#world.note('timer', this.#place.index, this.#ms);
    }
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

function startTimer(run: Callback, ms = 0, ...args: unknown[]): SimTimer {
  checkCallback(run);
  return new SimTimer(onStage(), () => run(...args), ms, false);
}

function startInterval(run: Callback, ms = 0, ...args: unknown[]): SimTimer {
  checkCallback(run);
  return new SimTimer(onStage(), () => run(...args), ms, true);
}

function startImmediate(run: Callback, ...args: unknown[]): SimImmediate {
  checkCallback(run);
  const { world, place } = onStage();
  const immediate = new SimImmediate();
  const call = bound(() => run(...args));
  world.post(place, () => {
    if (!immediate.isCleared) call();
  });
  return immediate;
}

function checkCallback(run: unknown): void {
  if (typeof run === 'function') return;
  throw Object.assign(new TypeError(`The "callback" argument must be of type function, got ${typeof run}`), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
}

interface TimerOptions {
  signal?: AbortSignal;
  ref?: boolean;
}

/** A wait of node:timers/promises: `start` begins it, and returns how to end it early. */
function waited(value: unknown, signal: AbortSignal | undefined, start: (run: () => void) => () => void) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = () => {
      stop();
      reject(abortError(signal as AbortSignal));
    };
    const stop = start(() => {
      removeAbortListener(signal, onAbort);
      resolve(value);
    });
    addAbortListener(signal, onAbort);
  });
}

function waitTimer(ms?: number, value?: unknown, options?: TimerOptions): Promise<unknown> {
  return waited(value, options?.signal, (run) => {
    const timer = startTimer(run, ms);
    if (options?.ref === false) timer.unref();
    return () => timer.close();
  });
}

function waitImmediate(value?: unknown, options?: TimerOptions): Promise<unknown> {
  return waited(value, options?.signal, (run) => {
    const immediate = startImmediate(run);
    return () => {
      immediate.isCleared = true;
    };
  });
}

async function* waitInterval(ms?: number, value?: unknown, options?: TimerOptions): AsyncGenerator<unknown> {
  let due = 0;
  let wake = () => {};
  const timer = startInterval(() => {
    due++;
    wake();
  }, ms);
  if (options?.ref === false) timer.unref();
  try {
    for (;;) {
      if (due === 0) {
        await waited(undefined, options?.signal, (run) => {
          wake = run;
          return () => {};
        });
      }
      for (; due > 0; due--) yield value;
    }
  } finally {
    timer.close();
  }
}

function promisedTimers(): Replacement[] {
  const { scheduler } = timersPromises;
  return [
    ...switched(timersPromises, 'setTimeout', waitTimer as never),
    ...switched(timersPromises, 'setImmediate', waitImmediate as never),
    ...switched(timersPromises, 'setInterval', waitInterval as never),
    ...switched(scheduler, 'wait', ((ms: number, options?: TimerOptions) =>
      waitTimer(ms, undefined, options)) as never),
    ...switched(scheduler, 'yield', (() => waitImmediate()) as never),
  ];
}

/** Clears a timer of either world, wherever it is called. */
function clearing(real: AnyFunction): AnyFunction {
  const clear = (timer: unknown) => {
    if (timer instanceof SimTimer) timer.close();
    else if (timer instanceof SimImmediate) timer.isCleared = true;
    else real(timer as never);
  };
  keepShape(clear, real);
  return clear;
}

export function sleepers(): Replacement[] {
  const starts: Record<string, AnyFunction> = {
    setTimeout: startTimer as never,
    setInterval: startInterval as never,
    setImmediate: startImmediate as never,
  };
  const promised = promisedTimers(); // promisify(setTimeout) is one of them, as on Node
  const made = Object.entries(starts).flatMap(([name, start]) => switched(globalThis, name, start));
  for (const { name, value: start } of made) {
    if (name === 'setInterval') continue; // it calls back often
    const wait = promised.find((each) => each.target === timersPromises && each.name === name);
    Object.defineProperty(start, promisify.custom, { value: wait?.value, configurable: true });
  }
  for (const name of ['clearTimeout', 'clearInterval', 'clearImmediate'] as const) {
    made.push(replaced(globalThis, name, clearing(globalThis[name] as AnyFunction)));
  }
  const ofLibrary = made.filter(({ name }) => Object.hasOwn(platform, name));
  return [
    ...made,
    ...made.map(({ name, value }) => replaced(timers, name, value)),
    ...promised,
    ...ofLibrary.map(({ name, value }) => replaced(platform, name, value)),
    ...switched(process, 'nextTick', (run: Callback, ...args: unknown[]) => {
      onStage().place.ticks.push(bound(() => run(...args)));
    }),
    ...switched(AbortSignal, 'timeout', ((ms: number): AbortSignal => {
      const controller = new AbortController();
      const late = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
      startTimer(() => controller.abort(late), ms);
      return controller.signal;
    }) as never),
  ];
}
