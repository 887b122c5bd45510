// HTTP/2 by serve(): over TLS and by prior knowledge, with the handlers and limits of HTTP/1.1, on both hosts.

import { execFile } from 'node:child_process';
import { connect as connectHttp2, constants } from 'node:http2';
import { serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { Chromium, findChromium } from '../browser/chromium.js';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';
import { cert, key, runWith, tlsWays } from '../support/tls.js';

const { NGHTTP2_CANCEL } = constants;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const commands = { curl: ['--version'], h2load: ['--version'] };

/** Resolves to all that a command prints. */
function output(command, args) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { timeout: 30_000, encoding: 'buffer', maxBuffer: 1e8 }, (error, stdout) => {
      if (error) reject(error);
      else resolve(stdout);
    });
  });
}

async function has(command) {
  try {
    await output(command, commands[command]);
    return true;
  } catch (error) {
    console.log(`# skipped: ${command}: ${error.code}`);
    return false;
  }
}

/** One request of a session: its status, headers, body and trailers. */
function ask(session, headers = {}, body = undefined) {
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return within(answerOf(stream), 'a response');
}

function answerOf(stream) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const interim = [];
    let answer;
    let trailers;
    stream.on('headers', (headers) => interim.push(headers[':status']));
    stream.on('response', (headers) => {
      answer = headers;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (bytes) => chunks.push(bytes));
    stream.on('error', reject);
    stream.on('close', () => {
      if (answer === undefined) reject(new Error(`closed with ${stream.rstCode}`));
      else resolve({ status: answer[':status'], headers: answer, body: Buffer.concat(chunks), trailers, interim });
    });
  });
}

const big = Buffer.alloc(2_000_000, 'abcdefghijklm');
const streamOf = (...chunks) =>
  new ReadableStream({
    async pull(controller) {
      await later(2);
      if (chunks.length === 0) controller.close();
      else controller.enqueue(Buffer.from(chunks.shift()));
    },
  });

let aborted = 0;
const waiting = [];

const routes = {
  '/': () => new Response('hello'),
  '/url': ({ url, method }) => new Response(`${method} ${url}`),
  '/headers': ({ headers }) => Response.json([headers.get('cookie'), headers.get('x-own'), headers.get('host')]),
  '/echo': async (request) => new Response(await request.bytes(), { headers: { 'x-one': '1', 'set-cookie': 'a=1' } }),
  '/large': () => new Response(big),
  '/stream': () => new Response(streamOf('one', 'two', 'three')),
  '/pipe': (request) => new Response(request.body),
  '/empty': () => new Response(null, { status: 204 }),
  '/odd': () =>
    new Response('odd', {
      headers: [
        ['te', 'gzip'],
        ['http2-settings', 'AAMAAABk'],
        ['etag', '"1"'],
        ['etag', '"2"'],
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
      ],
    }),
  '/detached': () => {
    const bytes = new Uint8Array(1_000_000);
    setImmediate(() => structuredClone(bytes.buffer, { transfer: [bytes.buffer] }));
    return new Response(bytes);
  },
  '/throws': () => {
    throw new Error('the handler');
  },
  '/trailers': (_, info) => {
    info.sendTrailers(() => ({ 'x-sum': '6' }));
    return new Response(streamOf('abc', 'def'));
  },
  '/got-trailers': async (request) => {
    await request.bytes();
    return new Response((await request.trailers).get('x-client'));
  },
  '/hints': (_, info) => {
    info.informational(103, { link: '</a.css>; rel=preload' });
    return new Response('after');
  },
  '/wait': async (request) => {
    request.signal.addEventListener('abort', () => {
      aborted++;
    });
    await new Promise((resolve) => waiting.push(resolve));
    return new Response('waited');
  },
  '/tls': (_, { tls, remote }) => Response.json([tls?.alpnProtocol ?? null, remote.hostname]),
};
const fetch = (request, info) => routes[request.path]?.(request, info) ?? new Response('none', { status: 404 });

