// What tasks are kept in and started by: JoinSet, Gate, spawnPeriodic; through the public surface.

import { Gate, JoinSet, sleep, spawnPeriodic } from 'featherstar';
import * as assert from 'uvu/assert';
import { JoinHandle } from '../../dist/host/tasks/join-handle.js';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { until } from '../support/http.js';

const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';
const turnOf = () => new Promise((resolve) => setImmediate(resolve));

for (const host of hosts()) {
  const { check, run } = oneShardSuite('sets of tasks', host);

  // --- sets and gates ------------------------------------------------------------------------------------------------

  check('JoinSet: results in the order of the ends, failures too', async () => {
    const set = new JoinSet();
    const own = new Error('own');
    let failing;
    set.spawn(() => failing.ended.then(() => sleep(1)).then(() => 'late'), { name: 'third' });
    set.spawn(() => 'early', { name: 'first' });
    failing = set.spawn(() => sleep(5).then(() => Promise.reject(own)), { name: 'second' });
    assert.is(set.size, 3);
    const seen = [];
    for await (const { name, status, value, reason } of set) seen.push([name, status, value ?? reason]);
    assert.equal(seen, [
      ['first', 'fulfilled', 'early'],
      ['second', 'rejected', own],
      ['third', 'fulfilled', 'late'],
    ]);
    assert.equal([set.size, await set.joinNext()], [0, undefined]);
  });

  check('JoinSet: joinNext takes a signal, abortAll and shutdown wait for real ends', async () => {
    const set = new JoinSet();
    let open = 0;
    const task = async ({ signal }) => {
      open++;
      await sleep(1e6, { signal }).catch(() => undefined);
      await sleep(5);
      open--;
    };
    for (let i = 0; i < 5; i++) set.spawn(task);
    const controller = new AbortController();
    const waiting = rejection(set.joinNext(controller));
    await until(() => open === 5, 'all run');
    controller.abort('not now');
    assert.is(await waiting, 'not now');
    set.abortAll('all of you');
    const { status, reason } = await set.joinNext();
    assert.equal([status, reason], ['rejected', 'all of you']);
    assert.ok(open < 5);
    assert.is(await rejection(set.shutdown({ signal: AbortSignal.abort('at once') })), 'at once');
    await set.shutdown();
    assert.equal([open, set.size], [0, 0]);
    set.spawn(() => 'again');
    assert.is((await set.joinNext()).value, 'again');
    await set[Symbol.asyncDispose]();
  });

  check('Gate: close waits for those inside, and lets nobody in', async () => {
    const gate = new Gate({ name: 'my gate' });
    const order = [];
    const work = gate.hold(async () => {
      await sleep(10);
      order.push('work');
      return 5;
    });
    gate.enter();
    assert.equal([gate.size, gate.isClosed], [2, false]);
    const closing = Promise.all([gate.close(), gate.close()]).then(() => order.push('closed'));
    const error = await rejection(gate.hold(() => order.push('never')));
    assert.equal([error.code, error.message, gate.isClosed], ['FEATHERSTAR_CLOSED', 'my gate is closed', true]);
    assert.throws(
      () => gate.enter(),
      (thrown) => thrown.code === 'FEATHERSTAR_CLOSED',
    );
    assert.is(await rejection(gate.close({ signal: AbortSignal.timeout(1) })).then(({ name }) => name), 'TimeoutError');
    assert.is(await work, 5);
    assert.equal(order, ['work']);
    gate.leave();
    await closing;
    assert.equal(order, ['work', 'closed']);
    assert.throws(
      () => gate.leave(),
      ({ code }) => code === 'FEATHERSTAR_STATE',
    );
    await gate.close();
    await gate[Symbol.asyncDispose]();
    const failing = new Gate();
    await rejection(failing.hold(() => Promise.reject('no')));
    assert.is(failing.size, 0);
    assert.throws(() => new Gate({ name: 5 }), isOption);
  });

  // --- periodic tasks ------------------------------------------------------------------------------------------------

  check('a periodic task runs until it is aborted, one call at a time', async () => {
    const start = performance.now();
    let inside = 0;
    let most = 0;
    let calls = 0;
    const handle = spawnPeriodic(
      2,
      async ({ name }) => {
        calls++;
        assert.ok(performance.now() >= start + 2 * calls, `call ${calls} is early`);
        assert.is(name, 'sweep');
        most = Math.max(most, ++inside);
        await sleep(3);
        inside--;
      },
      { name: 'sweep', group: 2, missed: 'delay' },
    );
    await until(() => calls >= 5, 'five calls');
    assert.ok(handle instanceof JoinHandle);
    assert.equal([most, handle.name, handle.isFinished], [1, 'sweep', false]);
    assert.ok(handle.ticks >= 5);
    handle.abort();
    assert.is((await rejection(handle)).code, 'FEATHERSTAR_ABORTED');
    await handle.ended;
    const { ticks } = handle;
    await sleep(10);
    assert.is(handle.ticks, ticks);
  });

  check('a periodic task ends when a call fails, and with its signal', async () => {
    let calls = 0;
    const failing = spawnPeriodic(1, () => {
      if (++calls === 3) throw new Error('third');
    });
    assert.is((await rejection(failing)).message, 'third');
    assert.is(calls, 3);
    const controller = new AbortController();
    const aborted = spawnPeriodic(1e6, () => {}, controller);
    await turnOf();
    controller.abort('all over');
    assert.is(await rejection(aborted), 'all over');
    await aborted.ended;
    assert.throws(() => spawnPeriodic(0, () => {}), isOption);
    assert.throws(() => spawnPeriodic(1, 5), isOption);
    assert.throws(() => spawnPeriodic(1, () => {}, { missed: 'late' }), isOption);
  });

  run();
}
