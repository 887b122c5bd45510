// The page of the ABI (docs/abi.md), and what the TypeScript host declares, against the module and the map of memory.
//
//   host/core/core-module.ts, interface Core ------------------+
//   docs/abi.md --tables--> names, arguments, codes, limits ---+
//   core.wasm   --binaryen--> exports, imports, types ---------+--> one complaint for each difference
//   layout.json --> codes, limits, version -------------------+
//
// The example of the page is run by tests/docs-snippets-*.test.js. Invariant: every rule is shown a page that breaks it
// (the last test).
//

import { readFileSync } from 'node:fs';
import binaryen from 'assemblyscript/binaryen';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = new URL('../', import.meta.url);
const page = readFileSync(new URL('docs/abi.md', ROOT), 'utf8');
const layout = JSON.parse(readFileSync(new URL('dist/layout.json', ROOT), 'utf8'));
const bytes = readFileSync(new URL('dist/core.wasm', ROOT));
const module = binaryen.readBinary(bytes);

/** Rows of the tables below a heading: arrays of cells without backticks. */
function rowsOf(text, heading) {
  const from = text.indexOf(`\n${heading}\n`);
  assert.ok(from >= 0, `no heading ${heading}`);
  const rest = text.slice(from + heading.length + 2);
  const end = rest.search(/^## /m);
  return rest
    .slice(0, end < 0 ? undefined : end)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').replaceAll('`', '')));
}

const typesOf = (type) => binaryen.expandType(type).map((each) => (each === binaryen.f64 ? 'f64' : 'i32'));

/** `boot(i32, f64)`, as the module has it. */
function moduleExports() {
  return Array.from({ length: module.getNumExports() }, (_, i) => {
    const { name, kind, value } = binaryen.getExportInfo(module.getExportByIndex(i));
    if (kind !== binaryen.ExternalFunction) return name;
    const { params } = binaryen.getFunctionInfo(module.getFunction(value));
    return `${name}(${typesOf(params).join(', ')})`;
  });
}

/** `boot(i32, f64)`, from `boot(shard, f64 nowNs)`. */
function asTyped(signature) {
  const [, name, list] = /^(\w+)(?:\((.*)\))?$/.exec(signature) ?? [];
  if (list === undefined) return name;
  const types = list === '' ? [] : list.split(', ').map((each) => (each.startsWith('f64 ') ? 'f64' : 'i32'));
  return `${name}(${types.join(', ')})`;
}

function moduleImports() {
  return WebAssembly.Module.imports(new WebAssembly.Module(bytes)).map(({ module: from, name }) => `${from}.${name}`);
}

function differences(what, said, there) {
  const twice = said.filter((each, i) => said.indexOf(each) !== i).map((each) => `${what} ${each} is there twice`);
  const missing = there.filter((each) => !said.includes(each)).map((each) => `${what} ${each} is missing`);
  const extra = said.filter((each) => !there.includes(each)).map((each) => `${what} ${each} does not exist`);
  return [...twice, ...missing, ...extra];
}

/** Everything that is wrong in a page. */
function complaintsOf(text) {
  const fields = Object.keys(layout.structs.Header.fields);
  const limits = [...fields.slice(fields.indexOf('shardCount'), fields.indexOf('ringBytes')), 'callSlots'];
  const codes = Object.entries(layout.enums.Code).map(([name, value]) => `${name} ${value}`);
  const knownCodes = Object.keys(layout.enums.Code);
  const exportRows = rowsOf(text, '## Exports');
  return [
    ...differences(
      'export',
      exportRows.map(([signature]) => asTyped(signature)),
      moduleExports(),
    ),
    ...differences(
      'import',
      rowsOf(text, '## Imports').map(([name]) => name.replace(/\(.*\)$/, '')),
      moduleImports(),
    ),
    ...differences(
      'code',
      rowsOf(text, '## Codes').map(([name, value]) => `${name} ${value}`),
      codes,
    ),
    ...differences(
      'limit',
      rowsOf(text, '## Memory').map(([name]) => name),
      limits,
    ),
    ...exportRows.flatMap(([signature, returns]) =>
      (returns.match(/\b[A-Z_]{4,}\b/g) ?? [])
        .filter((code) => !knownCodes.includes(code))
        .map((code) => `${signature} returns ${code}, which is no code`),
    ),
    ...(text.includes(`It is ${layout.abiVersion}. A host`) ? [] : [`the version is ${layout.abiVersion}`]),
  ];
}

test('the page has every export with its arguments, every import, code and limit, and nothing else', () => {
  assert.equal(complaintsOf(page), []);
  assert.ok(moduleExports().length > 35 && moduleImports().length === 3, 'the module was read');
});

/** `boot(2): void`, from the interface Core of the TypeScript host, and from the module. */
function hostExports() {
  const text = readFileSync(new URL('host/core/core-module.ts', ROOT), 'utf8');
  const [, body] = /^export interface Core \{\n([^}]*)\n\}/m.exec(text);
  return [...body.matchAll(/^ {2}(\w+)\(([^)]*)\): (\w+);/gm)].map(
    ([, name, list, result]) => `${name}(${list.match(/\w+: number/g)?.length ?? 0}): ${result}`,
  );
}

test('the TypeScript host declares every export as it is', () => {
  const inModule = Array.from({ length: module.getNumExports() }, (_, i) =>
    binaryen.getExportInfo(module.getExportByIndex(i)),
  ).filter(({ kind }) => kind === binaryen.ExternalFunction);
  const actual = inModule.map(({ name, value }) => {
    const { params, results } = binaryen.getFunctionInfo(module.getFunction(value));
    return `${name}(${binaryen.expandType(params).length}): ${results === binaryen.none ? 'void' : 'number'}`;
  });
  assert.equal(differences('export', hostExports(), actual), []);
});

test('every name of a field or constant on the page is in layout.json', () => {
  const names = new Set([
    ...Object.keys(layout.constants),
    ...Object.values(layout.structs).flatMap(({ fields }) => Object.keys(fields)),
    ...Object.values(layout.enums).flatMap((members) => Object.keys(members)),
    'templateBytes', // an argument
  ]);
  const used = [...page.matchAll(/`([a-z]+[A-Z]\w*|[A-Z]+_[A-Z_]+)(?: [+*-] .*)?`/g)].map(([, name]) => name);
  const inModule = moduleExports().map((each) => each.split('(')[0]);
  assert.ok(used.length > 60, `${used.length} names`);
  assert.equal(
    used.filter((name) => !names.has(name) && !inModule.includes(name)),
    [],
  );
});

test('every rule for the page can fail', () => {
  const broken = (from, to, complaint) => {
    assert.ok(page.includes(from), `the page has no ${from}`);
    assert.equal(complaintsOf(page.replace(from, to)), [complaint].flat());
  };
  broken('| `awake()` |', '| awake |', 'export awake() is missing');
  broken('| `awake()` |', '| `awaken()` |', ['export awake() is missing', 'export awaken() does not exist']);
  broken('| `awake()` |', '| `hurry()` |', ['export hurry() is there twice', 'export awake() is missing']);
  broken('f64 deadlineNs', 'deadlineNs', [
    'export armTimer(f64, i32, i32) is missing',
    'export armTimer(i32, i32, i32) does not exist',
  ]);
  broken('| `uring.enter()` |', '| enter |', 'import uring.enter is missing');
  broken('| -5003 |', '| -5006 |', ['code RANGE -5003 is missing', 'code RANGE -5006 does not exist']);
  broken('| `opSlots` |', '| opSlots |', 'limit opSlots is missing');
  broken('OK; STALE | cancels a timer', 'OK; STOLEN | cancels a timer', [
    'cancelTimer(slot, generation) returns STOLEN, which is no code',
  ]);
  broken('It is 2. A host', 'It is 3. A host', 'the version is 2');
});

test.run();
