// Builds the core, or another entry with the core's options:
//   node assembly/build.mjs                         dist/core.wasm (and dist/core.wat, to read), dist/core.debug.wasm,
//                                                   and the map of memory in other languages (translate.mjs)
//   node assembly/build.mjs ENTRY OUT [--debug]     one module
//
// Two builds. The debug build keeps the asserts and the names of functions, so a trap says which precondition did not
// hold. In the release build, lines that are asserts are left out before the compiler sees them: `noAssert` alone would
// still load what they look at.
//
// asc compiles and optimises, with limits of its own on what is inlined. They were made for code size. A shard's most
// frequent work (a timer in and out, a message) is functions that call small functions. Then a call costs as much as
// the work. So Binaryen optimises once more, with wider limits. RATIONALE.md, "Why inline after the compiler", has
// figures.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import asc from 'assemblyscript/asc';
import binaryen from 'assemblyscript/binaryen';
import { writeTranslations } from './translate.mjs';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const INLINE_MAX = { always: 30, oneCaller: 2000, flexible: 400 }; // instructions, about

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
  const flags = Object.entries({ ...options, ...targets[target] }).flatMap(([name, value]) =>
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

/** Builds one module. Returns its text, if it is a release. */
async function build(entry, out, isDebug) {
  const bytes = await compile(entry, isDebug ? 'debug' : 'release');
  const module = isDebug ? undefined : inline(bytes);
  mkdirSync(dirname(join(ROOT, out)), { recursive: true });
  writeFileSync(join(ROOT, out), module?.emitBinary() ?? bytes);
  return module?.emitText();
}

const { positionals, values } = parseArgs({ allowPositionals: true, options: { debug: { type: 'boolean' } } });
if (positionals.length > 0) await build(...positionals, values.debug);
else {
  writeFileSync(join(ROOT, 'dist/core.wat'), await build('assembly/index.ts', 'dist/core.wasm', false));
  await build('assembly/index.ts', 'dist/core.debug.wasm', true);
  writeTranslations(ROOT);
}
