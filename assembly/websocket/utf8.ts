// === UTF-8, in pieces of any size ===
//
// RFC 3629: no character is longer than it must be, none is a surrogate, none is beyond U+10FFFF. The state says what
// may come next, so a piece may end inside of a character.
//
//   0 a character begins   1 2 3 so many bytes follow, each 80..BF
//   4 after E0: A0..BF, then 1     5 after ED: 80..9F, then 1
//   6 after F0: 90..BF, then 2     7 after F4: 80..8F, then 2
//
// Next: close.ts.

export const INVALID: u32 = 255;

const AFTER_E0: u32 = 4;
const AFTER_ED: u32 = 5;
const AFTER_F0: u32 = 6;
const AFTER_F4: u32 = 7;

/** The state behind [at, end), or INVALID. */
export function utf8Next(state: u32, at: usize, end: usize): u32 {
  assert(state <= AFTER_F4);
  assert(at <= end);
  while (at < end) {
    if (state == 0) {
      while (end - at >= 16 && i8x16.bitmask(v128.load(at)) == 0) at += 16;
      if (at == end) return 0;
    }
    const byte: u32 = load<u8>(at);
    state = state == 0 ? afterFirst(byte) : afterNext(state, byte);
    if (state == INVALID) return INVALID;
    at++;
  }
  return state;
}

/** The state behind the first byte of a character. */
function afterFirst(byte: u32): u32 {
  assert(byte < 256);
  if (byte < 0x80) return 0;
  if (byte < 0xc2 || byte > 0xf4) return INVALID;
  if (byte < 0xe0) return 1;
  if (byte == 0xe0) return AFTER_E0;
  if (byte == 0xed) return AFTER_ED;
  if (byte < 0xf0) return 2;
  if (byte == 0xf0) return AFTER_F0;
  return byte == 0xf4 ? AFTER_F4 : 3;
}

/** The state behind a further byte of a character. */
function afterNext(state: u32, byte: u32): u32 {
  assert(state != 0 && state <= AFTER_F4);
  assert(byte < 256);
  const least: u32 = state == AFTER_E0 ? 0xa0 : state == AFTER_F0 ? 0x90 : 0x80;
  const most: u32 = state == AFTER_ED ? 0x9f : state == AFTER_F4 ? 0x8f : 0xbf;
  if (byte < least || byte > most) return INVALID;
  if (state == 1) return 0;
  return state == 3 || state >= AFTER_F0 ? 2 : 1;
}
