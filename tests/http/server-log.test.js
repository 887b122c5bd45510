// onResponse: each request once, with what became of it; also those that are refused, and those that are broken off.

import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { ask, Client, get, post, until } from '../support/http.js';
import { later, MEBIBYTE, ServerRig, stream } from './server-rig.js';

const HERE = '127.0.0.1';

function summary({ request, status, isComplete }) {
  return [request === undefined ? undefined : `${request.method} ${request.path}`, status, isComplete];
}

for (const host of hosts()) {
  const rig = new ServerRig('log', host);

  /** A server with a log. `use` gets it, and what was logged. */
  const check = (name, options, use) =>
    rig.check(name, async () => {
      const entries = [];
      const server = await serve({ hostname: HERE, onResponse: (entry) => void entries.push(entry), ...options });
      try {
        await use(server, entries, (count) => until(() => entries.length >= count, `${count} entries`));
      } finally {
        await server.close();
      }
      for (const { sentBytes, durationMs } of entries) {
        assert.ok(Number.isInteger(sentBytes) && sentBytes >= 0, `${sentBytes} bytes`);
        assert.ok(durationMs >= 0 && durationMs < 20_000, `${durationMs} ms`);
      }
    });

  check(
    'a response, with its bytes, its time and its client',
    {
      fetch: async (request) => {
        await later(30);
        return new Response(`${request.path}!`, { status: 201, headers: { 'x-a': 'b' } });
      },
    },
    async (server, entries, told) => {
      const client = await Client.open(server.port);
      for (const path of ['/a', '/bb']) {
        const before = client.received;
        assert.is((await client.ask(get(path))).status, 201);
        await told(path.length - 1);
        const entry = entries.at(-1);
        assert.equal(summary(entry), [`GET ${path}`, 201, true]);
        assert.is(entry.sentBytes, client.received - before);
        assert.is(entry.remote.hostname, HERE);
        assert.ok(entry.durationMs >= 25, `${entry.durationMs} ms`);
      }
      client.destroy();
      await later(20);
      assert.is(entries.length, 2);
    },
  );

  check(
    'pipelined requests, in order',
    { fetch: (request) => new Response('x'.repeat(Number(request.path.slice(1)))) },
    async (server, entries, told) => {
      const client = await Client.open(server.port);
      const sizes = [0, 5, 100_000, 1, 300_000, 2];
      await client.write(sizes.map((size) => get(`/${size}`)).join(''));
      for (const size of sizes) assert.is((await client.response()).body.length, size);
      await told(sizes.length);
      assert.equal(
        entries.map(summary),
        sizes.map((size) => [`GET /${size}`, 200, true]),
      );
      assert.is(
        entries.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
        client.received,
      );
      client.destroy();
    },
  );

  check(
    'streams: one that ends, one that fails, one whose client leaves',
    {
      onError: () => {},
      fetch: (request) => {
        if (request.path === '/whole') return new Response(stream(['a', 'b', 'c'], 2));
        let pulls = 0;
        return new Response(
          new ReadableStream({
            async pull(controller) {
              await later(2);
              if (request.path === '/fails' && ++pulls === 3) throw new Error('of the stream');
              controller.enqueue(Buffer.alloc(1000));
            },
          }),
        );
      },
    },
    async (server, entries, told) => {
      assert.is((await ask(server.port, get('/whole'))).text, 'abc');
      await told(1);
      const failing = await Client.open(server.port);
      await failing.write(get('/fails'));
      await failing.rest();
      failing.destroy();
      await told(2);
      const leaving = await Client.open(server.port);
      await leaving.write(get('/leaves'));
      await leaving.take(5000);
      leaving.destroy();
      await told(3);
      assert.equal(entries.map(summary), [
        ['GET /whole', 200, true],
        ['GET /fails', 200, false],
        ['GET /leaves', 200, false],
      ]);
      assert.ok(entries[1].sentBytes > 1000 && entries[1].sentBytes < 4000, `${entries[1].sentBytes} bytes`);
      assert.ok(entries[2].sentBytes >= 5000, `${entries[2].sentBytes} bytes`);
    },
  );

  check(
    'a client that does not read its response, and leaves',
    { fetch: () => new Response(Buffer.alloc(32 * MEBIBYTE)) },
    async (server, entries, told) => {
      const client = await Client.open(server.port, { paused: true });
      await client.write(get('/big'));
      await later(50);
      assert.is(entries.length, 0);
      client.reset();
      await told(1);
      assert.equal(summary(entries[0]), ['GET /big', 200, false]);
      const { sentBytes } = entries[0];
      assert.ok(sentBytes > 0 && sentBytes < 32 * MEBIBYTE, `${sentBytes} bytes`);
    },
  );

  check(
    'a client that leaves before there is a response; a handler that fails; a wrong value',
    {
      onError: () => {},
      fetch: (request) => {
        if (request.path === '/fails') throw new Error('of the handler');
        if (request.path === '/wrong') return 5;
        if (request.path === '/header') return new Response('', { headers: { 'content-length': 'x' } });
        return new Promise(() => {});
      },
    },
    async (server, entries, told) => {
      const client = await Client.open(server.port);
      await client.write(get('/waits'));
      await later(30);
      client.reset();
      await told(1);
      for (const path of ['/fails', '/wrong', '/header']) {
        assert.is((await ask(server.port, get(path))).status, 500);
        await told(entries.length + 0);
      }
      await told(4);
      assert.equal(entries.map(summary), [
        ['GET /waits', 0, false],
        ['GET /fails', 500, true],
        ['GET /wrong', 500, true],
        ['GET /header', 500, true],
      ]);
      assert.is(entries[0].sentBytes, 0);
    },
  );

  check(
    'what is refused: a head, a body, a slow head, one connection too many',
    {
      limits: { bodyBytes: 10, headerTimeoutMs: 100, connections: 1 },
      fetch: async (request) => new Response(await request.text()),
    },
    async (server, entries, told) => {
      const refused = async (bytes, status) => {
        assert.is((await ask(server.port, bytes)).status, status);
        await told(1);
        const [entry] = entries.splice(0);
        await until(() => server.stats.connections === 0, 'the connection is closed');
        return [...summary(entry), entry.remote.hostname, entry.sentBytes > 50];
      };
      assert.equal(await refused('GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400), [undefined, 400, true, HERE, true]);
      assert.equal(await refused(post('/long', '12345678901'), 413), ['POST /long', 413, true, HERE, true]);
      const chunked = 'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n';
      assert.equal(await refused(chunked, 413), ['POST /c', 413, true, HERE, true]);
      assert.equal(await refused('GET / HT', 408), [undefined, 408, true, HERE, true]);
      const first = await Client.open(server.port);
      await until(() => server.stats.connections === 1, 'it is open');
      assert.is((await ask(server.port, get())).status, 503);
      await told(1);
      assert.equal(summary(entries[0]), [undefined, 503, true]);
      first.destroy();
      await later(20);
      assert.is(entries.length, 1, 'a connection without a request is none');
    },
  );

  check(
    'a hook that throws is reported, and the server goes on',
    {
      fetch: () => new Response('x'),
      onError: (error) => rig.errors.push(error.message),
      onResponse: () => {
        throw new Error('of the hook');
      },
    },
    async (server) => {
      for (let i = 0; i < 2; i++) assert.is((await ask(server.port, get())).text, 'x');
      await until(() => rig.errors.length === 2, 'both are reported');
      assert.equal(rig.errors.splice(0), ['of the hook', 'of the hook']);
    },
  );

  rig.run();
}
