// npm run suites -- NAME DIR: runs a suite that others wrote, from a folder beside the project. It runs against
// featherstar and against the implementation that it was written for. No file of such a suite is kept here, and CI runs
// none.
//
//   npm run suites -- wpt-response ../featherstar-peers/wpt
//
// It prints the commit of the suite, and how many tests pass on each side. Then it lists the exceptions: each test that
// only the peer passes. excused.txt must have a reason for each. The exit code is 1 if a reason is missing, or stands
// there for a test that passes. Next: the suites, in SUITES.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { uringObstacle } from '../../dist/host/hosts/pick.js';
import { exceptionsOf, excusesOf, passed } from './exceptions.js';
import { express, fastify, koa, undici, undiciWebSocket, ws, wsClients } from './frameworks.js';
import { honoNodeServer, srvx } from './vitest.js';
import { wpt } from './wpt.js';

const SUITES = {
  'wpt-response': (dir) => wpt(dir, 'response'),
  'wpt-request': (dir) => wpt(dir, 'request'),
  'wpt-headers': (dir) => wpt(dir, 'headers'),
  'wpt-body': (dir) => wpt(dir, 'body'),
  'hono-node-server': honoNodeServer,
  srvx,
  express,
  koa,
  fastify,
  undici,
  'undici-websocket': undiciWebSocket,
  ws,
  'ws-clients': wsClients,
};
const MESSAGE_CHARS = 300;
const EXCUSES = new URL('excused.txt', import.meta.url);
const HOST = uringObstacle() === undefined && process.env.FEATHERSTAR_HOST !== 'portable' ? 'uring' : 'portable';

/** Which commit of which checkout a folder is of. */
function originOf(dir) {
  const git = (...args) => execFileSync('git', ['-C', dir, ...args], { encoding: 'utf8' }).trim();
  const [commit, date] = git('log', '-1', '--format=%H %cs').split(' ');
  const remote = git('config', '--get', 'remote.origin.url');
  const changed = git('status', '--porcelain', '.') === '' ? '' : ', changed';
  return `commit ${commit} of ${date}, cloned from ${remote}${changed}`;
}

function count(outcomes) {
  const of = (wanted) => [...outcomes.values()].filter(({ outcome }) => outcome === wanted).length;
  return `${of('pass')} passed, ${of('fail')} failed, ${of('skip')} skipped`;
}

function report(suite, { peer, peerOutcomes, ourOutcomes }) {
  console.log(`${peer}: ${count(peerOutcomes)}`);
  console.log(`featherstar: ${count(ourOutcomes)}\n`);
  const text = readFileSync(EXCUSES, 'utf8');
  const excuses = new Map([...excusesOf(suite, text), ...excusesOf(`${suite}@${HOST}`, text)]);
  const { exceptions, stale } = exceptionsOf(peerOutcomes, ourOutcomes, excuses);
  for (const { test, message, reason } of exceptions) {
    console.log(`only the peer passes: ${test}\n    ${message.slice(0, MESSAGE_CHARS)}`);
    console.log(`    ${reason ?? 'NO REASON in tests/suites/excused.txt'}`);
  }
  for (const test of stale) console.log(`excused, but no exception: ${test}`);
  const gains = [...ourOutcomes.keys()].filter((test) => passed(ourOutcomes, test) && !passed(peerOutcomes, test));
  console.log(`${exceptions.length} that only the peer passes, ${gains.length} that only featherstar passes`);
  return stale.length > 0 || exceptions.some(({ reason }) => reason === undefined) ? 1 : 0;
}

const [suite, dir] = process.argv.slice(2);
if (!Object.hasOwn(SUITES, suite ?? '') || dir === undefined || !existsSync(dir)) {
  console.error(`suites: npm run suites -- ${Object.keys(SUITES).join('|')} DIR, where DIR is a checkout of the suite`);
  process.exit(2);
}
console.log(`${suite}, host ${HOST}: ${originOf(resolve(dir))}`);
process.exitCode = report(suite, await SUITES[suite](resolve(dir)));
