// HTTPS by serve(): requests and responses, certificates, sessions, and clients that misbehave, on both hosts and by
// both engines.

import { connect as connectPlain } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { serve } from 'featherstar/http';
import { listen } from 'featherstar/net';
import * as assert from 'uvu/assert';
import { Authority, hasOpenssl, openSClient, sClient } from '../support/certificates.js';
import { holdings, oneShardSuite, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';
import { cert, expectedEngine, key, runWith, tlsWays } from '../support/tls.js';

const CONNECTIONS = 200; // while certificates change
const openssl = hasOpenssl();
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A client of `port`, as those of plain HTTP. */
async function open(port, options = {}) {
  const socket = connectTls({ port, host: '127.0.0.1', ca: cert, servername: 'localhost', ...options });
  await within(
    new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    }),
    'a handshake',
  );
  return { client: new Client(socket), socket };
}

async function textOf(port, request = get(), options = {}) {
  const { client } = await open(port, options);
  void client.write(request);
  const { text } = await client.response();
  client.destroy();
  return text;
}

for (const { host, engine } of tlsWays()) {
  const suite = oneShardSuite(`serve() over TLS by ${engine}`, host);
  const { test } = suite;
  runWith(engine, test);

  /** A test with a server of its own, which leaves nothing behind. */
  const check = (name, options, run) => {
    suite.check(name, async () => {
      const errors = [];
      const { fetch = () => new Response('hello'), ...rest } = typeof options === 'function' ? options() : options;
      const server = await serve({
        hostname: '127.0.0.1',
        fetch,
        onError: (error) => errors.push(error),
        ...rest,
        tls: { key, cert, ...rest.tls },
      });
      try {
        await run(server, errors);
        assert.equal(errors, []);
        await until(() => server.stats.connections === 0, 'all connections are closed');
      } finally {
        await server.close();
      }
    });
  };

  check(
    'requests, one after the other and at once',
    { fetch: (request) => new Response(request.url) },
    async (server) => {
      assert.is(server.url, `https://127.0.0.1:${server.port}/`);
      const { client } = await open(server.port);
      void client.write(get('/a') + get('/b'));
      assert.is((await client.response()).text, 'https://test/a');
      assert.is((await client.response()).text, 'https://test/b');
      void client.write(get('/c'));
      assert.is((await client.response()).text, 'https://test/c');
      client.destroy();
    },
  );

  const big = Buffer.alloc(3_000_000, 'abcdefghijklm');
  const huge = Buffer.alloc(40 * 2 ** 20, 'abcdefghijklm');
  check('clients that do not read cost little memory', { fetch: () => new Response(huge) }, async (server) => {
    const before = process.memoryUsage.rss();
    const clients = await Promise.all(Array.from({ length: 4 }, () => open(server.port)));
    for (const { socket } of clients) {
      socket.removeAllListeners('data');
      socket.pause();
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    }
    await until(() => server.stats.requests === 4, 'the requests');
    await later(300);
    const grown = process.memoryUsage.rss() - before;
    assert.ok(grown < 2 * huge.length, `${grown} bytes for ${4 * huge.length}`);
    let bytes = 0;
    const ends = clients.map(({ socket }) => new Promise((resolve) => socket.once('end', resolve)));
    for (const { socket } of clients) socket.on('data', (chunk) => (bytes += chunk.length)).resume();
    await within(Promise.all(ends), 'the ends');
    assert.ok(bytes > 4 * huge.length && bytes < 4 * (huge.length + 1000), `${bytes} bytes`);
  });

  const detached = () => {
    const body = new Uint8Array(1_000_000);
    setImmediate(() => structuredClone(body.buffer, { transfer: [body.buffer] }));
    return new Response(body);
  };
  check('a body that is detached before it is sent breaks the connection', { fetch: detached }, async (server) => {
    const { socket } = await open(server.port);
    let bytes = 0;
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.write(get());
    await within(new Promise((resolve) => socket.once('close', resolve)), 'the end');
    assert.ok(bytes < 1_000_000, `${bytes} bytes`);
  });

  const echo = async (request) => new Response(await request.bytes());
  check('a large body in both directions', { fetch: echo }, async (server) => {
    const { client } = await open(server.port);
    void client.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${big.length}\r\n\r\n`);
    void client.write(big);
    assert.ok((await client.response()).body.equals(big));
    client.destroy();
  });

  const streamed = () =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await later(2);
          this.count = (this.count ?? 0) + 1;
          if (this.count > 20) controller.close();
          else controller.enqueue(Buffer.from(`${this.count},`));
        },
      }),
    );
  check('a body that is streamed', { fetch: streamed }, async (server) => {
    assert.is(await textOf(server.port), Array.from({ length: 20 }, (_, i) => `${i + 1},`).join(''));
  });

  const facts = (_, { tls }) =>
    Response.json({
      engine: tls.engine,
      names: [tls.protocol, tls.cipher, tls.alpnProtocol, tls.servername],
      client: [tls.isAuthorized, tls.authorizationError ?? null, tls.peerCertificate ?? null],
      session: [tls.isResumed, tls.session instanceof Uint8Array],
    });
  check('a handler is told of the connection', { fetch: facts }, async (server) => {
    const text = await textOf(server.port, get(), { ALPNProtocols: ['http/1.1'] });
    assert.equal(JSON.parse(text), {
      engine: expectedEngine(engine),
      names: ['TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'http/1.1', 'localhost'],
      client: [false, null, null],
      session: [false, true],
    });
  });

  check(
    'close_notify and half-close: the response still comes',
    { fetch: () => later(20).then(() => new Response('late')) },
    async (server) => {
      const { client, socket } = await open(server.port, { allowHalfOpen: true });
      void client.write(get());
      socket.end(); // close_notify, and FIN
      assert.is((await client.response()).text, 'late');
      await until(() => client.ending === 'end', 'the end of the server');
      client.destroy();
    },
  );

  const reading = { fetch: async (request) => new Response(await request.text()) };
  check('a body that is cut off is no request', reading, async (server) => {
    const plain = connectPlain(server.port, '127.0.0.1');
    const socket = connectTls({ socket: plain, ca: cert, servername: 'localhost' });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    await new Promise((resolve) => {
      socket.write('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf', resolve);
    });
    let received = '';
    socket.on('data', (bytes) => {
      received += bytes;
    });
    socket.on('error', () => {});
    plain.end(); // FIN without close_notify
    await until(() => server.stats.connections === 0, 'the connection is closed');
    assert.is(received, '');
    socket.destroy();
  });

  check(
    'a client that leaves aborts its request',
    () => {
      let aborted;
      return {
        fetch: async (request) => {
          if (request.path === '/aborted') return new Response(String(aborted));
          request.signal.addEventListener('abort', () => {
            aborted = true;
          });
          await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
          return new Response('');
        },
      };
    },
    async (server) => {
      const { client } = await open(server.port);
      void client.write(get());
      await later(50);
      client.destroy();
      await until(async () => (await textOf(server.port, get('/aborted'))) === 'true', 'the signal');
    },
  );

  check('plain HTTP, garbage and an end on its port hold up no client', {}, async (server) => {
    for (const bytes of [get(), '\x16\x03\x01\xff\xff garbage', '\x00'.repeat(1000), '']) {
      const client = await Client.open(server.port);
      if (bytes !== '') void client.write(Buffer.from(bytes, 'latin1'));
      else client.end();
      if (bytes.includes('garbage')) {
        assert.is(await textOf(server.port), 'hello');
        client.destroy(); // its record is longer than what came, so the server waits
      } else await until(() => client.ending !== undefined, 'the server ends it');
      client.destroy();
    }
    assert.is(await textOf(server.port), 'hello');
    await until(() => server.stats.connections === 0, 'all connections are closed');
  });

  check(
    'a handshake that stops is ended, and holds up no other',
    { tls: { handshakeTimeoutMs: 300 } },
    async (server) => {
      const hello = await clientHello();
      const silent = await Client.open(server.port);
      const stopped = await Client.open(server.port);
      void stopped.write(hello.subarray(0, 50));
      const slow = await Client.open(server.port);
      const trickle = (async () => {
        for (const byte of hello.subarray(0, 100)) {
          if (slow.ending !== undefined) break;
          await slow.write(Buffer.of(byte));
          await later(20);
        }
      })();
      const began = performance.now();
      assert.is(await textOf(server.port), 'hello');
      assert.ok(performance.now() - began < 250, 'it was not held up');
      for (const client of [silent, stopped, slow]) {
        await until(() => client.ending !== undefined, 'the server ends it');
        client.destroy();
      }
      await trickle;
    },
  );

  check('beyond maxHandshakes the oldest one is ended', { tls: { maxHandshakes: 4 } }, async (server) => {
    const clients = [];
    for (let i = 0; i < 6; i++) {
      clients.push(await Client.open(server.port));
      await until(() => server.stats.connections === Math.min(i + 1, 4), 'it is accepted');
    }
    await until(() => clients[1].ending !== undefined, 'the second one is ended');
    assert.equal(
      clients.map(({ ending }) => ending === undefined),
      [false, false, true, true, true, true],
    );
    assert.is(await textOf(server.port), 'hello');
    for (const client of clients) client.destroy();
  });

  check('a thousand handshakes at once: a request on another connection takes its time only', {}, async (server) => {
    const { client } = await open(server.port);
    const hello = await clientHello();
    const crowd = await Promise.all(Array.from({ length: 1000 }, () => Client.open(server.port)));
    for (const one of crowd) void one.write(hello);
    const times = [];
    for (let i = 0; i < 20; i++) {
      const began = performance.now();
      void client.write(get());
      assert.is((await client.response()).text, 'hello');
      times.push(performance.now() - began);
    }
    assert.ok(Math.max(...times) < 500, `${times.map(Math.round)} ms`);
    for (const one of [client, ...crowd]) one.destroy();
  });

  check('new certificates under load lose no request', {}, async (server) => {
    if (!openssl) return;
    const authority = new Authority();
    try {
      const first = authority.issue('localhost');
      const second = authority.issue('localhost');
      server.setSecureContext(first);
      const serials = new Set();
      let connections = 0;
      let requests = 0;
      const load = async () => {
        while (connections < CONNECTIONS || serials.size < 2) {
          if (++connections % 10 === 0) server.setSecureContext(connections % 20 === 0 ? first : second);
          const { client, socket } = await open(server.port, { ca: authority.cert });
          serials.add(socket.getPeerCertificate().serialNumber);
          for (let i = 0; i < 3; i++) {
            void client.write(get());
            assert.is((await client.response()).text, 'hello');
            requests++;
          }
          client.destroy();
        }
      };
      await Promise.all(Array.from({ length: 8 }, load));
      assert.is(serials.size, 2);
      assert.ok(requests >= 3 * CONNECTIONS);
      assert.throws(
        () => server.setSecureContext({ key: 'no key', cert }),
        ({ code }) => code === 'FEATHERSTAR_TLS',
      );
      assert.throws(
        () => server.setSecureContext({ key }),
        ({ code }) => code === 'FEATHERSTAR_OPTION',
      );
      assert.is(await textOf(server.port, get(), { ca: authority.cert }), 'hello');
    } finally {
      authority.remove();
    }
  });

  const certificateName = (_, { tls }) =>
    new Response([tls.isAuthorized, tls.peerCertificate?.subject.CN, tls.authorizationError].join(' '));
  if (openssl) {
    const authority = new Authority();
    test.after(() => authority.remove());
    const client = authority.issue('client.example');
    const asked = { fetch: certificateName, tls: { ca: authority.cert, requestCert: true } };

    check('a client with a certificate, one without, and one of another authority', asked, async (server) => {
      assert.is(await textOf(server.port, get(), client), 'true client.example ');
      for (const other of [{}, { key, cert }])
        assert.match(await failureOf(server.port, other), /^(ECONNRESET|ERR_SSL)|end/);
    });

    const wanted = {
      fetch: certificateName,
      tls: { ca: authority.cert, requestCert: true, rejectUnauthorized: false },
    };
    check('a certificate that is wanted, but not needed', wanted, async (server) => {
      assert.is(await textOf(server.port, get(), client), 'true client.example ');
      assert.is(await textOf(server.port), 'false  UNABLE_TO_GET_ISSUER_CERT');
      const own = await textOf(server.port, get(), { key, cert });
      assert.is(own, 'false localhost DEPTH_ZERO_SELF_SIGNED_CERT');
    });

    const named = authority.issue('named.example');
    const wild = authority.issue('*.wild.example');
    const nameOf = async (port, servername) => {
      const { socket, client: one } = await open(port, {
        servername,
        ca: [authority.cert, cert],
        checkServerIdentity: () => {},
      });
      const { CN } = socket.getPeerCertificate().subject;
      one.destroy();
      return CN;
    };
    check(
      'a certificate for each name',
      { tls: { sni: { 'named.example': named, '*.wild.example': wild } } },
      async (server) => {
        assert.is(await nameOf(server.port, 'named.example'), 'named.example');
        assert.is(await nameOf(server.port, 'a.wild.example'), '*.wild.example');
        assert.is(await nameOf(server.port, 'a.b.wild.example'), 'localhost');
        assert.is(await nameOf(server.port, 'other.example'), 'localhost');
      },
    );

    const asking = async (name) => {
      await later(5);
      if (name === 'broken.example') throw new Error('no such tenant');
      return name === 'named.example' ? named : undefined;
    };
    check('a function that finds the certificate of a name', { tls: { sni: asking } }, async (server, errors) => {
      assert.is(await nameOf(server.port, 'named.example'), 'named.example');
      assert.is(await nameOf(server.port, 'other.example'), 'localhost');
      assert.match(await failureOf(server.port, { servername: 'broken.example' }), /ECONNRESET|ERR_SSL|end/);
      assert.equal(errors.splice(0).map(String), ['Error: no such tenant']);
    });

    check('versions and ciphers, as openssl sees them', {}, async (server) => {
      const versions = {};
      for (const version of ['tls1', 'tls1_1', 'tls1_2', 'tls1_3']) {
        const { text } = await sClient(server.port, [`-${version}`, '-cipher', 'ALL:@SECLEVEL=0']);
        versions[version] = /^(?:New, |\s+Protocol\s*: )(TLSv1\.\d).*Cipher is [A-Z]/m.exec(text)?.[1];
      }
      assert.equal(versions, { tls1: undefined, tls1_1: undefined, tls1_2: 'TLSv1.2', tls1_3: 'TLSv1.3' });
      const weak = await sClient(server.port, ['-tls1_2', '-cipher', 'NULL:RC4:3DES:EXPORT:aNULL:@SECLEVEL=0']);
      assert.not.match(weak.text, /Cipher is [A-Z]{3}(?<!NONE)/);
    });

    check('ALPN: what both speak, and an alert if that is nothing', {}, async (server) => {
      const both = await sClient(server.port, ['-alpn', 'nonsense,http/1.1']);
      assert.match(both.text, /ALPN protocol: http\/1\.1/);
      const none = await sClient(server.port, ['-alpn', 'nonsense']);
      assert.match(none.text, /alert no application protocol/);
    });

    check('a client cannot renegotiate', {}, async (server) => {
      const child = openSClient(server.port, ['-tls1_2']);
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
      await until(() => text.includes('Verify return code'), 'the handshake');
      child.stdin.write('R\n');
      await until(() => /RENEGOTIATING[\s\S]*(no renegotiation|error)/.test(text), 'the refusal');
      child.kill();
    });

    for (const version of ['-tls1_2', '-tls1_3']) {
      check(`a session is resumed (${version})`, {}, async (server) => {
        const file = authority.file('');
        const request = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
        await sClient(server.port, [version, '-sess_out', file, '-ign_eof'], request);
        const again = await sClient(server.port, [version, '-sess_in', file, '-ign_eof'], request);
        assert.match(again.text, /^Reused, TLS/m);
        assert.match(again.text, /HTTP\/1\.1 200 OK/);
      });
    }
  }

  test('a key or certificate that cannot be used is an error before anything listens', async () => {
    const base = holdings();
    const fetch = () => new Response('');
    const codeOf = async (tls) => (await rejection(serve({ fetch, tls }))).code;
    assert.is(await codeOf({ key: 'no key', cert }), 'FEATHERSTAR_TLS');
    assert.is(await codeOf({ key, cert: 'no certificate' }), 'FEATHERSTAR_TLS');
    assert.is(await codeOf({ key, cert, ciphers: 'NO-SUCH-CIPHER' }), 'FEATHERSTAR_TLS');
    assert.is(await codeOf({ key, cert, sni: { x: { key: 'no key', cert } } }), 'FEATHERSTAR_TLS');
    for (const tls of [
      { key },
      { cert },
      { key: 1, cert },
      { key, cert, alpn: [] },
      { key, cert, minVersion: 'TLSv1' },
      { key, cert, handshakeTimeoutMs: 0 },
      { key, cert, ticketKeys: Buffer.alloc(16) },
      { key, cert, unknown: 1 },
    ]) {
      assert.is(await codeOf(tls), 'FEATHERSTAR_OPTION', JSON.stringify(tls));
    }
    assert.equal(holdings(), base);
  });

  test('Bun, which has no tls.Server that can be used, is refused', async () => {
    globalThis.Bun = {};
    try {
      for (const [make, handler] of [
        [serve, { fetch: () => new Response('') }],
        [listen, {}],
      ]) {
        const { code, message } = await rejection(make({ ...handler, tls: { key, cert } }));
        assert.equal([code, /tls\.Server/.test(message)], ['FEATHERSTAR_HOST', true]);
      }
    } finally {
      delete globalThis.Bun;
    }
  });

  test('a server without TLS has no certificates to change', async () => {
    const server = await serve({ hostname: '127.0.0.1', fetch: () => new Response('') });
    assert.throws(
      () => server.setSecureContext({ key, cert }),
      ({ code }) => code === 'FEATHERSTAR_STATE',
    );
    await server.close();
  });

  suite.run();
}

/** The first bytes of a handshake. */
async function clientHello() {
  const { createServer } = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const socket = connectTls({ port: server.address().port, host: '127.0.0.1', servername: 'localhost' });
  socket.on('error', () => {});
  const [connection] = await new Promise((resolve) => server.once('connection', (...args) => resolve(args)));
  const bytes = await new Promise((resolve) => connection.once('data', resolve));
  connection.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** How a connection ends that does not get a response: a code, or 'end'. */
async function failureOf(port, options) {
  let opened;
  try {
    opened = await open(port, options);
  } catch (error) {
    return error.code;
  }
  void opened.client.write(get());
  await until(() => opened.client.ending !== undefined, 'the server ends it');
  opened.client.destroy();
  return opened.client.ending;
}
