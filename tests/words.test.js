// Plain words as a test: comments and documents obey the rules of support/words.js, and the names in comments exist.
//
// What flows through: tracked sources and pages -> sentences -> the rules that each breaks -> a count for each folder.
// MOST says how many a folder may still have. A count may only fall: lower the number when you have mended some.
// `node tests/words.test.js docs/http.md host/fs` prints every sentence below these paths that breaks a rule.
//
// Invariant: every rule is shown a sentence that breaks it (the last tests), so none can rot into silence.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { trackedFiles } from './support/tracked.js';
import { brokenRules, commentLines, sentencesOfPage, sentencesOfSource, wordsIn } from './support/words.js';

const ROOT = new URL('../', import.meta.url);

/** How many sentences of a folder, of it alone, may break a rule. A folder that is not named here: none. */
const MOST = {
  'CHANGELOG.md': 20,
  'RATIONALE.md': 1,
  bench: 5,
  'bench/baseline': 2,
  'bench/core': 3,
  'bench/files': 1,
  'bench/live': 1,
  host: 2,
  'host/base': 2,
  'host/browser': 2,
  'host/calls': 2,
  'host/cli': 2,
  'host/core': 2,
  'host/fs': 2,
  'host/hosts': 2,
  'host/http': 2,
  'host/native': 2,
  'host/net': 2,
  'host/runtime': 2,
  'host/services': 2,
  'host/shard': 2,
  'host/sim': 2,
  'host/sync': 2,
  'host/tasks': 2,
  tests: 18,
  'tests/api': 30,
  'tests/browser': 16,
  'tests/contract': 9,
  'tests/core': 20,
  'tests/host': 8,
  'tests/http': 27,
  'tests/interleave': 33,
  'tests/mutate': 8,
  'tests/native': 24,
  'tests/sim': 23,
  'tests/sim/live': 9,
  'tests/sim/regressions': 1,
  'tests/support': 13,
};

const SLACK = 5; // so few may be mended without a change here

const SOURCE = /\.(?:ts|js|mjs|c|h)$/;

function read(path) {
  return readFileSync(new URL(path, ROOT), 'utf8');
}

function complain(complaints) {
  if (complaints.length === 0) return;
  throw Object.assign(new Error(`${complaints.length} complaints`), { details: complaints.join('\n') });
}

const tracked = trackedFiles(fileURLToPath(ROOT));
const sources = tracked.filter((path) => SOURCE.test(path));
const pages = tracked.filter((path) => path.endsWith('.md'));

function folderOf(path) {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : path;
}

function complaintsOf(paths) {
  return paths.flatMap((path) =>
    brokenRules(path, read(path)).map((broken) => ({ ...broken, path, folder: folderOf(path) })),
  );
}

function shown({ path, line, rule, text }) {
  return `${path}:${line}: ${rule}: ${text}`;
}

/** Folders with more than they may have, or with so much less that the number should be lowered. */
function wrongCounts(counts, most) {
  const folders = [...new Set([...Object.keys(counts), ...Object.keys(most)])];
  return folders.flatMap((folder) => {
    const [count, bound] = [counts[folder] ?? 0, most[folder] ?? 0];
    if (count > bound) return [`${folder}: ${count} sentences break a rule, ${bound} may`];
    if (bound > SLACK && count < bound / 2)
      return [`${folder}: only ${count} sentences break a rule: lower its ${bound}`];
    return [];
  });
}

if (process.argv.length > 2) {
  const asked = [...sources, ...pages].filter((path) => process.argv.slice(2).some((start) => path.startsWith(start)));
  console.log(complaintsOf(asked).map(shown).join('\n'));
}

test('no folder has more sentences that break a rule than before', () => {
  const broken = complaintsOf([...sources, ...pages]);
  const counts = {};
  for (const { folder } of broken) counts[folder] = (counts[folder] ?? 0) + 1;
  const wrong = wrongCounts(counts, MOST);
  const folders = wrong.map((text) => text.split(':')[0]);
  complain([...wrong, ...broken.filter(({ folder }) => folders.includes(folder)).map(shown)]);
});

// --- names ----------------------------------------------------------------------------------------------------------

/** Names of others: of the kernel and its headers, of libuv. */
const BUILT = /^(dist\/c\/)?featherstar_core\.[ch]$|^dispatch\.c$/; // files that are made, and not tracked
const FOREIGN = /^(?:uv_\w+|(?:include|linux|net)\/.*|(?:elf|errno|fuse|poll|socket)\.h)$/;

