// A queue of anything, first in, first out.
//
//   slots:  [ . . A B C D . . ]     a ring: the length is a power of two, and doubles when the ring is full
//                 head -->
//
// Array.shift() moves every entry that is left. With thousands of entries each shift() is a memmove of them all, so a
// queue that a peer can make long must not use it. Here each operation is O(1), except takeAll() and takeWhere().
//
// Next: byte-queue.ts.

const NO_SLOTS: never[] = [];
const FIRST_SLOTS = 4;
const KEPT_SLOTS = 64; // an empty queue does not keep more

export class Queue<T> {
  #slots: (T | undefined)[] = NO_SLOTS;
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The entry that shift() would return; undefined if the queue is empty. */
  get first(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#head];
  }

  /** Adds an entry at the end. */
  push(entry: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = entry;
    this.#length++;
  }

  /** Puts an entry in front of all others. */
  unshift(entry: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#slots.length - 1);
    this.#slots[this.#head] = entry;
    this.#length++;
  }

  /** Takes the first entry; undefined if the queue is empty. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const entry = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    if (this.#length === 0 && this.#slots.length > KEPT_SLOTS) this.clear();
    return entry;
  }

  /** Takes all entries, in order. */
  takeAll(): T[] {
    const all: T[] = [];
    for (let left = this.#length; left > 0; left--) all.push(this.shift() as T);
    return all;
  }

  /** Takes the entries that `isWanted` picks out, from wherever they stand. */
  takeWhere(isWanted: (entry: T) => boolean): T[] {
    const taken: T[] = [];
    for (const entry of this.takeAll()) {
      if (isWanted(entry)) taken.push(entry);
      else this.push(entry);
    }
    return taken;
  }

  clear(): void {
    this.#slots = NO_SLOTS;
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const old = this.#slots;
    const slots: (T | undefined)[] = [];
    for (let i = 0; i < this.#length; i++) slots.push(old[(this.#head + i) & (old.length - 1)]);
    for (let size = Math.max(FIRST_SLOTS, old.length * 2); slots.length < size; ) slots.push(undefined);
    this.#slots = slots;
    this.#head = 0;
  }
}
