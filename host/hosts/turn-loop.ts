// The loop of hosts that have no kernel to sleep in: events of the platform, one step for all events of a round.
//
//   event --> schedule() --> step():
//     enter   take submissions and recycled buffers, deliver completions
//     turn    the core, then JavaScript                                        (shard.ts)
//     enter   what the turn has staged
//     settle  another step if there is more; else arm the deadline and sleep   (assembly/park.ts)
//
// Microtasks run after step(). What they stage is announced by poke() and taken when all of them have run. Nothing
// ticks: a shard that has nothing to do has no timer and no step to come.
//
// Invariants: turn() is called from step() only, so never inside another turn. enter() may be called at any time, also
// by the core in mid-turn (submitOnly). A deadline is never early: a timer that fires too soon is armed again.

import { Control } from '../core/layout.js';
import { monotonicNs, type Windows } from './host.js';
import type { PortableWindow } from './portable-window.js';

const TIMER_MAX_MS = 2 ** 31 - 1;

const SUBMIT_COUNT = Control.submitCount >> 2;
const RECYCLE_COUNT = Control.recycleCount >> 2;
const MORE_WORK = Control.moreWork >> 2;
const SUBMIT_ONLY = Control.submitOnly >> 2;
const COMPLETION_COUNT = Control.completionCount >> 2;
const ENTER_RESULT = Control.enterResult >> 2;
const SLEEPING = Control.sleeping >> 2;
const DIRTY = Control.dirty >> 2;
const READY_TAIL = Control.readyTail >> 2;
const READY_HEAD = Control.readyHead >> 2;
const NEXT_DEADLINE_NS = Control.nextDeadlineNs >> 3;
const NOW_NS = Control.nowNs >> 3;
const ENTER_COUNT = Control.enterCount >> 3;
const SLEEP_COUNT = Control.sleepCount >> 3;

/** How the platform calls back. */
export interface Platform {
  /** Soon, with the events that are there now. */
  soon(run: () => void): void;
  /** When all microtasks have run. */
  afterMicrotasks(run: () => void): void;
}

export class TurnLoop {
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #window: PortableWindow;
  readonly #take: (count: number) => void;
  readonly #platform: Platform;
  #turn: (() => void) | undefined;
  #isScheduled = false;
  #isStepping = false;
  #isPoked = false;
  #isClosed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerNs = Number.POSITIVE_INFINITY;

  /** `take`: takes so many submissions out of the window. */
  constructor({ memory, base }: Windows, window: PortableWindow, take: (count: number) => void, platform: Platform) {
    this.#i32 = new Int32Array(memory.buffer, base, 128);
    this.#f64 = new Float64Array(memory.buffer, base, 64);
    this.#window = window;
    this.#take = take;
    this.#platform = platform;
  }

  /** An arrow: the core imports it as it is. */
  readonly enter = (): void => {
    const i32 = this.#i32;
    this.#f64[ENTER_COUNT]++;
    if (i32[RECYCLE_COUNT] !== 0) this.#window.recycle();
    const count = i32[SUBMIT_COUNT];
    if (count !== 0) this.#take(count);
    i32[SUBMIT_COUNT] = 0;
    i32[ENTER_RESULT] = count;
    if (i32[SUBMIT_ONLY] !== 0) return;
    this.#window.deliver();
    this.#f64[NOW_NS] = monotonicNs();
  };

  start(turn: () => void): void {
    this.#turn = turn;
    this.schedule();
  }

  /** What is staged in microtasks goes out at once, when all of them have run. */
  poke(): void {
    if (this.#isPoked) return;
    this.#isPoked = true;
    this.#platform.afterMicrotasks(this.#onPoked);
  }

  readonly #onPoked = (): void => {
    this.#isPoked = false;
    if (this.#isClosed || this.#turn === undefined) return;
    this.enter();
    if (this.#hasWork()) this.schedule();
    else this.#armDeadline();
  };

  readonly schedule = (): void => {
    if (this.#isScheduled || this.#isStepping || this.#isClosed || this.#turn === undefined) return;
    this.#isScheduled = true;
    this.#platform.soon(this.#step);
  };

  readonly #step = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    this.#isStepping = true;
    Atomics.store(this.#i32, SLEEPING, 0);
    this.enter();
    try {
      if (this.#hasWork() || this.#f64[NOW_NS] >= this.#f64[NEXT_DEADLINE_NS]) this.#turn?.();
    } finally {
      this.#isStepping = false;
      if (!this.#isClosed) this.#settle();
    }
  };

  #hasWork(): boolean {
    const i32 = this.#i32;
    return (
      i32[COMPLETION_COUNT] !== 0 ||
      i32[MORE_WORK] !== 0 ||
      i32[READY_HEAD] !== i32[READY_TAIL] ||
      this.#window.pending !== 0 ||
      this.#isDirty()
    );
  }

  #isDirty(): boolean {
    return Atomics.load(this.#i32, DIRTY) !== 0 || Atomics.load(this.#i32, DIRTY + 1) !== 0;
  }

  /** After a turn: submits what it staged, then sees to it that the next step comes when it is needed. */
  #settle(): void {
    if (this.#i32[SUBMIT_COUNT] !== 0 || this.#i32[RECYCLE_COUNT] !== 0) this.enter();
    if (this.#hasWork()) {
      this.schedule();
      return;
    }
    this.#armDeadline();
    Atomics.store(this.#i32, SLEEPING, 1); // R1 and R2 of park.ts
    this.#f64[SLEEP_COUNT]++;
    if (!this.#isDirty()) return;
    Atomics.store(this.#i32, SLEEPING, 0);
    this.schedule();
  }

  /** A timer that fires before the deadline is left alone. So a deadline that moves on, as most do, costs one step. */
  #armDeadline(): void {
    const deadlineNs = this.#f64[NEXT_DEADLINE_NS];
    if (deadlineNs >= this.#timerNs) return;
    clearTimeout(this.#timer);
    const delayMs = Math.ceil((deadlineNs - monotonicNs()) / 1e6);
    this.#timerNs = deadlineNs;
    const timer = setTimeout(this.#onTimer, Math.max(1, Math.min(delayMs, TIMER_MAX_MS)));
    this.#timer = timer;
    if (typeof timer === 'object') timer.unref(); // what keeps the thread alive is the host's business
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerNs = Number.POSITIVE_INFINITY;
    this.schedule(); // too early, or the deadline has moved on: the step arms it again
  };

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}
