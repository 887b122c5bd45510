// Modules for the translator alone: run by record.js, then repeated in C.
//
//   node tests/c/modules.js --write NAME DIRECTORY TRANSLATOR     NAME.wasm, and the same in C
//   node --import ./tests/c/record.js tests/c/modules.js NAME DIRECTORY
//
// `control` is control.wat. `instructions` has a function for every instruction that assembly/c knows. It is called
// with the operands at which C and Wasm could part. A function takes numbers as arguments and vectors at addresses 0
// and 16, and stores its result at 32. A result that is not a number is stored as 0: processors differ in its bits, and
// Wasm allows that.
//
// Next: replay.test.js.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const I32 = [0, 1, 2, 7, 31, 32, 33, 0x7fffffff, -0x80000000, -1, -2, 0x12345678, 255, 65536];
const I64 = [0n, 1n, 2n, 31n, 63n, 64n, 65n, 2n ** 63n - 1n, -(2n ** 63n), -1n, -2n, 0x123456789abcdef0n, 2n ** 32n];
const F64 = [
  0,
  -0,
  0.5,
  -0.5,
  1,
  -1,
  1.5,
  -1.5,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 52 - 0.5,
  2 ** 53,
  -(2 ** 53),
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
  1e300,
  -1e300,
  5e-324,
  Infinity,
  -Infinity,
  NaN,
];
const VALUES = { Int32: I32, Int64: I64, Float64: F64 };
const V128 = [0x00, 0x01, 0x0f, 0x10, 0x7f, 0x80, 0xff, 'count', 'mixed'];

/** Types of operands and of the result, from a name of Binaryen's: AddInt32, WrapInt64, ConvertSInt32ToFloat64. */
function typesOf(name, binaryen) {
  const known = { Int32: binaryen.i32, Int64: binaryen.i64, Float64: binaryen.f64 };
  const conversion = /(Int32|Int64|Float64)To(Int32|Int64|Float64)$/.exec(name);
  if (conversion !== null) return [known[conversion[1]], known[conversion[2]]];
  if (name === 'BitmaskVecI8x16') return [binaryen.v128, binaryen.i32];
  if (name === 'SplatVecI32x4') return [binaryen.i32, binaryen.v128];
  if (/Vec/.test(name)) return [binaryen.v128, binaryen.v128];
  const operand = known[/(Int32|Int64|Float64)$/.exec(name)[1]];
  if (name === 'WrapInt64') return [operand, binaryen.i32];
  if (/^Extend[SU]Int32$/.test(name)) return [operand, binaryen.i64];
  return [operand, /^(Eq|Ne|Lt|Le|Gt|Ge|EqZ)/.test(name) ? binaryen.i32 : operand];
}