const code = sources.map((path) => withoutComments(read(path))).join('\n');
const identifiers = new Set([...code.matchAll(/[\w$]+(?=\s*(?:<[^()]*>)?\()/g)].map(([name]) => name));
const fileNames = new Set(tracked.map((path) => path.split('/').at(-1)));

function withoutComments(source) {
  const rows = source.split('\n');
  for (const { line, text } of commentLines(source)) {
    const row = rows[line - 1];
    rows[line - 1] = row.slice(0, Math.max(0, row.lastIndexOf(text)));
  }
  return rows.join('\n');
}

/** Functions `name()` and files `name.ts` of comments that are nowhere. */
function missingNames(source, isFunction, isFile) {
  return commentLines(source).flatMap(({ line, text, isExample }) => {
    if (isExample) return [];
    const functions = [...text.matchAll(/(?<![\w.$'"`/])#?([A-Za-z_$][\w$]*)\(\)/g)].map(([, name]) => name);
    const files = [
      ...text.matchAll(/(?<![\w./:-])((?:[a-z][\w-]*\/)*[a-z][\w-]*\.(?:ts|js|mjs|c|h|md))(?![\w./(-])/g),
    ].map(([, path]) => path);
    return [...functions.filter((name) => !isFunction(name)), ...files.filter((path) => !isFile(path))].map(
      (name) => `${line}: ${name}`,
    );
  });
}

function isKnownFunction(name) {
  return identifiers.has(name) || FOREIGN.test(name);
}

function isKnownFile(path) {
  if (FOREIGN.test(path) || BUILT.test(path)) return true;
  return path.includes('/') ? tracked.some((file) => file.endsWith(path)) : fileNames.has(path);
}

test('every function and file that a comment names exists', () => {
  complain(
    sources
      .filter((path) => path !== 'tests/words.test.js')
      .flatMap((path) => missingNames(read(path), isKnownFunction, isKnownFile).map((name) => `${path}:${name}`)),
  );
});

// --- the rules themselves -------------------------------------------------------------------------------------------

test('sentences of pages and of comments are found', () => {
  const page =
    '# A title\n\nOne `a b` two. Three\nfour (1.5).\n\n- five\n\n| six | seven |\n| --- | --- |\n```\nno\n```\n';
  assert.equal(
    sentencesOfPage(page).map(({ text }) => text),
    ['A title', 'One CODE two.', 'Three four (1.5).', 'five', 'six', 'seven'],
  );
  const source = `// === Title ===
//
// One two.
// Three
//    drawing --> of something
const x = 1; // behind: four
/** Five
 *  six. Seven. */
const url = 'http://eight';
`;
  assert.equal(
    sentencesOfSource(source).map(({ text }) => text),
    ['One two.', 'Three', 'behind: four', 'Five six.', 'Seven.'],
  );
  assert.is(wordsIn('one, two - `three` 4'), 4);
});

test('every rule can fail', () => {
  const breaks = (text) => brokenRules('a.md', text).map(({ rule }) => rule);
  assert.equal(breaks('Who gives no position reads on.'), ['headless']);
  assert.equal(breaks('What it does is this.'), ['headless']);
  assert.equal(breaks('What is a shard?'), []);
  assert.equal(breaks('It is used by nobody.'), ['people']);
  assert.equal(breaks('It takes whoever comes.'), ['people']);
  assert.equal(breaks('The function answers 1.'), ['answers']);
  assert.equal(breaks('The same, but later.'), ['neighbour']);
  assert.equal(breaks('As `call()`, with a signal.'), ['neighbour']);
  assert.equal(breaks('It does this. The same holds there. As a rule it works.'), []);
  assert.equal(breaks(`${'word '.repeat(26)}end.`), ['long']);
  assert.equal(breaks(`| ${'word '.repeat(26)} |`), []);
  assert.equal(breaks('A plain sentence. It has a verb.'), []);
  assert.is(brokenRules('a.ts', '// Who gives.\n\n/** The same, but. */\nlet x; // answers 1\n').length, 3);
});

test('a count that rises, and one that has fallen far, are told', () => {
  assert.is(wrongCounts({ a: 3 }, { a: 2 }).length, 1);
  assert.is(wrongCounts({ a: 1 }, {}).length, 1);
  assert.is(wrongCounts({ a: 2 }, { a: 2 }).length, 0);
  assert.is(wrongCounts({ a: 2 }, { a: 6 }).length, 1);
  assert.is(wrongCounts({}, { a: 5 }).length, 0);
});

test('a name that does not exist is told', () => {
  const text = '// there() is in here.ts, and absent() in gone.ts\nlet y; // see nowhere()\n/** folder/here.ts */\n';
  const isThere = (name) => ['there', 'here.ts'].includes(name);
  assert.equal(missingNames('/**\n * A b.\n * @example\n * nowhere();\n */\n', isThere, isThere), []);
  assert.equal(missingNames(text, isThere, isThere), ['1: absent', '1: gone.ts', '2: nowhere', '3: folder/here.ts']);
  assert.ok(isKnownFunction('complain') && !isKnownFunction('nothingOfThisName'));
  assert.ok(isKnownFile('words.js') && isKnownFile('support/words.js') && !isKnownFile('no-such.ts'));
});

test.run();
