// Long texts as bodies: they are encoded piece by piece, as far as a client takes them, so clients that do not read
// hold little. Every byte is as if the text had been encoded at once: plain, over TLS by each engine, and over HTTP/2.

import { connect as connectHttp2 } from 'node:http2';
import { request as requestHttps } from 'node:https';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { TEXT_PIECE_BYTES } from '../../dist/host/base/long-text.js';
import { hosts } from '../support/hosts.js';
import { Client, get, until } from '../support/http.js';
import { cert, chooseEngine, key, tlsWays } from '../support/tls.js';
import { later, MEBIBYTE, ServerRig } from './server-rig.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const PIECE = TEXT_PIECE_BYTES;
const STALLED = 16;
const LONG = 'x'.repeat(8 * MEBIBYTE); // more than a socket of the loopback interface takes
const HELD_BYTES = 1 * MEBIBYTE; // of a client that does not read, at most

/** Texts whose pieces end at, before and in the middle of characters of each length. */
const TEXTS = {
  'one more than a piece': 'x'.repeat(PIECE + 1),
  'exactly two pieces': 'x'.repeat(2 * PIECE),
  'two bytes for each character': 'ü'.repeat(3 * PIECE),
  'three bytes for each character': '€'.repeat(PIECE),
  'four bytes, cut in all ways': ['', 'x', 'xy', 'xyz'].map((head) => head + '😀'.repeat(PIECE)).join('|'),
  'halves of pairs': `${'\ud83d'.repeat(PIECE - 1)}${'\ude00'.repeat(PIECE)}${'😀'.repeat(9)}\ud83d`,
  'ASCII, then others': 'x'.repeat(PIECE) + 'ü€😀'.repeat(PIECE / 4) + 'x'.repeat(PIECE),
};

function heldBytes() {
  collect();
  collect(); // the first one frees arrays in a thread of its own
  return process.memoryUsage().arrayBuffers;
}

for (const host of hosts()) {
  const rig = new ServerRig('long texts', host);

  for (const [name, text] of Object.entries(TEXTS)) {
    rig.check(`every byte is right: ${name}`, async () => {
      rig.handler = ({ path }) => new Response(text, path === '/own' ? { headers: { 'x-own': 'ü' } } : {});
      const client = await Client.open(rig.server.port);
      for (const path of ['/', '/own']) {
        const { headers, body } = await client.ask(get(path));
        assert.ok(body.equals(Buffer.from(text)));
        assert.is(headers['content-type'], 'text/plain;charset=UTF-8');
      }
      await client.write(`${get('/')}${get('/own')}${get('/')}`);
      for (let i = 0; i < 3; i++) assert.ok((await client.response()).body.equals(Buffer.from(text)), `pipelined ${i}`);
      const head = await client.ask(get('/').replace('GET', 'HEAD'), { isHead: true });
      assert.is(Number(head.headers['content-length']), Buffer.byteLength(text));
      assert.is(client.pending.length, 0);
      client.destroy();
    });
  }

  rig.check('clients that do not read hold little; one that reads in the end gets all', async () => {
    rig.handler = () => new Response(LONG);
    const { requests } = rig.server.stats;
    const before = heldBytes();
    const clients = [];
    for (let i = 0; i < STALLED; i++) {
      const client = await Client.open(rig.server.port, { paused: true });
      clients.push(client);
      await client.write(get());
    }
    await until(() => rig.server.stats.requests === requests + STALLED, 'all are answered');
    await later(100);
    const held = (heldBytes() - before) / STALLED;
    assert.ok(held < HELD_BYTES, `${Math.round(held)} bytes for each client`);
    for (const client of clients.slice(1)) client.destroy();
    clients[0].resume();
    assert.is((await clients[0].response()).text, LONG);
    clients[0].destroy();
  });

  rig.check('a client that has half-closed still gets all of it', async () => {
    rig.handler = () => new Response(LONG);
    const client = await Client.open(rig.server.port, { paused: true });
    await client.write(get());
    client.end();
    await later(50);
    client.resume();
    assert.is((await client.response()).text, LONG);
    assert.is((await client.rest()).length, 0);
    client.destroy();
  });

  rig.check('a client leaves in the middle, and the server closes in the middle', async () => {
    rig.handler = () => new Response(LONG);
    const leaving = await Client.open(rig.server.port, { paused: true });
    await leaving.write(get());
    await later(20);
    leaving.reset();
    const server = await serve({ hostname: '127.0.0.1', fetch: () => new Response(LONG) });
    const client = await Client.open(server.port, { paused: true });
    await client.write(get());
    await later(20);
    const closing = server.close({ timeoutMs: 10_000 });
    client.resume();
    assert.is((await client.response()).text, LONG);
    client.destroy();
    await closing;
  });

  for (const { engine } of tlsWays().filter((way) => way.host === host)) {
    rig.check(`over TLS by ${engine}, and over HTTP/2`, async () => {
      chooseEngine(engine);
      const fetch = ({ path }) => new Response(TEXTS[decodeURIComponent(path.slice(1))] ?? LONG);
      const server = await serve({ hostname: '127.0.0.1', fetch, tls: { key, cert } });
      chooseEngine('auto');
      const trust = { ca: cert, servername: 'localhost' };
      const session = connectHttp2(`https://localhost:${server.port}`, { ...trust, host: '127.0.0.1' });
      for (const [name, text] of Object.entries({ ...TEXTS, long: LONG })) {
        const path = `/${encodeURIComponent(name)}`;
        const options = { ...trust, host: '127.0.0.1', port: server.port, path, agent: false };
        assert.ok((await bytesOf(requestHttps(options).end(), 'response')).equals(Buffer.from(text)), name);
        assert.ok((await bytesOf(session.request({ ':path': path }))).equals(Buffer.from(text)), `${name}, HTTP/2`);
      }
      session.close();
      await server.close();
    });
  }

  rig.run();
}

/** All bytes of a stream, or of the stream that an event brings. */
async function bytesOf(source, event) {
  const stream = event === undefined ? source : await new Promise((resolve) => source.once(event, resolve));
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
