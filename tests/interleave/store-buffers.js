// The stores of each shard that the other does not see yet: what a processor may do that one order of all accesses does
// not show.
//
//   sc       none: a store is visible at once
//   tso      x86: a plain store waits in a queue, and stores become visible in the order in which they were made
//   relaxed  as on ARM: stores to different words become visible in any order, but an atomic store becomes visible
//            after all earlier ones; plain stores may overtake it
//
// A shard always sees its own stores. What it waits for until it goes on:
//
//   an atomic store          tso: all its stores are visible; then this one is visible at once
//   a read-modify-write      the same, in both models
//   an atomic load           tso: nothing, as it is a plain load; relaxed: its atomic stores are visible
//
// How: memory has what all see. While a shard runs, its own stores lie on top of it (show), and are taken off again
// (hide). Between two switch points a shard makes one access to shared words at most, so what it has stored there is
// found where that access was.
//
// What is left out: loads that run early. A step of the kernel makes no store visible, so a shard may sleep with some
// on their way: more can happen here than on a machine.
//
// Next: machine.js.

import { Access } from './transform.js';

export const MODELS = ['sc', 'tso', 'relaxed'];
const FIRST = 2; // choices 0 and 1 are the shards

export class StoreBuffers {
  #u32;
  #model;
  #stores = [[], []]; // { word, values, isAtomic }, oldest first
  #under = []; // what memory has where the stores of the running shard lie
  #made; // { from, to, isAtomic }: the words that the running shard stores late

  constructor(u32, model) {
    this.#u32 = u32;
    this.#model = model;
  }

  /** FIRST + 2 * i + shard: store i of that shard becomes visible. */
  choices() {
    return this.#stores.flatMap((stores, shard) =>
      stores.flatMap((store, i) => (this.#mayDrain(stores, store, i) ? [FIRST + 2 * i + shard] : [])),
    );
  }

  #mayDrain(stores, { word, values, isAtomic }, i) {
    if (i === 0) return true;
    if (this.#model !== 'relaxed' || isAtomic) return false;
    const isApart = (other) => other.word + other.values.length <= word || word + values.length <= other.word;
    return stores.slice(0, i).every(isApart);
  }

  /** True if that was a choice of this file. */
  drain(choice) {
    if (choice < FIRST) return false;
    const [store] = this.#stores[choice & 1].splice((choice - FIRST) >> 1, 1);
    this.#u32.set(store.values, store.word);
    return true;
  }

  /** Which shard's store it is, and where, for people. */
  describe(choice) {
    return { shard: choice & 1, at: this.#stores[choice & 1][(choice - FIRST) >> 1].word * 4 };
  }

  /** Whether an access of `shard` has to wait. */
  delays(shard, access) {
    if ((access & Access.ATOMIC) === 0 || this.#isLate(access)) return false;
    const stores = this.#stores[shard];
    if ((access & Access.STORE) !== 0) return stores.length > 0;
    return this.#model === 'relaxed' && stores.some(({ isAtomic }) => isAtomic);
  }

  /** Whether it is a store that becomes visible later. */
  #isLate(access) {
    if (this.#model === 'sc' || (access & Access.STORE) === 0 || (access & Access.MODIFY) !== 0) return false;
    return this.#model === 'relaxed' || (access & Access.ATOMIC) === 0;
  }

  /** Before `shard` runs. `stop`: the access that it makes then, if it stands before one. */
  show(shard, stop) {
    for (const { word, values } of this.#stores[shard]) this.#cover(word, values);
    if (stop === undefined || !this.#isLate(stop.access)) return;
    const { at, access } = stop;
    const bytes = access >> Access.BYTES;
    if (at % 4 !== 0 || bytes % 4 !== 0) throw new Error(`a store of ${bytes} bytes at ${at}: not whole words`);
    const [from, to] = [at >>> 2, (at + bytes) >>> 2];
    this.#made = { from, to, isAtomic: (access & Access.ATOMIC) !== 0 };
    this.#cover(from, this.#u32.slice(from, to));
  }

  #cover(word, values) {
    this.#under.push({ word, values: this.#u32.slice(word, word + values.length) });
    this.#u32.set(values, word);
  }

  /** After `shard` has run. */
  hide(shard) {
    const made = this.#made;
    const store = made && { word: made.from, values: this.#u32.slice(made.from, made.to), isAtomic: made.isAtomic };
    this.#made = undefined;
    for (const { word, values } of this.#under.splice(0).reverse()) this.#u32.set(values, word);
    if (store !== undefined) this.#stores[shard].push(store);
  }

  get areVisible() {
    return this.#stores.every((stores) => stores.length === 0);
  }

  save() {
    return this.#stores.map((stores) => [...stores]);
  }

  restore(state) {
    this.#stores = state.map((stores) => [...stores]);
  }

  /** Every word of the state. */
  each(take) {
    for (const stores of this.#stores) {
      take(stores.length);
      for (const { word, values, isAtomic } of stores) {
        take(word * 2 + Number(isAtomic));
        for (const value of values) take(value);
      }
    }
  }
}
