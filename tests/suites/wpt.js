// The web platform tests of fetch/api/FOLDER: the platform's own classes, and featherstar's, in the same harness. DIR
// is a checkout of web-platform-tests, or a part of one with fetch/ and common/. Tests that need a server or a page are
// skipped.
//
// Next: wpt-file.js.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addOutcome } from './exceptions.js';

const RUNNER = fileURLToPath(new URL('wpt-file.js', import.meta.url));
const FILE_TIMEOUT_MS = 60_000;
const ORIGIN = 'http://web-platform.test:8000';
const HARNESS = /\/resources\/testharness(report)?\.js$/;

const read = (path) => ({ path, text: readFileSync(path, 'utf8') });

/** The scripts of a test file, in order: those that it includes, and its own. */
function scriptsOf(root, path) {
  const text = readFileSync(path, 'utf8')
    .replaceAll('{{host}}', 'web-platform.test')
    .replaceAll('{{ports[http][0]}}', '8000');
  const at = (source) => (source.startsWith('/') ? join(root, source) : resolve(dirname(path), source));
  if (path.endsWith('.js')) {
    const included = [...text.matchAll(/^\/\/ META: script=(.+)$/gm)].map(([, source]) => read(at(source)));
    return [...included, { path, text }];
  }
  const scripts = [...text.matchAll(/<script(?: src="?([^">]+)"?)?[^>]*>([\s\S]*?)<\/script>/g)];
  return scripts
    .filter(([, source]) => source === undefined || !HARNESS.test(source))
    .map(([, source, inline]) => (source === undefined ? { path, text: inline } : read(at(source))));
}

/** Runs a file in a process of its own. Resolves with [{ name, outcome, message }]. */
async function runFile(scripts, url, ours) {
  const child = fork(RUNNER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.send({ scripts, url, ours });
  const timer = setTimeout(() => child.kill('SIGKILL'), FILE_TIMEOUT_MS);
  let results;
  child.once('message', (message) => {
    results = message;
    child.kill('SIGKILL');
  });
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  const message = `the process ended with ${signal ?? `code ${code}`}`;
  return results ?? [{ name: '(the file itself)', outcome: 'fail', message }];
}

/** The outcome of each test of the files by name. */
async function runAll(root, folder, files, ours) {
  const outcomes = new Map();
  for (const file of files) {
    const path = join(folder, file);

    const results = await runFile(scriptsOf(root, path), `${ORIGIN}${path.slice(root.length)}`, ours);
    for (const { name, outcome, message } of results) {
      addOutcome(outcomes, `${file}: ${name}`, outcome, message);
    }
  }
  return outcomes;
}

/** Runs the suite: { peer, peerOutcomes, ourOutcomes }. */
export async function wpt(dir, name) {
  const root = resolve(dir);
  const folder = join(root, 'fetch/api', name);
  const files = readdirSync(folder).filter((file) => /\.(any\.js|window\.js|html)$/.test(file));
  return {
    peer: `the classes of Node ${process.version}`,
    peerOutcomes: await runAll(root, folder, files, false),
    ourOutcomes: await runAll(root, folder, files, true),
  };
}
