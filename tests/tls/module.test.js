// serve({ module, tls }): HTTPS on every shard, with the same session keys, and keys that change everywhere.

import { X509Certificate } from 'node:crypto';
import { connect } from 'node:tls';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Authority, hasOpenssl } from '../support/certificates.js';
import { rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';
import { cert, key, runWith, tlsWays } from '../support/tls.js';

const module = new URL('../support/tls-module.js', import.meta.url);
const openssl = hasOpenssl();

/** Connects once: which shard it is, whether a session was resumed, the certificate's number, and the new session. */
async function ask(port, options = {}) {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false, ...options });
  let session;
  socket.on('session', (bytes) => {
    session = bytes;
  });
  await within(
    new Promise((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    }),
    'a handshake',
  );
  const { serialNumber } = socket.getPeerCertificate();
  const client = new Client(socket);
  void client.write(get());
  const [shard, isResumed] = JSON.parse((await client.response()).text);
  client.destroy();
  return { shard, isResumed, serialNumber, session };
}

for (const { host, engine } of tlsWays()) {
  const test = suite(`serve({ module, tls }) by ${engine} (${host})`);
  runWith(engine, test);
  const start = (options = {}) =>
    within(
      serve({ module, hostname: '127.0.0.1', shards: 2, runtime: { host }, tls: { key, cert }, ...options }),
      'start',
    );

  /** A test with a server of its own. */
  const check = (name, options, run) =>
    test(name, async () => {
      const server = await start(options);
      try {
        await run(server);
      } finally {
        await server.close();
      }
    });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
    check(`a session is resumed on another shard (${maxVersion})`, {}, async (server) => {
      assert.match(server.url, /^https:/);
      const shards = server.runtime.sharesPorts ? 2 : 1;
      const { shard: home, session } = await ask(server.port, { maxVersion });
      const resumedOn = new Set();
      for (let i = 0; i < 200 && resumedOn.size < shards; i++) {
        const { shard, isResumed } = await ask(server.port, { maxVersion, session });
        assert.ok(isResumed, `on shard ${shard}, the session is of shard ${home}`);
        resumedOn.add(shard);
      }
      assert.is(resumedOn.size, shards);
    });
  }

  check('no key lies in the memory that the shards share', {}, async (server) => {
    const line = key.split('\n')[1];
    await ask(server.port);
    const halves = [line.slice(0, 30), line.slice(30)];
    assert.equal(await server.runtime.onAll().isInMemory(...halves), [false, false]);
    await server.setSecureContext({ key, cert });
    await ask(server.port);
    assert.equal(await server.runtime.onAll().isInMemory(...halves), [false, false]);
    assert.ok(await server.runtime.on(1).isInMemory('what a call', ''), 'what a call sends is found');
  });

  check('keys change on every shard, also on one that is started again', {}, async (server) => {
    if (!openssl) return;
    const authority = new Authority();
    const other = authority.issue('localhost');
    const serial = new X509Certificate(other.cert).serialNumber;
    await server.setSecureContext(other);
    const answering = async () => {
      const seen = new Set();
      for (let i = 0; i < 40; i++) {
        const { shard, serialNumber } = await ask(server.port);
        assert.is(serialNumber, serial);
        seen.add(shard);
      }
      return [...seen].sort();
    };
    const all = server.runtime.sharesPorts ? [0, 1] : [0];
    assert.equal(await answering(), all);
    process.once('warning', () => {});
    await rejection(server.runtime.on(1).exit());
    await until(
      () =>
        server.runtime
          .on(1)
          .self()
          .then(Number.isInteger, () => false),
      'shard 1 is back',
    );
    await until(async () => (await answering()).length === all.length, 'it serves again');
    assert.is((await rejection(server.setSecureContext({ key: 'none', cert }))).code, 'FEATHERSTAR_TLS');
    const dying = rejection(server.runtime.on(1).exit());
    await server.setSecureContext(authority.issue('localhost')); // the death of a shard is no error
    await dying;
    authority.remove();
  });

  test('options that cannot be sent to shards, and a server without TLS', async () => {
    assert.is((await rejection(start({ tls: { key, cert, sni: () => undefined } }))).code, 'FEATHERSTAR_OPTION');
    assert.is((await rejection(start({ tls: { key: 'none', cert } }))).code, 'FEATHERSTAR_TLS');
    const plain = await start({ tls: undefined });
    assert.is((await rejection(plain.setSecureContext({ key, cert }))).code, 'FEATHERSTAR_STATE');
    await plain.close();
  });

  test.run();
}
