// Channels between shards: one receiver, senders on every shard.

import { openSender, Runtime, ShardChannel, sleep } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/channel-module.js', import.meta.url);

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`shard channel (${host}, ${shards} shards)`);
    const last = shards - 1;
    const all = Array.from({ length: shards }, (_, i) => i);

    const check = (name, use) =>
      test(name, async () => {
        const runtime = await within(Runtime.start({ host, shards, module }), 'start');
        try {
          const base = holdings();
          await within(use(runtime), 'the test');
          await back(base);
        } finally {
          await within(runtime.close(), 'close');
        }
      });

    check('every shard sends; all of it comes, in the order of each sender, then the channel ends', async (runtime) => {
      for (const capacity of [1, 7, 64]) {
        const channel = new ShardChannel({ capacity, senders: shards });
        const producing = all.map((shard) => runtime.on(shard).produce(channel.name, 200));
        const next = new Array(shards).fill(0);
        let longest = 0;
        for await (const [shard, i] of channel) {
          assert.is(i, next[shard]++);
          longest = Math.max(longest, channel.size);
        }
        assert.equal(next, new Array(shards).fill(200));
        assert.ok(longest <= capacity, `${longest} of ${capacity}`);
        await Promise.all(producing);
        assert.ok(channel.isClosed);
        assert.is((await rejection(channel.receive())).code, 'FEATHERSTAR_CLOSED');
        assert.is((await rejection(openSender(channel.name))).code, 'FEATHERSTAR_CLOSED');
      }
    });

    check('a full channel holds its senders up, however many wait; calls go on', async (runtime) => {
      const channel = new ShardChannel({ capacity: 2 });
      await runtime.on(last).keep(channel.name);
      assert.is(await runtime.on(last).sendKept(0), 'accepted');
      assert.is(await runtime.on(last).sendKept(1), 'accepted');
      for (let i = 2; i < 600; i++) await runtime.on(last).begin(i);
      await sleep(5);
      assert.is(channel.size, 2);
      for (let i = 0; i < 600; i++) assert.is(await channel.receive(), i);
      assert.is(channel.size, 0);
      const receiving = channel.receive();
      assert.is(await runtime.on(last).sendKept('at once'), 'accepted');
      assert.is(await receiving, 'at once');
      await runtime.on(last).begin('before the end');
      await runtime.on(last).closeKept();
      assert.is(await channel.receive(), 'before the end');
      assert.is((await rejection(channel.receive())).code, 'FEATHERSTAR_CLOSED');
    });

    check('the receiver closes: senders are told', async (runtime) => {
      const channel = new ShardChannel({ capacity: 1 });
      const burst = runtime.on(last).burst(channel.name, 5);
      await until(() => channel.size === 1, 'it is full');
      await sleep(5);
      channel.close();
      channel.close();
      assert.equal(await burst, ['accepted', ...new Array(4).fill('FEATHERSTAR_CLOSED')]);
      const other = new ShardChannel();
      await runtime.on(last).keep(other.name);
      const iteration = other[Symbol.asyncIterator]().next();
      await other[Symbol.asyncDispose]();
      assert.is((await iteration).done, true);
      assert.is(await runtime.on(last).sendKept(1), 'FEATHERSTAR_CLOSED');
      await runtime.on(last).closeKept();
    });

    check('aborts: of a receive, and of a send, which takes its value back', async (runtime) => {
      const channel = new ShardChannel({ capacity: 1 });
      const reason = new Error('own reason');
      assert.is(await rejection(channel.receive({ signal: AbortSignal.abort(reason) })), reason);
      const controller = new AbortController();
      const aborted = rejection(channel.receive({ signal: controller.signal }));
      const served = channel.receive();
      controller.abort(reason);
      await runtime.on(last).keep(channel.name);
      assert.is(await runtime.on(last).sendKept('first'), 'accepted');
      assert.is(await aborted, reason);
      assert.is(await served, 'first');
      assert.is(await runtime.on(last).sendKept('second'), 'accepted');
      assert.is(await runtime.on(last).sendAborted('taken back'), 'aborted there');
      await runtime.on(last).begin('third');
      assert.is(await channel.receive(), 'second');
      assert.is(await channel.receive(), 'third');
      await runtime.on(last).closeKept();
      channel.close();
    });

    check('options and names that are wrong; values that cannot be sent', async (runtime) => {
      for (const options of [null, 5, { capacity: 0 }, { capacity: 1.5 }, { capacity: '1' }, { senders: 0 }]) {
        assert.throws(
          () => new ShardChannel(options),
          (error) => error.code === 'FEATHERSTAR_OPTION',
        );
      }
      for (const name of ['', 'x', '0', `${shards}:1`, '-1:1', 5, undefined, { toString: () => '0:1' }]) {
        assert.is((await rejection(openSender(name))).code, 'FEATHERSTAR_OPTION');
      }
      assert.is((await rejection(openSender('0:999'))).code, 'FEATHERSTAR_CLOSED');
      const channel = new ShardChannel();
      const sender = await openSender(channel.name);
      await sender.send('here');
      assert.is(await channel.receive(), 'here');
      assert.is(await rejection(sender.send(1, { signal: AbortSignal.abort('reason') })), 'reason');
      await sender.close();
      await sender[Symbol.asyncDispose]();
      assert.ok(sender.isClosed);
      assert.is((await rejection(sender.send(1))).code, 'FEATHERSTAR_CLOSED');
      assert.is((await rejection(channel.receive())).code, 'FEATHERSTAR_CLOSED');
      assert.is(
        await runtime
          .on(last)
          .produce(channel.name, 1)
          .catch((error) => error.code),
        'FEATHERSTAR_CLOSED',
      );
    });

    test('close() of the runtime ends what waits on either side', async () => {
      const runtime = await Runtime.start({ host, shards, module });
      const empty = new ShardChannel();
      const full = new ShardChannel({ capacity: 1 });
      await runtime.on(last).keep(full.name);
      for (let i = 0; i < 5; i++) await runtime.on(last).begin(i);
      const receiving = rejection(empty.receive());
      const report = await within(runtime.close(), 'close');
      assert.ok(report.drained);
      assert.is((await receiving).code, 'FEATHERSTAR_CLOSED');
      assert.ok(full.isClosed);
    });

    if (shards > 1) {
      test('a sender whose shard dies: what it sent comes first, then one error, and the others go on', async () => {
        const runtime = await Runtime.start({ host, shards, module });
        const channel = new ShardChannel({ senders: 2 });
        const own = await openSender(channel.name);
        await runtime.on(last).keep(channel.name);
        assert.is(await runtime.on(last).sendKept('its last words'), 'accepted');
        await rejection(runtime.on(last).exit());
        await own.send('from home');
        assert.is(await channel.receive(), 'its last words');
        assert.is((await within(rejection(channel.receive()), 'the error')).code, 'FEATHERSTAR_PEER_DOWN');
        assert.is(await channel.receive(), 'from home');
        await own.close();
        assert.is((await rejection(channel.receive())).code, 'FEATHERSTAR_CLOSED');
        await within(runtime.close(), 'close');
      });

      test('a home that dies: its senders are told', async () => {
        const runtime = await Runtime.start({ host, shards, module });
        const name = await runtime.on(last).openHere(1);
        const sender = await openSender(name);
        await sender.send(1);
        const waiting = rejection(sender.send(2));
        await rejection(runtime.on(last).exit());
        assert.is((await within(waiting, 'the send')).code, 'FEATHERSTAR_PEER_DOWN');
        assert.is((await rejection(sender.send(3))).code, 'FEATHERSTAR_PEER_DOWN');
        await sender.close();
        assert.is((await rejection(openSender(name))).code, 'FEATHERSTAR_PEER_DOWN');
        await within(runtime.close(), 'close');
      });
    }

    test.run();
  }
}
