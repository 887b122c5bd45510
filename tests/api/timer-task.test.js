// Sleeping, tasks and what they leave behind, on each host.

import { blockOn, JoinHandle, sleep, spawn, yieldNow } from 'featherstar';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';

const on = (host, body) => () =>
  blockOn(
    async () => {
      const base = holdings();
      await body();
      await back(base);
    },
    { host },
  );

for (const host of hosts()) {
  test(
    `${host}: sleep is never early`,
    on(host, async () => {
      const waits = Array.from({ length: 300 }, (_, i) => ((i * 7919) % 50) + i / 1000);
      await Promise.all(
        waits.map(async (ms) => {
          const start = performance.now();
          await sleep(ms);
          assert.ok(performance.now() - start >= ms, `${ms} ms took ${performance.now() - start}`);
        }),
      );
    }),
  );

  test(
    `${host}: equal deadlines keep their order, and ten thousand sleeps all end`,
    on(host, async () => {
      const order = [];
      await Promise.all(Array.from({ length: 10_000 }, (_, i) => sleep(20 + (i % 3) * 5).then(() => order.push(i))));
      assert.is(order.length, 10_000);
      assert.is(new Set(order).size, 10_000);
    }),
  );

  test(
    `${host}: a sleep can be aborted before, while and after it runs`,
    on(host, async () => {
      const reason = new Error('mine');
      assert.is(await rejection(sleep(1, { signal: AbortSignal.abort(reason) })), reason);
      const during = new AbortController();
      const sleeping = rejection(sleep(60_000, { signal: during.signal }));
      await sleep(2);
      during.abort(reason);
      assert.is(await sleeping, reason);
      const after = new AbortController();
      await sleep(1, { signal: after.signal });
      after.abort(reason);
      const many = Array.from({ length: 500 }, () => new AbortController());
      const ends = many.map(({ signal }) => sleep(60_000, { signal }).catch((error) => error));
      for (const controller of many) controller.abort(reason);
      assert.ok((await Promise.all(ends)).every((end) => end === reason));
    }),
  );

  test(
    `${host}: bad times are typed errors`,
    on(host, async () => {
      for (const ms of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e12, '5', undefined]) {
        let error;
        try {
          await sleep(ms);
        } catch (caught) {
          error = caught;
        }
        assert.is(error?.code, 'FEATHERSTAR_OPTION', String(ms));
      }
    }),
  );

  test(
    `${host}: a task has a result, or an error`,
    on(host, async () => {
      const handle = spawn(async () => 42, { name: 'answer' });
      assert.ok(handle instanceof JoinHandle);
      assert.equal([handle.name, handle.isFinished], ['answer', false]);
      assert.is(await handle, 42);
      assert.is(handle.isFinished, true);
      assert.is(await spawn(() => 'sync'), 'sync');
      const thrown = new Error('thrown');
      assert.is(
        await rejection(
          spawn(() => {
            throw thrown;
          }),
        ),
        thrown,
      );
      assert.is(await rejection(spawn(() => Promise.reject(thrown))), thrown);
      assert.throws(
        () => spawn('no function'),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
      assert.throws(
        () => spawn(() => {}, { group: 16 }),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
    }),
  );

  test(
    `${host}: tasks run in order, yieldNow lets others go first, and I/O goes on between them`,
    on(host, async () => {
      const seen = [];
      const worker = (name) => async () => {
        for (let i = 0; i < 3; i++) {
          seen.push(name + i);
          await yieldNow();
        }
      };
      await Promise.all([spawn(worker('a')), spawn(worker('b'))]);
      assert.equal(seen, ['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
      let spins = 0;
      let slept = false;
      const timer = sleep(5).then(() => {
        slept = true;
      });
      while (!slept) {
        spins++;
        await yieldNow();
      }
      await timer;
      assert.ok(spins > 1);
    }),
  );

  test(
    `${host}: an error that nobody awaits is reported, and takes nothing down`,
    on(host, async () => {
      const reported = new Promise((resolve) => process.once('unhandledRejection', resolve));
      const lost = new Error('lost');
      spawn(() => Promise.reject(lost));
      assert.is(await reported, lost);
      assert.is(await spawn(() => 'alive'), 'alive');
    }),
  );
}

test('outside a shard there is a typed error', async () => {
  assert.throws(
    () => spawn(() => {}),
    (error) => error.code === 'FEATHERSTAR_NO_SHARD',
  );
});

test.run();
