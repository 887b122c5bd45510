// The events, in order: a hash over all of them, and the text of the last ones, which helps to understand a failure. An
// event is four whole numbers, the time, and what it is about; it becomes words only when the trace is read.
//
// Next: world.ts.

import * as kernel from '../core/kernel.js';

const OPCODES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(kernel)
    .filter(([name]) => name.startsWith('OP_'))
    .map(([name, opcode]) => [opcode, name.slice('OP_'.length)]),
);

/** The name of an operation of the kernel. */
export function opcodeName(opcode: number): string {
  return OPCODES[opcode] ?? `operation ${opcode}`;
}

/** The subject of an event: a name, or bytes on their way. */
export type Subject = string | Delivery;

/** Bytes that went from one end to another. */
export interface Delivery {
  /** The two ends: `n1:49152 > n2:7000`. */
  readonly ends: string;
  readonly bytes: Uint8Array;
  /** The shard that sent them, and when. */
  readonly from: number;
  readonly sentNs: number;
}

type Say = (first: number, second: number, about: string) => string;

const times = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;
const errnoOf = (errno: number) => (errno === 0 ? '' : ` with ${nameOfErrno(errno)}`);
const msOf = (us: number) => `${us / 1000} ms`;
const resultOf = (result: number) => (result < 0 ? nameOfErrno(result) : String(result));

