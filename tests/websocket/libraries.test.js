// Clients that people use talk to WebSockets of serve(), on both hosts: `ws` of npm, with and without TLS, and a
// Chromium, if there is one here.
//
// Next: ../tls/serve.test.js.

import { once } from 'node:events';
import { serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { Chromium, findChromium } from '../browser/chromium.js';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const LARGE_BYTES = 1 << 20;

/** Runs in a page: sends texts and bytes, and resolves to what differs when they come back, and how it ended. */
async function echoInPage(url) {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const sent = ['', 'grüße 😀', 'x'.repeat(1 << 20), ...Array.from({ length: 500 }, (_, i) => `{"number":${i}}`)];
  const bytes = [0, 1, 16_376, 65_536, 1 << 20].map((length) => Uint8Array.from({ length }, (_, i) => i * 7));
  const texts = (data) => (typeof data === 'string' ? data : Array.from(new Uint8Array(data)).join());
  const seen = [];
  return new Promise((resolve) => {
    socket.onopen = () => {
      for (const each of [...sent, ...bytes]) socket.send(each);
    };
    socket.onmessage = ({ data }) => {
      seen.push(texts(data));
      if (seen.length === sent.length + bytes.length) socket.close(4001, 'genug ü');
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      const wanted = [...sent, ...bytes].map(texts);
      const wrong = wanted.filter((each, i) => each !== seen[i]).length;
      resolve([wrong, code, reason, wasClean, socket.extensions]);
    };
  });
}

const chromium = findChromium();
if (chromium === undefined) console.log('# skipped: Chromium is not here');

for (const host of hosts()) {
  const { check, test } = oneShardSuite('WebSocket clients', host);

  for (const [name, tls] of [
    ['ws://', undefined],
    ['wss://', { key, cert }],
  ]) {
    /** A client of a server that echoes. The server's connections are over when it ends. */
    const withClient = (what, options, run) =>
      check(`${name}: ${what}`, async () => {
        const closes = [];
        const errors = [];
        const server = await serve({
          hostname: '127.0.0.1',
          tls,
          fetch: (_request, info) => info.upgrade({ data: info.tls?.protocol }),
          onError: (error) => errors.push(error),
          websocket: {
            open: (ws) => ws.send(`${ws.data}`),
            message: (ws, data) => ws.send(data),
            close: (_ws, code, reason) => closes.push([code, reason]),
            maxPayloadBytes: LARGE_BYTES,
            perMessageDeflate: true,
          },
        });
        const client = new WebSocket(`${name}127.0.0.1:${server.port}/`, {
          ca: cert,
          servername: 'localhost',
          ...options,
        });
        try {
          const [first] = await within(once(client, 'message'), 'the first message');
          assert.is(String(first), tls === undefined ? 'undefined' : 'TLSv1.3');
          await run(client, closes, server);
          assert.equal(errors, []);
          await until(() => server.stats.connections === 0, 'all connections are closed');
        } finally {
          client.terminate();
          await server.close();
        }
      });

    for (const perMessageDeflate of [false, true]) {
      withClient(
        `messages of all lengths, perMessageDeflate ${perMessageDeflate}`,
        { perMessageDeflate },
        async (client, closes) => {
          for (const bytes of [0, 1, 125, 126, 4096, 65_535, 65_536, LARGE_BYTES]) {
            const sent = Buffer.alloc(bytes, `${bytes} bytes `);
            client.send(sent);
            const [message, isBinary] = await within(once(client, 'message'), `${bytes} bytes`);
            assert.ok(isBinary && sent.equals(message), `${bytes} bytes`);
          }
          client.close(4001, 'enough');
          const [code] = await within(once(client, 'close'), 'the close');
          assert.is(code, 4001);
          await until(() => closes.length === 1, 'the server closes');
          assert.equal(closes, [[4001, 'enough']]);
        },
      );
    }

    withClient('many messages at once come back in order', {}, async (client) => {
      const COUNT = 2000;
      const seen = [];
      const all = new Promise((resolve) => {
        client.on('message', (message) => seen.push(Number(message)) === COUNT && resolve());
      });
      for (let i = 0; i < COUNT; i++) client.send(`${i}`);
      await within(all, 'all messages');
      assert.equal(seen, [...Array(COUNT).keys()]);
      client.terminate();
    });

    withClient('a message that is too long ends it with 1009', {}, async (client) => {
      client.send(Buffer.alloc(LARGE_BYTES + 1));
      const [code] = await within(once(client, 'close'), 'the close');
      assert.is(code, 1009);
    });

    withClient('the server closes with 1001', {}, async (client, _closes, server) => {
      const closed = once(client, 'close');
      void server.close();
      const [code] = await within(closed, 'the close');
      assert.is(code, 1001);
    });
  }

  /** A page of Chromium's sends messages to a server, and gets each back. */
  async function echoOfChromium(browser, perMessageDeflate, extensions) {
    const closes = [];
    const server = await serve({
      hostname: '127.0.0.1',
      fetch: ({ headers }, info) => (headers.get('upgrade') === null ? new Response('a page') : info.upgrade()),
      websocket: {
        message: (ws, data) => void ws.send(data),
        close: (_ws, ...end) => closes.push(end),
        perMessageDeflate,
      },
    });
    const run = await browser.open(`http://127.0.0.1:${server.port}/`);
    const [wrong, ...end] = await run(`(${echoInPage})('ws://127.0.0.1:${server.port}/')`);
    assert.is(wrong, 0);
    assert.equal(end, [4001, 'genug ü', true, extensions]);
    await until(() => closes.length === 1, 'the server closes');
    assert.equal(closes, [[4001, 'genug ü']]);
    await server.close();
  }

  if (chromium !== undefined) {
    check('Chromium echoes, with messages that refer to earlier ones, too', async () => {
      const browser = new Chromium(chromium);
      try {
        await echoOfChromium(browser, false, '');
        const bits = 'server_max_window_bits=12; client_max_window_bits=12';
        const perMessageDeflate = { thresholdBytes: 0, contextWindowBits: 12 };
        await echoOfChromium(browser, perMessageDeflate, `permessage-deflate; ${bits}`);
      } finally {
        await browser.close();
      }
    });
  }

  test.run();
}
