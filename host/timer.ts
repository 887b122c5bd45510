// Time for users. All of it lies on the shard's wheel.

import { optionError } from './errors.js';
import { currentShard, type Owner, type Shard } from './shard.js';

export interface AbortOptions {
  signal?: AbortSignal | undefined;
}

/** One wait on the wheel that can be aborted. Its registration ends with its event or its cancellation. */
class Sleep implements Owner {
  readonly #shard: Shard;
  readonly #id: number;
  readonly #index: number;
  readonly #generation: number;
  readonly #signal: AbortSignal | undefined;
  #settled = false;

  constructor(
    shard: Shard,
    delayMs: number,
    signal: AbortSignal | undefined,
    readonly resolve: () => void,
    readonly reject: (reason: unknown) => void,
  ) {
    this.#shard = shard;
    this.#signal = signal;
    this.#id = shard.register(this);
    try {
      this.#index = shard.armTimer(delayMs * 1e6, this.#id, 0);
    } catch (error) {
      shard.unregister(this.#id);
      throw error;
    }
    this.#generation = shard.timerGeneration(this.#index);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  onEvent(): void {
    this.#shard.unregister(this.#id);
    if (this.#settled) return; // aborted after it had fired
    this.#settled = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.resolve();
  }

  readonly #onAbort = (): void => {
    this.#settled = true;
    if (this.#shard.core.cancelTimer(this.#index, this.#generation) === 0) this.#shard.unregister(this.#id);
    this.reject(this.#signal?.reason);
  };
}

function checkDelay(name: string, ms: number): void {
  if (typeof ms !== 'number' || !(ms >= 0) || ms > 8.64e9)
    throw optionError(name, ms, 'milliseconds from 0 to 100 days');
}

/** Resolves after `ms` milliseconds, never earlier. Rejects with the signal's reason when that aborts. */
export function sleep(ms: number, options: AbortOptions = {}): Promise<void> {
  checkDelay('ms', ms);
  const { signal } = options;
  if (signal?.aborted) return Promise.reject(signal.reason);
  const shard = currentShard();
  return new Promise((resolve, reject) => {
    new Sleep(shard, ms, signal, resolve, reject);
  });
}
