// The programs in the pages of docs/. A fence ```js run is run, and it must print what its lines `// prints ...` say.
//
// The flow: docs/**/*.md -> snippets -> one process for each -> its output, compared with the page.
//
// Each process costs a third of a second of CPU time: it loads the library and starts shards. So each host has a test
// file of its own, with a deadline of its own.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { trackedFiles } from './tracked.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DEADLINE_MS = 20_000;

/** Runnable snippets of a page, each with the line where it begins and what it is to print. */
export function snippetsOf(text) {
  return [...text.matchAll(/^```js run\n([\s\S]*?)^```$/gm)].map(({ 1: code, index }) => ({
    code,
    line: text.slice(0, index).split('\n').length,
    prints: [...code.matchAll(/^\/\/ prints (.*)$/gm)].map(([, line]) => `${line}\n`).join(''),
  }));
}

/** Snippets of all pages. `where`: the page and the line. */
export function allSnippets() {
  const pages = trackedFiles(ROOT).filter((path) => /^docs\/.*\.md$/.test(path));
  return pages.flatMap((page) =>
    snippetsOf(readFileSync(ROOT + page, 'utf8')).map((snippet) => ({ ...snippet, where: `${page}:${snippet.line}` })),
  );
}

/** Runs code as a module that may import featherstar by its name, because it runs inside the package. */
export function runSnippet(code, host) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--input-type=module', '-'], {
      cwd: ROOT,
      env: { ...process.env, FEATHERSTAR_HOST: host, FEATHERSTAR_STALL_MS: '0' },
      timeout: DEADLINE_MS,
      killSignal: 'SIGKILL',
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (chunk) => {
        out[name] += chunk;
      });
    }
    child.on('error', reject);
    child.on('close', (exit, signal) => resolve({ ...out, ending: signal ?? exit }));
    child.stdin.end(code);
  });
}

/** A test for each snippet. */
export function testSnippets(host) {
  for (const { where, code, prints } of allSnippets()) {
    test(`the snippet of ${where} prints what it says, on ${host}`, async () => {
      const { stdout, stderr, ending } = await runSnippet(code, host);
      assert.equal({ stdout, stderr, ending }, { stdout: prints, stderr: '', ending: 0 });
    });
  }
}
