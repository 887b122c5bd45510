// Records what hosts and core say to each other in simulations, as vectors (docs/abi.md, Conformance).
//
//   simulate() --> host --write to memory--> [compared with a shadow] --> WRITE
//                       --export--> [this file] --> core               --> CALL, result
//                       <--import-- [this file] <-- core               --> IMPORT ... RETURN
//
// A shadow copy has the memory as the core left it. Before each call, all that differs from the shadow was written by
// the host. After each call the shadow is brought up to date. The import that is called in the middle of an export does
// both, the other way round.
//
// Next: replay.js, which reads what is written here.

import binaryen from 'assemblyscript/binaryen';
import { usePlatform } from '../../dist/host/core/core.js';
import { runSeed } from './program.js';
import { hashMemory, MAGIC, OP } from './replay.js';

const CHUNK_BYTES = 16_384; // compared at once; a page is a multiple
const LINE_BYTES = 64; // then in these
const GAP_BYTES = 4; // so many equal bytes end a run of different ones
const CALLS_PER_HASH = 64;

/** The functions that the module exports: names, types of parameters (i: i32, d: f64), whether there is a result. */
function functionsOf(wasm) {
  const module = binaryen.readBinary(wasm);
  return Array.from({ length: module.getNumExports() }, (_, i) => binaryen.getExportInfo(module.getExportByIndex(i)))
    .filter(({ kind }) => kind === binaryen.ExternalFunction)
    .map(({ name, value }) => {
      const { params, results } = binaryen.getFunctionInfo(module.getFunction(value));
      const types = binaryen.expandType(params).map((type) => (type === binaryen.f64 ? 'd' : 'i'));
      return { name, params: types.join(''), hasResult: results !== binaryen.none };
    });
}

/** Bytes that grow, with the numbers of the format. */
class Writer {
  #bytes = Buffer.alloc(65536);
  #length = 0;

