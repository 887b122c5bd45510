// deadline: 300 s
// A shard that has died is started again: it can be called, nothing that it had is there, and what it left with others
// is neither taken for something of its next life nor lost.
//
// The flow: restart-module.js on each shard --> one dies, and leaves something --> restart() --> it is asked.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allocate, Runtime, runtime, Sharded } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFiles } from '../support/descriptors.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/restart-module.js', import.meta.url);
const SHARDS = 3;
const LATE_CALLS = 20;

/** The runtime does not hear from the next thread until release(). `ended` resolves when that thread has ended. */
async function holdNextThread() {
  const [worker] = await once(process, 'worker');
  const { emit } = worker;
  const events = [];
  worker.emit = (...event) => events.push(event) > 0;
  const release = () => {
    worker.emit = emit;
    for (const event of events) worker.emit(...event);
  };
  return { release, ended: once(worker, 'exit') };
}

for (const host of hosts()) {
  const test = suite(`restart (${host})`);
  let here;
  let base;
  const warnings = [];
  const onWarning = ({ message }) => warnings.push(message);
  test.before(() => process.on('warning', onWarning));
  test.after(() => process.off('warning', onWarning));
  test.before.each(async () => {
    here = await within(Runtime.start({ host, shards: SHARDS, module, sharedBytes: 1_048_576 }), 'start');
    base = holdings();
  });
  test.after.each(() => within(here.close({ timeoutMs: 0 }), 'close'));

  const call = (shard, name, ...args) => within(here.on(shard)[name](...args), name);
  const die = async (shard) => {
    const told = rejection(here.on(shard).never());
    here
      .on(shard)
      .exit()
      .catch(() => undefined);
    assert.is((await within(told, 'its death is told')).code, 'FEATHERSTAR_PEER_DOWN');
  };
  const restart = (shard) => within(here.restart(shard), 'restart');
  /** Resolves when the shard waits in a system call. It goes on after free(). */
  const hold = async (shard) => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const opening = here.on(shard).openPipe(pipe);
    await until(() => existsSync(`${pipe}.soon`), 'it opens the pipe');
    return async function free() {
      await (await open(pipe, 'w')).close();
      await within(opening, 'openPipe');
      rmSync(folder, { recursive: true });
    };
  };

  test('it can be called and calls, its module is new, and this can go on', async () => {
    assert.equal([await call(1, 'add'), await call(1, 'add')], [1, 2]);
    const files = openFiles();
    for (let i = 0; i < 5; i++) {
      await die(1);
      assert.is((await rejection(call(1, 'add'))).code, 'FEATHERSTAR_PEER_DOWN');
      assert.is(await call(2, 'outcome', 1, 'add'), 'FEATHERSTAR_PEER_DOWN');
      await restart(1);
      assert.is(await call(1, 'add'), 1);
      assert.is(await call(2, 'outcome', 1, 'add'), 2, 'from another shard');
      assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'x', 'to another shard');
      assert.is(here.stats(1).liveTasks, 0);
    }
    await back(base);
    assert.is(openFiles(), files);
    const { shards } = await here.close();
    assert.equal(
      shards.map(({ how }) => how),
      ['stopped', 'stopped', 'stopped'],
    );
  });

  test('two that died are started at once, and know of each other', async () => {
    await Promise.all([die(1), die(2)]);
    await Promise.all([restart(1), restart(2)]);
    assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'x');
    assert.is(await call(2, 'outcome', 1, 'echo', 'x'), 'x');
  });

  test('one is started again while another one is dead, and then that one', async () => {
    await die(1);
    await die(2);
    await restart(1);
    assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'FEATHERSTAR_PEER_DOWN');
    await restart(2);
    assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'x');
  });

  test('under load each call gets its own answer, or is told', async () => {
    let isOver = false;
    let told = 0;
    const load = async () => {
      for (let i = 0; !isOver; i++) {
        const answer = await here
          .on(1)
          .echo(i)
          .catch(({ code }) => code);
        if (answer !== i) {
          assert.is(answer, 'FEATHERSTAR_PEER_DOWN');
          told++;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
    };
    const loads = Array.from({ length: 20 }, load);
    for (let i = 0; i < 5; i++) {
      await die(1);
      await restart(1);
      assert.equal(await call(2, 'askMany', 1, 50), []);
    }
    isOver = true;
    await within(Promise.all(loads), 'the load');
    assert.ok(told > 0);
    await back(base);
  });

  // --- what it left --------------------------------------------------------------------------------------------------

  test('answers to calls of its last life go to nobody', async () => {
    await call(1, 'leaveCalls', 2, LATE_CALLS);
    await until(() => here.stats(2).requestsReceived >= LATE_CALLS, 'they have arrived');
    await die(1);
    await restart(1);
    const asked = call(1, 'askMany', 2, LATE_CALLS);
    await call(2, 'release');
    assert.equal(await asked, []);
    await until(() => here.stats(2).openCalls === 0, 'the late functions have ended, too');
  });

  test('calls that it had not taken are not run by its next life', async () => {
    here
      .on(1)
      .block(300)
      .catch(() => undefined);
    here
      .on(1)
      .exit()
      .catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50)); // it has begun to block: these stay in the ring
    const calls = Array.from({ length: 5 }, () => rejection(here.on(1).add()));
    for (const { code } of await within(Promise.all(calls), 'they are told')) assert.is(code, 'FEATHERSTAR_PEER_DOWN');
    await restart(1);
    assert.is(await call(1, 'add'), 1);
  });

  test('signals of its last life are not those of its next one', async () => {
    await call(1, 'leaveSignals', 2, LATE_CALLS);
    await until(() => here.stats(2).requestsReceived >= LATE_CALLS, 'they have arrived');
    await die(1);
    await restart(1);
    await call(1, 'callWithSignals', 2, LATE_CALLS);
    await until(() => here.stats(2).requestsReceived >= 2 * LATE_CALLS, 'they have arrived');
    await call(2, 'release'); // the functions of the last life end: what they were given is forgotten
    await call(2, 'echoLater');
    await call(1, 'abortAll');
    await until(async () => (await call(2, 'abortedHere')) === LATE_CALLS, 'all of them have aborted');
  });

  test('a channel does not come back, nor does another one have its name', async () => {
    const name = await call(1, 'makeChannel');
    assert.is(await call(2, 'openCode', name), 'open');
    await die(1);
    assert.is(await call(2, 'openCode', name), 'FEATHERSTAR_PEER_DOWN');
    await restart(1);
    const next = await call(1, 'makeChannel');
    assert.is.not(next, name);
    assert.is(await call(2, 'openCode', name), 'FEATHERSTAR_CLOSED');
    assert.is(await call(2, 'openCode', next), 'open');
  });

  test('what its last life waited for is not answered to its next one', async () => {
    const name = await call(2, 'receiver', 2);
    here
      .on(1)
      .sendMany(name, ['a', 'b', 'c'])
      .catch(() => undefined);
    await until(() => here.stats(2).requestsReceived >= 4, 'it sends');
    await die(1);
    await restart(1);
    const sent = call(1, 'sendMany', name, ['d', 'e', 'f']);
    const seen = await call(2, 'receiveAll');
    assert.is(await sent, 3);
    assert.equal(
      seen.filter((value) => 'def'.includes(value)),
      ['d', 'e', 'f'],
    );
    assert.is(seen.filter((value) => value === 'FEATHERSTAR_PEER_DOWN').length, 1);
  });

  test('a service has no instance there, one that is started has; both stop', async () => {
    const first = await Sharded.start('Counter');
    assert.equal(await first.onAll().add(), [1, 1, 1]);
    assert.equal(await call(1, 'startCounter'), [1, 1, 1]);
    await die(1);
    await restart(1);
    assert.is((await rejection(first.on(1).add())).code, 'FEATHERSTAR_CLOSED');
    assert.equal(
      await first
        .onOthers()
        .add()
        .catch(({ code }) => code),
      'FEATHERSTAR_CLOSED',
    );
    assert.is(await first.on(2).add(), 3);
    assert.equal(await call(1, 'startCounter'), [1, 1, 1], 'not that of its last life');
    await first.stop();
    await here.close(); // stops the others
  });

  test('bytes by reference that others hold stay theirs; what it held comes home', async () => {
    const all = await call(1, 'useAll', 8000);
    await call(1, 'lend', 2, 8000);
    const own = await call(2, 'useAll', 8000);
    await call(1, 'keep', allocate(8000));
    await call(2, 'lend', 1, 8000);
    assert.is(await call(2, 'useAll', 8000), own - 1);
    await die(1);
    await restart(1);
    assert.is(await call(1, 'useAll', 8000), all - 1, 'all but the one that is lent');
    assert.is(await call(2, 'isKept'), true);
    assert.is(await call(2, 'useAll', 8000), own);
    await call(2, 'dispose');
    assert.is(await call(1, 'useAll', 8000), all);
  });

  test('a listener that spreads connections gives it its share again', async () => {
    const listener = await listen({ hostname: '127.0.0.1', reusePort: false });
    const spread = listener.spread('greet');
    const greeting = async () => {
      const socket = await connect({ hostname: '127.0.0.1', port: listener.port });
      let text = '';
      for await (const bytes of socket) text += Buffer.from(bytes);
      socket.close();
      return text;
    };
    const round = async () => (await Promise.all(Array.from({ length: 2 * SHARDS }, greeting))).sort();
    const whole = [0, 0, 1, 1, 2, 2].map((shard) => `shard ${shard}`);
    assert.equal(await within(round(), 'a round'), whole);
    await die(1);
    assert.not(new Set(await within(round(), 'a round')).has('shard 1'));
    await restart(1);
    assert.equal(await within(round(), 'a round'), whole);
    listener.close();
    await spread;
  });

  // --- who asks, and what can fail -----------------------------------------------------------------------------------

  test('onShardDown() tells of each death, and may start it again', async () => {
    const seen = [];
    const end = here.onShardDown(() => assert.unreachable('this was ended before a shard died'));
    end();
    here.onShardDown(() => {
      throw new Error('this one fails');
    });
    here.onShardDown((shard) => {
      seen.push(shard);
      return runtime().restart(shard);
    });
    await die(2);
    await until(async () => (await call(2, 'outcome', 0, 'echo', 1).catch(() => 0)) === 1, 'it runs again');
    await die(2);
    await until(async () => (await call(2, 'outcome', 0, 'echo', 1).catch(() => 0)) === 1, 'it runs again');
    assert.equal(seen, [2, 2]);
    assert.ok(warnings.some((text) => text.includes('onShardDown failed for shard 2: Error: this one fails')));
    await here.close();
    assert.equal(seen, [2, 2], 'one that stops in order is not told of');
  });

  test('what has not died cannot be started', async () => {
    for (const shard of [0, 1, SHARDS, -1, 0.5, '1', undefined]) {
      assert.is((await rejection(here.restart(shard))).code, 'FEATHERSTAR_OPTION', String(shard));
    }
    await die(1);
    const both = await Promise.allSettled([here.restart(1), here.restart(1)]);
    assert.equal(
      both.map(({ status }) => status),
      ['fulfilled', 'rejected'],
      'once is enough',
    );
  });

  test('close() ends a start, and what is closed starts nothing', async () => {
    await die(1);
    const starting = rejection(here.restart(1));
    await within(here.close(), 'close');
    assert.is((await starting).code, 'FEATHERSTAR_CLOSED');
    assert.is((await rejection(here.restart(1))).code, 'FEATHERSTAR_CLOSED');
  });

  test('a peer that dies meanwhile does not hold it up', async () => {
    await die(1);
    const starting = here.restart(1);
    here
      .on(2)
      .exit()
      .catch(() => undefined);
    await within(starting, 'restart');
    assert.is(await call(1, 'echo', 'x'), 'x');
    assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'FEATHERSTAR_PEER_DOWN');
    await restart(2);
    assert.is(await call(1, 'outcome', 2, 'echo', 'x'), 'x');
  });

  test('a peer that is busy for too long is named; later it works', async () => {
    await die(1);
    const free = await hold(2);
    const { code, message } = await rejection(here.restart(1));
    assert.is(code, 'FEATHERSTAR_TIMEOUT');
    assert.match(message, /shard 2/);
    await free();
    await restart(1);
    assert.is(await call(2, 'outcome', 1, 'echo', 'x'), 'x');
  });

  test('a peer that is busy when the new one has booted does not die of its death', async () => {
    await die(1);
    const begun = holdNextThread();
    const starting = rejection(here.restart(1));
    const { release, ended } = await within(begun, 'a new thread');
    const free = await hold(2);
    release();
    assert.is((await starting).code, 'FEATHERSTAR_TIMEOUT');
    await within(ended, 'the end of that thread');
    await free();
    assert.is(await call(2, 'echo', 'x'), 'x');
    await restart(1);
    assert.is(await call(2, 'outcome', 1, 'echo', 'x'), 'x');
  });

  test.run();
}
