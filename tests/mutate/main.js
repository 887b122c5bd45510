// npm run mutate: is every line of the core needed, and does a test know it?
//
// Each mutant (schemata.js) is a small change to the core. The tests that know about the changed file run on it, one
// after the other. It is killed by the first that fails, or that takes far longer than without a mutant. A
// mutant that no test kills has to be excused in excused.txt, with the reason why it makes no difference. Else it has
// survived: a test is missing, or the line is not needed.
//
//   npm run mutate -- [--only PART] [--sample N] [--minutes N] [--again]
//     --only PART    mutants whose name has PART in it, e.g. wheel/
//     --sample N     about one of N
//     --minutes N    stops after so many minutes; the next run goes on from there
//     --again        survivors of earlier runs once more
//
// Verdicts are kept in dist/mutate/verdicts.txt, so a run can be interrupted at any time.
//
// Next: mutate.test.js.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build, select } from './schemata.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(ROOT, 'dist/mutate');
const EXCUSED = new URL('excused.txt', import.meta.url);
const COPIED = ['dist/host', 'assembly', 'asconfig.json', 'package.json'].concat(
  ['core', 'http', 'interleave', 'support', 'websocket'].map((folder) => `tests/${folder}`),
);
const MODULES = ['core', 'test-internals', 'test-http', 'test-websocket'];
const FAILED = '✘'; // uvu prints it as soon as a test has failed
const GRACE_MS = 3000; // a mutant may take so much longer than no mutant, and four times as long
const SLOWER = 4;

/** Which tests know about a file, those that know most first. */
const TESTS = {
  layout: ['core/layout', 'core/task', 'core/mesh-cases', 'core/mesh'],
  list: ['core/wheel', 'core/task', 'core/slab'],
  slab: ['core/op', 'core/layout', 'core/slab'],
  group: ['core/task', 'core/layout'],
  task: ['core/task', 'core/layout'],
  arena: ['core/arena', 'core/mesh-cases', 'core/mesh'],
  wheel: ['core/wheel', 'core/layout'],
  spsc: ['core/mesh-cases', 'core/mesh', 'core/spsc'],
  mesh: ['core/layout', 'core/mesh-cases', 'interleave/between', 'core/mesh'],
  park: ['core/layout', 'interleave/between', 'core/park', 'core/mesh-cases', 'core/mesh'],
  op: ['core/op', 'core/layout'],
  stats: ['core/layout'],
  shard: ['core/layout', 'core/op', 'core/wheel', 'core/mesh-cases', 'core/mesh'],
  index: ['core/layout'],
  connection: ['http/parser', 'http/body'],
  parser: ['http/parser', 'http/body', 'http/url'],
  chars: ['http/parser', 'http/body', 'http/url'],
  target: ['http/parser', 'http/url'],
  fields: ['http/parser', 'http/body'],
  body: ['http/body', 'http/parser'],
  response: ['http/response'],
  frames: ['websocket/frames'],
  mask: ['websocket/frames'],
};

function testsFor(file) {
  return TESTS[/(\w+)\.ts$/.exec(file)[1]];
}

/** Name -> reason. A reason stands indented below the names that it is true of. */
export function readExcuses(text = readFileSync(EXCUSED, 'utf8')) {
  const excuses = new Map();
  let names = [];
  let isReason = false;
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('//')) continue;
    if (!line.startsWith('  ')) {
      if (isReason) names = [];
      names.push(line);
      isReason = false;
      continue;
    }
    for (const name of names) excuses.set(name, `${excuses.get(name) ?? ''} ${line.trim()}`.trim());
    isReason = true;
  }
  return excuses;
}

/** About one of `share` mutants, the same ones as long as their lines stay as they are. */
export function isSampled({ name }, share) {
  return createHash('sha256').update(name).digest().readUInt32LE() % share === 0;
}

/** A copy of the project, so that mutants are in nobody's way. */
class Copy {
  #root = join(FOLDER, `copy-${process.pid}`);
  #bytes;
  #durations = new Map();

