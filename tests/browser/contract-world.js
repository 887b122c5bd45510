// What behaviours.js imports, as far as a page has it: `featherstar` is featherstar/browser/shard under its other name,
// and what is not there says so, so that its lack is one. Served in the place of the real modules (contract.test.js).

import { FeatherstarError, on, onAll, self, shardCount } from '../featherstar/host/browser/shard.js';

export { allocate, interval, sleep, spawn, timeout, yieldNow } from '../featherstar/host/browser/shard.js';

const lacking = (what) => () => {
  throw new FeatherstarError('FEATHERSTAR_HOST', `the host browser has no ${what}`);
};

export const runtime = () => ({
  on,
  onAll,
  self: self(),
  shardCount: shardCount(),
});
export const [onSignal, waitForSignal] = [lacking('signals'), lacking('signals')];
export const [connect, listen, serve] = [lacking('sockets'), lacking('sockets'), lacking('sockets')];
export const [createConnection, createNetServer, createServer, nodeSocketOf] = Array(4).fill(lacking('sockets'));
export const once = lacking('emitters');
export const openDirectory = lacking('files');
export const Response = globalThis.Response;
export const UdpSocket = { bind: lacking('sockets') };

function fail(text) {
  throw new Error(text);
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** As much of node:assert/strict as the behaviours use. */
export default {
  ok: (value, text = 'not ok') => value || fail(text),
  equal: (a, b) => Object.is(a, b) || fail(`${a} is not ${b}`),
  deepEqual: (a, b) => same(a, b) || fail(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`),
  match: (text, pattern) => pattern.test(text) || fail(`${text} does not match ${pattern}`),
  rejects: async (promise, wanted) => {
    try {
      await (typeof promise === 'function' ? promise() : promise);
    } catch (error) {
      const isWanted = wanted instanceof RegExp ? wanted.test(String(error)) : error instanceof wanted;
      return isWanted || fail(`rejected with ${error}`);
    }
    return fail('did not reject');
  },
};