  #room(count) {
    if (this.#length + count > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length + count)]);
    }
    const at = this.#length;
    this.#length += count;
    return at;
  }

  byte(value) {
    const at = this.#room(1);
    this.#bytes[at] = value;
  }

  /** A whole number from 0 to 2 ** 53 - 1, seven bits a byte, the lowest first. */
  number(value) {
    let rest = value;
    while (rest >= 128) {
      this.byte((rest % 128) | 128);
      rest = Math.floor(rest / 128);
    }
    this.byte(rest);
  }

  /** An i32: small ones of either sign are short. */
  integer(value) {
    this.number(((value << 1) ^ (value >> 31)) >>> 0);
  }

  /** An f64: whole ones are short. */
  float(value) {
    const isWhole = Number.isSafeInteger(value) && value >= 0 && value < Number.MAX_SAFE_INTEGER;
    this.number(isWhole ? value + 1 : 0);
    if (isWhole) return;
    const at = this.#room(8);
    this.#bytes.writeDoubleLE(value, at);
  }

  raw(bytes) {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
  }

  text(text) {
    this.number(text.length);
    this.raw(Buffer.from(text, 'latin1'));
  }

  get bytes() {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** The recording of one simulation. */
class Recording {
  out = new Writer();
  calls = 0;
  #functions;
  #memories = new Map();
  #memory;
  #instances = 0;

  constructor(functions) {
    this.#functions = functions;
  }

  /** A memory that is seen for the first time, or again. The host has written to it already. */
  #use(memory) {
    const bytes = Buffer.from(memory.buffer);
    if (this.#memories.has(memory)) return;
    this.out.byte(OP.MEMORY);
    this.out.number(bytes.length / 65536);
    this.#memory = { bytes, shadow: Buffer.alloc(bytes.length), end: 0 };
    this.#memories.set(memory, this.#memory);
  }

  instantiate(module, imports) {
    const { memory } = imports.env;
    this.#use(memory);
    this.out.byte(OP.INSTANCE);
    const number = this.#instances++;
    const { exports } = new WebAssembly.Instance(module, {
      env: { memory },
      uring: { enter: () => this.#import(OP.ENTER, imports.uring.enter) },
      wasi: { 'thread-spawn': (shard) => this.#import(OP.THREAD_SPAWN, imports.wasi['thread-spawn'], shard) },
    });
    return Object.fromEntries(
      this.#functions.map(({ name }, i) => [name, (...args) => this.#call(number, i, exports[name], args)]),
    );
  }

  #call(instance, index, run, args) {
    const { out } = this;
    const { params, hasResult } = this.#functions[index];
    this.#recordWrites();
    out.byte(OP.CALL + index);
    out.number(instance);
    for (const [i, type] of [...params].entries()) {
      if (type === 'd') out.float(args[i]);
      else out.integer(args[i] | 0);
    }
    const result = run(...args);
    if (hasResult) out.integer(result);
    this.#followCore();
    if (++this.calls % CALLS_PER_HASH === 0) this.recordHash();
    return result;
  }

  #import(op, run, ...args) {
    this.#followCore();
    this.out.byte(op);
    for (const arg of args) this.out.integer(arg);
    const result = run(...args);
    this.#recordWrites();
    this.out.byte(OP.RETURN);
    if (op === OP.THREAD_SPAWN) this.out.integer(result);
    return result;
  }

  /** Calls `found(start, end)` for each run of bytes that differ from the shadow. */
  #differences(found) {
    const { bytes, shadow } = this.#memory;
    let start = -1;
    let end = 0;
    for (let chunk = 0; chunk < bytes.length; chunk += CHUNK_BYTES) {
      const to = chunk + CHUNK_BYTES;
      if (bytes.compare(shadow, chunk, to, chunk, to) === 0) continue;
      for (let at = chunk; at < to; at++) {
        if (at % LINE_BYTES === 0 && bytes.compare(shadow, at, at + LINE_BYTES, at, at + LINE_BYTES) === 0) {
          at += LINE_BYTES - 1;
          continue;
        }
        if (bytes[at] === shadow[at]) continue;
        if (start >= 0 && at - end >= GAP_BYTES) {
          found(start, end);
          start = -1;
        }
        if (start < 0) start = at;
        end = at + 1;
      }
    }
    if (start >= 0) found(start, end);
  }

  #recordWrites() {
    const { bytes, shadow } = this.#memory;
    let from = 0;
    this.#differences((start, end) => {
      this.out.byte(OP.WRITE);
      this.out.number(start - from);
      this.out.number(end - start);
      this.out.raw(bytes.subarray(start, end));
      bytes.copy(shadow, start, start, end);
      from = end;
    });
  }

  #followCore() {
    const { bytes, shadow } = this.#memory;
    this.#differences((start, end) => bytes.copy(shadow, start, start, end));
  }

  recordHash() {
    this.out.byte(OP.HASH);
    for (const lane of hashMemory(this.#memory.bytes)) {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(lane);
      this.out.raw(bytes);
    }
  }

  end() {
    this.#recordWrites();
    this.recordHash();
    this.out.byte(OP.END);
  }
}

/** Records the simulations of seeds 1 to `seeds` on this module. Returns the bytes of the vectors. */
export async function record(wasm, seeds) {
  const functions = functionsOf(wasm);
  const file = new Writer();
  file.raw(Buffer.from(MAGIC, 'latin1'));
  file.number(functions.length);
  for (const { name, params, hasResult } of functions) {
    file.text(name);
    file.text(params);
    file.byte(hasResult ? 1 : 0);
  }
  file.number(seeds);
  let recording;
  usePlatform({
    compile: () => new WebAssembly.Module(wasm),
    instantiate: (module, imports) => recording.instantiate(module, imports),
  });
  for (let seed = 1; seed <= seeds; seed++) {
    recording = new Recording(functions);
    await runSeed(seed);
    recording.end();
    file.number(seed);
    file.number(recording.out.bytes.length);
    file.raw(recording.out.bytes);
  }
  return file.bytes;
}
