// The code that users may write, as the compiler sees it: tests/types/api.ts has intended and forbidden uses. And the
// public declarations say what they mean: no `any`, which would switch a user's checks off without a word.
//
// Next: types/api.ts.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const TYPES = join(ROOT, 'tests/types');
const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
const TSC = join(dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin.tsc);

function compile(project) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [TSC, '-p', project], { cwd: ROOT, encoding: 'utf8' });
  return { status, text: stdout + stderr };
}

/** `text` without comments. */
function code(text) {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');
}

function declarations() {
  const root = join(ROOT, 'dist/host');
  return readdirSync(root, { recursive: true })
    .filter((path) => path.endsWith('.d.ts'))
    .map((path) => join(root, path));
}

test('intended uses compile, and forbidden ones do not', () => {
  const { status, text } = compile(TYPES);
  assert.is(text, '');
  assert.is(status, 0);
});

test('typed calls, and the declarations of each entry point, need no DOM library', () => {
  const { status, text } = compile(join(TYPES, 'tsconfig.nodom.json'));
  assert.is(text, '');
  assert.is(status, 0);
});

test('a forbidden use that compiles is found', () => {
  const path = join(ROOT, 'dist/types-mutant');
  const mutant = `${path}.ts`;
  writeFileSync(
    mutant,
    "import { sleep } from 'featherstar';\n// @ts-expect-error: nothing is wrong here\nsleep(1);\n",
  );
  const config = { extends: '../tests/types/tsconfig.json', files: ['types-mutant.ts'], include: [] };
  writeFileSync(`${path}.json`, JSON.stringify(config));
  const { status, text } = compile(`${path}.json`);
  assert.is.not(status, 0);
  assert.match(text, 'TS2578');
});

test('no declaration says any', () => {
  const files = declarations();
  assert.ok(files.length > 20, `${files.length} declarations`);
  const found = files.filter((path) => /\bany\b/.test(code(readFileSync(path, 'utf8'))));
  assert.equal(found, []);
  assert.match(code('let x: any; // any\n/* any */'), /^let x: any; \n$/); // what is looked for is not cut away
});

test.run();
