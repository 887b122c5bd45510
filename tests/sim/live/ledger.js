// The open things of a live run, and the states that it has reached. One ledger for all shards of a world: a module
// that a shard module imports is there once.
//
//   track(what, promise) --> open until the world heals: then it must settle within `boundMs`, or the seed fails

import { runtime } from 'featherstar';

/** Errors that a well-behaved program has to expect while things go wrong. */
const EXPECTED = new Set(
  ['SYSTEM', 'CLOSED', 'PEER_DOWN', 'TIMEOUT', 'FULL', 'BODY', 'ABORTED', 'DEADLOCK'].map(
    (code) => `FEATHERSTAR_${code}`,
  ),
);

class Ledger {
  world;
  plan;
  hasHealed = false;
  /** How often each state was reached. */
  counts = new Map();
  /** Errors by their codes. */
  #open = new Set();

  begin(world, plan) {
    this.world = world;
    this.plan = plan;
    this.hasHealed = false;
    this.#open.clear();
  }

  end() {
    this.world = undefined;
    this.plan = undefined;
    this.#open.clear();
  }

  /** From now on every promise that is open, and each that will be, must settle within the plan's bound. */
  heal() {
    this.hasHealed = true;
    const open = [...this.#open];
    this.#open.clear();
    const settled = (promise) => promise.then(nothing, nothing);
    return Promise.all(open.map(({ what, promise }) => this.#within(what, settled(promise))));
  }

  /** A shard has died, and what its code awaited with it. */
  bury(shard) {
    for (const entry of this.#open) if (entry.shard === shard) this.#open.delete(entry);
  }

  #within(what, promise) {
    return this.world.within(this.plan.boundMs, what, promise);
  }

  track(what, promise) {
    if (this.hasHealed) return this.#within(what, promise);
    const entry = { what, promise, shard: runtime().self };
    this.#open.add(entry);
    const close = () => this.#open.delete(entry);
    promise.then(close, close);
    return promise;
  }

  sometimes(state) {
    this.counts.set(state, (this.counts.get(state) ?? 0) + 1);
  }
}

function nothing() {}

export const ledger = new Ledger();
export const sometimes = (state) => ledger.sometimes(state);
export const track = (what, promise) => ledger.track(what, promise);

export const draw = (count) => Math.floor(Math.random() * count);
export const drawn = (values) => values[draw(values.length)];
export const chance = (share) => Math.random() < share;
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class GivenUp extends Error {}

/** Rethrows what no program has to expect. */
export function tolerate(error) {
  if (error instanceof GivenUp || error?.message === 'given up') return sometimes('given up');
  if (error?.name === 'AbortError' || error?.name === 'TimeoutError') return sometimes('given up');
  if (error?.code === 'FEATHERSTAR_CODEC' && error.message.includes('does not fit the arena')) {
    return sometimes('an error too large for the arena');
  }
  if (!EXPECTED.has(error?.code)) throw error;
  return sometimes(`error ${error.code.slice('FEATHERSTAR_'.length)}`);
}
