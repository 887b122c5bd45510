// The timeout of a socket without traffic: `socket.setTimeout(ms)`. HTTP servers set it with each request, and clear it
// with the next. So setting it and traffic write a number, and one timer of the platform looks at the numbers later.

import { platform } from '../base/platform-timers.js';
import { monotonicNs } from '../hosts/host.js';

export class IdleTimer {
  readonly #onIdle: () => void;
  #ms = 0; // 0: none
  #sinceNs = 0; // the last traffic
  #dueNs = Number.POSITIVE_INFINITY; // of the timer that runs
  #timer: NodeJS.Timeout | undefined;

  constructor(onIdle: () => void) {
    this.#onIdle = onIdle;
  }

  /** Begins anew with `ms` milliseconds; 0 ends it. */
  set(ms: number): void {
    this.#ms = ms;
    this.touch();
    if (ms !== 0 && this.#sinceNs + ms * 1e6 < this.#dueNs) this.#start(ms);
  }

  /** There was traffic. */
  touch(): void {
    if (this.#ms !== 0) this.#sinceNs = monotonicNs();
  }

  /** For good. */
  stop(): void {
    platform.clearTimeout(this.#timer);
    this.#ms = 0;
  }

  #start(ms: number): void {
    platform.clearTimeout(this.#timer);
    this.#dueNs = monotonicNs() + ms * 1e6;
    this.#timer = platform.setTimeout(() => this.#onTimer(), Math.ceil(ms));
    this.#timer.unref?.(); // the socket keeps the process alive
  }

  #onTimer(): void {
    this.#dueNs = Number.POSITIVE_INFINITY;
    if (this.#ms === 0) return;
    const leftMs = this.#ms - (monotonicNs() - this.#sinceNs) / 1e6;
    if (leftMs > 0) this.#start(leftMs);
    else this.#onIdle();
  }
}
