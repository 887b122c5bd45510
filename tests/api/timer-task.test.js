// Time and tasks of one shard, through the public surface.

import { setMaxListeners } from 'node:events';
import { JoinHandle, Runtime, sleep, spawn, yieldNow } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';
const turnOf = () => new Promise((resolve) => setImmediate(resolve));

for (const host of hosts()) {
  const test = suite(`time and tasks (${host})`);
  let runtime;
  let base;

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    base = holdings();
  });
  test.after(() => runtime.close());

  /** A test that leaves nothing behind. */
  const check = (name, run) =>
    test(name, async () => {
      await run();
      await back(base);
    });

  // --- sleep ---------------------------------------------------------------------------------------------------------

  check('a sleep is never too short', async () => {
    const measure = async (ms) => {
      const start = performance.now();
      await sleep(ms);
      return performance.now() - start;
    };
    for (const ms of [0, 0.001, 0.1, 0.5, 1, 1.5, 2, 5, 20.25]) {
      for (let i = 0; i < 10; i++) {
        const took = await measure(ms);
        assert.ok(took >= ms, `sleep(${ms}) took ${took} ms`);
      }
    }
    const took = await Promise.all(Array.from({ length: 200 }, (_, i) => measure(i / 10)));
    for (const [i, ms] of took.entries()) assert.ok(ms >= i / 10, `sleep(${i / 10}) took ${ms} ms`);
  });

  check('sleeps end in the order of their deadlines, equal ones in the order of their making', async () => {
    const order = [];
    const delays = [30, 10, 20, 10, 0, 30, 20, 0];
    await Promise.all(delays.map((ms, i) => sleep(ms).then(() => order.push(i))));
    assert.equal(order, [4, 7, 1, 3, 2, 6, 0, 5]);
  });

  check('10,000 sleeps', async () => {
    const ends = Array.from({ length: 10_000 }, (_, i) => sleep((i * 7919) % 100));
    assert.is(holdings().timers, base.timers + 10_000);
    await within(Promise.all(ends), 'all of them');
  });

  check('10,000 sleeps, aborted', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    setMaxListeners(0, signal);
    const ends = Array.from({ length: 10_000 }, () => sleep(1e9, { signal }).catch((reason) => reason));
    controller.abort('enough');
    assert.equal(new Set(await Promise.all(ends)), new Set(['enough']));
    assert.is(holdings().timers, base.timers);
  });

  check('abort before, during and after', async () => {
    const reason = new Error('own reason');
    assert.is(await rejection(sleep(1e9, { signal: AbortSignal.abort(reason) })), reason);
    const during = new AbortController();
    const waiting = rejection(sleep(1e9, { signal: during.signal }));
    await sleep(1);
    during.abort(reason);
    assert.is(await waiting, reason);
    const after = new AbortController();
    await sleep(1, { signal: after.signal });
    after.abort(reason);
    await sleep(1);
    const byDefault = new AbortController();
    const named = rejection(sleep(1e9, { signal: byDefault.signal }));
    byDefault.abort();
    assert.is((await named).name, 'AbortError');
    assert.is((await rejection(sleep(1e9, { signal: AbortSignal.timeout(5) }))).name, 'TimeoutError');
  });

  check('an abort in the turn in which the sleep ends', async () => {
    for (let i = 0; i < 50; i++) {
      const controller = new AbortController();
      const first = sleep(2).then(() => controller.abort('late'));
      const second = sleep(2, { signal: controller.signal }).catch((reason) => reason);
      await first;
      assert.ok([undefined, 'late'].includes(await second));
    }
  });

  check('delays that are none are refused', () => {
    for (const ms of [-1, -0.001, NaN, Infinity, '5', null, undefined, 8.65e9, {}])
      assert.throws(() => sleep(ms), isOption);
  });

  check('timers of Node go on beside it', async () => {
    const order = [];
    const node = new Promise((resolve) => setTimeout(resolve, 5)).then(() => order.push('node'));
    await Promise.all([sleep(60).then(() => order.push('late')), node, sleep(0).then(() => order.push('early'))]);
    assert.equal(order, ['early', 'node', 'late']);
  });

  // --- spawn ---------------------------------------------------------------------------------------------------------

  check('spawn answers what the task answers', async () => {
    assert.is(await spawn(() => 42), 42);
    assert.is(await spawn(() => sleep(1).then(() => 'later')), 'later');
    assert.is(await spawn(() => undefined), undefined);
    const handle = spawn(function named() {
      return sleep(1);
    });
    assert.ok(handle instanceof JoinHandle);
    assert.equal([handle.name, handle.isFinished], ['named', false]);
    await handle;
    assert.ok(handle.isFinished);
    assert.is(spawn(() => 1, { name: 'given' }).name, 'given');
    assert.is(spawn(() => 1).name, 'task');
    await turnOf();
  });

  check('a task starts later, not in the frame of its spawn, and tasks start in order', async () => {
    const order = [];
    const tasks = Array.from({ length: 1000 }, (_, i) => spawn(() => order.push(i)));
    assert.equal(order, []);
    assert.is(holdings().tasks, base.tasks + 1000);
    await Promise.all(tasks);
    assert.equal(
      order,
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  check('a task that fails rejects its handle', async () => {
    const own = new Error('own');
    const thrower = () => {
      throw own;
    };
    assert.is(await rejection(spawn(thrower)), own);
    assert.is(await rejection(spawn(async () => thrower())), own);
    const handle = spawn(thrower);
    await rejection(handle);
    assert.ok(handle.isFinished);
    assert.is(await spawn(() => 'goes on'), 'goes on');
  });

  check('a failure that nobody awaits is a warning that names the task, and the shard lives on', async () => {
    const seen = [];
    const onWarning = (warning) => seen.push(warning);
    process.on('warning', onWarning);
    spawn(() => Promise.reject(new Error('nobody')), { name: 'first' });
    spawn(function second() {
      throw 'sees it'; // any value may be thrown
    });
    await until(() => seen.length === 2, 'both are reported');
    process.off('warning', onWarning);
    assert.equal(
      seen.map(({ name }) => name),
      ['Featherstar', 'Featherstar'],
    );
    assert.match(seen[0].message, /^task "first" failed, and nobody awaits it: Error: nobody\n {4}at /);
    assert.is(seen[1].message, 'task "second" failed, and nobody awaits it: sees it');
    assert.is(await spawn(() => 'goes on'), 'goes on');
  });

  check('scheduling groups: 0 to 15, all of them run', async () => {
    const ran = await Promise.all(Array.from({ length: 16 }, (_, group) => spawn(() => group, { group })));
    assert.equal(
      ran,
      Array.from({ length: 16 }, (_, group) => group),
    );
    for (const group of [-1, 16, 0.5, NaN, '0', null]) assert.throws(() => spawn(() => 1, { group }), isOption);
    for (const fn of [undefined, null, 5, {}]) assert.throws(() => spawn(fn), isOption);
  });

  check('yieldNow lets tasks, timers and I/O run', async () => {
    const order = [];
    const run = (name) => async () => {
      for (let i = 0; i < 3; i++) {
        order.push(name + i);
        await yieldNow();
      }
    };
    await Promise.all([spawn(run('a')), spawn(run('b')), spawn(run('c'))]);
    assert.equal(order, ['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'b2', 'c2']);

    let isOver = false;
    let rounds = 0;
    const busy = spawn(async () => {
      while (!isOver) {
        rounds++;
        await yieldNow();
      }
    });
    await within(sleep(5), 'a timer beside a busy task');
    await within(new Promise((resolve) => setTimeout(resolve, 5)), "a timer of Node's beside a busy task");
    await within(turnOf(), 'an immediate beside a busy task');
    isOver = true;
    await busy;
    assert.ok(rounds > 1);
  });

  check('more tasks than fit are refused, and those that fit run', async () => {
    const { taskSlots } = (await import('../../dist/host/core.js')).DEFAULT_LIMITS;
    const tasks = Array.from({ length: taskSlots + 10 }, () =>
      spawn(() => 'ran').then(
        (value) => value,
        ({ code }) => code,
      ),
    );
    const ends = await within(Promise.all(tasks), 'all tasks');
    assert.is(ends.filter((end) => end === 'FEATHERSTAR_FULL').length, 10);
    assert.is(ends.filter((end) => end === 'ran').length, taskSlots);
  });

  test.run();
}
