// Semaphore, locks, events, tokens, select and loops: every scenario inside every shard.

import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { within } from '../support/http.js';
import { scenarios } from '../support/sync-module.js';

const module = new URL('../support/sync-module.js', import.meta.url);

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`sync (${host}, ${shards} shards)`);
    let runtime;
    test.before(async () => {
      runtime = await Runtime.start({ host, shards, module });
    });
    test.after(() => runtime.close());
    for (const name of Object.keys(scenarios)) {
      test(name, async () => {
        const runs = Array.from({ length: shards }, (_, i) => runtime.on(i).run(name));
        await within(Promise.allSettled(runs), name); // all: the next one counts timers, and none may be this one's
        assert.equal(await Promise.all(runs), Array(shards).fill('ran'));
      });
    }
    test.run();
  }
}

const alone = suite('sync in a thread that is no shard');

alone('works without a shard, timeoutMs too', async () => {
  const { Semaphore } = await import('featherstar');
  const semaphore = new Semaphore(1);
  const guard = await semaphore.acquire({ timeoutMs: 5 }); // it does not have to wait
  const second = semaphore.acquire();
  await semaphore
    .acquire({ timeoutMs: 5 })
    .then(assert.unreachable, ({ code }) => assert.is(code, 'FEATHERSTAR_TIMEOUT'));
  assert.is(semaphore.waiting, 1);
  guard.release();
  (await second).release();
  assert.is(semaphore.available, 1);
});

alone.run();
