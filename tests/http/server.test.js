// The HTTP server as a client sees it: what it answers, on each host. tests/http/server-bad-input.test.js is about
// clients that misbehave, server-shutdown.test.js about the end.

import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';

const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;
const MEBIBYTE = 1024 * 1024;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Bytes that are nowhere alike, so that a piece in the wrong place shows. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16)) & 0xff;
  return bytes;
}

/** Cuts `bytes` at each of `cuts` and sends the pieces one by one. */
async function dribble(client, bytes, pieceBytes) {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    await client.write(bytes.subarray(at, at + pieceBytes));
    await later(0);
  }
}

function stream(chunks, pauseMs) {
  let next = 0;
  return new ReadableStream({
    async pull(controller) {
      if (pauseMs !== undefined) await later(pauseMs);
      if (next === chunks.length) controller.close();
      else controller.enqueue(Buffer.from(chunks[next++]));
    },
  });
}

for (const host of hosts()) {
  const test = suite(`server (${host})`);
  let runtime;
  let handler;
  let server;
  let base;
  const errors = [];

  test.before.each(() => {
    errors.length = 0;
  });

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    const fetch = (request) => handler(request);
    const limits = { headerTimeoutMs: 3_600_000, idleTimeoutMs: 3_600_000 }; // no timer wakes what should be awake
    server = await serve({ fetch, hostname: '127.0.0.1', limits, onError: (error) => errors.push(error) });
    await later(20); // the accept is staged
    base = holdings();
  });
  /** A test that leaves nothing behind. (An after.each hook of uvu that throws ends the whole suite.) */
  const check = (name, run) =>
    test(name, async () => {
      await run();
      assert.equal(errors.splice(0), []);
      await until(() => server.stats.connections === 0, 'all connections are closed');
      await back(base);
    });
  test.after(() => runtime.close());

  /** Answers what `fetch` makes of one request. */
  const answerOf = async (fetch, request = get(), options) => {
    handler = fetch;
    return ask(server.port, request, options);
  };

  // --- methods and statuses ------------------------------------------------------------------------------------------

  check('GET gets its answer, with length, type and date', async () => {
    const answer = await answerOf((request) => new FeatherResponse(`${request.method} ${request.path}`), get('/a?b=c'));
    assert.is(answer.status, 200);
    assert.is(answer.statusText, 'OK');
    assert.is(answer.text, 'GET /a');
    assert.is(answer.headers['content-length'], '6');
    assert.is(answer.headers['content-type'], 'text/plain;charset=UTF-8');
    assert.match(answer.headers.date, HTTP_DATE);
    assert.is(answer.headers.connection, undefined);
  });

  check('HEAD gets the head of what GET would get, and the connection goes on', async () => {
    for (const body of ['hello', new Uint8Array(5), 'ä'.repeat(3000), null]) {
      handler = () => new FeatherResponse(body);
      const length = String(Buffer.byteLength(body ?? ''));
      const client = await Client.open(server.port);
      const head = await client.ask('HEAD / HTTP/1.1\r\nHost: test\r\n\r\n', { isHead: true });
      assert.is(head.headers['content-length'], length);
      const full = await client.ask(get());
      assert.is(full.headers['content-length'], length);
      assert.is(full.body.length, Number(length));
      client.destroy();
    }
  });

  check('HEAD of a stream reads no more of it than it needs', async () => {
    let isCancelled = false;
    const endless = () =>
      new ReadableStream({
        async pull(controller) {
          await later(1);
          controller.enqueue(Buffer.from('x'));
        },
        cancel() {
          isCancelled = true;
        },
      });
    handler = () => new FeatherResponse(endless());
    const client = await Client.open(server.port);
    const answer = await client.ask('HEAD / HTTP/1.1\r\nHost: test\r\n\r\n', { isHead: true });
    assert.is(answer.headers['transfer-encoding'], 'chunked');
    handler = () => new FeatherResponse('next');
    assert.is((await client.ask(get())).text, 'next');
    client.destroy();
    await until(() => isCancelled, 'the stream is cancelled');
  });

  check('all methods, also ones that nobody knows', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'get']) {
      const request = `${method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n`;
      assert.is((await answerOf((req) => new FeatherResponse(req.method), request)).text, method);
    }
  });

  check('204 and 304 have no body and no length, and the connection goes on', async () => {
    for (const status of [204, 304]) {
      for (const body of [null, 'not sent', stream(['not sent'])]) {
        handler = () => new FeatherResponse(body, { status, headers: { etag: '"1"' } });
        const client = await Client.open(server.port);
        const answer = await client.ask(get());
        assert.is(answer.status, status);
        assert.is(answer.headers['content-length'], undefined);
        assert.is(answer.headers['transfer-encoding'], undefined);
        assert.is(answer.headers.etag, '"1"');
        handler = () => new FeatherResponse('next');
        assert.is((await client.ask(get())).text, 'next');
        client.destroy();
      }
    }
  });

  check('statuses and their texts', async () => {
    for (const [status, text] of [
      [201, 'Created'],
      [404, 'Not Found'],
      [500, 'Internal Server Error'],
      [599, 'Unknown'],
    ]) {
      const answer = await answerOf(() => new FeatherResponse('x', { status }));
      assert.equal([answer.status, answer.statusText], [status, text]);
    }
    const own = await answerOf(() => new FeatherResponse('x', { statusText: 'Fine' }));
    assert.equal([own.status, own.statusText, own.text], [200, 'Fine', 'x']);
    for (const bad of [100, 199, 600, 200.5, '200', NaN]) {
      assert.throws(
        () => new FeatherResponse('', { status: bad }),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
    }
    assert.throws(
      () => new FeatherResponse('', { statusText: 'a\r\nb: c' }),
      (e) => e.code === 'FEATHERSTAR_OPTION',
    );
  });

  check('redirect', async () => {
    const answer = await answerOf(() => FeatherResponse.redirect('http://example.org/x', 307));
    assert.equal([answer.status, answer.headers.location], [307, 'http://example.org/x']);
    assert.throws(
      () => FeatherResponse.redirect('http://example.org/', 200),
      (e) => e.code === 'FEATHERSTAR_OPTION',
    );
  });

  // --- headers of the request ----------------------------------------------------------------------------------------

  check('request headers: header(), headers, duplicates, empty values, any case', async () => {
    const head = 'X-One: 1\r\nX-Two:a\r\nx-two: \t b \t\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n';
    let seen;
    await answerOf(
      (request) => {
        seen = {
          one: request.header('x-one'),
          two: request.header('x-two'),
          empty: request.header('x-empty'),
          none: request.header('x-none'),
          latin: request.header('x-latin'),
          all: [...request.headers],
          after: request.header('x-two'),
          noneAfter: request.header('x-none'),
        };
        return new FeatherResponse('');
      },
      Buffer.from(get('/', head), 'latin1'),
    );
    assert.equal(seen, {
      one: '1',
      two: 'a, b',
      empty: '',
      none: undefined,
      latin: 'caf\xe9',
      all: [
        ['host', 'test'],
        ['x-empty', ''],
        ['x-latin', 'caf\xe9'],
        ['x-one', '1'],
        ['x-two', 'a, b'],
      ],
      after: 'a, b',
      noneAfter: undefined,
    });
  });

  check('url, path and target forms', async () => {
    const seen = [];
    const note = (request) => {
      seen.push([request.url, request.path]);
      return new FeatherResponse('');
    };
    await answerOf(note, 'GET /a/b?c=d HTTP/1.1\r\nHost: example.org:81\r\n\r\n');
    await answerOf(note, 'GET http://example.net/x?y HTTP/1.1\r\nHost: example.net\r\n\r\n');
    await answerOf(note, 'OPTIONS * HTTP/1.1\r\nHost: example.org:81\r\n\r\n');
    await answerOf(note, 'GET / HTTP/1.0\r\n\r\n');
    assert.equal(seen, [
      ['http://example.org:81/a/b?c=d', '/a/b'],
      ['http://example.net/x?y', 'http://example.net/x'],
      ['http://example.org:81', '*'],
      ['http://localhost/', '/'],
    ]);
    for (const [url] of seen) new URL(url);
  });

  check('a request is an instance of the web Request', async () => {
    let isRequest = false;
    await answerOf((request) => {
      isRequest = request instanceof Request;
      return new FeatherResponse('');
    });
    assert.ok(isRequest);
  });

  // --- headers of the answer -----------------------------------------------------------------------------------------

  check('headers as record, as pairs, as Headers; set later; a content type alone and with others', async () => {
    const forms = [
      { 'content-type': 'text/html', 'X-A': '1' },
      [
        ['Content-Type', 'text/html'],
        ['X-A', '1'],
      ],
      new Headers({ 'content-type': 'text/html', 'x-a': '1' }),
    ];
    for (const headers of forms) {
      const answer = await answerOf(() => new FeatherResponse('<p>', { headers }));
      assert.equal([answer.headers['content-type'], answer.headers['x-a'], answer.text], ['text/html', '1', '<p>']);
    }
    const alone = await answerOf(() => new FeatherResponse('<p>', { headers: { 'content-type': 'text/html' } }));
    assert.equal([alone.headers['content-type'], alone.text], ['text/html', '<p>']);
    const late = await answerOf(() => {
      const response = new FeatherResponse('x');
      response.headers.set('x-late', 'yes');
      return response;
    });
    assert.equal([late.headers['x-late'], late.headers['content-type']], ['yes', 'text/plain;charset=UTF-8']);
    const bytes = await answerOf(() => new FeatherResponse(new Uint8Array([1])));
    assert.is(bytes.headers['content-type'], undefined);
  });

  check('set-cookie twice stays two lines', async () => {
    const pairs = [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2; Path=/'],
    ];
    for (const headers of [pairs, new Headers(pairs)]) {
      for (const make of [FeatherResponse, Response]) {
        const answer = await answerOf(() => new make('x', { headers }));
        assert.equal(answer.headers['set-cookie'], ['a=1', 'b=2; Path=/']);
      }
    }
  });

  test("the handler's Date wins; its framing does not", async () => {
    const headers = { date: 'then', 'content-length': '99', 'transfer-encoding': 'chunked' };
    const answer = await answerOf(() => new FeatherResponse('abc', { headers }));
    assert.equal([answer.headers.date, answer.headers['content-length'], answer.text], ['then', '3', 'abc']);
    assert.is(answer.headers['transfer-encoding'], undefined);
  });

  check('Connection: close, asked for by the client or by the handler', async () => {
    handler = () => new FeatherResponse('bye');
    let client = await Client.open(server.port);
    const asked = await client.ask(get('/', 'Connection: close\r\n'));
    assert.equal([asked.headers.connection, asked.text], ['close', 'bye']);
    assert.is((await client.rest()).length, 0);
    assert.is(client.ending, 'end');
    client.destroy();

    handler = () => new FeatherResponse('bye', { headers: { Connection: 'close' } });
    client = await Client.open(server.port);
    const told = await client.ask(get() + get());
    assert.equal([told.headers.connection, told.text], ['close', 'bye']);
    assert.is((await client.rest()).length, 0);
    client.destroy();
  });

  // --- bodies of the answer ------------------------------------------------------------------------------------------

  check('bodies of all types', async () => {
    const text = 'grüße, 世界 🌍';
    const bytes = Buffer.from(text);
    const bodies = {
      string: () => new FeatherResponse(text),
      bytes: () => new FeatherResponse(new Uint8Array(bytes)),
      view: () => new FeatherResponse(Buffer.concat([Buffer.from('__'), bytes]).subarray(2)),
      buffer: () => new FeatherResponse(new Uint8Array(bytes).buffer),
      stream: () => new FeatherResponse(stream([text])),
      global: () => new Response(text),
      'global stream': () => new Response(stream([text])),
      async: async () => new FeatherResponse(text),
      'later and global': () => later(1).then(() => new Response(bytes)),
    };
    for (const [name, make] of Object.entries(bodies)) {
      const answer = await answerOf(make);
      assert.is(answer.text, text, name);
      assert.is(answer.headers['content-length'], String(bytes.length), name);
    }
  });

  check('JSON', async () => {
    for (const make of [FeatherResponse, Response]) {
      const answer = await answerOf(() => make.json({ ä: [1] }, { status: 201 }));
      assert.equal([answer.status, answer.headers['content-type']], [201, 'application/json']);
      assert.equal(JSON.parse(answer.text), { ä: [1] });
    }
  });

  check('empty bodies say so', async () => {
    const empty = [undefined, null, '', new Uint8Array(0), new ArrayBuffer(0), stream([])];
    for (const body of empty) {
      const answer = await answerOf(() => new FeatherResponse(body));
      assert.equal([answer.headers['content-length'], answer.text], ['0', '']);
    }
    assert.is((await answerOf(() => new Response(null))).headers['content-length'], '0');
    assert.is((await answerOf(() => new Response(''))).headers['content-length'], '0');
  });

  check('bodies around the size of a send buffer', async () => {
    const { sendBufferBytes } = (await import('../../dist/host/core.js')).DEFAULT_LIMITS;
    const client = await Client.open(server.port);
    for (let length = sendBufferBytes - 200; length < sendBufferBytes + 20; length += 3) {
      const body = pattern(length);
      handler = () => new FeatherResponse(body);
      assert.ok((await client.ask(get())).body.equals(body), `${length}`);
    }
    for (const length of [255, 256, 257, 2 * sendBufferBytes - 1, 2 * sendBufferBytes, 100_000]) {
      handler = () => new FeatherResponse('x'.repeat(length));
      assert.is((await client.ask(get())).body.length, length);
    }
    client.destroy();
  });

  check('5 MiB both ways, at once and as a stream', async () => {
    const body = pattern(5 * MEBIBYTE);
    const whole = await answerOf(async (request) => new FeatherResponse(await request.bytes()), post('/', body));
    assert.ok(whole.body.equals(body));
    const streamed = await answerOf((request) => new FeatherResponse(request.body), post('/', body));
    assert.is(streamed.headers['transfer-encoding'], 'chunked');
    assert.ok(streamed.body.equals(body));
    const global = await answerOf((request) => new Response(request.body), post('/', body));
    assert.ok(global.body.equals(body));
  });

  check('a slow stream is sent as it comes, in chunks', async () => {
    const answer = await answerOf(() => new FeatherResponse(stream(['one', 'two', 'three'], 5)));
    assert.is(answer.headers['transfer-encoding'], 'chunked');
    assert.is(answer.headers['content-length'], undefined);
    assert.equal(answer.chunks.map(String), ['one', 'two', 'three']);
  });

  check('the first chunk arrives before the stream goes on', async () => {
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    handler = () =>
      new FeatherResponse(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(Buffer.from('early'));
            await gate;
            controller.enqueue(Buffer.from('late'));
            controller.close();
          },
        }),
      );
    const client = await Client.open(server.port);
    client.write(get());
    await until(() => client.pending.includes('early'), 'the first chunk');
    assert.not(client.pending.includes('late'));
    go();
    assert.equal((await client.response()).chunks.map(String), ['early', 'late']);
    client.destroy();
  });

  check('an endless stream is cancelled when the client leaves', async () => {
    let cancelled = 0;
    const endless = () =>
      new ReadableStream({
        async pull(controller) {
          await later(1);
          controller.enqueue(Buffer.alloc(1000));
        },
        cancel() {
          cancelled++;
        },
      });
    for (const [i, make] of [FeatherResponse, Response].entries()) {
      handler = () => new make(endless());
      const client = await Client.open(server.port);
      client.write(get());
      await until(() => client.pending.length > 5000, 'some of it');
      client.destroy();
      await until(() => cancelled === i + 1, 'the stream is cancelled');
    }
    assert.ok(errors.splice(0).length <= 2); // a client that leaves is nobody's error
  });

  // --- bodies of the request -----------------------------------------------------------------------------------------

  check('request bodies: bytes, text, json, arrayBuffer, blob, formData, body', async () => {
    const send = (body, type, read) =>
      answerOf(
        async (request) => new FeatherResponse(JSON.stringify(await read(request))),
        post('/', body, `Content-Type: ${type}\r\n`),
      );
    const json = '{"a":"ü"}';
    const cases = [
      [json, 'application/json', async (r) => [...(await r.bytes())], [...Buffer.from(json)]],
      [json, 'application/json', (r) => r.text(), json],
      [json, 'application/json', (r) => r.json(), { a: 'ü' }],
      [json, 'application/json', async (r) => (await r.arrayBuffer()).byteLength, 10],
      [
        json,
        'application/json',
        async (r) => [(await r.blob()).type, await await r.blob().catch(() => 'used')],
        ['application/json', 'used'],
      ],
      [
        'a=1&b=%C3%BC',
        'application/x-www-form-urlencoded',
        async (r) => [...(await r.formData())],
        [
          ['a', '1'],
          ['b', 'ü'],
        ],
      ],
      ['', 'text/plain', (r) => r.text(), ''],
      [json, 'text/plain', async (r) => await new Response(r.body).text(), json],
      [json, 'text/plain', async (r) => [r.bodyUsed, await r.text(), r.bodyUsed], [false, json, true]],
    ];
    for (const [body, type, read, wanted] of cases)
      assert.equal(JSON.parse((await send(body, type, read)).text), wanted);
  });

  check('a body is read once', async () => {
    let error;
    await answerOf(
      async (request) => {
        await request.text();
        error = await rejection(request.text());
        return new FeatherResponse('');
      },
      post('/', 'abc'),
    );
    assert.is(error.code, 'FEATHERSTAR_BODY');
  });

  check('a GET has no body', async () => {
    let seen;
    await answerOf(async (request) => {
      seen = [request.body, await request.text()];
      return new FeatherResponse('');
    });
    assert.equal(seen, [null, '']);
  });

  check('requests and chunked bodies, cut anywhere', async () => {
    handler = async (request) =>
      new FeatherResponse(`${request.method}:${request.header('x-a')}:${await request.text()}`);
    const chunked = 'Host: test\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n';
    const request = Buffer.from(
      `POST /x HTTP/1.1\r\n${chunked}5\r\nhello\r\n1;ext="x"\r\n \r\n00005\r\nworld\r\n0\r\nT: t\r\n\r\n${get('/', 'X-A: 2\r\n')}`,
    );
    for (const pieceBytes of [1, 2, 3, 5, 7, 11, 64, request.length]) {
      const client = await Client.open(server.port);
      const sent = dribble(client, request, pieceBytes);
      assert.is((await client.response()).text, 'POST:1:hello world', `pieces of ${pieceBytes}`);
      assert.is((await client.response()).text, 'GET:2:', `pieces of ${pieceBytes}`);
      await sent;
      client.destroy();
    }
  });

  check('a slow reader slows its client down, and gets everything', async () => {
    const body = pattern(3 * MEBIBYTE);
    const answer = await answerOf(
      async (request) => {
        const runs = [];
        for await (const run of request.body) {
          if (runs.length % 50 === 0) await later(2);
          runs.push(run);
        }
        return new FeatherResponse(Buffer.concat(runs));
      },
      post('/', body),
    );
    assert.ok(answer.body.equals(body));
  });

  check('Expect: 100-continue', async () => {
    handler = async (request) => new FeatherResponse(request.path === '/read' ? await request.text() : 'not read');
    const head = (path) => `POST ${path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
    let client = await Client.open(server.port);
    assert.is((await client.ask(head('/read'))).status, 100);
    assert.is((await client.ask('abc')).text, 'abc');
    assert.is((await client.ask(get('/'))).text, 'not read');
    client.destroy();

    client = await Client.open(server.port); // nobody reads it: no 100, and nobody waits for the body
    const answer = await client.ask(head('/'));
    assert.equal([answer.status, answer.headers.connection], [200, 'close']);
    client.destroy();
  });

  check('a small body that nobody reads does not disturb the next request', async () => {
    handler = (request) => new FeatherResponse(request.path);
    const client = await Client.open(server.port);
    client.write('POST /1 HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234');
    assert.is((await client.response()).text, '/1');
    client.write(`56789${get('/2')}`);
    assert.is((await client.response()).text, '/2');
    client.destroy();
  });

  check('a large body that nobody reads: who reads only after it has sent all still gets the answer', async () => {
    handler = () => new FeatherResponse('enough');
    for (const [length, status] of [
      [6 * MEBIBYTE, 200],
      [24 * MEBIBYTE, 413], // beyond limits.bodyBytes, and beyond what fits into the kernel's buffers
    ]) {
      const client = await Client.open(server.port, { paused: true });
      await client.write(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`);
      await client.write(Buffer.alloc(length));
      client.resume();
      const answer = await client.response();
      assert.equal([answer.status, answer.headers.connection], [status, 'close']);
      client.destroy();
    }
  });

  // --- connections ---------------------------------------------------------------------------------------------------

  check('keep-alive: many requests, one connection', async () => {
    handler = (request) => new FeatherResponse(request.path);
    const client = await Client.open(server.port);
    for (let i = 0; i < 100; i++) assert.is((await client.ask(get(`/${i}`))).text, `/${i}`);
    assert.is(server.stats.connections, 1);
    client.destroy();
  });

  check('HTTP/1.0 closes, unless it asks for keep-alive', async () => {
    handler = () => new FeatherResponse('old');
    let client = await Client.open(server.port);
    const closing = await client.ask('GET / HTTP/1.0\r\n\r\n');
    assert.equal([closing.text, closing.headers.connection], ['old', 'close']);
    await client.rest();
    client.destroy();
    client = await Client.open(server.port);
    for (let i = 0; i < 3; i++) {
      const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      assert.equal([answer.text, answer.headers.connection], ['old', 'keep-alive']);
    }
    client.destroy();
  });

  check('a stream to HTTP/1.0 ends with the connection', async () => {
    handler = () => new FeatherResponse(stream(['a', 'b'], 2));
    const client = await Client.open(server.port);
    const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.is(answer.headers['transfer-encoding'], undefined);
    assert.is(answer.headers['content-length'], undefined);
    assert.equal([answer.headers.connection, answer.text], ['close', 'ab']);
    client.destroy();
  });

  check('pipelining: 200 requests in one write are answered in order', async () => {
    const handlers = {
      sync: (request) => new FeatherResponse(request.path),
      async: async (request) => new FeatherResponse(request.path),
      delayed: async (request) => {
        await later(Number(request.path.slice(1)) % 3);
        return new FeatherResponse(request.path);
      },
      mixed: (request) => {
        const i = Number(request.path.slice(1));
        if (i % 3 === 0) return new FeatherResponse(request.path);
        if (i % 3 === 1) return later(0).then(() => new Response(request.path));
        return new FeatherResponse(stream([request.path]));
      },
      large: (request) => new FeatherResponse(request.path.padEnd(3000, '.')),
    };
    for (const [name, fetch] of Object.entries(handlers)) {
      handler = fetch;
      const client = await Client.open(server.port);
      const order = Array.from({ length: 200 }, (_, i) => `/${i}`);
      client.write(order.map((path) => get(path)).join(''));
      for (const path of order) assert.is((await client.response()).text.replace(/\.+$/, ''), path, name);
      client.destroy();
    }
  });

  check('pipelined requests with bodies between them', async () => {
    handler = async (request) => new FeatherResponse(`${request.path}=${await request.text()}`);
    const client = await Client.open(server.port);
    const requests = [];
    for (let i = 0; i < 60; i++) requests.push(post(`/p${i}`, pattern(i * 97)), Buffer.from(get(`/g${i}`)));
    client.write(Buffer.concat(requests));
    for (let i = 0; i < 60; i++) {
      assert.is(
        (await client.response()).body.length,
        `/p${i}=`.length + Buffer.byteLength(pattern(i * 97).toString()),
      );
      assert.is((await client.response()).text, `/g${i}=`);
    }
    client.destroy();
  });

  check('a client that shuts its writing side down after its requests still gets its answers', async () => {
    handler = async (request) => {
      await later(20);
      return new FeatherResponse(request.path);
    };
    const client = await Client.open(server.port);
    await client.write(get('/1') + get('/2') + get('/3'));
    client.end();
    for (const path of ['/1', '/2', '/3']) assert.is((await client.response()).text, path);
    await client.rest();
    client.destroy();
  });

  check('a request may be kept and read after its answer', async () => {
    const kept = [];
    const ok = () => new FeatherResponse('ok');
    handler = (request) => {
      kept.push(request);
      return request.path === '/early' ? ok() : later(10).then(ok); // the body came with the head: it is in by then
    };
    const client = await Client.open(server.port);
    await client.ask(post('/kept?x', 'its body', 'X-A: 1\r\n'));
    await client.ask(post('/early', 'nobody waits for it'));
    for (let i = 0; i < 20; i++) await client.ask(get(`/${'other'.repeat(i)}`));
    await client.ask(post('/last', 'last body', 'Connection: close\r\n'));
    client.destroy();
    assert.equal([kept[0].url, kept[0].method, kept[0].header('x-a')], ['http://test/kept?x', 'POST', '1']);
    assert.is(await kept[0].text(), 'its body');
    assert.is((await rejection(kept[1].text())).code, 'FEATHERSTAR_BODY');
    assert.is(await kept.at(-1).text(), 'last body');
  });

  check('request.signal aborts when the client is gone before its answer, and only then', async () => {
    let signal;
    let running = 0;
    let late;
    handler = async (request) => {
      signal = request.signal;
      running++;
      if (request.path === '/slow') await new Promise((resolve) => signal.addEventListener('abort', resolve));
      late = request;
      return new FeatherResponse('too late');
    };
    const client = await Client.open(server.port);
    await client.ask(get('/'));
    assert.not(signal.aborted);
    client.write(get('/slow'));
    await until(() => running === 2, 'the handler runs');
    assert.not(signal.aborted);
    client.reset();
    await until(() => signal.aborted, 'the signal aborts');
    await until(() => late !== undefined && server.stats.connections === 0, 'the handler ends');
    assert.ok(late.signal.aborted);
  });

  // --- listening -----------------------------------------------------------------------------------------------------

  check('port 0 takes a free port; one in use is EADDRINUSE', async () => {
    assert.ok(server.port > 0);
    assert.is(server.url, `http://127.0.0.1:${server.port}/`);
    const fetch = () => new FeatherResponse('');
    const error = await rejection(serve({ fetch, hostname: '127.0.0.1', port: server.port, reusePort: false }));
    assert.is(error.code, 'FEATHERSTAR_SYSTEM');
    assert.equal([error.errnoName, error.syscall], ['EADDRINUSE', host === 'uring' ? 'bind' : 'listen']);
    const elsewhere = await rejection(serve({ fetch, hostname: '192.0.2.1' }));
    assert.equal([elsewhere.code, elsewhere.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRNOTAVAIL']);
  });

  check('two servers on one shard, one closed and its port used again', async () => {
    handler = () => new FeatherResponse('first');
    const fetch = () => new FeatherResponse('second');
    for (let i = 0; i < 3; i++) {
      const second = await serve({ fetch, hostname: '127.0.0.1', port: 0 });
      assert.is((await ask(second.port, get())).text, 'second');
      assert.is((await ask(server.port, get())).text, 'first');
      await Promise.all([second.close(), second.close()]);
      assert.is((await rejection(Client.open(second.port))).code, 'ECONNREFUSED');
    }
  });

  check('hostname: a name, every address, IPv6', async () => {
    handler = undefined;
    const fetch = () => new FeatherResponse('here');
    const hasIpv6 = Object.values(networkInterfaces())
      .flat()
      .some(({ address }) => address === '::1');
    if (!hasIpv6) console.log(`# skipped: IPv6 (${host}): this machine has no ::1`);
    const where = [['localhost', undefined], ['0.0.0.0', '127.0.0.1'], ...(hasIpv6 ? [['::1', '::1']] : [])];
    for (const [hostname, address] of where) {
      const other = await serve({ fetch, hostname });
      const at = new URL(other.url);
      assert.is((await ask({ port: Number(at.port), host: address ?? 'localhost' }, get())).text, 'here');
      if (hostname === '::1') assert.is(at.hostname, '[::1]');
      await other.close();
    }
    const error = await rejection(serve({ fetch, hostname: 'no-such-name.invalid' }));
    assert.is(error.code, 'FEATHERSTAR_OPTION');
  });

  check('a Unix socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
    const path = join(folder, 'http.sock');
    const other = await serve({ fetch: () => new FeatherResponse('by path'), hostname: `unix:${path}` });
    try {
      assert.is((await ask({ path }, get())).text, 'by path');
    } finally {
      await other.close();
      rmSync(folder, { recursive: true });
    }
  });

  check('options that are wrong are refused', async () => {
    const fetch = () => new FeatherResponse('');
    const wrong = [
      {},
      undefined,
      null,
      { fetch: 1 },
      ...[-1, 65_536, 1.5, '80', NaN, null].map((port) => ({ fetch, port })),
      ...['', 5, null].map((hostname) => ({ fetch, hostname })),
      ...[0, -1, 1.5, '1'].map((backlog) => ({ fetch, backlog })),
      { fetch, onError: 'print' },
      { fetch, reusePort: 'yes' },
      ...[null, 5].map((limits) => ({ fetch, limits })),
      ...[0, -1, 1.5, '1', Infinity, NaN, null].map((bodyBytes) => ({ fetch, limits: { bodyBytes } })),
      { fetch, limits: { headerBytes: 65_537 } },
      { fetch, limits: { headerCount: 10_001 } },
      { fetch, limits: { headersBytes: 1 } },
      { fetch, limits: { toString: 1 } },
    ];
    for (const options of wrong) {
      const error = await rejection(serve(options));
      assert.is(error.code, 'FEATHERSTAR_OPTION', `${JSON.stringify(options)}: ${error.stack}`);
    }
  });

  test.run();
}
