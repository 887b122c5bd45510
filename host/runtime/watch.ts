// The stall watch: a task that never yields cannot say so, and neither can its shard, so another shard does. Shard 0
// watches all others, and a worker watches shard 0; a runtime of one shard has nobody to look.
//
//   a step begins, and nobody watches --> nudge the watcher, once      (a message, not through the mesh)
//   watcher: every stallMs: in the same step as before? say so.        (an unref'd timer of Node's)
//            in none? take the mark away; look once more; stop looking
//
// So a shard that is idle costs nothing, and a busy one a message and a look for each stallMs. The last look is there
// because a step may begin just as the mark is taken away: it is seen, or it has seen that the mark is gone.

import { writeSync } from 'node:fs';
import { monotonicNs } from '../hosts/host.js';
import { HostControl } from '../layout.js';
import type { Shard } from '../shard.js';
import { readStep } from '../tasks/stall.js';

const WARNINGS_MAX = 5; // of one shard in a minute
const MINUTE_NS = 60e9;

class Watch {
  readonly #own: Shard;
  readonly #peer: number;
  readonly #stallMs: number;
  readonly #mark: Int32Array;
  #timer: NodeJS.Timeout | undefined;
  #isLast = false;
  #saidNs = 0; // start of the step that was named last
  #warnings = 0;
  #warningsFromNs = Number.NEGATIVE_INFINITY;

  constructor(own: Shard, peer: number, stallMs: number) {
    this.#own = own;
    this.#peer = peer;
    this.#stallMs = stallMs;
    const { shardsOffset, shardBytes } = own.header;
    this.#mark = new Int32Array(own.memory.buffer, shardsOffset + peer * shardBytes + HostControl.watched, 1);
  }

  begin(): void {
    this.#isLast = false;
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(this.#look, this.#stallMs);
    this.#timer.unref();
  }

  readonly #look = (): void => {
    const step = readStep(this.#own.memory, this.#own.header, this.#peer);
    if (step !== undefined) {
      this.#isLast = false;
      const nowNs = monotonicNs();
      if (nowNs - step.startNs >= this.#stallMs * 1e6 && step.startNs !== this.#saidNs) this.#warn(step, nowNs);
    } else if (this.#isLast) this.stop();
    else {
      this.#isLast = true;
      Atomics.store(this.#mark, 0, 0);
    }
  };

  #warn({ name, startNs }: { name: string; startNs: number }, nowNs: number): void {
    this.#saidNs = startNs;
    if (nowNs - this.#warningsFromNs > MINUTE_NS) {
      this.#warningsFromNs = nowNs;
      this.#warnings = 0;
    }
    if (++this.#warnings > WARNINGS_MAX) return;
    const forMs = Math.round((nowNs - startNs) / 1e6);
    const text = `task ${JSON.stringify(name)} keeps shard ${this.#peer} for ${forMs} ms by now, and does not yield`;
    // What a worker writes to its stderr goes through the main thread, and that is the one that does not listen.
    if (this.#peer === 0) writeSync(2, `(node:${process.pid}) Featherstar: ${text}\n`);
    else process.emitWarning(text, 'Featherstar');
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** The watches that a shard keeps on others. */
export class Watcher {
  readonly #own: Shard;
  readonly #stallMs: number;
  readonly #watches = new Map<number, Watch>();

  constructor(own: Shard, stallMs: number) {
    this.#own = own;
    this.#stallMs = stallMs;
  }

  /** That shard has begun a step, and nobody looks at it yet. */
  begin(peer: number): void {
    if (this.#own.closed || this.#stallMs === 0) return;
    let watch = this.#watches.get(peer);
    if (watch === undefined) {
      watch = new Watch(this.#own, peer, this.#stallMs);
      this.#watches.set(peer, watch);
    }
    watch.begin();
  }

  /** That shard runs no more; without `peer`: this one watches no more. */
  stop(peer?: number): void {
    for (const [shard, watch] of this.#watches) if (peer === undefined || peer === shard) watch.stop();
  }
}
