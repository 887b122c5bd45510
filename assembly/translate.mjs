// The map of memory, written down for hosts in other languages.
//
//   assembly/*.ts  --readLayout()-->  layout  --toTypeScript()-->  host/core/offsets.ts
//   constants, enums,                 numbers --toC()----------->  host/native/featherstar.h, and a copy in dist/c/
//   @unmanaged classes                        --toJson()-------->  dist/layout.json
//
// build.mjs runs this after each build of the core. The first two files are also in the repository: readers see them
// there, and the addon needs no build of the core. A test (tests/core/translate.test.js) compares them with the
// sources. It also compares the offsets that are computed here with those of the compiler.
//
// The sources are read line by line. A line in a class or enum that this file does not understand is an error.
//
// Next: build.mjs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const BYTES = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, usize: 4, u64: 8, i64: 8, f64: 8, v128: 16 };

/** The classes and enums that hosts may know, and the names that they have outside if it is not the same one. */
const PUBLIC = {
  'layout.ts': { Header: '', Control: '', HostControl: '', Ready: '', ShardState: '', MoreWork: '', ReadyKind: '' },
  'op.ts': { Sqe: '', Cqe: '' },
  'mesh.ts': { Message: '' },
  'slab.ts': { Slab: '' },
  'list.ts': { Link: '' },
  'stats.ts': { Counters: '' },
  'check.ts': {},
  'http/connection.ts': { Connection: 'HttpConnection', Flag: 'HttpFlag', Method: 'HttpMethod', State: 'HttpState' },
  'websocket/frames.ts': { Frames: 'WebSocketFrames', Event: 'FrameEvent', Flag: 'FrameFlag', State: 'FrameState' },
};

/** Constants that name the length of a struct: the C struct is filled up to it. */
const LENGTHS = {
  HostControl: 'CONTROL_BYTES',
  Message: 'MESSAGE_BYTES',
  Counters: 'COUNTERS_BYTES',
  HttpConnection: 'CONNECTION_BYTES',
  WebSocketFrames: 'CONNECTION_BYTES',
};

// --- reading --------------------------------------------------------------------------------------------------------

/** The value of an expression like `4096`, `1 << 25` or `HEADER + 512`. */
function evaluate(expression, constants) {
  const [first, operator, second] = expression.split(/ (<<|\+) /);
  const value = (term) => {
    const number = /^-?\d+$|^0x[\da-f]+$/.test(term) ? Number(term) : constants[term]?.value;
    if (number === undefined) throw new Error(`cannot evaluate \`${expression}\`: extend assembly/translate.mjs`);
    return number;
  };
  if (operator === undefined) return value(first);
  return operator === '+' ? value(first) + value(second) : value(first) * 2 ** value(second);
}

function readConstants(text, constants) {
  for (const [, name, expression, about = ''] of text.matchAll(
    /^export const (\w+): [ui](?:32|size) = ([^;]+);(?: \/\/ (.*))?$/gm,
  )) {
    constants[name] = { value: evaluate(expression, constants), about };
  }
}

/** The lines between the braces of a class or an enum, without the empty ones. */
function linesOf(body) {
  return body.split('\n').filter((line) => line.trim() !== '');
}

function readEnum(body, name) {
  const members = {};
  for (const line of linesOf(body)) {
    if (/^ {2}\/\/ /.test(line)) continue;
    const [, member, value, about = ''] = /^ {2}(\w+) = (\d+),(?: \/\/ (.*))?$/.exec(line) ?? [];
    if (member === undefined) throw new Error(`cannot read \`${line}\` of ${name}: extend assembly/translate.mjs`);
    members[member] = { value: Number(value), about };
  }
  return members;
}

/** Fields with their offsets: each is aligned to its own size, as in C. `first`: where the first one may lie. */
function readClass(body, name, first) {
  const fields = {};
  let end = first;
  let heading = '';
  for (const line of linesOf(body)) {
    const comment = /^ {2}\/\/ (.*)$/.exec(line);
    if (comment !== null) {
      heading = comment[1];
      continue;
    }
    const [, field, type, about = ''] = /^ {2}(\w+): (\w+);(?: \/\/ (.*))?$/.exec(line) ?? [];
    const bytes = BYTES[type];
    if (bytes === undefined) throw new Error(`cannot read \`${line}\` of ${name}: extend assembly/translate.mjs`);
    const offset = Math.ceil(end / bytes) * bytes;
    fields[field] = { offset, type, about, heading };
    heading = '';
    end = offset + bytes;
  }
  return { fields, end };
}

