// The guide of a search. It decides which run is next: a fresh seed, or a branch of an earlier run.
//
//   fresh seeds --> 32 of them in a row have reached no new state --> half of the runs are branches
//   branch:  | choices of a run that was the first to reach a state | other choices, drawn anew |
//
// A state is a name of sometimes() that held, once, twice, up to four times, and so on. A run is continued the more
// often, the fewer runs have reached its state. So a search climbs a staircase of rare states step by step, where fresh
// seeds would need all steps at once. AFL chooses inputs in this way, and FoundationDB and Antithesis worlds.
//
// Invariant: what is next depends on the results of the runs up to LAG before it, in their order. So a search repeats,
// however many processes it has.
//
// Next: search.ts.

import type { Decide } from './choices.js';
import { Random } from './random.js';

const GUIDE_STREAM = 7;
const BRANCH_STREAM = 8;
const LAG = 32;
const QUIET = 32; // so many fresh seeds without a new state, and branches begin
const BRANCH_SHARE = 0.5;

/** From the choice `at` on, choices come from the stream `stream`. */
export type Branch = readonly [at: number, stream: number];

/** A run to make. The branches are in the order of their choices. */
export interface RunPlan {
  readonly seed: number;
  readonly branches: readonly Branch[];
}

/** The result of a run, as far as it guides. */
export interface RunOutcome {
  readonly sometimes: readonly (readonly [string, number])[];
  readonly choices: number;
}

/** The choices of a run with branches. For one run only, as it goes along with it. */
export function branchBy(branches: readonly Branch[]): Decide {
  let next = 0;
  let random: Random | undefined;
  return (index, own) => {
    for (let branch = branches[next]; branch !== undefined && index >= branch[0]; branch = branches[++next]) {
      random = new Random(branch[1], BRANCH_STREAM);
    }
    return random === undefined ? own : random.word();
  };
}

/** A run that was the first to reach some states. */
interface Parent {
  readonly plan: RunPlan;
  readonly choices: number;
  readonly states: readonly string[];
}

export class Guide {
  readonly #random: Random;
  readonly #plans: RunPlan[] = [];
  readonly #outcomes = new Map<number, RunOutcome>();
  readonly #parents: Parent[] = [];
  /** How many runs have reached each state. */
  readonly #counts = new Map<string, number>();
  #fresh: number;
  #learned = 0; // so many runs, from the first
  #quiet = 0; // so many fresh seeds in a row have reached nothing new

  /** `from`: the first seed. */
  constructor(from: number) {
    this.#fresh = from;
    this.#random = new Random(from, GUIDE_STREAM);
  }

  /** False: the next plan needs the result of a run that goes on. */
  get isReady(): boolean {
    for (let i = this.#learned; i <= this.#plans.length - LAG; i++) if (!this.#outcomes.has(i)) return false;
    return true;
  }

  /** The next run; its number is how often this was called before. */
  next(): RunPlan {
    const index = this.#plans.length;
    while (this.#learned <= index - LAG) this.#learn();
    const isBranch = this.#parents.length > 0 && this.#quiet >= QUIET && this.#random.chance(BRANCH_SHARE);
    const plan = isBranch ? this.#branch() : { seed: this.#fresh++, branches: [] };
    this.#plans.push(plan);
    return plan;
  }

  /** The result of a run. */
  add(index: number, outcome: RunOutcome): void {
    this.#outcomes.set(index, outcome);
  }

  #learn(): void {
    const plan = this.#plans[this.#learned] as RunPlan;
    const { sometimes, choices } = this.#outcomes.get(this.#learned) as RunOutcome;
    this.#outcomes.delete(this.#learned++);
    const news: string[] = [];
    for (const state of statesOf(sometimes)) {
      const count = this.#counts.get(state) ?? 0;
      this.#counts.set(state, count + 1);
      if (count === 0) news.push(state);
    }
    if (news.length > 0) this.#parents.push({ plan, choices, states: news });
    if (plan.branches.length === 0) this.#quiet = news.length > 0 ? 0 : this.#quiet + 1;
  }

  #branch(): RunPlan {
    const { plan, choices } = this.#parent();
    const [first = 0] = plan.branches.at(-1) ?? [];
    const at = this.#random.between(first, Math.max(first, choices - 1));
    return { seed: plan.seed, branches: [...plan.branches, [at, this.#random.word()]] };
  }

  /** The rarer the rarest of its states, the likelier. */
  #parent(): Parent {
    const weights = this.#parents.map(({ states }) => {
      return 1 / Math.min(...states.map((state) => this.#counts.get(state) as number));
    });
    let at = this.#random.fraction() * weights.reduce((sum, weight) => sum + weight, 0);
    for (const [index, weight] of weights.entries()) {
      at -= weight;
      if (at < 0) return this.#parents[index] as Parent;
    }
    return this.#parents.at(-1) as Parent; // by rounding
  }
}

/** A state for each name that held, and one more for each doubling of how often. */
function statesOf(sometimes: RunOutcome['sometimes']): string[] {
  return sometimes.filter(([, count]) => count > 0).map(([name, count]) => `${32 - Math.clz32(count)} ${name}`);
}
