// Finds out when a failure became inevitable, and which choices it needs.
//
//   locate   keep the first n choices, draw the others anew, several times: does it still fail the same way?
//            bisect n, from "seldom" to "nearly always"
//   shrink   set choices to 0, the simplest value: all about one thing, then blocks, ever smaller ones. They stay so
//            if the run still fails the same way
//
// "Delta debugging" (Zeller and Hildebrandt, 2002) is the idea of the second; Hypothesis shrinks choices like this,
// too.
//
// Next: explain.ts.

import type { ChoiceRecord, Decide } from './choices.js';
import { Random } from './random.js';
import { real } from './real.js';
import type { RunResult } from './runs.js';

/** Runs the program with these choices. */
export type RunWith = (decide: Decide) => Promise<RunResult>;

/** The failure was not inevitable after `from` choices, and is after `to`. */
export interface Located {
  readonly from: number;
  readonly to: number;
  /** The time was over before it was as close as it can be. */
  readonly isOutOfTime: boolean;
}

export interface Shrunk {
  readonly kept: Kept;
  /** The time was over: fewer choices may matter. */
  readonly isOutOfTime: boolean;
}

/** The words of the choices that matter, by their keys; all others are 0. */
export type Kept = ReadonlyMap<string, number>;

/** How long a failure is located. */
export const LOCATE_MS = 60_000;
const BRANCH_STREAM = 5;
const BRANCHES = 12; // other continuations of a prefix
const MISSES_MAX = 1; // so few may end otherwise, and the failure is still called inevitable
const WIDTH = 1 / 200; // of the run: no bisection goes further

/** Choices of a run that keeps some, and has the simplest value for all others. */
export function keepOnly(kept: Kept): Decide {
  return (_index, _own, key) => kept.get(key) ?? 0;
}

/** Whether the failure still comes after the first `count` choices, whatever is chosen later. */
async function isInevitable(run: RunWith, signature: string, count: number): Promise<boolean> {
  let misses = 0;
  for (let branch = 0; branch < BRANCHES && misses <= MISSES_MAX; branch++) {
    const random = new Random(1 + branch * 7919 + count, BRANCH_STREAM);
    const { failure } = await run((index, own) => (index < count ? own : random.word()));
    if (failure?.signature !== signature) misses++;
  }
  return misses <= MISSES_MAX;
}

/** Bisects when the failure of a run of `total` choices became inevitable, for `timeMs` of real time. */
export async function locate(run: RunWith, signature: string, total: number, timeMs: number): Promise<Located> {
  const untilMs = real.now() + timeMs;
  let [from, to] = [0, total];
  if (await isInevitable(run, signature, 0)) return { from: 0, to: 0, isOutOfTime: false };
  const isWide = () => to - from > Math.max(1, total * WIDTH);
  while (isWide() && real.now() < untilMs) {
    const middle = (from + to) >> 1;
    if (await isInevitable(run, signature, middle)) to = middle;
    else from = middle;
  }
  return { from, to, isOutOfTime: isWide() };
}

class Shrinker {
  readonly #run: RunWith;
  readonly #signature: string;
  readonly #untilMs: number;
  /** The choices that do not have their simplest value, in the order of the run. */
  current: readonly ChoiceRecord[];

  constructor(run: RunWith, signature: string, records: readonly ChoiceRecord[], timeMs: number) {
    this.#run = run;
    this.#signature = signature;
    this.#untilMs = real.now() + timeMs;
    this.current = records.filter(({ isSimple }) => !isSimple);
  }

  get isOver(): boolean {
    return real.now() > this.#untilMs;
  }

  /** Goes on with these if the run fails the same way with them alone. */
  async try(candidate: readonly ChoiceRecord[]): Promise<boolean> {
    if (candidate.length >= this.current.length) return false;
    const kept = new Map(candidate.map(({ key, word }) => [key, word]));
    const { failure } = await this.#run(keepOnly(kept));
    if (failure?.signature !== this.#signature) return false;
    this.current = candidate;
    return true;
  }

  /** Choices of one group have the simplest value together. The largest groups come first. */
  async byGroup(groupOf: (choice: ChoiceRecord) => string): Promise<void> {
    const counts = new Map<string, number>();
    for (const choice of this.current) counts.set(groupOf(choice), (counts.get(groupOf(choice)) ?? 0) + 1);
    for (const [group] of [...counts].sort(([, a], [, b]) => b - a)) {
      if (this.isOver) return;
      await this.try(this.current.filter((choice) => groupOf(choice) !== group));
    }
  }

  /** Blocks, ever smaller ones. From the end they change less of what comes after them; the start finds other ones. */
  async byBlocks(isFromEnd: boolean): Promise<void> {
    for (let size = this.current.length >> 1; size >= 1; size >>= 1) {
      let at = isFromEnd ? this.current.length - size : 0;
      while (at > -size && at < this.current.length && !this.isOver) {
        const hasGone = await this.try(this.current.filter((_, i) => i < at || i >= at + size));
        if (isFromEnd) at -= size;
        else if (!hasGone) at += size;
      }
    }
  }
}

/** Sets as many choices as it can to 0, within `timeMs` of real time. `records`: those of the run that failed. */
export async function shrink(
  run: RunWith,
  signature: string,
  records: readonly ChoiceRecord[],
  { to }: Located,
  timeMs: number,
): Promise<Shrunk> {
  const shrinker = new Shrinker(run, signature, records, timeMs);
  // The choices behind the point of no return may often be any.
  for (const share of [0, 1 / 8, 1 / 2]) {
    const until = to + (records.length - to) * share;
    if (await shrinker.try(shrinker.current.filter(({ index }) => index < until))) break;
  }
  await shrinker.byGroup(({ what }) => what.replaceAll(/\d+/g, 'N')); // about all shards and connections
  await shrinker.byGroup(({ what }) => what);
  for (let before = Number.POSITIVE_INFINITY; shrinker.current.length < before && !shrinker.isOver; ) {
    before = shrinker.current.length;
    await shrinker.byBlocks(true);
    await shrinker.byBlocks(false);
  }
  const kept = new Map(shrinker.current.map(({ key, word }) => [key, word]));
  return { kept, isOutOfTime: shrinker.isOver && kept.size > 0 };
}
