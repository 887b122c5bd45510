// The events, in order: a hash over all of them, and the text of the last ones, which helps to understand a failure. An
// event is four whole numbers and the time; they become words only when the trace is read.

/** Kinds of events, with the words for the two numbers behind them. */
const EVENTS = {
  turn: ['turn', 'completions', 'runnable'],
  job: ['runs what a timer or a caller left', 'number', ''],
  submit: ['asks', 'opcode', 'file'],
  complete: ['is answered', 'operation', 'result'],
  ring: ['rings', 'shard', ''],
  rung: ['is rung', '', ''],
  timer: ['sets a timer of JavaScript', 'ms', 'number'],
  freeze: ['freezes', 'µs', ''],
  thaw: ['thaws', '', ''],
  spawn: ['is started in a new thread', '', ''],
  die: ['is killed', '', ''],
  leave: ['ends its thread', '', ''],
  exit: ['learns that a thread has ended', 'of shard', ''],
  arrive: ['gets bytes', 'connection', 'bytes'],
  fin: ['gets the end', 'connection', ''],
  reset: ['is reset', 'connection', ''],
  disk: ['writes to a file', 'position', 'bytes'],
  sync: ['syncs', '', ''],
  crash: ['loses power', '', ''],
  fault: ['is given a fault', 'opcode', 'errno'],
  note: ['note', '', ''],
} as const;

export type EventName = keyof typeof EVENTS;
const NAMES = Object.keys(EVENTS) as EventName[];
const numbers = Object.fromEntries(NAMES.map((name, i) => [name, i])) as Record<EventName, number>;

const WORDS = 4; // kind, shard, two numbers

export class Trace {
  readonly #kept: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  readonly #texts = new Map<number, string>();
  readonly #startNs: number;
  #count = 0;
  #h1 = 0x9e3779b9 | 0;
  #h2 = 0x85ebca6b | 0;

  constructor(kept: number, startNs: number) {
    this.#kept = kept;
    this.#words = new Int32Array(kept * WORDS);
    this.#times = new Float64Array(kept);
    this.#startNs = startNs;
  }

  get count(): number {
    return this.#count;
  }

  add(kind: EventName, nowNs: number, shard: number, first = 0, second = 0): void {
    const number = numbers[kind];
    this.#mix((nowNs % 2 ** 32) | 0);
    this.#mix((nowNs / 2 ** 32) | 0);
    this.#mix((number << 16) | (shard & 0xffff));
    this.#mix(first | 0);
    this.#mix(second | 0);
    const row = this.#count++ % this.#kept;
    this.#times[row] = nowNs;
    const at = row * WORDS;
    this.#words[at] = number;
    this.#words[at + 1] = shard;
    this.#words[at + 2] = first;
    this.#words[at + 3] = second;
  }

  /** An event in words of the program's own. */
  note(nowNs: number, shard: number, text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    this.remark(nowNs, shard, text);
  }

  /** An event with a text that is not part of the hash: it may name files of this machine. */
  remark(nowNs: number, shard: number, text: string): void {
    this.#texts.delete(this.#count - this.#kept);
    this.#texts.set(this.#count, text);
    this.add('note', nowNs, shard);
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

  /** The last events, oldest first, a line each. */
  lines(): string[] {
    const first = Math.max(0, this.#count - this.#kept);
    return Array.from({ length: this.#count - first }, (_, i) => this.#line(first + i));
  }

  #line(number: number): string {
    const row = number % this.#kept;
    const at = row * WORDS;
    const [text, first, second] = EVENTS[NAMES[this.#words[at] as number] as EventName];
    const time = (((this.#times[row] as number) - this.#startNs) / 1000).toFixed(1).padStart(12);
    const shard = this.#words[at + 1] as number;
    const who = shard < 0 ? 'world  ' : `shard ${shard}`;
    const details = [
      first === '' ? '' : `${first} ${this.#words[at + 2]}`,
      second === '' ? '' : `${second} ${this.#words[at + 3]}`,
      this.#texts.get(number) ?? '',
    ];
    return `${time} µs  ${who}  ${[text, ...details].filter((part) => part !== '').join(' ')}`;
  }
}
