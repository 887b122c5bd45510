// connect({ tls }): both engines refuse the same servers, with the same codes. Each server is asked once by the addon
// and once by node:tls, and the two outcomes are compared. A few that matter most are written out.
// deadline: 300 s

import net from 'node:net';
import nodeTls from 'node:tls';
import { connect } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeCertificates } from '../support/bad-certificates.js';
import { hasOpenssl } from '../support/certificates.js';
import { oneShardSuite, rejection } from '../support/hosts.js';
import { chooseEngine, expectedEngine, tlsWays } from '../support/tls.js';

const HERE = '127.0.0.1';
// A short key and an old digest depend on the OpenSSL of the Node binary.
const CODES = {
  'nothing is wrong': undefined,
  'nothing is wrong, and there is one between': undefined,
  'it is over': 'CERT_HAS_EXPIRED',
  'it has not begun': 'CERT_NOT_YET_VALID',
  'it has signed itself': 'DEPTH_ZERO_SELF_SIGNED_CERT',
  'an unknown authority': 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'an unknown authority, which is sent': 'SELF_SIGNED_CERT_IN_CHAIN',
  'the one between is not sent': 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'the one between is over': 'CERT_HAS_EXPIRED',
  'another name': 'ERR_TLS_CERT_ALTNAME_INVALID',
  'a name of a longer name': 'ERR_TLS_CERT_ALTNAME_INVALID',
  'for clients only': 'INVALID_PURPOSE',
  'the signer is no authority': 'INVALID_PURPOSE',
  'the authority may not sign this name': 'UNSPECIFIED',
  'the chain is longer than an authority allows': 'PATH_LENGTH_EXCEEDED',
  'the signature is wrong': 'CERT_SIGNATURE_FAILURE',
};

const ENGINES = ['auto', 'node:tls'];

