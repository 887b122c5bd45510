// Whether the runtime keeps the process alive: always, or, after unref(), only as long as a socket or a server does.
//
//   shard 0:  Holders (shard/holders.ts) --onChange--> Lifeline --> host.ref(), host.unref()
//   worker:   Holders --onChange--> message 'holds' ----^
//
// The threads of workers keep the process alive no more after unref(). A worker tells of its holders only while the
// runtime is unref'd. Until it has, it counts as one that has some.

import { holdersOn } from '../shard/holders.js';
import type { Shard } from '../shard/shard.js';
import type { ShardWorker } from './protocol.js';

export class Lifeline {
  readonly #own: Shard;
  readonly #workers: readonly (ShardWorker | undefined)[];
  readonly #holding = new Set<number>(); // workers
  #isRef = true;

  /** `workers`: a list that the runtime keeps up to date. */
  constructor(own: Shard, workers: readonly (ShardWorker | undefined)[]) {
    this.#own = own;
    this.#workers = workers;
  }

  ref(): void {
    if (this.#isRef) return;
    this.#isRef = true;
    holdersOn(this.#own).onChange = undefined;
    this.#holding.clear();
    for (const worker of this.#workers) {
      worker?.ref();
      worker?.tell({ type: 'watchHolders', isOn: false });
    }
    this.#own.host.ref();
  }

  unref(): void {
    if (!this.#isRef) return;
    this.#isRef = false;
    holdersOn(this.#own).onChange = () => this.#update();
    for (const shard of this.#workers.keys()) this.onStart(shard);
    this.#update();
  }

  /** A worker runs. */
  onStart(shard: number): void {
    const worker = this.#workers[shard];
    if (this.#isRef || worker === undefined) return;
    this.#holding.add(shard);
    worker.unref();
    worker.tell({ type: 'watchHolders', isOn: true });
  }

  /** A worker has holders, or has none. A dead one has none. */
  onHolds(shard: number, holds: boolean): void {
    if (this.#isRef) return;
    if (holds) this.#holding.add(shard);
    else this.#holding.delete(shard);
    this.#update();
  }

  #update(): void {
    const { host } = this.#own;
    if (holdersOn(this.#own).holds || this.#holding.size !== 0) host.ref();
    else host.unref();
  }
}
