// listen() behind proxies: the PROXY protocol, in every piece, malformed, and of peers that are not trusted.
//
// Next: tests/sim/net-proxy.test.js, for times and broken connections; tests/contract/peers.js, for other shards.

import { Runtime, sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, within } from '../support/http.js';

const HERE = '127.0.0.1';
const V1 = 'PROXY TCP4 192.0.2.7 192.0.2.200 4711 80\r\n';
const V2 = Buffer.concat([
  Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
  Buffer.from([0x21, 0x11, 0, 14, 192, 0, 2, 7, 192, 0, 2, 200, 0x12, 0x67, 0, 80, 1, 2]), // 2 bytes that say more
]);
const CLIENT = { hostname: '192.0.2.7', port: 4711 };

for (const host of hosts()) {
  const test = suite(`net, behind a proxy (${host})`);
  let runtime;
  const warnings = [];
  const onWarning = ({ message }) => warnings.push(message);

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    process.on('warning', onWarning);
  });
  test.after(async () => {
    process.off('warning', onWarning);
    await runtime.close();
  });

  /** A test with a listener, that leaves nothing behind and warns of nothing that it does not take. */
  const check = (name, trust, run) =>
    test(name, async () => {
      const base = holdings();
      const listener = await listen({ hostname: HERE, proxy: { trust, expectProtocol: true } });
      await within(run(listener), 'the test');
      listener.close();
      await back(base);
      assert.equal(warnings, []);
    });

  async function accepted(listener, pieces) {
    const accepting = listener.accept();
    const client = await Client.open(listener.port);
    for (const piece of pieces) {
      await client.write(piece);
      await sleep(0);
    }
    const socket = await within(accepting, 'accept');
    return [client, socket];
  }

  for (const [name, header] of Object.entries({ 'version 1': Buffer.from(V1), 'version 2': V2 })) {
    check(`${name}: whole, with bytes behind it, and byte by byte`, [HERE], async (listener) => {
      const ping = Buffer.from('ping');
      for (const pieces of [[header, ping], [Buffer.concat([header, ping])], [...Buffer.concat([header, ping])]]) {
        const bytes = pieces.map((piece) => (typeof piece === 'number' ? Buffer.from([piece]) : piece));
        const [client, socket] = await accepted(listener, bytes);
        assert.equal(socket.remote, CLIENT);
        assert.is(socket.local.port, listener.port);
        let text = '';
        while (text.length < 4) text += Buffer.from(await socket.read());
        assert.is(text, 'ping');
        await socket.write('pong');
        assert.is(`${await client.take(4)}`, 'pong');
        client.end();
        assert.is(await socket.read(), null);
        socket.close();
        client.destroy();
      }
    });
  }

  check('a proxy that speaks for itself, or does not know its client', [HERE], async (listener) => {
    const local = Buffer.from(V2);
    local[12] = 0x20;
    for (const header of ['PROXY UNKNOWN\r\n', local]) {
      const [client, socket] = await accepted(listener, [header]);
      assert.is(socket.remote.hostname, HERE);
      client.destroy();
      socket.close();
    }
  });

  check('a header that is none closes the connection, with a warning', [HERE], async (listener) => {
    for (const wrong of ['GET / HTTP/1.1\r\n', 'PROXY TCP4 x\r\n', `PROXY ${'x'.repeat(200)}`]) {
      const client = await Client.open(listener.port);
      await client.write(wrong);
      assert.is((await client.rest()).length, 0);
      client.destroy();
      await sleep(1);
      assert.match(warnings.pop(), /127\.0\.0\.1 begins without a valid PROXY header, and was closed/);
    }
    const left = await Client.open(listener.port);
    await left.write('PROXY ');
    left.end();
    assert.is((await left.rest()).length, 0);
    left.destroy();
    const [client, socket] = await accepted(listener, [V1]);
    assert.equal(socket.remote, CLIENT);
    socket.close();
    client.destroy();
  });

  check('peers that are not trusted begin with their own bytes', ['10.0.0.0/8'], async (listener) => {
    const [client, socket] = await accepted(listener, [V1]);
    assert.is(socket.remote.hostname, HERE);
    assert.is(`${Buffer.from(await socket.read())}`, V1);
    socket.close();
    client.destroy();
  });

  check(
    'close() closes connections whose header has not come, and those that were not accepted',
    1,
    async (listener) => {
      const clients = [await Client.open(listener.port), await Client.open(listener.port)];
      await clients[0].write('PROXY ');
      await clients[1].write(V1);
      await sleep(20);
      const waiting = listener.accept();
      const socket = await waiting;
      assert.equal(socket.remote, CLIENT);
      const accepting = listener.accept();
      listener.close();
      assert.is(await accepting, null);
      assert.is((await within(clients[0].rest(), 'the end', 2000)).length, 0);
      socket.close();
      for (const client of clients) client.destroy();
    },
  );

  test('wrong options', async () => {
    const wrong = [5, {}, { trust: 1 }, { trust: 1, expectProtocol: false }, { trust: 0, expectProtocol: true }];
    wrong.push({ trust: ['x'], expectProtocol: true }, { trust: 1, expectProtocol: true, headers: [] });
    for (const proxy of wrong) assert.is((await rejection(listen({ proxy }))).code, 'FEATHERSTAR_OPTION');
  });

  test.run();
}
