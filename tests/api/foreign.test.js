// Calls from workers that are no shards.

import { MessageChannel, Worker } from 'node:worker_threads';
import { connectRuntime, FeatherstarError, foreignPort, Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/shard-module.js', import.meta.url);
const script = new URL('../support/foreign-worker.js', import.meta.url);

/** A worker that is no shard, and how to have it do something. */
class Foreign {
  #next = 1;
  #worker;

  constructor(port) {
    this.#worker = new Worker(script, { workerData: port, transferList: [port] });
    this.ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.setMaxListeners(0);
  }

  run(command, ...args) {
    const id = this.#next++;
    const answer = new Promise((resolve, reject) => {
      const onMessage = (message) => {
        if (message.id !== id) return;
        this.#worker.off('message', onMessage);
        resolve(message.result);
      };
      this.#worker.on('message', onMessage);
      this.#worker.once('error', reject);
    });
    this.#worker.postMessage({ id, command, args });
    return within(answer, command);
  }

  /** For what is not answered. */
  tell(command) {
    this.#worker.postMessage({ id: 0, command, args: [] });
  }

  terminate() {
    return this.#worker.terminate();
  }
}

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`foreign (${host}, ${shards} shards)`);
    const last = shards - 1;
    let runtime;
    let base;

    test.before(async () => {
      runtime = await Runtime.start({ host, shards, module });
      base = holdings();
    });
    test.after(() => runtime.close());

    /** A foreign worker, which is gone afterwards, with all that it had open. */
    const check = (name, use, options) =>
      test(name, async () => {
        const foreign = new Foreign(foreignPort(options));
        try {
          await use(foreign);
        } finally {
          await foreign.terminate();
        }
        await back(base);
      });

    check('calls of every shard, with values and errors', async (foreign) => {
      assert.is(await foreign.run('shardCount'), shards);
      for (let shard = 0; shard < shards; shard++) {
        assert.equal(await foreign.run('call', shard, 'self'), { value: shard });
        assert.equal(await foreign.run('call', shard, 'add', 1, 2, 3), { value: 6 });
        const value = { a: [1, 'two', null], b: new Map([[1, new Set([2])]]), c: new Date(0), d: 2n ** 70n };
        assert.equal(await foreign.run('call', shard, 'echo', value), { value });
        const bytes = new Uint8Array(100_000).fill(7);
        assert.equal(await foreign.run('call', shard, 'echo', bytes), { value: bytes });
        for (const how of ['fail', 'failLater']) {
          const { error, stack } = await foreign.run('call', shard, how, 'so');
          assert.equal(error, ['OwnError', 'OWN_CODE', 'failed so']);
          assert.match(stack, /shard-module\.js/);
        }
        assert.is((await foreign.run('unclonable', shard)).error[1], 'FEATHERSTAR_CODEC');
        assert.is((await foreign.run('call', shard, 'answerFunction')).error[1], 'FEATHERSTAR_CODEC');
        const system = await foreign.run('call', shard, 'fail', 'system');
        assert.is(system.error[1], 'EPERM');
      }
      assert.equal([await foreign.run('has', 'echo'), await foreign.run('has', 'nothing')], [true, false]);
      assert.equal((await foreign.run('all', 'self')).value, [...Array(shards).keys()]);
      assert.is(await foreign.run('homeOf', 'key'), runtime.homeOf('key'));
      for (const shard of [-1, shards, 0.5, '0']) {
        assert.is((await foreign.run('wrongShard', shard)).error[1], 'FEATHERSTAR_OPTION');
      }
    });

    check(
      '2000 calls at once through a port that takes 8: the others wait',
      async (foreign) => {
        assert.is(await foreign.run('flood', 2000), 2000);
      },
      { maxOpen: 8 },
    );

    check(
      'what waits is sent as it was when it was called',
      async (foreign) => {
        assert.equal(await foreign.run('changed'), [1, 1, 1, 1, 1]);
      },
      { maxOpen: 1 },
    );

    check('a signal, before and during', async (foreign) => {
      for (const how of ['before', 'during']) {
        assert.equal((await foreign.run('abort', last, how)).error, ['Error', undefined, 'own reason']);
      }
      assert.equal(await foreign.run('abort', last, 'not at all'), { value: 'late' });
      assert.equal(await foreign.run('inTime', last, 5000, 'later', 1, 'in time'), { value: 'in time' });
      assert.is((await foreign.run('inTime', last, 5, 'untilLetGo')).error[1], 'FEATHERSTAR_TIMEOUT');
      await foreign.run('call', last, 'letGo');
    });

    check(
      'an abort of one that waits for room',
      async (foreign) => {
        await foreign.run('begin', last, 'untilLetGo');
        assert.equal((await foreign.run('abort', last, 'during')).error, ['Error', undefined, 'own reason']);
        await runtime.on(last).letGo(); // the only function that was called
        assert.equal(await foreign.run('ends'), [{ value: undefined }]);
        assert.equal(await foreign.run('call', 0, 'echo', 'goes on'), { value: 'goes on' });
      },
      { maxOpen: 1 },
    );

    check('a worker that closes the connection', async (foreign) => {
      await foreign.run('begin', last, 'later', 20, 'x');
      const [closed, late] = await foreign.run('close');
      assert.equal([closed, late.error[1]], [true, 'FEATHERSTAR_CLOSED']);
      const [open] = await foreign.run('ends');
      assert.is(open.error[1], 'FEATHERSTAR_CLOSED');
    });

    check('a worker that dies in the middle of calls', async (foreign) => {
      for (let i = 0; i < 20; i++) await foreign.run('begin', last, 'later', 20, i);
      foreign.tell('exit');
      await within(foreign.ended, 'its end');
    });

    test('many at once', async () => {
      const foreigns = Array.from({ length: 4 }, () => new Foreign(foreignPort()));
      const right = await Promise.all(foreigns.map((foreign) => foreign.run('flood', 300)));
      assert.equal(right, [300, 300, 300, 300]);
      await Promise.all(foreigns.map((foreign) => foreign.terminate()));
      await back(base);
    });

    test('options that are wrong, and ports that lead nowhere', async () => {
      for (const maxOpen of [0, -1, 0.5, '1', 65_537, null]) {
        assert.throws(
          () => foreignPort({ maxOpen }),
          (error) => error.code === 'FEATHERSTAR_OPTION',
        );
      }
      for (const port of [undefined, null, 5, {}]) {
        assert.is((await rejection(connectRuntime(port))).code, 'FEATHERSTAR_OPTION');
      }
      const { port1, port2 } = new MessageChannel();
      port2.close();
      assert.is((await within(rejection(connectRuntime(port1)), 'closed')).code, 'FEATHERSTAR_CLOSED');
      const reason = new Error('own reason');
      const silent = new MessageChannel();
      assert.is(await rejection(connectRuntime(silent.port1, { signal: AbortSignal.abort(reason) })), reason);
      const controller = new AbortController();
      const connecting = rejection(connectRuntime(silent.port1, { signal: controller.signal }));
      controller.abort(reason);
      assert.is(await connecting, reason);
    });

    test('close() of the runtime answers what is open, then the port is closed', async () => {
      await runtime.close();
      runtime = await Runtime.start({ host, shards, module });
      const foreign = new Foreign(foreignPort());
      await foreign.run('begin', last, 'later', 50, 'answered');
      await until(() => holdings().calls > 0 || last === 0, 'it is open');
      const report = await within(runtime.close(), 'close');
      assert.ok(report.drained);
      assert.equal(await foreign.run('ends'), [{ value: 'answered' }]);
      assert.is((await foreign.run('call', 0, 'echo', 1)).error[1], 'FEATHERSTAR_CLOSED');
      await foreign.terminate();
      assert.throws(() => foreignPort(), FeatherstarError.is);
      runtime = await Runtime.start({ host, shards, module });
      base = holdings();
    });

    if (shards > 1) {
      test('a shard that dies: those who called it are told', async () => {
        const foreign = new Foreign(foreignPort());
        await foreign.run('begin', last, 'never');
        assert.is((await foreign.run('call', last, 'exit')).error[1], 'FEATHERSTAR_PEER_DOWN');
        assert.is((await foreign.run('ends'))[0].error[1], 'FEATHERSTAR_PEER_DOWN');
        assert.equal(await foreign.run('call', 0, 'echo', 1), { value: 1 });
        await foreign.terminate();
      });
    }

    test.run();
  }
}
