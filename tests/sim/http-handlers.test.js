// core: debug
// What a handler is given beside the request, in the simulator: the access log, limits and times of one request, 103,
// and the client behind a proxy. Many clients at once, who also leave, on a network that splits and delays.
//
// Each client has an address of its own, which the PROXY header tells. So each entry of the log is compared with what
// the client of this address has sent and received.

import { sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SEEDS = 40;
const CLIENTS = 8;
const REQUESTS_MAX = 5;
const HANDLER_MS = 200;
const BODY_MS = 300;
const SHORT_BODY_MS = 40;
const SLACK_MS = 60; // on the way, and while a shard is frozen
const BODY_BYTES = 1000;

const CHUNKS = '5\r\nhello\r\na\r\n0123456789\r\n0\r\nHost: b\r\nX-Sum: 77\r\nContent-Length: 9\r\n\r\n';

const ROUTES = {
  '/now': () => new Response('now'),
  '/soon': async () => {
    await sleep(Math.random() * 20);
    return new Response('soon');
  },
  '/late': async () => {
    await sleep(3 * HANDLER_MS);
    return new Response('too late');
  },
  '/own-time': async (_, info) => {
    info.limit({ handlerTimeoutMs: 0 });
    await sleep(3 * HANDLER_MS);
    return new Response('in its own time');
  },
  '/hints': async (_, info) => {
    assert.is(info.informational(103, { link: '</a.css>' }), true);
    await sleep(Math.random() * 5);
    return new Response('hinted');
  },
  '/stream': () => {
    const parts = ['a', 'b'.repeat(3000), 'c'];
    const pull = async (controller) => {
      await sleep(Math.random() * 5);
      const part = parts.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(Buffer.from(part));
    };
    return new Response(new ReadableStream({ pull }));
  },
  '/trailers': async (request, info) => {
    const { length } = await request.text();
    const sum = (await request.trailers).get('x-sum');
    info.sendTrailers(() => ({ 'x-sum': `${sum} ${length}` }));
    return new Response(ROUTES['/stream']().body);
  },
  '/body': async (request) => new Response(`${(await request.text()).length} bytes`),
  '/larger-body': async (request, info) => {
    info.limit({ bodyBytes: 3 * BODY_BYTES });
    return new Response(`${(await request.text()).length} bytes`);
  },
  '/short-time': async (request, info) => {
    info.limit({ requestTimeoutMs: SHORT_BODY_MS });
    return new Response(`${(await request.text()).length} bytes`);
  },
};

/** A request: what is sent, how many bytes of it before a pause without end, and the status that has to come. */
function draw() {
  const post = (path, bytes, sent = bytes) => ({
    path,
    text: `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n${'x'.repeat(sent)}`,
    isCut: sent < bytes,
  });
  const kinds = [
    ...['/now', '/soon', '/own-time', '/hints', '/stream'].map((path) => () => ({
      path,
      text: `GET ${path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n`,
      status: 200,
    })),
    () => ({ path: '/late', text: 'GET /late HTTP/1.1\r\nHost: a\r\n\r\n', status: 503, dueMs: HANDLER_MS }),
    () => ({
      path: '/trailers',
      text: `POST /trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`,
      status: 200,
      trailers: 'x-sum: 77 15\r\n',
    }),
    () => ({ ...post('/body', BODY_BYTES), status: 200 }),
    () => ({ ...post('/body', BODY_BYTES + 1), status: 413 }),
    () => ({ ...post('/larger-body', 3 * BODY_BYTES), status: 200 }),
    () => ({ ...post('/body', BODY_BYTES, 10), status: 503, dueMs: HANDLER_MS }),
    () => ({ ...post('/short-time', BODY_BYTES, 10), status: 408, dueMs: SHORT_BODY_MS }),
  ];
  return kinds[Math.floor(Math.random() * kinds.length)]();
}

/** The responses in the text. */
function responsesIn(text) {
  const found = [];
  let informational = [];
  let trailers = '';
  let at = 0;
  for (;;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return { found };
    const head = text.slice(at, end + 4);
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)[1]);
    let stop = end + 4;
    if (/\r\nTransfer-Encoding: chunked\r\n/i.test(head)) {
      const last = /\r\n0\r\n((?:[^\r]+\r\n)*)\r\n/g;
      last.lastIndex = stop - 2;
      const ending = last.exec(text);
      if (ending === null) return { found };
      trailers = ending[1];
      stop = last.lastIndex;
    } else stop += Number(/\r\nContent-Length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
    if (stop > text.length) return { found };
    at = stop;
    if (status < 200) informational.push(status);
    else {
      found.push({ status, informational, trailers });
      informational = [];
      trailers = '';
    }
  }
}

