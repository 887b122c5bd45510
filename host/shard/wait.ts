// One wait on the wheel, of which everything in this library that takes time is made.

import { Abortable } from '../base/abortable.js';
import type { Owner, Shard } from './shard.js';

/**
 * Calls `resolve` after `delayNs`, never earlier, or `reject` when it is aborted or cancelled before. Its registration
 * ends with its event or its cancellation. Throws FULL.
 */
export class Wait extends Abortable implements Owner {
  readonly #shard: Shard;
  readonly #id: number;
  readonly #index: number;
  readonly #generation: number;
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
    this.#shard = shard;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#id = shard.register(this);
    try {
      this.#index = shard.armTimer(Math.max(0, delayNs), this.#id, 0);
    } catch (error) {
      shard.unregister(this.#id);
      throw error;
    }
    this.#generation = shard.timerGeneration(this.#index);
    if (signal !== undefined) this.arm({ signal });
  }

  onEvent(): void {
    this.#shard.unregister(this.#id);
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
    if (this.#shard.core.cancelTimer(this.#index, this.#generation) === 0) this.#shard.unregister(this.#id);
    this.#reject(reason);
  }
}