  constructor(bytes) {
    this.#bytes = bytes;
    for (const path of COPIED)
      cpSync(join(ROOT, path), join(this.#root, path), { recursive: true, preserveTimestamps: true });
    symlinkSync(join(ROOT, 'node_modules'), join(this.#root, 'node_modules'));
    for (const name of MODULES) symlinkSync('mutant.wasm', join(this.#root, `dist/${name}.wasm`));
  }

  /** Runs a test file. Returns how it ended: 'passed', 'failed' or 'too slow'. */
  #run(test, limitMs) {
    const env = { ...process.env, FEATHERSTAR_CORE: '', FEATHERSTAR_STALL_MS: '0' };
    const options = { cwd: this.#root, env, stdio: ['ignore', 'pipe', 'ignore'] };
    const child = spawn(process.execPath, [join('tests', `${test}.test.js`)], options);
    return new Promise((resolve) => {
      const timer = setTimeout(() => end('too slow'), limitMs);
      const end = (how) => {
        clearTimeout(timer);
        child.kill('SIGKILL');
        resolve(how);
      };
      child.stdout.setEncoding('utf8').on('data', (text) => {
        if (text.includes(FAILED)) end('failed');
      });
      child.on('close', (code) => end(code === 0 ? 'passed' : 'failed'));
    });
  }

  /** How long a test takes without a mutant. */
  async #limitOf(test) {
    if (!this.#durations.has(test)) {
      this.#write(0);
      const start = performance.now();
      const how = await this.#run(test, 600_000);
      if (how !== 'passed') throw new Error(`tests/${test}.test.js ${how} without a mutant`);
      this.#durations.set(test, performance.now() - start);
    }
    return GRACE_MS + SLOWER * this.#durations.get(test);
  }

  #write(number) {
    writeFileSync(join(this.#root, 'dist/mutant.wasm'), select(this.#bytes, number));
  }

  remove() {
    rmSync(this.#root, { recursive: true });
  }

  /** What kills the mutant; undefined if nothing does. */
  async kill(number, { file }) {
    for (const test of testsFor(file)) {
      const limitMs = await this.#limitOf(test);
      this.#write(number);
      const how = await this.#run(test, limitMs);
      if (how !== 'passed') return `${how} ${test}`;
    }
    return undefined;
  }
}

/** The verdicts of earlier runs. They hold as long as the function is the same. */
class Verdicts {
  #path = join(FOLDER, 'verdicts.txt'); // undefined: not kept
  #known = new Map();

  /** Not `isKept`: nothing is known, and nothing is written. */
  constructor(isKept) {
    if (!isKept) this.#path = undefined;
    if (this.#path === undefined || !existsSync(this.#path)) return;
    for (const line of readFileSync(this.#path, 'utf8').split('\n').filter(Boolean)) {
      const [key, by] = line.split('\t');
      this.#known.set(key, by);
    }
  }

  /** 'survived', or what has killed it; undefined: not known yet. */
  get({ name, hash }) {
    return this.#known.get(`${hash} ${name}`);
  }

  set({ name, hash }, by = 'survived') {
    this.#known.set(`${hash} ${name}`, by);
    if (this.#path !== undefined) appendFileSync(this.#path, `${hash} ${name}\t${by}\n`);
  }
}

/** Runs the mutants that `isWanted` and calls `tell` for each. Returns the counts and the names of survivors. */
export async function mutate({ isWanted, until = Infinity, isKept = true, again = false, tell = () => undefined }) {
  mkdirSync(FOLDER, { recursive: true });
  const { mutants, bytes } = await build();
  const excuses = readExcuses();
  const verdicts = new Verdicts(isKept);
  let copy;
  const sum = { killed: 0, excused: 0, survived: [], left: 0 };
  for (const [i, mutant] of mutants.entries()) {
    if (!isWanted(mutant)) continue;
    if (excuses.has(mutant.name)) {
      sum.excused++;
      continue;
    }
    if (verdicts.get(mutant) === undefined || (again && verdicts.get(mutant) === 'survived')) {
      if (performance.now() > until) {
        sum.left++;
        continue;
      }
      copy ??= new Copy(bytes);
      verdicts.set(mutant, await copy.kill(i + 1, mutant));
      tell(mutant, verdicts.get(mutant));
    }
    if (verdicts.get(mutant) === 'survived') sum.survived.push(mutant);
    else sum.killed++;
  }
  copy?.remove();
  return sum;
}

async function main() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      sample: { type: 'string', default: '1' },
      minutes: { type: 'string', default: 'Infinity' },
      again: { type: 'boolean', default: false },
    },
  });
  const isWanted = (mutant) => mutant.name.includes(values.only) && isSampled(mutant, Number(values.sample));
  const until = performance.now() + Number(values.minutes) * 60_000;
  const tell = ({ name, line }, by) =>
    console.log(`${by === 'survived' ? 'SURVIVED' : 'killed  '} ${name} (line ${line}): ${by}`);
  const { killed, excused, survived, left } = await mutate({ isWanted, until, again: values.again, tell });
  for (const { name, file, line } of survived) console.log(`survived ${file}:${line}: ${name}`);
  if (left > 0) console.log(`not run yet: ${left}`);
  console.log(`killed ${killed}, excused ${excused}, survived ${survived.length}`);
  process.exitCode = survived.length > 0 || left > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
