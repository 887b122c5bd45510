// A count of the sockets and servers of featherstar/node on this shard. After Runtime.unref() they keep the process
// alive, as those of node:net do. They are counted in any case, as the runtime may be unref'd at any time.
//
// Next: host/runtime/lifeline.ts.

import { perShard } from './per-shard.js';

export class Holders {
  /** Told when the first one comes, and when the last one goes, while the runtime is unref'd. */
  onChange: ((holds: boolean) => void) | undefined;
  #count = 0;

  get holds(): boolean {
    return this.#count !== 0;
  }

  add(): void {
    this.#count++;
    if (this.#count === 1) this.onChange?.(true);
  }

  remove(): void {
    this.#count--;
    if (this.#count === 0) this.onChange?.(false);
  }
}

export const holdersOn = perShard(() => new Holders());
