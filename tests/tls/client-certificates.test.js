// Certificates of clients: a session says which certificate was accepted, so it is resumed only where the same
// authorities count. And what a client is told that is refused.

import { connect as connectTls } from 'node:tls';
import { serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { Authority, hasOpenssl } from '../support/certificates.js';
import { oneShardSuite } from '../support/hosts.js';
import { get, within } from '../support/http.js';
import { openCut, runWith, tlsWays } from '../support/tls.js';

const isDeno = 'Deno' in globalThis;
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];
const openssl = hasOpenssl();

const whatIsKnown = (_, { tls }) =>
  Response.json([tls.isResumed, tls.isAuthorized, tls.peerCertificate?.subject.CN ?? '', tls.authorizationError ?? '']);

/** Resolves to the facts that the server knows of the client, or to the client's error; and to the session. */
function ask(socket) {
  let session;
  socket.on('session', (bytes) => {
    session = bytes;
  });
  socket.on('secureConnect', () => socket.write(get()));
  const result = new Promise((resolve) => {
    socket.on('data', (bytes) => resolve({ known: JSON.parse(`${bytes}`.split('\r\n\r\n')[1]), session }));
    socket.on('error', ({ code }) => resolve({ error: code, session }));
    socket.on('close', () => resolve({ error: 'closed', session }));
  });
  return within(result, 'an answer').finally(() => socket.destroy());
}

/** A certificate whose signature is wrong. */
function withWrongSignature(pem) {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  der[der.length - 1] ^= 1;
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

if (isDeno) console.log('# skipped: Deno: its node:tls tells no end over a Duplex, and resumes no sessions');
for (const { host, engine } of openssl && !isDeno ? tlsWays() : []) {
  const { test, check, run } = oneShardSuite(`certificates of clients by ${engine}`, host);
  const ours = new Authority();
  const others = new Authority();
  const own = ours.issue('localhost', 'other.example');
  const client = ours.issue('client');
  runWith(engine, test);
  test.after(() => {
    ours.remove();
    others.remove();
  });

  const start = (tls) =>
    serve({ hostname: '127.0.0.1', fetch: whatIsKnown, http2: false, tls: { ...own, requestCert: true, ...tls } });
  const open = (port, options) =>
    ask(connectTls({ port, host: '127.0.0.1', ca: ours.cert, servername: 'localhost', ...options }));

  for (const maxVersion of VERSIONS) {
    const accepted = { ...client, maxVersion };

    check(`${maxVersion}: a session is resumed where the same authorities count`, async () => {
      const servers = [await start({ ca: ours.cert }), await start({ ca: [ours.cert] })];
      const { session } = await open(servers[0].port, accepted);
      for (const { port } of servers) {
        assert.equal((await open(port, { ...accepted, session })).known, [true, true, 'client', '']);
      }
      for (const server of servers) await server.close();
    });

    check(`${maxVersion}: a server with other authorities does not take the sessions`, async () => {
      const first = await start({ ca: ours.cert });
      const second = await start({ ca: others.cert });
      const { known, session } = await open(first.port, accepted);
      assert.equal(known, [false, true, 'client', '']);
      assert.ok((await open(second.port, { ...accepted, session })).error);
      first.setSecureContext({ ...own, ca: others.cert });
      assert.ok((await open(first.port, { ...accepted, session })).error, 'the authorities have changed');
      await first.close();
      await second.close();
    });

    check(`${maxVersion}: a name with other authorities does not take the sessions`, async () => {
      const sni = { 'other.example': { ...own, ca: others.cert } };
      for (const by of [sni, (name) => sni[name]]) {
        const server = await start({ ca: ours.cert, sni: by });
        const { known, session } = await open(server.port, accepted);
        assert.equal(known, [false, true, 'client', '']);
        assert.ok((await open(server.port, { ...accepted, servername: 'other.example', session })).error);
        await server.close();
      }
    });

    check(`${maxVersion}: a resumed session without a certificate is not authorized`, async () => {
      const lax = await start({ ca: ours.cert, rejectUnauthorized: false });
      const strict = await start({ ca: ours.cert });
      const { known, session } = await open(lax.port, { maxVersion });
      assert.equal(known, [false, false, '', 'UNABLE_TO_GET_ISSUER_CERT']);
      const again = await open(lax.port, { maxVersion, session });
      assert.equal(again.known, [true, false, '', 'UNABLE_TO_GET_ISSUER_CERT']);
      assert.ok((await open(strict.port, { maxVersion, session })).error);
      await lax.close();
      await strict.close();
    });

    check(`${maxVersion}: a client without a certificate gets an alert`, async () => {
      const server = await start({ ca: ours.cert });
      assert.match((await open(server.port, { maxVersion })).error, /ALERT/);
      await server.close();
    });

    if (engine === 'addon')
      check(`${maxVersion}: a wrong signature counts the same wherever records are cut`, async () => {
        const server = await start({ ca: ours.cert, rejectUnauthorized: false });
        const cert = withWrongSignature(client.cert);
        for (const bytes of [100_000, 150]) {
          const cut = function* (all) {
            for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
          };
          const options = { ca: ours.cert, key: client.key, cert, maxVersion };
          const { known } = await ask(openCut(server.port, cut, options).socket);
          assert.equal(known, [false, false, 'client', 'CERT_SIGNATURE_FAILURE']);
        }
        await server.close();
      });
  }

  run();
}