/**
 * Reads constants, enums and classes. `readSource` returns the text of a file in assembly/. Result codes (check.ts) are
 * the enum Code.
 */
export function readLayout(readSource) {
  const layout = { constants: {}, enums: {}, structs: {} };
  for (const [file, wanted] of Object.entries(PUBLIC)) {
    const text = readSource(file);
    if (file === 'check.ts') {
      layout.enums.Code = {};
      readConstants(text, layout.enums.Code);
      continue;
    }
    readConstants(text, layout.constants);
    const blocks = /^export (enum|class) (\w+)(?: extends (\w+))? \{\n([^}]*)\n\}/gm;
    for (const [, kind, name, parent, body] of text.matchAll(blocks)) {
      if (wanted[name] === undefined) continue;
      const known = wanted[name] || name;
      if (kind === 'enum') layout.enums[known] = readEnum(body, name);
      else layout.structs[known] = { parent, ...readClass(body, name, layout.structs[parent]?.end ?? 0) };
    }
  }
  return layout;
}

const isUnused = (field) => /^unused\d*$/.test(field);

/** Pairs of name and offset, without what only fills lines. */
function offsetsOf({ fields }) {
  return Object.entries(fields)
    .filter(([name]) => !isUnused(name))
    .map(([name, { offset }]) => [name, offset]);
}

// --- TypeScript -----------------------------------------------------------------------------------------------------

const HOST_CONSTANTS = [
  'ABI_VERSION',
  'SHARDS_MAX',
  'HEADER',
  'HEADER_STATES',
  'HEADER_SCRATCH',
  'MESH',
  'SEND_STAGGER',
  'MESSAGE_BYTES',
  'MESSAGE_INLINE',
  'INLINE_BYTES',
  'CONNECTION_BYTES',
  'OP_BYTES',
  'TIMER_BYTES',
  'GUARD_BYTES',
  'STEP_OFFSET',
  'STEP_NAME_BYTES',
];
const HOST_ENUMS = [
  ...['Code', 'ShardState', 'MoreWork', 'ReadyKind', 'HttpFlag', 'HttpMethod', 'HttpState'],
  ...['FrameEvent', 'FrameFlag'],
];
const HOST_STRUCTS = [
  ...['Header', 'Control', 'HostControl', 'Message', 'Slab', 'Counters', 'HttpConnection'],
  'WebSocketFrames',
];
const HOST_NAMES = { Header: 'HeaderOffset', HttpConnection: 'ParserState' }; // in TypeScript these names are taken

const ORIGIN = 'Written by assembly/translate.mjs, from the sources of the core. Do not edit: npm run build:core';

/** The module host/core/offsets.ts. */
export function toTypeScript(layout) {
  const object = (name, pairs) =>
    `export const ${name} = {\n${pairs.map(([key, value]) => `  ${key}: ${value},\n`).join('')}} as const;\n`;
  const constants = HOST_CONSTANTS.map((name) => `export const ${name} = ${layout.constants[name].value};\n`);
  const enums = HOST_ENUMS.map((name) =>
    object(
      name,
      Object.entries(layout.enums[name]).map(([member, { value }]) => [member, value]),
    ),
  );
  const structs = HOST_STRUCTS.map((name) => {
    const about = `/** Offsets of the fields of ${name}, in bytes from its start. */\n`;
    return about + object(HOST_NAMES[name] ?? name, offsetsOf(layout.structs[name]));
  });
  return [
    `// ${ORIGIN}\n//\n// Numbers of the map of memory that the host uses; assembly/layout.ts explains them.\n`,
    constants.join(''),
    ...enums,
    ...structs,
  ].join('\n');
}

// --- JSON -----------------------------------------------------------------------------------------------------------

/** The file dist/layout.json: everything, as numbers. */
export function toJson({ constants, enums, structs }) {
  const values = (named) => Object.fromEntries(Object.entries(named).map(([name, { value }]) => [name, value]));
  const fields = ({ parent, fields: own }) => ({
    ...(parent === undefined ? {} : { extends: parent }),
    fields: Object.fromEntries(
      Object.entries(own)
        .filter(([name]) => !isUnused(name))
        .map(([name, { offset, type }]) => [name, { offset, type }]),
    ),
  });
  const each = (all, change) => Object.fromEntries(Object.entries(all).map(([name, one]) => [name, change(one)]));
  const { ABI_VERSION } = constants;
  const layout = {
    abiVersion: ABI_VERSION.value,
    constants: values(constants),
    enums: each(enums, values),
    structs: each(structs, fields),
  };
  return `${JSON.stringify(layout, null, 2)}\n`;
}

// --- C --------------------------------------------------------------------------------------------------------------

