// The choices of a run: each number that the world or Math.random() draws, in order. A run can be repeated with other
// values for some of them, so a search can tell which ones a failure needs.
//
//   Random --the seed's own word--> next() --the same, or another--> Random
//
// A choice is a word of 32 bits. 0 is the simplest one: no fault, no time on the wire, the first of several. Its key is
// what it decides, and how often that was decided before: `fault: freeze 12`. Keys survive changes better than indices
// do: if one choice falls away, the choices about other things keep theirs.
//
// Next: shrink.ts.

/** Decides a choice: its index in the run, the word that the seed draws, and its key. */
export type Decide = (index: number, own: number, key: string) => number;

/** A choice in words. */
export interface ChoiceRecord {
  /** Its index in the run. */
  readonly index: number;
  readonly key: string;
  /** The decision that it made. */
  readonly what: string;
  readonly word: number;
  /** The result: a number, or whether something happens. */
  readonly value: number | boolean;
  /** It is what the word 0 would have decided. */
  readonly isSimple: boolean;
  /** The world of the run, from 0; the number of its events before the choice, and its time, µs. */
  readonly world: number;
  readonly event: number;
  readonly atUs: number;
  /** For Math.random(): the lines of the program that have called it, the innermost first. */
  readonly callers: string;
}

const CALLERS_SHOWN = 3;
const OWN_FRAMES = new URL('.', import.meta.url).href;

/** The lines of the program that are running now, the innermost first. */
function callersOf(): string {
  const isOfProgram = (line: string) => /^\s+at /.test(line) && !line.includes(OWN_FRAMES) && !/\bnode:/.test(line);
  const frames = (new Error().stack ?? '').split('\n').filter(isOfProgram);
  return frames
    .map((line) => /([^/\\()\s]+:\d+):\d+\)?$/.exec(line)?.[1])
    .filter((place) => place !== undefined)
    .slice(0, CALLERS_SHOWN)
    .join(' < ');
}

export class Choices {
  readonly #decide: Decide;
  #count = 0;
  #key = '';
  #word = 0;
  readonly #counts = new Map<string, number>();
  /** Undefined: choices are not kept in words. */
  readonly #records: ChoiceRecord[] | undefined;
  /** The moment, in the world that chooses. */
  look: () => Pick<ChoiceRecord, 'world' | 'event' | 'atUs'> = () => ({ world: 0, event: 0, atUs: 0 });

  constructor(decide: Decide = (_index, own) => own, isRecorded = false) {
    this.#decide = decide;
    this.#records = isRecorded ? [] : undefined;
  }

  get count(): number {
    return this.#count;
  }

  get records(): readonly ChoiceRecord[] {
    return this.#records ?? [];
  }

  /** The word of the next choice. `own`: the seed's; `what`: the decision, in words. */
  next(own: number, what: string): number {
    const times = this.#counts.get(what) ?? 0;
    this.#counts.set(what, times + 1);
    this.#key = `${what} ${times}`;
    this.#word = this.#decide(this.#count++, own, this.#key) >>> 0;
    return this.#word;
  }

  /** The last choice has decided this. */
  tell(what: string, value: number | boolean, isSimple: boolean): void {
    const [index, key, word] = [this.#count - 1, this.#key, this.#word];
    if (this.#records === undefined) return;
    const callers = what.startsWith('Math.random()') ? callersOf() : '';
    this.#records.push({ index, key, what, word, value, isSimple, callers, ...this.look() });
  }
}
