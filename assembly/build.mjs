// Builds the core, or another entry with the core's options:
//   node assembly/build.mjs [ENTRY OUT]        default: assembly/index.ts dist/core.wasm (and dist/core.wat, to read)
//
// asc compiles and optimises, with limits of its own on what is inlined. They were made for code size; what a shard
// does most (a timer in and out, a message) is functions that call small functions, and a call costs as much as the
// work. So Binaryen optimises once more, with wider limits. RATIONALE.md, "Why inline after the compiler", has figures.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import binaryen from 'assemblyscript/binaryen';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const INLINE_MAX = { always: 30, oneCaller: 2000, flexible: 400 }; // instructions, about

/** Compiles with the release options of asconfig.json. Answers the module's bytes. */
async function compile(entry) {
  const { targets, options } = JSON.parse(readFileSync(join(ROOT, 'asconfig.json'), 'utf8'));
  const { outFile, textFile, ...release } = targets.release;
  const flags = Object.entries({ ...options, ...release }).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  let bytes;
  const { error, stderr } = await asc.main(
    [entry, '--baseDir', ROOT, '--config', 'none', '-o', 'core.wasm', ...flags],
    { writeFile: (_name, contents) => { bytes = contents; } }, // biome-ignore format: one line says it
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

const [entry = 'assembly/index.ts', out = 'dist/core.wasm'] = process.argv.slice(2);
const module = inline(await compile(entry));
mkdirSync(dirname(join(ROOT, out)), { recursive: true });
writeFileSync(join(ROOT, out), module.emitBinary());
if (process.argv.length === 2) writeFileSync(join(ROOT, 'dist/core.wat'), module.emitText());
