// Clients and handlers that misbehave. Whatever they do, the shard goes on, and in the end it holds what it held
// before.

import { Runtime } from 'featherstar';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';

const PlatformResponse = Response; // serve() puts ours in its place

const MEBIBYTE = 1024 * 1024;
const LIMITS = {
  headerBytes: 1024,
  headerCount: 10,
  targetBytes: 100,
  bodyBytes: 1000,
  connections: 20,
  headerTimeoutMs: 300,
  requestTimeoutMs: 400,
  idleTimeoutMs: 500,
};
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const broken = (text) => new Error(text);

for (const host of hosts()) {
  const test = suite(`bad input (${host})`);
  let runtime;
  let handler;
  let server;
  let base;
  const errors = [];

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    const fetch = (request) => handler(request);
    server = await serve({ fetch, hostname: '127.0.0.1', limits: LIMITS, onError: (error) => errors.push(error) });
    await later(20); // the accept is staged
    base = holdings();
  });
  test.before.each(() => {
    errors.length = 0;
    handler = () => new FeatherResponse('fine');
  });
  /** A test that leaves nothing behind. (An after.each hook of uvu that throws ends the whole suite.) */
  const check = (name, run) =>
    test(name, async () => {
      await run();
      assert.equal(errors.splice(0), []);
      handler = () => new FeatherResponse('alive');
      await until(() => server.stats.connections === 0, 'all connections are closed');
      assert.is((await ask(server.port, get())).text, 'alive');
      await until(() => server.stats.connections === 0, 'the last connection is closed');
      await back(base);
    });
  test.after(() => runtime.close());

  /** The request is refused with `status`, and then the connection closes: nothing after it is answered. */
  async function refused(bytes, status, what = JSON.stringify(bytes.toString('latin1').slice(0, 60))) {
    const before = server.stats.refused;
    const client = await Client.open(server.port);
    client.write(bytes);
    const answer = await client.response();
    assert.equal([answer.status, answer.headers.connection], [status, 'close'], what);
    assert.is((await client.rest()).length, 0, what);
    assert.is(server.stats.refused, before + 1, what);
    client.destroy();
  }

  // --- what the parser refuses ---------------------------------------------------------------------------------------

  check('malformed requests are refused with 400', async () => {
    const lines = [
      'GET\r\n',
      'GET /\r\n',
      'GET  / HTTP/1.1\r\n',
      ' GET / HTTP/1.1\r\n',
      'G@T / HTTP/1.1\r\n',
      'GET / HTTP/1.1 \r\n',
      'GET / http/1.1\r\n',
      'GET /\x01 HTTP/1.1\r\n',
      'GET /\x00 HTTP/1.1\r\n',
      'GET relative HTTP/1.1\r\n',
      'GET / HTTP/1.1\n',
      '\r\r\nGET / HTTP/1.1\r\n',
    ];
    for (const line of lines) await refused(Buffer.from(`${line}Host: test\r\n\r\n${get()}`, 'latin1'), 400);
    const headers = [
      'No colon\r\n',
      ': no name\r\n',
      'Bad name: x\r\n',
      'Space : x\r\n',
      'X: a\x00b\r\n',
      'X: a\x01b\r\n',
      'X: a\nb\r\n',
      'X: a\rb\r\n',
      'X: a\r\n folded\r\n',
      'X\xe9: y\r\n',
      'Content-Length: -1\r\n',
      'Content-Length: 1x\r\n',
      'Content-Length: 0x10\r\n',
      'Content-Length: +1\r\n',
      'Content-Length: 99999999999999999999\r\n',
      'Content-Length: \r\n',
      'Content-Length: 1, 1\r\n',
      'Content-Length: 1\r\nContent-Length: 1\r\n',
      'Content-Length: 1\r\nContent-Length: 2\r\n',
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
      'Transfer-Encoding: chunked\r\nContent-Length: 4\r\n',
      'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
      'Transfer-Encoding: chunked, gzip\r\n',
      'Transfer-Encoding: gzip\r\n',
      'Transfer-Encoding:\r\n',
      'Host: another\r\n',
    ];
    for (const lines of headers) {
      await refused(Buffer.from(`POST / HTTP/1.1\r\nHost: test\r\n${lines}\r\n${get()}`, 'latin1'), 400);
    }
    await refused(`GET / HTTP/1.1\r\n\r\n${get()}`, 400, 'no Host');
  });

  check('what is understood but not supported', async () => {
    await refused('GET / HTTP/2.0\r\nHost: test\r\n\r\n', 505);
    await refused('CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n', 501);
    await refused(`${'M'.repeat(30)} / HTTP/1.1\r\nHost: test\r\n\r\n`, 501);
    await refused(`POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${get()}`, 501);
    await refused('GET / HTTP/1.1\r\nHost: test\r\nExpect: more\r\n\r\n', 417);
  });

  check('other protocols', async () => {
    await refused(Buffer.from('16030100f8010000f40303', 'hex'), 400, 'TLS hello');
    await refused('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'HTTP/2 preface');
    await refused(Buffer.alloc(100, 0xff), 400);
    await refused(Buffer.alloc(100), 400);
  });

  check('limits of the head: 431 and 414, in one piece and in many', async () => {
    const large = get('/', `X: ${'x'.repeat(LIMITS.headerBytes)}\r\n`);
    const many = get('/', 'X: y\r\n'.repeat(LIMITS.headerCount));
    const long = get(`/${'x'.repeat(LIMITS.targetBytes)}`);
    await refused(large, 431, 'large');
    await refused(many, 431, 'many');
    await refused(long, 414, 'long');
    for (const [text, status] of [
      [large, 431],
      [many, 431],
      [long, 414],
    ]) {
      const client = await Client.open(server.port);
      for (let at = 0; at < text.length && client.ending === undefined; at += 33) {
        await client.write(text.slice(at, at + 33));
        await later(0);
      }
      assert.is((await client.response()).status, status);
      await client.rest();
      client.destroy();
    }
    const fits = get(`/${'x'.repeat(LIMITS.targetBytes - 1)}`, 'X: y\r\n'.repeat(LIMITS.headerCount - 1));
    assert.is((await ask(server.port, fits)).status, 200);
  });

  // --- bodies --------------------------------------------------------------------------------------------------------

  check('a body beyond its limit is 413, by its length and by its chunks', async () => {
    const failures = [];
    handler = (request) =>
      request.bytes().then(
        (bytes) => new FeatherResponse(String(bytes.length)),
        (error) => {
          failures.push(error.code);
          throw error;
        },
      );
    assert.is((await ask(server.port, post('/', Buffer.alloc(LIMITS.bodyBytes)))).text, String(LIMITS.bodyBytes));
    await refused(Buffer.concat([post('/', Buffer.alloc(LIMITS.bodyBytes + 1)), Buffer.from(get())]), 413, 'length');
    await refused('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9007199254740991\r\n\r\n', 413, 'huge');
    assert.equal(failures, []); // the handler was not even called

    const head = 'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n';
    await refused(`${head}${`100\r\n${'x'.repeat(256)}\r\n`.repeat(4)}0\r\n\r\n${get()}`, 413, 'chunks');
    await until(() => failures.length === 1, 'the handler is told');
    await refused(`${head}5\r\nhello\r\nnonsense\r\n\r\n${get()}`, 400, 'malformed chunk');
    await refused(`${head}5\r\nhello!\r\n0\r\n\r\n${get()}`, 400, 'chunk too long');
    const malformed = ['5;\r\nhello', '5;bad[=x\r\nhello', '5;a="b\r\nhello', '0\r\nNo colon\r\n', '0\r\nX: a\x01\r\n'];
    for (const chunk of malformed) await refused(`${head}${chunk}\r\n0\r\n\r\n${get()}`, 400, chunk);
    await until(() => failures.length === 8, 'the handler is told');
    assert.equal(new Set(failures), new Set(['FEATHERSTAR_BODY']));
    const wellFormed = `${head}5;a;b=c;d="e;\\"" ;f\r\nhello\r\n0;g\r\nContent-Length: 9\r\nX: y\r\n\r\n`;
    assert.is((await ask(server.port, wellFormed)).text, '5', 'extensions and trailers are dropped');
    assert.equal(errors, [], 'the client was told; the handler has not failed');
  });

  check(
    'a body that breaks while its answer is streamed breaks the connection: no second answer in the first',
    async () => {
      for (const make of [FeatherResponse, PlatformResponse]) {
        handler = (request) => new make(request.body);
        for (const bad of [
          'nonsense\r\n',
          `${(LIMITS.bodyBytes + 1).toString(16)}\r\n${'x'.repeat(LIMITS.bodyBytes + 1)}\r\n`,
        ]) {
          const client = await Client.open(server.port);
          client.write('POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
          await until(() => client.pending.includes('hello'), 'the echo begins');
          client.write(bad);
          const all = (await client.rest()).toString();
          assert.is(all.match(/HTTP\/1\.1 /g).length, 1, all);
          assert.not(all.endsWith('0\r\n\r\n'), all);
          client.destroy();
        }
      }
    },
  );

  check('a client that goes away in the middle of its body', async () => {
    const failures = [];
    handler = (request) => request.text().catch((error) => failures.push(error.code));
    for (const leave of ['end', 'reset', 'destroy']) {
      const client = await Client.open(server.port);
      await client.write('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 500\r\n\r\nbegin');
      await until(() => server.stats.connections === 1, 'it is accepted');
      await later(20);
      client[leave]();
      await until(() => server.stats.connections === 0, `closed after ${leave}`);
      client.destroy();
    }
    await until(() => failures.length === 3, 'the handlers are told');
    assert.equal(new Set(failures), new Set(['FEATHERSTAR_CLOSED']));
  });

  check('a body that does not come is 408', async () => {
    handler = async (request) => new FeatherResponse(await request.text().catch((error) => error.code));
    await refused('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabc', 408);
  });

  check(
    'a body that does not come after its request was answered: the connection closes without a second answer',
    async () => {
      const client = await Client.open(server.port);
      const answer = await client.ask('POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabc');
      assert.equal([answer.status, answer.headers.connection], [200, undefined]);
      assert.is((await client.rest()).toString(), '');
      client.destroy();
    },
  );

  // --- time ----------------------------------------------------------------------------------------------------------

  check('a head that drips in is 408 at its deadline, however steadily it drips', async () => {
    const client = await Client.open(server.port);
    const head = get('/', 'X-Slow: y\r\n');
    let sent = 0;
    while (client.pending.length === 0 && sent < head.length - 1) {
      await client.write(head[sent++]);
      await later(50);
    }
    assert.ok(sent < head.length - 1, 'the deadline came before the head was complete');
    const answer = await client.response();
    assert.equal([answer.status, answer.headers.connection], [408, 'close']);
    await client.rest();
    client.destroy();
  });

  check('a client that says nothing is closed, also between requests', async () => {
    const silent = await Client.open(server.port);
    const idle = await Client.open(server.port);
    await idle.ask(get());
    assert.is((await silent.rest()).length, 0);
    assert.is((await idle.rest()).length, 0);
    silent.destroy();
    idle.destroy();
  });

  check('a handler may take longer than all timeouts', async () => {
    handler = () => later(800).then(() => new FeatherResponse('slow'));
    assert.is((await ask(server.port, get())).text, 'slow');
  });

  check('a client that never reads: memory is bounded, and the idle timeout destroys it', async () => {
    const chunk = Buffer.alloc(64 * 1024, 1);
    let made = 0;
    let cancelled = 0;
    const source = () => {
      let left = 800; // 50 MiB
      return new ReadableStream({
        pull(controller) {
          made += chunk.length;
          if (left-- === 0) controller.close();
          else controller.enqueue(chunk);
        },
        cancel() {
          cancelled++;
        },
      });
    };
    handler = () => new FeatherResponse(source());
    const clients = [];
    for (let i = 0; i < 3; i++) {
      const client = await Client.open(server.port, { paused: true });
      client.write(get());
      clients.push(client);
    }
    let most = 0;
    await until(() => {
      most = Math.max(most, holdings().sendBuffers);
      return cancelled === 3 && server.stats.connections === 0;
    }, 'they are destroyed');
    assert.ok(most <= base.sendBuffers + 3 * 2, `${most} send buffers`);
    assert.ok(made <= 3 * 12 * MEBIBYTE, `${made} bytes were made`); // what the kernel's buffers take, and a little
    for (const client of clients) client.destroy();
  });

  check('a client that sends requests and never reads their answers', async () => {
    const body = 'x'.repeat(100_000);
    let answered = 0;
    handler = () => {
      answered++;
      return new FeatherResponse(body);
    };
    const client = await Client.open(server.port, { paused: true });
    client.write(get().repeat(2000));
    await until(() => answered > 0 && server.stats.connections === 0, 'it is destroyed');
    assert.ok(answered < 500, `${answered} answers were made`);
    client.destroy();
  });

  check('a large answer may take longer than the idle timeout, as long as it is taken', async () => {
    const body = Buffer.alloc(32 * MEBIBYTE, 'y');
    const fetch = () => new FeatherResponse(body);
    const other = await serve({ fetch, hostname: '127.0.0.1', limits: { idleTimeoutMs: 1500 } });
    const client = await Client.open(other.port, { paused: true });
    client.write(get());
    for (let bytes = MEBIBYTE; bytes < body.length; bytes += MEBIBYTE) {
      client.resume();
      await until(() => client.received >= bytes, 'a part of it');
      client.pause();
      await later(100); // in all: twice the timeout
    }
    client.resume();
    assert.is((await client.response()).body.length, body.length);
    client.destroy();
    await other.close();
  });

  // --- connections ---------------------------------------------------------------------------------------------------

  check('connections beyond the limit are turned away with 503', async () => {
    const clients = [];
    for (let i = 0; i < LIMITS.connections; i++) clients.push(await Client.open(server.port));
    await Promise.all(clients.map((client) => client.ask(get())));
    assert.is(server.stats.connections, LIMITS.connections);
    const refusals = server.stats.refused;
    for (let i = 0; i < 5; i++) {
      const client = await Client.open(server.port);
      const answer = await client.response();
      assert.equal([answer.status, answer.headers.connection], [503, 'close']);
      await client.rest();
      client.destroy();
    }
    assert.is(server.stats.refused, refusals + 5);
    assert.is((await clients[0].ask(get())).text, 'fine');
    clients.pop().destroy();
    await until(() => server.stats.connections < LIMITS.connections, 'one has gone');
    assert.is((await ask(server.port, get())).text, 'fine');
    for (const client of clients) client.destroy();
  });

  check('clients that reset: before, in and after their request, and in the middle of the answer', async () => {
    let running = 0;
    handler = async (request) => {
      running++;
      if (request.path === '/large') return new FeatherResponse(Buffer.alloc(8 * MEBIBYTE));
      if (request.path === '/slow') await later(50);
      return new FeatherResponse('x');
    };
    const moments = {
      before: async () => {},
      in: (client) => client.write('GET / HT'),
      after: (client) => client.write(get()),
      handling: async (client) => {
        const before = running;
        await client.write(get('/slow'));
        await until(() => running > before, 'the handler runs');
      },
      answering: async (client) => {
        await client.write(get('/large'));
        await until(() => client.pending.length > 0, 'the answer begins');
      },
      pipelined: (client) => client.write(get('/slow') + get('/large').repeat(5)),
    };
    for (const leave of ['reset', 'destroy']) {
      for (const moment of Object.values(moments)) {
        const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(server.port)));
        await Promise.all(clients.map((client) => moment(client)));
        for (const client of clients) client[leave]();
        await until(() => server.stats.connections === 0, 'they are gone');
      }
    }
  });

  // --- handlers ------------------------------------------------------------------------------------------------------

  check('a handler that fails gets its client a 500, and onError the error', async () => {
    const thrown = broken('thrown');
    const used = new PlatformResponse('x');
    await used.text();
    const failures = {
      throws: () => {
        throw thrown;
      },
      rejects: () => Promise.reject(thrown),
      'throws later': () => later(1).then(() => Promise.reject(thrown)),
      'returns nothing': () => undefined,
      'returns null': () => null,
      'returns a Proxy that was revoked': () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
      'returns text': () => 'text',
      'returns a plain object': async () => ({ status: 200 }),
      'bad header value': () => new FeatherResponse('x', { headers: { 'x-a': 'a\r\nb: c' } }),
      'bad header name': () => new FeatherResponse('x', { headers: { 'x a': 'b' } }),
      'header that is no text': () => new FeatherResponse('x', { headers: { 'x-a': Symbol('a') } }),
      'a body with a status that has none': () => new FeatherResponse('x', { status: 204 }),
      'a network error': () => FeatherResponse.error(),
      'bad header and a stream': () => new FeatherResponse(new ReadableStream(), { headers: { 'x-a': 'a\nb' } }),
      'bad status': () => new FeatherResponse('x', { status: 99 }),
      'a body that is no text': () => new FeatherResponse(Symbol('x')),
      'a used Response': () => used,
      'a stream that fails at once': () =>
        new FeatherResponse(new ReadableStream({ pull: () => Promise.reject(thrown) })),
      'a stream of numbers': () => new FeatherResponse(new ReadableStream({ start: (c) => c.enqueue(5) })),
    };
    for (const [name, fetch] of Object.entries(failures)) {
      handler = fetch;
      const client = await Client.open(server.port);
      const answer = await client.ask(get());
      assert.equal(
        [answer.status, answer.text, answer.headers.connection],
        [500, 'Internal Server Error', undefined],
        name,
      );
      assert.is(errors.length, 1, name);
      assert.ok(errors.pop() instanceof Error, name);
      handler = () => new FeatherResponse('next');
      assert.is((await client.ask(get())).text, 'next', name);
      client.destroy();
    }
  });

  check('a stream that fails in the middle breaks the connection', async () => {
    for (const make of [FeatherResponse, PlatformResponse]) {
      for (const end of [
        (controller) => controller.error(broken('in the middle')),
        (controller) => controller.enqueue(5),
      ]) {
        handler = () =>
          new make(
            new ReadableStream({
              async start(controller) {
                controller.enqueue(Buffer.from('begin'));
                await later(20);
                end(controller);
              },
            }),
          );
        const client = await Client.open(server.port);
        client.write(get());
        const all = (await client.rest()).toString();
        assert.match(all, /^HTTP\/1\.1 200 .*begin\r\n$/s);
        assert.is(errors.length, 1);
        errors.pop();
        client.destroy();
      }
    }
  });

  check('an onError that throws is a warning, not the end', async () => {
    const warnings = [];
    const onWarning = (warning) => warnings.push(warning.message);
    process.on('warning', onWarning);
    const fetch = () => {
      throw broken('first');
    };
    const onError = () => {
      throw broken('second');
    };
    const other = await serve({ fetch, onError, hostname: '127.0.0.1' });
    assert.is((await ask(other.port, get())).status, 500);
    await until(() => warnings.length === 1, 'the warning');
    assert.match(warnings[0], /second/);
    process.off('warning', onWarning);
    await other.close();
  });

  check('random bytes, 300 connections of them', async () => {
    let seed = 12345;
    const random = (below) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const valid = Buffer.concat([post('/', 'body'), Buffer.from(get('/', 'X: y\r\n'))]);
    for (let i = 0; i < 300; i += 15) {
      const clients = await Promise.all(Array.from({ length: 15 }, () => Client.open(server.port)));
      for (const client of clients) {
        const bytes = Buffer.concat([valid, valid]);
        for (let n = random(4); n >= 0; n--) bytes[random(bytes.length)] = random(256);
        const stop = random(bytes.length);
        client.write(bytes.subarray(0, stop));
        client.write(bytes.subarray(stop));
      }
      await later(5);
      for (const client of clients) {
        if (random(2) === 0) client.reset();
        else client.destroy();
      }
      await until(() => server.stats.connections === 0, 'they are gone');
    }
  });

  test.run();
}
