// The receiver's half of the sleep protocol in C (host/native/park.h), for the machine to drive access by access.
//
// The flow: park.h, or a mutant of it -> park.c, compiled by the system's C compiler into dist/interleave/ ->
// an object with step(), by which machine.js runs a function to its next access.
//
// Next: park.c, machine.js.

import { compileC } from './c-build.js';
import { Access } from './transform.js';

const FUNCTIONS = ['wantsTurn', 'trySleep', 'awake']; // as park.c numbers them
const SEQ_CST = 5; // __ATOMIC_SEQ_CST

/** Compiles park.h, or a mutant of it. */
export function compilePark(name, changes = []) {
  return compileC(name, 'park.c', ['-O1'], changes);
}

/** The functions of park.h by the names that the core's exports have. */
export class CPark {
  #step;
  #out = new Float64Array(6);

  constructor({ step }) {
    this.#step = step;
  }

  has(name) {
    return FUNCTIONS.includes(name);
  }

  /**
   * Runs `name` on the control block at `base`. The first `logged` entries of `log` are the results of its accesses.
   * Returns { result }, or { at, access, value }: the access before which it stopped, as it is not in the log.
   */
  run(name, bytes, base, log, logged) {
    this.#step(bytes, base, FUNCTIONS.indexOf(name), log, logged, this.#out);
    const [isStopped, value, at, size, isStore, order] = this.#out;
    if (isStopped === 0) return { result: value };
    const access = (isStore ? Access.STORE : 0) | (order === SEQ_CST ? Access.ATOMIC : 0) | (size << Access.BYTES);
    return { at, access, value };
  }
}
