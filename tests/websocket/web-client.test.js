// The WebSocket of clients: the standard's constructor, members, events and exceptions, against `ws` and against
// serve(), with and without TLS, on both hosts. Facts of what to try are from the web platform tests.
//
// Next: web-client-rogue.test.js.

import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:https';
import { CloseEvent, ErrorEvent, serve, WebSocket } from 'featherstar/http';
import { connect } from 'featherstar/net';
import * as assert from 'uvu/assert';
import { WebSocketServer } from 'ws';
import { hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, chooseEngine, key } from '../support/tls.js';

const LARGE_BYTES = 1 << 20;
const TLS = { ca: cert };

/** The next event of that name. */
const next = (socket, name) =>
  within(new Promise((resolve) => socket.addEventListener(name, resolve, { once: true })), `the event ${name}`);

/** The name of the DOMException that `run` throws, or the code of another error. */
function thrown(run) {
  try {
    run();
  } catch (error) {
    return error instanceof DOMException ? error.name : (error.code ?? error.name);
  }
  return 'nothing';
}

/** Servers that echo, and greet with path, protocol and cookie of the request. Each resolves to { port, close }. */
const SERVERS = {
  async ws(isSecure) {
    const server = isSecure ? createTlsServer({ key, cert }) : undefined;
    const ws = new WebSocketServer({
      ...(server === undefined ? { port: 0, host: '127.0.0.1' } : { server }),
      perMessageDeflate: { threshold: 0 },
      maxPayload: 2 * LARGE_BYTES,
    });
    ws.on('connection', (socket, request) => {
      socket.on('error', () => {});
      socket.send(JSON.stringify([request.url, socket.protocol, request.headers.cookie ?? '']));
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    const listening = server ?? ws;
    if (server !== undefined) server.listen(0, '127.0.0.1');
    await once(listening, 'listening');
    return {
      port: listening.address().port,
      async close() {
        for (const socket of ws.clients) socket.terminate();
        ws.close();
        server?.close();
      },
    };
  },
  async featherstar(isSecure) {
    const server = await serve({
      hostname: '127.0.0.1',
      tls: isSecure ? { key, cert } : undefined,
      fetch(request, info) {
        const [protocol] = (request.headers.get('sec-websocket-protocol') ?? '').split(',');
        const { pathname, search } = new URL(request.url);
        const greeting = [pathname + search, protocol, request.headers.get('cookie') ?? ''];
        return info.upgrade({ data: greeting, protocol: protocol || undefined });
      },
      websocket: {
        open: (ws) => ws.send(JSON.stringify(ws.data)),
        message: (ws, data) => ws.send(data),
        perMessageDeflate: { thresholdBytes: 0 },
        maxPayloadBytes: 2 * LARGE_BYTES,
      },
    });
    return { port: server.port, close: () => server.close() };
  },
};

/** An open socket, behind the greeting, which is its member `greeting`. */
async function open(url, options) {
  const socket = new WebSocket(url, options);
  socket.binaryType = 'arraybuffer';
  await next(socket, 'open');
  socket.greeting = JSON.parse((await next(socket, 'message')).data);
  return socket;
}

/** Closes, and returns the event. */
async function bye(socket, ...args) {
  const closed = next(socket, 'close');
  socket.close(...args);
  return closed;
}

const parts = ({ code, reason, wasClean }) => [code, reason, wasClean];

function echoes({ check }, name, isSecure) {
  const scheme = isSecure ? 'wss' : 'ws';
  const withServer = (what, run) =>
    check(`${scheme}, ${name}: ${what}`, async () => {
      const server = await SERVERS[name](isSecure);
      try {
        await run(`${scheme}://127.0.0.1:${server.port}`);
      } finally {
        await server.close();
      }
    });

  for (const perMessageDeflate of [true, false]) {
    withServer(`messages of all lengths and kinds, perMessageDeflate ${perMessageDeflate}`, async (url) => {
      const socket = await open(`${url}/a?b=c`, { tls: TLS, perMessageDeflate, headers: { cookie: 'd=e' } });
      assert.equal(socket.greeting, ['/a?b=c', '', 'd=e']);
      assert.is(socket.extensions.startsWith('permessage-deflate'), perMessageDeflate);
      for (const bytes of [0, 1, 3, 63, 64, 65, 125, 126, 4090, 4096, 65_535, 65_536, LARGE_BYTES]) {
        const text = 'Zoë 🌍 '.repeat(bytes).slice(0, bytes).toWellFormed();
        socket.send(text);
        assert.ok((await next(socket, 'message')).data === text, `${bytes} characters`);
        const sent = Buffer.alloc(bytes, `${bytes} bytes `);
        socket.send(sent);
        const expected = Buffer.from(sent);
        sent.fill(0); // it was copied
        const { data } = await next(socket, 'message');
        assert.ok(data instanceof ArrayBuffer && expected.equals(Buffer.from(data)), `${bytes} bytes`);
      }
      assert.equal(parts(await bye(socket, 4001, 'enough')), [4001, 'enough', true]);
      assert.is(socket.readyState, WebSocket.CLOSED);
    });
  }

  withServer(
    'bytes of each type, Blobs among them, go out in order and come as the type that was asked for',
    async (url) => {
      const socket = await open(url, { tls: TLS });
      const got = [];
      socket.onmessage = ({ data }) => got.push(data);
      socket.binaryType = 'blob';
      const bytes = new Uint8Array([1, 2, 3, 4]);
      socket.send('first');
      socket.send(new Blob(['a blob']));
      socket.send(bytes);
      bytes.fill(0); // it waits behind the Blob, and was copied
      socket.send(new Uint16Array([513]).buffer);
      socket.send(new DataView(new ArrayBuffer(8), 2, 3));
      socket.send(new Blob([]));
      socket.send(17);
      socket.send('a lone surrogate: \ud800');
      assert.is(socket.bufferedAmount, 5 + 6 + 4 + 2 + 3 + 0 + 2 + 21);
      await until(() => got.length === 8, 'all messages');
      const shown = got.map(async (data) =>
        data instanceof Blob ? Buffer.from(await data.arrayBuffer()).toString('hex') : data,
      );
      assert.equal(await Promise.all(shown), [
        'first',
        Buffer.from('a blob').toString('hex'),
        '01020304',
        '0102',
        '000000',
        '',
        '17',
        'a lone surrogate: \ufffd',
      ]);
      assert.is(socket.bufferedAmount, 0);
      const closed = next(socket, 'close');
      socket.send(new Blob(['last']));
      socket.close(); // behind the Blob
      assert.is(socket.readyState, WebSocket.CLOSING);
      assert.equal(parts(await closed), [1005, '', true]);
    },
  );

  withServer('much at once, both ways', async (url) => {
    const socket = await open(url, { tls: TLS, perMessageDeflate: false });
    const COUNT = 40;
    let seen = 0;
    socket.onmessage = ({ data }) => {
      if (new Uint8Array(data).every((byte) => byte === seen)) seen++;
    };
    for (let i = 0; i < COUNT; i++) socket.send(new Uint8Array(LARGE_BYTES / 4).fill(i));
    assert.is(socket.bufferedAmount, (COUNT * LARGE_BYTES) / 4);
    await until(() => seen === COUNT, 'all messages');
    await bye(socket, 1000);
  });

  withServer('protocols', async (url) => {
    const one = await open(url, isSecure ? { protocols: 'chat', tls: TLS } : ['chat', 'soap']);
    assert.equal([one.protocol, one.greeting[1]], ['chat', 'chat']);
    assert.equal(parts(await bye(one, undefined, '\ud807')), [1000, '\ufffd', true]);
  });
}

function standard({ check, test }) {
  const withServer = (what, run) =>
    check(what, async () => {
      const server = await SERVERS.featherstar(false);
      try {
        await run(`ws://127.0.0.1:${server.port}/`);
      } finally {
        await server.close();
      }
    });

  test('arguments that cannot be', () => {
    const urls = [
      '',
      '/relative',
      'ws://',
      'ftp://a/',
      'ws://a/#',
      'ws://a/#b',
      'mailto:a@b',
      'ws://a:99999/',
      'wss://a b/',
    ];
    for (const url of urls)
      assert.is(
        thrown(() => new WebSocket(url)),
        'SyntaxError',
        url,
      );
    const lists = ['', ' ', 'a b', 'a,b', 'ü', 'a\u007f', ['a', 'a'], ['a', 'A'], ['a', ''], 'a/b', 'a"b', '(a)', '\t'];
    for (const protocols of lists) {
      assert.is(
        thrown(() => new WebSocket('ws://127.0.0.1:1/', protocols)),
        'SyntaxError',
        JSON.stringify(protocols),
      );
      const options = { protocols };
      assert.is(
        thrown(() => new WebSocket('ws://127.0.0.1:1/', options)),
        'SyntaxError',
        JSON.stringify(protocols),
      );
    }
    for (const options of [
      { protocol: 'a' },
      { idleTimeoutMs: -1 },
      { tls: { ca: 1 } },
      { headers: { upgrade: 'a' } },
    ]) {
      assert.is(
        thrown(() => new WebSocket('ws://127.0.0.1:1/', options)),
        'FEATHERSTAR_OPTION',
        JSON.stringify(options),
      );
    }
    assert.is(
      thrown(() => new WebSocket('ws://127.0.0.1:1/', { headers: { 'a b': 'c' } })),
      'TypeError',
    );
    assert.is(
      thrown(() => new WebSocket()),
      'SyntaxError',
    );
    assert.is(
      thrown(() => WebSocket('ws://127.0.0.1:1/')),
      'TypeError',
    );
  });

  withServer('its members before it is open, and constants', async (url) => {
    const socket = new WebSocket(url.replace('ws:', 'http:'));
    assert.equal([socket.url, socket.readyState, socket.bufferedAmount], [url, 0, 0]);
    assert.equal([socket.protocol, socket.extensions, socket.binaryType], ['', '', 'blob']);
    assert.equal([socket.onopen, socket.onmessage, socket.onerror, socket.onclose], [null, null, null, null]);
    const names = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];
    assert.equal(
      names.map((name) => WebSocket[name]),
      [0, 1, 2, 3],
    );
    assert.equal(
      names.map((name) => socket[name]),
      [0, 1, 2, 3],
    );
    assert.is(
      thrown(() => socket.send('early')),
      'InvalidStateError',
    );
    assert.is(
      thrown(() => socket.send()),
      'TypeError',
    );
    socket.binaryType = 'arraybuffer';
    socket.binaryType = 'string'; // is ignored, as the standard has it
    assert.is(socket.binaryType, 'arraybuffer');
    await next(socket, 'open');
    assert.is(socket.readyState, 1);
    const { data, origin } = await next(socket, 'message');
    assert.equal([data, origin], ['["/","",""]', url.slice(0, -1)]);
    await bye(socket);
  });

  withServer('close() checks its arguments, in each state', async (url) => {
    const socket = new WebSocket(url);
    const wrong = () => {
      for (const code of [0, 1, 999, 1001, 1005, 1006, 1015, 2999, 5000, 65_536, -1, Number.NaN, null, 'x'])
        assert.is(
          thrown(() => socket.close(code)),
          'InvalidAccessError',
          String(code),
        );
      assert.is(
        thrown(() => socket.close(1000, 'x'.repeat(124))),
        'SyntaxError',
      );
      assert.is(
        thrown(() => socket.close(1000, 'ü'.repeat(62))),
        'SyntaxError',
      );
    };
    wrong();
    await next(socket, 'open');
    wrong();
    const event = await bye(socket, 3000, 'ü'.repeat(61));
    assert.ok(event instanceof CloseEvent);
    assert.equal(parts(event), [3000, 'ü'.repeat(61), true]);
    wrong();
    socket.close();
  });

  withServer('send() after close() raises bufferedAmount for good', async (url) => {
    const socket = await open(url);
    const closed = next(socket, 'close');
    socket.close();
    assert.is(socket.readyState, 2);
    socket.send('äö');
    socket.send(new Uint8Array(10));
    assert.is(socket.bufferedAmount, 14);
    await closed;
    socket.send(new Blob(['123']));
    assert.is(socket.bufferedAmount, 17);
  });

  withServer('close() while it connects fails it: error, then close with 1006', async (url) => {
    const socket = new WebSocket(url);
    const seen = [];
    for (const name of ['open', 'error', 'close'])
      socket.addEventListener(name, ({ type }) => seen.push([type, socket.readyState]));
    const failed = next(socket, 'error');
    const closed = next(socket, 'close');
    socket.close();
    assert.equal([socket.readyState, seen.length], [2, 0]);
    const error = await failed;
    assert.ok(error instanceof ErrorEvent && error.error.code === 'FEATHERSTAR_CLOSED');
    assert.equal(parts(await closed), [1006, '', false]);
    assert.equal(seen, [
      ['error', 3],
      ['close', 3],
    ]);
  });

  withServer('handlers are listeners that keep their place', async (url) => {
    const socket = new WebSocket(url);
    const seen = [];
    socket.addEventListener('open', () => seen.push('first'));
    socket.onopen = () => seen.push('replaced');
    socket.addEventListener('open', { handleEvent: () => seen.push('third') });
    socket.onopen = function handler(event) {
      seen.push(this === socket && event.target === socket && event.type);
    };
    socket.onerror = 17;
    assert.is(socket.onerror, null);
    await next(socket, 'open');
    assert.equal(seen, ['first', 'open', 'third']);
    socket.onopen = null;
    assert.is(socket.onopen, null);
    socket.dispatchEvent(new Event('open'));
    assert.equal(seen.slice(3), ['first', 'third']);
    await bye(socket);
  });

  check('a server that is not there', async () => {
    const socket = new WebSocket('ws://127.0.0.1:1/');
    const closed = next(socket, 'close');
    const { error, message } = await next(socket, 'error');
    assert.equal([error.errnoName, message], ['ECONNREFUSED', error.message]);
    assert.equal(parts(await closed), [1006, '', false]);
  });

  check('a certificate that is not trusted', async () => {
    const server = await SERVERS.featherstar(true);
    const socket = new WebSocket(`wss://127.0.0.1:${server.port}/`);
    const closed = next(socket, 'close');
    assert.is((await next(socket, 'error')).error.code, 'FEATHERSTAR_TLS');
    await closed;
    await server.close();
  });

  withServer('more than maxBacklogBytes at once fails it with FEATHERSTAR_FULL', async (url) => {
    const socket = new WebSocket(url, { maxBacklogBytes: 100_000, perMessageDeflate: false });
    await next(socket, 'open');
    const closed = next(socket, 'close');
    const failed = next(socket, 'error');
    socket.send(new Uint8Array(200_000));
    assert.is(socket.readyState, 1);
    socket.send('too much');
    assert.is(socket.readyState, 2);
    assert.is((await failed).error.code, 'FEATHERSTAR_FULL');
    assert.equal(parts(await closed), [1006, '', false]);
  });
}

/** FEATHERSTAR_TLS=addon is for servers and connect(). */
function withoutEngine({ check }, host) {
  check('wss: has node:tls, also if the addon is wanted', async () => {
    const server = await SERVERS.ws(true);
    process.env.FEATHERSTAR_TLS = 'addon';
    try {
      const socket = await open(`wss://localhost:${server.port}/`, { tls: TLS });
      await bye(socket);
      if (host === 'uring') return;
      const { code, message } = await rejection(connect({ port: server.port, tls: TLS }));
      assert.is(code, 'FEATHERSTAR_HOST');
      assert.match(message, /this shard has no addon; unset FEATHERSTAR_TLS to use node:tls/);
    } finally {
      chooseEngine('auto');
      await server.close();
    }
  });
}

for (const host of hosts()) {
  const suite = oneShardSuite('the client of WebSockets', host);
  standard(suite);
  withoutEngine(suite, host);
  for (const name of Object.keys(SERVERS)) for (const isSecure of [false, true]) echoes(suite, name, isSecure);
  suite.run();
}