/** One client's life. Returns what it has sent and received. */
async function live(world, number, mayBreak) {
  const address = `192.0.2.${number}`;
  const seen = { address, sent: [], text: '', left: false, failed: false };
  let socket;
  try {
    socket = await world.connect({ port: 80, hostname: 'server.test' });
    await socket.write(`PROXY TCP4 ${address} 192.0.2.200 ${1000 + number} 80\r\n`);
    const count = 1 + Math.floor(Math.random() * REQUESTS_MAX);
    for (let i = 0; i < count; i++) {
      const request = draw();
      seen.sent.push(request);
      const beganMs = performance.now();
      await socket.write(request.text);
      if (Math.random() < 0.1) {
        seen.left = true;
        if (Math.random() < 0.5) await sleep(Math.random() * 300);
        if (Math.random() < 0.5) socket.reset();
        return seen;
      }
      let ended = false;
      while (responsesIn(seen.text).found.length <= i && !ended) {
        const bytes = await socket.read();
        if (bytes === null) ended = true;
        else seen.text += Buffer.from(bytes).toString('latin1');
      }
      const { found } = responsesIn(seen.text);
      seen.failed = mayBreak && ended;
      if (seen.failed && found.length <= i) return seen;
      assert.is(found.length, i + 1, `${request.path}: ${seen.text.slice(-300)}`);
      const { status, informational, trailers } = found[i];
      assert.is(trailers, request.trailers ?? '');
      assert.is(status, request.status, request.path);
      assert.equal(informational, request.path === '/hints' ? [103] : [], request.path);
      const tookMs = performance.now() - beganMs;
      if (request.dueMs !== undefined) {
        const isInTime = mayBreak || tookMs <= request.dueMs + SLACK_MS; // accepting may wait for a file slot
        assert.ok(tookMs >= request.dueMs && isInTime, `${request.path}: ${tookMs} ms`);
      }
      if (status >= 400) break; // the connection closes
    }
    return seen;
  } catch (error) {
    if (!mayBreak || error.code !== 'FEATHERSTAR_SYSTEM') throw error;
    seen.failed = true;
    return seen;
  } finally {
    socket?.close();
  }
}

/** `closes`: the server closes while clients still come. */
async function program(world, mayBreak, closes) {
  const entries = [];
  const handled = [];
  const errors = [];
  const server = await serve({
    port: 80,
    limits: {
      bodyBytes: BODY_BYTES,
      maxBodyBytes: 3 * BODY_BYTES,
      handlerTimeoutMs: HANDLER_MS,
      requestTimeoutMs: BODY_MS,
    },
    proxy: { trust: 1, expectProtocol: true },
    onResponse: (entry) => entries.push({ ...entry, ip: entry.request?.ip, path: entry.request?.path }),
    onError: (error) => errors.push(error),
    fetch(request, info) {
      handled.push({ ip: request.ip, path: request.path });
      return ROUTES[request.path](request, info);
    },
  });
  const living = Promise.all(Array.from({ length: CLIENTS }, (_, i) => live(world, i + 1, mayBreak)));
  if (closes) await sleep(Math.random() * 2 * HANDLER_MS);
  else await living;
  await server.close();
  await sleep(4 * HANDLER_MS); // handlers that were given up still sleep
  return { clients: await living, entries, handled, errors, stats: server.stats };
}

