// The engines of TLS: which one serves is said, and chosen; what both of them do with unusual options and bytes.

import { randomBytes } from 'node:crypto';
import nodeTls, { connect as connectTls } from 'node:tls';
import { serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hasOpenssl, openSClient, sClient } from '../support/certificates.js';
import { oneShardSuite, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';
import { cert, chooseEngine, expectedEngine, key, openCut, runWith, tlsWays } from '../support/tls.js';

const isDeno = 'Deno' in globalThis;
const HEAD_BYTES = 5; // of a record
const RECORD_MAX_BYTES = 16_384 + 256;
const openssl = hasOpenssl();

const start = (tls = {}, options = {}) =>
  serve({ hostname: '127.0.0.1', fetch: () => new Response('hello'), tls: { key, cert, ...tls }, ...options });

const secure = (socket) =>
  within(
    new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('it was closed')));
    }),
    'a handshake',
  );

/** The text of a response over TLS. */
async function ask(port, options = {}, request = get()) {
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, servername: 'localhost', ...options });
  await secure(socket);
  const client = new Client(socket);
  void client.write(request);
  const { text } = await client.response();
  client.destroy();
  return text;
}

function* pieces(bytes, lengthOf) {
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf();
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

if (isDeno) console.log('# skipped: Deno: its node:tls tells no end over a Duplex, and resumes no sessions');
for (const { host, engine } of isDeno ? [] : tlsWays()) {
  const suite = oneShardSuite(`TLS by ${engine}`, host);
  const { test, check } = suite;
  runWith(engine, test);

  const engineOf = { fetch: (_, { tls }) => new Response(tls.engine) };
  const fast = () => expectedEngine(engine);

  check('the engine is told; options that the addon cannot do are done by node:tls', async () => {
    const cases = [
      [{}, fast()],
      [{ sni: () => undefined }, 'node:tls'],
      [{ requestCert: true, rejectUnauthorized: false, ca: cert }, fast()],
      [{ requestCert: true, rejectUnauthorized: false }, 'node:tls'],
    ];
    for (const [tls, expected] of cases) {
      const server = await start(tls, engineOf);
      assert.is(await ask(server.port), expected, Object.keys(tls).join());
      await server.close();
    }
  });

  check('the engine can change with the certificates', async () => {
    const server = await start({}, engineOf);
    const before = connectTls({ port: server.port, host: '127.0.0.1', ca: cert, servername: 'localhost' });
    await secure(before);
    server.setSecureContext({ key, cert, sni: () => undefined });
    assert.is(await ask(server.port), 'node:tls');
    server.setSecureContext({ key, cert });
    assert.is(await ask(server.port), fast());
    const client = new Client(before);
    void client.write(get());
    assert.is((await client.response()).text, fast());
    client.destroy();
    await server.close();
  });

  const echo = { fetch: async (request) => new Response(await request.bytes()), http2: false };
  for (const [name, lengthOf] of [
    ['byte by byte', () => 1],
    ['at any place', () => 1 + Math.floor(Math.random() * 30_000)],
  ]) {
    check(`records that are cut ${name}`, async () => {
      const server = await start({}, echo);
      const body = randomBytes(name === 'byte by byte' ? 300 : 1_000_000);
      const { socket } = openCut(server.port, (bytes) => pieces(bytes, lengthOf));
      await secure(socket);
      const client = new Client(socket);
      for (let i = 0; i < 2; i++) {
        void client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`);
        void client.write(body);
        assert.ok((await client.response()).body.equals(body));
      }
      client.destroy();
      await server.close();
    });
  }

  check('bytes that were changed on the way end the connection, and no other one', async () => {
    const server = await start();
    let changes = false;
    const { plain, socket } = openCut(server.port, (bytes) => {
      if (changes) bytes[bytes.length - 1] ^= 1;
      return [bytes];
    });
    await secure(socket);
    const other = connectTls({ port: server.port, host: '127.0.0.1', ca: cert, servername: 'localhost' });
    await secure(other);
    changes = true;
    socket.write(get());
    await until(() => plain.readableEnded || plain.destroyed, 'the server ends it');
    const client = new Client(other);
    void client.write(get());
    assert.is((await client.response()).text, 'hello');
    client.destroy();
    socket.destroy();
    await until(() => server.stats.connections === 0, 'all connections are closed');
    await server.close();
  });

  check('a handler learns that the bytes of its connection were changed, though the client stays', async () => {
    let signal;
    let respond;
    const fetch = (request) => {
      signal = request.signal;
      return new Promise((resolve) => {
        respond = () => resolve(new Response('too late'));
      });
    };
    const server = await start({}, { fetch, http2: false });
    let changes = false;
    const { plain, socket } = openCut(server.port, (bytes) => {
      if (changes) bytes[bytes.length - 1] ^= 1;
      return [bytes];
    });
    plain.allowHalfOpen = true;
    await secure(socket);
    socket.write(get());
    await until(() => signal !== undefined, 'the request has come');
    assert.not.ok(signal.aborted);
    changes = true;
    socket.write(get());
    await until(() => plain.readableEnded, 'the server ends it');
    respond();
    await until(() => signal.aborted && server.stats.connections === 0, 'the connection is over');
    plain.destroy();
    socket.destroy();
    await server.close();
  });

  check('a record that is too long, and one of another kind, end the connection', async () => {
    const server = await start();
    const records = [
      [0x16, 0x03, 0x01, (RECORD_MAX_BYTES + 1) >> 8, (RECORD_MAX_BYTES + 1) & 255],
      [0x17, 0x03, 0x03, 0, 32],
      [0xff, 0x03, 0x03, 0, 32],
    ];
    for (const head of records) {
      const client = await Client.open(server.port);
      void client.write(Buffer.concat([Buffer.from(head), Buffer.alloc(RECORD_MAX_BYTES + HEAD_BYTES, 1)]));
      await until(() => client.ending !== undefined, 'the server ends it');
      client.destroy();
    }
    assert.is(await ask(server.port), 'hello');
    await until(() => server.stats.connections === 0, 'all connections are closed');
    await server.close();
  });

  check('versions, ciphers and curves are those of the options', async () => {
    if (!openssl) return;
    const options = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256' };
    const old = await start({ ...options, ecdhCurve: 'P-384' });
    const { text } = await sClient(old.port, ['-curves', 'P-384:P-256']);
    assert.match(text, /New, TLSv1\.2, Cipher is ECDHE-ECDSA-CHACHA20-POLY1305/);
    assert.match(text, /Server Temp Key: ECDH, (P-384|secp384r1), 384 bits/);
    assert.not.match((await sClient(old.port, ['-tls1_3'])).text, /Cipher is [A-Z]{3}(?<!NONE)/);
    assert.not.match((await sClient(old.port, ['-curves', 'P-256'])).text, /Cipher is [A-Z]{3}(?<!NONE)/);
    await old.close();
    const fresh = await start({ minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' });
    assert.match((await sClient(fresh.port)).text, /New, TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256/);
    assert.not.match((await sClient(fresh.port, ['-tls1_2'])).text, /Cipher is [A-Z]{3}(?<!NONE)/);
    await fresh.close();
  });

  check('clients that ask for short records get long bodies', async () => {
    if (!openssl) return;
    const body = 'a'.repeat(200_000);
    const pieces = Array.from({ length: 100 }, () => 'a'.repeat(5000));
    const server = await start({}, { fetch: () => new Response(body) });
    const stream = await start(
      {},
      { fetch: () => new Response(ReadableStream.from(pieces).pipeThrough(new TextEncoderStream())) },
    );
    for (const [port, bytes] of [
      [server.port, body.length],
      [stream.port, 500_000],
    ])
      for (const args of [['-tls1_3'], ['-tls1_2'], ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-SHA384']]) {
        const short = [...args, '-maxfraglen', '512', '-ign_eof', '-quiet'];
        const { text } = await sClient(port, short, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
        const received = (text.match(/a{10,}/g) ?? []).join('').length;
        assert.is(received, bytes, args.join(' '));
      }
    await server.close();
    await stream.close();
  });

  check('renegotiation is refused', async () => {
    if (!openssl) return;
    const server = await start();
    const client = openSClient(server.port, ['-tls1_2']);
    let text = '';
    for (const output of [client.stdout, client.stderr])
      output.on('data', (bytes) => {
        text += bytes;
      });
    await until(() => text.includes('Verify return code'), 'a handshake');
    client.stdin.write('R\n');
    await until(() => text.includes('no renegotiation'), 'it is refused');
    client.kill();
    await server.close();
  });

  check('versions that are not given are those of node:tls', async () => {
    const protocolOf = { fetch: (_, { tls }) => new Response(tls.protocol) };
    const before = nodeTls.DEFAULT_MAX_VERSION;
    nodeTls.DEFAULT_MAX_VERSION = 'TLSv1.2';
    const server = await start({}, protocolOf).finally(() => {
      nodeTls.DEFAULT_MAX_VERSION = before;
    });
    assert.is(await ask(server.port), 'TLSv1.2');
    await server.close();
  });

  check('empty ciphers are those of Node', async () => {
    const server = await start({ ciphers: '' });
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) assert.is(await ask(server.port, { maxVersion }), 'hello');
    await server.close();
  });

  check('close_notify comes before the end', async () => {
    if (!openssl) return;
    const server = await start();
    const { text } = await sClient(server.port, ['-ign_eof'], 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.match(text, /hello/);
    assert.not.match(text, /unexpected eof/);
    await server.close();
  });

  check('tickets of other keys are refused, and those of the same keys resume after a restart', async () => {
    const ticketKeys = randomBytes(48);
    const resumed = { fetch: (_, { tls }) => new Response(String(tls.isResumed)), http2: false };
    const first = await start({ ticketKeys }, resumed);
    const socket = connectTls({ port: first.port, host: '127.0.0.1', ca: cert, servername: 'localhost' });
    let session;
    socket.on('session', (bytes) => {
      session = bytes;
    });
    await secure(socket);
    await until(() => session !== undefined, 'a ticket');
    socket.destroy();
    await first.close();
    for (const [keys, expected] of [
      [ticketKeys, 'true'],
      [randomBytes(48), 'false'],
    ]) {
      const second = await start({ ticketKeys: keys }, resumed);
      assert.is(await ask(second.port, { session }), expected);
      await second.close();
    }
  });

  test('FEATHERSTAR_TLS that cannot be had is an error', async () => {
    try {
      process.env.FEATHERSTAR_TLS = 'fast';
      assert.is((await rejection(start())).code, 'FEATHERSTAR_OPTION');
      process.env.FEATHERSTAR_TLS = 'addon';
      const error = await rejection(start({ sni: () => undefined }));
      assert.is(error.code, 'FEATHERSTAR_HOST');
      assert.match(error.message, fast() === 'addon' || host === 'uring' ? /sni is a function/ : /has no addon/);
    } finally {
      chooseEngine(engine);
    }
  });

  suite.run();
}
