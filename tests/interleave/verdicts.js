// What the test files of this folder say of a bound, and of a mutant.
//
// Next: main.js.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { decode, encode, follow } from './explore.js';
import { commandOf, explore, machineOf } from './main.js';
import { MUTANTS } from './mutants.js';

/** Every order of steps ends with everything delivered. */
export function isHeld(bound) {
  const { failure, exhausted, ends } = explore(bound);
  assert.is(failure, null, failure && `${failure.broken}\n${commandOf(bound, '', failure.path)}`);
  assert.ok(exhausted);
  assert.ok(ends > 0, 'some order comes to an end');
}

/** The names of the mutants whose bound passes `isHere`. */
export function mutantsOf(isHere) {
  return Object.keys(MUTANTS).filter((mutant) => isHere(MUTANTS[mutant].bound));
}

/** Compiles the mutants of the core among these in a process of its own, while this one explores. Returns a promise. */
export async function compileBeside(mutants) {
  const ofCore = mutants.filter((mutant) => MUTANTS[mutant].changes !== undefined);
  const command = [fileURLToPath(new URL('mutants.js', import.meta.url)), ...ofCore];
  const [code] = await once(spawn(process.execPath, command, { stdio: ['ignore', 'ignore', 'inherit'] }), 'exit');
  assert.is(code, 0, 'the mutants are compiled');
}

/** Some order of steps breaks the mutant, and its schedule does so again. `compiled`: what compileBeside() returns. */
export async function mutantIsCaught(mutant, compiled) {
  const { bound, what } = MUTANTS[mutant];
  await compiled;
  const { failure } = explore(bound, mutant);
  assert.ok(failure, `nothing found, although ${what}`);
  const again = follow(machineOf(bound, mutant), decode(encode(failure.path)));
  assert.is(again.broken, failure.broken);
  assert.is(again.path.length, failure.path.length);
}
