// A worker that is no shard: does with a runtime what tests/api/foreign.test.js tells it.

import { parentPort, workerData } from 'node:worker_threads';
import { connectRuntime } from 'featherstar';

const runtime = await connectRuntime(workerData);
const open = [];

const describe = (error) => ({ error: [error.name, error.code, error.message], stack: error.stack });
const outcome = (promise) => promise.then((value) => ({ value }), describe);

const commands = {
  shardCount: async () => runtime.shardCount,
  call: (shard, name, ...args) => outcome(runtime.on(shard)[name](...args)),
  has: async (name) => name in runtime.on(0),
  all: (name, ...args) => outcome(runtime.onAll()[name](...args)),
  inTime: (shard, timeoutMs, name, ...args) =>
    outcome(
      runtime
        .on(shard)
        .with({ timeoutMs })
        [name](...args),
    ),
  homeOf: async (key) => runtime.homeOf(key),
  wrongShard: async (shard) => outcome((async () => runtime.on(shard))()),
  unclonable: (shard) => outcome(runtime.on(shard).echo(() => 1)),
  flood: async (count) => {
    const calls = Array.from({ length: count }, (_, i) => runtime.on(i % runtime.shardCount).echo(i));
    return (await Promise.all(calls)).filter((value, i) => value === i).length;
  },
  abort: async (shard, how) => {
    const controller = new AbortController();
    if (how === 'before') controller.abort(new Error('own reason'));
    const on = runtime.on(shard).with({ signal: controller.signal });
    const call = outcome(how === 'not at all' ? on.later(30, 'late') : on.untilLetGo());
    if (how === 'during') setTimeout(() => controller.abort(new Error('own reason')), 5);
    return call;
  },
  changed: async () => {
    const bytes = new Uint8Array([1]);
    const calls = Array.from({ length: 5 }, () => runtime.on(0).echo(bytes));
    bytes[0] = 2;
    return (await Promise.all(calls)).map(([first]) => first);
  },
  begin: async (shard, name, ...args) => {
    open.push(outcome(runtime.on(shard)[name](...args)));
  },
  ends: () => Promise.all(open.splice(0)),
  close: async () => {
    runtime.close();
    return [runtime.isClosed, await outcome(runtime.on(0).echo(1))];
  },
  exit: () => process.exit(0),
};

parentPort.on('message', async ({ id, command, args }) => {
  parentPort.postMessage({ id, result: await commands[command](...args) });
});
