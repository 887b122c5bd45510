// The C for each instruction of Wasm: an operator if C has one that means the same, else a function of prelude.c.
//
// The names on the left are Binaryen's (AddInt32). Integers are unsigned in the C: those may wrap around.
// An instruction that is missing here is one that the translator refuses.
//
// Next: function.mjs, then wasm-to-c.mjs.

import binaryen from 'assemblyscript/binaryen';

const { i32, i64, f64, v128 } = binaryen;

export const TYPES = new Map([
  [i32, { c: 'uint32_t', name: 'i32' }],
  [i64, { c: 'uint64_t', name: 'i64' }],
  [f64, { c: 'double', name: 'f64' }],
  [v128, { c: 'v128', name: 'v128' }],
]);

/** An operand as it stands in C: `text`; `isAtom`, if it needs no brackets; `isTruth`, if it is an `int`, 0 or 1. */
export const atom = (text) => ({ text, isAtom: true, isTruth: false });
const compound = (text) => ({ text, isAtom: false, isTruth: false });
const truth = (text) => ({ text, isAtom: false, isTruth: true });

/** An operand in brackets, if it needs them; truths become numbers of 32 bits. */
export function bracket({ text, isAtom, isTruth }) {
  if (isTruth) return `(uint32_t)(${text})`;
  return isAtom ? text : `(${text})`;
}

/** An operand as a condition. */
export const condition = ({ text, isAtom, isTruth }) => (isTruth ? text : isAtom ? `${text} != 0` : `(${text}) != 0`);
export const negation = ({ text, isAtom, isTruth }) =>
  isTruth ? `!(${text})` : isAtom ? `${text} == 0` : `(${text}) == 0`;

const infix = (sign) => (a, b) => compound(`${bracket(a)} ${sign} ${bracket(b)}`);
const compare = (sign) => (a, b) => truth(`${bracket(a)} ${sign} ${bracket(b)}`);
const compareSigned = (type, sign) => (a, b) => truth(`(${type})${bracket(a)} ${sign} (${type})${bracket(b)}`);
const call =
  (name) =>
  (...operands) =>
    atom(`${name}(${operands.map(({ text }) => text).join(', ')})`);
const cast = (types) => (a) => atom(`(${types.join(')(')})${bracket(a)}`);

/** A plain shift, if the count is a constant that C allows. */
const shift = (sign, name, bits) => (a, b) => {
  const count = /^(\d+)u(ll)?$/.exec(b.text);
  return count !== null && Number(count[1]) < bits ? compound(`${bracket(a)} ${sign} ${count[1]}`) : call(name)(a, b);
};

/** A plain division, if the divisor is a constant, and not 0. */
const divide = (sign, name) => (a, b) =>
  /^[1-9]\d*u(ll)?$/.test(b.text) ? compound(`${bracket(a)} ${sign} ${bracket(b)}`) : call(name)(a, b);

function integers(bits) {
  const suffix = `Int${bits}`;
  const prefix = `i${bits}`;
  const signed = `int${bits}_t`;
  return {
    [`Add${suffix}`]: infix('+'),
    [`Sub${suffix}`]: infix('-'),
    [`Mul${suffix}`]: infix('*'),
    [`And${suffix}`]: infix('&'),
    [`Or${suffix}`]: infix('|'),
    [`Xor${suffix}`]: infix('^'),
    [`Shl${suffix}`]: shift('<<', `${prefix}_shl`, bits),
    [`ShrU${suffix}`]: shift('>>', `${prefix}_shr_u`, bits),
    [`ShrS${suffix}`]: call(`${prefix}_shr_s`),
    [`RotL${suffix}`]: call(`${prefix}_rotl`),
    [`RotR${suffix}`]: call(`${prefix}_rotr`),
    [`DivU${suffix}`]: divide('/', `${prefix}_div_u`),
    [`RemU${suffix}`]: divide('%', `${prefix}_rem_u`),
    [`DivS${suffix}`]: call(`${prefix}_div_s`),
    [`RemS${suffix}`]: call(`${prefix}_rem_s`),
    [`Eq${suffix}`]: compare('=='),
    [`Ne${suffix}`]: compare('!='),
    [`LtU${suffix}`]: compare('<'),
    [`LeU${suffix}`]: compare('<='),
    [`GtU${suffix}`]: compare('>'),
    [`GeU${suffix}`]: compare('>='),
    [`LtS${suffix}`]: compareSigned(signed, '<'),
    [`LeS${suffix}`]: compareSigned(signed, '<='),
    [`GtS${suffix}`]: compareSigned(signed, '>'),
    [`GeS${suffix}`]: compareSigned(signed, '>='),
  };
}

const BINARY = {
  ...integers(32),
  ...integers(64),
  AddFloat64: infix('+'),
  SubFloat64: infix('-'),
  MulFloat64: call('f64_mul'),
  DivFloat64: infix('/'),
  MinFloat64: call('f64_min'),
  MaxFloat64: call('f64_max'),
  EqFloat64: compare('=='),
  NeFloat64: compare('!='),
  LtFloat64: compare('<'),
  LeFloat64: compare('<='),
  GtFloat64: compare('>'),
  GeFloat64: compare('>='),
  AndVec128: call('v128_and'),
  OrVec128: call('v128_or'),
  XorVec128: call('v128_xor'),
  AndNotVec128: call('v128_andnot'),
  AddVecI8x16: call('i8x16_add'),
  SubVecI8x16: call('i8x16_sub'),
  EqVecI8x16: call('i8x16_eq'),
  NeVecI8x16: call('i8x16_ne'),
  LtUVecI8x16: call('i8x16_lt_u'),
  LeUVecI8x16: call('i8x16_le_u'),
  GtUVecI8x16: call('i8x16_gt_u'),
  GeUVecI8x16: call('i8x16_ge_u'),
  LtSVecI8x16: call('i8x16_lt_s'),
  LeSVecI8x16: call('i8x16_le_s'),
  GtSVecI8x16: call('i8x16_gt_s'),
  GeSVecI8x16: call('i8x16_ge_s'),
  SwizzleVecI8x16: call('i8x16_swizzle'),
};

