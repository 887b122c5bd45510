// deadline: 120 s
// A world leaves nothing behind. On Node this includes the instances of its shard modules, whose variables hold
// directories, sockets and locks. Elsewhere they stay, but keep neither the memory nor the buffers of their shard.
//
// Next: host/sim/forgotten-modules.ts.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const isV8OfNode = !('bun' in process.versions) && !('deno' in process.versions);

/** How much heap, and memory outside of it, `count` runs take for good, bytes. `run`: code with the seed `i`. */
async function growth(run, count) {
  const program = `
    import { simulate } from 'featherstar/testing';
    import { runSample } from './sample-clients.js';
    const held = async () => {
      for (let i = 0; i < 2; i++) {
        global.gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
      const { heapUsed, external } = process.memoryUsage();
      return { heapUsed, external };
    };
    const several = async (from, to) => { for (let i = from; i < to; i++) ${run}; };
    await several(0, 20);
    const before = await held();
    await several(20, 20 + ${count});
    const after = await held();
    console.log(JSON.stringify([after.heapUsed - before.heapUsed, after.external - before.external]));`;
  const args = ['--expose-gc', '--input-type=module', '-e', program];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  return JSON.parse(stdout);
}

if (isV8OfNode) {
  test('a world without a shard module leaves nothing', async () => {
    const [heap, external] = await growth('await simulate({ seed: i, shards: 2 }, async () => {})', 500);
    assert.ok(heap < 2_000_000, `${heap} bytes of heap`); // 4 KB for each
    assert.ok(external < 200_000, `${external} bytes outside`);
  });

  test('Node forgets the instances of shard modules', async () => {
    const count = 60;
    const [heap, external] = await growth('await runSample(1 + i)', count);
    assert.ok(external < 1_000_000, `${external} bytes outside`); // 218 KB for each, if the shards stayed
    assert.ok(heap < 1_500_000, `${heap} bytes of heap`); // 2 KB for each; 145 KB, if the modules stayed
  });

  test("the user's own --no-compilation-cache stays", async () => {
    const program = `
      import v8 from 'node:v8';
      import { runSample } from './sample-clients.js';
      const flags = [];
      v8.setFlagsFromString = (flag) => flags.push(flag);
      await runSample(1);
      console.log(flags.length);`;
    const flagsWith = async (...args) => {
      const all = [...args, '--input-type=module', '-e', program];
      return Number((await promisify(execFile)(process.execPath, all, { cwd: import.meta.dirname })).stdout);
    };
    assert.ok((await flagsWith()) > 0);
    for (const flag of ['--no-compilation-cache', '--nocompilation_cache']) assert.is(await flagsWith(flag), 0);
  });
}

test.run();
