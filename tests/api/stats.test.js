// What stats() says, against what the shard itself knows, and against the page that lists it.

import { readFileSync } from 'node:fs';
import { Runtime, sleep, spawn } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, holdings as inCore } from '../support/hosts.js';
import { Client, until, within } from '../support/http.js';

const module = new URL('../support/life-module.js', import.meta.url);
const page = readFileSync(new URL('../../docs/runtime.md', import.meta.url), 'utf8');

for (const host of hosts()) {
  const test = suite(`stats (${host})`);

  for (const shards of [1, 2, 4]) {
    const check = (name, use) =>
      test(`${shards} shards: ${name}`, async () => {
        const here = await within(Runtime.start({ host, shards, module }), 'start');
        try {
          await use(here);
        } finally {
          await within(here.close(), 'close');
        }
      });

    check('one record a shard, with the numbers that the page lists', async (here) => {
      const all = here.stats();
      assert.is(all.length, shards);
      const listed = [...page.split('## Numbers')[1].matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
      for (const [i, one] of all.entries()) {
        assert.equal(Object.keys(one).sort(), [...listed].sort());
        for (const [name, value] of Object.entries(one)) assert.ok(Number.isInteger(value) && value >= 0, name);
        assert.equal(Object.keys(here.stats(i)), Object.keys(one));
      }
      for (const shard of [-1, shards, 0.5, null]) {
        assert.throws(
          () => here.stats(shard),
          (error) => error.code === 'FEATHERSTAR_OPTION',
          String(shard),
        );
      }
    });

    check('what this shard holds is what its core says', async (here) => {
      const controller = new AbortController();
      const { signal } = controller;
      const sleeps = [1, 2, 3].map(() => sleep(60_000, { signal }).catch(() => undefined));
      const task = spawn(() => 5);
      const port = await here.on(0).listenAndRead();
      const client = await Client.open(port);
      await until(() => here.stats(0).openOperations === 2, 'accepting and reading');
      const now = here.stats(0);
      const { operations, timers, tasks, calls, sendBuffers } = inCore();
      const own = [now.openOperations, now.pendingTimers, now.liveTasks, now.openCalls, now.sendBuffersUsed];
      assert.equal(own, [operations, timers, tasks, calls, sendBuffers]);
      assert.equal([timers, await task], [3, 5]);
      controller.abort();
      await Promise.all(sleeps);
      assert.is(here.stats(0).pendingTimers, 0);
      client.destroy();
    });

    check('every shard sees the same of the others', async (here) => {
      const last = shards - 1;
      await here.on(last).holdTimers(7);
      const seen = await here.onAll().timersOf(last);
      assert.equal(seen, new Array(shards).fill(7));
    });
  }

  if (host === 'uring') {
    test('shards that are awake make no system call to talk', async () => {
      const here = await within(Runtime.start({ host, shards: 2, module, idlePollUs: 1_000_000 }), 'start');
      const enters = () => here.stats().map((one) => one.enters);
      const talk = async (calls) => {
        for (let i = 0; i < calls; i++) await here.on(1).timersOf(0);
      };
      try {
        await talk(100);
        // Node has enters of its own, so many in a second. In a tenth of a millisecond there is seldom one.
        let fewest = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 200; i++) {
          const before = enters();
          await talk(100);
          const made = enters().map((count, shard) => count - before[shard]);
          fewest = Math.min(fewest, made[0] + made[1]);
        }
        assert.ok(fewest < 10, `at least ${fewest} enters for 100 calls`);
      } finally {
        await within(here.close(), 'close');
      }
    });
  }

  test.run();
}
