// The receiver's half of the sleep protocol in C (host/native/park.h), for the machine to drive access by access.
//
// The flow: park.h, or a mutant of it -> park.c, compiled by the system's C compiler into dist/interleave/ ->
// an object with step(), by which machine.js runs a function to its next access.
//
// Next: park.c, machine.js.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCompiler } from '../support/deny.js';
import { writeIfNew } from './mutants.js';
import { Access } from './transform.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const NATIVE = join(ROOT, 'host/native');
const FUNCTIONS = ['wantsTurn', 'trySleep', 'awake']; // as park.c numbers them
const SEQ_CST = 5; // __ATOMIC_SEQ_CST

/** Whether there is a compiler. */
export function hasCompiler() {
  return process.platform === 'linux' && findCompiler() !== undefined;
}

/** Compiles park.h after `changes`: pairs of what stands there, exactly once, and what stands there instead. */
export function compilePark(name, changes = []) {
  const folder = join(ROOT, 'dist/interleave', name);
  mkdirSync(folder, { recursive: true });
  let text = readFileSync(join(NATIVE, 'park.h'), 'utf8');
  for (const [old, fresh] of changes) {
    if (text.split(old).length !== 2) throw new Error(`mutant ${name}: park.h has not exactly one \`${old}\``);
    text = text.replace(old, () => fresh);
  }
  writeIfNew(join(folder, 'park.h'), text);
  const headers = dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json'));
  const folders = [folder, NATIVE, join(headers, 'include')].map((path) => `-I${path}`);
  const path = join(folder, 'park.node');
  const part = `${path}.${process.pid}`; // renamed at the end: another test file may have the old one loaded
  const flags = ['-shared', '-fPIC', '-std=gnu11', '-O1', '-Wall', '-Werror'];
  execFileSync(findCompiler(), [...flags, ...folders, '-o', part, fileURLToPath(new URL('park.c', import.meta.url))]);
  renameSync(part, path);
  return path;
}

/** The functions of park.h by the names that the core's exports have. */
export class CPark {
  #step;
  #out = new Float64Array(6);

  constructor(path) {
    this.#step = createRequire(import.meta.url)(path).step;
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