for (const { host, engine } of tlsWays()) {
  for (const scheme of engine === 'addon' ? ['https'] : ['https', 'http']) {
    const suite = oneShardSuite(`HTTP/2 over ${scheme} by ${engine}`, host);
    runWith(engine, suite.test);

    const check = (name, options, run) =>
      suite.check(name, async () => {
        const errors = [];
        const entries = [];
        const server = await serve({
          hostname: '127.0.0.1',
          fetch,
          onError: (error) => errors.push(error.message),
          onResponse: (entry) => entries.push(entry),
          http2: true,
          ...(scheme === 'https' ? { tls: { key, cert } } : {}),
          ...options,
        });
        const session = connectHttp2(`${scheme}://127.0.0.1:${server.port}`, { ca: cert, servername: 'localhost' });
        session.on('error', () => {});
        try {
          await run(session, server, { errors, entries });
        } finally {
          session.destroy();
          await until(() => server.stats.connections === 0, 'all connections are closed');
          await server.close();
        }
      });

    const upgrading = { fetch: (_request, info) => info.upgrade(), websocket: { message: () => {} } };
    check('a stream cannot become a WebSocket: 426', upgrading, async (session, _server, { errors }) => {
      const { status, headers } = await ask(session);
      assert.equal([status, headers['sec-websocket-version'], headers.upgrade], [426, '13', undefined]);
      assert.equal(errors, []);
    });

    check('requests and responses', {}, async (session, { port }, { errors, entries }) => {
      const root = await ask(session);
      assert.equal([root.status, `${root.body}`, root.headers['content-length']], [200, 'hello', '5']);
      assert.is(root.headers.connection, undefined);
      const url = await ask(session, { ':path': '/url?a=1', ':method': 'PUT', 'x-own': 'own' });
      assert.is(`${url.body}`, `PUT ${scheme}://localhost:${port}/url?a=1`);
      const sent = { ':path': '/headers', cookie: ['a=1', 'b=2'], 'x-own': 'own' };
      assert.equal(JSON.parse((await ask(session, sent)).body), ['a=1; b=2', 'own', `localhost:${port}`]);
      const head = await ask(session, { ':method': 'HEAD' });
      assert.equal([head.status, head.headers['content-length'], head.body.length], [200, '5', 0]);
      assert.is((await ask(session, { ':path': '/empty' })).status, 204);
      assert.is((await ask(session, { ':path': '/none' })).status, 404);
      assert.is((await ask(session, { ':path': '/throws' })).status, 500);
      assert.equal(errors.splice(0), ['the handler']);
      const protocol = scheme === 'https' ? 'h2' : null;
      assert.equal(JSON.parse((await ask(session, { ':path': '/tls' })).body), [protocol, '127.0.0.1']);
      assert.is((await ask(session, { ':method': 'CONNECT', ':path': undefined, ':authority': 'x:1' })).status, 501);
      await until(() => entries.length >= 8, 'the log');
      assert.equal([entries[0].status, entries[0].isComplete, entries[0].request.path], [200, true, '/']);
    });

    check('fields that node:http2 does not send as they are', {}, async (session) => {
      const { status, headers, body } = await ask(session, { ':path': '/odd' });
      assert.equal([status, `${body}`, headers.te, headers['http2-settings']], [200, 'odd', undefined, undefined]);
      assert.equal([headers.etag, headers['set-cookie']], ['"1", "2"', ['a=1', 'b=2']]);
    });

    check('a body that is detached before it is sent breaks its stream', {}, async (session, _, { entries }) => {
      assert.match((await rejection(ask(session, { ':path': '/detached' }))).message, /NGHTTP2_/);
      assert.is(`${(await ask(session)).body}`, 'hello');
      await until(() => entries.length === 2, 'the log');
      assert.equal(
        entries.map(({ isComplete }) => isComplete),
        [false, true],
      );
    });

    check('bodies, with and without a length, both ways', {}, async (session, _, { entries }) => {
      const echoed = await ask(session, { ':method': 'POST', ':path': '/echo', 'content-length': big.length }, big);
      assert.ok(echoed.body.equals(big));
      assert.equal([echoed.headers['x-one'], echoed.headers['set-cookie']], ['1', ['a=1']]);
      assert.ok((await ask(session, { ':method': 'POST', ':path': '/echo' }, big)).body.equals(big));
      assert.ok((await ask(session, { ':method': 'POST', ':path': '/pipe' }, big)).body.equals(big));
      assert.is(`${(await ask(session, { ':path': '/stream' })).body}`, 'onetwothree');
      assert.is(`${(await ask(session, { ':method': 'POST', ':path': '/echo' }, '')).body}`, '');
      await until(() => entries.length === 5, 'the log');
      for (const { isComplete } of entries) assert.ok(isComplete);
    });

    check('many streams at once', {}, async (session) => {
      const all = await Promise.all(
        Array.from({ length: 300 }, (_, i) => ask(session, { ':method': 'POST', ':path': '/echo' }, `body ${i}`)),
      );
      for (const [i, { body }] of all.entries()) assert.is(`${body}`, `body ${i}`);
    });

    check('trailers both ways, and informational responses', {}, async (session) => {
      const answer = await ask(session, { ':path': '/trailers' });
      assert.equal([`${answer.body}`, answer.trailers['x-sum']], ['abcdef', '6']);
      const stream = session.request({ ':path': '/got-trailers', ':method': 'POST' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-client': 'mine' }));
      stream.end('body');
      assert.is(`${(await within(answerOf(stream), 'a response')).body}`, 'mine');
      const hinted = await ask(session, { ':path': '/hints' });
      assert.equal([hinted.interim, `${hinted.body}`], [[103], 'after']);
    });

    check('a stream that is reset aborts its request, and others go on', {}, async (session) => {
      aborted = 0;
      const stream = session.request({ ':path': '/wait' });
      stream.on('error', () => {});
      await until(() => waiting.length === 1, 'the handler');
      stream.close(NGHTTP2_CANCEL);
      await until(() => aborted === 1, 'the signal');
      assert.is(`${(await ask(session)).body}`, 'hello');
      waiting.pop()();
    });

    const small = { limits: { bodyBytes: 1000, headerBytes: 2000, targetBytes: 500, handlerTimeoutMs: 50 } };
    check('limits', small, async (session, server, { errors }) => {
      const long = { ':method': 'POST', ':path': '/echo', 'content-length': 2000 };
      assert.is((await ask(session, long, Buffer.alloc(2000))).status, 413);
      const unknown = await ask(session, { ':method': 'POST', ':path': '/echo' }, Buffer.alloc(100_000));
      assert.is(unknown.status, 413);
      assert.is((await ask(session, { ':path': `/${'x'.repeat(600)}` })).status, 414);
      assert.is((await ask(session, { ':path': '/wait' })).status, 503);
      assert.equal(errors.splice(0), ['the handler did not respond in time']);
      waiting.pop()();
      assert.ok(server.stats.refused >= 4);
    });

    check('a client that takes nothing stops its stream', {}, async (session) => {
      const stream = session.request({ ':path': '/pipe', ':method': 'POST' });
      let written = 0;
      stream.on('error', () => {});
      const write = () => {
        while (written < 50_000_000 && stream.write(Buffer.alloc(50_000))) written += 50_000;
      };
      stream.on('drain', write);
      write();
      await later(200);
      const before = written;
      await later(100);
      assert.is(written, before);
      assert.ok(written < 10_000_000, `${written} bytes`);
      stream.close(NGHTTP2_CANCEL);
    });

    const slow = { limits: { idleTimeoutMs: 100, minSendBytesPerSecond: 1000 } };
    check('a client that never takes a response loses its stream', slow, async (session, _, { entries }) => {
      const stream = session.request({ ':path': '/large' });
      stream.on('error', () => {});
      await until(() => entries.length === 1, 'the end of the stream');
      assert.equal([entries[0].status, entries[0].isComplete], [200, false]);
    });

    check('close() sends GOAWAY, and what runs is answered', {}, async (session, server) => {
      const running = ask(session, { ':path': '/wait' });
      await until(() => waiting.length === 1, 'the handler');
      let goaway = false;
      session.on('goaway', () => {
        goaway = true;
      });
      const closing = server.close({ timeoutMs: 5000 });
      await until(() => goaway, 'GOAWAY');
      waiting.pop()();
      assert.is(`${(await running).body}`, 'waited');
      await within(closing, 'the end');
    });

    check('an idle connection is ended', { limits: { idleTimeoutMs: 100 } }, async (session) => {
      await ask(session);
      await until(() => session.destroyed, 'the end');
    });

    check('clients of HTTP/1.1 on the same port, and garbage', {}, async (session, server) => {
      assert.is((await ask(session)).status, 200);
      if (scheme === 'https') return; // ALPN: tests/tls/serve.test.js
      const client = await Client.open(server.port);
      await client.write(get('/').slice(0, 5));
      await later(10);
      await client.write(get('/').slice(5));
      assert.is((await client.response()).text, 'hello');
      client.destroy();
      for (const bytes of [
        'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame',
      ]) {
        const broken = await Client.open(server.port);
        for (const byte of bytes) await broken.write(byte);
        await until(() => broken.ending !== undefined, 'the server ends it');
        broken.destroy();
      }
      assert.is((await ask(session)).status, 200);
    });

    check('curl and h2load', {}, async (_, server) => {
      const url = `${scheme}://127.0.0.1:${server.port}/`;
      if (await has('curl')) {
        const how = scheme === 'https' ? '--http2' : '--http2-prior-knowledge';
        const text = await output('curl', ['-sk', how, '-w', ' %{http_version}', url]);
        assert.is(`${text}`, 'hello 2');
      }
      if (await has('h2load')) {
        const text = `${await output('h2load', ['-n', '2000', '-c', '8', '-m', '20', url])}`;
        assert.match(text, /2000 succeeded, 0 failed, 0 errored/);
      }
    });

    check('Chromium', {}, async (_, server) => {
      if (scheme === 'http') return; // browsers speak HTTP/2 over TLS only
      const command = findChromium();
      if (command === undefined) {
        console.log('# skipped: no Chromium in PATH, and CHROMIUM names none');
        return;
      }
      const chromium = new Chromium(command, ['--ignore-certificate-errors']);
      try {
        const run = await chromium.open(`https://127.0.0.1:${server.port}/`);
        assert.is(await run('document.body.textContent'), 'hello');
        assert.is(await run("performance.getEntriesByType('navigation')[0].nextHopProtocol"), 'h2');
        const all = "Promise.all(Array.from({ length: 100 }, () => fetch('/').then((response) => response.text())))";
        assert.is((await run(all)).join(''), 'hello'.repeat(100));
        const body = "fetch('/echo', { method: 'POST', body: 'x'.repeat(1e6) }).then((response) => response.text())";
        assert.is((await run(body)).length, 1e6);
      } finally {
        await chromium.close();
      }
    });

    suite.run();
  }
}

for (const host of hosts()) {
  const few = oneShardSuite('HTTP/2 with little memory', host, { limits: { sendBufferCount: 4 } });
  few.check('streams that find no memory are refused, and others go on', async () => {
    const server = await serve({ hostname: '127.0.0.1', fetch, http2: true });
    const sessions = Array.from({ length: 6 }, () => connectHttp2(`http://127.0.0.1:${server.port}`));
    const asked = sessions.flatMap((one) => Array.from({ length: 100 }, () => ask(one, { ':path': '/wait' })));
    const all = Promise.allSettled(asked);
    await until(() => waiting.length + server.stats.refused === asked.length, 'all requests have come');
    assert.ok(server.stats.refused > 0, 'some are refused');
    for (const answer of waiting.splice(0)) answer();
    for (const { reason } of await all) if (reason) assert.match(reason.message, /NGHTTP2_REFUSED_STREAM/);
    assert.is(`${(await ask(sessions[0])).body}`, 'hello');
    for (const one of sessions) one.destroy();
    await server.close();
  });
  few.run();

  const { test, run } = oneShardSuite('HTTP/2 is an option', host);
  test('without it a server speaks HTTP/1.1 only', async () => {
    const server = await serve({ hostname: '127.0.0.1', fetch, http2: false, tls: { key, cert } });
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, { ca: cert, servername: 'localhost' });
    const error = await new Promise((resolve) => session.once('error', resolve));
    assert.match(error.code, /ERR_SSL|ERR_HTTP2|ECONNRESET/);
    session.destroy();
    await server.close();
    assert.is((await rejection(serve({ fetch, http2: 1 }))).code, 'FEATHERSTAR_OPTION');
  });
  run();
}
