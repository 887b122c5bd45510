// Builds the programs of examples/hosts/c with what the package ships as featherstar/c, for tests.
//
// Next: host.test.js.

import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeCompilers, run } from './replayer.js';

const CORE = fileURLToPath(new URL('../../dist/c/', import.meta.url));
const HOST = fileURLToPath(new URL('../../examples/hosts/c/', import.meta.url));
/** For what is built; the test removes it. */
export const folder = mkdtempSync(join(tmpdir(), 'featherstar-host-'));
export const [compiler] = nativeCompilers;
const WITHOUT_GATE = ['featherstar_core.c', 'listen.c', 'shard.c'];
export const VARIANTS = {
  plain: ['-O2', '-Wall', '-Wextra', '-Werror'],
  'address, undefined': ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-O1', '-g', '-fsanitize=thread'],
};

/** The source of a program, with other limits: `{ ring_slots: 1 }`. */
function withLimits(name, limits) {
  const source = readFileSync(join(HOST, `${name}.c`), 'utf8');
  const set = Object.entries(limits).map(([limit, value]) => `limits.${limit} = ${value};`);
  const path = join(folder, `${name}.c`);
  writeFileSync(
    path,
    source.replace(/struct featherstar_header limits = .*;/, (line) => [line, ...set].join(' ')),
  );
  return path;
}

/** Compiles greet.c as C++, with strict warnings, and links it with the core in C. `command`: a compiler of C++. */
export function buildInCpp(command, standard) {
  const output = join(folder, `greet-${standard}`);
  const core = readdirSync(CORE).filter((file) => file.endsWith('.c'));
  const strict = ['-Wall', '-Wextra', '-Werror', `-std=${standard}`, `-I${CORE}`];
  run(command, [...strict, '-x', 'c++', '-c', join(HOST, 'greet.c'), '-o', `${output}.o`]);
  run(compiler, [`${output}.o`, ...core.map((file) => join(CORE, file)), '-o', output]);
  return output;
}

/** Compiles a program of examples/hosts/c. `ring`: by io_uring, or by epoll. `limits`: those to change. */
export function buildHost(name, variant = 'plain', ring = 'io_uring', limits = {}) {
  const output = join(folder, `${name}-${variant.slice(0, 3)}-${ring}`);
  const isWanted = (file) => file.endsWith('.c') && (ring !== 'epoll' || WITHOUT_GATE.includes(file));
  const core = readdirSync(CORE).filter(isWanted);
  const own = name === 'greet' ? ['greet.c'] : [`${name}.c`, 'host.c'];
  if (ring === 'epoll') own.push('epoll.c');
  const hosts = own.map((file) => join(HOST, file));
  if (Object.keys(limits).length > 0) hosts[0] = withLimits(name, limits);
  const sources = [...hosts, ...core.map((file) => join(CORE, file))];
  run(compiler, [...VARIANTS[variant], '-pthread', `-I${CORE}`, `-I${HOST}`, ...sources, '-o', output]);
  return output;
}
