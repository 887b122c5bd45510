// How a runtime ends: drain, cancel, stop, terminate; and that it always does.

import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, rejection } from '../support/hosts.js';
import { Client, until, within } from '../support/http.js';
import { toldHere } from '../support/life-module.js';

const module = new URL('../support/life-module.js', import.meta.url);
const SOON = { timeoutMs: 50 };

/** That every shard has stopped of itself and held nothing. */
function assertClean(report, shards) {
  const left = { openOperations: 0, pendingTimers: 0, liveTasks: 0, openCalls: 0, sendBuffersUsed: 0 };
  assert.equal(report.shards, new Array(shards).fill({ how: 'stopped', left }));
}

for (const host of hosts()) {
  const test = suite(`shutdown (${host})`);
  const start = (shards, options) => within(Runtime.start({ host, shards, module, ...options }), 'start');
  const close = (here, options) => within(here.close(options), 'close');

  for (const shards of [1, 2, 4]) {
    test(`${shards} shards: the signal first, then the hooks, on all of them, then nothing is left`, async () => {
      toldHere().clear();
      const here = await start(shards);
      await here.onAll().noteClose();
      assert.is(here.signal.aborted, false);
      const report = await close(here);
      assert.is(here.signal.aborted, true);
      assert.is(report.drained, true);
      assertClean(report, shards);
      const wanted = ['FEATHERSTAR_CLOSED', 'hook', 'hook of the hook'];
      assert.equal([...toldHere().keys()].sort(), [...Array(shards).keys()]);
      for (const what of toldHere().values()) assert.equal(what, wanted);
      assert.is((await here.close()) === report, true);
    });

    test(`${shards} shards: open connections are closed, and none of their operations is left`, async () => {
      const here = await start(shards);
      const ports = await here.onAll().listenAndRead();
      const clients = await Promise.all(ports.flatMap((port) => [Client.open(port), Client.open(port)]));
      await until(() => here.stats().every((stats) => stats.openOperations >= 3), 'the reads are open');
      const report = await close(here);
      assert.is(report.drained, true);
      assertClean(report, shards);
      await until(() => clients.every((client) => client.ending !== undefined), 'the connections are closed');
    });
  }

  test('a call that ends in time is waited for', async () => {
    const here = await start(2);
    const call = here.on(1).finish(30);
    const report = await close(here);
    assert.is(await call, 'done');
    assert.is(report.drained, true);
    assertClean(report, 2);
  });

  test('a call that takes long is ended by the signal at once; one that does not listen is rejected', async () => {
    const here = await start(2);
    const listens = rejection(here.on(1).work(60_000));
    const report = await close(here);
    assert.is((await listens).code, 'FEATHERSTAR_CLOSED');
    assert.is(report.drained, true);
    assertClean(report, 2);

    const again = await start(2);
    const deaf = rejection(again.on(1).never());
    const second = await close(again, SOON);
    assert.is((await within(deaf, 'the caller is told')).code, 'FEATHERSTAR_PEER_DOWN');
    assert.equal([second.drained, second.shards[1].how], [false, 'stopped']);
  });

  for (const shard of [0, 1]) {
    test(`a hook that never ends, on shard ${shard}`, async () => {
      const here = await start(2);
      await here.on(shard).hookNever();
      const report = await close(here, SOON);
      assert.is(report.drained, false);
      assertClean(report, 2);
    });
  }

  test('a shard that spins is terminated, whether it does so before or in its hook', async () => {
    for (const name of ['spin', 'hookSpins']) {
      const here = await start(3);
      const call = here.on(1)[name]();
      if (name === 'hookSpins') await call;
      const rejected = name === 'spin' && rejection(call);
      const report = await close(here, SOON);
      if (rejected) assert.is((await rejected).code, 'FEATHERSTAR_PEER_DOWN');
      assert.is(report.drained, false);
      const ends = report.shards.map(({ how }) => how);
      assert.equal(ends, ['stopped', 'terminated', 'stopped']);
    }
  });

  test('a shard that dies, before close() or in its hook', async () => {
    const here = await start(3);
    await rejection(here.on(1).exit());
    await here.on(2).hookExits();
    const report = await close(here);
    const ends = report.shards.map(({ how }) => how);
    assert.equal(ends, ['stopped', 'died', 'died']);
    assert.equal(report.shards[0].left.openOperations, 0);
  });

  test('a thread that has something of its own to do is ended all the same', async () => {
    const here = await start(2);
    await here.on(1).keepAlive();
    const report = await close(here);
    assert.is(report.drained, true);
    assertClean(report, 2);
  });

  test('a hook that fails: on shard 0 close() rejects, on others it is a warning; both end', async () => {
    const warnings = [];
    const onWarning = ({ message }) => warnings.push(message);
    process.on('warning', onWarning);
    const here = await start(2);
    await here.onAll().hookThrows();
    assert.is((await rejection(close(here))).message, 'this hook fails');
    await until(() => warnings.length !== 0, 'the warning');
    process.off('warning', onWarning);
    assert.equal(warnings, ['onClose failed on shard 1: Error: this hook fails']);
  });

  test('a timeout that is none is refused, and nothing is closed', async () => {
    const here = await start(2);
    for (const timeoutMs of [-1, '5', Number.NaN]) {
      const error = await rejection(here.close({ timeoutMs }).then(() => assert.unreachable()));
      assert.is(error.code, 'FEATHERSTAR_OPTION', String(timeoutMs));
    }
    assert.is(await here.on(1).self(), 1);
    assertClean(await close(here), 2);
  });

  test('start() can be given up: before, and while a module loads that never ends', async () => {
    const reason = new Error('no more');
    const given = AbortSignal.abort(reason);
    assert.is(await rejection(Runtime.start({ host, shards: 2, signal: given })), reason);
    const controller = new AbortController();
    const endless = new URL('../support/endless-module.js', import.meta.url);
    const starting = rejection(Runtime.start({ host, shards: 2, module: endless, signal: controller.signal }));
    const warned = new Promise((resolve) => process.once('warning', ({ message }) => resolve(message)));
    const wanted = /^after 5000 ms shard 1 still loads .*endless-module\.js: does it await Runtime\.start\(\)/;
    assert.match(await within(warned, 'the warning'), wanted);
    controller.abort(reason);
    assert.is(await within(starting, 'start() is given up'), reason);
    assertClean(await close(await start(2)), 2);
  });

  test.run();
}
