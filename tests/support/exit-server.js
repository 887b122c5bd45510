// A server that ends in a hurry, for tests/http/server-shutdown.test.js. argv: how it ends, when it is told to on
// stdin:
//   exit        process.exit() on shard 0 of two
//   exit-shard  process.exit() on shard 1 of two, which ends that thread only; then close()
//   throw       an error that nobody catches, on shard 0 of two
//   terminate   worker.terminate() of a thread that is a runtime of one shard

import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Runtime, runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';

const how = process.argv[2] ?? workerData?.how;

export async function listen(port) {
  const fetch = (request) => {
    const answer = new Response('busy');
    return request.path === '/later' ? new Promise((resolve) => setImmediate(resolve, answer)) : answer;
  };
  return (await serve({ port, hostname: '127.0.0.1', fetch })).port;
}

export function exit() {
  process.exit(0);
}

async function start(shards) {
  const here = await Runtime.start({ shards, module: import.meta.url });
  const port = await here.on(0).listen(0);
  if (shards > 1 && here.sharesPorts) await here.on(1).listen(port);
  return port;
}

async function main() {
  if (how !== 'terminate') console.log(`port ${await start(2)}`);
  const worker = how === 'terminate' && new Worker(fileURLToPath(import.meta.url), { workerData: { how: 'inner' } });
  if (worker) worker.on('message', (port) => console.log(`port ${port}`));
  process.stdin.once('data', async () => {
    process.stdin.destroy();
    if (how === 'exit') process.exit(7);
    else if (how === 'throw') throw new Error('nobody catches this');
    else if (how === 'terminate') console.log(`terminated ${await worker.terminate()}`);
    else {
      const error = await runtime()
        .on(1)
        .exit()
        .catch((reason) => reason);
      console.log(error.code);
      await runtime().close();
    }
  });
}

// Not awaited: the shards import this module, and that waits until it has been evaluated.
if (workerData?.how === 'inner') void start(1).then((port) => parentPort.postMessage(port));
else if (isMainThread) void main();
