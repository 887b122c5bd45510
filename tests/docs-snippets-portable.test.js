// The programs in the pages of docs/, on the portable host, and the rules for them.
//
// Next: support/snippets.js; docs-snippets-uring.test.js, the same programs on io_uring.

import { readdirSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { allSnippets, runSnippet, snippetsOf, testSnippets } from './support/snippets.js';

const BOOK = 'docs/how-it-works/';
const CHAPTERS = readdirSync(new URL(`../${BOOK}`, import.meta.url)).filter((name) => /^\d.*\.md$/.test(name));

test('there are snippets that run', () => {
  const snippets = allSnippets();
  assert.ok(CHAPTERS.length >= 7);
  for (const page of ['docs/http.md', 'docs/errors.md', ...CHAPTERS.map((name) => BOOK + name)])
    assert.ok(
      snippets.some(({ where }) => where.startsWith(page)),
      page,
    );
  for (const { where, prints } of snippets) assert.ok(prints !== '', `${where} says what it prints`);
});

testSnippets('portable');

test('a snippet that prints something else, or fails, is noticed', async () => {
  const [snippet] = snippetsOf("# a\n```js run\nimport 'featherstar';\nconsole.log(1);\n// prints 2\n```\n");
  assert.is(snippet.prints, '2\n');
  assert.is(snippet.line, 2);
  assert.equal(await runSnippet(snippet.code, 'portable'), { stdout: '1\n', stderr: '', ending: 0 });
  assert.is((await runSnippet('throw new Error("no")', 'portable')).ending, 1);
});

test.run();
