// The format of values between shards: JSON-like ones, bytes, and what JSON leaves out. The encoder (encoder.ts) writes
// it, and the decoder (decoder.ts) reads it out of shared memory. There is no structured clone and no message port.
//
//   value    tag u8, then
//              I8 1 byte | I32 4 | F64 8
//              LATIN1 length + bytes | UTF16 length + 2 bytes each
//              BYTES length + bytes | VIEW kind u8, length + bytes
//              ARRAY, SET count + values | OBJECT, MAP count + (key, value)...
//              BIGINT, NEGATIVE its absolute value as a hexadecimal string | DATE a number
//              | REGEXP two | ERROR, DOM_EXCEPTION an ARRAY of its parts
//              SHARED block u32, length u32 (shared-bytes.ts)
//              SIGNAL u32, the number by which its abort will come (call-signals.ts)
//   length,  u8, or 255 and a u32: a call with an argument or two shall fit the 40 bytes of a ring slot
//   count
//   arguments   count + values
//
// All numbers are little-endian, as in Wasm.

import { FeatherstarError } from '../base/errors.js';

export const Tag = {
  UNDEFINED: 0,
  NULL: 1,
  TRUE: 2,
  FALSE: 3,
  I8: 4,
  I32: 5,
  F64: 6,
  LATIN1: 7,
  UTF16: 8,
  BYTES: 9,
  VIEW: 10,
  ARRAY: 11,
  OBJECT: 12,
  BIGINT: 13,
  DATE: 14,
  MAP: 15,
  SET: 16,
  REGEXP: 17,
  ERROR: 18,
  DOM_EXCEPTION: 19,
  SIGNAL: 20,
  NEGATIVE: 21,
  SHARED: 22,
} as const;

export const DEPTH_MAX = 64;
export const LONG = 255; // a length or count that follows as u32

/** The classes of a VIEW, by number. */
export const VIEWS = [
  ArrayBuffer,
  DataView,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

export function codecError(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CODEC', text);
}

export const LARGE_BYTES = 4096; // from here on, what a copy costs is the copying
const FILLS_AT_ONCE = !('Deno' in globalThis); // there, fill() is a loop

/**
 * Copies bytes into shared memory or out of it. On shared memory V8's set() and slice() copy word by word, half as fast
 * as memcpy. A fill() with bytes of the same length is one memcpy.
 */
export function copyBytes(target: Buffer, at: number, source: Uint8Array): void {
  if (FILLS_AT_ONCE && source.length >= LARGE_BYTES) target.fill(source, at, at + source.length);
  else target.set(source, at);
}

declare global {
  // Node's Buffer has these; @types/node leaves them out. They take offsets, not views, and make no objects.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    ucs2Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
    ucs2Write(text: string, offset: number, length: number): number;
  }
}
