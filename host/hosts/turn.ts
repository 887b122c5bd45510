// A shard's turn on the hosts that have no kernel to sleep in.
//
//   begin()    awake; enter: takes submissions and recycled buffers, delivers completions; the turn, if one is wanted
//              ... microtasks ...
//   settle()   enter, if something was staged; then it asks whether the host may sleep
//
// Two hosts drive it. turn-loop.ts does it by the platform's events, for the portable host and for pages. The simulator
// does it in the order and by the clock of its world (host/sim/sim-host.ts).
//
// Things that end the sleep: a doorbell, an event for which this host has a callback, or the deadline. Then the driver
// calls begin(). A peer rings only if it sees `sleeping`; the core sets and clears that word (assembly/park.ts).
//
// Invariant: enter() may be called at any time, also by the core in mid-turn (submitOnly).

import { Control } from '../core/layout.js';
import type { Parking, Windows } from './host.js';
import type { PortableWindow } from './portable-window.js';

const SUBMIT_COUNT = Control.submitCount >> 2;
const RECYCLE_COUNT = Control.recycleCount >> 2;
const SUBMIT_ONLY = Control.submitOnly >> 2;
const COMPLETION_COUNT = Control.completionCount >> 2;
const ENTER_RESULT = Control.enterResult >> 2;
const NEXT_DEADLINE_NS = Control.nextDeadlineNs >> 3;
const NOW_NS = Control.nowNs >> 3;
const ENTER_COUNT = Control.enterCount >> 3;
const SLEEP_COUNT = Control.sleepCount >> 3;

export class HostTurn {
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #window: PortableWindow;
  readonly #take: (count: number) => void;
  readonly #readNs: () => number;
  #turn: (() => void) | undefined;
  #core: Parking | undefined;

  /** `take`: takes so many submissions out of the window. `readNs`: the clock. */
  constructor({ memory, base }: Windows, window: PortableWindow, take: (count: number) => void, readNs: () => number) {
    this.#i32 = new Int32Array(memory.buffer, base, 128);
    this.#f64 = new Float64Array(memory.buffer, base, 64);
    this.#window = window;
    this.#take = take;
    this.#readNs = readNs;
  }

  start(turn: () => void, core: Parking): void {
    this.#turn = turn;
    this.#core = core;
  }

  get isStarted(): boolean {
    return this.#turn !== undefined;
  }

  /** An arrow: the core imports it as it is. */
  readonly enter = (): void => {
    const i32 = this.#i32;
    (this.#f64[ENTER_COUNT] as number)++;
    if (i32[RECYCLE_COUNT] !== 0) this.#window.recycle();
    const count = i32[SUBMIT_COUNT] as number;
    if (count !== 0) this.#take(count);
    i32[SUBMIT_COUNT] = 0;
    i32[ENTER_RESULT] = count;
    if (i32[SUBMIT_ONLY] !== 0) return;
    this.#window.deliver();
    this.#f64[NOW_NS] = this.#readNs();
  };

  /** Whether there is something to do now. */
  get isWanted(): boolean {
    return this.#core?.wantsTurn() === 1;
  }

  /** When a turn is wanted without any event, ns; Infinity: never. */
  get deadlineNs(): number {
    return this.#f64[NEXT_DEADLINE_NS] as number;
  }

  /** Returns how many completions it found. If the turn throws, settle() is to be called all the same. */
  begin(): number {
    this.#core?.awake();
    this.enter();
    const count = this.#i32[COMPLETION_COUNT] as number;
    if (this.isWanted) this.#turn?.();
    return count;
  }

  /** True: the host may sleep until `deadlineNs`, and then calls begin(). False: it calls begin() soon. */
  settle(): boolean {
    if (this.#i32[SUBMIT_COUNT] !== 0 || this.#i32[RECYCLE_COUNT] !== 0) this.enter();
    if (this.#core?.trySleep(this.#window.pending === 0 ? 0 : 1) !== 1) return false;
    (this.#f64[SLEEP_COUNT] as number)++;
    return true;
  }
}
