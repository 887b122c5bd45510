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

/** A call of each export by its number, in the order in which the module has them. */
function dispatchText(bytes) {
  const module = binaryen.readBinary(bytes);
  const types = new Map([
    [binaryen.i32, { take: (i) => `replay_u32(values[${i}])`, equal: 'replay_u32(value) == (uint32_t)result' }],
    [binaryen.i64, { take: (i) => `values[${i}]`, equal: 'value == result' }],
    [binaryen.f64, { take: (i) => `replay_f64(values[${i}])` }], // no export returns one
  ]);
  const exported = Array.from({ length: module.getNumExports() }, (_, i) =>
    binaryen.getExportInfo(module.getExportByIndex(i)),
  );
  const functions = exported.filter(({ kind }) => kind === binaryen.ExternalFunction);
  const calls = functions.map(({ name, value }, i) => {
    const { params, results } = binaryen.getFunctionInfo(module.getFunction(value));
    const values = binaryen.expandType(params).map((type, at) => types.get(type).take(at));
    const call = `featherstar_${name}(${['core', ...values].join(', ')})`;
    return `\tcase ${i}:\n${results === binaryen.none ? `\t\t${call};\n\t\treturn 0;` : `\t\treturn ${call};`}`;
  });
  const results = functions.map(({ value }, i) => {
    const type = binaryen.getFunctionInfo(module.getFunction(value)).results;
    return `\tcase ${i}:\n\t\treturn ${type === binaryen.none ? 'true' : types.get(type).equal};`;
  });
  const imports = functionsOf(module).filter(({ base }) => base !== '');
  const imported = imports.map((info, i) => {
    const count = binaryen.expandType(info.params).length; // all of them i32
    const parameters = ['void *context', ...Array.from({ length: count }, (_, at) => `uint32_t p${at}`)].join(', ');
    const values =
      count === 0 ? 'NULL' : `(uint32_t[]){ ${Array.from({ length: count }, (_, at) => `p${at}`).join(', ')} }`;
    const [type, start] = info.results === binaryen.none ? ['void', ''] : ['uint32_t', 'return '];
    const call = `replay_import(context, ${i}, ${count}, ${values})`;
    return `static ${type} import${i}(${parameters})\n{\n\t${start}${call};\n}\n`;
  });
  const importNames = imports.map((_, i) => `import${i}`).join(', ');
  return `#include <stdlib.h>
#include "featherstar_core.h"
#include "replay.h"

${imported.join('\n')}
const struct featherstar_imports replay_imports = { ${importNames || 0} };

uint64_t replay_export(struct featherstar_core *core, uint32_t index, const uint64_t *values)
{
	switch (index) {
${calls.join('\n')}
	}
	abort();
}

bool replay_is_result(uint32_t index, uint64_t value, uint64_t result)
{
	(void)value;
	(void)result;
	switch (index) {
${results.join('\n')}
	}
	abort();
}
`;
}

/** Builds the replayer of a module in `folder`, where its featherstar_core.c is. Returns the program. */
export function buildReplayer(wasm, folder, { compiler, flags = [], name = compiler }) {
  mkdirSync(folder, { recursive: true });
  const dispatch = join(folder, 'dispatch.c');
  writeFileSync(dispatch, dispatchText(readFileSync(wasm)));
  const sources = [join(HERE, 'replay.c'), dispatch, join(folder, 'featherstar_core.c')];
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
