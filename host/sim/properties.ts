// Statements about a program, inside of the program: on any shard, in a shard module or in a library. Outside of a
// simulation they do nothing.
//
//   always, unreachable   must be true: else the simulation fails at once
//   sometimes, reachable  should be true in some seed: a search reports those that never were
//   buggify               takes the rare way, if the seed says so
//   note                  puts a line into the trace
//
// Next: session.ts.

import { FeatherstarError } from '../base/errors.js';
import { stage } from './replace.js';
import { currentSession } from './session.js';
import type { World } from './world.js';

const BUGGIFY_SHARE = 0.25; // of the cases, if a name is on

function inside(): World | undefined {
  return stage()?.world;
}

function broken(within: World, text: string, details: unknown): never {
  const more = details === undefined ? '' : `: ${detailText(details)}`;
  const error = new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}${more}`);
  within.fail(error); // also if the program catches it
  throw error;
}

function detailText(details: unknown): string {
  return typeof details === 'string' ? details : (JSON.stringify(details) ?? String(details));
}

/** States that `condition` is true whenever this is called. If it is not, the simulation fails, with `details`. */
export function always(condition: boolean, name: string, details?: unknown): void {
  const within = inside();
  if (within === undefined) return;
  const isPromise = (condition as unknown) instanceof Promise; // which is true, whatever it resolves with
  if (isPromise) broken(within, `always(${JSON.stringify(name)}) must get a boolean, got a promise: await it`, details);
  if (!condition) broken(within, `always(${JSON.stringify(name)}) does not hold`, details);
}

/** States that no run comes here. If one does, the simulation fails, with `details`. */
export function unreachable(name: string, details?: unknown): void {
  const within = inside();
  if (within !== undefined) broken(within, `unreachable(${JSON.stringify(name)}) was reached`, details);
}

/**
 * States that `condition` is true in some run. The report has how often it was; a search names those that never were.
 */
export function sometimes(condition: boolean, name: string): void {
  const within = inside();
  if (within === undefined) return;
  for (const counts of [within.sometimes, currentSession()?.sometimes]) {
    counts?.set(name, (counts.get(name) ?? 0) + (condition ? 1 : 0));
  }
}

/** States that some run comes here: `sometimes(true, name)`. */
export function reachable(name: string): void {
  sometimes(true, name);
}

/**
 * True if the program should take a rare way now, such as a timeout of 0 or a batch of one. A seed switches each name
 * on or off (`faults.buggify` is the share of names that are on). A name that is on returns true in `share` of the
 * cases; default 0.25.
 */
export function buggify(name: string, share = BUGGIFY_SHARE): boolean {
  const within = inside();
  if (within === undefined) return false;
  let isOn = within.buggified.get(name);
  if (isOn === undefined) {
    isOn = within.random.chance(within.faults.buggify, `buggify(${JSON.stringify(name)}) is on`);
    within.buggified.set(name, isOn);
  }
  return isOn && within.random.chance(share, `buggify(${JSON.stringify(name)})`);
}

/** Puts a line into the trace, and so into its hash. */
export function note(text: string): void {
  inside()?.remark(String(text));
}
