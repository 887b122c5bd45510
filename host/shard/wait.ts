// One wait on the timer wheel. Everything in this library that takes time uses it: sleeps, and the timeouts of
// Abortable. It is one object, and holds its signal itself.

import { type AbortListener, addAbortListener, removeAbortListener } from '../base/abort-listeners.js';
import { LoneTimer } from './operation.js';
import type { Shard } from './shard.js';

/** Calls `resolve` after `delayNs`, never earlier, or `reject` when it is aborted or cancelled before. Throws FULL. */
export class Wait extends LoneTimer implements AbortListener {
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: () => void;
  readonly #reject: ((reason: unknown) => void) | undefined;
  #isSettled = false;

  constructor(
    shard: Shard,
    delayNs: number,
    signal: AbortSignal | undefined,
    resolve: () => void,
    reject?: (reason: unknown) => void,
  ) {
    super(shard, Math.max(0, delayNs));
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    addAbortListener(signal, this);
  }

  onTime(): void {
    if (this.#isSettled) return; // cancelled after it had fired
    this.#isSettled = true;
    removeAbortListener(this.#signal, this);
    this.#resolve();
  }

  onSignal(signal: AbortSignal): void {
    this.cancel(signal.reason);
  }

  /** Rejects, and takes the timer off the wheel. No effect once it is over. */
  cancel(reason: unknown): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    removeAbortListener(this.#signal, this);
    this.disarm();
    this.#reject?.(reason);
  }
}
