// Translates the core from Wasm to C: two texts, featherstar_core.h and featherstar_core.c. The C needs no other file.
//
// The flow: Binaryen's tree of the optimised module -> function.mjs, for each function -> prelude.c in front. The
// globals of an instance are a struct, which every function takes first. So any number of instances can share one
// memory, one for each thread, as the instances of the module do.
//
// Invariant: each function of the module is one function of C. Anything that is not understood throws, with its name.
//
// Next: instructions.mjs, function.mjs. docs/abi.md says how a host uses the functions.

import { readFileSync } from 'node:fs';
import binaryen from 'assemblyscript/binaryen';
import { FunctionWriter } from './function.mjs';
import { literal, TYPES } from './instructions.mjs';

const PREFIX = 'featherstar_';
const RESERVED = new Set([
  ...'auto break case char const continue default do double else enum extern float for goto if inline int'.split(' '),
  ...'long register restrict return short signed sizeof static struct switch typedef union unsigned void'.split(' '),
  ...'volatile while'.split(' '),
  ...'class delete new operator private protected public template this throw try using virtual'.split(' '),
  ...'core m memory globals control trap temporary place range main'.split(' '),
]);

/** A name for C: letters, digits and underscores, and none that has a meaning already. */
function identifier(text) {
  const name = text.replace(/\W+/g, '_');
  return RESERVED.has(name) || /^([0-9]|[lt][0-9]+$)/.test(name) ? `${name}_` : name;
}

