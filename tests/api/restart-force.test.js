// deadline: 300 s
// A shard that lives but does not answer is killed and started again, and onShardDown() says why each shard ended.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFiles } from '../support/descriptors.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';

const module = new URL('../support/restart-module.js', import.meta.url);
const SHARDS = 3;
setFlagsFromString('--max-old-space-size=100'); // of the threads to come: one of them fills its heap

for (const host of hosts()) {
  const test = suite(`restart by force (${host})`);
  let here;
  let base;
  let ends;
  const workers = [];
  const onWorker = (worker) => workers.push(worker);
  test.before.each(async () => {
    workers.length = 0;
    process.on('worker', onWorker);
    here = await within(Runtime.start({ host, shards: SHARDS, module, stallMs: 0 }), 'start');
    base = holdings();
    ends = [];
    here.onShardDown((shard, why) => ends.push({ shard, ...why }));
  });
  test.after.each(async () => {
    process.off('worker', onWorker);
    await within(here.close({ timeoutMs: 0 }), 'close');
  });

  const call = (shard, name, ...args) => within(here.on(shard)[name](...args), name);
  const force = (shard) => within(here.restart(shard, { force: true }), 'restart', 30_000);

  test('a shard in an endless loop: what is open at it is told, it runs again, and nothing is left', async () => {
    const files = openFiles();
    for (let round = 0; round < 3; round++) {
      assert.is(await call(1, 'add'), 1, 'the module is new');
      const calls = ['spin', 'echo', 'echo'].map((name) => rejection(here.on(1)[name]()));
      const fromPeer = call(2, 'outcome', 1, 'echo');
      const isOver = { is: false };
      void Promise.all([...calls, fromPeer]).then(() => {
        isOver.is = true;
      });
      assert.is(await call(2, 'echo', round), round);
      assert.is(isOver.is, false, 'it hangs');
      await force(1);
      for (const error of await within(Promise.all(calls), 'they are told')) {
        assert.is(error.code, 'FEATHERSTAR_PEER_DOWN');
      }
      assert.is(await fromPeer, 'FEATHERSTAR_PEER_DOWN');
      assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'x');
      assert.is(await call(2, 'outcome', 1, 'echo', 'x'), 'x');
      assert.equal(ends.pop(), { shard: 1, how: 'killed', exitCode: 1, error: undefined });
    }
    await back(base);
    assert.is(openFiles(), files);
  });

  test('one that is well is killed as well; one that has died is started', async () => {
    await call(1, 'add');
    await force(1);
    assert.is(await call(1, 'add'), 1);
    const told = rejection(here.on(1).never());
    here
      .on(1)
      .exit()
      .catch(() => undefined);
    await within(told, 'its death');
    await force(1);
    assert.is(await call(1, 'add'), 1);
    assert.equal(
      ends.map(({ how }) => how),
      ['killed', 'exit'],
    );
  });

  test('not without force, not shard 0, and not by other options', async () => {
    for (const options of [undefined, {}, { force: false }]) {
      assert.is((await rejection(here.restart(1, options))).code, 'FEATHERSTAR_OPTION');
    }
    for (const shard of [0, SHARDS, -1, 0.5, '1']) {
      assert.is((await rejection(here.restart(shard, { force: true }))).code, 'FEATHERSTAR_OPTION', String(shard));
    }
    assert.match((await rejection(here.restart(0, { force: true }))).message, /main thread, which cannot be restarted/);
    for (const options of [null, 5, { force: 1 }, { forced: true }]) {
      assert.is((await rejection(here.restart(1, options))).code, 'FEATHERSTAR_OPTION');
    }
    assert.is(await call(1, 'add'), 1, 'it was left alone');
  });

  test('close() while it is killed', async () => {
    here
      .on(1)
      .spin()
      .catch(() => undefined);
    const forced = here.restart(1, { force: true }).then(
      () => 'done',
      ({ code }) => code,
    );
    await within(here.close({ timeoutMs: 0 }), 'close');
    assert.is(await forced, 'FEATHERSTAR_CLOSED');
  });

  test('a thread that the kernel holds is not taken for dead; when it has ended, it can be started', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const told = rejection(here.on(1).openPipe(pipe));
    await until(() => existsSync(`${pipe}.soon`), 'it is about to open the pipe');
    await new Promise((resolve) => setTimeout(resolve, 100));
    const late = await rejection(force(1));
    assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
    assert.match(late.message, /^the thread of shard 1 has not ended 5000 ms after it was killed/);
    assert.equal(ends, []);
    const writer = await open(pipe, 'w'); // the call returns, and the thread ends
    await until(() => ends.length !== 0, 'its end');
    assert.is(ends[0].how, 'killed');
    assert.is((await within(told, 'its call')).code, 'FEATHERSTAR_PEER_DOWN');
    await within(here.restart(1), 'restart');
    assert.is(await call(1, 'add'), 1);
    await writer.close();
    rmSync(folder, { recursive: true });
  });

  // --- its connections -----------------------------------------------------------------------------------------------

  test('new connections go to the others as soon as it is killed, and to it when it listens again', async () => {
    if (!here.sharesPorts) {
      console.log(`# skipped: shared ports (${host}): this Node has none on this host`);
      return;
    }
    const port = await call(1, 'serveOn', 0);
    await call(2, 'serveOn', port);
    const ask = async (path = '/') => {
      const client = await Client.open(port);
      try {
        return (await client.ask(get(path))).text;
      } finally {
        client.destroy();
      }
    };
    let stuck;
    await until(async () => {
      stuck?.destroy();
      stuck = await Client.open(port);
      return (await stuck.ask(get())).text === 'shard 1';
    }, 'a connection of shard 1');
    stuck.write('GET /spin HTTP/1.1\r\nHost: a\r\n\r\n');
    const seen = new Set();
    await force(1);
    for (let i = 0; i < 40; i++) seen.add(await ask());
    assert.equal([...seen], ['shard 2']);
    await call(1, 'serveOn', port);
    await until(async () => (await ask()) === 'shard 1', 'it has its share again');
  });

  // --- why -----------------------------------------------------------------------------------------------------------

  for (const [name, how, exitCode, error] of [
    ['exit', 'exit', 3],
    ['throwLater', 'error', 1, 'nobody catches this'],
    ['fillHeap', 'out-of-memory', 1, /memory limit/],
  ]) {
    test(`onShardDown() says why: ${how}`, async () => {
      here
        .on(1)
        [name]()
        .catch(() => undefined);
      await until(() => ends.length !== 0, 'its end', 60_000);
      const [end] = ends;
      assert.equal([end.shard, end.how, end.exitCode], [1, how, exitCode]);
      if (error === undefined) assert.is(end.error, undefined);
      else assert.match(end.error.message, error);
      await within(here.restart(1), 'restart');
      assert.is(await call(1, 'add'), 1);
    });
  }

  test('onShardDown() says why: a thread that something else has ended', async () => {
    await workers[0].terminate();
    await until(() => ends.length !== 0, 'its end');
    assert.equal(ends, [{ shard: 1, how: 'terminated', exitCode: 1, error: undefined }]);
  });

  test.run();
}
