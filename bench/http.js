// The HTTP benchmark: hello-world servers against a floor written in C. load.js measures them.
//
// Next: baseline/http-uring.c.

import { checkMachine, choose, contest, file, findVersions, OPTIONS, onBun, onEachNode, readOptions } from './load.js';
import { BenchError } from './tools.js';

const DECLARED = {
  ...OPTIONS,
  pipeline: { type: 'string', default: '1' },
  headers: { type: 'string', default: 'few' },
  'poll-us': { type: 'string' }, // absent: featherstar's own default, and C does not poll
};
const RANGES = { pipeline: [1, 64], 'poll-us': [0, 1_000_000] };
const HEADERS = ['few', 'browser']; // Host alone; or what Chromium sends, 0.6 KiB in 16 lines

/** Everyone who could take part. */
function allContenders(options, versions) {
  const pollUs = options['poll-us'];
  const env = pollUs !== undefined ? { FEATHERSTAR_IDLE_POLL_US: String(pollUs) } : {};
  const uring = { ...env, FEATHERSTAR_HOST: 'uring' };
  const portable = { FEATHERSTAR_HOST: 'portable' };
  const featherstar = file('baseline/featherstar.mjs');
  const nodeNet = [file('baseline/node-net.mjs')];
  return [
    { name: 'c-uring', source: 'http-uring', args: pollUs > 0 ? ['--poll-us', String(pollUs)] : [], env: {} },
    { name: 'c-epoll', source: 'http-epoll', args: [], env: {} },
    ...onEachNode(options, versions, (command, suffix) => [
      { name: `featherstar${suffix}`, command, args: [featherstar], env: uring },
      { name: `featherstar-web${suffix}`, command, args: [featherstar, '--web'], env: uring },
      { name: `featherstar-portable${suffix}`, command, args: [featherstar], env: portable },
      { name: `node-net${suffix}`, command, args: nodeNet, env: {} },
      { name: `node-http${suffix}`, command, args: [file('baseline/node-http.mjs')], env: {} },
    ]),
    ...onBun(options, versions, [
      { name: 'bun-serve', args: [file('baseline/bun-serve.mjs')], env: {} },
      { name: 'featherstar-portable@bun', args: [featherstar], env: portable },
      { name: 'node-net@bun', args: nodeNet, env: {} },
    ]),
  ];
}

export async function main(args) {
  const options = readOptions(args, DECLARED, RANGES);
  if (!HEADERS.includes(options.headers)) {
    throw new BenchError(`--headers ${options.headers}: choose from ${HEADERS.join(', ')}`);
  }
  checkMachine();
  const versions = findVersions(options);
  const contenders = choose(allContenders(options, versions), options.only);
  return contest('http', DECLARED, options, versions, [{ contenders }]);
}
