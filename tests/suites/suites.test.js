// Tests of `npm run suites`, on a small suite that is written here. They say which tests count as passed, failed and
// skipped, and that an exception needs a reason. The suites themselves are not here: see main.js.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { exceptionsOf, excusesOf } from './exceptions.js';

const MAIN = fileURLToPath(new URL('main.js', import.meta.url));

const FILES = {
  'fetch/api/resources/values.js': 'const value = 1;',
  'fetch/api/headers/pass.any.js': `// META: script=../resources/values.js
    test(() => assert_equals(value, 1), 'a script that is included');
    promise_test((t) => promise_rejects_js(t, TypeError, Promise.reject(new TypeError('no'))), 'a rejection');
    async_test((t) => setTimeout(t.step_func_done(() => assert_true(true))), 'a step');`,
  'fetch/api/headers/fail.any.js': `
    test(() => assert_array_equals([1], [2]), 'an array');
    test(() => assert_throws_js(TypeError, () => { throw new RangeError('no'); }), 'the wrong error');
    promise_test((t) => promise_rejects_js(t, TypeError, Promise.resolve()), 'no rejection');
    async_test((t) => setTimeout(t.step_func_done(() => assert_true(false))), 'a step');`,
  'fetch/api/headers/skip.html': `<script src="/resources/testharness.js"></script>
    <script>promise_test(() => fetch('file.txt'), 'a server');</script>
    <script>test(() => document.body, 'a page');</script>`,
};

function makeSuite() {
  const dir = mkdtempSync(join(tmpdir(), 'featherstar-suites-'));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  const git = (...args) => execFileSync('git', ['-C', dir, '-c', 'user.name=a', '-c', 'user.email=a@b.c', ...args]);
  git('init', '-q');
  git('remote', 'add', 'origin', 'https://example.com/suite');
  git('add', '.');
  git('commit', '-q', '-m', 'all');
  return { dir, commit: git('rev-parse', 'HEAD').toString().trim() };
}

test('a suite is counted on both sides, and its commit is named', () => {
  const { dir, commit } = makeSuite();
  try {
    const { stdout, status } = spawnSync(process.execPath, [MAIN, 'wpt-headers', dir], { encoding: 'utf8' });
    assert.match(stdout, `commit ${commit} of `);
    assert.match(stdout, ', cloned from https://example.com/suite\n');
    assert.match(stdout, `Node ${process.version}: 3 passed, 4 failed, 2 skipped\n`);
    assert.match(stdout, 'featherstar: 3 passed, 4 failed, 2 skipped\n');
    assert.is(status, 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('wrong arguments end with exit code 2 and the names of the suites', () => {
  for (const args of [[], ['wpt-headers'], ['nothing', '.'], ['wpt-headers', './nowhere']]) {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });
    assert.is(status, 2);
    assert.match(stderr, 'wpt-headers');
  }
});

test('each test that only the peer passes needs a reason, and each reason such a test', () => {
  const outcomes = (...all) => new Map(all.map((outcome, i) => [`test ${i}`, { outcome, message: 'why' }]));
  const text = '// a comment\nother test 0\n  Not ours.\n\nours test 1*\nours test 2\n  Two lines\n  of a reason.\n';
  const peer = outcomes('pass', 'pass', 'pass', 'fail', 'pass');
  const own = outcomes('fail', 'fail', 'pass', 'fail');
  const excuses = excusesOf('ours', text);
  assert.equal(
    [...excuses],
    [
      ['test 1*', 'Two lines of a reason.'],
      ['test 2', 'Two lines of a reason.'],
    ],
  );
  assert.equal(exceptionsOf(peer, own, excuses), {
    exceptions: [
      { test: 'test 0', message: 'why', reason: undefined },
      { test: 'test 1', message: 'why', reason: 'Two lines of a reason.' },
      { test: 'test 4', message: 'did not run', reason: undefined },
    ],
    stale: ['test 2'],
  });
});

test.run();
