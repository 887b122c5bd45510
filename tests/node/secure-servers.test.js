// Servers of featherstar/node over TLS, in the place of those of node:https and node:tls, against clients of Node's
// own. By both engines.

import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import express from 'express';
import { sleep } from 'featherstar';
import { createClient } from 'featherstar/client';
import { createConnection, createNetServer, createServer } from 'featherstar/node';
import * as assert from 'uvu/assert';
import { WebSocket, WebSocketServer } from 'ws';
import { currentShard } from '../../dist/host/shard/shard.js';
import { Authority, hasOpenssl } from '../support/certificates.js';
import { oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, expectedEngine, key, runWith, tlsWays } from '../support/tls.js';

const MEBIBYTE = 1_048_576;
const HERE = '127.0.0.1';
const IS_NODE = process.versions.bun === undefined && !('Deno' in globalThis);
const trusting = { ca: cert, servername: 'localhost', host: HERE };
const openssl = hasOpenssl();
if (!IS_NODE) console.log('# skipped: secure servers: createServer() needs the http.Server of Node');

async function listening(server, ...args) {
  server.listen(...(args.length === 0 ? [0, HERE] : args));
  if (!server.listening) await within(once(server, 'listening'), 'listening');
  return server.address().port;
}

const closing = (server) => within(new Promise((resolve) => server.close(resolve)), 'close');

