// The suites of Express, Koa, Fastify and ws. Their tests run as they are, with Node's own http.createServer(), and
// with that of featherstar/node. A preloaded module puts it in the place of the other (adapters/node-servers.js). The
// suite of undici runs likewise, with the sockets of clients in the place of Node's (adapters/node-clients.js).

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { addOutcome } from './exceptions.js';

const SERVERS = new URL('adapters/node-servers.js', import.meta.url).href;
const CLIENTS = new URL('adapters/node-clients.js', import.meta.url).href;
const TEST_TIMEOUT_MS = 60_000;
const REPORTER = new URL('adapters/test-lines.js', import.meta.url).pathname;

/** Runs a command line of Node's in `dir`, which writes a file of results. Returns its text. */
function resultsOf(dir, argsFor, preload) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-suites-'));
  const file = join(folder, 'results');
  try {
    const args = [...(preload === undefined ? [] : ['--import', preload]), ...argsFor(file)];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: dir, encoding: 'utf8', maxBuffer: 2 ** 28 });
    if (!existsSync(file)) throw new Error(`no results: ${stdout.slice(-2000)}${stderr.slice(-2000)}`);
    return readFileSync(file, 'utf8');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function mocha(dir, preload, args) {
  const command = (file) => [
    'node_modules/mocha/bin/mocha.js',
    ...['--exit', '--reporter', 'json', '--reporter-option', `output=${file}`],
    ...args,
  ];
  const { passes, failures, pending } = JSON.parse(resultsOf(dir, command, preload));
  const outcomes = new Map();
  for (const [outcome, tests] of Object.entries({ pass: passes, fail: failures, skip: pending })) {
    for (const { fullTitle, err } of tests) addOutcome(outcomes, fullTitle, outcome, err?.message?.split('\n')[0]);
  }
  return outcomes;
}

function nodeTest(dir, preload, files, flags = []) {
  const command = (file) => [
    ...flags,
    ...['--test', '--test-force-exit', `--test-reporter=${REPORTER}`, `--test-reporter-destination=${file}`],
    ...files,
  ];
  const outcomes = new Map();
  for (const line of resultsOf(dir, command, preload).split('\n').filter(Boolean)) {
    const { file, name, outcome, message } = JSON.parse(line);
    addOutcome(outcomes, `${relative(dir, file)}: ${name}`, outcome, message);
  }
  return outcomes;
}

const onBoth = (run, ours = SERVERS, what = 'its own http.Server') => ({
  peer: `Node ${process.version}, ${what}`,
  peerOutcomes: run(undefined),
  ourOutcomes: run(ours),
});

const EXPRESS_ARGS = ['--require', 'test/support/env', '--check-leaks', 'test/', 'test/acceptance/'];
const WS_ARGS = ['test/*.test.js']; // without --throw-deprecation, for which mocha starts another process
export const express = (dir) => onBoth((preload) => mocha(dir, preload, EXPRESS_ARGS));
export const ws = (dir) => onBoth((preload) => mocha(dir, preload, WS_ARGS));
export const koa = (dir) => onBoth((preload) => nodeTest(dir, preload, ['__tests__/**/*.test.js']));
export const fastify = (dir) => onBoth((preload) => nodeTest(dir, preload, ['test/**/*.test.js']));

// tls.js has no test: all of it is a comment. So nothing would end its process.
const UNDICI_FLAGS = ['--expose-gc', `--test-timeout=${TEST_TIMEOUT_MS}`];
const UNDICI_FILES = ['test/!(tls).js', 'test/node-test/**/*.js', 'test/interceptors/*.js'];
export const undici = (dir) =>
  onBoth((preload) => nodeTest(dir, preload, UNDICI_FILES, UNDICI_FLAGS), CLIENTS, 'its own sockets');
