// Seeds for random tests: a failure prints the seed that repeats it.
//
// FEATHERSTAR_SEED=n runs every random test with that seed alone; otherwise each has its own fixed ones.

import { randomFrom, SEED } from '../http/random.js';

export const FULL = process.env.FEATHERSTAR_FULL === '1';

/** Runs `body(random)` for `count` seeds; `random(n)` returns integers from 0 to n - 1. */
export function forSeeds(count, body) {
  const seeds = process.env.FEATHERSTAR_SEED === undefined ? Array.from({ length: count }, (_, i) => SEED + i) : [SEED];
  for (const seed of seeds) {
    try {
      body(randomFrom(seed), seed);
    } catch (error) {
      console.error(`FEATHERSTAR_SEED=${seed} repeats this`);
      throw error;
    }
  }
}

/** An integer of up to 2^53, spread over all magnitudes up to 2^`bits`. */
export function anyMagnitude(random, bits) {
  const width = 1 + random(bits);
  return Math.floor((random(0x4000000) / 0x4000000) * 2 ** Math.min(width, 53)) * 2 ** Math.max(0, width - 53);
}
