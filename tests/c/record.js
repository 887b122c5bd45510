// Records what happens to a core, so that replay.c can repeat it: `node --import ./tests/c/record.js a.test.js`
//
// The flow: every new WebAssembly.Instance whose exports are those of dist/core.wasm (or of another module, see below)
// gets wrapped exports and imports. Around each call, all of its memory is compared with a copy. So a trace has the
// call and its result, and the bytes that the host and the core have written before and after it.
//
// FEATHERSTAR_TRACE_DIR is the directory of the traces, one file for each module. FEATHERSTAR_TRACE_MODULES has paths
// of the modules, with a comma between them. After FEATHERSTAR_TRACE_CALLS calls of one module the process ends. At
// most FEATHERSTAR_TRACE_EACH calls over one memory are recorded, so that all tests of a file get a share.
//
// Invariant: only one thread may use a memory that is recorded.
//
// Next: replay.c, which has the format, then replay.test.js.

import { openSync, readFileSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

const CALLS_MAX = Number(process.env.FEATHERSTAR_TRACE_CALLS);
const EACH_MAX = Number(process.env.FEATHERSTAR_TRACE_EACH);
const PIECE_BYTES = 1 << 20;
const BLOCK_BYTES = 2048; // compared at once
const KIND = { MEMORY: 1, INSTANCE: 2, HOST: 3, CALL: 4, CORE: 5, IMPORT: 6, RESUME: 7, RESULT: 8, TRAP: 9 };

/** A file of records: each a kind and numbers of 4 bytes, or of 8. */
class Trace {
  constructor(path) {
    this.file = openSync(path, 'w');
    this.bytes = Buffer.alloc(2 * PIECE_BYTES);
    this.at = 0;
    this.memories = new Map(); // memory -> { id, copy }
    this.instances = 0;
    this.calls = 0;
    this.depth = 0; // calls and imports that are open
  }

  room(bytes) {
    if (this.at + bytes <= this.bytes.length) return;
    this.flush();
    if (bytes > this.bytes.length) this.bytes = Buffer.alloc(bytes);
  }

  flush() {
    for (let from = 0; from < this.at; ) from += writeSync(this.file, this.bytes, from, this.at - from);
    this.at = 0;
  }

  u32(...numbers) {
    this.room(numbers.length * 4);
    for (const number of numbers) this.at = this.bytes.writeUInt32LE(number >>> 0, this.at);
  }

  /** An argument or a result, as 8 bytes: of a BigInt its bits, of a number (or undefined) a double. */
  value(value) {
    this.room(8);
    if (typeof value === 'bigint') this.at = this.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), this.at);
    else this.at = this.bytes.writeDoubleLE(value ?? 0, this.at);
  }

  raw(bytes) {
    this.room(bytes.length);
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  memory(memory) {
    const known = this.memories.get(memory);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(memory.buffer);
    const made = { id: this.memories.size, bytes, copy: new Uint8Array(bytes.length), calls: 0 };
    this.memories.set(memory, made);
    this.u32(KIND.MEMORY, bytes.length / 65536);
    return made;
  }

  /** Whether no more calls over a memory are recorded. */
  isOver(memory) {
    return this.depth === 0 && memory.calls >= EACH_MAX;
  }

  /** Writes the bytes of a memory that have changed since the last look. */
  changes(kind, { id, bytes, copy }) {
    const runs = [];
    const now = Buffer.from(bytes.buffer);
    for (let block = 0; block < bytes.length; block += BLOCK_BYTES) {
      if (now.compare(copy, block, block + BLOCK_BYTES, block, block + BLOCK_BYTES) === 0) continue;
      for (let at = block; at < block + BLOCK_BYTES; at += 8) {
        if (now.compare(copy, at, at + 8, at, at + 8) === 0) continue;
        if (runs.at(-1)?.end === at) runs.at(-1).end = at + 8;
        else runs.push({ at, end: at + 8 });
      }
    }
    this.u32(kind, id, runs.length);
    for (const { at, end } of runs) {
      const piece = bytes.slice(at, end);
      this.u32(at, piece.length);
      this.raw(piece);
      copy.set(piece, at);
    }
  }
}

const traces = new Map(); // a module's names of exports -> its trace
const names = (module) =>
  WebAssembly.Module.exports(module)
    .map(({ name }) => name)
    .join(' ');

function wrapImport(trace, state, index, call) {
  return (...values) => {
    if (trace.isOver(state.memory)) return call(...values);
    trace.changes(KIND.CORE, state.memory);
    trace.u32(KIND.IMPORT, index, values.length);
    for (const value of values) trace.value(value);
    const result = call(...values);
    trace.changes(KIND.HOST, state.memory);
    trace.u32(KIND.RESUME);
    trace.value(result);
    return result;
  };
}

function wrapExport(trace, state, index, call) {
  return (...values) => {
    if (trace.isOver(state.memory)) return call(...values);
    trace.calls++;
    state.memory.calls++;
    trace.changes(KIND.HOST, state.memory);
    trace.u32(KIND.CALL, state.id, index, values.length);
    for (const value of values) trace.value(value);
    trace.depth++;
    try {
      const result = call(...values);
      trace.changes(KIND.CORE, state.memory);
      trace.u32(KIND.RESULT);
      trace.value(result);
      return result;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error; // not the core's: the trace says so by its end
      trace.changes(KIND.CORE, state.memory);
      trace.u32(KIND.TRAP);
      throw error;
    } finally {
      trace.depth--;
      if (trace.depth === 0 && trace.calls >= CALLS_MAX) end();
    }
  };
}

/** Ends the process before the test is through, which uvu would call a failure. */
function end() {
  process.on('exit', () => {
    process.exitCode = 0;
  });
  process.exit(0);
}

/** In place of WebAssembly.Instance, also after `new`. */
function RecordedInstance(module, imports) {
  const trace = traces.get(names(module));
  if (trace === undefined) return new OriginalInstance(module, imports);
  const traced = trace.memory(imports.env.memory);
  if (trace.isOver(traced)) return new OriginalInstance(module, imports);
  const state = { id: trace.instances++, memory: traced };
  const wrapped = { ...imports };
  WebAssembly.Module.imports(module)
    .filter(({ kind }) => kind === 'function')
    .forEach(({ module: from, name }, i) => {
      wrapped[from] = { ...wrapped[from], [name]: wrapImport(trace, state, i, imports[from][name]) };
    });
  const instance = new OriginalInstance(module, wrapped);
  trace.u32(KIND.INSTANCE, state.memory.id);
  const functions = Object.entries(instance.exports).filter(([, each]) => typeof each === 'function');
  const exports = { ...instance.exports };
  functions.forEach(([name, call], i) => {
    exports[name] = wrapExport(trace, state, i, call);
  });
  return { exports };
}

const OriginalInstance = WebAssembly.Instance;
if (isMainThread) {
  for (const path of process.env.FEATHERSTAR_TRACE_MODULES.split(',')) {
    const trace = new Trace(join(process.env.FEATHERSTAR_TRACE_DIR, `${basename(path, '.wasm')}.trace`));
    traces.set(names(new WebAssembly.Module(readFileSync(path))), trace);
  }
  WebAssembly.Instance = RecordedInstance;
  process.on('exit', () => {
    for (const trace of traces.values()) trace.flush();
  });
}
