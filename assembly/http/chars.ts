// === Classes of bytes ===
//
// Each function looks at 16 bytes at once and returns a bit mask. Bit i is set if byte i stops the run, that is, does
// not belong to the class. So `ctz(mask)` is the length of the run, and 0 means that all 16 belong.
//
// Classes without a pattern are looked up by halves of the byte: ROWS, indexed by the low half, has bit h set if the
// byte (h << 4 | low) belongs. BIT, indexed by the high half, is 1 << h, and 0 from 0x80 on. Two swizzles and one AND
// test 16 bytes. The vectors are constants in the code, the row of 0 in the lowest byte, so no table is in memory. The
// tests compare every class with its definition in the RFC, for all 256 bytes.
//
// Next: target.ts.

export const HTAB: u32 = 0x09;
export const LF: u32 = 0x0a;
export const CR: u32 = 0x0d;
export const SP: u32 = 0x20;
export const COLON: u32 = 0x3a;
export const CRLF: u32 = 0x0a0d; // as a little-endian u16

const BIT: v128 = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
// tchar, RFC 9110 5.6.2: letters, digits and !#$%&'*+-.^_`|~
const TOKEN_ROWS: v128 = i64x2(0xfcfcfcfcfcf8fce8, 0x70f454d054f4f8f8);
// reg-name, RFC 3986 3.2.2: letters, digits and -._~!$&'()*+,;=%
const REG_NAME_ROWS: v128 = i64x2(0xfcfcfcfcf8f8fca8, 0x70d45c545cf4fcfc);
// what the URL standard leaves as it is in a host's name: small letters, digits and -._ (there are more)
const PLAIN_HOST_ROWS: v128 = i64x2(0xc8c8c8c8c8c8c888, 0x6044444040c0c8c8);
// and in a path and a query: letters, digits and -._~!$&()*+,;=:@%/?[]|
const PLAIN_TARGET_ROWS: v128 = i64x2(0xf8fcfcfcf8f8fcb8, 0x7cd47cd47cfcfcfc);

/** All bits of a byte are set if it does not belong to the class. */
function outsiders(bytes: v128, rows: v128): v128 {
  const half = i8x16.splat(0x0f);
  const low = v128.and(bytes, half);
  const high = v128.and(i16x8.shr_u(bytes, 4), half);
  const member = v128.and(i8x16.swizzle(rows, low), i8x16.swizzle(BIT, high));
  return i8x16.eq(member, i8x16.splat(0));
}

function outside(bytes: v128, rows: v128): u32 {
  return i8x16.bitmask(outsiders(bytes, rows));
}

/** Bytes that end a token: a method or a field name. */
export function tokenStops(at: usize): u32 {
  assert(at != 0);
  return outside(v128.load(at), TOKEN_ROWS);
}

/** Bytes that end the name of a host. */
export function regNameStops(at: usize): u32 {
  assert(at != 0);
  return outside(v128.load(at), REG_NAME_ROWS);
}

/** Bytes that end what is plain in the name of a host: a hyphen that another follows does, for xn-- may be there. */
export function plainHostStops(at: usize): u32 {
  assert(at != 0);
  const hyphen = i8x16.splat(0x2d);
  const bytes = v128.load(at);
  const pairs = v128.and(i8x16.eq(bytes, hyphen), i8x16.eq(v128.load(at + 1), hyphen));
  return i8x16.bitmask(v128.or(outsiders(bytes, PLAIN_HOST_ROWS), pairs));
}

export function dots(at: usize): u32 {
  assert(at != 0);
  return i8x16.bitmask(i8x16.eq(v128.load(at), i8x16.splat(0x2e)));
}

export function digits(at: usize): u32 {
  assert(at != 0);
  return i8x16.bitmask(i8x16.lt_u(i8x16.sub(v128.load(at), i8x16.splat(0x30)), i8x16.splat(10)));
}

/** Bytes that end what is plain in a target: a slash does if a dot follows, or a %, for %2e is a dot in segments. */
export function plainTargetStops(at: usize): u32 {
  assert(at != 0);
  const bytes = v128.load(at);
  const next = v128.load(at + 1);
  const dot = v128.or(i8x16.eq(next, i8x16.splat(0x2e)), i8x16.eq(next, i8x16.splat(0x25)));
  const slash = i8x16.eq(bytes, i8x16.splat(0x2f));
  return i8x16.bitmask(v128.or(outsiders(bytes, PLAIN_TARGET_ROWS), v128.and(slash, dot)));
}

/** Bytes that may not be in a field value: all controls but HTAB. */
export function valueStops(at: usize): u32 {
  assert(at != 0);
  const bytes = v128.load(at);
  const control = v128.andnot(i8x16.le_u(bytes, i8x16.splat(0x1f)), i8x16.eq(bytes, i8x16.splat(<i8>HTAB)));
  return i8x16.bitmask(v128.or(control, i8x16.eq(bytes, i8x16.splat(0x7f))));
}

/** Bytes that may not be in a request target: all but visible ASCII, and '#', for no client sends a fragment. */
export function targetStops(at: usize): u32 {
  assert(at != 0);
  const bytes = v128.load(at);
  const visible = i8x16.gt_s(bytes, i8x16.splat(0x20)); // signed: 0x80 and up are below 0x20
  const refused = v128.or(i8x16.eq(bytes, i8x16.splat(0x7f)), i8x16.eq(bytes, i8x16.splat(0x23)));
  return i8x16.bitmask(v128.andnot(visible, refused)) ^ 0xffff;
}

/** The question marks, of which the first ends the path. */
export function queryMarks(at: usize): u32 {
  assert(at != 0);
  return i8x16.bitmask(i8x16.eq(v128.load(at), i8x16.splat(0x3f)));
}

/** The 8 bytes at an address with letters in lower case. Exact for letters, and for any byte from 0x20 to 0x3f. */
export function lower8(at: usize): u64 {
  assert(at != 0);
  return load<u64>(at) | 0x2020202020202020;
}

export function lower4(at: usize): u32 {
  assert(at != 0);
  return load<u32>(at) | 0x20202020;
}

export function isDigit(byte: u32): bool {
  assert(byte < 256);
  return byte - 0x30 < 10;
}

/** tchar, one byte at a time. */
export function isToken(byte: u32): bool {
  assert(byte < 256);
  if (byte >= 128) return false;
  const row: u64 = byte < 64 ? 0x03ff6cfa00000000 : 0x57ffffffc7fffffe;
  return ((row >> (byte & 63)) & 1) != 0;
}

/** A byte that may be in a field value, one at a time. */
export function isValue(byte: u32): bool {
  assert(byte < 256);
  return byte == HTAB || (byte >= SP && byte != 0x7f);
}
