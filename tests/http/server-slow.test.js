// Clients that do not read. However many there are, they hold nothing that others need: no send buffer, and no place
// in the queue for one. There are few buffers here, and more such clients.

import { fileURLToPath } from 'node:url';
import { Runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import { listen, UdpSocket } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard/shard.js';
import { back, holdings, hosts } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';
import { later, MEBIBYTE, pattern } from './server-rig.js';

const BUFFERS = 2;
const STALLED = 12;
const MIDDLE = pattern(2500);
const LARGE = pattern(16 * MEBIBYTE); // more than a socket of the loopback interface takes

for (const host of hosts()) {
  const test = suite(`clients that do not read (${host})`);
  let runtime;
  let server;
  let base;

  async function fetch(request) {
    if (request.method === 'POST') return new FeatherResponse(`${(await request.bytes()).length}`);
    if (request.path === '/large') return new FeatherResponse(LARGE);
    if (request.path === '/middle') return new FeatherResponse(MIDDLE);
    if (request.path === '/stream') return new FeatherResponse(new Blob([LARGE]).stream());
    return new FeatherResponse('here');
  }

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host, limits: { sendBufferCount: BUFFERS } });
    const limits = { headerTimeoutMs: 3_600_000, idleTimeoutMs: 3_600_000 };
    server = await serve({ fetch, hostname: '127.0.0.1', limits });
    await later(20);
    base = holdings();
  });
  test.after(() => runtime.close());
  const check = (name, run) =>
    test(name, async () => {
      await run();
      await until(() => server.stats.connections === 0, 'all connections are closed');
      await back(base);
    });

  /** A SEND that has succeeded gives its buffer back when something happens next, or when it is asked to hurry. */
  async function noneHeld() {
    const shard = currentShard();
    const isFree = () => {
      shard.hurry();
      return shard.sendBuffers.used === 0;
    };
    await until(isFree, 'no send buffer is held');
  }

  /** Clients that ask for `path` and read nothing. */
  async function stall(path) {
    const clients = [];
    for (let i = 0; i < STALLED; i++) {
      const client = await Client.open(server.port, { paused: true });
      client.write(get(path));
      clients.push(client);
    }
    await until(() => server.stats.connections === STALLED, 'all are connected');
    await later(100);
    return clients;
  }

  for (const path of ['/large', '/stream']) {
    check(`others are answered, and who reads in the end gets everything: ${path}`, async () => {
      const clients = await stall(path);
      await noneHeld();
      for (let i = 0; i < 20; i++) assert.is((await ask(server.port, get())).text, 'here');
      for (const client of clients.slice(2)) client.destroy();
      for (const client of clients.slice(0, 2)) {
        client.resume();
        assert.ok((await client.response()).body.equals(LARGE));
        client.destroy();
      }
    });
  }

  check('pipelined answers that are not read wait, bounded, without a buffer', async () => {
    const clients = [];
    const count = 6000;
    for (let i = 0; i < STALLED; i++) {
      const client = await Client.open(server.port, { paused: true });
      client.write(get('/middle').repeat(count));
      clients.push(client);
    }
    await until(() => server.stats.connections === STALLED, 'all are connected');
    await later(100);
    await noneHeld();
    assert.is((await ask(server.port, get())).text, 'here');
    for (const client of clients.slice(1)) client.destroy();
    clients[0].resume();
    for (let i = 0; i < count; i++) assert.ok((await clients[0].response()).body.equals(MIDDLE));
    clients[0].destroy();
  });

  check('sockets of featherstar/net, and what is written behind them', async () => {
    const listener = await listen({ hostname: '127.0.0.1' });
    const clients = [];
    const sockets = [];
    const writing = [];
    for (let i = 0; i < STALLED; i++) {
      const accepting = listener.accept();
      clients.push(await Client.open(listener.port, { paused: true }));
      const socket = await accepting;
      sockets.push(socket);
      writing.push(socket.write(LARGE).then(() => socket.write('end')));
    }
    await later(100);
    await noneHeld();
    assert.is((await ask(server.port, get())).text, 'here');
    clients[3].resume();
    assert.ok((await clients[3].take(LARGE.length)).equals(LARGE));
    assert.is(`${await clients[3].take(3)}`, 'end');
    await writing[3];
    listener.close();
    for (const socket of sockets) socket.close();
    const rejected = (await Promise.allSettled(writing)).filter(({ status }) => status === 'rejected');
    assert.is(rejected.length, STALLED - 1);
    for (const { reason } of rejected) assert.is(reason.code, 'FEATHERSTAR_CLOSED');
    for (const client of clients) client.destroy();
  });

  check('more writes, datagrams and files at once than there are buffers all end', async () => {
    const listener = await listen({ hostname: '127.0.0.1' });
    const folder = await openDirectory(fileURLToPath(new URL('.', import.meta.url)));
    const udp = await UdpSocket.bind({ hostname: '127.0.0.1' });
    const { port } = udp;
    const jobs = [];
    for (let i = 0; i < 20; i++) {
      const accepting = listener.accept();
      const client = await Client.open(listener.port);
      const socket = await accepting;
      jobs.push(
        socket
          .write('x'.repeat(5000))
          .then(() => client.take(5000))
          .then(() => socket.close()),
      );
      jobs.push(folder.readFile('server-slow.test.js').then((bytes) => assert.ok(bytes.length > 100)));
      jobs.push(udp.send('datagram', { hostname: '127.0.0.1', port }));
      jobs.push(ask(server.port, get()).then(({ text }) => assert.is(text, 'here')));
    }
    await Promise.all(jobs);
    udp.close();
    listener.close();
    await folder.close();
  });

  check('a mebibyte in one-byte chunks', async () => {
    const head = 'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n';
    const body = Buffer.alloc(6 * MEBIBYTE, '1\r\nx\r\n');
    const client = await Client.open(server.port);
    client.write(Buffer.concat([Buffer.from(head), body, Buffer.from('0\r\n\r\n')]));
    assert.is((await client.response()).text, `${MEBIBYTE}`);
    client.destroy();
    assert.is((await ask(server.port, post('/', 'abc'))).text, '3');
  });

  test.run();
}
