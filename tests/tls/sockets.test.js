// listen({ tls }) and connect({ tls }): sockets over TLS, how they end, and how a handshake fails, on both hosts.

import { connect as connectPlain } from 'node:net';
import { connect as connectTls, createServer } from 'node:tls';
import { Runtime, spawn } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hasOpenssl, sClient } from '../support/certificates.js';
import { oneShardSuite, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, expectedEngine, key, openCut, runWith, tlsWays } from '../support/tls.js';

const tls = { key, cert };
const openssl = hasOpenssl();
const trusting = { ca: cert, servername: 'localhost' };

async function serveSockets(onSocket, options = {}) {
  const listener = await listen({ hostname: '127.0.0.1', ...options, tls: { ...tls, ...options.tls } });
  spawn(async () => {
    for await (const socket of listener) spawn(() => onSocket(socket).catch(unlessClosed));
  });
  return listener;
}

/** Tests close their sockets without close_notify. */
function unlessClosed(error) {
  if (!['FEATHERSTAR_TLS', 'FEATHERSTAR_CLOSED'].includes(error.code)) throw error;
}

async function echo(socket) {
  for await (const bytes of socket) await socket.write(bytes);
  await socket.end();
  socket.close();
}

for (const { host, engine } of tlsWays()) {
  const { test, check, run } = oneShardSuite(`sockets over TLS by ${engine}`, host);
  runWith(engine, test);
  const open = (port, options = {}) => connect({ port, ...options, tls: { ...trusting, ...options.tls } });

  check('bytes both ways, and the end of one side', async () => {
    let accepted;
    const onSocket = (socket) => {
      accepted = socket.tls;
      return echo(socket);
    };
    const listener = await serveSockets(onSocket, { tls: { alpn: ['echo'] } });
    const socket = await open(listener.port, { tls: { alpn: ['other', 'echo'] } });
    assert.equal([socket.tls.protocol, socket.tls.alpnProtocol, socket.tls.isAuthorized], ['TLSv1.3', 'echo', true]);
    assert.is(socket.remote.port, listener.port);
    await until(() => accepted !== undefined, 'it is accepted');
    assert.equal(
      [accepted.engine, accepted.alpnProtocol, accepted.servername],
      [expectedEngine(engine), 'echo', 'localhost'],
    );
    await socket.write('hello');
    assert.is(`${await socket.read()}`, 'hello');
    const big = Buffer.alloc(1_000_000, 'pattern');
    const writing = socket.write(big).then(() => socket.end()); // its other side goes on
    const chunks = [];
    for await (const bytes of socket) chunks.push(bytes);
    await writing;
    assert.ok(Buffer.concat(chunks).equals(big));
    socket.close();
    assert.is((await rejection(socket.write('x'))).code, 'FEATHERSTAR_CLOSED');
    listener.close();
  });

  check('a client that asks for short records gets long ones', async () => {
    if (!openssl) return;
    const listener = await serveSockets(async (socket) => {
      await socket.write('a'.repeat(600_000));
      await socket.end();
      socket.close();
    });
    for (const version of ['-tls1_2', '-tls1_3']) {
      const { text } = await sClient(listener.port, [version, '-maxfraglen', '512', '-ign_eof', '-quiet']);
      assert.is((text.match(/a{10,}/g) ?? []).join('').length, 600_000, version);
    }
    listener.close();
  });

  check('pipeTo() from an encrypted socket to a plain one, and back', async () => {
    const big = Buffer.alloc(1_000_000, 'pattern');
    const plain = await listen({ hostname: '127.0.0.1' });
    const serving = plain.accept().then(async (socket) => {
      assert.is(await socket.pipeTo(socket), big.length);
      socket.close();
    });
    const counts = [];
    const secure = await serveSockets(async (socket) => {
      const upstream = await connect({ port: plain.port });
      counts.push(...(await Promise.all([socket.pipeTo(upstream), upstream.pipeTo(socket)])));
      socket.close();
      upstream.close();
    });
    const socket = await open(secure.port);
    const writing = socket.write(big).then(() => socket.end());
    const chunks = [];
    for await (const bytes of socket) chunks.push(bytes);
    await writing;
    assert.ok(Buffer.concat(chunks).equals(big));
    await serving;
    await until(() => counts.length === 2, 'both pipes end');
    assert.equal(counts, [big.length, big.length]);
    for (const each of [socket, plain, secure]) each.close();
  });

  check('readInto(): what has no room waits', async () => {
    const listener = await serveSockets(echo);
    const socket = await open(listener.port);
    await socket.write('hello');
    const array = new Uint8Array(3);
    assert.is(await socket.readInto(array), 3);
    assert.is(`${Buffer.from(array)}${await socket.read()}`, 'hello');
    assert.is((await rejection(socket.readInto(new Uint8Array(0)))).code, 'FEATHERSTAR_OPTION');
    await socket.end();
    assert.is(await socket.readInto(array), null);
    for (const each of [socket, listener]) each.close();
  });

  check('pipeTo() of an encrypted socket: aborts, a reader beside it, a closed target', async () => {
    const listener = await serveSockets(echo);
    const [socket, target] = [await open(listener.port), await open(listener.port)];
    const controller = new AbortController();
    const piping = socket.pipeTo(target, { signal: controller.signal });
    assert.is((await rejection(socket.read())).code, 'FEATHERSTAR_STATE');
    assert.is((await rejection(socket.pipeTo(target))).code, 'FEATHERSTAR_STATE');
    controller.abort(new Error('enough'));
    assert.match((await rejection(piping)).message, /enough/);
    assert.is((await rejection(socket.pipeTo(target, { timeoutMs: 5 }))).code, 'FEATHERSTAR_TIMEOUT');
    await socket.write('still');
    assert.is(`${await socket.read()}`, 'still');
    target.close();
    assert.is((await rejection(socket.pipeTo(target))).code, 'FEATHERSTAR_CLOSED');
    for (const each of [socket, listener]) each.close();
  });

  check('pipeTo(): a target that is closed ends the pipe of a silent source', async () => {
    const listener = await serveSockets(echo);
    const plain = await listen({ hostname: '127.0.0.1' });
    const openPlain = () => connect({ port: plain.port });
    const openSecure = () => open(listener.port);
    for (const [openSource, openTarget] of [
      [openSecure, openPlain],
      [openPlain, openSecure],
      [openSecure, openSecure],
    ]) {
      const [source, target] = [await openSource(), await openTarget()];
      const piping = rejection(source.pipeTo(target, { timeoutMs: 5000 }));
      target.close();
      assert.is((await piping).code, 'FEATHERSTAR_CLOSED');
      source.close();
    }
    for (const each of [plain, listener]) each.close();
  });

  check('a peer that reads nothing makes the writer wait', async () => {
    let written = 0;
    let other;
    const listener = await serveSockets(async (socket) => {
      other = socket;
      await rejection(async () => {
        for (;;) {
          await socket.write(Buffer.alloc(100_000));
          written += 100_000;
        }
      });
    });
    const socket = await open(listener.port);
    await until(() => written > 0, 'some bytes');
    let before = -1;
    await until(() => {
      const isSteady = before === written;
      before = written;
      return isSteady && new Promise((resolve) => setTimeout(resolve, 100, before === written));
    }, 'the writer waits');
    socket.close();
    await until(() => other.isClosed, 'the other side is closed');
    listener.close();
  });

  check('writes at the same time keep their order', async () => {
    const parts = [1, 2_500_000, 100, 70_000, 3].map((bytes, i) => Buffer.alloc(bytes, 65 + i));
    const listener = await serveSockets(async (socket) => {
      await Promise.all(parts.map((part) => socket.write(part)));
      await socket.end();
    });
    const socket = await open(listener.port);
    const chunks = [];
    for await (const bytes of socket) chunks.push(bytes);
    assert.ok(Buffer.concat(chunks).equals(Buffer.concat(parts)));
    socket.close();
    listener.close();
  });

  check('bytes that were changed on the way are an error', async () => {
    const ends = [];
    let isAccepted = false;
    const listener = await serveSockets(async (socket) => {
      isAccepted = true;
      ends.push(await rejection(socket.read()), socket);
    });
    let changes = false;
    const { socket } = openCut(listener.port, (bytes) => {
      if (changes) bytes[bytes.length - 1] ^= 1;
      return [bytes];
    });
    await within(new Promise((resolve) => socket.once('secureConnect', resolve)), 'a handshake');
    await until(() => isAccepted, 'it is accepted');
    changes = true;
    socket.write('changed');
    await until(() => ends.length !== 0, 'the error');
    assert.is(ends[0].code, 'FEATHERSTAR_TLS');
    assert.match(ends[0].message, /bad record mac/i);
    assert.ok(ends[1].isClosed);
    socket.destroy();
    listener.close();
  });

  check('an end without close_notify is an error, and with it is none', async () => {
    const ends = [];
    const listener = await serveSockets(async (socket) => {
      try {
        let text = '';
        for await (const bytes of socket) text += bytes;
        ends.push(text);
      } catch (error) {
        ends.push(error.code);
      }
      socket.close();
    });
    for (const isCut of [true, false]) {
      const plain = connectPlain(listener.port, '127.0.0.1');
      const socket = connectTls({ socket: plain, ...trusting });
      socket.on('error', () => {});
      await within(new Promise((resolve) => socket.once('secureConnect', resolve)), 'a handshake');
      await new Promise((resolve) => socket.write('some', resolve));
      if (isCut) plain.end();
      else socket.end();
      await until(() => ends.length === (isCut ? 1 : 2), 'the end');
      socket.destroy();
    }
    assert.equal(ends, ['FEATHERSTAR_TLS', 'some']);
    listener.close();
  });

  check('a server that is not trusted, or has another name', async () => {
    const listener = await serveSockets(echo);
    const failure = async (options) => (await rejection(connect({ port: listener.port, tls: options }))).code;
    assert.is(await failure({ servername: 'localhost' }), 'FEATHERSTAR_TLS');
    const other = await rejection(connect({ port: listener.port, tls: { ca: cert, servername: 'other.example' } }));
    assert.equal([other.code, other.cause.code], ['FEATHERSTAR_TLS', 'ERR_TLS_CERT_ALTNAME_INVALID']);
    const careless = await connect({ port: listener.port, tls: { rejectUnauthorized: false } });
    assert.equal([careless.tls.isAuthorized, careless.tls.authorizationError], [false, 'DEPTH_ZERO_SELF_SIGNED_CERT']);
    careless.close();
    const byAddress = await connect({ port: listener.port, tls: { ca: cert } }); // the certificate has 127.0.0.1
    byAddress.close();
    assert.is(await failure({ ca: 'no certificate' }), 'FEATHERSTAR_TLS');
    assert.is(await failure({ unknown: 1 }), 'FEATHERSTAR_OPTION');
    listener.close();
  });

  check('a peer that says nothing, and one that speaks no TLS', async () => {
    const listener = await listen({ hostname: '127.0.0.1' });
    const accepted = [];
    spawn(async () => {
      for await (const socket of listener) accepted.push(socket);
    });
    assert.is((await rejection(open(listener.port, { timeoutMs: 50 }))).code, 'FEATHERSTAR_TIMEOUT');
    const opening = rejection(open(listener.port));
    await until(() => accepted.length === 2, 'it is accepted');
    await accepted[1].write('HTTP/1.1 400 Bad Request\r\n\r\n');
    assert.is((await opening).code, 'FEATHERSTAR_TLS');
    for (const socket of accepted) socket.close();
    listener.close();
  });

  check('a client that sends close_notify in its handshake, and stays', async () => {
    if (expectedEngine(engine) !== 'addon') return; // node:tls waits for handshakeTimeoutMs
    const listener = await serveSockets(echo, { tls: { handshakeTimeoutMs: 600_000 } });
    const closeNotify = Buffer.from('15030300020100', 'hex'); // behind the first message
    const { plain, socket } = openCut(listener.port, (bytes) => [bytes, closeNotify], { maxVersion: 'TLSv1.2' });
    await until(() => plain.readableEnded || plain.destroyed, 'the server ends it');
    socket.destroy();
    listener.close();
  });

  check('clients that do not end their handshake', async () => {
    const listener = await serveSockets(echo, { tls: { handshakeTimeoutMs: 100 } });
    const silent = connectPlain(listener.port, '127.0.0.1');
    silent.on('error', () => {});
    await until(() => silent.destroyed || silent.readableEnded || !silent.readable, 'the listener ends it');
    const second = connectPlain(listener.port, '127.0.0.1');
    await within(new Promise((resolve) => second.once('connect', resolve)), 'connect');
    const socket = await open(listener.port);
    await socket.write('a');
    assert.is(`${await socket.read()}`, 'a');
    socket.close();
    listener.close();
    await until(() => second.destroyed || !second.readable, 'close() ends it');
  });

  check('a session is resumed', async () => {
    const listener = await serveSockets(echo);
    const first = await open(listener.port, { tls: { maxVersion: 'TLSv1.2' } });
    assert.is(first.tls.isResumed, false);
    const { session } = first.tls;
    first.close();
    const second = await open(listener.port, { tls: { maxVersion: 'TLSv1.2', session } });
    assert.ok(second.tls.isResumed);
    second.close();
    listener.close();
  });

  test("a server of Node's", async () => {
    const server = createServer(tls, (socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const socket = await open(server.address().port);
    await socket.write('over');
    assert.is(`${await socket.read()}`, 'over');
    await socket.end();
    assert.is(await socket.read(), null);
    socket.close();
    server.close();
  });

  run();

  const two = suite(`sockets over TLS by ${engine} on two shards (${host})`);
  runWith(engine, two);
  two('another shard gets one', async () => {
    const module = new URL('../support/tls-module.js', import.meta.url);
    const runtime = await Runtime.start({ shards: 2, host, module });
    try {
      const listener = await listen({ hostname: '127.0.0.1', tls });
      spawn(async () => {
        for await (const socket of listener) await socket.handOver(1, 'echoSocket');
      });
      const socket = await open(listener.port);
      await socket.write('moved');
      assert.is(`${await socket.read({ timeoutMs: 5000 })}`, 'moved on 1');
      await socket.end();
      socket.close();
    } finally {
      await runtime.close();
    }
  });
  two.run();
}
