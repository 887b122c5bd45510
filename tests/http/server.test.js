// The HTTP server as a client sees it: its answers. server-requests.test.js is about requests and connections,
// server-url.test.js about their URLs, server-lengths.test.js about how long answers are, server-bad-input.test.js
// about clients that misbehave, server-shutdown.test.js about the end.

import { Response as FeatherResponse, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { Client, get, post, until } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig, stream } from './server-rig.js';

const PlatformResponse = Response; // serve() puts ours in its place

const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;

for (const host of hosts()) {
  const rig = new ServerRig('server', host);

  // --- methods and statuses ------------------------------------------------------------------------------------------

  rig.check('GET gets its answer, with length, type and date', async () => {
    const answer = await rig.answerOf(
      (request) => new FeatherResponse(`${request.method} ${request.path}`),
      get('/a?b=c'),
    );
    assert.is(answer.status, 200);
    assert.is(answer.statusText, 'OK');
    assert.is(answer.text, 'GET /a');
    assert.is(answer.headers['content-length'], '6');
    assert.is(answer.headers['content-type'], 'text/plain;charset=UTF-8');
    assert.match(answer.headers.date, HTTP_DATE);
    assert.is(answer.headers.connection, undefined);
  });

  rig.check('HEAD gets the head of what GET would get, and the connection goes on', async () => {
    for (const body of ['hello', new Uint8Array(5), 'ä'.repeat(3000), '']) {
      rig.handler = () => new FeatherResponse(body);
      const length = String(Buffer.byteLength(body ?? ''));
      const client = await Client.open(rig.server.port);
      const head = await client.ask('HEAD / HTTP/1.1\r\nHost: test\r\n\r\n', { isHead: true });
      assert.is(head.headers['content-length'], length);
      const full = await client.ask(get());
      assert.is(full.headers['content-length'], length);
      assert.is(full.body.length, Number(length));
      client.destroy();
    }
  });

  rig.check('HEAD of a stream reads no more of it than it needs', async () => {
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
    rig.handler = () => new FeatherResponse(endless());
    const client = await Client.open(rig.server.port);
    const answer = await client.ask('HEAD / HTTP/1.1\r\nHost: test\r\n\r\n', { isHead: true });
    assert.is(answer.headers['transfer-encoding'], 'chunked');
    rig.handler = () => new FeatherResponse('next');
    assert.is((await client.ask(get())).text, 'next');
    client.destroy();
    await until(() => isCancelled, 'the stream is cancelled');
  });

  rig.check('all methods, also ones that nobody knows', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND', 'get']) {
      const request = `${method} / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n`;
      assert.is((await rig.answerOf((req) => new FeatherResponse(req.method), request)).text, method);
    }
  });

  rig.check('204 and 304 have no body and no length, and the connection goes on', async () => {
    for (const status of [204, 304]) {
      for (const make of [FeatherResponse, PlatformResponse]) {
        rig.handler = () => new make(null, { status, headers: { etag: '"1"' } });
        const client = await Client.open(rig.server.port);
        const answer = await client.ask(get());
        assert.is(answer.status, status);
        assert.is(answer.headers['content-length'], undefined);
        assert.is(answer.headers['transfer-encoding'], undefined);
        assert.is(answer.headers.etag, '"1"');
        rig.handler = () => new FeatherResponse('next');
        assert.is((await client.ask(get())).text, 'next');
        client.destroy();
      }
    }
  });

  rig.check('statuses and their texts', async () => {
    for (const [status, text] of [
      [201, 'Created'],
      [404, 'Not Found'],
      [500, 'Internal Server Error'],
      [599, 'Unknown'],
    ]) {
      const answer = await rig.answerOf(() => new FeatherResponse('x', { status }));
      assert.equal([answer.status, answer.statusText], [status, text]);
    }
    const own = await rig.answerOf(() => new FeatherResponse('x', { statusText: 'Fine' }));
    assert.equal([own.status, own.statusText, own.text], [200, 'Fine', 'x']);
  });

  rig.check('redirect', async () => {
    const answer = await rig.answerOf(() => FeatherResponse.redirect('http://example.org/x', 307));
    assert.equal([answer.status, answer.headers.location], [307, 'http://example.org/x']);
  });

  // --- headers of the request ----------------------------------------------------------------------------------------

  rig.check('request headers: header(), headers, duplicates, empty values, any case', async () => {
    const head = 'X-One: 1\r\nX-Two:a\r\nx-two: \t b \t\r\nX-Empty:\r\nX-Latin: caf\xe9\r\n';
    let seen;
    await rig.answerOf(
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

  rig.check('a request is an instance of the web Request, and has all that one has', async () => {
    const blank = new Request('http://localhost/');
    const own = new Set(['method', 'url', 'headers', 'signal']);
    let told;
    await rig.answerOf((request) => {
      const names = Object.keys(Object.getOwnPropertyDescriptors(Request.prototype));
      const isSame = (name) => own.has(name) || typeof blank[name] === 'function' || request[name] === blank[name];
      told = [
        request instanceof Request,
        Object.prototype.toString.call(request),
        names.filter((name) => typeof request[name] !== typeof blank[name]),
        names.filter((name) => !isSame(name)),
        request.cache,
      ];
      return new FeatherResponse('');
    });
    assert.equal(told, [true, '[object Request]', [], [], 'default']);
  });

  // --- headers of the answer -----------------------------------------------------------------------------------------

  rig.check('headers as record, as pairs, as Headers; set later; a content type alone and with others', async () => {
    const forms = [
      { 'content-type': 'text/html', 'X-A': '1' },
      [
        ['Content-Type', 'text/html'],
        ['X-A', '1'],
      ],
      new Headers({ 'content-type': 'text/html', 'x-a': '1' }),
    ];
    for (const headers of forms) {
      const answer = await rig.answerOf(() => new FeatherResponse('<p>', { headers }));
      assert.equal([answer.headers['content-type'], answer.headers['x-a'], answer.text], ['text/html', '1', '<p>']);
    }
    const alone = await rig.answerOf(() => new FeatherResponse('<p>', { headers: { 'content-type': 'text/html' } }));
    assert.equal([alone.headers['content-type'], alone.text], ['text/html', '<p>']);
    const late = await rig.answerOf(() => {
      const response = new FeatherResponse('x');
      response.headers.set('x-late', 'yes');
      return response;
    });
    assert.equal([late.headers['x-late'], late.headers['content-type']], ['yes', 'text/plain;charset=UTF-8']);
    const bytes = await rig.answerOf(() => new FeatherResponse(new Uint8Array([1])));
    assert.is(bytes.headers['content-type'], undefined);
  });

  rig.check('set-cookie twice stays two lines', async () => {
    const pairs = [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2; Path=/'],
    ];
    for (const headers of [pairs, new Headers(pairs)]) {
      for (const make of [FeatherResponse, PlatformResponse]) {
        const answer = await rig.answerOf(() => new make('x', { headers }));
        assert.equal(answer.headers['set-cookie'], ['a=1', 'b=2; Path=/']);
      }
    }
  });

  rig.check("the handler's Date wins; its framing does not", async () => {
    const headers = { date: 'then', 'content-length': '3', 'transfer-encoding': 'chunked' };
    const answer = await rig.answerOf(() => new FeatherResponse('abc', { headers }));
    assert.equal([answer.headers.date, answer.headers['content-length'], answer.text], ['then', '3', 'abc']);
    assert.is(answer.headers['transfer-encoding'], undefined);
  });

  rig.check('Connection: close, asked for by the client or by the handler', async () => {
    rig.handler = () => new FeatherResponse('bye');
    let client = await Client.open(rig.server.port);
    const asked = await client.ask(get('/', 'Connection: close\r\n'));
    assert.equal([asked.headers.connection, asked.text], ['close', 'bye']);
    assert.is((await client.rest()).length, 0);
    assert.is(client.ending, 'end');
    client.destroy();

    rig.handler = () => new FeatherResponse('bye', { headers: { Connection: 'close' } });
    client = await Client.open(rig.server.port);
    const told = await client.ask(get() + get());
    assert.equal([told.headers.connection, told.text], ['close', 'bye']);
    assert.is((await client.rest()).length, 0);
    client.destroy();
  });

  rig.check('more kinds of answers than there are templates: each gets its own head, over and over', async () => {
    rig.handler = (request) => {
      const [, status, type] = request.path.split('/');
      return new FeatherResponse('x', { status: Number(status), headers: { 'content-type': `text/${type}` } });
    };
    const client = await Client.open(rig.server.port);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 300; i++) {
        const [status, type] = [200 + (i % 3), `kind-${i}`];
        const answer = await client.ask(get(`/${status}/${type}`));
        assert.equal([answer.status, answer.headers['content-type'], answer.text], [status, `text/${type}`, 'x']);
        assert.match(answer.headers.date, HTTP_DATE);
        assert.is((await client.ask(get('/200/always'))).headers['content-type'], 'text/always');
      }
    }
    client.destroy();
  });

  rig.check('two servers on one shard: the heads of one are not those of the other', async () => {
    const fetch = (request) => new FeatherResponse('b', { status: 202, headers: { 'content-type': request.path } });
    const other = await serve({ fetch, hostname: '127.0.0.1' });
    rig.handler = (request) => new FeatherResponse('a', { status: Number(request.path.slice(1)) });
    const [client, second] = [await Client.open(rig.server.port), await Client.open(other.port)];
    for (let i = 0; i < 200; i++) {
      const answer = await second.ask(get(`/${i}`));
      assert.equal([answer.status, answer.headers['content-type'], answer.text], [202, `/${i}`, 'b']);
      for (const status of [200, 201]) assert.is((await client.ask(get(`/${status}`))).status, status);
    }
    client.destroy();
    second.destroy();
    await other.close();
  });

  // --- bodies of the answer ------------------------------------------------------------------------------------------

  rig.check('bodies of all types', async () => {
    const text = 'grüße, 世界 🌍';
    const bytes = Buffer.from(text);
    const bodies = {
      string: () => new FeatherResponse(text),
      bytes: () => new FeatherResponse(new Uint8Array(bytes)),
      view: () => new FeatherResponse(Buffer.concat([Buffer.from('__'), bytes]).subarray(2)),
      buffer: () => new FeatherResponse(new Uint8Array(bytes).buffer),
      stream: () => new FeatherResponse(stream([text])),
      global: () => new PlatformResponse(text),
      'global stream': () => new PlatformResponse(stream([text])),
      async: async () => new FeatherResponse(text),
      'later and global': () => later(1).then(() => new PlatformResponse(bytes)),
    };
    for (const [name, make] of Object.entries(bodies)) {
      const answer = await rig.answerOf(make);
      assert.is(answer.text, text, name);
      assert.is(answer.headers['content-length'], String(bytes.length), name);
    }
  });

  rig.check('texts of many lengths, with characters of one to four bytes, two in a turn', async () => {
    const { sendBufferBytes } = (await import('../../dist/host/core/core.js')).DEFAULT_LIMITS;
    // as many bytes up to a long character as there are units; then texts on both sides of it
    const pairs = [[`${'é'.repeat(20)}${'🌍'.repeat(10)}`, '']];
    for (const letter of ['a', 'é', '世', '🌍', '\ud800']) {
      for (const length of [1, 4, 5, 9, 10, 23, 24, 25, 50, 99, 100, 334, 2048]) {
        const many = letter.repeat(length);
        pairs.push([many, `a${many}`], [`${many}a`, `${'a'.repeat(length)}${letter}`]);
      }
      // the second one begins in one send buffer, and ends in the next one
      for (let room = 100; room < 600; room += 40) pairs.push(['a'.repeat(sendBufferBytes - room), letter.repeat(100)]);
    }
    for (const headers of [undefined, { 'x-own': 'é' }]) {
      for (const pair of pairs) {
        rig.handler = (request) => new FeatherResponse(pair[Number(request.path.slice(1))], { headers });
        const client = await Client.open(rig.server.port);
        for (let i = 0; i < 2; i++) {
          await client.write(`${get('/0')}${get('/1')}`);
          for (const text of pair) {
            const answer = await client.response();
            assert.is(answer.text, Buffer.from(text).toString(), `${text.length} of ${text.slice(0, 3)}`);
            assert.is(answer.headers['x-own'], headers && 'é');
          }
        }
        client.destroy();
      }
    }
  });

  rig.check('JSON', async () => {
    for (const make of [FeatherResponse, PlatformResponse]) {
      const answer = await rig.answerOf(() => make.json({ ä: [1] }, { status: 201 }));
      assert.equal([answer.status, answer.headers['content-type']], [201, 'application/json']);
      assert.equal(JSON.parse(answer.text), { ä: [1] });
    }
  });

  rig.check('empty bodies say so', async () => {
    const empty = [undefined, null, '', new Uint8Array(0), new ArrayBuffer(0), stream([])];
    for (const body of empty) {
      const answer = await rig.answerOf(() => new FeatherResponse(body));
      assert.equal([answer.headers['content-length'], answer.text], ['0', '']);
    }
    assert.is((await rig.answerOf(() => new PlatformResponse(null))).headers['content-length'], '0');
    assert.is((await rig.answerOf(() => new PlatformResponse(''))).headers['content-length'], '0');
  });

  rig.check('bodies around the size of a send buffer', async () => {
    const { sendBufferBytes } = (await import('../../dist/host/core/core.js')).DEFAULT_LIMITS;
    const client = await Client.open(rig.server.port);
    for (let length = sendBufferBytes - 200; length < sendBufferBytes + 20; length += 3) {
      const body = pattern(length);
      rig.handler = () => new FeatherResponse(body);
      assert.ok((await client.ask(get())).body.equals(body), `${length}`);
    }
    for (const length of [255, 256, 257, 2 * sendBufferBytes - 1, 2 * sendBufferBytes, 100_000]) {
      rig.handler = () => new FeatherResponse('x'.repeat(length));
      assert.is((await client.ask(get())).body.length, length);
    }
    client.destroy();
  });

  rig.check('5 MiB both ways, at once and as a stream', async () => {
    const body = pattern(5 * MEBIBYTE);
    const whole = await rig.answerOf(async (request) => new FeatherResponse(await request.bytes()), post('/', body));
    assert.ok(whole.body.equals(body));
    const streamed = await rig.answerOf((request) => new FeatherResponse(request.body), post('/', body));
    assert.is(streamed.headers['transfer-encoding'], 'chunked');
    assert.ok(streamed.body.equals(body));
    const global = await rig.answerOf((request) => new PlatformResponse(request.body), post('/', body));
    assert.ok(global.body.equals(body));
  });

  rig.check('a slow stream is sent as it comes, in chunks', async () => {
    const answer = await rig.answerOf(() => new FeatherResponse(stream(['one', 'two', 'three'], 5)));
    assert.is(answer.headers['transfer-encoding'], 'chunked');
    assert.is(answer.headers['content-length'], undefined);
    assert.equal(answer.chunks.map(String), ['one', 'two', 'three']);
  });

  rig.check('the first chunk arrives before the stream goes on', async () => {
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    rig.handler = () =>
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
    const client = await Client.open(rig.server.port);
    client.write(get());
    await until(() => client.pending.includes('early'), 'the first chunk');
    assert.not(client.pending.includes('late'));
    go();
    assert.equal((await client.response()).chunks.map(String), ['early', 'late']);
    client.destroy();
  });

  rig.check('an endless stream is cancelled when the client leaves', async () => {
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
    for (const [i, make] of [FeatherResponse, PlatformResponse].entries()) {
      rig.handler = () => new make(endless());
      const client = await Client.open(rig.server.port);
      client.write(get());
      await until(() => client.pending.length > 5000, 'some of it');
      client.destroy();
      await until(() => cancelled === i + 1, 'the stream is cancelled');
    }
    assert.ok(rig.errors.splice(0).length <= 2); // a client that leaves is nobody's error
  });

  rig.check('a response of another implementation is taken by its members, and checked', async () => {
    const foreign = (members) => ({ status: 200, statusText: '', headers: new Map(), body: null, ...members });
    const stream = () => new Blob(['foreign']).stream();
    const headers = new Map([['x-own', '1']]);
    const whole = await rig.answerOf(() => foreign({ status: 201, statusText: 'Made', headers, body: stream() }));
    assert.equal([whole.status, whole.statusText, whole.headers['x-own'], whole.text], [201, 'Made', '1', 'foreign']);
    assert.is((await rig.answerOf(() => foreign({ status: 204 }))).status, 204);
    const iterable = (async function* () {
      yield 'piece by piece';
    })();
    assert.is((await rig.answerOf(() => foreign({ body: iterable }))).text, 'piece by piece');

    const wrong = {
      'a bad status': foreign({ status: 42 }),
      'a bad header': foreign({ headers: new Map([['x', 'a\r\nb: c']]) }),
      'a bad text': foreign({ statusText: 'a\r\nb' }),
      'no headers': foreign({ headers: {} }),
      'no body': foreign({ body: undefined }),
      'no status': foreign({ status: '200' }),
    };
    for (const [why, value] of Object.entries(wrong)) {
      assert.is((await rig.answerOf(() => value)).status, 500, why);
      assert.is(rig.errors.splice(0).length, 1, why);
    }
  });

  rig.run();
}
