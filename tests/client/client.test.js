// featherstar/client against servers of Node's own: what undici promises holds over connections of a shard.

import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { Runtime } from 'featherstar';
import { connector, createClient, fetch } from 'featherstar/client';
import { serve } from 'featherstar/http';
import { Agent, request, Request as UndiciRequest } from 'undici';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const HERE = '127.0.0.1';
const MEBIBYTE = 1_048_576;
const SLOW_MS = 30_000;
const REFUSED = 500;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const usedBytes = () => {
  collect();
  return process.memoryUsage().heapUsed;
};

async function listening(server) {
  server.listen(0, HERE);
  await once(server, 'listening');
  return server.address().port;
}

/** Runs `use(client, origin, server)` with a server of Node's own, and ends both. */
async function withServer(app, options, use, make = http.createServer) {
  const server = make(app);
  const client = createClient(options);
  try {
    const port = await listening(server);
    await use(client, `${make === http.createServer ? 'http' : 'https'}://${HERE}:${port}`, server);
  } finally {
    await client.close({ timeoutMs: 0 });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const textOf = async (promise) => (await promise).body.text();
const echo = (incoming, response) => incoming.pipe(response);
const secure = (app) => https.createServer({ cert, key }, app);

for (const host of hosts()) {
  const { test, check } = oneShardSuite('client', host);

  check('fetch and request, with a pool that keeps its connections', async () => {
    let connections = 0;
    const app = (incoming, response) => response.end(`${incoming.method} ${incoming.url}`);
    await withServer(app, {}, async (client, origin, server) => {
      server.on('connection', () => connections++);
      for (let i = 0; i < 5; i++) assert.is(await (await client.fetch(`${origin}/a?b`)).text(), 'GET /a?b');
      for (let i = 0; i < 5; i++) assert.is(await textOf(client.request(`${origin}/c`, { method: 'PUT' })), 'PUT /c');
      assert.ok(connections <= 2, `${connections}: undici opens a second one if the first is not free yet`);
      assert.is(await textOf(request(`${origin}/d`, { dispatcher: client.dispatcher })), 'GET /d');
    });
  });

  check('limits: so many connections for an origin, and the rest waits', async () => {
    let open = 0;
    let most = 0;
    const app = (_, response) => {
      most = Math.max(most, ++open);
      setTimeout(() => response.end(`${open--}`), 20);
    };
    await withServer(app, { maxConnections: 3 }, async (client, origin) => {
      await Promise.all(Array.from({ length: 12 }, () => textOf(client.request(origin))));
      assert.is(most, 3);
    });
    const large = (_, response) => response.end(Buffer.alloc(2000));
    await withServer(large, { maxBodyBytes: 1000 }, async (client, origin) => {
      assert.is((await rejection(textOf(client.request(origin)))).code, 'UND_ERR_RES_EXCEEDED_MAX_SIZE');
    });
  });

  check('timeouts: of the connection, the head and the body', async () => {
    const silent = net.createServer((socket) => socket.resume());
    silent.listen(0, HERE);
    await once(silent, 'listening');
    const https = createClient({ connectTimeoutMs: 100, maxRetries: 0 });
    const failure = await rejection(https.request(`https://${HERE}:${silent.address().port}`));
    assert.is(failure.code, 'UND_ERR_CONNECT_TIMEOUT', 'a handshake of TLS that stops');
    await https.close();
    silent.close();
    const app = (incoming, response) => {
      if (incoming.url === '/head') return;
      response.write('a piece');
    };
    await withServer(app, { headersTimeoutMs: 100, bodyTimeoutMs: 100 }, async (client, origin) => {
      assert.is((await rejection(client.request(`${origin}/head`))).code, 'UND_ERR_HEADERS_TIMEOUT');
      assert.is((await rejection(textOf(client.request(origin)))).code, 'UND_ERR_BODY_TIMEOUT');
    });
  });

  check('aborts: before, during the head, during the body', async () => {
    const app = (incoming, response) => void (incoming.url !== '/head' && response.write('a piece'));
    await withServer(app, {}, async (client, origin, server) => {
      const aborted = AbortSignal.abort(new Error('no'));
      assert.is((await rejection(client.request(origin, { signal: aborted }))).message, 'no');
      const late = AbortSignal.timeout(50);
      assert.is((await rejection(client.fetch(`${origin}/head`, { signal: late }))).name, 'TimeoutError');
      const control = new AbortController();
      const gone = once(server, 'connection').then(([socket]) => once(socket, 'close'));
      const { body } = await client.request(origin, { signal: control.signal });
      control.abort(new Error('enough'));
      assert.is((await rejection(body.text())).message, 'enough');
      await within(gone, 'the connection is closed');
    });
    await withServer(app, { maxConnections: 1 }, async (client, origin) => {
      const { body } = await client.request(origin);
      body.on('error', () => undefined);
      for (const signal of [AbortSignal.timeout(20), AbortSignal.abort(new Error('before'))]) {
        const ended = rejection(client.request(origin, { signal }));
        assert.is(await within(ended, 'a request that waits for a connection ends'), signal.reason);
      }
    });
  });

  check('only idempotent requests are repeated, and only if their connection fails', async () => {
    const seen = [];
    const app = (incoming, response) => {
      seen.push(incoming.method);
      if (incoming.url === '/503') response.writeHead(503).end('busy');
      else if (seen.length < 3) incoming.socket.destroy();
      else response.end('third');
    };
    await withServer(app, { maxRetries: 2 }, async (client, origin) => {
      assert.is(await textOf(client.request(origin)), 'third');
      assert.equal(seen.splice(0), ['GET', 'GET', 'GET']);
      assert.is(await textOf(client.request(origin, { method: 'PUT', body: 'x' })), 'third');
      assert.equal(seen.splice(0), ['PUT', 'PUT', 'PUT']);
      assert.is((await rejection(client.request(origin, { method: 'POST', body: 'x' }))).code, 'UND_ERR_SOCKET');
      assert.equal(seen.splice(0), ['POST']);
      const { statusCode, body } = await client.request(`${origin}/503`);
      assert.equal([statusCode, await body.text(), seen.splice(0)], [503, 'busy', ['GET']]);
    });
    await withServer(app, {}, async (client, origin) => {
      assert.is((await rejection(client.request(origin))).code, 'UND_ERR_SOCKET');
      assert.equal(seen.splice(0), ['GET']);
    });
    const none = createClient({ maxRetries: 0 });
    assert.is((await rejection(none.request(`http://${HERE}:1`))).code, 'ECONNREFUSED');
    await none.close();
  });

  check('streams both ways, with backpressure', async () => {
    await withServer(echo, {}, async (client, origin) => {
      let made = 0;
      const pieces = Readable.from(
        (async function* () {
          for (let i = 0; i < 64; i++) {
            made++;
            yield Buffer.alloc(MEBIBYTE / 4, i);
          }
        })(),
      );
      const { body } = await client.request(origin, { method: 'POST', body: pieces });
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.ok(made < 64, `${made} pieces were made though nothing is read`);
      let bytes = 0;
      for await (const piece of body) {
        assert.is(piece[0], Math.floor(bytes / (MEBIBYTE / 4)));
        bytes += piece.length;
      }
      assert.is(bytes, 16 * MEBIBYTE);
      const blob = new Blob(['hello ', 'there']).stream();
      const response = await client.fetch(origin, { method: 'POST', body: blob, duplex: 'half' });
      assert.is(await response.text(), 'hello there');
    });
  });

  check("the platform's requests and forms, and those of serve()", async () => {
    const app = (incoming, response) => {
      response.setHeader('x-type', `${incoming.headers['content-type']}`.split(';')[0]);
      response.setHeader('x-method', incoming.method);
      incoming.pipe(response);
    };
    await withServer(app, {}, async (client, origin) => {
      const form = new FormData();
      form.set('name', 'value');
      form.set('file', new Blob(['bytes']), 'a.txt');
      const { headers, body } = await client.request(origin, { method: 'POST', body: form });
      const response = await client.fetch(origin, { method: 'POST', body: form });
      for (const [type, text] of [
        [headers['x-type'], await body.text()],
        [response.headers.get('x-type'), await response.text()],
      ]) {
        assert.is(type, 'multipart/form-data');
        assert.match(text, /name="name"\r\n\r\nvalue\r\n.+filename="a.txt".+bytes/s);
      }
      const options = { method: 'PUT', body: 'in a request', headers: { 'content-type': 'a/b' } };
      const proxied = await serve({ hostname: HERE, fetch: (incoming) => client.fetch(origin, incoming) });
      for (const reply of [
        await client.fetch(new Request(origin, options)),
        await client.fetch(origin, new Request('http://other/', options)),
        await client.fetch(new UndiciRequest(origin, options)),
        await client.fetch(proxied.url, options),
      ]) {
        assert.equal([reply.headers.get('x-method'), reply.headers.get('x-type')], ['PUT', 'a/b']);
        assert.is(await reply.text(), 'in a request');
      }
      const changed = await client.fetch(new Request(origin, options), { method: 'POST', body: 'new' });
      assert.equal([changed.headers.get('x-method'), await changed.text()], ['POST', 'new']);
      const control = new AbortController();
      control.abort(new Error('off'));
      assert.is((await rejection(client.fetch(new Request(origin, { signal: control.signal })))).message, 'off');
      await proxied.close();
    });
  });

  check('servers that do not accept leave nothing', async () => {
    const client = createClient({ proxy: 'none' });
    const refused = async (i) => {
      const failure = await rejection(client.request(`http://127.0.${1 + (i >> 8)}.${i & 255}:1/`));
      assert.is(failure.code, 'ECONNREFUSED');
    };
    for (let i = 0; i < 50; i++) await refused(i);
    const before = usedBytes();
    for (let i = 50; i < 50 + REFUSED; i++) await refused(i);
    const kept = usedBytes() - before;
    assert.ok(kept < REFUSED * 5000, `${kept} bytes are kept for ${REFUSED} servers`);
    await client.close();
  });

  check('redirects and decompression', async () => {
    const app = (incoming, response) => {
      if (incoming.url === '/from') return response.writeHead(302, { location: '/to' }).end();
      const [encoding, bytes] =
        incoming.url === '/br' ? ['br', brotliCompressSync('small')] : ['gzip', gzipSync('small')];
      return response.writeHead(200, { 'content-encoding': encoding }).end(bytes);
    };
    await withServer(app, { maxRedirections: 3, decompress: true }, async (client, origin) => {
      const response = await client.fetch(`${origin}/from`);
      assert.equal([response.redirected, response.url, await response.text()], [true, `${origin}/to`, 'small']);
      assert.is((await client.fetch(`${origin}/from`, { redirect: 'manual' })).status, 302);
      assert.is(await textOf(client.request(`${origin}/from`)), 'small');
      assert.is(await textOf(client.request(`${origin}/br`)), 'small');
    });
    await withServer(app, {}, async (client, origin) => {
      const { statusCode, body } = await client.request(`${origin}/from`);
      assert.is(statusCode, 302);
      await body.dump();
    });
  });

  check('TLS: trusted or not', async () => {
    const app = (incoming, response) => response.end(`${incoming.socket.alpnProtocol || 'none'}`);
    const tls = { ca: cert, servername: 'localhost' };
    await withServer(
      app,
      { tls },
      async (client, origin) => {
        assert.is(await textOf(client.request(origin)), 'http/1.1');
        assert.is(await (await client.fetch(origin)).text(), 'http/1.1');
        const stranger = createClient({ maxRetries: 0 });
        assert.match((await rejection(stranger.request(origin))).code, /SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/);
        await stranger.close();
      },
      secure,
    );
  });

  check('HTTP/2 by ALPN, if it is wished', async () => {
    const server = http2.createSecureServer({ cert, key, allowHTTP1: true });
    server.on('request', (incoming, response) => response.end(incoming.httpVersion));
    const origin = `https://${HERE}:${await listening(server)}`;
    const tls = { ca: cert, servername: 'localhost' };
    const plain = createClient({ tls });
    assert.is(await textOf(plain.request(origin)), '1.1');
    await plain.close();
    const client = createClient({ tls, http2: true });
    const versions = await Promise.all(Array.from({ length: 10 }, () => textOf(client.request(origin))));
    assert.equal(versions, Array(10).fill('2.0'));
    await client.close({ timeoutMs: 100 });
    await new Promise((resolve) => server.close(resolve));
  });

  check('a proxy of the environment: tunnels for http and https, and exceptions', async () => {
    const tunnels = [];
    const proxy = http.createServer().on('connect', (incoming, socket, head) => {
      tunnels.push(incoming.url);
      const onward = net.connect(Number(incoming.url.split(':')[1]), HERE, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        onward.write(head);
        onward.pipe(socket).pipe(onward);
      });
      for (const each of [socket, onward]) each.on('error', () => each.destroy());
    });
    process.env.http_proxy = `http://${HERE}:${await listening(proxy)}`;
    const app = (_, response) => response.end('behind');
    try {
      const tls = { ca: cert, servername: 'localhost' };
      for (const make of [http.createServer, secure]) {
        await withServer(
          app,
          { tls },
          async (client, origin) => {
            assert.is(await textOf(client.request(origin)), 'behind');
            assert.equal(tunnels.splice(0), [origin.split('//')[1]]);
          },
          make,
        );
      }
      process.env.no_proxy = HERE;
      await withServer(app, {}, async (client, origin) => assert.is(await textOf(client.request(origin)), 'behind'));
      delete process.env.no_proxy;
      const without = { proxy: 'none' };
      await withServer(app, without, async (client, origin) =>
        assert.is(await textOf(client.request(origin)), 'behind'),
      );
      assert.equal(tunnels, []);
      process.env.http_proxy = `socks5://${HERE}:1080`;
      assert.throws(createClient, /http_proxy must be a proxy for HTTP/);
    } finally {
      delete process.env.http_proxy;
      delete process.env.no_proxy;
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  check('close() lets open requests end, and then ends them', async () => {
    const app = (incoming, response) =>
      setTimeout(() => response.end('late'), incoming.url === '/slow' ? SLOW_MS : 50).unref();
    await withServer(app, {}, async (client, origin) => {
      const open = textOf(client.request(origin));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await client.close();
      assert.is(await open, 'late');
      assert.is((await rejection(client.request(origin))).code, 'UND_ERR_DESTROYED');
    });
    await withServer(app, { maxRetries: 0 }, async (client, origin) => {
      const open = rejection(client.request(`${origin}/slow`));
      await new Promise((resolve) => setTimeout(resolve, 20));
      await client.close({ timeoutMs: 30 });
      assert.is((await open).code, 'UND_ERR_DESTROYED');
    });
  });

  check('connector() is for any client of undici, also over a Unix socket', async () => {
    const path = join(tmpdir(), `featherstar-client-${process.pid}.sock`);
    const server = http.createServer((_, response) => response.end('by path')).listen(path);
    await once(server, 'listening');
    const agent = new Agent({ connect: connector({ path }) });
    assert.is(await textOf(request('http://any/', { dispatcher: agent })), 'by path');
    await agent.close();
    server.close();
    assert.throws(() => connector({ timeout: 1 }), /Unknown option "timeout"/);
    assert.throws(() => createClient({ maxConnections: 0 }), /maxConnections must be/);
  });

  test.run();

  const ends = suite(`client, the end (${host})`);
  ends('the pool of fetch() closes with the runtime', async () => {
    const runtime = await Runtime.start({ shards: 1, host });
    const server = http.createServer((_, response) => response.end('shared'));
    const port = await listening(server);
    assert.is(await (await fetch(`http://${HERE}:${port}`)).text(), 'shared');
    await within(runtime.close(), 'close');
    server.close();
    await within(once(server, 'close'), 'the pool has left');
  });
  ends.run();
}

const outside = suite('client, in a thread that is no shard');
outside('it says so', () => {
  for (const use of [() => createClient(), () => fetch('http://127.0.0.1')]) {
    assert.throws(use, (error) => error.code === 'FEATHERSTAR_NO_SHARD');
  }
});
outside('on Bun, whose undici ignores all options, it says so', () => {
  globalThis.Bun = {};
  try {
    assert.throws(connector, (error) => error.code === 'FEATHERSTAR_HOST');
  } finally {
    delete globalThis.Bun;
  }
});
outside.run();
