// What the documents say of the code, compared with the code.
//
// The flow: *.md -> paths and marks in backticks, tables -> one complaint for each that is wrong.
// Conventions: `assembly/op.ts#submit` is a definition in that file. Numbers in a table are written with thousands
// separators, the unit behind.
//
// Invariant: every rule is shown something that breaks it (the last test), so none can rot into silence.
//
// Next: docs-snippets-uring.test.js and docs-snippets-portable.test.js, which run the programs of the pages.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ERROR_KINDS, errnoName } from '../dist/host/base/errors.js';
import { DEFAULT_LIMITS, makeMemory } from '../dist/host/core/core.js';
import { trackedFiles } from './support/tracked.js';

const ROOT = new URL('../', import.meta.url);
const LINES_OFF_MAX = 40; // a table of lengths that is older than this misleads
const ERRNO_MAX = 133;

function read(path) {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

function complain(complaints) {
  if (complaints.length === 0) return;
  throw Object.assign(new Error(`${complaints.length} complaints`), { details: complaints.join('\n') });
}

const tracked = trackedFiles(fileURLToPath(ROOT));
const documents = tracked.filter((path) => /^(?:docs\/.*|[^/]+)\.md$/.test(path));
const pages = documents.filter((path) => path.startsWith('docs/'));

// --- reading Markdown -----------------------------------------------------------------------------------------------

function withoutFences(text) {
  return text.replace(/^```[\s\S]*?^```$/gm, '');
}

/** Words of everything in single backticks. */
function codeWords(text) {
  return [...withoutFences(text).matchAll(/`([^`]+)`/g)].flatMap(([, code]) => code.split(/\s+/));
}

/** Rows of all tables below a heading, as arrays of cells, up to the next heading of its level or above. */
function rowsOf(text, heading) {
  const level = heading.indexOf(' ');
  const lines = text.split('\n');
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`no heading ${heading}`);
  const ends = (line) => /^#+ /.test(line) && line.indexOf(' ') <= level;
  const length = lines.slice(start + 1).findIndex(ends);
  const section = lines.slice(start + 1, length < 0 ? undefined : start + 1 + length);
  return section
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function unquoted(cell) {
  return cell.replaceAll('`', '');
}

/** The first number of a cell, or NaN. */
function numberIn(cell) {
  const match = /-?\d[\d,]*(?:\.\d+)?/.exec(cell);
  return match === null ? Number.NaN : Number(match[0].replaceAll(',', ''));
}

// --- paths and marks ------------------------------------------------------------------------------------------------

const FOLDERS = /^(?:\.ci|assembly|bench|dist|docs|examples|host|tests)\//;
const ROOT_FILE = /^[\w-]+\.(?:md|json)$/;
const CODE_FILE = /^[\w-]+(?:\.\w+)*\.(?:ts|c|h|js|mjs)$/;

const fileNames = new Set(
  tracked
    .filter((path) => /^(?:assembly|bench|examples|host|tests)\//.test(path))
    .map((path) => path.split('/').at(-1)),
);

function existsPath(path) {
  if (!path.includes('*')) return existsSync(new URL(path, ROOT));
  const slash = path.lastIndexOf('/');
  const folder = new URL(path.slice(0, slash + 1), ROOT);
  const pattern = new RegExp(
    `^${path
      .slice(slash + 1)
      .replaceAll('.', '\\.')
      .replaceAll('*', '.*')}$`,
  );
  return existsSync(folder) && readdirSync(folder).some((name) => pattern.test(name));
}

/** Paths in backticks that are not there. A bare file name must be the name of some file. */
function missingPaths(text) {
  return codeWords(text)
    .map((word) => word.split('#')[0].replace(/[,;:]$/, ''))
    .filter((path) => {
      if (FOLDERS.test(path) || ROOT_FILE.test(path)) return !existsPath(path);
      return CODE_FILE.test(path) && !fileNames.has(path);
    });
}

function marksOf(text) {
  return codeWords(text).filter((word) => /^[\w./-]+#\w+$/.test(word));
}

/** Whether `source` defines a function, method, class or constant of that name (private or not). */
function defines(source, name) {
  const modifiers = '(?:(?:export|declare|private|public|protected|static|async|override|readonly|get|set) )*';
  const patterns = [
    `^${modifiers}(?:function|class|interface|enum|const|let) ${name}\\b`,
    `^ {2}${modifiers}\\*?#?${name}(?:<.*>)?\\((?:.*\\{)?$`, // a method; its parameters may go on
    `^ {2}${modifiers}#?${name}\\b.* = .*=>.*\\{$`, // an arrow that is kept
    `^(?:static )?(?:\\w+ )+\\*?${name}\\(.*[^;]$`, // C
    `^#define ${name}\\b`,
  ];
  return patterns.some((pattern) => new RegExp(pattern, 'm').test(source));
}

function wrongMarks(text) {
  return marksOf(text).filter((mark) => {
    const [path, name] = mark.split('#');
    return !existsSync(new URL(path, ROOT)) || !defines(read(path), name);
  });
}

test('README, ARCHITECTURE and the pages of docs are there', () => {
  for (const name of ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'RATIONALE.md']) {
    assert.ok(documents.includes(name), `${name} is missing`);
  }
  for (const name of ['limits', 'errors', 'http']) assert.ok(documents.includes(`docs/${name}.md`), name);
});

test('every path in backticks is there', () => {
  const isBuilt = (path) => path.startsWith('dist/'); // without a C compiler some of it is not
  const missing = (path) => missingPaths(read(path)).filter((name) => !isBuilt(name));
  complain(documents.flatMap((path) => missing(path).map((name) => `${path}: ${name}`)));
});

test('every function that is named with its file is in that file', () => {
  assert.ok(marksOf(read('ARCHITECTURE.md')).length > 60, 'the journeys have marks');
  complain(documents.flatMap((path) => wrongMarks(read(path)).map((mark) => `${path}: ${mark}`)));
});

// --- docs/how-it-works ----------------------------------------------------------------------------------------------

const BOOK = 'docs/how-it-works/';
const chapters = pages.filter((path) => path.startsWith(BOOK) && !path.endsWith('/README.md'));

/** What a page links to, `[text](page#heading)`; not addresses of the web. */
function linksOf(text) {
  return [...withoutFences(text).matchAll(/\]\(([\w./-]*(?:#[\w-]*)?)\)/g)].map(([, target]) => target);
}

/** The names by which links reach the headings of a page, as GitHub makes them. */
function anchorsOf(text) {
  const headings = [...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Links of a page that lead nowhere: to no file, or to no heading of a page. */
function deadLinks(path, text) {
  return linksOf(text).filter((target) => {
    const [file, anchor] = target.split('#');
    const url = file === '' ? new URL(path, ROOT) : new URL(file, new URL(path, ROOT));
    if (!existsSync(url)) return true;
    return anchor !== undefined && !anchorsOf(file === '' ? text : readFileSync(url, 'utf8')).includes(anchor);
  });
}

test('every link to a file, or to a heading in it, leads there', () => {
  complain(documents.flatMap((path) => deadLinks(path, read(path)).map((target) => `${path}: ${target}`)));
});

/** Paths of pages that stand in backticks: a reader in a browser wants a link. */
function unlinkedPaths(text) {
  return codeWords(text).filter((word) =>
    /^(?:docs\/[\w/-]+|ARCHITECTURE|CONTRIBUTING|RATIONALE|README)\.md$/.test(word),
  );
}

function saysWhereToGo(text) {
  return /^Next: |^## Where to go next$|^\*\*Next\*\*/m.test(text);
}

const LEDGERS = ['CHANGELOG.md', 'RATIONALE.md']; // read by entry, not from start to end

test('pages link to each other, and each says where to go next', () => {
  const toRead = documents.filter((path) => !LEDGERS.includes(path));
  complain(toRead.flatMap((path) => unlinkedPaths(read(path)).map((name) => `${path}: ${name} is no link`)));
  complain(toRead.filter((path) => !saysWhereToGo(read(path))).map((path) => `${path}: where does one go next?`));
});

/** Pages of docs that its index does not name. */
function unlinkedPages(index, all) {
  const listed = linksOf(index).map((name) => `docs/${name}`);
  return all.filter((path) => path !== 'docs/README.md' && !listed.includes(path));
}

test('the index of docs has every page', () => {
  const all = pages.filter((path) => !path.startsWith(BOOK) || path.endsWith('/README.md'));
  assert.equal(unlinkedPages(read('docs/README.md'), all), []);
});

test('the book lists its chapters in order, and each points at the source and has exercises', () => {
  assert.ok(chapters.length >= 7);
  const listed = linksOf(read(`${BOOK}README.md`)).filter((name) => /^\d/.test(name));
  assert.equal(
    [...new Set(listed)].map((name) => BOOK + name),
    chapters,
  );
  for (const path of chapters) {
    const text = read(path);
    assert.ok(marksOf(text).length >= 5, `${path} points at the source`);
    for (const heading of ['In the source', 'Exercises'])
      assert.ok(text.includes(`\n## ${heading}\n`), `${path}: ${heading}`);
  }
});

// --- ARCHITECTURE.md ------------------------------------------------------------------------------------------------

function wrongLengths(rows, lengthOf) {
  return rows
    .map(([file, lines]) => [unquoted(file), numberIn(lines)])
    .filter(([path, lines]) => !(Math.abs(lengthOf(path) - lines) <= LINES_OFF_MAX))
    .map(([path, lines]) => `${path}: ${lengthOf(path)} lines, not ${lines}`);
}

function coreRows() {
  return rowsOf(read('ARCHITECTURE.md'), '## The core, in reading order').filter(([file]) => file !== 'file');
}

test('the reading order has every file of the core, in the order that index.ts gives', () => {
  const files = coreRows().map(([file]) => unquoted(file));
  const all = tracked.filter((path) => /^assembly\/.*\.ts$/.test(path));
  assert.equal([...files].sort(), all);
  const order = /Reading order: ([\w, ]+)\./.exec(read('assembly/index.ts'))[1].split(', ');
  assert.equal(
    files.slice(1, 1 + order.length),
    order.map((name) => `assembly/${name}.ts`),
  );
});

test('the reading order says about how long each file is', () => {
  complain(wrongLengths(coreRows(), (path) => read(path).split('\n').length - 1));
});

// --- docs/limits.md -------------------------------------------------------------------------------------------------

/** Numbers of an object literal in a source: `const NAME... = { key: 1_000, ... }`. */
function objectOf(source, name) {
  const body = new RegExp(`^(?:export )?const ${name}\\b[^=]*= \\{\\n([\\s\\S]*?)^\\};`, 'm').exec(source)[1];
  const entries = [...body.matchAll(/^ {2}(\w+): ([\w.]+),/gm)];
  return Object.fromEntries(entries.map(([, key, value]) => [key, literal(value)]));
}

function literal(text) {
  if (text === 'Number.MAX_SAFE_INTEGER') return Number.MAX_SAFE_INTEGER;
  const shift = /^(\d+) << (\d+)$/.exec(text);
  return shift === null ? Number(text.replaceAll('_', '')) : shift[1] * 2 ** shift[2];
}

/** The value of a constant in TypeScript or C; of a function, all numbers in it. */
function valuesOf(source, name) {
  const constant = new RegExp(`^(?:export )?const ${name}\\b[^=\\n]*= (.+?);`, 'm').exec(source);
  const define = new RegExp(`^#define ${name} (\\S+)`, 'm').exec(source);
  if (constant !== null || define !== null) return [literal((constant ?? define)[1])];
  const body = new RegExp(`^(?:export )?function ${name}\\b[\\s\\S]*?^\\}`, 'm').exec(source)?.[0] ?? '';
  return [...body.matchAll(/\b\d[\d_.]*(?:e\d+)?\b/g)].map(([number]) => literal(number));
}

function differences(rows, wanted, column) {
  const given = Object.fromEntries(rows.map((cells) => [unquoted(cells[0]), numberIn(cells[column])]));
  return [...new Set([...Object.keys(given), ...Object.keys(wanted)])]
    .filter((name) => given[name] !== wanted[name])
    .map((name) => `${name}: the page has ${given[name]}, the source ${wanted[name]}`);
}

function limitRows(heading) {
  return rowsOf(read('docs/limits.md'), heading).filter(([name]) => name !== 'limit' && name !== 'option');
}

test('the limits of memory have their defaults', () => {
  const rows = limitRows('## Memory of a shard').filter((cells) => cells.length === 4);
  complain(differences(rows, DEFAULT_LIMITS, 1));
  const { header } = makeMemory(1, DEFAULT_LIMITS);
  const mebibytes = (header.shardBytes / 2 ** 20).toFixed(1);
  assert.ok(read('docs/limits.md').includes(`${mebibytes} MiB`), `a shard has ${mebibytes} MiB`);
});

test('the limits of memory say what the uring addon takes', () => {
  const rows = limitRows('## Memory of a shard').filter((cells) => cells.length === 2);
  const options = read('host/native/options.c').matchAll(/option\(env, object, "(\w+)", ([\d< ]+),/g);
  const highest = Object.fromEntries([...options].map(([, name, value]) => [name, literal(value)]));
  complain(differences(rows, highest, 1));
});

test('the limits of HTTP have their defaults and highest values', () => {
  const source = read('host/http/server.ts');
  complain(differences(limitRows('## HTTP'), objectOf(source, 'DEFAULTS'), 1));
  complain(differences(limitRows('## HTTP'), objectOf(source, 'HIGHEST'), 2));
});

test('the limits of WebSockets have their defaults and highest values', () => {
  const source = read('host/websocket/options.ts');
  complain(differences(limitRows('## WebSocket'), objectOf(source, 'DEFAULTS'), 1));
  complain(differences(limitRows('## WebSocket'), objectOf(source, 'HIGHEST'), 2));
});

test('the limits of clients of WebSockets have their defaults and highest values', () => {
  const source = read('host/websocket/client-options.ts');
  complain(differences(limitRows('## WebSocket clients'), objectOf(source, 'CLIENT_DEFAULTS'), 1));
  complain(differences(limitRows('## WebSocket clients'), objectOf(source, 'CLIENT_HIGHEST'), 2));
});

function wrongConstants(rows) {
  return rows.flatMap((cells) => {
    const [path, name] = unquoted(cells.at(-1)).split('#');
    const shown = numberIn(cells[1]);
    const values = valuesOf(read(path), name);
    return values.includes(shown) ? [] : [`${cells[0]}: the page has ${shown}, ${path} ${values.join(', ')}`];
  });
}

test('the limits that cannot be set have the values of their constants', () => {
  const rows = limitRows('## What cannot be set');
  assert.ok(rows.length > 20);
  complain(wrongConstants(rows));
});

test('the options of the runtime have the values of their constants', () => {
  const rows = limitRows('## Runtime');
  assert.equal(
    rows.map(([name]) => name),
    ['`shards`', '`idlePollUs`', '`taskQuotaUs`', '`sharedBytes`', '`stallMs`', '`shutdownTimeoutMs`'],
  );
  const [shards, ...others] = rows;
  complain(wrongConstants(others));
  assert.is(numberIn(shards[2].replace('1 to', '')), valuesOf(read('host/core/offsets.ts'), 'SHARDS_MAX')[0]);
});

// --- docs/errors.md -------------------------------------------------------------------------------------------------

test('every error code has a section, and no other has', () => {
  const codes = Object.keys(ERROR_KINDS);
  const page = read('docs/errors.md');
  const sections = [...page.matchAll(/^### (\w+)$\n\n([^#]+)/gm)];
  assert.equal(
    sections.map(([, code]) => code),
    codes,
  );
  for (const [, code, body] of sections) {
    assert.match(body, /Example\b/, code);
    assert.match(body, /Remedy:/, code);
  }
});

test('every kind of fault has a row with its codes', () => {
  const rows = rowsOf(read('docs/errors.md'), '## Whose fault').filter(([kind]) => kind !== 'kind');
  const written = rows.flatMap(([kind, , codes]) =>
    codes.split(' ').map((code) => [`FEATHERSTAR_${code}`, unquoted(kind)]),
  );
  const bySorted = (pairs) => Object.fromEntries([...pairs].sort());
  assert.equal(bySorted(written), bySorted(Object.entries(ERROR_KINDS)));
});

test('the table of errno has what errors.ts can name', () => {
  const known = {};
  for (let errno = 1; errno <= ERRNO_MAX; errno++) {
    const name = errnoName(-errno);
    if (!name.startsWith('errno')) known[errno] = name;
  }
  assert.ok(Object.keys(known).length > 20);
  const rows = rowsOf(read('docs/errors.md'), '## errno').filter(([errno]) => errno !== 'errno');
  assert.equal(Object.fromEntries(rows.map(([errno, name]) => [errno, name])), known);
  for (const [errno, , text] of rows) assert.ok(text.length > 3, `${errno} has a cause`);
});

// --- the rules themselves -------------------------------------------------------------------------------------------

test('every rule can fail', () => {
  const absent = 'assembly/no' + 'ne.ts';
  const words = [absent, 'host/*.ts', 'host/*.zig', 'nobody.ts', 'op.ts', 'Array.ts('];
  const text = `${words.map((word) => `\`${word}\``).join(', ')}\n\`\`\`\n\`a/b.ts\`\n\`\`\``;
  assert.equal(missingPaths(text), [absent, 'host/*.zig', 'nobody.ts']);
  assert.equal(missingPaths('`NOBODY.md`, `docs/`, `package.json`'), ['NOBODY.md']);

  const wrong = ['assembly/op.ts#submits', 'assembly/op.ts#slabTake', `${absent}#submit`, 'host/shard/shard.ts#splice'];
  const right = [
    'assembly/op.ts#submit',
    'host/shard/shard.ts#drain',
    'host/shard/shard.ts#turn',
    'host/shard/wait.ts#Wait',
    'host/native/gate.c#gate_admit',
    'host/native/ring.h#PEERS_MAX',
  ];
  assert.equal(wrongMarks([...wrong, ...right].map((mark) => `\`${mark}\``).join(' ')), wrong);

  assert.equal(deadLinks('docs/http.md', '[a](errors.md) [b](no-such.md) [c](../README.md)'), ['no-such.md']);
  const anchors = '# One, two\n[a](#one-two) [b](#three) [c](errors.md#errno) [d](errors.md#no-such)';
  assert.equal(deadLinks('docs/http.md', anchors), ['#three', 'errors.md#no-such']);
  assert.equal(unlinkedPaths('`docs/http.md` `assembly/op.ts` [a](docs/fs.md)'), ['docs/http.md']);
  assert.ok(!saysWhereToGo('Next year.') && saysWhereToGo('a\n\nNext: [b](c.md).'));
  assert.equal(unlinkedPages('[a](b.md)', ['docs/b.md', 'docs/c.md', 'docs/README.md']), ['docs/c.md']);

  assert.is(wrongLengths([['`a.ts`', '100']], () => 100 + LINES_OFF_MAX).length, 0);
  assert.is(wrongLengths([['`a.ts`', '100']], () => 101 + LINES_OFF_MAX).length, 1);
  assert.is(wrongLengths([['`a.ts`', 'many']], () => 100).length, 1);

  assert.is(differences([['`a`', '1,024']], { a: 1024 }, 1).length, 0);
  assert.is(differences([['`a`', '1,024']], { a: 1025 }, 1).length, 1);
  assert.is(differences([], { a: 1 }, 1).length, 1);
  assert.is(differences([['`a`', '1']], {}, 1).length, 1);

  const limits = ['x', '65 peers', 'EINVAL', '`host/native/ring.h#PEERS_MAX`'];
  assert.is(wrongConstants([limits]).length, 1);
  assert.is(wrongConstants([['x', '64 peers', '', limits[3]]]).length, 0);
  assert.is(wrongConstants([['x', '99', '', '`host/tasks/timer.ts#checkDelay`']]).length, 1);
});

test('no page is empty', () => {
  for (const path of documents) assert.ok(statSync(new URL(path, ROOT)).size > 200, path);
});

test.run();