async function bytes(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

/** A request of Node's own client; resolves to the body and the socket. */
async function ask(port, { body, ...options } = {}) {
  const request = https.request({ ...trusting, port, agent: false, ...options });
  request.end(body);
  const [response] = await within(once(request, 'response'), 'response');
  return { body: await bytes(response), socket: response.socket };
}

async function opened(port, options = {}) {
  const socket = tls.connect({ ...trusting, port, ...options });
  socket.on('error', () => undefined);
  await within(once(socket, 'secureConnect'), 'secureConnect');
  return socket;
}

/** The name in the certificate that a client of these options is shown. */
async function nameShown(port, options) {
  const socket = await opened(port, options);
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return subject.CN;
}

/** The facts that programs ask a request's socket for. */
function factsOf({ socket }) {
  return {
    isEncrypted: socket.encrypted,
    isAuthorized: [socket.authorized, socket.authorizationError],
    peer: [socket.getPeerCertificate().subject?.CN, socket.getPeerX509Certificate()?.subject],
    names: [socket.servername, socket.alpnProtocol],
    protocol: socket.getProtocol(),
    cipher: socket.getCipher(),
    isResumed: socket.isSessionReused(),
    hasSession: socket.getSession().length > 0,
  };
}

for (const { host, engine } of IS_NODE ? tlsWays() : []) {
  const { test, check } = oneShardSuite(`secure servers by ${engine}`, host);
  runWith(engine, test);

  check('the end goes out if one send takes all bytes and the end', async () => {
    if (expectedEngine(engine) !== 'addon') return; // node:tls needs send buffers
    const RECORD_BYTES = 4096; // of which TLS 1.3 needs 22. Sixteen of them are as much as may wait
    const server = createNetServer({ tls: { key, cert } }, async (socket) => {
      await once(socket, 'data'); // the client has the tickets, so nothing waits
      const { sendBuffers } = currentShard();
      const taken = [];
      for (let buffer = sendBuffers.take(); buffer !== 0; buffer = sendBuffers.take()) taken.push(buffer);
      socket.cork();
      for (let i = 0; i < 16; i++) socket.write(Buffer.alloc(RECORD_BYTES - 22, i));
      socket.uncork();
      socket.end();
      await once(socket, 'finish');
      for (const buffer of taken) sendBuffers.give(buffer);
    });
    const port = await listening(server);
    const socket = tls.connect({ ...trusting, port, minVersion: 'TLSv1.3' });
    await within(once(socket, 'session'), 'a ticket');
    setImmediate(() => socket.write('begin')); // Node 20 loses what is written at once
    assert.is((await within(bytes(socket), 'the end')).length, 16 * (RECORD_BYTES - 22));
    await closing(server);
  });
  const serverOf = (app, options = {}) => createServer({ tls: { key, cert, ...options } }, app);

  check('Express: the address, the protocol, and what is known of the connection', async () => {
    const app = express();
    app.get('/', ({ ip, secure, protocol }, response) => response.json([ip, secure, protocol]));
    app.get('/facts', (request, response) => response.json(factsOf(request)));
    app.get('/place', ({ socket }, response) =>
      response.json([socket.remotePort, socket.localAddress, socket.localPort, socket.remoteFamily]),
    );
    const server = serverOf(app);
    assert.ok(server instanceof https.Server);
    const port = await listening(server);
    assert.equal(JSON.parse((await ask(port)).body), [HERE, true, 'https']);
    const [remotePort, ...place] = JSON.parse((await ask(port, { path: '/place' })).body);
    assert.equal(place, [HERE, port, 'IPv4']);
    assert.ok(remotePort > 0);
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
      const { body, socket } = await ask(port, { path: '/facts', maxVersion, ALPNProtocols: ['http/1.1'] });
      assert.equal(JSON.parse(body), {
        isEncrypted: true,
        isAuthorized: [false, null],
        peer: [null, null],
        names: ['localhost', 'http/1.1'],
        protocol: maxVersion,
        cipher: socket.getCipher(),
        isResumed: false,
        hasSession: true,
      });
    }
    await closing(server);
  });

  check('bodies both ways, one connection for many requests, and featherstar/client', async () => {
    const server = serverOf((request, response) => request.pipe(response));
    const port = await listening(server, 0);
    const body = Buffer.alloc(MEBIBYTE, 'pattern');
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i++) {
      const { body: echoed } = await ask(port, { method: 'POST', body, agent });
      assert.ok(echoed.equals(body));
    }
    const connections = await new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
    assert.is(connections, 1);
    agent.destroy();
    const client = createClient({ tls: { ca: cert } });
    const url = `https://localhost:${port}/`;
    const response = await client.request(url, { method: 'POST', body });
    assert.ok(Buffer.from(await response.body.arrayBuffer()).equals(body));
    await client.close();
    await closing(server);
  });

  check('WebSocket by ws', async () => {
    const server = serverOf();
    const port = await listening(server);
    const echo = new WebSocketServer({ server });
    echo.on('connection', (socket, { socket: { remoteAddress } }) => {
      socket.send(remoteAddress);
      socket.on('message', (data) => socket.send(data));
    });
    const client = new WebSocket(`wss://localhost:${port}/`, { ca: cert });
    assert.is(`${(await within(once(client, 'message'), 'message'))[0]}`.replace('::ffff:', ''), HERE);
    client.send(Buffer.alloc(MEBIBYTE, 7));
    assert.ok((await within(once(client, 'message'), 'message'))[0].equals(Buffer.alloc(MEBIBYTE, 7)));
    client.close(1000, 'done');
    assert.equal((await within(once(client, 'close'), 'close'))[0], 1000);
    echo.close();
    await closing(server);
  });

  check('certificates and ticket keys change while it listens, and open connections go on', async () => {
    if (!openssl) return;
    const authority = new Authority();
    const server = serverOf((_, response) => response.end('hello'), { ticketKeys: Buffer.alloc(48, 1) });
    const port = await listening(server);
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    assert.is(`${(await ask(port, { agent })).body}`, 'hello');
    assert.is(await nameShown(port), 'localhost');
    server.setSecureContext(authority.issue('second.example'));
    const by = { ca: authority.cert };
    assert.is(await nameShown(port, { ...by, servername: 'second.example' }), 'second.example');
    server.addContext('third.example', authority.issue('third.example'));
    for (const servername of ['third.example', 'second.example']) {
      assert.is(await nameShown(port, { ...by, servername }), servername);
    }
    assert.throws(() => server.setSecureContext({ key, cert: 'no certificate' }), /FEATHERSTAR_TLS|cannot be used/);
    assert.is(await nameShown(port, { ...by, servername: 'third.example' }), 'third.example');
    server.setTicketKeys(Buffer.alloc(48, 2));
    assert.ok(server.getTicketKeys().equals(Buffer.alloc(48, 2)));
    assert.is(await nameShown(port, { ...by, servername: 'third.example' }), 'third.example');
    assert.is(`${(await ask(port, { agent })).body}`, 'hello');
    agent.destroy();
    server.closeAllConnections();
    await closing(server);
    authority.remove();
  });

  check('certificates of clients', async () => {
    if (!openssl) return;
    const authority = new Authority();
    const own = authority.issue('localhost');
    const client = authority.issue('client');
    const known = (request, response) => response.end(JSON.stringify(factsOf(request)));
    const asking = { ...own, ca: authority.cert, requestCert: true };
    const by = { ca: authority.cert };
    const optional = serverOf(known, { ...asking, rejectUnauthorized: false });
    const port = await listening(optional);
    const facts = async (options) => JSON.parse((await ask(port, { ...by, ...options })).body);
    const { isAuthorized, peer } = await facts(client);
    assert.equal(
      [isAuthorized, peer],
      [
        [true, null],
        ['client', 'CN=client'],
      ],
    );
    assert.equal((await facts({})).isAuthorized, [false, 'UNABLE_TO_GET_ISSUER_CERT']);
    assert.equal((await facts({ key, cert })).isAuthorized, [false, 'DEPTH_ZERO_SELF_SIGNED_CERT']);
    await closing(optional);

    const strict = serverOf(known, asking);
    const errors = [];
    strict.on('clientError', (error, socket) => {
      errors.push([error.code, socket.remoteAddress, socket.writable]);
      socket.destroy();
    });
    const strictPort = await listening(strict);
    const refused = tls.connect({ ...trusting, ...by, port: strictPort });
    refused.on('error', () => undefined).resume();
    await until(() => errors.length === 1, 'the server is told');
    assert.equal(errors, [['FEATHERSTAR_TLS', HERE, false]]);
    const accepted = await ask(strictPort, { ...by, ...client });
    assert.equal(JSON.parse(accepted.body).isAuthorized, [true, null]);
    await closing(strict);
    authority.remove();
  });

  check('a client that ends without close_notify, one that resets, and garbage', async () => {
    const events = [];
    let accepted = 0;
    const server = serverOf((_, response) => response.end('hello'));
    for (const name of ['clientError', 'tlsClientError']) server.on(name, ({ code }) => events.push([name, code]));
    server.on('secureConnection', (socket) => {
      accepted++;
      socket.on('error', ({ code }) => events.push(['error', code]));
      socket.on('close', () => events.push(['close']));
    });
    const port = await listening(server);
    const plain = net.connect(port, HERE);
    const cut = await opened(port, { socket: plain });
    await until(() => accepted === 1, 'it is accepted');
    plain.end();
    await until(() => events.length === 1, 'the end');
    assert.equal(events.splice(0), [['close']]);
    cut.destroy();

    const lower = net.connect(port, HERE);
    await opened(port, { socket: lower });
    await until(() => accepted === 2, 'it is accepted');
    lower.resetAndDestroy();
    await until(() => events.at(-1)?.[0] === 'close', 'the reset');
    assert.equal(events.splice(0), [['clientError', 'ECONNRESET'], ['error', 'ECONNRESET'], ['close']]);

    const garbage = net.connect(port, HERE, () => garbage.write('GET / HTTP/1.1\r\n\r\n'));
    await within(once(garbage.on('error', () => undefined).resume(), 'close'), 'close');
    await until(() => events.length === 2, 'the error');
    assert.equal(events, [
      ['clientError', 'FEATHERSTAR_TLS'],
      ['tlsClientError', 'FEATHERSTAR_TLS'],
    ]);
    await closing(server);
  });

  check('close() in the middle of a handshake: the client is served; and maxConnections', async () => {
    const server = serverOf((_, response) => response.end('hello'));
    const port = await listening(server);
    const plain = net.connect(port, HERE);
    await within(once(plain, 'connect'), 'connect');
    const agent = new https.Agent({ keepAlive: true });
    await ask(port, { agent }); // its connection stays, and is idle
    server.maxConnections = 2; // the handshake counts, too
    const dropped = once(server, 'drop');
    const third = net.connect(port, HERE).on('error', () => undefined);
    assert.is((await within(dropped, 'drop'))[0].remoteAddress, HERE);
    third.destroy();
    const closed = closing(server);
    const { body } = await ask(port, { socket: plain, headers: { connection: 'close' } });
    assert.is(`${body}`, 'hello');
    await closed;
    agent.destroy();
  });

  check('wrong options throw before anything listens', async () => {
    const refusal = (options) => {
      try {
        createServer({ tls: options });
      } catch ({ code }) {
        return code;
      }
      return undefined;
    };
    assert.is(refusal({ key, cert: 'no certificate' }), 'FEATHERSTAR_TLS');
    assert.is(refusal({ key }), 'FEATHERSTAR_OPTION');
    assert.is(refusal({ key, cert, secureProtocol: 'x' }), 'FEATHERSTAR_OPTION');
    assert.throws(
      () => createNetServer({ tls: { key } }),
      ({ code }) => code === 'FEATHERSTAR_OPTION',
    );
    assert.throws(
      () => createNetServer().setSecureContext({ key, cert }),
      ({ code }) => code === 'FEATHERSTAR_STATE',
    );
  });

  check('a server of sockets: each side may end first, and HTTP/2 over it', async () => {
    const server = createNetServer({ tls: { key, cert }, allowHalfOpen: true }, (socket) => {
      socket.on('data', (data) => socket.write(data)).on('end', () => socket.end('end'));
    });
    const port = await listening(server);
    const socket = await opened(port, { allowHalfOpen: true });
    socket.end('question');
    assert.is(`${await bytes(socket)}`, 'questionend');
    await closing(server);

    const h2 = http2.createSecureServer({}, (request, response) => response.end(`${request.httpVersion} here`));
    const outer = createNetServer({ tls: { key, cert, alpn: ['h2'] } }, (each) => h2.emit('secureConnection', each));
    const outerPort = await listening(outer);
    const session = http2.connect(`https://localhost:${outerPort}`, { ca: cert });
    assert.is(`${await bytes(session.request())}`, '2.0 here');
    await new Promise((resolve) => session.close(resolve));
    await closing(outer);
  });

  check("a socket of ours under Node's own TLS has its addresses", async () => {
    const inner = https.createServer({ key, cert }, ({ socket }, response) => {
      const { remoteAddress, remotePort, remoteFamily, localAddress, localPort } = socket;
      response.end(
        JSON.stringify([remoteAddress, remotePort, remoteFamily, localAddress, localPort, socket.address()]),
      );
    });
    const server = createNetServer((socket) => inner.emit('connection', socket));
    const port = await listening(server);
    const local = { address: HERE, family: 'IPv4', port };
    const [remote, remotePort, ...others] = JSON.parse((await ask(port)).body);
    assert.ok(remotePort > 0);
    assert.equal([remote, ...others], [HERE, 'IPv4', HERE, port, local]);
    const client = await opened(port, { socket: createConnection(port, HERE) });
    assert.equal([client.remoteAddress, client.remotePort, client.remoteFamily], [HERE, port, 'IPv4']);
    client.destroy();
    await closing(server);
    const plain = await opened(await listening(inner));
    assert.is(plain.remoteAddress, HERE);
    plain.destroy();
    await closing(inner);
  });

  check('allowHalfOpen: what is written goes out before the end of the peer ends this side', async () => {
    const inner = tls.createServer({ key, cert }, (socket) => socket.on('end', () => socket.write('late')).resume());
    const ends = [];
    const server = createNetServer({ highWaterMark: 16 }, (socket) => {
      ends.push(socket.allowHalfOpen);
      inner.emit('connection', socket);
    });
    const port = await listening(server);
    const client = await opened(port);
    assert.equal(ends, [false]);
    client.end();
    await within(once(client.resume(), 'close'), 'the other side ends, too');
    await closing(server);

    const large = Buffer.alloc(4 * MEBIBYTE, 'x');
    const writing = createNetServer((socket) =>
      socket
        .on('end', () => undefined)
        .resume()
        .write(large),
    );
    const writingPort = await listening(writing);
    const reader = net.connect({ port: writingPort, host: HERE, allowHalfOpen: true });
    reader.end();
    await sleep(20);
    assert.is((await bytes(reader)).length, large.length);
    await closing(writing);
  });

  test.run();
}
