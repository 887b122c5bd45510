// The loop of hosts that have no kernel to sleep in: events of the platform, one step for all events of a round.
//
//   event --> schedule() --> step():
//     begin   turn.ts: takes what has come, then the core's turn and JavaScript's  (shard.ts)
//     settle  turn.ts: another step if there is more; else arms the deadline and sleeps
//
// Microtasks run after step(). Operations that they stage are announced by poke() and taken when all of them have run.
// Nothing ticks: a shard that has nothing to do has no timer and no step to come.
//
// Invariants: a turn runs in step() only, so never inside another turn. A deadline is never early: a timer that fires
// too soon is armed again.

import { platform } from '../base/platform-timers.js';
import { monotonicNs, type Parking, type Windows } from './host.js';
import type { PortableWindow } from './portable-window.js';
import { HostTurn } from './turn.js';

const TIMER_MAX_MS = 2 ** 31 - 1;

/** How the platform calls back. */
export interface LoopPlatform {
  /** Soon, with the events that are there now. */
  soon(run: () => void): void;
  /** When all microtasks have run. */
  afterMicrotasks(run: () => void): void;
}

export class TurnLoop {
  readonly #turn: HostTurn;
  readonly #platform: LoopPlatform;
  #isScheduled = false;
  #isStepping = false;
  #isPoked = false;
  #isClosed = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerNs = Number.POSITIVE_INFINITY;
  /** The turn's own: the core imports it as it is. */
  readonly enter: () => void;

  /** `take`: takes so many submissions out of the window. */
  constructor(windows: Windows, window: PortableWindow, take: (count: number) => void, platform: LoopPlatform) {
    this.#turn = new HostTurn(windows, window, take, monotonicNs);
    this.#platform = platform;
    this.enter = this.#turn.enter;
  }

  start(turn: () => void, core: Parking): void {
    this.#turn.start(turn, core);
    this.schedule();
  }

  /** Operations that microtasks stage go out at once, when all of them have run. */
  poke(): void {
    if (this.#isPoked) return;
    this.#isPoked = true;
    this.#platform.afterMicrotasks(this.#onPoked);
  }

  readonly #onPoked = (): void => {
    this.#isPoked = false;
    if (this.#isClosed || !this.#turn.isStarted) return;
    this.enter();
    if (this.#turn.isWanted) this.schedule();
    else this.#armDeadline();
  };

  readonly schedule = (): void => {
    if (this.#isScheduled || this.#isStepping || this.#isClosed || !this.#turn.isStarted) return;
    this.#isScheduled = true;
    this.#platform.soon(this.#step);
  };

  /** A turn for an event of the platform that must not wait for others of its round. */
  runNow(): void {
    if (!this.#isStepping && this.#turn.isStarted) this.#step();
  }

  readonly #step = (): void => {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    this.#isStepping = true;
    try {
      this.#turn.begin();
    } finally {
      this.#isStepping = false;
      if (!this.#isClosed) this.#settle();
    }
  };

  /** After a turn: the next step comes when it is needed. */
  #settle(): void {
    if (this.#turn.settle()) this.#armDeadline();
    else this.schedule();
  }

  /** A timer that fires before the deadline is left alone. So a deadline that moves on, as most do, costs one step. */
  #armDeadline(): void {
    const { deadlineNs } = this.#turn;
    if (deadlineNs >= this.#timerNs) return;
    platform.clearTimeout(this.#timer);
    const delayMs = Math.ceil((deadlineNs - monotonicNs()) / 1e6);
    this.#timerNs = deadlineNs;
    const timer = platform.setTimeout(this.#onTimer, Math.max(1, Math.min(delayMs, TIMER_MAX_MS)));
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
    platform.clearTimeout(this.#timer);
  }
}
