// Limits of single requests: the time of a handler, and what a handler changes by info.limit().

import { FeatherstarError } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';
import { later, ServerRig, stream } from './server-rig.js';

const HERE = '127.0.0.1';

for (const host of hosts()) {
  const rig = new ServerRig('limits', host);

  const check = (name, limits, fetch, use) =>
    rig.check(name, async () => {
      const reports = [];
      const server = await serve({ hostname: HERE, limits, fetch, onError: (error) => reports.push(error) });
      try {
        await use(server, reports);
      } finally {
        await server.close({ timeoutMs: 1000 });
      }
    });

  let seen = [];

  check(
    'a handler that takes too long: 503, its signal aborts, and its response is dropped',
    { handlerTimeoutMs: 80 },
    async (request) => {
      if (request.path === '/signal') {
        await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
        seen.push(request.signal.reason);
        throw request.signal.reason;
      }
      if (request.path === '/later') {
        await later(160);
        seen.push(request.signal.reason);
      }
      return new Response(request.path);
    },
    async (server, reports) => {
      const client = await Client.open(server.port);
      assert.is((await client.ask(get('/fast'))).text, '/fast');
      const before = performance.now();
      const late = await client.ask(get('/signal'));
      assert.is(late.status, 503);
      assert.is(late.headers.connection, 'close');
      assert.ok(performance.now() - before >= 75);
      assert.is((await client.rest()).length, 0);
      client.destroy();
      assert.is((await ask(server.port, post('/later', 'body'))).status, 503);
      await until(() => seen.length === 2, 'both handlers have ended');
      await later(20);
      for (const error of seen.splice(0)) {
        assert.ok(FeatherstarError.is(error));
        assert.is(error.code, 'FEATHERSTAR_TIMEOUT');
      }
      assert.equal(
        reports.map(({ code }) => code),
        ['FEATHERSTAR_TIMEOUT', 'FEATHERSTAR_TIMEOUT'],
      );
      assert.is(server.stats.refused, 2);
    },
  );

  check(
    'the time of a handler is not that of its stream, nor that of a body, nor that of the request before',
    { handlerTimeoutMs: 60, requestTimeoutMs: 200 },
    async (request) => {
      if (request.path === '/stream') return new Response(stream(['a', 'b', 'c', 'd'], 40));
      if (request.path === '/never') await new Promise(() => {});
      return new Response(request.body === null ? 'none' : await request.text());
    },
    async (server, reports) => {
      const client = await Client.open(server.port);
      assert.is((await client.ask(get('/stream'))).text, 'abcd');
      await later(80);
      assert.is((await client.ask(get('/quick'))).text, 'none');
      assert.is((await client.ask(get('/never'))).status, 503); // also behind a stream
      client.destroy();
      const slow = await Client.open(server.port);
      await slow.write('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12');
      assert.is((await slow.response()).status, 503, 'a body that does not come in time is the time of its handler');
      slow.destroy();
      assert.is(reports.length, 2);
    },
  );

  check(
    'without a limit a handler may take its time; info.limit() gives it one, or takes it away',
    {},
    async (request, info) => {
      if (request.path === '/limited') info.limit({ handlerTimeoutMs: 50 });
      if (request.path === '/twice') {
        info.limit({ handlerTimeoutMs: 50 });
        info.limit({ handlerTimeoutMs: 0 });
      }
      await later(150);
      return new Response('in time');
    },
    async (server, reports) => {
      assert.is((await ask(server.port, get('/'))).text, 'in time');
      assert.is((await ask(server.port, get('/twice'))).text, 'in time');
      assert.is((await ask(server.port, get('/limited'))).status, 503);
      assert.is(reports.splice(0).length, 1);
    },
  );

  check(
    'a route takes larger bodies, another one smaller ones',
    { bodyBytes: 100, maxBodyBytes: 1000 },
    async (request, info) => {
      const { path } = request;
      if (path === '/unread') return new Response('unread', { status: 401 });
      if (path === '/late') await later(30); // bytes have come before it decides
      if (path !== '/plain') info.limit({ bodyBytes: path === '/small' ? 10 : 500 });
      return new Response(`${(await request.text()).length}`);
    },
    async (server, reports) => {
      const lengths = { '/plain': 100, '/large': 500, '/late': 500, '/small': 10 };
      for (const [path, bytes] of Object.entries(lengths)) {
        for (const form of ['length', 'chunks']) {
          const of = (size) =>
            form === 'length'
              ? post(path, 'x'.repeat(size))
              : `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n` +
                `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n0\r\n\r\n`;
          assert.is((await ask(server.port, of(bytes))).text, `${bytes}`, `${path}, ${form}`);
          assert.is((await ask(server.port, of(bytes + 1))).status, 413, `${path}, ${form}, one more`);
        }
      }
      assert.is((await ask(server.port, post('/unread', 'x'.repeat(1000)))).status, 401);
      assert.is((await ask(server.port, post('/unread', 'x'.repeat(1001)))).status, 413);
      assert.equal(reports, []);
    },
  );

  check(
    'a body that is refused before it is read: the handler is told',
    { bodyBytes: 10, maxBodyBytes: 20 },
    async (request) => {
      seen.push(await rejection(request.text()));
      return new Response('dropped');
    },
    async (server) => {
      const client = await Client.open(server.port);
      const expecting = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n';
      assert.is((await client.ask(expecting)).status, 413); // and no 100 before
      client.destroy();
      assert.is(seen.splice(0)[0].code, 'FEATHERSTAR_BODY');
    },
  );

  check(
    'the time of a body',
    {},
    async (request, info) => {
      info.limit({ requestTimeoutMs: 50 });
      return new Response(await request.text());
    },
    async (server) => {
      const client = await Client.open(server.port);
      assert.is((await client.ask('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12')).status, 408);
      client.destroy();
      assert.is((await ask(server.port, post('/', 'whole'))).text, 'whole');
    },
  );

  check(
    'another limit leaves the time of the body as it was',
    { requestTimeoutMs: 60 },
    async (request, info) => {
      info.limit({ bodyBytes: 10 });
      return new Response(await request.text());
    },
    async (server) => {
      const client = await Client.open(server.port);
      assert.is((await client.ask('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12')).status, 408);
      client.destroy();
    },
  );

  check(
    'wrong limits, and those of a request that is over',
    { bodyBytes: 100 },
    (_request, info) => {
      seen.push(info);
      const wrong = [
        { bodyBytes: 101 },
        { bodyBytes: -1 },
        { handlerTimeoutMs: -1 },
        { requestTimeoutMs: 0 },
        { x: 1 },
      ];
      return Response.json(
        wrong.map((options) => {
          try {
            return info.limit(options);
          } catch ({ code, message }) {
            return `${code}: ${message}`;
          }
        }),
      );
    },
    async (server) => {
      const client = await Client.open(server.port);
      const texts = JSON.parse((await client.ask(get())).text);
      for (const text of texts) assert.match(text, /^FEATHERSTAR_OPTION: /);
      assert.match(texts[0], /bodyBytes must be at most limits\.maxBodyBytes of serve\(\), which is 100, got 101/);
      seen.splice(0)[0].limit({ handlerTimeoutMs: 1 });
      await later(30);
      assert.is((await client.ask(get())).status, 200);
      client.destroy();
      seen = [];
      const wrong = serve({ hostname: HERE, fetch: () => new Response(''), limits: { bodyBytes: 9, maxBodyBytes: 8 } });
      assert.is((await rejection(wrong)).code, 'FEATHERSTAR_OPTION');
    },
  );

  rig.run();
}
