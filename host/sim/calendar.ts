// The events to come and their times, in virtual ns: a binary heap. Of two things at one time the one that was put in
// first comes first.

/**
 * Whether an entry keeps the world going: always; or as an unref'd timer does, while a socket or a file keeps it going;
 * or never.
 */
export type Hold = 'always' | 'with others' | 'never';

export interface Entry {
  readonly atNs: number;
  readonly number: number;
  readonly run: () => void;
  hold: Hold;
  isOff: boolean;
}

export class Calendar {
  readonly #heap: Entry[] = [];
  #count = 0;
  readonly #holds: Record<Hold, number> = { always: 0, 'with others': 0, never: 0 };

  /** Whether anything is to come that holds the world like this. */
  holds(hold: Hold): boolean {
    return this.#holds[hold] !== 0;
  }

  add(atNs: number, run: () => void, hold: Hold = 'always'): Entry {
    const entry = { atNs, number: this.#count++, run, hold, isOff: false };
    this.#holds[hold]++;
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if ((heap[above] as Entry).atNs <= atNs) break;
      heap[at] = heap[above] as Entry;
      at = above;
    }
    heap[at] = entry;
    return entry;
  }

  /** It is not to happen. It leaves the heap when its time comes. */
  cancel(entry: Entry): void {
    if (entry.isOff) return;
    this.#holds[entry.hold]--;
    entry.isOff = true;
  }

  setHold(entry: Entry, hold: Hold): void {
    if (entry.isOff) return;
    this.#holds[entry.hold]--;
    this.#holds[hold]++;
    entry.hold = hold;
  }

  /** When the next thing happens; Infinity: nothing does. */
  get nextNs(): number {
    while (this.#heap.length !== 0 && (this.#heap[0] as Entry).isOff) this.#shift();
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : (this.#heap[0] as Entry).atNs;
  }

  /** Takes what is due out; undefined: nothing is. */
  takeDue(nowNs: number): Entry | undefined {
    if (this.nextNs > nowNs) return undefined;
    const entry = this.#shift();
    this.#holds[entry.hold]--;
    entry.isOff = true;
    return entry;
  }

  #shift(): Entry {
    const heap = this.#heap;
    const first = heap[0] as Entry;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Entry, heap[below] as Entry)) below++;
      if (!isBefore(heap[below] as Entry, last)) break;
      heap[at] = heap[below] as Entry;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atNs < b.atNs || (a.atNs === b.atNs && a.number < b.number);
}
