// UdpSocket: datagrams both ways, on both hosts: what is sent arrives whole, what cannot be is said, what is too much
// is dropped and counted, and nothing is left behind.

import { createSocket } from 'node:dgram';
import { existsSync, readdirSync } from 'node:fs';
import { Runtime, sleep } from 'featherstar';
import { UdpSocket } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MODULE = new URL('../support/udp-module.js', import.meta.url);
const HERE = '127.0.0.1';
const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);
const text = async (socket) => Buffer.from((await within(socket.receive(), 'a datagram')).bytes).toString();

function patternOf(length, seed) {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);
}

for (const host of hosts()) {
  const { check, run } = oneShardSuite('udp', host);

  /** Two sockets of this shard. */
  async function pair(options = {}) {
    return [await UdpSocket.bind({ hostname: HERE, ...options }), await UdpSocket.bind({ hostname: HERE, ...options })];
  }

  check('bytes, text, nothing at all; the sender is named', async () => {
    const [a, b] = await pair();
    assert.equal([a.hostname, a.remote, a.isClosed], [HERE, undefined, false]);
    assert.ok(a.port > 0 && a.port !== b.port);
    const to = { hostname: HERE, port: b.port };
    for (const bytes of ['hello', '', 'wörld', new Uint8Array([0, 255, 7]), '', Buffer.from('the end')]) {
      await a.send(bytes, to);
      const datagram = await within(b.receive(), 'a datagram');
      assert.ok(Buffer.from(datagram.bytes).equals(Buffer.from(bytes)));
      assert.equal([datagram.remote.hostname, datagram.remote.port], [HERE, a.port]);
      await b.send(datagram.bytes, datagram.remote);
      assert.is(await text(a), Buffer.from(bytes).toString());
    }
    assert.equal(a.stats, { received: 6, sent: 6, dropped: 0, truncated: 0 });
    a.close();
    await b[Symbol.asyncDispose]();
    assert.ok(a.isClosed && b.isClosed);
  });

  check('with a socket of Node on the other side', async () => {
    const other = createSocket('udp4');
    await new Promise((resolve) => other.bind(0, HERE, resolve));
    other.on('message', (bytes, { port, address }) => other.send(`${bytes}!`, port, address));
    const socket = await UdpSocket.bind({ hostname: HERE });
    await socket.send('echo', { hostname: 'localhost', port: other.address().port });
    const { bytes, remote } = await within(socket.receive(), 'the echo');
    assert.is(Buffer.from(bytes).toString(), 'echo!');
    assert.equal(remote, { hostname: HERE, port: other.address().port });
    socket.close();
    await new Promise((resolve) => other.close(resolve));
  });

  check('IPv6, and IPv4 by an IPv6 socket', async () => {
    let six;
    try {
      six = await UdpSocket.bind({ hostname: '::' });
    } catch (error) {
      assert.match(error.errnoName, /EADDRNOTAVAIL|EAFNOSUPPORT/);
      console.log('# skipped: IPv6: this machine has none');
      return;
    }
    const { port } = six;
    await six.send('itself', { hostname: '::1', port });
    const own = await within(six.receive(), 'a datagram');
    assert.equal([own.remote.hostname, own.remote.port, Buffer.from(own.bytes).toString()], ['::1', port, 'itself']);
    const four = await UdpSocket.bind({ hostname: HERE });
    await four.send('four', { hostname: HERE, port });
    const mapped = await within(six.receive(), 'a datagram');
    assert.equal([mapped.remote.hostname, mapped.remote.port], [`::ffff:${HERE}`, four.port]);
    await six.send('six', { hostname: HERE, port: four.port });
    assert.is(await text(four), 'six');
    await six.send('again', mapped.remote);
    assert.is(await text(four), 'again');
    assert.is((await rejection(four.send('x', { hostname: '::1', port }))).code, 'FEATHERSTAR_OPTION');
    six.close();
    four.close();
  });

  check('the longest one arrives whole; one byte more is EMSGSIZE here, and truncated there', async () => {
    const [a, b] = await pair();
    const to = { hostname: HERE, port: b.port };
    const longest = patternOf(a.maxBytes, 3);
    await a.send(longest, to);
    assert.ok(Buffer.from((await within(b.receive(), 'a datagram')).bytes).equals(longest));
    const error = await rejection(a.send(new Uint8Array(a.maxBytes + 1), to));
    assert.equal([error.code, error.errnoName, error.syscall], ['FEATHERSTAR_SYSTEM', 'EMSGSIZE', 'sendto']);
    assert.ok(error.message.includes(`${HERE}:${b.port}`));
    const other = createSocket('udp4');
    await new Promise((resolve) => other.send(Buffer.alloc(b.maxBytes + 1), b.port, HERE, resolve));
    await new Promise((resolve) => other.send('short', b.port, HERE, resolve));
    assert.is(await text(b), 'short');
    assert.equal(b.stats, { received: 2, sent: 0, dropped: 0, truncated: 1 });
    other.close();
    a.close();
    b.close();
  });

  check('connected: no target is needed, others are not heard, a peer that is not there is told', async () => {
    const [a, b] = await pair();
    const stranger = await UdpSocket.bind({ hostname: HERE });
    const to = { hostname: HERE, port: b.port };
    await a.connect(to);
    assert.equal(a.remote, { hostname: HERE, port: b.port });
    await stranger.send('not heard', { hostname: HERE, port: a.port });
    await a.send('straight');
    const { port } = (await within(b.receive(), 'a datagram')).remote;
    assert.is(port, a.port);
    await b.send('back', { hostname: HERE, port });
    assert.is(await text(a), 'back');
    assert.is((await rejection(a.send('x', to))).code, 'FEATHERSTAR_OPTION');
    assert.is((await rejection(a.connect(to))).code, 'FEATHERSTAR_STATE');
    b.close();
    stranger.close();
    const receiving = rejection(a.receive());
    let refused;
    void receiving.then((error) => {
      refused = error;
    });
    const sent = [];
    await until(async () => {
      sent.push(await a.send('anybody?').catch((error) => error.errnoName)); // the kernel tells either of them
      await sleep(1);
      return refused !== undefined || sent.includes('ECONNREFUSED');
    }, 'ECONNREFUSED');
    if (refused !== undefined) assert.equal([refused.code, refused.errnoName], ['FEATHERSTAR_SYSTEM', 'ECONNREFUSED']);
    a.close();
    await receiving.catch(() => {});
  });

  check('a queue that is full drops what comes then, and counts it', async () => {
    const [a, b] = await pair({ capacity: 4 });
    const to = { hostname: HERE, port: b.port };
    for (let i = 0; i < 10; i++) await a.send(`${i}`, to);
    await until(() => b.stats.received + b.stats.dropped === 10, 'all have come');
    assert.equal(b.stats, { received: 4, sent: 0, dropped: 6, truncated: 0 });
    for (let i = 0; i < 4; i++) assert.is(await text(b), `${i}`);
    await a.send('room again', to);
    assert.is(await text(b), 'room again');
    a.close();
    b.close();
  });

  check('2,000 at once: sends wait for buffers, each is answered, what comes is in order', async () => {
    const [a, b] = await pair({ capacity: 65_536 });
    const to = { hostname: HERE, port: b.port };
    const bytes = new Uint8Array(4);
    const sends = [];
    for (let i = 0; i < 2000; i++) {
      new DataView(bytes.buffer).setUint32(0, i);
      sends.push(a.send(bytes, to)); // copied: the same array serves them all
    }
    await within(Promise.all(sends), 'all are sent');
    assert.is(a.stats.sent, 2000);
    await sleep(20);
    const { received, dropped } = b.stats;
    assert.ok(received > 100, `${received}`);
    assert.is(dropped, 0);
    let last = -1;
    for (let i = 0; i < received; i++) {
      const next = Buffer.from((await b.receive()).bytes).readUInt32BE();
      assert.ok(next > last, 'in order, whatever the kernel has dropped'); // one socket to another on one machine
      last = next;
    }
    a.close();
    b.close();
  });

  check('iteration ends with close(); who waits gets null, who sends is told', async () => {
    const [a, b] = await pair();
    const seen = [];
    const reading = (async () => {
      for await (const { bytes } of b) seen.push(bytes.length);
    })();
    for (let i = 1; i <= 3; i++) await a.send('x'.repeat(i), { hostname: HERE, port: b.port });
    await until(() => seen.length === 3, 'all have come');
    b.close();
    b.close();
    await within(reading, 'the end');
    assert.equal(seen, [1, 2, 3]);
    assert.is(await b.receive(), null);
    assert.is((await rejection(b.send('x', { hostname: HERE, port: 9 }))).code, 'FEATHERSTAR_CLOSED');
    const waiting = [a.receive(), a.receive()];
    const sending = Array.from({ length: 5 }, () =>
      a.send('x', { hostname: HERE, port: 9 }).catch((error) => error.code),
    );
    a.close();
    assert.equal(await within(Promise.all(waiting), 'the end'), [null, null]);
    for (const what of await Promise.all(sending)) assert.ok(what === undefined || what === 'FEATHERSTAR_CLOSED', what);
  });

  check('ports in use, addresses that are none, slots that are used up', async () => {
    const a = await UdpSocket.bind({ hostname: HERE });
    const taken = await rejection(UdpSocket.bind({ hostname: HERE, port: a.port }));
    assert.equal([taken.code, taken.errnoName, taken.syscall], ['FEATHERSTAR_SYSTEM', 'EADDRINUSE', 'bind']);
    assert.is((await rejection(UdpSocket.bind({ hostname: '192.0.2.1' }))).errnoName, 'EADDRNOTAVAIL');
    const others = [];
    let full;
    while (full === undefined) {
      const one = await UdpSocket.bind({ hostname: HERE }).catch((error) => error);
      if (one instanceof UdpSocket) others.push(one);
      else full = one;
    }
    assert.is(others.length, 15);
    assert.equal([full.code, full.errnoName], ['FEATHERSTAR_SYSTEM', host === 'uring' ? 'EMFILE' : 'ENFILE']);
    for (const one of [a, ...others]) one.close();
    const { port } = a;
    let again;
    await until(async () => {
      again = await UdpSocket.bind({ hostname: HERE, port }).catch(() => undefined);
      return again !== undefined;
    }, 'the port is free');
    again.close();
  });

  check('what is wrong is said', async () => {
    const wrong = [
      null,
      5,
      ...[-1, 65_536, 0.5, '80', NaN, null].map((port) => ({ port })),
      ...['', 5, null].map((hostname) => ({ hostname })),
      { host: HERE },
      ...[0, 65_537, 0.5, '1'].map((queue) => ({ queue })),
      { reusePort: 'yes' },
      { signal: {} },
    ];
    for (const options of wrong) {
      assert.is((await rejection(UdpSocket.bind(options))).code, 'FEATHERSTAR_OPTION', JSON.stringify(options));
    }
    const socket = await UdpSocket.bind({ hostname: HERE });
    for (const bytes of [5, null, undefined, {}, [1]]) {
      assert.is((await rejection(socket.send(bytes, { hostname: HERE, port: 9 }))).code, 'FEATHERSTAR_OPTION');
    }
    const targets = [null, {}, { hostname: HERE }, { port: 9 }, { hostname: '', port: 9 }, { hostname: HERE, port: 0 }];
    targets.push({ hostname: HERE, port: 9, signal: 5 });
    for (const target of targets) {
      assert.is((await rejection(socket.send('x', target))).code, 'FEATHERSTAR_OPTION', JSON.stringify(target));
      assert.is((await rejection(socket.connect(target))).code, 'FEATHERSTAR_OPTION', JSON.stringify(target));
    }
    const nobody = { hostname: 'no-such-name.invalid', port: 9 };
    for (const ask of [() => UdpSocket.bind(nobody), () => socket.send('x', nobody), () => socket.connect(nobody)]) {
      assert.is((await rejection(ask())).code, 'FEATHERSTAR_DNS');
    }
    socket.close();
  });

  check('sockets that come and go leave no descriptor', async (base) => {
    const files = openFiles();
    for (let i = 0; i < 50; i++) {
      const [a, b] = await pair();
      const sending = a.send('x', { hostname: HERE, port: b.port });
      if (i % 2 === 0) await sending;
      else sending.catch(() => {});
      a.close();
      b.close();
      await sleep(0);
    }
    await back(base);
    await until(() => openFiles() <= files, 'no descriptor is left');
  });

  run();

  for (const shards of [1, 2]) {
    const test = suite(`udp on several shards (${host}, ${shards} shards)`);

    test('each shard has sockets of its own; close() ends what waits', async () => {
      const runtime = await within(Runtime.start({ host, shards, module: MODULE }), 'start');
      const files = openFiles();
      try {
        const ports = await runtime.onAll().echo();
        assert.is(new Set(ports).size, shards);
        const socket = await UdpSocket.bind({ hostname: HERE });
        for (const [i, port] of ports.entries()) {
          await socket.send('from', { hostname: HERE, port });
          assert.is(await text(socket), `from@${i}`);
        }
        const waiting = socket.receive();
        await within(runtime.close(), 'close');
        assert.is(await within(waiting, 'the end'), null);
      } finally {
        await within(runtime.close(), 'close');
      }
      await until(() => openFiles() <= files, 'no descriptor is left');
    });

    test('one port on all shards, where the host can share one', async () => {
      const runtime = await within(Runtime.start({ host, shards, module: MODULE }), 'start');
      try {
        const port = await runtime.on(0).share(0);
        const others = [];
        for (let i = 1; i < shards; i++)
          others.push(
            await runtime
              .on(i)
              .share(port)
              .catch((error) => error),
          );
        if (others[0] instanceof Error) {
          assert.is(others[0].errnoName, 'EADDRINUSE');
          console.log(`# skipped: ${host}: this Node has no reusePort for UDP`);
          return;
        }
        assert.equal(others, new Array(shards - 1).fill(port));
        const seen = new Set();
        const clients = [];
        for (let i = 0; i < 14; i++) clients.push(createSocket('udp4'));
        for (const client of clients) {
          const answer = new Promise((resolve) => client.once('message', resolve));
          client.send('who', port, HERE);
          seen.add((await within(answer, 'an answer')).toString());
          client.close();
        }
        for (const one of seen) assert.match(one, /^who@[01]$/);
      } finally {
        await within(runtime.close(), 'close');
      }
    });

    test.run();
  }
}
