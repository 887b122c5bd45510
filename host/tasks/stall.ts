// Which step of a task a shard is in, for other shards to read: a task that never yields cannot say so itself.
//
// The shard that runs writes; anybody reads, at any time. Where it lies is drawn in layout.ts. The name is rewritten
// only when another task comes, and then under a sequence number that is odd meanwhile: a reader that meets one looks
// again. The start is one word of 8 bytes, written on each step, 0 between steps.

import { type Header, HostControl, STEP_NAME_BYTES, STEP_OFFSET } from '../layout.js';

const SEQUENCE = 0; // i32
const NAME_BYTES = 4; // i32
const START_NS = 8; // f64
const NAME = 16;
const READ_TRIES = 100;

export interface RunningStep {
  /** The task's name, cut off after 112 bytes of UTF-8. */
  name: string;
  /** When the step began, on the clock of monotonicNs(). */
  startNs: number;
}

/** The writer's side: one for each shard, used in its own thread only. */
export class StepMark {
  readonly #words: Int32Array;
  readonly #start: Float64Array;
  readonly #text: Buffer;
  readonly #watched: Int32Array;
  /** Asks another shard to look (watch.ts); undefined: there is none. */
  nudge: (() => void) | undefined;
  #name: string | undefined;

  constructor(memory: WebAssembly.Memory, base: number) {
    this.#watched = new Int32Array(memory.buffer, base + HostControl.watched, 1);
    const at = base + STEP_OFFSET;
    this.#words = new Int32Array(memory.buffer, at, 2);
    this.#start = new Float64Array(memory.buffer, at + START_NS, 1);
    this.#text = Buffer.from(memory.buffer, at + NAME, STEP_NAME_BYTES);
  }

  /** A step of this task begins. */
  markStep(name: string, startNs: number): void {
    if (name !== this.#name) {
      this.#start[0] = 0;
      this.#rename(name);
    }
    this.#start[0] = startNs;
    if (this.#watched[0] !== 0 || this.nudge === undefined) return;
    Atomics.store(this.#watched, 0, 1);
    this.nudge();
  }

  #rename(name: string): void {
    Atomics.add(this.#words, SEQUENCE, 1);
    this.#words[NAME_BYTES >> 2] = this.#text.write(name); // whole characters only
    Atomics.add(this.#words, SEQUENCE, 1);
    this.#name = name;
  }

  /** Whoever watched does not run any more. */
  unwatch(): void {
    Atomics.store(this.#watched, 0, 0);
  }

  /** No step runs. */
  clearStep(): void {
    this.#start[0] = 0;
  }
}

/** The step that a shard is in, undefined between steps. Any thread may ask; the shard does not notice. */
export function readStep(memory: WebAssembly.Memory, header: Header, shard: number): RunningStep | undefined {
  const at = header.shardsOffset + shard * header.shardBytes + STEP_OFFSET;
  const words = new Int32Array(memory.buffer, at, 2);
  const start = new Float64Array(memory.buffer, at + START_NS, 1);
  for (let i = 0; i < READ_TRIES; i++) {
    const before = Atomics.load(words, SEQUENCE);
    const startNs = start[0];
    if (startNs === 0) return undefined;
    const name = Buffer.from(memory.buffer, at + NAME, words[NAME_BYTES >> 2]).toString();
    if ((before & 1) === 0 && Atomics.load(words, SEQUENCE) === before && start[0] === startNs)
      return { name, startNs };
  }
  return undefined; // steps that change this fast do not hang
}
