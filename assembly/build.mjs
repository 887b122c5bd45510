// Builds the core, or another entry with the core's options:
//   node assembly/build.mjs                           dist/core.wasm, dist/core.wat (to read), dist/core.debug.wasm,
//                                                     the map of memory in other languages (translate.mjs), and
//                                                     dist/c: the core in C (c/wasm-to-c.mjs), with the gate
//   node assembly/build.mjs ENTRY OUT [--debug]       one module
//   node assembly/build.mjs ENTRY OUT --c DIRECTORY   one module, and the same in C
//
// Two builds. The debug build keeps the asserts and the names of functions, so a trap says which precondition did not
// hold. In the release build, lines that are asserts are left out before the compiler sees them: `noAssert` alone would
// still load what they look at.
//
// asc compiles and optimises, with limits of its own on what is inlined. They were made for code size. A shard's most
// frequent work (a timer in and out, a message) is functions that call small functions. Then a call costs as much as
// the work. So Binaryen optimises once more, with wider limits. RATIONALE.md, "Why inline after the compiler", has
// figures.
//
// The module keeps its names until it is written, for its text and for its translation to C (c/wasm-to-c.mjs).

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import asc from 'assemblyscript/asc';
import binaryen from 'assemblyscript/binaryen';
import { toC } from './c/wasm-to-c.mjs';
import { writeTranslations } from './translate.mjs';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const INLINE_MAX = { always: 30, oneCaller: 2000, flexible: 400 }; // instructions, about

/** Files of host/native that a host in C needs: the gate, the ring, listening, a shard. They know nothing of Node. */
const GATE = [
  ...['address.c', 'buffers.c', 'directory.c', 'gate.c', 'listen.c', 'ring.c', 'shard.c'],
  ...['featherstar.h', 'listen.h', 'park.h', 'ring.h', 'shard.h', 'sys.h'],
];

const ASSERT = /^ *assert\([^;]*\);$/gm; // tests/tidy.test.js: an assert is a line of its own

/** Reads a source for the compiler; null if it is not there, so that the compiler looks elsewhere. */
function readSource(path, isDebug) {
  if (!existsSync(path)) return null;
  const text = readFileSync(path, 'utf8');
  return isDebug ? text : text.replace(ASSERT, '');
}

/** Compiles with the options of asconfig.json for the target `debug` or `release`. Returns the module's bytes. */
async function compile(entry, target) {
  const { targets, options } = JSON.parse(readFileSync(join(ROOT, 'asconfig.json'), 'utf8'));
  const flags = Object.entries({ ...options, ...targets[target], debug: true }).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  let bytes;
  const { error, stderr } = await asc.main(
    [entry, '--baseDir', ROOT, '--config', 'none', '-o', 'core.wasm', ...flags],
    {
      readFile: (name, directory) => readSource(resolve(directory, name), target === 'debug'),
      writeFile: (_name, contents) => { bytes = contents; }, // biome-ignore format: one line says it
    },
  );
  if (error) throw new Error(`${stderr}${error.message}`);
  return bytes;
}

function inline(bytes) {
  const module = binaryen.readBinary(bytes);
  module.setFeatures(binaryen.Features.All);
  binaryen.setDebugInfo(false); // names stay in the module here, but not in its bytes
  binaryen.setOptimizeLevel(3);
  binaryen.setShrinkLevel(0);
  binaryen.setAlwaysInlineMaxSize(INLINE_MAX.always);
  binaryen.setOneCallerInlineMaxSize(INLINE_MAX.oneCaller);
  binaryen.setFlexibleInlineMaxSize(INLINE_MAX.flexible);
  // A loop is not worth it; and the baseline compiler of Node 20 forgets a local over an atomic.wait inlined into one.
  binaryen.setAllowInliningFunctionsWithLoops(false);
  module.optimize();
  if (!module.validate()) throw new Error('the inlined module is not valid');
  return module;
}

function write(path, contents) {
  mkdirSync(dirname(resolve(ROOT, path)), { recursive: true });
  writeFileSync(resolve(ROOT, path), contents);
}

async function buildDebug(entry, out) {
  const bytes = await compile(entry, 'debug');
  write(out, bytes);
  return bytes;
}

async function buildRelease(entry, out) {
  const module = inline(await compile(entry, 'release'));
  write(out, module.emitBinary());
  return module;
}

/** Writes a module in C. The debug build of the same sources has the names of parameters. */
function writeC(module, debugBytes, directory) {
  const { header, source } = toC(module, binaryen.readBinary(debugBytes));
  write(join(directory, 'featherstar_core.h'), header);
  write(join(directory, 'featherstar_core.c'), source);
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { debug: { type: 'boolean' }, c: { type: 'string' } },
});
const [entry, out] = positionals;
if (entry === undefined) {
  const module = await buildRelease('assembly/index.ts', 'dist/core.wasm');
  write('dist/core.wat', module.emitText());
  writeC(module, await buildDebug('assembly/index.ts', 'dist/core.debug.wasm'), 'dist/c');
  writeTranslations(ROOT);
  for (const name of GATE) copyFileSync(join(ROOT, 'host/native', name), join(ROOT, 'dist/c', name));
} else if (values.debug) await buildDebug(entry, out);
else {
  const module = await buildRelease(entry, out);
  if (values.c !== undefined) writeC(module, await compile(entry, 'debug'), values.c);
}
