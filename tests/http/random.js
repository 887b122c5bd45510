// Reproducible chance. A failed run prints its seed; FEATHERSTAR_SEED repeats it.

export const SEED = Number(process.env.FEATHERSTAR_SEED ?? 20260726) >>> 0;

/** mulberry32: answers integers from 0 to limit - 1. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit);
  };
}