function nameOfErrno(errno: number): string {
  return Object.entries(kernel.Errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/** Kinds of events in words: what follows "shard 2". */
const EVENTS = {
  turn: (count, jobs) => `takes a turn: ${times(count, 'completion')}, ${times(jobs, 'timer')} of JavaScript due`,
  job: () => 'runs a timer of JavaScript, or what was posted to it',
  submit: (opcode, _file, about) => `asks the kernel: ${opcodeName(opcode)}${about}`,
  complete: (operation, result) => `operation ${operation} completes: ${resultOf(result)}`,
  ring: (shard) => `rings shard ${shard}`,
  rung: () => 'is rung',
  timer: (ms) => `sets a timer of JavaScript, ${ms} ms`,
  freeze: (us) => `freezes for ${us} µs`,
  thaw: () => 'thaws',
  spawn: () => 'is started in a new thread',
  die: () => 'is killed',
  leave: () => 'ends its thread',
  exit: (shard) => `learns that shard ${shard} has ended`,
  call: (peer, bytes, about) => `calls ${about} on shard ${peer}, ${times(bytes, 'byte')}`,
  reply: (peer, bytes, about) => `${about} to shard ${peer}, ${times(bytes, 'byte')}`,
  arrive: (_connection, bytes, about) => `gets ${times(bytes, 'byte')},${about}`,
  drop: (_port, bytes, about) => `loses a datagram of ${times(bytes, 'byte')},${about}`,
  fin: (_connection, _none, about) => `gets the end of a connection,${about}`,
  reset: (_connection, _none, about) => `learns that a connection is reset,${about}`,
  disk: (position, bytes, about) => `writes ${times(bytes, 'byte')} to${about} at ${position}`,
  name: (_first, _second, about) => `changes a name on the disk:${about}`,
  sync: (_first, _second, about) => `syncs${about}`,
  crash: () => 'loses power',
  fault: (opcode, errno, about) =>
    `is given the fault${about}: ${opcode === 0 ? 'a death' : opcodeName(opcode)}${errnoOf(errno)}`,
  note: (_first, _second, about) => `notes:${about}`,
  file: (_opcode, result, about) => `calls node:fs:${about}: ${resultOf(result)}`,
  slow: (us, bytes, about) => `has sent a slow packet, ${msOf(us)}, ${times(bytes, 'byte')},${about}`,
  resend: (us, bytes, about) => `sends a lost packet again, after ${msOf(us)}, ${times(bytes, 'byte')},${about}`,
  held: (bytes, _none, about) => `has a packet held, ${times(bytes, 'byte')},${about}`,
  stall: (us, _none, about) => `waits for a slow disk, ${msOf(us)}:${about}`,
} satisfies Record<string, Say>;

export type EventName = keyof typeof EVENTS;
const NAMES = Object.keys(EVENTS) as EventName[];
const numbers = Object.fromEntries(NAMES.map((name, i) => [name, i])) as Record<EventName, number>;

/** Events that only show how the runtime works; an explanation leaves them out. */
export const INNER: ReadonlySet<EventName> = new Set(
  ['turn', 'job', 'submit', 'complete', 'ring', 'rung', 'timer'].map((name) => name as EventName),
);

/** For a debugger: the stack says what is about to happen. In a function of its own, as V8 optimises it less. */
function stopBeforeEvent(): void {
  // biome-ignore lint/suspicious/noDebugger: it is what --stop-at asks for
  debugger;
}

const WORDS = 4; // kind, shard, two numbers
const SHOWN_BYTES = 48;

/** An event as it is read. */
export interface TraceEvent {
  /** Its place in the trace, from 0. */
  readonly index: number;
  readonly kind: EventName;
  /** µs since the beginning. */
  readonly atUs: number;
  /** Below 0: of the world. */
  readonly shard: number;
  readonly text: string;
  /** Of a call, a reply, or bytes: the shard at the other end, and when they were sent, if that is known. */
  readonly peer: number | undefined;
  readonly sentUs: number | undefined;
}

export class Trace {
  readonly #kept: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #subjects: (Subject | undefined)[];
  readonly #startNs: number;
  readonly #stopAt: number;
  #count = 0;
  #h1 = 0x9e3779b9 | 0;
  #h2 = 0x85ebca6b | 0;
  /** The name of a shard, and its number in its runtime. */
  nameOf: (shard: number) => string = (shard) => `shard ${shard}`;
  numberOf: (shard: number) => number = (shard) => shard;

  /** `kept`: how many of the last events. `stopAt`: the event before which a debugger stops. */
  constructor(kept: number, startNs: number, stopAt = -1) {
    this.#kept = kept;
    this.#words = new Int32Array(kept * WORDS);
    this.#times = new Float64Array(kept);
    this.#subjects = new Array(Math.min(kept, 1024)).fill(undefined);
    this.#startNs = startNs;
    this.#stopAt = stopAt;
  }

  get count(): number {
    return this.#count;
  }

  add(kind: EventName, nowNs: number, shard: number, first = 0, second = 0, subject?: Subject): void {
    if (this.#count === this.#stopAt) stopBeforeEvent();
    const number = numbers[kind];
    this.#mix((nowNs % 2 ** 32) | 0);
    this.#mix((nowNs / 2 ** 32) | 0);
    this.#mix((number << 16) | (shard & 0xffff));
    this.#mix(first | 0);
    this.#mix(second | 0);
    if (typeof subject === 'object') this.bytes(subject.bytes);
    const row = this.#count++ % this.#kept;
    this.#times[row] = nowNs;
    this.#subjects[row] = subject;
    const at = row * WORDS;
    this.#words[at] = number;
    this.#words[at + 1] = shard;
    this.#words[at + 2] = first;
    this.#words[at + 3] = second;
  }

  /** Bytes that a program has sent or written are part of the hash. */
  bytes(bytes: Uint8Array): void {
    const whole = bytes.length & ~3;
    for (let i = 0; i < whole; i += 4) {
      const low = (bytes[i] as number) | ((bytes[i + 1] as number) << 8);
      this.#mix(low | ((bytes[i + 2] as number) << 16) | ((bytes[i + 3] as number) << 24));
    }
    let rest = bytes.length;
    for (let i = whole; i < bytes.length; i++) rest = (rest << 8) | (bytes[i] as number);
    this.#mix(rest);
  }

  /** An event in words of the program's own. */
  note(nowNs: number, shard: number, text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    this.remark(nowNs, shard, text);
  }

  /** An event with a text that is not part of the hash: it may name files of this machine. */
  remark(nowNs: number, shard: number, text: string): void {
    this.add('note', nowNs, shard, 0, 0, text);
  }

  /** Two lanes of murmur's mixing step: not against an adversary, but no two runs meet by accident. */
  #mix(word: number): void {
    let low = Math.imul(this.#h1 ^ word, 0xcc9e2d51);
    low = (low << 15) | (low >>> 17);
    const high = Math.imul(this.#h2 ^ word, 0x1b873593) + low;
    this.#h1 = Math.imul(low, 5) + 0x6b64e654;
    this.#h2 = ((high << 13) | (high >>> 19)) ^ this.#h1;
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    const hex = (word: number) => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#h1) + hex(this.#h2);
  }

  /** The events that are kept, oldest first. */
  events(): TraceEvent[] {
    const first = Math.max(0, this.#count - this.#kept);
    return Array.from({ length: this.#count - first }, (_, i) => this.#event(first + i));
  }

  /** The last events, oldest first, a line each. */
  lines(): string[] {
    return this.events().map((event) => lineOf(event, this.nameOf));
  }

  #event(index: number): TraceEvent {
    const row = index % this.#kept;
    const at = row * WORDS;
    const kind = NAMES[this.#words[at] as number] as EventName;
    const [first, second] = [this.#words[at + 2] as number, this.#words[at + 3] as number];
    const subject = this.#subjects[row];
    const delivery = typeof subject === 'object' ? subject : undefined;
    const isCall = kind === 'call' || kind === 'reply';
    const shown = isCall || kind === 'ring' || kind === 'exit' ? this.numberOf(first) : first;
    return {
      index,
      kind,
      atUs: ((this.#times[row] as number) - this.#startNs) / 1000,
      shard: this.#words[at + 1] as number,
      text: (EVENTS[kind] as Say)(shown, second, isCall ? String(subject) : aboutOf(subject)),
      peer: isCall ? first : delivery?.from,
      sentUs: delivery === undefined ? undefined : (delivery.sentNs - this.#startNs) / 1000,
    };
  }
}

/** An event as a line: its time, the shard, the words. */
export function lineOf({ atUs, shard, text }: TraceEvent, nameOf: (shard: number) => string): string {
  return `${atUs.toFixed(1).padStart(12)} µs  ${shard < 0 ? 'world  ' : nameOf(shard)}  ${text}`;
}

function aboutOf(subject: Subject | undefined): string {
  if (subject === undefined) return '';
  if (typeof subject === 'string') return ` ${subject}`;
  return ` ${subject.ends}: ${glimpse(subject.bytes)}`;
}

/** The first bytes, as text if they are that. */
function glimpse(bytes: Uint8Array): string {
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SHOWN_BYTES));
  const text = shown.toString('latin1');
  const more = bytes.length > SHOWN_BYTES ? '...' : '';
  return /^[\t\r\n -~]*$/.test(text) ? JSON.stringify(text) + more : shown.toString('hex') + more;
}
