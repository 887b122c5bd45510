// Servers of featherstar/node against clients of Node's own.

import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime, runtime, sleep } from 'featherstar';
import { createConnection, createNetServer, createServer } from 'featherstar/node';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { currentShard } from '../../dist/host/shard/shard.js';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const MEBIBYTE = 1_048_576;
const HERE = '127.0.0.1';
const MODULE = new URL('../support/node-server-module.js', import.meta.url);
const IS_NODE = process.versions.bun === undefined && !('Deno' in globalThis);

async function listening(server, ...args) {
  server.listen(...(args.length === 0 ? [0, HERE] : args));
  await within(once(server, 'listening'), 'listening');
  return server.address().port;
}

const closing = (server) => within(new Promise((resolve) => server.close(resolve)), 'close');

async function bytes(stream) {
  const parts = [];
  stream.on('data', (part) => parts.push(part)).resume();
  await within(once(stream, 'end'), 'end');
  return Buffer.concat(parts);
}

const text = async (stream) => `${await bytes(stream)}`;

async function client(port, data) {
  const socket = net.connect({ port, host: HERE, allowHalfOpen: true });
  socket.on('error', () => undefined);
  await within(once(socket, 'connect'), 'connect');
  if (data !== undefined) socket.write(data);
  return socket;
}

/** A request of Node's own client; resolves to the response and its body. */
async function ask(port, { body, agent = false, ...options } = {}) {
  const request = http.request({ port, host: HERE, agent, ...options });
  request.end(body);
  const [response] = await within(once(request, 'response'), 'response');
  return { response, body: await bytes(response) };
}

const echo = (request, response) => request.pipe(response);

/** Replaces timers by ones that never fire, and stops the clock, as a test library does. Returns the undo. */
function fakeTimers() {
  const fakes = [
    ...['setTimeout', 'setInterval', 'setImmediate'].map((name) => [globalThis, name, () => ({ unref() {} })]),
    [performance, 'now', () => 0],
  ].map(([target, name, fake]) => ({ target, name, fake, real: target[name] }));
  for (const { target, name, fake } of fakes) target[name] = fake;
  return () => {
    for (const { target, name, real } of fakes) target[name] = real;
  };
}

