// What a page loads: the import graph of each entry of featherstar/browser, as a browser or a bundler would walk it.
// Nothing in it may need Node, and nothing a page that does not serve needs.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const DIST = new URL('../../dist/host/', import.meta.url);
const ENTRIES = ['browser/index.js', 'browser/shard.js', 'browser/worker.js'];

/** Modules that a source imports: what stands behind `from`, `import` or in `import()` as a literal. */
function importsOf(source) {
  const statements = /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, ''); // comments may show an import
  return [...code.matchAll(statements)].map(([, named, dynamic]) => named ?? dynamic);
}

/** Every module that an entry needs, and whatever of it is not a file beside it. */
function walk(entry) {
  const files = new Set();
  const strangers = [];
  const visit = (url) => {
    if (files.has(url.href)) return;
    files.add(url.href);
    for (const specifier of importsOf(readFileSync(url, 'utf8'))) {
      if (/^\.\.?\//.test(specifier)) visit(new URL(specifier, url));
      else strangers.push(`${url.href.slice(DIST.href.length)}: ${specifier}`);
    }
  };
  visit(new URL(entry, DIST));
  return { files: [...files].map((href) => href.slice(DIST.href.length)), strangers };
}

test('imports of all kinds are found', () => {
  const source = `import './a.js';\nimport b, { c } from "./b.js";\nimport {\n  d,\n  e,\n} from './d.js';
export * from './f.js';\nexport { g } from 'node:g';\nconst h = await import('h');\n// what comes from 'nowhere'\n`;
  assert.equal(importsOf(source), ['./a.js', './b.js', './d.js', './f.js', 'node:g', 'h']);
});

test('a module of Node is found wherever it is', () => {
  assert.ok(walk('runtime/runtime.js').strangers.some((line) => line.endsWith(': node:worker_threads')));
});

for (const entry of ENTRIES) {
  test(`${entry} needs no Node, no package and no import map`, () => {
    const { files, strangers } = walk(entry);
    assert.ok(files.length > 4, files.join('\n'));
    assert.equal(strangers, []);
  });

  test(`${entry} loads no server`, () => {
    const { files } = walk(entry);
    assert.equal(
      files.filter((file) => /^(?:net|http|fs|sim|runtime)\//.test(file)),
      [],
    );
  });
}

test('what the page itself loads imitates nothing of Node', () => {
  assert.not.ok(walk('browser/index.js').files.includes('browser/globals.js'));
  assert.ok(walk('browser/worker.js').files.includes('browser/globals.js'));
});

test('in a worker the imitations come first', () => {
  for (const entry of ['browser/worker.js', 'browser/shard.js']) {
    const source = readFileSync(fileURLToPath(new URL(entry, DIST)), 'utf8');
    assert.is(importsOf(source)[0], './globals.js', entry);
  }
});

test.run();
