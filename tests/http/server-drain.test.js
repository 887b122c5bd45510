// deadline: 180 s
// The end of a server as its clients see it. Connections that the kernel has completed are served, and requests that
// have begun are answered. With drainMs every client is told before its connection closes.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Runtime } from 'featherstar';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, until } from '../support/http.js';

const folder = mkdtempSync(join(tmpdir(), 'featherstar-drain-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs `run` with a server, on a runtime of one shard that must hold nothing at the end. */
async function withServer(host, options, run) {
  const runtime = await Runtime.start({ shards: 1, host });
  const base = holdings();
  const server = await serve({ hostname: '127.0.0.1', fetch: ({ path }) => new FeatherResponse(path), ...options });
  try {
    await run(server);
    await server.close();
    await back(base);
  } finally {
    await runtime.close();
  }
}

/** Blocks this thread until `count` clients have sent a request, calls `then`, and resolves to what they get. */
async function whileBlind(where, count, then) {
  const isSent = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('../support/blind-clients.js', import.meta.url), {
    workerData: { where, count, isSent },
  });
  await new Promise((resolve) => worker.once('online', resolve));
  const got = new Promise((resolve) => worker.once('message', resolve));
  worker.postMessage('go');
  assert.is(Atomics.wait(isSent, 0, 0, 10_000), 'ok');
  await then();
  const texts = await got;
  await worker.terminate();
  return texts;
}

for (const host of hosts()) {
  const test = suite(`the end of a server (${host})`);

  for (const [what, where] of [
    ['TCP', undefined],
    ['a Unix socket', { path: join(folder, `${host}.sock`) }],
  ]) {
    test(`connections in the queue are served, and told to leave (${what})`, () =>
      withServer(host, where === undefined ? {} : { hostname: undefined, ...where }, async (server) => {
        const place = where ?? { port: server.port, host: '127.0.0.1' };
        assert.is((await ask(place, get())).status, 200);
        const texts = await whileBlind(place, 50, () => server.close());
        for (const text of texts)
          assert.match(text, /^HTTP\/1\.1 200 OK\r\n.*\r\nConnection: close\r\n.*\r\n\r\n\/late$/s);
      }));
  }

  test('a client that has just come may send its first request, one that has been served may not', () =>
    withServer(host, {}, async (server) => {
      const served = await Client.open(server.port);
      await served.ask(get());
      const fresh = await Client.open(server.port);
      const silent = await Client.open(server.port);
      const closing = server.close();
      await served.rest();
      const { text, headers } = await fresh.ask(get('/first'));
      assert.equal([text, headers.connection], ['/first', 'close']);
      await silent.rest(); // its time is over
      for (const client of [served, fresh, silent]) client.destroy();
      await closing;
    }));

  test('a request whose head has begun is answered', () =>
    withServer(host, {}, async (server) => {
      const client = await Client.open(server.port);
      await client.ask(get());
      await client.write('GET /halves HTTP/1.1\r\nHo');
      await later(50);
      const closing = server.close();
      await later(50);
      const { text, headers } = await client.ask('st: test\r\n\r\n');
      assert.equal([text, headers.connection], ['/halves', 'close']);
      client.destroy();
      await closing;
    }));

  test('drainMs: it goes on serving, and each response says Connection: close', () =>
    withServer(host, { drainMs: 600 }, async (server) => {
      const idle = await Client.open(server.port);
      const unused = await Client.open(server.port);
      for (const client of [idle, unused]) assert.is((await client.ask(get())).headers.connection, undefined);
      const beganMs = performance.now();
      const closing = server.close();
      assert.ok(server.signal.aborted);
      await later(100);
      const { text, headers } = await idle.ask(get('/again'));
      assert.equal([text, headers.connection], ['/again', 'close']);
      await idle.rest();
      const late = await ask(server.port, get('/late')); // it still accepts
      assert.equal([late.text, late.headers.connection], ['/late', 'close']);
      await unused.rest();
      assert.ok(performance.now() - beganMs > 500, 'nothing came from this client, so it is left alone for drainMs');
      for (const client of [idle, unused]) client.destroy();
      await closing;
      assert.is((await rejection(Client.open(server.port))).code, 'ECONNREFUSED');
    }));

  test('drainMs: a response that says nothing of the end, because it had begun, is followed by one more', () =>
    withServer(host, { drainMs: 500, fetch: (request) => answer(request) }, async (server) => {
      let go;
      const half = new Promise((resolve) => {
        go = resolve;
      });
      answer = ({ path }) => {
        if (path !== '/stream') return new FeatherResponse(path);
        const body = new ReadableStream({
          async start(controller) {
            controller.enqueue(Buffer.from('one '));
            await later(20);
            controller.enqueue(Buffer.from('two '));
            await half;
            controller.enqueue(Buffer.from('three'));
            controller.close();
          },
        });
        return new FeatherResponse(body);
      };
      const client = await Client.open(server.port);
      const response = client.ask(get('/stream'));
      await until(() => client.received > 0, 'the head');
      const closing = server.close();
      go();
      assert.equal([(await response).text, (await response).headers.connection], ['one two three', undefined]);
      const { text, headers } = await client.ask(get('/one-more'));
      assert.equal([text, headers.connection], ['/one-more', 'close']);
      client.destroy();
      await closing;
    }));
  let answer;

  test('drainMs is limited by timeoutMs, and by the end of the runtime', async () => {
    await withServer(host, { drainMs: 60_000 }, async (server) => {
      const client = await Client.open(server.port);
      await client.ask(get());
      const beganMs = performance.now();
      await server.close({ timeoutMs: 100 });
      assert.ok(performance.now() - beganMs < 2000);
      await client.rest();
      client.destroy();
    });
    const runtime = await Runtime.start({ shards: 1, host });
    const server = await serve({ fetch: () => new FeatherResponse(''), hostname: '127.0.0.1', drainMs: 60_000 });
    const closing = server.close();
    const { drained, shards } = await runtime.close({ timeoutMs: 50 });
    assert.equal([drained, shards[0].how], [false, 'stopped']);
    await closing;
    assert.is((await rejection(Client.open(server.port))).code, 'ECONNREFUSED');
  });

  test('drainMs must be milliseconds', async () => {
    for (const drainMs of [-1, 600_001, '1', Number.NaN]) {
      const error = await rejection(serve({ fetch: () => new FeatherResponse(''), drainMs }));
      assert.is(error.code, 'FEATHERSTAR_OPTION');
      assert.match(error.message, /^drainMs must be milliseconds from 0 to 600000, got /);
    }
  });

  test.run();
}
