// The common parts of the measuring programs: pinning, a clock that all threads agree on, and the median of five runs.
//
// Next: wasm.js.

import { createRequire } from 'node:module';

export const RUNS = 5;
export const PAIR_RUNS = 25; // with two cores; see baseline/core.c

let addon;
try {
  addon = createRequire(import.meta.url)(`../../dist/native/linux-${process.arch}.node`);
} catch (error) {
  if (error.code !== 'MODULE_NOT_FOUND') throw error;
}

/** Keeps this thread on one core; without the addon on the two that the process has. */
export function pin(core) {
  const result = addon?.pin(core) ?? 0;
  if (result !== 0) throw new Error(`cannot pin a thread to core ${core}: ${result}`);
}

/** CLOCK_MONOTONIC, the same in every thread of the process. */
export function nowNs() {
  return Number(process.hrtime.bigint());
}

/** The value that a share of `part` is below. */
export function quantile(values, part) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

/** Lets V8 finish what it compiles in the background. */
export function settle(ms = 150) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function print(name, ns) {
  console.log(`${name} ${ns.toFixed(2)}`);
}
