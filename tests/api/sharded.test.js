// Sharded services: one instance on every shard, through the public surface.

import { FeatherstarError, Runtime, runtime, Sharded } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { within } from '../support/http.js';
import { takeLog } from '../support/sharded-module.js';

const module = new URL('../support/sharded-module.js', import.meta.url);

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`sharded (${host}, ${shards} shards)`);

    /** Runs `use` on a runtime of its own, and sees that it leaves nothing open. */
    const check = (name, use) =>
      test(name, async () => {
        takeLog();
        const here = await within(Runtime.start({ host, shards, module }), 'start');
        const base = holdings();
        try {
          await use(here);
          await back(base);
        } finally {
          await within(here.close(), 'close');
        }
      });
    const last = shards - 1;
    const all = Array.from({ length: shards }, (_, i) => i);
    const down = [...all].reverse();

    check('one instance on every shard, each reachable from each', async (here) => {
      const store = await Sharded.start('Store', 'key:');
      assert.is(store.name, 'Store');
      assert.equal(await store.onAll().self(), all);
      assert.equal(
        await store.onOthers().self(),
        all.filter((shard) => shard !== here.self),
      );
      for (const shard of all) {
        assert.is(await store.on(shard).set('a', [shard]), shard);
        assert.equal(await store.on(shard).get('a'), [shard], 'it keeps what it is told, on its own shard');
        assert.equal(await here.on(shard).useNamed('a'), [shard]);
      }
      assert.equal(store.local.get('a'), [0]);
      assert.is(store.local.prefix, 'key:');
      assert.is(Sharded.of(store.local), store);
      assert.is(Sharded.named('Store'), store);
      assert.is(
        (await store.onAll().size()).reduce((sum, size) => sum + size, 10),
        10 + shards,
      );
      await store.stop();
    });

    check('instances call their siblings', async () => {
      const store = await Sharded.start('Store');
      const keys = ['', 'b', 'cc', 'ddd'];
      for (const [i, key] of keys.entries()) {
        assert.is(await store.on(i % shards).put(key, `value of ${key}`), key.length % shards);
      }
      for (const key of keys) {
        for (const shard of all) assert.is(await store.on(shard).ask(key), `value of ${key}`);
      }
      assert.is(
        (await store.onAll().size()).reduce((sum, size) => sum + size, 0),
        keys.length,
      );
      await store.stop();
    });

    check('start() of an instance finds all siblings; stop() goes from the last shard to the first', async () => {
      const witness = await Sharded.start('Witness', 'one');
      assert.equal(takeLog().sort(), all.map((i) => `start one beside ${shards}@${i}`).sort());
      await Promise.all([witness.stop(), witness.stop()]);
      await witness.stop();
      assert.equal(
        takeLog(),
        down.map((i) => `stop one@${i}`),
      );
    });

    check('several services of one class; any shard starts and stops', async (here) => {
      const one = await Sharded.start('Store', '1');
      assert.is(await here.on(last).startHere('Store', '2'), 'Store');
      const two = Sharded.named('Store');
      assert.is.not(one, two);
      await one.onAll().set('x', 'of one');
      assert.is(await two.on(0).get('x'), undefined);
      assert.is(two.local.prefix, '2');
      await here.on(last).stopNamed('Store');
      assert.is(Sharded.named('Store'), one);
      assert.is((await rejection(two.on(0).size())).code, 'FEATHERSTAR_CLOSED');
      await two.stop();
      assert.is(await one.on(last).get('x'), 'of one');
      await one.stop();
    });

    check('who fails to start on one shard is stopped on all', async () => {
      for (const step of ['constructor', 'start']) {
        for (const shard of new Set([0, last])) {
          const error = await rejection(Sharded.start('Witness', 'bad', { [step]: shard }));
          assert.ok(FeatherstarError.is(error), error.stack);
          assert.equal([error.code, error.failures.length], ['FEATHERSTAR_SERVICE', 1]);
          assert.equal([error.failures[0].shard, error.cause.name], [shard, 'RangeError']);
          assert.match(error.message, new RegExp(`Witness did not start on shard ${shard}: ${step} failed`));
          assert.is(error.cause, error.failures[0].error);
          const stopped = takeLog().filter((line) => line.startsWith('stop'));
          const wanted = step === 'start' ? down : down.filter((i) => i !== shard);
          assert.equal(
            stopped,
            wanted.map((i) => `stop bad@${i}`),
          );
          assert.throws(
            () => Sharded.named('Witness'),
            (late) => late.code === 'FEATHERSTAR_CLOSED',
          );
        }
      }
    });

    check('a stop() that fails is told, and does not keep the others from stopping', async () => {
      const witness = await Sharded.start('Witness', 'bad', { stop: last });
      takeLog();
      const error = await rejection(witness.stop());
      assert.equal([error.code, error.cause.message], ['FEATHERSTAR_SERVICE', 'stop failed']);
      assert.equal(
        error.failures.map(({ shard }) => shard),
        [last],
      );
      assert.is(await rejection(witness.stop()), error);
      assert.equal(
        takeLog(),
        down.map((i) => `stop bad@${i}`),
      );
    });

    check('a method that fails on one shard', async () => {
      const store = await Sharded.start('Store');
      const error = await rejection(store.onAll().fail(last));
      assert.equal([error.name, error.message], ['TypeError', `shard ${last} fails`]);
      assert.is(await store.on(0).fail(-1), 'fine');
      await store.stop();
    });

    check('what is no service, method, shard or instance', async () => {
      for (const name of ['nothing', '', 5, undefined, 'toString']) {
        assert.is((await rejection(Sharded.start(name))).code, 'FEATHERSTAR_MODULE');
      }
      assert.is((await rejection(Sharded.start('notAClass'))).code, 'FEATHERSTAR_SERVICE');
      if (shards === 1) return; // nothing has to travel
      assert.is((await rejection(Sharded.start('Store', () => 1))).cause.code, 'FEATHERSTAR_CODEC');
    });

    check('methods and shards that are not there', async () => {
      const store = await Sharded.start('Store');
      const wrong = ['nothing', 'prefix', 'start', 'stop', '#service'];
      for (const method of wrong) assert.is(store.on(last)[method], undefined, method);
      for (const method of Object.getOwnPropertyNames(Object.prototype)) {
        assert.not(Object.hasOwn(Object.getPrototypeOf(store.on(last)), method) && method !== 'constructor', method);
      }
      for (const shard of [-1, shards, 0.5, '0', undefined]) {
        assert.is((await rejection(() => store.on(shard))).code, 'FEATHERSTAR_OPTION');
      }
      assert.throws(
        () => Sharded.of({}),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
      if (shards > 1) {
        assert.is((await rejection(store.on(last).set('x', () => 1))).code, 'FEATHERSTAR_CODEC');
      }
      await store.stop();
      assert.is((await rejection(store.on(0).self())).code, 'FEATHERSTAR_CLOSED');
      assert.throws(
        () => store.local,
        (error) => error.code === 'FEATHERSTAR_CLOSED',
      );
    });

    check('with() a signal or a time: before, during, after', async () => {
      const store = await Sharded.start('Store');
      const reason = new Error('own reason');
      assert.is(
        await rejection(
          store
            .on(last)
            .with({ signal: AbortSignal.abort(reason) })
            .self(),
        ),
        reason,
      );
      const controller = new AbortController();
      assert.is(await store.on(last).with({ signal: controller.signal }).self(), last);
      assert.is((await rejection(store.on(0).with({ signal: controller.signal }).fail(0))).name, 'TypeError');
      const waiting = rejection(store.on(last).with({ signal: controller.signal }).later(50));
      const late = rejection(store.on(last).with({ timeoutMs: 5 }).later(50));
      const heard = store.on(last).aborted(controller.signal);
      assert.is((await within(late, 'time-out')).code, 'FEATHERSTAR_TIMEOUT');
      controller.abort(reason);
      assert.is(await within(waiting, 'abort'), reason);
      heard.catch(() => {}); // a signal among the arguments ends the call, too, as with call()
      assert.is(await store.on(last).self(), last);
      assert.is((await rejection(() => store.on(last).with({ timeoutMs: -1 }))).code, 'FEATHERSTAR_OPTION');
      await store.stop();
    });

    test('close() stops what runs, the last service first, while all shards are up', async () => {
      takeLog();
      const here = await Runtime.start({ host, shards, module });
      const store = await Sharded.start('Store');
      await Sharded.start('Witness', 'one');
      await here.on(last).startHere('Client');
      await here.on(last).startHere('Witness', 'two');
      takeLog();
      await within(here.close(), 'close');
      const wanted = ['stop two', 'stop client', 'stop one'].flatMap((what) => down.map((i) => `${what}@${i}`));
      assert.equal(takeLog(), wanted);
      await store.stop(); // was stopped
      assert.is((await rejection(store.on(0).self())).code, 'FEATHERSTAR_CLOSED');
      assert.is((await rejection(Sharded.start('Store'))).code, 'FEATHERSTAR_NO_SHARD');
    });

    test('close() tells of a stop() that failed, and closes all the same', async () => {
      const here = await Runtime.start({ host, shards, module });
      await Sharded.start('Witness', 'one', { stop: last });
      const error = await rejection(within(here.close(), 'close'));
      assert.is(error.code, 'FEATHERSTAR_SERVICE');
      assert.throws(
        () => runtime(),
        (late) => late.code === 'FEATHERSTAR_NO_SHARD',
      );
    });

    if (shards === 2) {
      test('a stop() that never ends is left alone', async () => {
        const here = await Runtime.start({ host, shards, module });
        const witness = await Sharded.start('Witness', 'stuck', { hang: last });
        takeLog();
        const error = await rejection(within(witness.stop(), 'stop'));
        assert.equal([error.code, error.failures.length], ['FEATHERSTAR_SERVICE', 1]);
        assert.match(error.message, /has not ended in time/);
        assert.equal(takeLog(), ['stop stuck@1', 'stop stuck@0']);
        await within(here.close(), 'close').catch((late) => assert.is(late.code, 'FEATHERSTAR_SERVICE'));
      });

      test('a shard that dies: its instance is gone, the others go on, stop() and close() finish', async () => {
        const here = await Runtime.start({ host, shards, module });
        const store = await Sharded.start('Store');
        const waiting = rejection(store.on(1).wait());
        const dying = rejection(store.on(1).exit());
        assert.is((await within(waiting, 'PEER_DOWN')).code, 'FEATHERSTAR_PEER_DOWN');
        assert.is((await dying).code, 'FEATHERSTAR_PEER_DOWN');
        assert.is((await rejection(store.onAll().self())).code, 'FEATHERSTAR_PEER_DOWN');
        assert.is(await store.on(0).self(), 0);
        assert.is((await rejection(Sharded.start('Store'))).code, 'FEATHERSTAR_SERVICE');
        await within(store.stop(), 'stop');
        await within(here.close(), 'close');
      });
    }

    test.run();
  }
}