function checkLog({ clients, entries, handled, errors, stats }) {
  assert.is(stats.connections, 0);
  for (const error of errors) {
    const isExpected = error.code === 'FEATHERSTAR_TIMEOUT' || error.code === 'FEATHERSTAR_BODY';
    assert.ok(isExpected, error.stack ?? String(error));
  }
  for (const { address, sent, text, left, failed } of clients) {
    const logged = entries.filter(({ remote }) => remote?.hostname === address);
    const { found } = responsesIn(text);
    const told = logged.filter(({ path }) => path !== undefined).map(({ ip, path }) => ({ ip, path }));
    assert.equal(
      told,
      handled.filter(({ ip }) => ip === address),
      'each request is in the log once',
    );
    for (const [i, { ip, path, status, isComplete }] of logged.entries()) {
      assert.is(ip ?? address, address, 'X-Forwarded-For of a client is not believed');
      if (path !== undefined) assert.is(path, sent[i]?.path);
      if (i < found.length) assert.equal([status, isComplete], [found[i].status, true], path);
    }
    assert.ok(logged.length >= found.length, `${logged.length} entries of ${found.length} responses`);
    if (left || failed) {
      assert.ok(logged.length <= sent.length, `${logged.length} entries of ${sent.length} requests`);
      continue;
    }
    assert.is(logged.length, sent.length);
    assert.is(
      logged.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
      text.length,
      'all bytes are in the log',
    );
    for (const [i, { durationMs }] of logged.entries()) {
      const { dueMs = 0, path } = sent[i];
      const least = path === '/own-time' ? 3 * HANDLER_MS : dueMs;
      assert.ok(durationMs >= least && durationMs < least + 100, `${path}: ${durationMs} ms`);
    }
  }
}

const SPLIT = { partial: 0.3, noBuffers: 0.1, spurious: 0.05, freeze: 0.005 };
const BROKEN = { partial: 0.2, reset: 0.02, noFiles: 0.02, errno: 0.01, noBuffers: 0.1 };

for (const [name, { faults, mayBreak, closes }] of Object.entries({
  'parts and delays': { faults: SPLIT, mayBreak: false, closes: false },
  'connections that break': { faults: BROKEN, mayBreak: true, closes: false },
  'a server that closes': { faults: SPLIT, mayBreak: true, closes: true },
})) {
  test(`the log, limits, times, 103 and PROXY: ${name}`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { value, left } = await simulate({ seed, shards: 1, faults }, (world) => program(world, mayBreak, closes));
      try {
        checkLog(value);
      } catch (error) {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      }
      for (const held of left)
        for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
    }
  });
}

test('what a handler does late leaves the time of the body as it was', async () => {
  const later = {
    'info.informational': (info) => info.informational(103),
    'info.limit': (info) => info.limit({ handlerTimeoutMs: 60_000 }),
    'info.sendTrailers': (info) => info.sendTrailers(() => ({})),
  };
  for (const [name, act] of Object.entries(later)) {
    const { value } = await simulate({ seed: 1, shards: 1 }, async (world) => {
      const server = await serve({
        port: 80,
        limits: { requestTimeoutMs: BODY_MS },
        async fetch(request, info) {
          await sleep(BODY_MS - 50);
          act(info);
          return new Response(await request.text());
        },
      });
      const client = await world.connect({ port: 80 });
      const beganMs = performance.now();
      await client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx');
      let text = '';
      for (let bytes = await client.read(); bytes !== null; bytes = await client.read()) text += Buffer.from(bytes);
      const tookMs = performance.now() - beganMs;
      client.close();
      await server.close();
      return { text, tookMs };
    });
    assert.match(value.text, /^HTTP\/1\.1 (103[\s\S]*HTTP\/1\.1 )?408 /, name);
    assert.ok(value.tookMs >= BODY_MS && value.tookMs < BODY_MS + 40, `${name}: ${value.tookMs} ms`);
  }
});

test.run();
