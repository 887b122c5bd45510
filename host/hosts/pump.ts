// The pump: how a uring shard runs where there is no libuv to sit in (Bun, Deno). Each macrotask enters the ring once
// and takes a turn. While work comes it goes round by setImmediate; when nothing comes it waits in the kernel, longer
// and longer up to a bound, because the runtime's own timers and ports are deaf for that time.

import { Control } from '../core/layout.js';
import { monotonicNs, type Windows } from './host.js';

const WAIT_MIN_NS = 50_000;
const WAIT_MAX_NS = 2_000_000;

export interface PumpRing {
  enter(): void;
  wait(timeoutNs: number): void;
}

export class Pump {
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #turn: () => void;
  readonly #ring: PumpRing;
  #waitNs = WAIT_MIN_NS;
  #running = false;

  constructor(windows: Windows, turn: () => void, ring: PumpRing) {
    this.#u32 = new Uint32Array(windows.memory.buffer, windows.base, 128);
    this.#f64 = new Float64Array(windows.memory.buffer, windows.base, 64);
    this.#turn = turn;
    this.#ring = ring;
  }

  start(): void {
    this.#running = true;
    setImmediate(this.#step);
  }

  stop(): void {
    this.#running = false;
  }

  #hasWork(): boolean {
    const u = this.#u32;
    return (
      u[Control.moreWork >> 2] !== 0 ||
      u[Control.readyHead >> 2] !== u[Control.readyTail >> 2] ||
      Atomics.load(u, Control.dirty >> 2) !== 0 ||
      Atomics.load(u, (Control.dirty >> 2) + 1) !== 0
    );
  }

  readonly #step = (): void => {
    if (!this.#running) return;
    if (this.#hasWork()) this.#ring.enter();
    else {
      const untilDeadline = this.#f64[Control.nextDeadlineNs >> 3] - monotonicNs();
      this.#ring.wait(Math.max(0, Math.min(this.#waitNs, untilDeadline)));
    }
    const due = this.#f64[Control.nowNs >> 3] >= this.#f64[Control.nextDeadlineNs >> 3];
    const busy = this.#u32[Control.completionCount >> 2] !== 0 || due || this.#hasWork();
    this.#waitNs = busy ? WAIT_MIN_NS : Math.min(this.#waitNs * 2, WAIT_MAX_NS);
    setImmediate(this.#step); // before the turn: an exception in it must not stop the pump
    if (busy) this.#turn();
  };
}
