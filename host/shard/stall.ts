// Tells other shards what a shard is doing: code that never yields cannot say so itself.
//
//   a step of a task       its name, and when it began       written when a step begins, and when a run of steps ends
//   a called function      its message's slot in the inbox   one number, written when it begins; cleared once a turn
//   a handler of HTTP      where the request's head lies     the same number
//
// The number also counts, so it stays the same only as long as one function or handler runs. Nothing has a name before
// another shard finds that it hangs: describeRun() reads function and request from the memory of the shard that does.
//
// The shard that runs writes; any shard reads, at any time. Where it lies is drawn in layout.ts. The name is rewritten
// only when another task comes. The sequence number is odd meanwhile: a reader that finds it odd looks again. The start
// is one word of 8 bytes, written on each step, 0 between steps.

import { type Header, HostControl, MESSAGE_BYTES, STEP_NAME_BYTES, STEP_OFFSET } from '../core/layout.js';

const SEQUENCE = 0; // i32
const NAME_BYTES = 4; // i32
const START_NS = 8; // f64
const NAME = 16;
const READ_TRIES = 100;

// A run: its count (19 bits), its kind (2), and 32 bits that say which one.
const KIND = 2 ** 32;
const RUN = 2 ** 34;
const RUNS = 2 ** 19;
const CALL = 1;
const REQUEST = 2;
const READY_BYTES = 16; // of an entry of the ready ring (assembly/layout.ts)
const PEER = 1; // word in it
/** Of a request's head, these are read: its first line, or the beginning of it. */
export const MARKED_HEAD_BYTES = 256;

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
  readonly #run: Float64Array;
  #runs = 0;
  /** Asks another shard to look (watch.ts); undefined: there is none. */
  nudge: (() => void) | undefined;
  #name: string | undefined;

  constructor(memory: WebAssembly.Memory, base: number) {
    this.#watched = new Int32Array(memory.buffer, base + HostControl.watched, 1);
    this.#run = new Float64Array(memory.buffer, base + HostControl.running, 1);
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
    this.askForWatch();
  }

  /** The shard does something: another one looks at it from now on. */
  askForWatch(): void {
    if (this.#watched[0] !== 0 || this.nudge === undefined) return;
    Atomics.store(this.#watched, 0, 1);
    this.nudge();
  }

  /** The function begins that this message of the inbox asks for. */
  markCall(slot: number): void {
    this.#mark(CALL, slot);
  }

  /** The handler of the request whose head lies here begins. */
  markRequest(head: number): void {
    this.#mark(REQUEST, head);
  }

  #mark(kind: number, which: number): void {
    this.#runs = (this.#runs + 1) % RUNS;
    this.#run[0] = this.#runs * RUN + kind * KIND + which;
  }

  /** No function and no handler runs. */
  clearRun(): void {
    this.#run[0] = 0;
  }

  #rename(name: string): void {
    Atomics.add(this.#words, SEQUENCE, 1);
    this.#words[NAME_BYTES >> 2] = this.#text.write(name); // whole characters only
    Atomics.add(this.#words, SEQUENCE, 1);
    this.#name = name;
  }

  /** The shard that watched does not run any more. */
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
    const startNs = start[0] as number;
    if (startNs === 0) return undefined;
    const name = Buffer.from(memory.buffer, at + NAME, words[NAME_BYTES >> 2]).toString();
    if ((before & 1) === 0 && Atomics.load(words, SEQUENCE) === before && start[0] === startNs)
      return { name, startNs };
  }
  return undefined; // steps that change this fast do not hang
}

/** The function or handler that a shard is in, as a number that no other run has; 0: in none. */
export function readRun(memory: WebAssembly.Memory, header: Header, shard: number): number {
  const at = header.shardsOffset + shard * header.shardBytes + HostControl.running;
  return new Float64Array(memory.buffer, at, 1)[0] as number;
}

/** Says what readRun() has read. Meaningful only if the shard is in it still: what it is made of may be overwritten. */
export function describeRun(
  memory: WebAssembly.Memory,
  header: Header,
  shard: number,
  run: number,
  nameOf: (method: number) => string,
): string {
  const which = run % KIND;
  if (Math.floor(run / KIND) % (RUN / KIND) === REQUEST) {
    const head = Buffer.from(memory.buffer, which, Math.min(MARKED_HEAD_BYTES, memory.buffer.byteLength - which));
    const [, method, path] = /^(\S+) ([^\s?]*)/.exec(head.toString('latin1')) ?? [];
    return `the HTTP handler of ${JSON.stringify(`${method} ${path}`).slice(1, -1)}`;
  }
  const words = new Uint32Array(memory.buffer);
  const base = header.shardsOffset + shard * header.shardBytes;
  const head = words[(base + header.inboxOffset + which * MESSAGE_BYTES) >>> 2] as number;
  const peer = words[((base + header.readyOffset + which * READY_BYTES) >>> 2) + PEER];
  return `${nameOf(head >>> 16)}, called by shard ${peer},`;
}
