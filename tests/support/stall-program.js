// A program whose shard 0 is busy for a while, for tests/api/stall.test.js: then only another thread can say so.
import { isMainThread } from 'node:worker_threads';
import { Runtime, spawn } from 'featherstar';
import { echo, outcome, spin } from './life-module.js';

export { echo, outcome, spin };

async function main() {
  const here = await Runtime.start({ shards: 2, module: import.meta.url });
  process.stdin.once('data', (word) => {
    if (word.toString().trim() === 'task') spawn(spin, { name: 'for ever' });
    else here.on(1).outcome(0, 'spin');
  });
  console.log(`ready ${await here.on(1).echo(1)}`);
}

if (isMainThread) void main();
