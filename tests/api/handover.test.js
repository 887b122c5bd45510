// Connections that one shard accepts and another one serves: moved on uring, by proxy on portable.

import { existsSync, readdirSync } from 'node:fs';
import { Runtime, sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, until, within } from '../support/http.js';

const module = new URL('../support/handover-module.js', import.meta.url);
const MEBIBYTE = 1024 * 1024;
const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);

let round = 0;

function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff;
  return bytes;
}

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`hand over (${host}, ${shards} shards)`);
    const last = shards - 1;

    /** A runtime and a listener of its own; afterwards every shard holds what it held, and no descriptor is left. */
    const check = (name, use) =>
      test(name, async () => {
        round++;
        const runtime = await within(Runtime.start({ host, shards, module }), 'start');
        try {
          const listener = await listen({ hostname: '127.0.0.1' });
          const pair = async () => {
            const accepted = listener.accept();
            const client = await Client.open(listener.port);
            return [client, await within(accepted, 'accept')];
          };
          await (await pair())[0].destroy(); // whatever the first connection makes
          await runtime.onAll().here();
          await sleep(20);
          const files = openFiles();
          const base = holdings();
          const elsewhere = await runtime.on(last).here();
          await within(use(runtime, pair, listener), 'the test');
          if (runtime.dead === undefined) {
            await back(base);
            const same = async () => JSON.stringify(await runtime.on(last).here()) === JSON.stringify(elsewhere);
            await until(same, 'the other shard holds what it held');
            await until(() => openFiles() <= files, 'no descriptor is left');
          }
        } finally {
          await within(runtime.close(), 'close');
        }
      });

    check('the other shard serves it; the first one has nothing to do with it any more', async (_runtime, pair) => {
      const clients = [];
      for (let i = 0; i < 3 * shards; i++) {
        const [client, socket] = await pair();
        await socket.handOver(i % shards, 'serve', `client ${i}`);
        assert.ok(socket.isClosed);
        for (const late of [socket.read(), socket.write('x'), socket.handOver(0, 'serve')]) {
          assert.is((await rejection(late)).code, 'FEATHERSTAR_CLOSED');
        }
        await socket.end();
        socket.close();
        clients.push(client);
      }
      for (const [i, client] of clients.entries()) {
        const greeting = `client ${i}@${i % shards}\n`;
        assert.is((await client.take(greeting.length)).toString(), greeting);
        await client.write(`bytes of ${i}`);
        client.end();
        assert.is((await client.rest()).toString(), `bytes of ${i}`);
        client.destroy();
      }
    });

    check('no byte is lost or moved: written before, read by nobody, or on its way', async (_runtime, pair) => {
      const bytes = pattern(3 * MEBIBYTE);
      const [client, socket] = await pair();
      const before = pattern(200_000);
      const controller = new AbortController();
      const aborted = rejection(socket.read({ signal: controller.signal }));
      await sleep(2);
      controller.abort(new Error('not now'));
      assert.is((await aborted).message, 'not now');
      await client.write('read by nobody, ');
      await sleep(20); // the receive of the aborted read has it
      const writing = socket.write(before);
      await socket.handOver(last, 'serve', 'hello');
      await writing;
      const sending = client.write(bytes).then(() => client.end());
      const greeting = `hello@${last}\n`;
      const all = await client.take(before.length + greeting.length + 16 + bytes.length);
      assert.ok(all.subarray(0, before.length).equals(before), 'what the first shard wrote');
      assert.is(all.subarray(before.length, before.length + greeting.length).toString(), greeting);
      const echo = all.subarray(before.length + greeting.length);
      assert.is(echo.subarray(0, 16).toString(), 'read by nobody, ');
      assert.ok(echo.subarray(16).equals(bytes), 'what came afterwards');
      await sending;
      await client.rest();
      client.destroy();
    });

    check('a client that has ended before, and one that has gone', async (_runtime, pair) => {
      const [client, socket] = await pair();
      await client.write('all of it');
      client.end();
      await sleep(20);
      assert.is(Buffer.from(await socket.read()).toString(), 'all of it');
      assert.is(await socket.read(), null);
      await socket.handOver(last, 'serve', 'hello');
      assert.is((await client.rest()).toString(), `hello@${last}\n`);
      client.destroy();
      const [gone, other] = await pair();
      gone.reset();
      await sleep(20);
      await other.handOver(last, 'keep', round).catch((error) => assert.ok(error.code.startsWith('FEATHERSTAR_')));
      await _runtime.on(last).closeKept(round);
    });

    check('from shard to shard to shard', async (_runtime, pair) => {
      const path = [last, 0, last, last, 0].map((shard) => shard % shards);
      const [client, socket] = await pair();
      await socket.handOver(path[0], 'relay', 4, path.slice(1));
      for (const [i, shard] of path.entries()) {
        await client.write(`byt${i}`);
        assert.is((await client.take(7)).toString(), `${shard}:byt${i}\n`);
      }
      assert.is((await client.rest()).length, 0);
      client.destroy();
    });

    check('readInto() and pipeTo() there; bytes that an array has no room for go along', async (_runtime, pair) => {
      const [client, socket] = await pair();
      await client.write('aabbccdd');
      const array = new Uint8Array(2);
      assert.is(await within(socket.readInto(array), 'the first bytes'), 2);
      assert.is(`${Buffer.from(array)}`, 'aa');
      await socket.handOver(last, 'relayInto', 2, [0, last]);
      const said = `${last}:bb\n0:cc\n${last}:dd\n`;
      assert.is((await client.take(said.length)).toString(), said);
      await client.write('echo');
      client.end();
      assert.is((await client.rest()).toString(), 'echo');
      client.destroy();
    });

    check('what can be wrong is said before anything is done', async (_runtime, pair) => {
      const [client, socket] = await pair();
      for (const shard of [-1, shards, 0.5, '1', undefined]) {
        assert.is((await rejection(socket.handOver(shard, 'serve'))).code, 'FEATHERSTAR_OPTION');
      }
      for (const name of ['nothing', 'notAFunction', '', 5, undefined]) {
        assert.is((await rejection(socket.handOver(last, name))).code, 'FEATHERSTAR_MODULE');
      }
      const reading = socket.read();
      assert.is((await rejection(socket.handOver(last, 'serve'))).code, 'FEATHERSTAR_STATE');
      await client.write('still here');
      assert.is(Buffer.from(await reading).toString(), 'still here');
      socket.close();
      assert.is((await rejection(socket.handOver(last, 'serve'))).code, 'FEATHERSTAR_CLOSED');
      client.destroy();
    });

    check('what cannot be sent closes the connection, here and there', async (_runtime, pair) => {
      if (shards === 1) return;
      const [client, socket] = await pair();
      assert.is((await rejection(socket.handOver(last, 'serve', () => 1))).code, 'FEATHERSTAR_CODEC');
      assert.ok(socket.isClosed);
      await client.rest().catch(() => {});
      client.destroy();
    });

    check('a function that fails leaves no connection open', async (runtime, pair) => {
      await runtime.onAll().quiet();
      const [client, socket] = await pair();
      await socket.handOver(last, 'fail');
      await client.rest().catch(() => {});
      client.destroy();
    });

    check('a connection that was made by connect() is handed over as well', async (runtime, _pair, listener) => {
      const accepted = listener.accept();
      const socket = await connect({ port: listener.port });
      const other = await accepted;
      await other.handOver(last, 'keep', round);
      await socket.handOver(0, 'serve', 'both');
      await until(async () => (await runtime.on(last).keptCount()) === 1, 'it is kept');
      assert.is(await runtime.on(last).readKept(), 'both@0\n'.length);
      const proxied = host === 'portable' && shards > 1;
      assert.equal(await runtime.on(last).kindOfKept(), [proxied, false]);
      assert.is(await runtime.on(last).readKeptAborted(), 'aborted there');
      await runtime.on(last).closeKept(round);
    });

    check('a client that does not read holds it up; close() ends that', async (_runtime, pair) => {
      if (host === 'portable' || shards === 1) return; // there it goes without waiting, and writes go on from here
      const [client, socket] = await pair();
      client.pause();
      const writing = rejection(socket.write(new Uint8Array(64 * MEBIBYTE)));
      const handing = rejection(socket.handOver(last, 'keep', round));
      await sleep(20);
      socket.close();
      assert.is((await handing).code, 'FEATHERSTAR_CLOSED');
      assert.is((await writing).code, 'FEATHERSTAR_CLOSED');
      client.destroy();
    });

    check('closing the socket while it is handed over', async (runtime, pair) => {
      for (let i = 0; i < 20; i++) {
        const [client, socket] = await pair();
        const handing = socket.handOver(last, 'keep', round).catch((error) => error.code);
        socket.close();
        await handing;
        client.destroy();
      }
      await runtime.on(last).closeKept(round);
    });

    if (shards === 2) {
      check('300 connections that wait: calls go on, and close() does not wait for them', async (here, pair) => {
        const clients = [];
        for (let i = 0; i < 300; i++) {
          const [client, socket] = await pair();
          await socket.handOver(last, 'serve', 'hello');
          clients.push(client);
        }
        for (const client of clients) await client.take('hello@1\n'.length);
        assert.is(typeof (await within(here.on(last).keptCount(), 'a call')), 'number');
        here.dead = last; // nothing is to be counted there: it closes with all of them
        const report = await within(here.close(), 'close');
        assert.is(report.drained, true);
        for (const client of clients) {
          await within(client.rest(), 'its end').catch((error) => assert.match(error.message, /RESET/));
          client.destroy();
        }
      });
    }

    if (shards === 2 && host === 'uring') {
      test('a shard that has no file slot left: a typed error, and the connection is closed', async () => {
        round++;
        const runtime = await Runtime.start({ host, shards, module, limits: { connectionSlots: 19 } });
        const listener = await listen({ hostname: '127.0.0.1' });
        const clients = [];
        for (let i = 0; i < 4; i++) {
          const accepted = listener.accept();
          const client = await Client.open(listener.port);
          const outcome = (await accepted).handOver(1, 'keep', round).catch((error) => error.errnoName);
          assert.is(await outcome, i < 3 ? undefined : 'ENFILE');
          clients.push(client);
        }
        await within(clients[3].rest(), 'the end of the last one');
        await runtime.on(1).closeKept(round);
        for (const client of clients) {
          await within(client.rest(), 'the end of the others');
          client.destroy();
        }
        await runtime.close();
      });
    }

    if (shards > 1) {
      check(
        'a shard that is dead, or dies with it: a typed error, and the connection is closed',
        async (here, pair) => {
          const [kept, socket] = await pair();
          await socket.handOver(last, 'keep', round);
          const dying = rejection(here.on(last).exit());
          const inBetween = [];
          for (let i = 0; i < 5; i++) {
            const [client, other] = await pair();
            inBetween.push([client, other.handOver(last, 'keep', round).catch((error) => error.code)]);
          }
          assert.is((await within(dying, 'its end')).code, 'FEATHERSTAR_PEER_DOWN');
          const [client, late] = await pair();
          assert.is((await rejection(late.handOver(last, 'serve'))).code, 'FEATHERSTAR_PEER_DOWN');
          for (const [one, outcome] of [...inBetween, [client], [kept]]) {
            const what = await within(Promise.resolve(outcome), 'an outcome');
            assert.ok(what === undefined || what === 'FEATHERSTAR_PEER_DOWN', what);
            await within(
              one.rest().catch(() => {}),
              'the end of the connection',
            );
            one.destroy();
          }
          here.dead = last;
        },
      );
    }

    test.run();
  }
}