for (const host of hosts()) {
  const { test, check } = oneShardSuite('node servers', host);
  const checkHttp = IS_NODE ? check : (name) => test.skip(name, () => undefined);

  check('fake timers of a test stop neither sockets nor the shard', async () => {
    const server = createNetServer((socket) => socket.pipe(socket));
    const port = await listening(server);
    const exchange = async () => {
      const socket = createConnection(port, HERE);
      socket.setTimeout(1);
      await once(socket, 'timeout');
      await sleep(1);
      socket.setTimeout(10_000).end('echoed');
      let received = '';
      for await (const data of socket.setEncoding('utf8')) received += data;
      if (!socket.destroyed) await once(socket, 'close');
      server.close();
      await once(server, 'close');
      return received;
    };
    const undo = fakeTimers();
    const received = exchange();
    try {
      assert.is(await received, 'echoed');
    } finally {
      undo();
    }
  });

  check('net: arguments of listen() that Node refuses, by its codes', async () => {
    const refused = {
      ERR_INVALID_ARG_VALUE: [{}, true, { host: HERE }],
      ERR_SOCKET_BAD_PORT: [-1, 65_536, { port: 'x' }],
    };
    for (const [code, all] of Object.entries(refused)) {
      for (const wrong of all) {
        const isIt = (error) => error.code === code;
        assert.throws(() => createNetServer().listen(wrong), isIt, JSON.stringify(wrong));
        assert.throws(() => net.createServer().listen(wrong), isIt, `Node: ${JSON.stringify(wrong)}`);
      }
    }
    const server = createNetServer();
    await listening(server, { port: undefined, host: HERE });
    await closing(server);
  });

  check('net: a server takes the port of one that is closing', async () => {
    const first = createNetServer();
    const port = await listening(first);
    const kept = await client(port);
    first.close();
    const second = createNetServer((socket) => socket.end('second'));
    second.listen(port, HERE);
    await within(once(second, 'listening'), 'listening');
    assert.is(await text(net.connect(port, HERE)), 'second');
    const third = createNetServer();
    third.listen(port, HERE);
    const [error] = await within(once(third, 'error'), 'error');
    assert.is(error.code, 'EADDRINUSE');
    kept.destroy();
    await closing(second);
    assert.not(first.listening);
  });

  check('net: it listens, accepts, and closes when its connections have ended', async () => {
    const events = [];
    const server = createNetServer((socket) => socket.on('error', () => undefined).pipe(socket));
    for (const name of ['listening', 'connection', 'close']) server.on(name, () => events.push(name));
    assert.is(server.address(), null);
    const port = await listening(server);
    assert.equal(server.address(), { address: HERE, family: 'IPv4', port });
    assert.ok(server.listening);
    assert.throws(
      () => server.listen(0),
      (error) => error.code === 'ERR_SERVER_ALREADY_LISTEN',
    );
    const socket = await client(port, 'x');
    assert.equal(await within(once(socket, 'data'), 'data'), [Buffer.from('x')]);
    assert.is(await new Promise((resolve) => server.getConnections((_, count) => resolve(count))), 1);
    const closed = closing(server);
    assert.not(server.listening);
    await sleep(30);
    assert.equal(events, ['listening', 'connection']);
    socket.end();
    assert.is(await closed, undefined);
    assert.equal(events, ['listening', 'connection', 'close']);
    assert.is((await closing(server)).code, 'ERR_SERVER_NOT_RUNNING');
    assert.ok((await listening(server)) > 0, 'once more');
    await closing(server);
  });

  check('net: a path, a name, all addresses; address() is there at once for all addresses', async () => {
    const path = join(tmpdir(), `featherstar-server-${process.pid}.sock`);
    const server = createNetServer((socket) => socket.end('hello'));
    await listening(server, path);
    assert.is(server.address(), path);
    assert.is(await text(net.connect(path)), 'hello');
    await closing(server);
    await listening(server, { port: 0, host: 'localhost' });
    assert.ok(['127.0.0.1', '::1'].includes(server.address().address));
    await closing(server);
    server.listen(0);
    if (IS_NODE) assert.ok(server.address().port > 0);
    await within(once(server, 'listening'), 'listening');
    assert.is(await text(net.connect(server.address().port, HERE)), 'hello');
    await closing(server);
    server.listen({ port: 0, host: 'localhost' });
    assert.is(await closing(server), undefined, 'closed while its name is looked up');
    server.listen(0, HERE, 10, () => undefined);
    assert.is(await closing(server), undefined, 'or while it begins to listen');
  });

  check("net: errors have Node's codes", async () => {
    const server = createNetServer();
    const port = await listening(server);
    const other = createNetServer().listen(port, HERE);
    const [error] = await within(once(other, 'error'), 'error');
    assert.is(error.code, 'EADDRINUSE');
    assert.is(error.message, `listen EADDRINUSE: address already in use ${HERE}:${port}`);
    assert.equal([error.syscall, error.address, error.port], ['listen', HERE, port]);
    assert.is(error.cause.code, 'FEATHERSTAR_SYSTEM');
    await closing(server);
    await listening(other, port, HERE);
    await closing(other);
    const away = createNetServer().listen(0, '192.0.2.1');
    assert.is((await within(once(away, 'error'), 'error'))[0].code, 'EADDRNOTAVAIL');
    assert.throws(
      () => createNetServer().listen({ fd: 3 }),
      (thrown) => thrown.code === 'FEATHERSTAR_OPTION',
    );
  });

  check('net: sockets know where they are; some are dropped, paused, or half open', async () => {
    const sockets = [];
    const server = createNetServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => sockets.push(socket));
    const port = await listening(server);
    server.maxConnections = 1;
    const first = await client(port, 'bytes');
    await until(() => sockets.length === 1, 'a connection');
    const [socket] = sockets;
    assert.equal([socket.localAddress, socket.localPort, socket.localFamily], [HERE, port, 'IPv4']);
    assert.equal(socket.address(), { address: HERE, port, family: 'IPv4' });
    assert.equal([socket.remoteAddress, socket.remotePort], [HERE, first.localPort]);
    assert.ok(socket.server === server);
    const dropped = once(server, 'drop');
    const second = await client(port);
    const [place] = await within(dropped, 'drop');
    assert.equal([place.localPort, place.localFamily, place.remoteFamily], [port, 'IPv4', 'IPv4']);
    await within(once(second.resume(), 'end'), 'the second one is closed');
    second.destroy();
    await sleep(10);
    assert.is(socket.readableLength, 0, 'paused');
    first.end();
    assert.is(await text(socket), 'bytes');
    await sleep(10);
    assert.not(socket.writableEnded);
    socket.end('answer');
    assert.is(await text(first), 'answer');
    await closing(server);
  });

  check('net: a thousand connections, and resets among them, leave nothing behind', async () => {
    let open = 0;
    const server = createNetServer((socket) => {
      open++;
      socket.on('error', () => undefined).on('close', () => open--);
      socket.pipe(socket);
    });
    const port = await listening(server, { port: 0, host: HERE, backlog: 1024 });
    for (let round = 0; round < 5; round++) {
      const clients = await Promise.all(Array.from({ length: 200 }, () => client(port, 'x')));
      await Promise.all(clients.map((one) => within(once(one, 'data'), 'data')));
      assert.is(open, 200);
      clients.forEach((one, i) => {
        if (i % 3 === 0) one.resetAndDestroy();
        else if (i % 3 === 1) one.destroy();
        else one.end();
      });
      await until(() => open === 0, 'all have ended');
    }
    await closing(server);
  });

  checkHttp('http: requests, bodies of all sizes, strings and bytes, in one piece and in many', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const server = createServer(async (request, response) => {
      const size = Number(request.url.slice(1));
      if (request.headers.pieces === undefined) {
        response.end(request.headers.bytes === undefined ? 'x'.repeat(size) : Buffer.alloc(size, 'x'));
      } else {
        for (let left = size; left > 0; left -= 1000) response.write('x'.repeat(Math.min(left, 1000)));
        response.end();
      }
    });
    assert.instance(server, http.Server);
    const port = await listening(server);
    for (const size of [0, 1, 4000, 4096, 4097, 5000, 65_536, 70_000, 2 * MEBIBYTE]) {
      for (const headers of [{}, { bytes: 1 }, { pieces: 1 }]) {
        const { body } = await ask(port, { path: `/${size}`, headers, agent });
        assert.is(body.length, size, JSON.stringify({ size, headers }));
      }
    }
    const uploads = createServer(echo);
    const uploadPort = await listening(uploads);
    for (const size of [0, 10, 10_000, 3 * MEBIBYTE]) {
      const sent = Buffer.alloc(size, 'abc');
      const { body } = await ask(uploadPort, { method: 'POST', body: sent, agent });
      assert.ok(body.equals(sent), size);
    }
    agent.destroy();
    await Promise.all([closing(server), closing(uploads)]);
  });

  checkHttp('http: bad requests, upgrades, 100-continue, pipelining, and slow heads', async () => {
    const server = createServer({ connectionsCheckingInterval: 50 }, async (request, response) => {
      const from = await request.socket.remoteAddress; // as a framework: it responds a little later
      response.end(`${request.method} ${request.url} from ${from}`);
    });
    server.on('upgrade', (request, socket, head) => {
      socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${request.headers.upgrade} ${head}`);
    });
    server.headersTimeout = 200;
    const port = await listening(server);
    const bad = await client(port, 'nonsense\r\n\r\n');
    assert.match(await text(bad), /^HTTP\/1\.1 400 Bad Request\r\n/, 'written, and destroyed at once');
    const upgrading = await client(
      port,
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nhead',
    );
    assert.match(await text(upgrading), /101 [\s\S]*raw head$/);
    bad.destroy();
    upgrading.destroy();
    const { body } = await ask(port, { method: 'PUT', headers: { expect: '100-continue' }, body: 'x' });
    assert.is(`${body}`, `PUT / from ${HERE}`);
    const pipelined = await client(port, 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20));
    let answers = '';
    pipelined.on('data', (part) => {
      answers += part;
    });
    await until(() => answers.split('GET /1 from').length === 21, 'twenty answers');
    pipelined.destroy();
    const leaving = await client(port);
    leaving.end('GET /a HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2));
    assert.is((await text(leaving)).split('GET /a from').length, 3, 'two requests and the end, all at once');
    const slow = await client(port, 'GET / HTTP/1.1\r\n');
    assert.match(await text(slow), /^HTTP\/1\.1 408 /);
    slow.destroy();
    await closing(server);
  });

  checkHttp('http: peers that reset, half-close and stall', async () => {
    const aborted = [];
    const server = createServer((request, response) => {
      request.on('error', (error) => aborted.push(error.code));
      if (request.url === '/late') setTimeout(() => response.end('late'), 20);
      else if (request.url === '/endless') {
        response.on('close', () => aborted.push('closed'));
        const block = Buffer.alloc(65_536);
        const more = () => {
          while (!response.destroyed && response.write(block));
        };
        response.on('drain', more);
        more();
      } else request.pipe(response);
    });
    server.httpAllowHalfOpen = true;
    const port = await listening(server);
    const half = await client(port, 'GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    half.end();
    assert.match(await text(half), /late$/, 'a client that has ended gets its answer');
    const reset = await client(port, 'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc');
    await sleep(20);
    reset.resetAndDestroy();
    await until(() => aborted.length === 1, 'the request is told');
    assert.is(aborted[0], 'ECONNRESET');
    const stalled = await client(port, 'GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
    stalled.pause();
    await sleep(100);
    const sentBefore = process.memoryUsage().rss;
    await sleep(100);
    assert.ok(process.memoryUsage().rss - sentBefore < 64 * MEBIBYTE, 'a client that does not read fills no memory');
    stalled.destroy();
    await until(() => aborted.includes('closed'), 'the response is told');
    await closing(server);
  });

  checkHttp('http: close() ends idle connections, and waits for requests', async () => {
    const server = createServer((_, response) => setTimeout(() => response.end('done'), 50));
    const port = await listening(server);
    const agent = new http.Agent({ keepAlive: true });
    await ask(port, { agent });
    let calls = 0;
    server.closeIdleConnections = () => calls++;
    const running = ask(port, { agent, headers: { connection: 'close' } });
    await within(once(server, 'request'), 'it runs');
    const idle = await client(port);
    const closed = closing(server);
    assert.is(`${(await running).body}`, 'done');
    idle.destroy();
    await closed;
    assert.is(calls, 1, 'a method of the program is called once, as by http.Server');
    assert.is((await closing(server)).code, 'ERR_SERVER_NOT_RUNNING');
    agent.destroy();
  });

  checkHttp('https and http2: their servers take its sockets', async () => {
    const secure = https.createServer({ key, cert }, echo);
    const h2 = http2.createSecureServer({ key, cert }, (request, response) => response.end(request.url));
    const clear = http2.createServer((request, response) => response.end(`${request.url} in the clear`));
    for (const [inner, use] of [
      [
        secure,
        async (port) => {
          const request = https.request({
            port,
            host: HERE,
            ca: cert,
            servername: 'localhost',
            method: 'POST',
            agent: false,
          });
          request.end(Buffer.alloc(MEBIBYTE));
          const [response] = await within(once(request, 'response'), 'response');
          assert.is((await bytes(response)).length, MEBIBYTE);
        },
      ],
      [
        h2,
        async (port) => {
          const session = http2.connect(`https://localhost:${port}`, { ca: cert, servername: 'localhost' });
          assert.is(await text(session.request({ ':path': '/over-tls' })), '/over-tls');
          await new Promise((resolve) => session.close(resolve));
        },
      ],
      [
        clear,
        async (port) => {
          const session = http2.connect(`http://localhost:${port}`);
          assert.is(await text(session.request({ ':path': '/this' })), '/this in the clear');
          await new Promise((resolve) => session.close(resolve));
        },
      ],
    ]) {
      const server = createNetServer((socket) => inner.emit('connection', socket));
      const port = await listening(server, 0);
      await use(port);
      await closing(server);
    }
  });

  test('the runtime closes: requests that run end first', async () => {
    const server = createNetServer((socket) => socket.on('error', () => undefined));
    const held = await client(await listening(server));
    held.resume();
    let late;
    let web;
    if (IS_NODE) {
      web = createServer((_, response) => setTimeout(() => response.end('done'), 100));
      const port = await listening(web);
      const agent = new http.Agent({ keepAlive: true });
      late = ask(port, { agent });
      await sleep(20);
    }
    const started = performance.now();
    const report = await runtime().close();
    assert.ok(performance.now() - started < 3000, 'an idle connection does not delay it');
    assert.equal(report.shards[0].left.openOperations, 0);
    if (IS_NODE) assert.is(`${(await late).body}`, 'done');
    await until(() => held.readableEnded, 'held');
    held.destroy();
    assert.not(server.listening);
  });

  test.run();
}

const several = suite('node servers on two shards');

for (const host of hosts()) {
  several(`each shard listens on the same port, in any order (${host})`, async () => {
    if (!IS_NODE) return;
    const runtime = await Runtime.start({ shards: 2, host, module: MODULE });
    try {
      if (!runtime.sharesPorts) {
        console.log(`# skipped: ${host} cannot share a port`);
        return;
      }
      const taken = createNetServer();
      const port = await listening(taken);
      for (const shard of [1, 0]) {
        const error = await runtime
          .on(shard)
          .listen(port)
          .catch((thrown) => thrown);
        assert.is(error.errnoName, 'EADDRINUSE', `shard ${shard}: a port of another server`);
      }
      await closing(taken);
      for (const order of [
        [1, 0],
        [0, 1],
      ]) {
        await Promise.all(order.map((shard) => runtime.on(shard).listen(port)));
        const counts = [0, 0];
        for (let i = 0; i < 100; i++) counts[Number((await ask(port)).body)]++;
        assert.ok(counts[0] > 10 && counts[1] > 10, String(counts));
        await Promise.all(order.map((shard) => runtime.on(shard).stop()));
      }
      assert.is(currentShard().index, 0);
    } finally {
      await runtime.close();
    }
  });
}

several.run();
