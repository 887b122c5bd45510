// === The mask of a client's payload ===
//
// Each byte is XORed with one of the mask's four, in turn. Both are little-endian here, so the mask's first byte is its
// lowest. 64 bytes at a time, then 16, then 4, where they lie, and never a byte beyond.

/** Unmasks bytes, of which the first one is under the mask's lowest byte. Returns whether one is not ASCII. */
export function unmask(at: usize, bytes: u32, mask: u32): bool {
  assert(at != 0);
  assert(bytes <= <u32>i32.MAX_VALUE);
  const end = at + bytes;
  const masks = i32x4.splat(mask);
  let all = i64x2.splat(0);
  for (; end - at >= 64; at += 64) {
    const a = v128.xor(v128.load(at), masks);
    const b = v128.xor(v128.load(at, 16), masks);
    const c = v128.xor(v128.load(at, 32), masks);
    const d = v128.xor(v128.load(at, 48), masks);
    v128.store(at, a);
    v128.store(at, b, 16);
    v128.store(at, c, 32);
    v128.store(at, d, 48);
    all = v128.or(all, v128.or(v128.or(a, b), v128.or(c, d)));
  }
  for (; end - at >= 16; at += 16) {
    const clear = v128.xor(v128.load(at), masks);
    v128.store(at, clear);
    all = v128.or(all, clear);
  }
  let rest: u32 = 0;
  for (; end - at >= 4; at += 4) {
    const clear = load<u32>(at) ^ mask;
    store<u32>(at, clear);
    rest |= clear;
  }
  for (; at < end; at++) {
    const clear = (load<u8>(at) ^ mask) & 0xff;
    store<u8>(at, clear);
    rest |= clear;
    mask >>= 8;
  }
  return i8x16.bitmask(all) != 0 || (rest & 0x80808080) != 0;
}
