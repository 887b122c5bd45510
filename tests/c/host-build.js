// Builds the programs of examples/hosts/c with what the package ships as featherstar/c, for tests.
//
// A source is compiled once for each variant, because the core is one large file. Then it is linked into every program
// of that variant. As many compilers run as there are processors.
//
// Next: host.test.js.

import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { nativeCompilers, run } from './replayer.js';

export const CORE = fileURLToPath(new URL('../../dist/c/', import.meta.url));
const HOST = fileURLToPath(new URL('../../examples/hosts/c/', import.meta.url));
const PROBE_MS = 60_000;
/** For what is built; the test removes it. */
export const folder = mkdtempSync(join(tmpdir(), 'featherstar-host-'));
export const [compiler] = nativeCompilers;
const WITHOUT_GATE = ['featherstar_core.c', 'listen.c', 'shard.c'];
const WARNINGS = ['-Wall', '-Wextra', '-Werror'];
export const VARIANTS = {
  plain: ['-O2'],
  'address, undefined': ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  thread: ['-O1', '-g', '-fsanitize=thread'],
};

const sourcesOfCore = () => readdirSync(CORE).filter((file) => file.endsWith('.c'));

/** The source of a program, with other limits: `{ ring_slots: 1 }`. */
function withLimits(name, limits) {
  const source = readFileSync(join(HOST, `${name}.c`), 'utf8');
  const set = Object.entries(limits).map(([limit, value]) => `limits.${limit} = ${value};`);
  const path = join(folder, `${name}-${Object.keys(limits).length}.c`);
  writeFileSync(
    path,
    source.replace(/struct featherstar_header limits = .*;/, (line) => [line, ...set].join(' ')),
  );
  return path;
}

const waiting = [];
let running = 0;

/** Runs a compiler when a processor is free for it. Rejects with what it has printed. */
async function compile(args) {
  if (running === availableParallelism()) await new Promise((resolve) => waiting.push(resolve));
  else running++;
  try {
    await promisify(execFile)(compiler, args);
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

const objects = new Map();

/** The object file of a source in a variant: a promise, the same for each program that wants it. */
function objectOf(source, variant) {
  const path = join(folder, variant.slice(0, 3), `${basename(source)}.o`);
  if (!objects.has(path)) {
    mkdirSync(join(folder, variant.slice(0, 3)), { recursive: true });
    const flags = [...WARNINGS, ...VARIANTS[variant], '-pthread', `-I${CORE}`, `-I${HOST}`];
    objects.set(
      path,
      compile([...flags, '-c', source, '-o', path]).then(() => path),
    );
  }
  return objects.get(path);
}

/** Compiles a program of examples/hosts/c. `ring`: by io_uring, or by epoll. `limits`: those to change. */
export async function buildHost(name, variant = 'plain', ring = 'io_uring', limits = {}) {
  const isChanged = Object.keys(limits).length > 0;
  const core = sourcesOfCore().filter((file) => ring !== 'epoll' || WITHOUT_GATE.includes(file));
  const own = [isChanged ? withLimits(name, limits) : join(HOST, `${name}.c`), join(HOST, 'host.c')];
  if (ring === 'epoll') own.push(join(HOST, 'epoll.c'));
  const sources = [...own, ...core.map((file) => join(CORE, file))];
  const files = await Promise.all(sources.map((source) => objectOf(source, variant)));
  const output = join(folder, `${basename(own[0], '.c')}-${variant.slice(0, 3)}-${ring}`);
  await compile([...VARIANTS[variant], '-pthread', ...files, '-o', output]);
  return output;
}

/**
 * Runs the commands of examples/hosts/c/README.md, in a copy of that folder, as `sh` takes them. Only the optimisation
 * is left out, which takes most of the time. Returns the folder.
 */
export function buildByReadme() {
  const copied = join(folder, 'readme');
  cpSync(HOST, copied, { recursive: true });
  const [, fence] = /```sh\n([\s\S]*?)```/.exec(readFileSync(join(HOST, 'README.md'), 'utf8'));
  const commands = fence.split('\n').filter((line) => line.startsWith('cc '));
  const text = commands.map((line) => line.replace('-O2', WARNINGS.join(' '))).join('\n');
  run('sh', ['-ec', `cc() { ${compiler} "$@"; }\n${text}`], { cwd: copied, env: { ...process.env, CORE } });
  return copied;
}

/** Compiles greet.c as C++, with strict warnings, and links it with the core in C. `command`: a compiler of C++. */
export async function buildInCpp(command, standard) {
  const output = join(folder, `greet-${standard}`);
  const strict = [...WARNINGS, `-std=${standard}`, `-I${CORE}`];
  run(command, [...strict, '-x', 'c++', '-c', join(HOST, 'greet.c'), '-o', `${output}.o`]);
  const core = await Promise.all(sourcesOfCore().map((file) => objectOf(join(CORE, file), 'plain')));
  run(compiler, [`${output}.o`, ...core, '-o', output]);
  return output;
}

/** Why the host in C cannot run here, or undefined. */
export async function hostObstacle() {
  if (compiler === undefined || process.platform !== 'linux') return 'it needs Linux and a C compiler';
  const probe = spawnSync(await buildHost('calls'), ['1'], { encoding: 'utf8', timeout: PROBE_MS });
  const isDenied = /Operation not permitted|Function not implemented/.test(probe.stderr);
  return probe.status !== 0 && isDenied ? probe.stderr.trim() : undefined;
}
