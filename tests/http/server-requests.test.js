// The HTTP server as a client sees it: bodies of requests, connections, listening.

import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig, stream } from './server-rig.js';

const PlatformResponse = Response; // serve() puts ours in its place

/** Sends `bytes` in pieces of `pieceBytes`. */
async function dribble(client, bytes, pieceBytes) {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    await client.write(bytes.subarray(at, at + pieceBytes));
    await later(0);
  }
}

for (const host of hosts()) {
  const rig = new ServerRig('requests', host);

  // --- bodies of the request -----------------------------------------------------------------------------------------

  rig.check('request bodies: bytes, text, json, arrayBuffer, blob, formData, body', async () => {
    const send = (body, type, read) =>
      rig.answerOf(
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
      [json, 'text/plain', async (r) => await new PlatformResponse(r.body).text(), json],
      [json, 'text/plain', async (r) => [r.bodyUsed, await r.text(), r.bodyUsed], [false, json, true]],
    ];
    for (const [body, type, read, wanted] of cases)
      assert.equal(JSON.parse((await send(body, type, read)).text), wanted);
  });

  rig.check('a body is read once', async () => {
    let errors;
    await rig.answerOf(
      async (request) => {
        await request.text();
        errors = [await rejection(request.text()), await rejection(new PlatformResponse(request.body).text())];
        return new FeatherResponse('');
      },
      post('/', 'abc'),
    );
    assert.equal(
      errors.map(({ code }) => code),
      ['FEATHERSTAR_BODY', 'FEATHERSTAR_BODY'],
    );
  });

  rig.check('a body is used as soon as its stream is', async () => {
    const uses = {
      'getReader()': [(body) => body.getReader().releaseLock(), false],
      'cancel()': [(body) => void body.cancel(), true],
      'pipeTo()': [(body) => body.pipeTo(new WritableStream()), !('Deno' in globalThis)],
      'pipeThrough()': [(body) => void body.pipeThrough(new TransformStream()), !('Deno' in globalThis)],
      'tee()': [(body) => void body.tee(), false],
    };
    for (const [name, [use, isUsed]] of Object.entries(uses)) {
      let seen;
      await rig.answerOf(
        async (request) => {
          const done = use(request.body);
          seen = request.bodyUsed;
          await done;
          return new FeatherResponse('');
        },
        post('/', 'abc'),
      );
      assert.equal([name, seen], [name, isUsed]);
    }
  });

  rig.check('a clone is a Request of the platform, and has the body, too', async () => {
    const orders = {
      'clone first': async (request) => {
        const clone = request.clone();
        return [await clone.text(), await request.text()];
      },
      'request first': async (request) => {
        const clone = request.clone();
        return [await request.text(), await clone.text()];
      },
      'two clones': async (request) => {
        const clones = [request.clone(), request.clone()];
        return [await clones[0].text(), await clones[1].text()];
      },
      'both as streams': (request) => {
        const clone = request.clone();
        return Promise.all([clone, request].map(({ body }) => new PlatformResponse(body).text()));
      },
    };
    const body = pattern(MEBIBYTE)
      .toString('latin1')
      .replace(/[^a-z]/g, '-');
    for (const [name, read] of Object.entries(orders)) {
      let used;
      const answer = await rig.answerOf(
        async (request) => {
          const texts = await read(request);
          used = request.bodyUsed;
          return new FeatherResponse(texts.map((text) => text === body).join());
        },
        post('/', body),
      );
      assert.equal([name, answer.text, used], [name, 'true,true', name !== 'two clones']);
    }
    let told;
    await rig.answerOf(async (request) => {
      const other = new Request(request.clone(), { headers: { 'x-b': '2' } });
      const { method, url, headers, signal } = request.clone();
      told = [method, url, headers.get('x-a'), signal.aborted, other.headers.get('x-b'), await other.text()];
      told.push(await request.text(), (await rejection(request.text())).code);
      return new FeatherResponse('');
    }, 'POST /a?b HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nabc');
    assert.equal(told, ['POST', 'http://test/a?b', '1', false, '2', 'abc', 'abc', 'FEATHERSTAR_BODY']);
  });

  rig.check('a clone of what has no body, or has been read; one whose client leaves', async () => {
    let told;
    await rig.answerOf(async (request) => {
      told = [request.clone().body, await request.clone().text(), await request.text()];
      return new FeatherResponse('');
    });
    assert.equal(told, [null, '', '']);
    await rig.answerOf(
      async (request) => {
        await request.text();
        told = await rejection((async () => request.clone())());
        return new FeatherResponse('');
      },
      post('/', 'abc'),
    );
    assert.is(told.code, 'FEATHERSTAR_BODY');
    const reading = new Promise((resolve) => {
      rig.handler = async (request) => {
        const clone = request.clone();
        const errors = [rejection(request.text()), rejection(clone.text())];
        resolve([...errors, clone.signal]);
        await Promise.all(errors);
        return new FeatherResponse('');
      };
    });
    const client = await Client.open(rig.server.port);
    client.write('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234');
    const [first, second, signal] = await reading;
    client.destroy();
    assert.equal([(await first).code, (await second).code], ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED']);
    assert.ok(signal.aborted);
  });

  rig.check('a GET has no body', async () => {
    let seen;
    await rig.answerOf(async (request) => {
      seen = [request.body, await request.text()];
      return new FeatherResponse('');
    });
    assert.equal(seen, [null, '']);
  });

  rig.check('requests and chunked bodies, cut anywhere', async () => {
    rig.handler = async (request) =>
      new FeatherResponse(`${request.method}:${request.header('x-a')}:${await request.text()}`);
    const head = 'POST /x HTTP/1.1\r\nHost: test\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n';
    const chunks = '5\r\nhello\r\n1;ext="x"\r\n \r\n00005\r\nworld\r\n0\r\nTrailer: t\r\n\r\n';
    const request = Buffer.from(head + chunks + get('/', 'X-A: 2\r\n'));
    for (const pieceBytes of [1, 2, 3, 5, 7, 11, 64, request.length]) {
      const client = await Client.open(rig.server.port);
      const sent = dribble(client, request, pieceBytes);
      assert.is((await client.response()).text, 'POST:1:hello world', `pieces of ${pieceBytes}`);
      assert.is((await client.response()).text, 'GET:2:', `pieces of ${pieceBytes}`);
      await sent;
      client.destroy();
    }
  });

  rig.check('a slow reader slows its client down, and gets everything', async () => {
    const body = pattern(3 * MEBIBYTE);
    const answer = await rig.answerOf(
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

  rig.check('Expect: 100-continue', async () => {
    rig.handler = async (request) => new FeatherResponse(request.path === '/read' ? await request.text() : 'not read');
    const head = (path) => `POST ${path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
    let client = await Client.open(rig.server.port);
    assert.is((await client.ask(head('/read'))).status, 100);
    assert.is((await client.ask('abc')).text, 'abc');
    assert.is((await client.ask(get('/'))).text, 'not read');
    client.destroy();

    client = await Client.open(rig.server.port); // the handler does not read it: no 100, and no wait for the body
    const answer = await client.ask(head('/'));
    assert.equal([answer.status, answer.headers.connection], [200, 'close']);
    client.destroy();
  });

  rig.check('a small body that nobody reads does not disturb the next request', async () => {
    rig.handler = (request) => new FeatherResponse(request.path);
    const client = await Client.open(rig.server.port);
    client.write('POST /1 HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n01234');
    assert.is((await client.response()).text, '/1');
    client.write(`56789${get('/2')}`);
    assert.is((await client.response()).text, '/2');
    client.destroy();
  });

  rig.check('a large body that nobody reads: who reads only after it has sent all still gets the answer', async () => {
    rig.handler = () => new FeatherResponse('enough');
    for (const [length, status] of [
      [6 * MEBIBYTE, 200],
      [24 * MEBIBYTE, 413], // beyond limits.bodyBytes, and beyond what fits into the kernel's buffers
    ]) {
      const client = await Client.open(rig.server.port, { paused: true });
      await client.write(`POST / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`);
      await client.write(Buffer.alloc(length));
      client.resume();
      const answer = await client.response();
      assert.equal([answer.status, answer.headers.connection], [status, 'close']);
      client.destroy();
    }
  });

  // --- connections ---------------------------------------------------------------------------------------------------

  rig.check('keep-alive: many requests, one connection', async () => {
    rig.handler = (request) => new FeatherResponse(request.path);
    const client = await Client.open(rig.server.port);
    for (let i = 0; i < 100; i++) assert.is((await client.ask(get(`/${i}`))).text, `/${i}`);
    assert.is(rig.server.stats.connections, 1);
    client.destroy();
  });

  rig.check('HTTP/1.0 closes, unless it asks for keep-alive', async () => {
    rig.handler = () => new FeatherResponse('old');
    let client = await Client.open(rig.server.port);
    const closing = await client.ask('GET / HTTP/1.0\r\n\r\n');
    assert.equal([closing.text, closing.headers.connection], ['old', 'close']);
    await client.rest();
    client.destroy();
    client = await Client.open(rig.server.port);
    for (let i = 0; i < 3; i++) {
      const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      assert.equal([answer.text, answer.headers.connection], ['old', 'keep-alive']);
    }
    client.destroy();
  });

  rig.check('a stream to HTTP/1.0 ends with the connection', async () => {
    rig.handler = () => new FeatherResponse(stream(['a', 'b'], 2));
    const client = await Client.open(rig.server.port);
    const answer = await client.ask('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.is(answer.headers['transfer-encoding'], undefined);
    assert.is(answer.headers['content-length'], undefined);
    assert.equal([answer.headers.connection, answer.text], ['close', 'ab']);
    client.destroy();
  });

  rig.check('pipelining: 200 requests in one write are answered in order', async () => {
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
        if (i % 3 === 1) return later(0).then(() => new PlatformResponse(request.path));
        return new FeatherResponse(stream([request.path]));
      },
      large: (request) => new FeatherResponse(request.path.padEnd(3000, '.')),
    };
    for (const [name, fetch] of Object.entries(handlers)) {
      rig.handler = fetch;
      const client = await Client.open(rig.server.port);
      const order = Array.from({ length: 200 }, (_, i) => `/${i}`);
      client.write(order.map((path) => get(path)).join(''));
      for (const path of order) assert.is((await client.response()).text.replace(/\.+$/, ''), path, name);
      client.destroy();
    }
  });

  rig.check('pipelined requests with bodies between them', async () => {
    rig.handler = async (request) => new FeatherResponse(`${request.path}=${await request.text()}`);
    const client = await Client.open(rig.server.port);
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

  rig.check('a client that shuts its writing side down after its requests still gets its answers', async () => {
    rig.handler = async (request) => {
      await later(20);
      return new FeatherResponse(request.path);
    };
    const client = await Client.open(rig.server.port);
    await client.write(get('/1') + get('/2') + get('/3'));
    client.end();
    for (const path of ['/1', '/2', '/3']) assert.is((await client.response()).text, path);
    await client.rest();
    client.destroy();
  });

  rig.check('a request may be kept and read after its answer', async () => {
    const kept = [];
    const ok = () => new FeatherResponse('ok');
    rig.handler = (request) => {
      kept.push(request);
      return request.path === '/early' ? ok() : later(10).then(ok); // the body came with the head: it is in by then
    };
    const client = await Client.open(rig.server.port);
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

  rig.check('request.signal aborts when the client is gone before its answer, and only then', async () => {
    let signal;
    let running = 0;
    let late;
    rig.handler = async (request) => {
      signal = request.signal;
      running++;
      if (request.path === '/slow') await new Promise((resolve) => signal.addEventListener('abort', resolve));
      late = request;
      return new FeatherResponse('too late');
    };
    const client = await Client.open(rig.server.port);
    await client.ask(get('/'));
    assert.not(signal.aborted);
    client.write(get('/slow'));
    await until(() => running === 2, 'the handler runs');
    assert.not(signal.aborted);
    client.reset();
    await until(() => signal.aborted, 'the signal aborts');
    await until(() => late !== undefined && rig.server.stats.connections === 0, 'the handler ends');
    assert.ok(late.signal.aborted);
  });

  rig.check('a client that leaves in the middle of its body is no failure of the handler', async () => {
    const ends = [];
    rig.handler = async (request) => {
      try {
        if (request.path === '/signal') {
          await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
          throw request.signal.reason;
        }
        return new FeatherResponse(await request.text());
      } catch (error) {
        ends.push(error instanceof DOMException ? error.name : error.code);
        if (request.path === '/own') throw new Error('its own', { cause: error });
        throw error;
      }
    };
    for (const path of ['/text', '/signal', '/own']) {
      const client = await Client.open(rig.server.port);
      const began = rig.server.stats.requests;
      client.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf`);
      await until(() => rig.server.stats.requests > began, 'the handler runs');
      client.reset();
      await until(() => ends.length > 0 && rig.server.stats.connections === 0, 'the handler ends');
      assert.is(ends.pop(), path === '/signal' ? 'AbortError' : 'FEATHERSTAR_CLOSED');
    }
    assert.equal(
      rig.errors.splice(0).map((error) => error.message),
      ['its own'],
    );
  });

  // --- listening -----------------------------------------------------------------------------------------------------

  rig.check('port 0 takes a free port; one in use is EADDRINUSE', async () => {
    assert.ok(rig.server.port > 0);
    assert.is(rig.server.url, `http://127.0.0.1:${rig.server.port}/`);
    const fetch = () => new FeatherResponse('');
    const error = await rejection(serve({ fetch, hostname: '127.0.0.1', port: rig.server.port, reusePort: false }));
    assert.is(error.code, 'FEATHERSTAR_SYSTEM');
    assert.equal([error.errnoName, error.syscall], ['EADDRINUSE', host === 'uring' ? 'bind' : 'listen']);
    const elsewhere = await rejection(serve({ fetch, hostname: '192.0.2.1' }));
    assert.equal([elsewhere.code, elsewhere.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRNOTAVAIL']);
  });

  rig.check('two servers on one shard, one closed and its port used again', async () => {
    rig.handler = () => new FeatherResponse('first');
    const fetch = () => new FeatherResponse('second');
    for (let i = 0; i < 3; i++) {
      const second = await serve({ fetch, hostname: '127.0.0.1', port: 0 });
      assert.is((await ask(second.port, get())).text, 'second');
      assert.is((await ask(rig.server.port, get())).text, 'first');
      await Promise.all([second.close(), second.close()]);
      assert.is((await rejection(Client.open(second.port))).code, 'ECONNREFUSED');
    }
  });

  rig.check('hostname: a name, every address, IPv6', async () => {
    rig.handler = undefined;
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
    assert.is(error.code, 'FEATHERSTAR_DNS');
  });

  rig.check('a Unix socket', async () => {
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

  rig.check('options that are wrong are refused', async () => {
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

  rig.run();
}