/** `assembly/op/submit` -> `op_submit` */
const localName = (name) => identifier(name.replace(/^assembly\//, '').replace(/^~/, ''));

/** `assembly/op/submit` -> `assembly/op.ts#submit`, where its source is. */
function sourceOf(name) {
  const parts = name.split('/');
  return parts.length < 2 ? undefined : `${parts.slice(0, -1).join('/')}.ts#${parts.at(-1)}`;
}

const cType = (type) => (type === binaryen.none ? 'void' : TYPES.get(type).c);

function listOf(count, at) {
  return Array.from({ length: count }, (_, i) => at(i));
}

/** Names of a function's parameters, from the module that has them: the optimised one has forgotten. */
function parameterNames(info, named) {
  const count = binaryen.expandType(info.params).length;
  const original = named?.getFunction(info.name) ?? 0;
  const isSame = original !== 0 && binaryen.getFunctionInfo(original).params === info.params;
  const names = listOf(count, (i) => {
    const isKnown = isSame && binaryen.Function.hasLocalName(original, i);
    return identifier(isKnown ? binaryen.Function.getLocalName(original, i) : `p${i}`);
  });
  return names.map((name, i) => (names.indexOf(name) === i ? name : `${name}${i}`));
}

/** Breaks `start item, item, item)` into lines of at most 110 columns. */
function wrap(start, items, end) {
  const lines = [start];
  items.forEach((item, i) => {
    const piece = item + (i < items.length - 1 ? ',' : end);
    const last = lines.at(-1);
    if (last.length + piece.length > 110) lines.push(`\t${piece}`);
    else lines[lines.length - 1] += (last.endsWith('(') || last.endsWith('\t') ? '' : ' ') + piece;
  });
  return lines.join('\n');
}

function indent(lines, depth = 1) {
  return lines
    .map((line) => (Array.isArray(line) ? indent(line, depth + 1) : line === '' ? '' : `${'\t'.repeat(depth)}${line}`))
    .join('\n');
}

/** Refuses the parts of a module that the translation has no place for. */
function refuseOthers(module) {
  if (module.getNumDataSegments() > 0) throw new Error('assembly/c cannot translate data segments');
  if (module.getNumElementSegments() > 0) throw new Error('assembly/c cannot translate tables of functions');
}

class Translation {
  constructor(module, named) {
    refuseOthers(module);
    this.functions = listOf(module.getNumFunctions(), (i) => binaryen.getFunctionInfo(module.getFunctionByIndex(i)));
    this.globals = listOf(module.getNumGlobals(), (i) => binaryen.getGlobalInfo(module.getGlobalByIndex(i)));
    this.exports = listOf(module.getNumExports(), (i) => binaryen.getExportInfo(module.getExportByIndex(i)));
    this.start = module.getStart();
    const ids = new Map();
    for (const { kind, name, value } of this.exports) {
      if (!/^\w+$/.test(name)) throw new Error(`assembly/c cannot translate an export of the name ${name}`);
      if (kind === binaryen.ExternalFunction) ids.set(value, [...(ids.get(value) ?? []), PREFIX + name]);
    }
    this.exported = ids;
    const isImport = ({ base }) => base !== '';
    this.imports = this.functions.filter(isImport);
    this.own = this.functions.filter((each) => !isImport(each));
    this.parameters = new Map(this.functions.map((info) => [info.name, parameterNames(info, named)]));
    this.importNames = new Map(
      this.imports.map(({ name, module: from, base }) => [name, identifier(`${from}_${base}`)]),
    );
    this.functionNames = new Map(this.own.map(({ name }) => [name, ids.get(name)?.[0] ?? localName(name)]));
    this.names = {
      globals: new Map(this.globals.map(({ name }) => [name, localName(name)])),
      call: (target, operands) => this.call(target, operands),
    };
  }

  call(target, operands) {
    const imported = this.importNames.get(target);
    if (imported !== undefined) return `core->imports->${imported}(${['core->context', ...operands].join(', ')})`;
    return `${this.functionNames.get(target)}(${['core', ...operands].join(', ')})`;
  }

  /** `uint32_t featherstar_post(struct featherstar_core *core, uint32_t peer)` */
  signature(info, name, isExported) {
    const types = binaryen.expandType(info.params);
    const parameters = this.parameters.get(info.name).map((parameter, i) => `${cType(types[i])} ${parameter}`);
    const start = `${isExported ? '' : 'static '}${cType(info.results)} ${name}(`;
    return wrap(start, ['struct featherstar_core *core', ...parameters], ')');
  }

  /** `X(armTimer, F64(0) I32(1) I32(2), uint32_t)`: a line of FEATHERSTAR_EXPORTS. */
  exportLine({ info, name }) {
    const parameters = binaryen.expandType(info.params).map((type, i) => `${TYPES.get(type).name.toUpperCase()}(${i})`);
    return `X(${name.slice(PREFIX.length)}, ${parameters.join(' ')}, ${cType(info.results)})`;
  }

  /** An export under each of its names, in the order of the module. */
  exportedFunctions() {
    const infos = new Map(this.own.map((info) => [info.name, info]));
    const functions = this.exports.filter(({ kind }) => kind === binaryen.ExternalFunction);
    return functions.map(({ name, value }) => ({ info: infos.get(value), name: PREFIX + name }));
  }

  header() {
    const imports = this.imports.map((info) => {
      const types = binaryen.expandType(info.params).map(cType);
      const parameters = ['void *context', ...types].join(', ');
      return `\t${cType(info.results)} (*${this.importNames.get(info.name)})(${parameters});`;
    });
    if (imports.length === 0) imports.push('\tchar none;');
    const globals = this.globals.map(({ name, type }) => `\t${cType(type)} ${this.names.globals.get(name)};`);
    const exported = this.exportedFunctions();
    const functions = exported.map(({ info, name }) => {
      const source = sourceOf(info.name);
      return `${source ? `/* ${source} */\n` : ''}${this.signature(info, name, true)};`;
    });
    return HEADER.replace('@IMPORTS@', imports.join('\n'))
      .replace('@GLOBALS@', globals.join('\n'))
      .replace('@FUNCTIONS@', functions.join('\n'))
      .replace('@EXPORTS@', ['', ...exported.map((each) => this.exportLine(each))].join(' \\\n\t'));
  }

  /** Sets what an instance has of its own, and runs the module's start function. */
  instantiate() {
    const lines = this.globals.map(({ name, type, init }) => {
      const info = binaryen.getExpressionInfo(init);
      if (info.id !== binaryen.ConstId) throw new Error(`assembly/c cannot translate the first value of ${name}`);
      return `core->${this.names.globals.get(name)} = ${literal(type, info.value).text};`;
    });
    if (this.start !== 0) lines.push(`${this.call(binaryen.getFunctionInfo(this.start).name, [])};`);
    return INSTANTIATE.replace('@LINES@', indent(lines));
  }

  functionText(info) {
    const name = this.functionNames.get(info.name);
    const source = sourceOf(info.name);
    const isExported = this.exported.has(info.name);
    const lines = new FunctionWriter(info, this.names, this.parameters.get(info.name)).body();
    return `${source ? `/* ${source} */\n` : ''}${this.signature(info, name, isExported)}\n{\n${indent(lines)}\n}\n`;
  }

  /** Further names of an exported function. */
  alias({ info, name }) {
    const call = this.call(info.name, this.parameters.get(info.name));
    return `${this.signature(info, name, true)}\n{\n\t${info.results === binaryen.none ? '' : 'return '}${call};\n}\n`;
  }

  source() {
    const hidden = this.own.filter(({ name }) => !this.exported.has(name));
    const prototypes = hidden.map((info) => `${this.signature(info, this.functionNames.get(info.name), false)};\n`);
    const aliases = this.exportedFunctions().filter(({ info, name }) => name !== this.functionNames.get(info.name));
    return [
      BANNER,
      readFileSync(new URL('prelude.c', import.meta.url), 'utf8'),
      `\n/* --- the core ${'-'.repeat(101)} */\n\n`,
      prototypes.join(''),
      '\n',
      [
        ...this.own.map((info) => this.functionText(info)),
        ...aliases.map((each) => this.alias(each)),
        this.instantiate(),
      ].join('\n'),
    ].join('');
  }
}

const BANNER = `/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * featherstar's core in C: one file without dependencies, for hosts that are not JavaScript. It is made from core.wasm
 * by assembly/c/wasm-to-c.mjs; every function here is the one of that name there. Do not edit it.
 *
 *   cc -std=c11 -O2 -c featherstar_core.c
 *
 * -mssse3 makes the HTTP parser faster on x86-64. Options, by -D:
 *   FEATHERSTAR_CHECKED=1     compares each access with the memory's size. The default, 0, relies on the guard pages of
 *                             featherstar_memory_reserve(). Without mmap() or with 32 bits, 1 is the default.
 *   FEATHERSTAR_SCALAR        uses no vector instructions
 *   FEATHERSTAR_TRAP(what)    what to do instead of abort(); it must not return
 */

`;

const HEADER = `/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * featherstar's core for C: made from core.wasm by assembly/c/wasm-to-c.mjs. Do not edit it.
 *
 * A host reserves one memory and writes its limits there; featherstar_plan says how many pages it needs. Each thread
 * has an instance over the same memory. docs/abi.md says what a host writes and calls, and in which order.
 *
 * An instance belongs to one thread. Numbers that may be negative (error codes) come as uint32_t: cast them to int32_t.
 */
#ifndef FEATHERSTAR_CORE_H
#define FEATHERSTAR_CORE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The memory that all instances share; addresses of the core are offsets from \`at\`. */
struct featherstar_memory {
	uint8_t *at;
	uint64_t bytes;
};

/*
 * Reserves memory of so many pages, all zeros; \`at\` is NULL if there is none. It never grows. Other memory than this
 * may be used only with FEATHERSTAR_CHECKED=1: the core relies on the pages without access that lie behind it.
 */
struct featherstar_memory featherstar_memory_reserve(uint32_t pages);
void featherstar_memory_release(struct featherstar_memory memory);

/* The core calls these functions of its host. \`context\` is the one that the instance was made with. */
struct featherstar_imports {
@IMPORTS@
};

/* One instance: the host allocates it, featherstar_instantiate() fills it in, and nothing is to be freed. */
struct featherstar_core {
	struct featherstar_memory memory;
	const struct featherstar_imports *imports;
	void *context;
	/* the core's own */
@GLOBALS@
};

void featherstar_instantiate(struct featherstar_core *core, struct featherstar_memory memory,
	const struct featherstar_imports *imports, void *context);

@FUNCTIONS@

/*
 * A list of these functions, for hosts that need one: X(name, parameters, result) for each. I32(n), I64(n) or F64(n)
 * stands for the parameter \`n\`, and \`result\` is its type, or void. examples/hosts/c/replay.c uses it.
 */
#define FEATHERSTAR_EXPORTS(X, I32, I64, F64)@EXPORTS@

#ifdef __cplusplus
}
#endif

#endif
`;

const INSTANTIATE = `void featherstar_instantiate(struct featherstar_core *core, struct featherstar_memory memory,
	const struct featherstar_imports *imports, void *context)
{
	core->memory = memory;
	core->imports = imports;
	core->context = context;
@LINES@
}
`;

/**
 * Translates an optimised module whose functions have names. `named` is the same before it was optimised, where the
 * parameters have names too.
 */
export function toC(module, named) {
  const translation = new Translation(module, named);
  return { header: translation.header(), source: translation.source() };
}
