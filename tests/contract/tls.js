// Behaviours of connections over TLS. A part of behaviours.js.

import assert from 'node:assert/strict';
import { Response, serve } from 'featherstar/http';
import { connect, listen } from 'featherstar/net';
import { cert, key } from '../support/certificate.js';

const LARGE = Buffer.alloc(1_000_000, 'pattern');
const HERE = '127.0.0.1';
const known = (_, { tls }) => Response.json([tls.isAuthorized, tls.servername, tls.isResumed]);

/** Connects with the options `client`. Resolves to what the server knows of the client, and to the client's session. */
async function ask(server, client = {}) {
  const tls = { ca: cert, servername: 'localhost', ...client };
  const socket = await connect({ hostname: HERE, port: server.port, tls });
  await socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  let text = '';
  while (!text.endsWith(']')) text += await socket.read();
  const { session } = socket.tls;
  socket.close();
  return { known: JSON.parse(text.slice(text.indexOf('['))), session };
}

async function withServer(options, use) {
  const server = await serve({ hostname: HERE, http2: false, fetch: known, tls: { key, cert, ...options } });
  try {
    return await use(server);
  } finally {
    await server.close();
  }
}

export const tls = {
  'bytes both ways, and the end of each side': async () => {
    const listener = await listen({ hostname: HERE, tls: { key, cert } });
    const accepting = listener.accept();
    const near = await connect({ hostname: HERE, port: listener.port, tls: { ca: cert, servername: 'localhost' } });
    const far = await accepting;
    assert.equal(near.tls.isAuthorized, true);
    const writing = near.write(LARGE);
    const parts = [];
    for (let bytes = 0; bytes < LARGE.length; bytes += parts.at(-1).length) parts.push(await far.read());
    assert.ok(Buffer.concat(parts).equals(LARGE));
    await writing;
    await far.write('answer');
    assert.equal(`${await near.read()}`, 'answer');
    await near.end();
    assert.equal(await far.read(), null);
    for (const each of [near, far, listener]) each.close();
  },
  'a client that was not asked for a certificate is not authorized': () =>
    withServer({}, async (server) => {
      assert.deepEqual((await ask(server)).known.slice(0, 2), [false, 'localhost']);
    }),
  'a client that needs a certificate, and has one or none': async (t) => {
    await withServer({ requestCert: true, ca: cert }, async (server) => {
      assert.equal((await ask(server, { key, cert })).known[0], true);
      await assert.rejects(ask(server));
    });
    await withServer({ requestCert: true, ca: cert, rejectUnauthorized: false }, async (server) => {
      assert.equal((await ask(server)).known[0], false);
      assert.equal(await t.code(ask(server, { ca: undefined })), 'FEATHERSTAR_TLS');
    });
  },
  'a server of another name, or of an unknown authority, is refused': (t) =>
    withServer({}, async (server) => {
      assert.equal(await t.code(ask(server, { servername: 'other.example' })), 'FEATHERSTAR_TLS');
      assert.equal(await t.code(ask(server, { ca: undefined })), 'FEATHERSTAR_TLS');
    }),
  'sni as a function': () =>
    withServer({ sni: async () => ({ key, cert }) }, async (server) => {
      assert.equal((await ask(server)).known[1], 'localhost');
    }),
  'a session is resumed': () =>
    withServer({}, async (server) => {
      const { session } = await ask(server, { maxVersion: 'TLSv1.2' });
      assert.equal((await ask(server, { maxVersion: 'TLSv1.2', session })).known[2], true);
    }),
};
