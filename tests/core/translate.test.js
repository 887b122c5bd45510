// The map of memory in other languages (assembly/translate.mjs), against the sources and against the compiler.
//
//   assembly/*.ts --translate.mjs--> offsets.ts, featherstar.h     equal to the files that are there?
//                 --asc, offsetof--> a module of offsets           equal to what translate.mjs has computed?
//                                    featherstar.h --cc-->         do its own asserts hold?
//
// Next: layout.test.js, which shows by effect that the host's numbers are right.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readLayout, toC, toJson, toTypeScript, translations } from '../../assembly/translate.mjs';
import { buildWasm } from '../support/asc.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(ROOT, 'dist/translate');
const readSource = (file) => readFileSync(join(ROOT, 'assembly', file), 'utf8');
const layout = readLayout(readSource);

/** Where the classes are, and their names there. */
const CLASSES = {
  layout: ['Header', 'Control', 'HostControl', 'Ready'],
  op: ['Sqe', 'Cqe'],
  mesh: ['Message'],
  slab: ['Slab'],
  list: ['Link'],
  stats: ['Counters'],
  'http/connection': ['Connection'],
};

const publicName = (name) => (name === 'Connection' ? 'HttpConnection' : name);

/** Compares one text with another, and says what to do. */
function checkEqual(path, actual, expected) {
  if (actual !== expected) throw new Error(`${path} is not what the sources of the core say: npm run build:core`);
}

test('the files that the build writes are what the sources say', () => {
  for (const [path, text] of Object.entries(translations(ROOT))) {
    checkEqual(path, readFileSync(join(ROOT, path), 'utf8'), text);
  }
});

test('every offset is the one that the compiler uses', () => {
  const imports = Object.entries(CLASSES).map(
    ([file, names]) => `import { ${names.join(', ')} } from '../../assembly/${file}';\n`,
  );
  const fields = Object.values(CLASSES)
    .flat()
    .flatMap((name) => Object.keys(layout.structs[publicName(name)].fields).map((field) => [name, field]));
  const functions = fields.map(
    ([name, field], i) => `export function f${i}(): usize { return offsetof<${name}>('${field}'); }\n`,
  );
  mkdirSync(FOLDER, { recursive: true });
  const text = [...imports, ...functions].join('');
  writeFileSync(join(FOLDER, 'offsets.ts'), text);
  const module = buildWasm('dist/translate/offsets.ts', 'dist/translate/offsets.wasm', false);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  assert.ok(fields.length > 120, `${fields.length} fields`);
  fields.forEach(([name, field], i) => {
    assert.is(layout.structs[publicName(name)].fields[field].offset, exports[`f${i}`](), `${name}.${field}`);
  });
});

test('a C compiler finds every field where the header says', () => {
  const source = join(FOLDER, 'include.c');
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(source, '#include "featherstar.h"\nint main(void) { return 0; }\n');
  const flags = ['-std=c11', '-Wall', '-Wextra', '-Wpedantic', '-Werror', '-fsyntax-only'];
  const tried = ['gcc', 'clang'].map((compiler) => {
    const { error, status, stderr } = spawnSync(compiler, [...flags, `-I${join(ROOT, 'host/native')}`, source]);
    if (error !== undefined) return false;
    assert.is(status, 0, `${compiler}: ${stderr}`);
    return true;
  });
  if (!tried.includes(true)) console.log('# skipped: featherstar.h: no C compiler');
});

test('each struct of the header has an assert for each of its fields, and one for its size', () => {
  const header = toC(layout);
  for (const [, tag, body] of header.matchAll(/^struct (\w+) \{\n([^}]*)\};/gm)) {
    const fields = [...body.matchAll(/^\t\w+ (\w+);/gm)].map(([, field]) => field);
    assert.ok(fields.length >= 3, tag);
    for (const field of fields) assert.ok(header.includes(`offsetof(struct ${tag}, ${field}) ==`), `${tag}.${field}`);
    assert.ok(header.includes(`sizeof(struct ${tag}) ==`), tag);
  }
});

test('a change of the sources shows in each language, and what cannot be read is refused', () => {
  const changed = (file, from, to) =>
    readLayout((name) => {
      const text = readSource(name);
      if (name !== file) return text;
      assert.is(text.split(from).length, 2, `${file} has not exactly one ${from}`);
      return text.replace(from, to);
    });
  const moved = changed('layout.ts', '  recycleCount: u32;', '  fresh: u32;\n  recycleCount: u32;');
  assert.is(moved.structs.Control.fields.recycleCount.offset, 8);
  for (const write of [toC, toJson, toTypeScript]) assert.is.not(write(moved), write(layout), write.name);
  const grown = changed('layout.ts', 'STEP_OFFSET: u32 = 384', 'STEP_OFFSET: u32 = 448');
  for (const write of [toC, toJson, toTypeScript]) assert.is.not(write(grown), write(layout), write.name);

  assert.throws(
    () => changed('layout.ts', '  recycleCount: u32;', '  recycleCount: bool;'),
    /cannot read .*recycleCount/,
  );
  assert.throws(() => changed('layout.ts', '  TASKS = 1,', '  TASKS,'), /cannot read .*TASKS/);
  assert.throws(() => changed('layout.ts', 'HEADER: usize = 4096', 'HEADER: usize = 2 * 2048'), /cannot evaluate/);
  assert.throws(() => checkEqual('a.h', 'a', 'b'), /npm run build:core/);
});

test.run();
