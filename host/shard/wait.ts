// One wait on the wheel, of which everything in this library that takes time is made.

import { Abortable } from '../base/abortable.js';
import { Timer } from './operation.js';
import type { Owner } from './owners.js';
import type { Shard } from './shard.js';

/**
 * Calls `resolve` after `delayNs`, never earlier, or `reject` when it is aborted or cancelled before. Throws FULL.
 */
export class Wait extends Abortable implements Owner {
  readonly #timer: Timer;
  readonly #resolve: () => void;
  readonly #reject: (reason: unknown) => void;
  #isSettled = false;

  constructor(
    shard: Shard,
    delayNs: number,
    signal: AbortSignal | undefined,
    resolve: () => void,
    reject: (reason: unknown) => void,
  ) {
    super();
    this.#resolve = resolve;
    this.#reject = reject;
    const id = shard.register(this);
    this.#timer = new Timer(shard, id, 0);
    try {
      this.#timer.arm(Math.max(0, delayNs));
    } finally {
      shard.unregister(id); // when the timer is over
    }
    if (signal !== undefined) this.arm({ signal });
  }

  onEvent(): void {
    this.#timer.ended();
    if (this.#isSettled) return; // cancelled after it had fired
    this.#isSettled = true;
    this.disarm();
    this.#resolve();
  }

  /** Rejects, and takes the timer off the wheel. No effect once it is over. */
  cancel(reason: unknown): void {
    if (!this.#isSettled) this.abort(reason);
  }

  onAbort(reason: unknown): void {
    this.#isSettled = true;
    this.#timer.cancel();
    this.#reject(reason);
  }
}
