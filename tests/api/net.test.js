// deadline: 180 s
// TCP sockets through the public surface, on each host; the other end is node:net.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { blockOn } from 'featherstar';
import { listen } from 'featherstar/net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until } from '../support/http.js';

/** A listener, one connection to it and its other end. */
async function pair() {
  const listener = await listen({ hostname: '127.0.0.1' });
  const client = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {}); // resets are part of the tests
  const [socket] = await Promise.all([listener.accept(), once(client, 'connect')]);
  return { listener, client, socket };
}

const on = (host, body) => () =>
  blockOn(
    async () => {
      const base = holdings();
      const ends = await pair();
      await body(ends);
      ends.socket.close();
      ends.listener.close();
      ends.client.destroy();
      await back(base);
    },
    { host },
  );

for (const host of hosts()) {
  test(
    `${host}: bytes go both ways, and ends are seen`,
    on(host, async ({ client, socket }) => {
      client.write('hello');
      assert.is(Buffer.from(await socket.read()).toString(), 'hello');
      await socket.write('wörld');
      const [answer] = await once(client, 'data');
      assert.is(answer.toString(), 'wörld');
      client.end('last');
      assert.is(Buffer.from(await socket.read()).toString(), 'last');
      assert.is(await socket.read(), null);
      assert.is(await socket.read(), null);
      const ended = once(client, 'end');
      await socket.write(new Uint8Array(0));
      await socket.write(Buffer.from('bye'));
      await socket.end();
      await ended;
    }),
  );

  test(
    `${host}: megabytes arrive whole in both directions`,
    on(host, async ({ client, socket }) => {
      const sent = Buffer.alloc(3_000_000, 'abcdefghij');
      client.end(sent);
      const runs = [];
      for await (const run of socket) runs.push(run);
      assert.ok(Buffer.concat(runs).equals(sent));
      const back = [];
      client.on('data', (run) => back.push(run));
      const ended = once(client, 'end');
      await socket.write(sent);
      await socket.end();
      await ended;
      assert.ok(Buffer.concat(back).equals(sent));
    }),
  );

  test(
    `${host}: a peer that does not read holds up the writer, and one that is not read is held up`,
    on(host, async ({ client, socket }) => {
      client.pause();
      const chunk = new Uint8Array(1 << 20);
      let written = 0;
      const writer = (async () => {
        for (let i = 0; i < 40; i++) {
          await socket.write(chunk);
          written++;
        }
      })();
      await until(() => written > 0, 'something was written');
      const before = written;
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.ok(written < 40 && written - before < 20, `${written} of 40 MiB were taken by a peer that does not read`);
      client.resume();
      await writer;
      assert.is(written, 40);
      const flooded = client.write(Buffer.alloc(20 << 20));
      assert.is(flooded, false);
      let drained = false;
      client.once('drain', () => {
        drained = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.is(drained, false);
      for (let left = 20 << 20; left > 0; ) left -= (await socket.read()).length;
      await until(() => drained, 'the peer could write again');
    }),
  );

  test(
    `${host}: a read can be aborted, and what comes later is not lost`,
    on(host, async ({ client, socket }) => {
      const controller = new AbortController();
      const reading = rejection(socket.read({ signal: controller.signal }));
      const reason = new Error('no more');
      controller.abort(reason);
      assert.is(await reading, reason);
      client.write('later');
      assert.is(Buffer.from(await socket.read()).toString(), 'later');
      const first = socket.read();
      assert.is((await rejection(socket.read())).code, 'FEATHERSTAR_OPTION');
      client.write('x');
      assert.is((await first).length, 1);
    }),
  );

  test(
    `${host}: a reset is an error with its errno; a closed socket refuses`,
    on(host, async ({ client, socket }) => {
      const reading = rejection(socket.read());
      client.resetAndDestroy();
      assert.is((await reading).errnoName, 'ECONNRESET');
      socket.close();
      assert.is((await rejection(socket.write('x'))).code !== undefined, true);
      socket.close();
    }),
  );

  test(
    `${host}: closing wakes who waits`,
    on(host, async ({ listener, socket }) => {
      const reading = rejection(socket.read());
      const accepting = listener.accept();
      socket.close();
      listener.close();
      assert.is((await reading).code, 'FEATHERSTAR_CLOSED');
      assert.is(await accepting, null);
      assert.is(await listener.accept(), null);
      assert.is((await rejection(socket.read())).code, 'FEATHERSTAR_CLOSED');
    }),
  );

  test(`${host}: a port in use, and bad options, are typed errors`, () =>
    blockOn(
      async () => {
        const other = createServer();
        other.listen(0, '127.0.0.1');
        await once(other, 'listening');
        const { port } = other.address();
        const error = await rejection(listen({ port, hostname: '127.0.0.1' }));
        assert.equal([error.code, error.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRINUSE']);
        other.close();
        for (const options of [{ port: -1 }, { port: 70_000 }, { port: '80' }, { hostname: '' }, { hostname: 5 }]) {
          assert.is((await rejection(listen(options))).code, 'FEATHERSTAR_OPTION');
        }
        const away = await rejection(listen({ hostname: '192.0.2.1' })); // TEST-NET: no address of this machine
        assert.is(away.errnoName, 'EADDRNOTAVAIL');
      },
      { host },
    ));
}

test.run();