const UNARY = {
  ClzInt32: call('i32_clz'),
  CtzInt32: call('i32_ctz'),
  PopcntInt32: call('i32_popcnt'),
  EqZInt32: (a) => truth(negation(a)),
  ClzInt64: call('i64_clz'),
  CtzInt64: call('i64_ctz'),
  PopcntInt64: call('i64_popcnt'),
  EqZInt64: (a) => truth(negation(a)),
  ExtendSInt32: cast(['uint64_t', 'int64_t', 'int32_t']),
  ExtendUInt32: cast(['uint64_t']),
  WrapInt64: cast(['uint32_t']),
  CeilFloat64: call('f64_ceil'),
  FloorFloat64: call('f64_floor'),
  ConvertSInt32ToFloat64: cast(['double', 'int32_t']),
  ConvertUInt32ToFloat64: cast(['double']),
  ConvertSInt64ToFloat64: cast(['double', 'int64_t']),
  ConvertUInt64ToFloat64: cast(['double']),
  TruncSatSFloat64ToInt32: call('i32_trunc_sat_f64_s'),
  TruncSatUFloat64ToInt32: call('i32_trunc_sat_f64_u'),
  TruncSatSFloat64ToInt64: call('i64_trunc_sat_f64_s'),
  TruncSatUFloat64ToInt64: call('i64_trunc_sat_f64_u'),
  BitmaskVecI8x16: call('i8x16_bitmask'),
  SplatVecI32x4: call('i32x4_splat'),
};

const SHIFT = { ShrUVecI16x8: call('i16x8_shr_u') };

const RMW = {
  AtomicRMWAdd: 'add',
  AtomicRMWSub: 'sub',
  AtomicRMWAnd: 'and',
  AtomicRMWOr: 'or',
  AtomicRMWXor: 'xor',
  AtomicRMWXchg: 'xchg',
};

/** By Binaryen's number, as it stands in an expression. */
const byNumber = (table) => new Map(Object.entries(table).map(([name, entry]) => [binaryen[name], { name, entry }]));
export const INSTRUCTIONS = {
  binary: byNumber(BINARY),
  unary: byNumber(UNARY),
  shift: byNumber(SHIFT),
  rmw: byNumber(RMW),
};

/** Divisions trap, also those that look like functions without effects. */
export const canTrap = (name) => /^(Div|Rem)[SU]Int/.test(name);

const LOADS = 'i32: 4 1s 1u 2s 2u, i64: 8 1s 1u 2s 2u 4s 4u, f64: 8, v128: 16';
const STORES = 'i32: 4 1 2, i64: 8 1 2 4, f64: 8, v128: 16';

/** `i64: 4u` -> i64_load32_u, for all of a list like the two above. */
function accesses(kind, list) {
  const names = new Map();
  for (const part of list.split(', ')) {
    const [type, variants] = part.split(': ');
    const [full, ...parts] = variants.split(' ');
    names.set(`${type} ${full}`, `${type}_${kind}`);
    for (const variant of parts) {
      const sign = variant.slice(1);
      names.set(`${type} ${variant}`, `${type}_${kind}${Number(variant[0]) * 8}${sign && `_${sign}`}`);
    }
  }
  return names;
}

const loads = accesses('load', LOADS);
const stores = accesses('store', STORES);

/** The function that loads, or undefined. */
export function loadName({ type, bytes, isSigned, isAtomic }) {
  const name = TYPES.get(type)?.name;
  const full = loads.get(`${name} ${bytes}`);
  if (isAtomic) return full !== undefined && /^i/.test(name) ? `${name}_atomic_load` : undefined;
  return full ?? loads.get(`${name} ${bytes}${isSigned ? 's' : 'u'}`);
}

/** The function that stores, or undefined. */
export function storeName({ valueType, bytes, isAtomic }) {
  const name = TYPES.get(valueType)?.name;
  if (isAtomic) return loads.has(`${name} ${bytes}`) && /^i/.test(name) ? `${name}_atomic_store` : undefined;
  return stores.get(`${name} ${bytes}`);
}

/** A constant. */
export function literal(type, value) {
  if (type === i32) return atom(`${value >>> 0}u`);
  if (type === i64) return atom(`${BigInt.asUintN(64, BigInt(value))}ull`);
  if (type === v128) {
    const half = (at) => value.slice(at, at + 8).reduceRight((all, byte) => all * 256n + BigInt(byte), 0n);
    return atom(`v128_const(0x${half(0).toString(16)}ull, 0x${half(8).toString(16)}ull)`);
  }
  if (Number.isNaN(value)) return atom('(double)NAN');
  if (!Number.isFinite(value)) return atom(value < 0 ? '(double)-INFINITY' : '(double)INFINITY');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const digits = String(Math.abs(value));
  const number = `${sign}${digits}${/[.e]/.test(digits) ? '' : '.0'}`;
  return atom(sign ? `(${number})` : number);
}
