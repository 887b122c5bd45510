// A program whose shard 0 is busy for a while, for tests/api/stall.test.js: then only another thread can say so.
import { isMainThread } from 'node:worker_threads';
import { Runtime, spawn } from 'featherstar';
import { echo } from './life-module.js';

export { echo };

async function main() {
  const here = await Runtime.start({ shards: 2, module: import.meta.url });
  process.stdin.once('data', () => {
    spawn(
      () => {
        for (;;);
      },
      { name: 'for ever' },
    );
  });
  console.log(`ready ${await here.shard(1).call('echo', 1)}`);
}

if (isMainThread) main();
