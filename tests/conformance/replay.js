// Replays vectors on a core, and compares what it does with what was recorded (docs/abi.md, Conformance).
//
//   WRITE ---> memory
//   CALL ----> export --> [its imports read on in the vectors, up to RETURN] --> result: as recorded?
//   HASH ----> hash of the memory: as recorded?
//                                  all results and hashes --> digest: 16 hexadecimal digits
//
// It uses nothing but WebAssembly and typed arrays, so it runs in every engine, and in a page. A host in another
// language does the same.
//
// Next: main.js.

export const MAGIC = 'FSTRVEC1';

/** Events, by their first byte. From CALL on, an export is called: its number is added. */
export const OP = { END: 0, MEMORY: 1, INSTANCE: 2, WRITE: 3, HASH: 4, RETURN: 5, ENTER: 6, THREAD_SPAWN: 7, CALL: 16 };

const LANES = [
  { start: 0x811c9dc5, rotate: 13, factor: 5, add: 0xe6546b64 },
  { start: 0x9747b28c, rotate: 11, factor: 0x9e3779b1, add: 0x85ebca6b },
];

function mixed({ rotate, factor, add }, lane, word) {
  const low = lane ^ word;
  return (Math.imul((low << rotate) | (low >>> (32 - rotate)), factor) + add) | 0;
}

/** The hash of bytes, a multiple of four: two numbers of 32 bits. Words are little-endian, as the engines are. */
export function hashMemory(bytes) {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  const [first, second] = LANES;
  let [a, b] = [first.start, second.start];
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    a = mixed(first, a, word);
    b = mixed(second, b, word);
  }
  return [a >>> 0, b >>> 0];
}

/** Every result and every hash, in order, as one. */
class Digest {
  #lanes = LANES.map(({ start }) => start);

  add(word) {
    this.#lanes = LANES.map((lane, i) => mixed(lane, this.#lanes[i], word));
  }

  get text() {
    return this.#lanes.map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error('the vectors end too early');
    return this.bytes[this.at++];
  }

  number() {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  integer() {
    const value = this.number();
    return (value >>> 1) ^ -(value & 1);
  }

  float() {
    const value = this.number();
    if (value !== 0) return value - 1;
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  raw(count) {
    this.at += count;
    return this.bytes.subarray(this.at - count, this.at);
  }

  text() {
    return String.fromCharCode(...this.raw(this.number()));
  }
}

/** The core has done something else than when it was recorded. */
class Difference extends Error {}

/** Memories of earlier seeds, which are cleared: engines reserve much address space for each. */
class Memories {
  #made = new Map();
  #used = new Map();

  clear() {
    this.#used.clear();
  }

  take(pages) {
    const made = this.#made.get(pages) ?? [];
    const used = this.#used.get(pages) ?? 0;
    this.#made.set(pages, made);
    this.#used.set(pages, used + 1);
    made[used] ??= new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    new Uint8Array(made[used].buffer).fill(0);
    return made[used];
  }
}

class Replay {
  #module;
  #reader;
  #functions;
  #memories;
  #digest;
  #memory;
  #bytes;
  #instances = [];
  #writtenTo = 0; // where the last of the writes in a row ended
  calls = 0;
  #results;

  constructor(module, reader, functions, memories, digest, results) {
    this.#results = results;
    this.#module = module;
    this.#reader = reader;
    this.#functions = functions;
    this.#memories = memories;
    this.#digest = digest;
  }

  /** Takes what comes, up to END, or in an import up to RETURN. */
  run(end) {
    const reader = this.#reader;
    for (;;) {
      const op = reader.byte();
      if (op !== OP.WRITE) this.#writtenTo = 0; // the first of a row counts from 0
      if (op === end) return;
      if (op >= OP.CALL) this.#call(op - OP.CALL);
      else if (op === OP.WRITE) {
        const at = this.#writtenTo + reader.number();
        const bytes = reader.raw(reader.number());
        this.#bytes.set(bytes, at);
        this.#writtenTo = at + bytes.length;
      } else if (op === OP.HASH) for (const lane of hashMemory(this.#bytes)) this.#compare('hash of the memory', lane);
      else if (op === OP.MEMORY) {
        this.#memory = this.#memories.take(reader.number());
        this.#bytes = new Uint8Array(this.#memory.buffer);
      } else if (op === OP.INSTANCE) this.#instantiate();
      else throw new Difference(`the vectors have ${op} where the core has come back`);
    }
  }

  #instantiate() {
    const { exports } = new WebAssembly.Instance(this.#module, {
      env: { memory: this.#memory },
      uring: { enter: () => this.#import(OP.ENTER) },
      wasi: { 'thread-spawn': (shard) => this.#import(OP.THREAD_SPAWN, shard) },
    });
    this.#instances.push(exports);
  }

  /** The core calls: then so it did when it was recorded. */
  #import(op, ...args) {
    const reader = this.#reader;
    if (reader.byte() !== op) throw new Difference('the core has called an import that it did not call');
    for (const arg of args) this.#compare('argument of an import', arg, reader.integer());
    this.run(OP.RETURN);
    return op === OP.THREAD_SPAWN ? reader.integer() : undefined;
  }

  #call(index) {
    const reader = this.#reader;
    const { name, params, hasResult } = this.#functions[index];
    const instance = this.#instances[reader.number()];
    const args = Array.from(params, (type) => (type === 'd' ? reader.float() : reader.integer()));
    this.calls++;
    const result = instance[name](...args);
    this.#noteResult(name, result);
    if (hasResult) this.#compare(`result of ${name}(${args.join(', ')})`, result, reader.integer());
  }

  #noteResult(name, result) {
    const seen = this.#results.get(name) ?? new Set();
    this.#results.set(name, seen);
    seen.add(Math.min(result ?? 0, 1));
  }

  #compare(what, actual, expected = this.#word()) {
    this.#digest.add(actual);
    if ((actual | 0) !== (expected | 0)) throw new Difference(`${what}: ${actual}, not ${expected}`);
  }

  #word() {
    this.#reader.at += 4;
    return this.#reader.view.getUint32(this.#reader.at - 4, true);
  }
}

/**
 * Replays all seeds on a module. Returns the digest and counts. `results`: for each export that was called, what it has
 * returned, with 1 for all that is more than 0. `differences`: the first difference of each seed that has one.
 */
export function replay(module, bytes) {
  const file = new Reader(bytes);
  if (String.fromCharCode(...file.raw(MAGIC.length)) !== MAGIC) throw new Error(`these are no vectors: no ${MAGIC}`);
  const functions = Array.from({ length: file.number() }, () => ({
    name: file.text(),
    params: file.text(),
    hasResult: file.byte() === 1,
  }));
  const digest = new Digest();
  const memories = new Memories();
  const differences = [];
  const results = new Map();
  const seeds = file.number();
  let calls = 0;
  for (let i = 0; i < seeds; i++) {
    const seed = file.number();
    const events = file.raw(file.number());
    memories.clear();
    const run = new Replay(module, new Reader(events), functions, memories, digest, results);
    try {
      run.run(OP.END);
    } catch (error) {
      const isKnown = error instanceof Difference || error instanceof WebAssembly.RuntimeError;
      if (!isKnown && !(error instanceof RangeError)) throw error;
      digest.add(seed);
      differences.push({ seed, call: run.calls, what: error.message });
    }
    calls += run.calls;
  }
  return { hash: digest.text, seeds, calls, results, differences };
}
