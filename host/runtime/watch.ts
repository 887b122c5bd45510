// The stall watch: code that never yields cannot say so, and neither can its shard, so another shard does. Shard 0
// watches all others, and a worker watches shard 0; a runtime of one shard has no watch.
//
//   a turn begins, and nobody watches --> nudge the watcher, once      (a message, not through the mesh)
//   watcher: every stallMs: in the same code as before? say so.        (an unref'd timer of Node's)
//            in none? take the mark away; look once more; stop looking
//
// So a shard that is idle costs nothing, and a busy one a message and a look for each stallMs. The last look is needed
// because a turn may begin just as the mark is taken away. Either the look sees the turn, or the turn has seen that the
// mark is gone.
//
// A step of a task says when it began. A called function and a handler of HTTP do not, because their paths are hot.
// They count as old as the first look that found them. Other code (what goes on after an await, Node's callbacks) has
// no mark at all: the shard is awake, and no enter comes. Modules and compilers may take that long, so it has more
// time.

import { writeSync } from 'node:fs';
import { Control, HostControl } from '../core/layout.js';
import { monotonicNs } from '../hosts/host.js';
import type { Shard } from '../shard/shard.js';
import { describeRun, readRun, readStep } from '../shard/stall.js';

const WARNINGS_MAX = 5; // of one shard in a minute
const MINUTE_NS = 60e9;
const UNNAMED_MS = 1000;

/** Nothing says what it is. */
const unnamed = () => "code that goes on after an await, or a callback of Node's,";

class StallWatch {
  readonly #own: Shard;
  readonly #peer: number;
  readonly #stallMs: number;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  #timer: NodeJS.Timeout | undefined;
  #isLast = false;
  #said = 0; // start of the step, number of the run, or time of the turn that was named last
  #seen = 0; // the same of what the last look found
  #seenNs = 0;
  #warnings = 0;
  #warningsFromNs = Number.NEGATIVE_INFINITY;

  constructor(own: Shard, peer: number, stallMs: number) {
    this.#own = own;
    this.#peer = peer;
    this.#stallMs = stallMs;
    const { shardsOffset, shardBytes } = own.header;
    this.#words = new Int32Array(own.memory.buffer, shardsOffset + peer * shardBytes, 128);
    this.#doubles = new Float64Array(own.memory.buffer, shardsOffset + peer * shardBytes, 64);
  }

  begin(): void {
    this.#isLast = false;
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(this.#look, this.#stallMs);
    this.#timer.unref();
  }

  readonly #look = (): void => {
    const { memory, header } = this.#own;
    const nowNs = monotonicNs();
    const step = readStep(memory, header, this.#peer);
    if (step !== undefined) {
      this.#isLast = false;
      const forNs = nowNs - step.startNs;
      this.#judge(step.startNs, forNs, this.#stallMs, () => `task ${JSON.stringify(step.name)}`);
      return;
    }
    const run = readRun(memory, header, this.#peer);
    const found = run !== 0 ? run : this.#awakeSinceNs();
    if (found === 0 && this.#isLast) this.stop();
    else if (found === 0) {
      this.#isLast = true;
      Atomics.store(this.#words, HostControl.watched >> 2, 0);
    } else {
      this.#isLast = false;
      if (found !== this.#seen) this.#seenNs = nowNs;
      this.#seen = found;
      const forNs = nowNs - this.#seenNs;
      if (run === 0) this.#judge(found, forNs, Math.max(UNNAMED_MS, this.#stallMs), unnamed);
      else this.#judge(found, forNs, this.#stallMs, () => this.#describe(run));
    }
  };

  /** When the shard looked at its work last, if it is awake since; 0: it sleeps. */
  #awakeSinceNs(): number {
    const isAsleep =
      Atomics.load(this.#words, Control.sleeping >> 2) !== 0 || (this.#doubles[HostControl.idleNs >> 3] as number) < 0;
    return isAsleep ? 0 : (this.#doubles[Control.nowNs >> 3] as number);
  }

  #describe(run: number): string | undefined {
    const { memory, header, calls } = this.#own;
    const text = describeRun(memory, header, this.#peer, run, (method) => calls?.describe(method) ?? '');
    return readRun(memory, header, this.#peer) === run ? text : undefined; // it has ended while it was read
  }

  #judge(which: number, forNs: number, limitMs: number, describe: () => string | undefined): void {
    if (which === this.#said || forNs < limitMs * 1e6) return;
    const what = describe();
    if (what === undefined) return;
    this.#said = which;
    this.#warn(what, forNs);
  }

  #warn(what: string, forNs: number): void {
    const nowNs = monotonicNs();
    if (nowNs - this.#warningsFromNs > MINUTE_NS) {
      this.#warningsFromNs = nowNs;
      this.#warnings = 0;
    }
    if (++this.#warnings > WARNINGS_MAX) return;
    const text = `${what} keeps shard ${this.#peer} for ${Math.round(forNs / 1e6)} ms by now, and does not yield`;
    // A worker's stderr goes through the main thread, which is the thread that does not respond.
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
  readonly #watches = new Map<number, StallWatch>();

  constructor(own: Shard, stallMs: number) {
    this.#own = own;
    this.#stallMs = stallMs;
  }

  /** That shard has begun a turn, and is not watched yet. */
  begin(peer: number): void {
    if (this.#own.closed || this.#stallMs === 0) return;
    let watch = this.#watches.get(peer);
    if (watch === undefined) {
      watch = new StallWatch(this.#own, peer, this.#stallMs);
      this.#watches.set(peer, watch);
    }
    watch.begin();
  }

  /** That shard runs no more; without `peer`: this one watches no more. */
  stop(peer?: number): void {
    for (const [shard, watch] of this.#watches) if (peer === undefined || peer === shard) watch.stop();
  }
}
