// Node's eventLoopUtilization() of a shard: near 0 when it waits, near 1 when it works, on every host.
//
// Nothing here depends on how fast the machine is. Each figure is a share of one period of one thread: a wait of 300 ms
// with nothing to do in it, or pieces of work of 20 ms with waits of 1 ms between them. A slow machine stretches both
// the period and its parts; the limits, 0.1 and 0.5, are far from what is measured (0.01 and 0.95).

import { performance } from 'node:perf_hooks';
import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { within } from '../support/http.js';
import { measure } from '../support/utilization-module.js';

const module = new URL('../support/utilization-module.js', import.meta.url);
const IDLE_MS = 300;
const WORK_PIECES = 15;

const isIdle = (share, how) => assert.ok(share >= -0.01 && share < 0.1, `idle by ${how}: ${share}`);
const isBusy = (share, how) => assert.ok(share > 0.5 && share < 1.01, `busy by ${how}: ${share}`);

for (const host of hosts()) {
  const test = suite(`utilization (${host})`);

  async function withRuntime(use) {
    const workers = [];
    const onWorker = (worker) => workers.push(worker);
    process.on('worker', onWorker);
    const here = await within(Runtime.start({ host, module, shards: 2 }), 'start');
    try {
      await use(here, workers);
    } finally {
      process.off('worker', onWorker);
      await within(here.close({ timeoutMs: 100 }), 'close');
    }
  }

  const check = ({ isMore, ...shares }, isRight) => {
    for (const [how, share] of Object.entries(shares)) isRight(share, how);
    assert.ok(isMore, 'idle and active only grow');
  };

  for (const shard of [0, 1]) {
    test(`shard ${shard} asks Node about itself, in every way that there is`, async () => {
      await withRuntime(async (here) => {
        const ask = (what, amount) => within(here.on(shard).measure(what, amount), what);
        check(await ask('idle', IDLE_MS), isIdle);
        check(await ask('busy', WORK_PIECES), isBusy);
        check(await ask('idle', IDLE_MS), isIdle);
      });
    });
  }

  test('the thread that made a worker asks about it: while it sleeps, while it works', async () => {
    await withRuntime(async (here, [worker]) => {
      await here.on(1).measure('idle', 20); // it has begun
      const first = worker.performance.eventLoopUtilization();
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS)); // it sleeps before, and it sleeps now
      const second = worker.performance.eventLoopUtilization();
      isIdle(worker.performance.eventLoopUtilization(second, first).utilization, 'another thread');
      await here.on(1).work(WORK_PIECES);
      isBusy(worker.performance.eventLoopUtilization(second).utilization, 'another thread');
    });
  });

  test('what was idle in one runtime stays so in the next, and after it', async () => {
    let last = performance.eventLoopUtilization();
    for (let i = 0; i < 2; i++) {
      await withRuntime(() => measure('idle', IDLE_MS));
      const now = performance.eventLoopUtilization();
      assert.ok(now.idle - last.idle >= IDLE_MS / 2, `${now.idle - last.idle} ms idle`);
      assert.ok(now.active >= last.active);
      last = now;
    }
  });

  test.run();
}