async function instructions() {
  const { default: binaryen } = await import('assemblyscript/binaryen');
  const { INSTRUCTIONS } = await import('../../assembly/c/instructions.mjs');
  const module = new binaryen.Module();
  const { i32, i64, f64, v128 } = binaryen;
  module.setFeatures(binaryen.Features.All);
  module.addMemoryImport('0', 'env', 'memory', true);
  module.setMemory(1, 1, null, [], true);
  module.addMemoryImport('0', 'env', 'memory', true);
  const at = (address) => module.i32.const(address);
  const store = new Map([
    [i32, (value) => module.i32.store(0, 4, at(32), value)],
    [i64, (value) => module.i64.store(0, 8, at(32), value)],
    [f64, (value) => module.f64.store(0, 8, at(32), value)],
    [v128, (value) => module.v128.store(0, 16, at(32), value)],
  ]);
  const add = (name, types, result, vars, make) => {
    const operands = types.map((type, i) =>
      type === v128 ? module.v128.load(0, 16, at(16 * i)) : module.local.get(i, type),
    );
    const parameters = binaryen.createType(types.map((type) => (type === v128 ? i32 : type)));
    const body = store.get(result)(make(...operands));
    module.addFunction(name, parameters, binaryen.none, vars, body);
    module.addFunctionExport(name, name);
  };
  /** The value that `make` makes from operands; a NaN becomes 0. */
  const numeric =
    (count, make) =>
    (...operands) => {
      const get = () => module.local.get(count, f64);
      const set = module.local.tee(count, make(...operands), f64);
      return module.select(module.f64.eq(set, get()), get(), module.f64.const(0), f64);
    };
  const { Function: _, ...raw } = binaryen; // the makers of single instructions take numbers
  for (const [op, { name }] of INSTRUCTIONS.unary) {
    const [operand, result] = typesOf(name, binaryen);
    const make = (a) => raw._BinaryenUnary(module.ptr, op, a);
    add(name, [operand], result, result === f64 ? [f64] : [], result === f64 ? numeric(1, make) : make);
  }
  for (const [op, { name }] of INSTRUCTIONS.binary) {
    const [operand, result] = typesOf(name, binaryen);
    const make = (a, b) => raw._BinaryenBinary(module.ptr, op, a, b);
    add(name, [operand, operand], result, result === f64 ? [f64] : [], result === f64 ? numeric(2, make) : make);
  }
  for (const [op, { name }] of INSTRUCTIONS.shift) {
    add(name, [v128, i32], v128, [], (a, b) => raw._BinaryenSIMDShift(module.ptr, op, a, b));
  }
  if (!module.validate()) throw new Error('the module of instructions is not valid');
  return module;
}

async function control() {
  const { default: binaryen } = await import('assemblyscript/binaryen');
  const module = binaryen.parseText(readFileSync(new URL('control.wat', import.meta.url), 'utf8'));
  module.setFeatures(binaryen.Features.All);
  if (!module.validate()) throw new Error('control.wat is not valid');
  return module;
}

async function write(name, directory, translator) {
  const { toC } = await import(translator);
  const module = await { control, instructions }[name]();
  const { header, source } = toC(module);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `${name}.wasm`), module.emitBinary());
  writeFileSync(join(directory, 'featherstar_core.h'), header);
  writeFileSync(join(directory, 'featherstar_core.c'), source);
}

function vector(kind) {
  const lane = (i) => (kind === 'count' ? i : kind === 'mixed' ? (i * 37 + 11) & 255 : kind);
  return Uint8Array.from({ length: 16 }, (_, i) => lane(i));
}

/** Calls every export of `instructions` with every pair of operands. */
function callInstructions(call, names, bytes) {
  for (const name of names) {
    const isVector = /Vec/.test(name);
    const values = isVector ? V128 : VALUES[/(Int32|Int64|Float64)(To|$)/.exec(name)[1]];
    for (const a of values) {
      if (isVector) bytes.set(vector(a), 0);
      for (const b of values) {
        if (isVector) bytes.set(vector(b), 16);
        if (isVector)
          call(name, 0, Number(b) || 0); // a count, to the one that shifts
        else call(name, a, b);
      }
    }
  }
}

function callControl(call, names) {
  for (const name of names) for (let a = 0; a < 9; a++) for (let b = 0; b < 9; b++) call(name, a, b);
}

function run(name, directory) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  const module = new WebAssembly.Module(readFileSync(join(directory, `${name}.wasm`)));
  let next = 0;
  const host = {
    next: (value) => {
      bytes[128]++;
      return value + ++next;
    },
  };
  const { exports } = new WebAssembly.Instance(module, { env: { memory }, host });
  const call = (export_, ...values) => {
    try {
      exports[export_](...values);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error; // a trap: C must have the same
    }
  };
  const calls = { control: callControl, instructions: callInstructions }[name];
  calls(
    call,
    Object.keys(exports).filter((each) => typeof exports[each] === 'function'),
    bytes,
  );
}

const [first, ...others] = process.argv.slice(2);
if (first === '--write') await write(...others);
else run(first, ...others);