/** Listens, and returns { port, close() }. `options`: of node:tls, or a function that gets plain sockets. */
async function listenWith(options) {
  const open = new Set();
  const onSocket = (socket) => {
    open.add(socket);
    socket.on('error', () => {}).on('close', () => open.delete(socket));
  };
  const { onSecure = () => {}, ...rest } = typeof options === 'function' ? {} : options;
  const server = typeof options === 'function' ? net.createServer(options) : nodeTls.createServer(rest, onSecure);
  server
    .on('connection', onSocket)
    .on('secureConnection', onSocket)
    .on('tlsClientError', () => {});
  await new Promise((resolve) => server.listen(0, HERE, resolve));
  const close = () => {
    for (const socket of open) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return { port: server.address().port, close };
}

/** The outcome of connect(), and of `use` of the socket. */
async function outcomeOf(port, tls, use = () => undefined) {
  let socket;
  try {
    socket = await connect({ port, tls, timeoutMs: 20_000 });
    const { protocol, cipher, alpnProtocol, servername, isAuthorized, authorizationError, isResumed } = socket.tls;
    const facts = { protocol, cipher, alpnProtocol, servername, isAuthorized, authorizationError, isResumed };
    return {
      engine: socket.tls.engine,
      ...facts,
      subject: socket.tls.peerCertificate?.subject,
      used: await use(socket),
    };
  } catch (error) {
    const { code, cause } = error;
    return { code, cause: cause?.code, errno: cause?.errnoName };
  } finally {
    socket?.close();
  }
}

/** Asks by both engines, and compares. Resolves to what they have in common. */
async function bothWays(port, tls, use) {
  const outcomes = [];
  for (const engine of ENGINES) {
    chooseEngine(engine);
    const { engine: used, ...outcome } = await outcomeOf(port, tls, use);
    if (used !== undefined) assert.is(used, engine === 'auto' ? expectedEngine('addon') : engine);
    outcomes.push(outcome);
  }
  chooseEngine('auto');
  assert.equal(outcomes[0], outcomes[1]);
  return outcomes[0];
}

const reads = async (socket) => {
  const pieces = [];
  try {
    for await (const bytes of socket) pieces.push(bytes);
  } catch ({ code, cause }) {
    return [Buffer.concat(pieces).toString(), code, cause?.code];
  }
  return [Buffer.concat(pieces).toString()];
};

const isPossible = tlsWays().some(({ engine }) => engine === 'addon') && hasOpenssl();
if (!isPossible) {
  console.log('# skipped: clients of TLS by both engines: the host has no addon, or there is no openssl');
  const none = suite('clients of TLS by both engines');
  none.skip('the host has no addon, or there is no openssl', () => {});
  none.run();
} else {
  const certificates = makeCertificates();
  const { root, servers, good } = certificates;
  const trusting = { ca: root, servername: 'localhost' };
  const { test, check, run } = oneShardSuite('clients of TLS by both engines', 'uring');
  test.after(() => certificates.remove());

  for (const [name, own] of Object.entries(servers)) {
    check(`a certificate: ${name}`, async () => {
      const server = await listenWith({ ...own, ciphers: 'DEFAULT:@SECLEVEL=0' });
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
        const outcome = await bothWays(server.port, { ...trusting, maxVersion });
        if (name in CODES) assert.is(outcome.cause, CODES[name]);
        if (name in CODES) assert.is(outcome.code, CODES[name] && 'FEATHERSTAR_TLS');
        const careless = await bothWays(server.port, { ...trusting, maxVersion, rejectUnauthorized: false });
        if (outcome.cause !== undefined)
          assert.equal([careless.isAuthorized, careless.authorizationError], [false, outcome.cause]);
      }
      await server.close();
    });
  }
  check('authorities: those of Node, none, and one between', async () => {
    const server = await listenWith(good);
    for (const ca of [undefined, certificates.middle, [], '']) {
      const outcome = await bothWays(server.port, { servername: 'localhost', ...(ca === undefined ? {} : { ca }) });
      assert.is.not(outcome.code, undefined);
    }
    await server.close();
    const between = await listenWith(servers['nothing is wrong, and there is one between']);
    assert.is((await bothWays(between.port, { ...trusting, ca: certificates.middle })).code, 'FEATHERSTAR_TLS');
    await between.close();
  });

  check('a certificate that was revoked', async () => {
    const server = await listenWith(certificates.revoked);
    assert.is((await bothWays(server.port, trusting)).code, undefined);
    await server.close();
    for (const [own, cause] of [
      [certificates.revoked, 'CERT_REVOKED'],
      [good, undefined],
    ]) {
      const checked = await listenWith(own);
      const outcome = await outcomeOf(checked.port, { ...trusting, crl: certificates.crl });
      assert.equal([outcome.cause, outcome.engine], [cause, cause === undefined ? 'node:tls' : undefined]);
      await checked.close();
    }
  });

  check('names: of the option, of the hostname, addresses', async () => {
    const server = await listenWith(good);
    for (const [options, cause] of [
      [{ ca: root }, undefined], // 127.0.0.1
      [{ ca: root, servername: '' }, undefined],
      [{ ca: root, servername: 'LOCALHOST' }, undefined],
      [{ ca: root, servername: 'localhost.' }, undefined],
      [{ ca: root, servername: 'local\0host' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [{ ca: root, servername: 'a'.repeat(300) }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ]) {
      const outcomes = [];
      for (const engine of ENGINES) {
        chooseEngine(engine);
        const { engine: _, ...outcome } = await outcomeOf(server.port, options);
        outcomes.push(outcome);
      }
      assert.equal(outcomes[0], outcomes[1], options.servername);
      assert.is(outcomes[0].cause, cause, options.servername);
    }
    await server.close();
  });

  const old = 'DEFAULT:@SECLEVEL=0';
  for (const [name, server, client] of [
    ['TLS 1.0', { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: old }, {}],
    ['TLS 1.1', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: old }, {}],
    ['1.2 for a client of 1.3', { maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }],
    ['1.3 for a client of 1.2', { minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }],
    [
      'no common cipher',
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
      { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
    ],
    ['ciphers of 1.2 only', {}, { ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }],
    ['ciphers of 1.3 only', {}, { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }],
    ['a curve', {}, { ecdhCurve: 'P-521' }],
    ['no common curve', { ecdhCurve: 'P-256' }, { ecdhCurve: 'P-521' }],
    ['no common signature', {}, { sigalgs: 'RSA+SHA256' }],
    ['an application protocol', { ALPNProtocols: ['b', 'a'] }, { alpn: ['a', 'b'] }],
    ['no common application protocol', { ALPNProtocols: ['c'] }, { alpn: ['a', 'b'] }],
    ['a server without application protocols', {}, { alpn: ['a'] }],
  ]) {
    check(`versions and ciphers: ${name}`, async () => {
      const listening = await listenWith({ ...good, ...server });
      const outcome = await bothWays(listening.port, { ...trusting, ...client });
      if (name === 'TLS 1.0') assert.is(outcome.cause, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
      await listening.close();
    });
  }

  for (const [name, value, server, isDone] of [
    ['DEFAULT_CIPHERS', 'TLS_CHACHA20_POLY1305_SHA256', {}, ({ cipher }) => /CHACHA20/.test(cipher)],
    ['DEFAULT_ECDH_CURVE', 'P-521', { ecdhCurve: 'P-256' }, ({ code }) => code === 'FEATHERSTAR_TLS'],
    ['DEFAULT_MAX_VERSION', 'TLSv1.2', {}, ({ protocol }) => protocol === 'TLSv1.2'],
    ['DEFAULT_MAX_VERSION', 'TLSv1.1', {}, ({ code }) => code === 'FEATHERSTAR_TLS'],
    ['DEFAULT_MIN_VERSION', 'TLSv1.3', { maxVersion: 'TLSv1.2' }, ({ code }) => code === 'FEATHERSTAR_TLS'],
    ['DEFAULT_MIN_VERSION', 'TLSv1.1', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' }, ({ code }) => code],
  ]) {
    check(`a program changes tls.${name} to ${value} between two connect()s`, async () => {
      const listening = await listenWith({ ...good, ...server });
      const before = nodeTls[name];
      const first = await bothWays(listening.port, trusting);
      try {
        nodeTls[name] = value;
        const second = await bothWays(listening.port, trusting);
        assert.ok(isDone(second), JSON.stringify(second));
      } finally {
        nodeTls[name] = before;
      }
      assert.equal(await bothWays(listening.port, trusting), first);
      await listening.close();
    });
  }

  const after = (reply) => (socket) => socket.once('data', () => reply(socket));
  const replies = (hex) => after((socket) => socket.end(Buffer.from(hex, 'hex')));
  for (const [name, serve, cause] of [
    ['is the end at once', (socket) => socket.end(), 'ECONNRESET'],
    ['is the end behind the first message', after((socket) => socket.end()), 'ECONNRESET'],
    ['is of another protocol', replies('485454502f312e3120343030'), 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['is an echo', (socket) => socket.pipe(socket), 'ERR_SSL_UNEXPECTED_MESSAGE'],
    ['is an alert', replies('15030300020228')],
    ['is close_notify', replies('15030300020100')],
    ['is close_notify, and it stays', after((socket) => socket.write(Buffer.from('15030300020100', 'hex')))],
    ['is half a record', replies('1603030050020000'), 'ECONNRESET'],
    ['is an empty record', replies('1603030000')],
    ['is a long record', replies(`160303ffff${'00'.repeat(0xffff)}`)],
  ]) {
    check(`a handshake whose reply ${name}`, async () => {
      const listening = await listenWith(serve);
      const outcome = await bothWays(listening.port, trusting);
      assert.is(outcome.code, 'FEATHERSTAR_TLS');
      if (cause !== undefined) assert.is(outcome.cause, cause);
      await listening.close();
    });
  }

  check('a handshake that is reset', async () => {
    for (const serve of [(socket) => socket.resetAndDestroy(), after((socket) => socket.resetAndDestroy())]) {
      const listening = await listenWith(serve);
      for (const engine of ENGINES) {
        chooseEngine(engine);
        const { code, cause, errno } = await outcomeOf(listening.port, trusting);
        assert.is(code, 'FEATHERSTAR_TLS');
        assert.ok(['ECONNRESET', 'EPIPE'].includes(errno ?? cause), `${errno} ${cause}`); // the kernel tells either
      }
      await listening.close();
    }
  });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    check(`${maxVersion}: a handshake that is cut at any place`, async () => {
      const behind = await listenWith({ ...good, maxVersion, onSecure: (socket) => socket.end('all') });
      for (let limit = 1; limit < 1000; limit += 97) {
        const listening = await listenWith((socket) => {
          let left = limit;
          const upstream = net.connect(behind.port, HERE).on('error', () => {});
          socket.pipe(upstream);
          upstream.on('end', () => socket.end());
          upstream.on('data', (bytes) => {
            const part = bytes.subarray(0, left);
            left -= part.length;
            if (!socket.writableEnded) socket.write(part);
            if (left === 0) socket.end();
          });
        });
        const outcome = await bothWays(listening.port, { ...trusting, maxVersion }, reads);
        assert.ok(outcome.code !== undefined || outcome.used.length === 3 || `${outcome.used}` === 'all', `${limit}`);
        await listening.close();
      }
      await behind.close();
    });

    check(`${maxVersion}: certificates of clients`, async () => {
      const server = await listenWith({
        ...good,
        ca: root,
        requestCert: true,
        maxVersion,
        onSecure: (socket) => socket.write(`${socket.getPeerCertificate().subject?.CN}`),
      });
      const readOnce = async (socket) => {
        try {
          return `${await socket.read()}`;
        } catch ({ code, cause }) {
          return [code, cause?.code];
        }
      };
      const { key, cert } = certificates.client;
      assert.is((await bothWays(server.port, { ...trusting, key, cert }, readOnce)).used, 'client');
      await bothWays(server.port, trusting, readOnce); // 1.2: the handshake fails; 1.3: the read does
      const { file: _, ...unknown } = servers['it has signed itself'];
      await bothWays(server.port, { ...trusting, ...unknown }, readOnce);
      await server.close();
    });

    check(`${maxVersion}: the end of a connection`, async () => {
      for (const end of [(socket) => socket.end('all'), (socket) => socket.write('some', () => socket.destroy())]) {
        const server = await listenWith({ ...good, maxVersion, onSecure: end });
        await bothWays(server.port, { ...trusting, maxVersion }, reads);
        await server.close();
      }
    });

    check(`${maxVersion}: a session is resumed for the same name and options only`, async () => {
      const server = await listenWith({ ...good, maxVersion, onSecure: (socket) => socket.end('x') });
      const options = { ...trusting, maxVersion };
      for (const engine of ENGINES) {
        chooseEngine(engine);
        const ask = async (tls) => {
          const socket = await connect({ port: server.port, tls });
          await reads(socket);
          const { isResumed, session } = socket.tls;
          socket.close();
          return { isResumed, session };
        };
        const { session } = await ask(options);
        for (const [others, isResumed] of [
          [{}, true],
          [{ ca: [root] }, true],
          [{ ca: [root, certificates.middle] }, false],
          [{ rejectUnauthorized: false }, false],
          [{ servername: '' }, false],
          [{ key: certificates.client.key, cert: certificates.client.cert }, false],
        ]) {
          assert.is(
            (await ask({ ...options, session, ...others })).isResumed,
            isResumed,
            `${engine} ${JSON.stringify(Object.keys(others))}`,
          );
        }
        for (const bad of [
          session.subarray(1),
          session.subarray(0, -1),
          new Uint8Array(0),
          new Uint8Array(100),
          session.subarray(-32),
        ]) {
          assert.is((await ask({ ...options, session: bad })).isResumed, false);
        }
        // what a careless client has accepted is no proof for another one
        const careless = await ask({ ...options, servername: 'other.example', rejectUnauthorized: false });
        const refused = await rejection(ask({ ...options, servername: 'other.example', session: careless.session }));
        assert.is(refused.cause.code, 'ERR_TLS_CERT_ALTNAME_INVALID');
      }
      chooseEngine('auto');
      await server.close();
    });
  }

  check('the options are read at once, and more of them may be in use than are kept', async () => {
    if (expectedEngine('addon') !== 'addon') return;
    const server = await listenWith(good);
    for (const engine of ENGINES) {
      chooseEngine(engine);
      const bytes = Buffer.from(root);
      const connecting = outcomeOf(server.port, { ca: bytes, servername: 'localhost' });
      if (engine === 'auto') bytes.fill(0); // node:tls reads them when it is connected
      assert.is((await connecting).isAuthorized, true, engine);
      assert.is(
        (await outcomeOf(server.port, { ca: Buffer.alloc(bytes.length), servername: 'localhost' })).code,
        'FEATHERSTAR_TLS',
      );
      for (let i = 0; i < 40; i++) {
        const { isAuthorized } = await outcomeOf(server.port, { ...trusting, alpn: [`p${i % 20}`] });
        assert.is(isAuthorized, true);
      }
    }
    await server.close();
  });

  check('a handshake that stalls, and one that is aborted', async () => {
    const listening = await listenWith(() => {});
    for (const engine of ENGINES) {
      chooseEngine(engine);
      const stalled = await rejection(connect({ port: listening.port, tls: trusting, timeoutMs: 50 }));
      assert.is(stalled.code, 'FEATHERSTAR_TIMEOUT');
      const controller = new AbortController();
      const connecting = rejection(connect({ port: listening.port, tls: trusting, signal: controller.signal }));
      setTimeout(() => controller.abort(new Error('enough')), 20);
      assert.is((await connecting).message, 'enough');
    }
    await listening.close();
  });

  check('FEATHERSTAR_TLS=addon is an error for options that the addon cannot do', async () => {
    if (expectedEngine('addon') !== 'addon') return;
    const server = await listenWith(good);
    process.env.FEATHERSTAR_TLS = 'addon';
    const failure = await rejection(connect({ port: server.port, tls: { ...trusting, crl: certificates.crl } }));
    chooseEngine('auto');
    assert.equal([failure.code, /crl is given/.test(failure.message)], ['FEATHERSTAR_HOST', true]);
    for (const options of [{ ciphers: 'DEFAULT:@SECLEVEL=0' }, { ca: root.replaceAll(' CERT', ' TRUSTED CERT') }]) {
      assert.is.not((await outcomeOf(server.port, { ...trusting, ...options })).engine, 'addon');
    }
    await server.close();
  });

  check('a server that asks for another handshake', async () => {
    const server = await listenWith({
      ...good,
      maxVersion: 'TLSv1.2',
      onSecure: (socket) => {
        socket.renegotiate({ rejectUnauthorized: false }, () => {});
        socket.end('said');
      },
    });
    assert.equal((await bothWays(server.port, trusting, reads)).used, ['said']);
    await server.close();
  });

  run();
}
