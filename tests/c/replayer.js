// Builds programs from the core in C, for tests: with any compiler, for this processor or for arm64.
//
// Next: replay.test.js.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import binaryen from 'assemblyscript/binaryen';

const HERE = fileURLToPath(new URL('./', import.meta.url));
const OUTPUT_MAX = 2000;
const WARNINGS = ['-std=c11', '-Wall', '-Wextra', '-Werror'];

const isThere = (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0;
const HOST = { x64: 'x64', arm64: 'arm64' }[process.arch];

const named = ['gcc', 'clang'].filter(isThere);
/** Compilers for this processor, by name. */
export const nativeCompilers = named.length > 0 ? named : ['cc'].filter(isThere);

/** A cross compiler for arm64 and what runs its programs; undefined if one is missing. */
export function arm64Tools() {
  if (HOST === 'arm64') return undefined;
  const compiler = process.env.CC_ARM64 ?? 'aarch64-linux-gnu-gcc';
  return isThere(compiler) && isThere('qemu-aarch64') ? { compiler, run: ['qemu-aarch64'] } : undefined;
}

/** Runs a program to its end. Throws with its output if it fails. */
export function run(file, args, options = {}) {
  const { status, signal, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8', ...options });
  if (error) throw error;
  if (status !== 0)
    throw new Error(`${file} ${args.join(' ')}: ${signal ?? status}\n${`${stdout}${stderr}`.slice(0, OUTPUT_MAX)}`);
  return stdout;
}

/** Compiles sources to a program. */
export function compile(compiler, flags, sources, output) {
  run(compiler, [...WARNINGS, ...flags, '-o', output, ...sources]);
  return output;
}

const functionsOf = (module) =>
  Array.from({ length: module.getNumFunctions() }, (_, i) => binaryen.getFunctionInfo(module.getFunctionByIndex(i)));

/** The imports of a module, each with its number. */
function importsText(bytes) {
  const imports = functionsOf(binaryen.readBinary(bytes)).filter(({ base }) => base !== '');
  const imported = imports.map((info, i) => {
    const count = binaryen.expandType(info.params).length; // all of them i32
    const parameters = ['void *context', ...Array.from({ length: count }, (_, at) => `uint32_t p${at}`)].join(', ');
    const values =
      count === 0 ? 'NULL' : `(uint32_t[]){ ${Array.from({ length: count }, (_, at) => `p${at}`).join(', ')} }`;
    const [type, start] = info.results === binaryen.none ? ['void', ''] : ['uint32_t', 'return '];
    const call = `replay_import(context, ${i}, ${count}, ${values})`;
    return `static ${type} import${i}(${parameters})\n{\n\t${start}${call};\n}\n`;
  });
  const names = imports.map((_, i) => `import${i}`).join(', ');
  return `#include <stddef.h>
#include "featherstar_core.h"
#include "replay.h"

${imported.join('\n')}
const struct featherstar_imports replay_imports = { ${names || 0} };
`;
}

/** Builds the replayer of a module in `folder`, where its featherstar_core.c is. Returns the program. */
export function buildReplayer(wasm, folder, { compiler, flags = [], name = compiler }) {
  mkdirSync(folder, { recursive: true });
  const imports = join(folder, 'imports.c');
  writeFileSync(imports, importsText(readFileSync(wasm)));
  const sources = [join(HERE, 'replay.c'), join(HERE, 'dispatch.c'), imports, join(folder, 'featherstar_core.c')];
  return compile(
    compiler,
    [
      `-I${folder}`,
      `-I${HERE}`,
      '-include',
      join(HERE, 'replay.h'),
      '-D_GNU_SOURCE',
      '-DFEATHERSTAR_TRAP=replay_trap',
      ...flags,
    ],
    sources,
    join(folder, `replay-${name}`),
  );
}
