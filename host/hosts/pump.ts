// The pump: how a uring shard runs where there is no libuv to sit in (Bun, Deno). Each macrotask enters the ring once
// and takes a turn. While work comes it goes round by setImmediate. When nothing comes it waits in the kernel, longer
// and longer up to a bound. There is a bound because the runtime's own timers and ports are not served meanwhile.
//
// A wait is ended by a completion, such as a doorbell, or by WAIT_MAX_NS. If there is work, loop_wait
// (host/native/loop.c) does not wait; else it sleeps as every uring shard does.

import { platform } from '../base/platform-timers.js';
import { Control } from '../core/layout.js';
import { monotonicNs, type Parking, type Windows } from './host.js';

const WAIT_MIN_NS = 50_000;
const WAIT_MAX_NS = 2_000_000;
const NEXT_DEADLINE_NS = Control.nextDeadlineNs >> 3;

export class Pump {
  readonly #f64: Float64Array;
  readonly #turn: () => void;
  readonly #core: Parking;
  readonly #wait: (timeoutNs: number) => void;
  #waitNs = WAIT_MIN_NS;
  #running = false;

  /** `wait`: enters the ring, and waits so long at most if there is nothing to do. */
  constructor({ memory, base }: Windows, turn: () => void, core: Parking, wait: (timeoutNs: number) => void) {
    this.#f64 = new Float64Array(memory.buffer, base, 64);
    this.#turn = turn;
    this.#core = core;
    this.#wait = wait;
  }

  start(): void {
    this.#running = true;
    platform.setImmediate(this.#step);
  }

  stop(): void {
    this.#running = false;
  }

  readonly #step = (): void => {
    if (!this.#running) return;
    const untilDeadline = (this.#f64[NEXT_DEADLINE_NS] as number) - monotonicNs();
    this.#wait(Math.max(0, Math.min(this.#waitNs, untilDeadline)));
    const isWanted = this.#core.wantsTurn() === 1;
    this.#waitNs = isWanted ? WAIT_MIN_NS : Math.min(this.#waitNs * 2, WAIT_MAX_NS);
    platform.setImmediate(this.#step); // before the turn: an exception in it must not stop the pump
    if (isWanted) this.#turn();
  };
}