const C_TYPES = {
  u8: 'uint8_t',
  i8: 'int8_t',
  u16: 'uint16_t',
  i16: 'int16_t',
  u32: 'uint32_t',
  i32: 'int32_t',
  u64: 'uint64_t',
  i64: 'int64_t',
  f64: 'double',
};

const COLUMNS = 120;

const snake = (name) => name.replace(/([a-z\d])([A-Z])/g, '$1_$2').toLowerCase();
const upper = (name) => `FEATHERSTAR_${snake(name).toUpperCase()}`;

/** A line of C with a comment behind it, or before it if both together are too long. */
function commented(line, about) {
  if (about === '') return `${line}\n`;
  const indent = line.startsWith('\t') ? '\t' : '';
  const both = `${line} /* ${about} */`;
  return both.replace('\t', ' '.repeat(8)).length <= COLUMNS ? `${both}\n` : `${indent}/* ${about} */\n${line}\n`;
}

/** A struct and its asserts. One that extends another has all fields, under the name of the other. */
function cStruct(name, { structs, constants }) {
  const { parent, fields: own, end } = structs[name];
  const tag = `featherstar_${snake(parent ?? name)}`;
  const fields = Object.entries({ ...structs[parent]?.fields, ...own }).filter(([field]) => !isUnused(field));
  const align = Math.max(...fields.map(([, { type }]) => BYTES[type]));
  const length = constants[LENGTHS[name]]?.value ?? Math.ceil(end / align) * align;
  let lines = '';
  let at = 0;
  let gaps = 0;
  const fill = (to) => {
    if (to > at) lines += `\tuint8_t unused${gaps++}[${to - at}];\n`;
  };
  for (const [field, { offset, type, about, heading }] of fields) {
    if (Math.ceil(at / BYTES[type]) * BYTES[type] !== offset) fill(offset);
    if (heading !== '') lines += `\t/* ${heading} */\n`;
    lines += commented(`\t${C_TYPES[type]} ${snake(field)};`, about);
    at = offset + BYTES[type];
  }
  fill(length);
  const asserts = fields.map(
    ([field, { offset }]) => `_Static_assert(offsetof(struct ${tag}, ${snake(field)}) == ${offset}, "");\n`,
  );
  asserts.push(`_Static_assert(sizeof(struct ${tag}) == ${length}, "");\n`);
  return `struct ${tag} {\n${lines}};\n\n${asserts.join('')}`;
}

/** The header featherstar.h. */
export function toC(layout) {
  const { constants, enums, structs } = layout;
  const number = (value) => (value < 0 ? `(${value})` : value > 65536 ? `0x${value.toString(16)}` : `${value}`);
  const define = (name, { value, about }) => commented(`#define ${name} ${number(value)}`, about);
  const parents = new Set(Object.values(structs).map(({ parent }) => parent));
  return [
    '/* SPDX-License-Identifier: MIT OR Apache-2.0 */\n' +
      `/*\n * ${ORIGIN}\n *\n` +
      ' * The linear memory that a host of featherstar shares with the core; assembly/layout.ts draws it.\n *\n' +
      ' * Numbers are little-endian. Other threads can write there at any time. So read a number once, into a\n' +
      ' * local, and check it there.\n */\n#pragma once\n\n' +
      '#include <stddef.h>\n#include <stdint.h>\n',
    '#ifdef __cplusplus\n#define _Static_assert static_assert /* its name there */\n#endif\n',
    Object.entries(constants)
      .map(([name, one]) => define(upper(name), one))
      .join(''),
    ...Object.entries(enums).map(([name, members]) =>
      Object.entries(members)
        .map(([member, one]) => define(`${upper(name)}_${snake(member).toUpperCase()}`, one))
        .join(''),
    ),
    ...Object.keys(structs)
      .filter((name) => !parents.has(name))
      .map((name) => cStruct(name, layout)),
  ].join('\n');
}

// --- files ----------------------------------------------------------------------------------------------------------

/** All files that translate the layout: path -> text. */
export function translations(root) {
  const layout = readLayout((file) => readFileSync(join(root, 'assembly', file), 'utf8'));
  const header = toC(layout);
  return {
    'host/core/offsets.ts': toTypeScript(layout),
    'host/native/featherstar.h': header,
    'dist/c/featherstar.h': header,
    'dist/layout.json': toJson(layout),
  };
}

/** Writes those that have changed: what is built from a file is built again only if the file is newer. */
export function writeTranslations(root) {
  for (const [path, text] of Object.entries(translations(root))) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '', { flag: 'a' }); // so that there is one to compare with
    if (readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  }
}
