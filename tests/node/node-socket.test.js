// Sockets of featherstar/node against peers of Node's own: bytes, ends, errors, timeouts, and what a library does with
// them. Node's own clients (http, http2, tls) are the libraries here.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import tls from 'node:tls';
import { runtime, sleep } from 'featherstar';
import { connect as connectSocket } from 'featherstar/net';
import { connect, createConnection, createNetServer, NodeSocket, nodeSocketOf } from 'featherstar/node';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const MEBIBYTE = 1_048_576;
const HERE = '127.0.0.1';

/** A server of Node's; `use` gets its port and its connections. */
async function withServer(use, { server = net.createServer({ allowHalfOpen: true }), where = { port: 0 } } = {}) {
  const connections = [];
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    connections.push(socket);
  });
  server.listen({ host: where.path === undefined ? '127.0.0.1' : undefined, ...where });
  await once(server, 'listening');
  try {
    return await use(server.address().port, connections);
  } finally {
    for (const socket of connections) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** A connected socket, and the peer's end of it. */
async function pair(port, connections, options = {}) {
  const before = connections.length;
  const socket = createConnection({ port, host: '127.0.0.1', ...options });
  await within(once(socket, 'connect'), 'connect');
  await until(() => connections.length > before, 'accepted');
  return [socket, connections.at(-1)];
}

const closed = (socket) => within(once(socket, 'close'), 'close');

/** All bytes until the end. Not by a loop over the stream, which would destroy it. */
async function bytes(stream) {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  await within(once(stream, 'end'), 'end');
  return Buffer.concat(parts);
}

/** When the probe of a connection is due, by /proc/net/tcp: in s, 0: never. `end` 2: with this port there, 1: here. */
function probeSeconds(port, end = 2) {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const [kind, jiffies] = rows.find((row) => row[end]?.endsWith(wanted) && row[3] === '01')?.[5].split(':') ?? [];
  return kind === '02' ? Number.parseInt(jiffies, 16) / 100 : 0;
}

const text = async (stream) => `${await bytes(stream)}`;

/** The error of a socket; it closes behind it. */
async function failure(socket) {
  const [[error], [hadError]] = await Promise.all([within(once(socket, 'error'), 'error'), closedWithError(socket)]);
  assert.is(hadError, true);
  assert.ok(socket.destroyed);
  return error;
}

// once() rejects with an 'error' that comes first
const closedWithError = (socket) => new Promise((resolve) => socket.once('close', (...args) => resolve(args)));

for (const host of hosts()) {
  const { test, check } = oneShardSuite('node socket', host);

  check('it connects by port, by options and by path, and says what it is', async () => {
    const path = join(tmpdir(), `featherstar-node-${process.pid}.sock`);
    await withServer(async (port, connections) => {
      for (const args of [[port], [port, '127.0.0.1'], [`${port}`, '127.0.0.1'], [{ port, host: 'localhost' }]]) {
        const socket = connect(...args);
        assert.is(socket.readyState, 'opening');
        assert.ok(socket.connecting && socket.pending);
        await within(once(socket, 'ready'), 'ready');
        assert.is(socket.readyState, 'open');
        assert.not(socket.connecting || socket.pending);
        assert.is(socket.remoteAddress, '127.0.0.1');
        assert.is(socket.remotePort, port);
        assert.is(socket.remoteFamily, 'IPv4');
        socket.destroy();
        await closed(socket);
        assert.is(socket.readyState, 'closed');
        assert.is(socket.remoteAddress, '127.0.0.1', 'also afterwards');
      }
      await until(() => connections.length === 4, 'four connections');
    });
    await withServer(
      async () => {
        const socket = connect(path);
        await within(once(socket, 'connect'), 'connect');
        assert.is(socket.remoteAddress, undefined);
        socket.destroy();
        await closed(socket);
      },
      { where: { path } },
    );
  });

  check('a callback, a lookup of the program, and events in order', () =>
    withServer(async (port) => {
      const events = [];
      const lookup = (name, { all }, done) => {
        events.push(`lookup of ${name}`);
        done(null, all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4);
      };
      const socket = createConnection({ port, host: 'a.name', lookup }, () => events.push('callback'));
      socket.on('lookup', (error, address, family, name) => events.push([error, address, family, name].join()));
      socket.on('ready', () => events.push('ready'));
      socket.on('close', (hadError) => events.push(`close ${hadError}`));
      await within(once(socket, 'ready'), 'ready');
      socket.end();
      socket.resume();
      await until(() => socket.writableFinished, 'finished');
      socket.destroy();
      await closed(socket);
      assert.equal(events, ['lookup of a.name', ',127.0.0.1,4,a.name', 'callback', 'ready', 'close false']);
    }),
  );

  check('an address of a name that does not answer is not the last', () =>
    withServer(async (port) => {
      const found = [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ];
      const socket = createConnection({ port, host: 'two.names', lookup: (_, _2, done) => done(null, found) });
      await within(once(socket, 'connect'), 'connect');
      assert.is(socket.remoteAddress, '127.0.0.1');
      socket.destroy();
      await closed(socket);
    }),
  );

  check('bytes go both ways, strings in their encoding, and are counted', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      socket.write('grün');
      socket.write('e9', 'hex');
      socket.write('é', 'latin1');
      socket.write('');
      socket.cork();
      socket.write(Buffer.from(' and'));
      socket.write(new Uint8Array([32]));
      socket.write('more');
      socket.uncork();
      socket.end('.');
      const sent = [Buffer.from('grün'), Buffer.from([0xe9, 0xe9]), Buffer.from(' and more.')];
      assert.equal(await bytes(peer), Buffer.concat(sent));
      assert.is(socket.bytesWritten, 5 + 2 + 10);
      peer.end('back');
      assert.is(await text(socket), 'back');
      assert.is(socket.bytesRead, 4);
      await until(() => socket.destroyed, 'closed by itself, as both sides have ended');
    }),
  );

  check('a write before the connection is there waits for it', () =>
    withServer(async (port, connections) => {
      const socket = createConnection({ port, host: '127.0.0.1' });
      const order = [];
      socket.write('one', () => order.push('written'));
      socket.on('connect', () => order.push('connect'));
      socket.end('two');
      await until(() => connections.length === 1, 'accepted');
      assert.is(await text(connections[0]), 'onetwo');
      assert.equal(order, ['connect', 'written']);
      connections[0].end();
      socket.resume();
      await until(() => socket.destroyed, 'closed');
    }),
  );

  check('write and destroy at once: the peer gets the bytes, and then the end', () =>
    withServer(async (port, connections) => {
      for (const size of [10, 5000, 100_000]) {
        const [socket, peer] = await pair(port, connections);
        socket.write(Buffer.alloc(size, 'x'), () => undefined);
        socket.destroy();
        assert.is((await within(text(peer), 'bytes')).length, size);
        peer.destroy();
      }
    }),
  );

  check('a reader that stops makes the peer wait, and so does a peer that stops', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      const block = Buffer.alloc(MEBIBYTE, 1);
      let written = 0;
      while (peer.write(block) || written < 64) written++;
      await sleep(100);
      const waiting = peer.writableLength;
      assert.ok(waiting > 8 * MEBIBYTE, `${waiting} bytes of 64 MiB wait at the peer`);
      assert.ok(socket.readableLength < 4 * MEBIBYTE, `${socket.readableLength} bytes wait in the stream`);
      socket.resume();
      await until(() => peer.writableLength === 0, 'all read');

      peer.pause();
      let drained = 0;
      let blocks = 0;
      while (blocks < 64 && socket.write(block)) blocks++;
      socket.on('drain', () => drained++);
      assert.ok(blocks < 64, 'write() has returned false');
      for (let i = 0; i < 32; i++) socket.write(block);
      await sleep(100);
      assert.is(drained, 0);
      assert.ok(socket.writableLength > 8 * MEBIBYTE);
      peer.resume();
      await until(() => drained === 1 && socket.writableLength === 0, 'drained');
      socket.destroy();
      await closed(socket);
    }),
  );

  check('one side ends and the other goes on, if it may be half open', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      socket.end('question');
      assert.is(await text(peer), 'question');
      assert.is(socket.readyState, 'readOnly');
      peer.end('answer');
      assert.is(await text(socket), 'answer');

      const [half, other] = await pair(port, connections, { allowHalfOpen: true });
      other.end('first');
      assert.is(await text(half), 'first');
      assert.is(half.readyState, 'writeOnly');
      await sleep(5);
      half.end('last');
      assert.is(await text(other), 'last');
      await until(() => half.destroyed, 'closed');

      const [full, third] = await pair(port, connections);
      third.end();
      full.resume();
      await until(() => full.destroyed, 'a socket that may not be half open ends with its peer');
    }),
  );

  check('errors have the codes of Node, and this library as their cause', async () => {
    const freePort = await withServer(async (port) => port);
    const refused = await failure(createConnection(freePort, '127.0.0.1'));
    assert.is(refused.code, 'ECONNREFUSED');
    assert.is(refused.message, `connect ECONNREFUSED 127.0.0.1:${freePort}`);
    assert.equal(
      [refused.syscall, refused.address, refused.port, refused.errno],
      ['connect', '127.0.0.1', freePort, -111],
    );
    assert.is(refused.cause.code, 'FEATHERSTAR_SYSTEM');
    const missing = await failure(createConnection('/nowhere/at/all.sock'));
    assert.equal([missing.code, missing.syscall, missing.address], ['ENOENT', 'connect', '/nowhere/at/all.sock']);
    const lookup = (name, _, done) =>
      done(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }));
    const unknown = await failure(createConnection({ port: 1, host: 'no.such.name', lookup }));
    assert.is(unknown.code, 'ENOTFOUND');
    const both = [
      { address: '127.0.0.1', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ];
    const all = await failure(
      createConnection({ port: freePort, host: 'x', lookup: (_, _2, done) => done(null, both) }),
    );
    assert.equal([all.code, all.errors.map(({ code }) => code)], ['ECONNREFUSED', ['ECONNREFUSED', 'ECONNREFUSED']]);
  });

  check('a reset is ECONNRESET for the reader; later a write is EPIPE or a reset', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      peer.resetAndDestroy();
      const error = await failure(socket);
      assert.is(error.code, 'ECONNRESET');
      assert.is(error.message, 'read ECONNRESET');

      const [writer, other] = await pair(port, connections, { allowHalfOpen: true });
      writer.pause();
      writer.on('readable', () => undefined); // nothing is read, so only writes can find out
      other.destroy();
      const writing = setInterval(() => writer.write('x'), 1);
      const broken = await failure(writer);
      clearInterval(writing);
      assert.ok(['EPIPE', 'ECONNRESET'].includes(broken.code), broken.code);
    }),
  );

  check('it can be destroyed in each state, with and without an error', () =>
    withServer(async (port, connections) => {
      for (const error of [undefined, new Error('wanted')]) {
        const states = {
          new: () => new NodeSocket(),
          connecting: () => createConnection(port, '127.0.0.1'),
          'connecting to a name': () => createConnection(port, 'localhost'),
          connected: async () => (await pair(port, connections))[0],
          writing: async () => {
            const [socket, peer] = await pair(port, connections);
            peer.pause();
            for (let i = 0; i < 16; i++) socket.write(Buffer.alloc(MEBIBYTE));
            return socket;
          },
          ended: async () => {
            const [socket] = await pair(port, connections);
            return socket.end();
          },
          'left by its peer': async () => {
            const [socket, peer] = await pair(port, connections, { allowHalfOpen: true });
            peer.end();
            socket.resume();
            await within(once(socket, 'end'), 'end');
            return socket;
          },
          paused: async () => {
            const [socket, peer] = await pair(port, connections);
            socket.pause();
            peer.write(Buffer.alloc(MEBIBYTE));
            await sleep(5);
            return socket;
          },
        };
        for (const [state, make] of Object.entries(states)) {
          const socket = await make();
          const errors = [];
          socket.on('error', (one) => errors.push(one));
          let written;
          if (state === 'connecting') socket.write('x', (one) => (written = one));
          const closing = closedWithError(socket);
          socket.destroy(error);
          assert.equal(await within(closing, state), [error !== undefined], state);
          assert.equal(errors, error === undefined ? [] : [error], state);
          if (state === 'connecting') assert.instance(written, Error, 'a write that never happened is told so');
          socket.destroy();
        }
      }
    }),
  );

  check("'close' comes behind the events of streams that end in the same turn, and its immediates, as in Node", () =>
    withServer(async (port, connections) => {
      const [socket] = await pair(port, connections);
      const order = [];
      socket.on('close', () => order.push('close'));
      socket.destroy();
      setImmediate(() => order.push('immediate'));
      process.nextTick(() => process.nextTick(() => queueMicrotask(() => order.push('ticks'))));
      await closed(socket);
      assert.equal(order, ['ticks', 'immediate', 'close']);
    }),
  );

  check('a signal destroys it', () =>
    withServer(async (port, connections) => {
      const controller = new AbortController();
      const [socket] = await pair(port, connections, { signal: controller.signal });
      controller.abort();
      assert.is((await failure(socket)).name, 'AbortError');
    }),
  );

  check('a timeout is told of, after a time without bytes', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      let timeouts = 0;
      socket.setTimeout(250, () => timeouts++);
      assert.is(socket.timeout, 250);
      socket.resume();
      for (let i = 0; i < 20; i++) {
        peer.write('x');
        await sleep(20);
      }
      assert.is(timeouts, 0, 'bytes came all the time');
      await until(() => timeouts === 1, 'a timeout');
      socket.setTimeout(20);
      socket.setTimeout(0);
      await sleep(40);
      assert.is(timeouts, 1);
      assert.throws(() => socket.setTimeout(-1), /msecs/);
      socket.setTimeout(1000);
      socket.destroy();
      await closed(socket);
    }),
  );

  check('wrong arguments throw what Node throws, and what is lacking is said', () => {
    assert.throws(
      () => createConnection(70_000),
      (error) => error.code === 'ERR_SOCKET_BAD_PORT',
    );
    assert.throws(
      () => createConnection({}),
      (error) => error.code === 'ERR_MISSING_ARGS',
    );
    for (const options of [{ localAddress: '127.0.0.1' }, { localPort: 7 }, { onread: { buffer: Buffer.alloc(9) } }]) {
      assert.throws(
        () => createConnection({ port: 1, ...options }),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
    }
  });

  check('pipeline() ends with the error of a peer that resets', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      const endless = Readable.from(
        (function* () {
          for (;;) yield Buffer.alloc(65_536);
        })(),
      );
      const piping = pipeline(endless, socket).catch((error) => error);
      await until(() => socket.bytesWritten > MEBIBYTE / 4, 'bytes');
      peer.resetAndDestroy();
      const error = await within(piping, 'the error');
      assert.ok(['EPIPE', 'ECONNRESET'].includes(error.code), error.code);
      assert.ok(endless.destroyed && socket.destroyed);
    }),
  );

  check('http: an agent keeps connections, and bodies go both ways', async () => {
    const server = http.createServer((request, response) => request.pipe(response));
    await withServer(
      async (port) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
        agent.createConnection = createConnection;
        const sockets = new Set();
        for (const size of [0, 10, 100_000, 3 * MEBIBYTE]) {
          const request = http.request({ port, agent, method: 'POST' });
          request.on('socket', (socket) => sockets.add(socket));
          request.end(Buffer.alloc(size, 'x'));
          const [response] = await within(once(request, 'response'), 'response');
          assert.is((await text(response)).length, size);
        }
        assert.is(sockets.size, 1);
        assert.ok([...sockets][0] instanceof NodeSocket);
        agent.destroy();
      },
      { server },
    );
  });

  check('tls: a client over it, with a session and a check of the name', async () => {
    const server = tls.createServer({ key, cert }, (socket) => socket.end('secret'));
    server.on('tlsClientError', () => undefined);
    await withServer(
      async (port) => {
        const over = () => createConnection(port, '127.0.0.1');
        const socket = tls.connect({ socket: over(), ca: cert, servername: 'localhost' });
        assert.is(await within(text(socket), 'text'), 'secret');
        assert.ok(socket.authorized);
        const wrong = tls.connect({ socket: over(), ca: cert, servername: 'elsewhere' });
        const [error] = await within(once(wrong, 'error'), 'error');
        assert.is(error.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
        wrong.destroy();
      },
      { server },
    );
  });

  check('http2: streams over it', async () => {
    const server = http2.createServer((request, response) => response.end(`${request.url} is here`));
    await withServer(
      async (port) => {
        const session = http2.connect(`http://127.0.0.1:${port}`, {
          createConnection: () => createConnection(port, '127.0.0.1'),
        });
        const texts = await within(
          Promise.all(['/a', '/b'].map((path) => text(session.request({ ':path': path })))),
          'h2',
        );
        assert.equal(texts, ['/a is here', '/b is here']);
        await new Promise((resolve) => session.close(resolve));
      },
      { server },
    );
  });

  check('setKeepAlive(): TCP probes a silent peer', async () => {
    await withServer(async (port, connections) => {
      const asked = createConnection({ port, host: HERE, keepAlive: true, keepAliveInitialDelay: 5000 });
      await within(once(asked, 'connect'), 'connect');
      if (asked.localAddress === undefined) return void console.log('# skipped: this kernel gives no descriptors');
      await until(() => probeSeconds(port) > 0, 'a probe is due');
      assert.ok(probeSeconds(port) <= 5);
      asked.setKeepAlive(false);
      await until(() => probeSeconds(port) === 0, 'none is due');
      asked.setKeepAlive(true, 60_000);
      await until(() => probeSeconds(port) > 50, 'a later one is due');
      asked.destroy();
      await closed(asked);
      assert.is(asked.setKeepAlive(true, 5000), asked, 'also when it is closed');
      await until(() => connections.length === 1, 'accepted');
    });
    const server = createNetServer({ keepAlive: true, keepAliveInitialDelay: 5000 }, (socket) =>
      socket.on('error', () => undefined),
    );
    server.listen(0, HERE);
    await within(once(server, 'listening'), 'listening');
    const { port } = server.address();
    const peer = net.connect(port, HERE);
    await until(() => probeSeconds(port, 1) > 0, 'the server probes');
    peer.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  check('a Socket of featherstar/net becomes one', () =>
    withServer(async (port, connections) => {
      const own = await connectSocket({ port });
      const socket = nodeSocketOf(own);
      await until(() => connections.length === 1, 'accepted');
      const [peer] = connections;
      assert.is(socket.remotePort, port);
      socket.write('out');
      socket.cork();
      socket.write('and ');
      socket.end(Buffer.alloc(MEBIBYTE, 'x'));
      assert.is((await text(peer)).length, 3 + 4 + MEBIBYTE);
      assert.is(socket.bytesWritten, 3 + 4 + MEBIBYTE);
      peer.end(Buffer.alloc(MEBIBYTE, 'y'));
      assert.is((await text(socket)).length, MEBIBYTE);
      await until(() => socket.destroyed && own.isClosed, 'closed');

      const reset = nodeSocketOf(await connectSocket({ port }));
      await until(() => connections.length === 2, 'accepted');
      connections[1].resetAndDestroy();
      assert.is((await failure(reset)).code, 'ECONNRESET');
      const mine = nodeSocketOf(await connectSocket({ port }));
      mine.destroy();
      await closed(mine);
    }),
  );

  test('a write after the end of the peer is EPIPE, as in Node', () =>
    withServer(async (port, connections) => {
      const [socket, peer] = await pair(port, connections);
      peer.end();
      await closed(socket.resume());
      assert.is((await new Promise((resolve) => socket.write('late', resolve))).code, 'EPIPE');
      assert.is((await new Promise((resolve) => socket.write('late', 'latin1', resolve))).code, 'EPIPE');
    }));

  test('the runtime closes: sockets are destroyed without an error, and attempts fail', () =>
    withServer(async (port, connections) => {
      const [socket] = await pair(port, connections);
      const other = nodeSocketOf(await connectSocket({ port }));
      other.resume();
      const attempt = createConnection(port, '127.0.0.1');
      const endings = Promise.all([socket, other].map(closedWithError));
      const refusal = failure(attempt);
      await runtime().close();
      assert.equal(await within(endings, 'close'), [[false], [false]]);
      assert.is((await refusal).code, 'FEATHERSTAR_CLOSED', 'the callers of an attempt wait for an answer');
      assert.throws(
        () => createConnection(port),
        (error) => error.code === 'FEATHERSTAR_NO_SHARD' || error.code === 'FEATHERSTAR_CLOSED',
      );
    }));

  test.run();
}
