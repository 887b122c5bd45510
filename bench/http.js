// The HTTP benchmark: hello-world servers against a floor written in C, under wrk.
//
// Next: wrk.js, which measures them; baseline/http-uring.c.

import { parseArgs } from 'node:util';
import { REFERENCE } from './contest.js';
import { baseline } from './peers.js';
import { BenchError } from './tools.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

const DECLARED = {
  ...WRK_OPTIONS,
  pipeline: { type: 'string', default: '1' },
  headers: { type: 'string', default: 'few' },
  'poll-us': { type: 'string' }, // absent: featherstar's own default, and C does not poll
};

const HEADERS = ['few', 'browser']; // Host alone; or what Chromium sends, 0.6 KiB in 16 lines

/** Everyone who could take part. */
function specsFor(pollUs) {
  const env = pollUs !== undefined ? { FEATHERSTAR_IDLE_POLL_US: String(pollUs) } : {};
  const uring = { ...env, FEATHERSTAR_HOST: 'uring' };
  const portable = { FEATHERSTAR_HOST: 'portable' };
  const featherstar = baseline('featherstar.mjs');
  return [
    { name: REFERENCE, on: 'c', source: 'http-uring', args: pollUs > 0 ? ['--poll-us', String(pollUs)] : [] },
    { name: 'c-epoll', on: 'c', source: 'http-epoll', args: [] },
    { name: 'featherstar', on: 'node', args: [featherstar], env: uring },
    { name: 'featherstar-web', on: 'node', args: [featherstar, '--web'], env: uring },
    { name: 'featherstar-portable', on: 'node', args: [featherstar], env: portable },
    { name: 'node-net', on: 'node', args: [baseline('node-net.mjs')] },
    { name: 'node-http', on: 'node', args: [baseline('node-http.mjs')] },
    { name: 'node-http@featherstar', on: 'node', args: [baseline('node-http.mjs'), '--shard'], env: uring },
    { name: 'bun-serve', on: 'bun', args: [baseline('bun-serve.mjs')] },
    { name: 'featherstar-portable@bun', on: 'bun', args: [featherstar], env: portable },
    { name: 'node-net@bun', on: 'bun', args: [baseline('node-net.mjs')] },
    { name: 'deno-serve', on: 'deno', args: [baseline('deno-serve.mjs')] },
    { name: 'nginx', on: 'nginx' },
    { name: 'hyper', on: 'rust', args: [] },
  ];
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  checkWrkOptions(options, { pipeline: 64, 'poll-us': 1_000_000 }, { 'poll-us': 0 });
  if (!HEADERS.includes(options.headers)) {
    throw new BenchError(`--headers ${options.headers}: choose from ${HEADERS.join(', ')}`);
  }
  const pollUs = options['poll-us'];
  if (pollUs > 0) {
    console.log(`${REFERENCE} and featherstar on uring poll ${pollUs} us before each sleep; the others sleep at once`);
  }
  return wrkContest('http', DECLARED, options, [{ name: '', specs: specsFor(pollUs) }]);
}
