// The simulator's source of chance: xoshiro128** 1.1 (Blackman and Vigna), its state filled from the seed by
// splitmix32. All in 32-bit integers, so each engine gets the same numbers.

import type { Choices } from './choices.js';

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let word = state ^ (state >>> 16);
    word = Math.imul(word, 0x21f0aaad);
    word ^= word >>> 15;
    word = Math.imul(word, 0x735a2d97);
    return word ^ (word >>> 15);
  };
}

export class Random {
  readonly #choices: Choices | undefined;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /**
   * `seed`: a whole number from 0 to 2 ** 53 - 1. `stream`: numbers that have nothing to do with another stream's.
   * `choices`: where each number is recorded, and may be another.
   */
  constructor(seed: number, stream: number, choices?: Choices) {
    this.#choices = choices;
    const low = splitmix32(seed % 2 ** 32);
    const high = splitmix32(Math.floor(seed / 2 ** 32) ^ Math.imul(stream + 1, 0x85ebca6b));
    this.#a = low() ^ high();
    this.#b = low() ^ high();
    this.#c = low() ^ high();
    this.#d = (low() ^ high()) | 1; // never all zeros
    for (let i = 0; i < 8; i++) this.word(); // similar seeds are to differ from the first number on
  }

  /** 32 bits, as an unsigned number. */
  word(): number {
    const b = this.#b;
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
    this.#c ^= this.#a;
    this.#d ^= b;
    this.#b = b ^ this.#c;
    this.#a ^= this.#d;
    this.#c ^= b << 9;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** A whole number from 0 to `count` - 1. `what`: the decision, in words. */
  below(count: number, what = 'a number'): number {
    return this.between(0, count - 1, what);
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number, what = 'a number'): number {
    if (most <= least) return least;
    const more = Math.floor((this.#choose(what) / 2 ** 32) * (most - least + 1));
    this.#choices?.tell(what, least + more, more === 0);
    return least + more;
  }

  /** True in one of `count` cases. The simplest choice is true. */
  isFirst(count: number, what: string): boolean {
    if (count <= 1) return true;
    const isTrue = Math.floor((this.#choose(what) / 2 ** 32) * count) === 0;
    this.#choices?.tell(what, isTrue, isTrue);
    return isTrue;
  }

  /** True in this share of all cases; 0 takes no number, so a fault that is off changes nothing. */
  chance(share: number, what = 'a chance'): boolean {
    if (share <= 0) return false;
    const isTrue = (~this.#choose(what, true) >>> 0) / 2 ** 32 < share;
    this.#choices?.tell(what, isTrue, !isTrue);
    return isTrue;
  }

  /** A whole number between two powers of 2 times `least`, up to `most`. Each doubling is equally likely. */
  doubling(least: number, most: number, what: string): number {
    const unit = Math.max(1, Math.floor(least));
    let doublings = 1;
    while (unit * 2 ** (doublings + 1) <= most) doublings++;
    const from = unit * 2 ** this.below(doublings, `${what}: its doublings`);
    return this.between(from, 2 * from, what);
  }

  /** The result of Math.random(): [0, 1), 53 bits. */
  fraction(what = 'Math.random()', whatLow = 'the low bits of Math.random()'): number {
    const high = this.#choose(what) >>> 5;
    this.#choices?.tell(what, high / 2 ** 27, high === 0);
    const low = this.#choose(whatLow) >>> 6;
    this.#choices?.tell(whatLow, low, low === 0);
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** The next word; `isInverted`: a chance, whose simplest word, 0, says no. */
  #choose(what: string, isInverted = false): number {
    const own = isInverted ? ~this.word() >>> 0 : this.word();
    return this.#choices === undefined ? own : this.#choices.next(own, what);
  }
}
