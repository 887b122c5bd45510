// The suites of Express, Koa, Fastify and ws. Their tests run as they are, with Node's own http.createServer(), and
// with that of featherstar/node. A preloaded module puts it in the place of the other (adapters/node-servers.js). The
// suite of undici runs likewise, with the sockets of clients in the place of Node's (adapters/node-clients.js). Five of
// its tests need a key that is made when its packages are installed: `npm ci` with scripts, by the Node that runs them.
// undici's tests of its WebSocket run with the WebSocket of featherstar/http, too (adapters/undici-websocket.js).

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { addOutcome } from './exceptions.js';

const SERVERS = new URL('adapters/node-servers.js', import.meta.url).href;
const CLIENTS = new URL('adapters/node-clients.js', import.meta.url).href;
const WEBSOCKETS = new URL('adapters/undici-websocket.js', import.meta.url).href;
const TEST_TIMEOUT_MS = 60_000;
const MORE_RUNS = 5;
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
    'node_modules/mocha/bin/mocha.js', // of mocha 9 or newer: Node 26 does not run the one that ws asks for
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

/** The files of a folder whose names end so, by their paths in `dir`. */
function filesIn(dir, folder, end, isDeep = true) {
  const names = readdirSync(join(dir, folder), { recursive: isDeep });
  return names.filter((name) => name.endsWith(end)).map((name) => join(folder, name));
}

/**
 * `--test-force-exit` may end a process before all of its results are out, with either implementation. So files with
 * tests that only the other side has seen run again. A result that is there stays.
 */
function addAbsent(outcomes, others, run) {
  for (let i = 0; i < MORE_RUNS; i++) {
    const absent = [...others.keys()].filter((name) => !outcomes.has(name));
    if (absent.length === 0) return;
    const files = new Set(absent.map((name) => name.slice(0, name.indexOf(': '))));
    for (const [name, outcome] of run([...files])) if (!outcomes.has(name)) outcomes.set(name, outcome);
  }
}

/** Runs the files of a suite of node:test with Node's own implementation, and with what `preload` puts in its place. */
function onBoth(dir, files, preload, what, flags) {
  const ofPeer = (some) => nodeTest(dir, undefined, some, flags);
  const ofOurs = (some) => nodeTest(dir, preload, some, flags);
  const peerOutcomes = ofPeer(files);
  const ourOutcomes = ofOurs(files);
  addAbsent(peerOutcomes, ourOutcomes, ofPeer);
  addAbsent(ourOutcomes, peerOutcomes, ofOurs);
  return { peer: `Node ${process.version}, ${what}`, peerOutcomes, ourOutcomes };
}

const OWN_SERVER = 'its own http.Server';
const underMocha = (dir, args, preload = SERVERS, what = OWN_SERVER) => ({
  peer: `Node ${process.version}, ${what}`,
  peerOutcomes: mocha(dir, undefined, args),
  ourOutcomes: mocha(dir, preload, args),
});

const EXPRESS_ARGS = ['--require', 'test/support/env', '--check-leaks', 'test/', 'test/acceptance/'];
const WS_ARGS = ['test/*.test.js']; // without --throw-deprecation, for which mocha starts another process
export const express = (dir) => underMocha(dir, EXPRESS_ARGS);
export const ws = (dir) => underMocha(dir, WS_ARGS);
export const wsClients = (dir) => underMocha(dir, WS_ARGS, CLIENTS, 'its own sockets');
export const koa = (dir) => onBoth(dir, filesIn(dir, '__tests__', '.test.js'), SERVERS, OWN_SERVER);
export const fastify = (dir) => onBoth(dir, filesIn(dir, 'test', '.test.js'), SERVERS, OWN_SERVER);

const UNDICI_FLAGS = ['--expose-gc', `--test-timeout=${TEST_TIMEOUT_MS}`];
export function undici(dir) {
  const files = [
    ...filesIn(dir, 'test', '.js', false),
    ...filesIn(dir, 'test/node-test', '.js'),
    ...filesIn(dir, 'test/interceptors', '.js', false),
  ];
  // All of tls.js is a comment. So it has no test, and nothing would end its process.
  const withTests = files.filter((file) => basename(file) !== 'tls.js');
  return onBoth(dir, withTests, CLIENTS, 'its own sockets', UNDICI_FLAGS);
}

export const undiciWebSocket = (dir) =>
  onBoth(dir, filesIn(dir, 'test/websocket', '.js'), WEBSOCKETS, "undici's WebSocket", UNDICI_FLAGS);
