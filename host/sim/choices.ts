// The choices of a run: each number that the world or Math.random() draws, in order. A run can be repeated with other
// values for some of them, so a search can tell which ones a failure needs.
//
//   Random --the seed's own word--> next() --the same, or another--> Random
//
// A choice is a word of 32 bits. 0 is the simplest one: no fault, no time on the wire, the first of several.
//
// Next: shrink.ts.

/** Decides a choice: its index in the run, and the word that the seed draws. */
export type Decide = (index: number, own: number) => number;

/** A choice in words. */
export interface ChoiceRecord {
  /** Its index in the run. */
  readonly index: number;
  /** The decision that it made. */
  readonly what: string;
  /** The result: a number, or whether something happens. */
  readonly value: number | boolean;
  /** The number of events in the trace before it. */
  readonly event: number;
  /** The virtual time, ns. */
  readonly atNs: number;
}

export class Choices {
  readonly #decide: Decide;
  #words = new Uint32Array(4096);
  #count = 0;
  /** Undefined: choices are not kept in words. */
  readonly #records: ChoiceRecord[] | undefined;
  /** The event and the time of a world at the moment. */
  look: () => { event: number; atNs: number } = () => ({ event: 0, atNs: 0 });

  constructor(decide: Decide = (_index, own) => own, isRecorded = false) {
    this.#decide = decide;
    this.#records = isRecorded ? [] : undefined;
  }

  get count(): number {
    return this.#count;
  }

  /** The words that were used. */
  get words(): Uint32Array {
    return this.#words.slice(0, this.#count);
  }

  get records(): readonly ChoiceRecord[] {
    return this.#records ?? [];
  }

  /** The word of the next choice; `own`: the seed's. */
  next(own: number): number {
    const index = this.#count++;
    if (index === this.#words.length) {
      const longer = new Uint32Array(2 * index);
      longer.set(this.#words);
      this.#words = longer;
    }
    const word = this.#decide(index, own) >>> 0;
    this.#words[index] = word;
    return word;
  }

  /** The last choice has decided this. */
  tell(what: string, value: number | boolean): void {
    this.#records?.push({ index: this.#count - 1, what, value, ...this.look() });
  }
}
