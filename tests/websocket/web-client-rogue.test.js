// The WebSocket of clients against servers that break rules, lie, stall or leave, on both hosts. Each ends the
// connection in time, with an error that says why, and leaves nothing behind.
//
// Next: races.test.js.

import { deflateRawSync } from 'node:zlib';
import { WebSocket } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { agreement, closePayload, rogueServer, serverFrame } from './rogue-server.js';

const OPTIONS = { connectTimeoutMs: 5000, closeTimeoutMs: 300, maxPayloadBytes: 100_000 };

/** Events of a socket until 'close': ['open', 'message', data, 'error', code or text, 'close', code]. */
async function story(socket, onEvent = () => {}) {
  const seen = [];
  socket.binaryType = 'arraybuffer';
  const closed = new Promise((resolve) => {
    for (const name of ['open', 'message', 'error', 'close']) {
      socket.addEventListener(name, (event) => {
        if (name === 'open') seen.push('open');
        else if (name === 'message')
          seen.push(typeof event.data === 'string' ? event.data : Buffer.from(event.data).toString());
        else if (name === 'error') seen.push(`${event.error.code}: ${event.message}`);
        else seen.push([event.code, event.reason, event.wasClean]);
        onEvent(name, event);
        if (name === 'close') resolve();
      });
    }
  });
  await within(closed, 'the event close');
  return seen;
}

function rogues({ check }) {
  /** `serve` is the rogue, `look` gets the story of a client. */
  const against = (what, serve, look, { options = {}, onEvent, user } = {}) =>
    check(what, async () => {
      const server = await rogueServer(serve);
      try {
        const url = user === undefined ? server.url : server.url.replace('//', `//${user}@`);
        const socket = new WebSocket(url, { ...OPTIONS, ...options });
        look(await story(socket, (name, event) => onEvent?.(socket, name, event)));
        assert.is(socket.readyState, 3);
        assert.equal(server.failures, []);
      } finally {
        server.close();
      }
    });

  /** The handshake fails with this text. */
  const refused = (what, serve, text, options) => {
    const look = ([error, close, ...more]) => {
      assert.match(error, text);
      assert.match(error, /^FEATHERSTAR_WEBSOCKET: the handshake failed: /);
      assert.equal([close, more.length], [[1006, '', false], 0]);
    };
    against(`handshake: ${what}`, serve, look, { options });
  };

  /** The handshake fails because of these fields. */
  const fields = (what, changed, text, options) => refused(what, (peer) => peer.open(changed), text, options);

  /** The handshake fails because of these bytes. */
  const bytes = (what, reply, text) =>
    refused(what, async (peer) => peer.socket.write(reply(await peer.readRequest())), text);

  fields('a wrong accept key', { 'Sec-WebSocket-Accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=' }, /sec-websocket-accept/);
  fields('no accept key', { 'Sec-WebSocket-Accept': undefined }, /sec-websocket-accept/);
  fields('no upgrade', { Upgrade: undefined }, /Upgrade/);
  fields('another upgrade', { Upgrade: 'websocket, h2c' }, /Upgrade/);
  fields('no connection', { Connection: 'keep-alive' }, /Connection/);
  fields('a protocol that was not offered', { 'Sec-WebSocket-Protocol': 'chat' }, /chose the protocol "chat"/);
  fields('another protocol', { 'Sec-WebSocket-Protocol': 'soap' }, /chose the protocol "soap"/, { protocols: 'chat' });
  fields('two protocols', { 'Sec-WebSocket-Protocol': 'a, b' }, /chose the protocol "a, b"/, { protocols: ['a', 'b'] });
  fields('no protocol, of those that were offered', {}, /agreed to no protocol/, { protocols: ['chat'] });
  fields('an unknown extension', { 'Sec-WebSocket-Extensions': 'x-shout' }, /chose the extensions/);
  fields('a length of a body', { 'Content-Length': '5' }, /must have no body/);
  fields('an empty length of a body', { 'Content-Length': '' }, /must have no body/);
  fields('a body in chunks', { 'Transfer-Encoding': 'chunked' }, /must have no body/);
  const deflates = (parameters) => ({ 'Sec-WebSocket-Extensions': `permessage-deflate${parameters}` });
  fields('context takeover, against the offer', deflates(''), /chose the extensions/);
  fields(
    'a window that was not offered',
    deflates('; server_no_context_takeover; client_max_window_bits=10'),
    /chose the ext/,
  );
  fields('a window of no size', deflates('; server_no_context_takeover; server_max_window_bits=16'), /chose the ext/);
  const twice = 'permessage-deflate; server_no_context_takeover';
  fields('an extension twice', { 'Sec-WebSocket-Extensions': `${twice}, ${twice}` }, /chose the extensions/);
  const off = { perMessageDeflate: false };
  fields('an extension that was not offered', deflates('; server_no_context_takeover'), /chose the extensions/, off);

  bytes('200', (request) => agreement(request, {}, 'HTTP/1.1 200 OK'), /status 200/);
  bytes('a redirect', () => 'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n', /status 302/);
  bytes('401', () => 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n', /status 401/);
  bytes('HTTP/1.0', (request) => agreement(request, {}, 'HTTP/1.0 101 Switching Protocols'), /does not speak HTTP/);
  bytes('no HTTP at all', () => 'SSH-2.0-OpenSSH_9.2\r\n\r\n', /does not speak HTTP/);
  bytes(
    'a frame in the place of the response',
    () => Buffer.concat([serverFrame({ payload: 'x' }), Buffer.from('\r\n\r\n')]),
    /speak/,
  );
  bytes('a broken header line', (request) => agreement(request, { 'a b': 'c' }), /malformed/);
  bytes('a folded header line', (request) => agreement(request, { a: 'b\r\n c' }), /malformed/);
  bytes('a NUL in a header line', (request) => agreement(request, { a: 'b\0c' }), /malformed/);
  bytes(
    'a head that does not end',
    (request) => agreement(request, { a: 'x'.repeat(20_000) }),
    /more than 16384 bytes/,
  );

  refused('the server ends the connection', async (peer) => peer.socket.end(), /has ended the connection/);
  refused(
    'half a response, and the end',
    async (peer) => {
      await peer.readRequest();
      peer.socket.end('HTTP/1.1 101 Switching');
    },
    /has ended the connection/,
  );
  refused(
    'the server resets the connection',
    async (peer) => {
      await peer.readRequest();
      peer.socket.resetAndDestroy();
    },
    /the connection broke/,
  );

  against(
    'handshake: a server that says nothing',
    async () => {},
    ([error, close]) => {
      assert.match(error, /^FEATHERSTAR_TIMEOUT/);
      assert.equal(close, [1006, '', false]);
    },
    { options: { connectTimeoutMs: 150 } },
  );

  against(
    'handshake: a server that says a byte now and then',
    async (peer) => {
      for (const byte of agreement(await peer.readRequest())) {
        if (peer.hasEnded) return;
        peer.socket.write(byte);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    ([error]) => assert.match(error, /^FEATHERSTAR_TIMEOUT/),
    { options: { connectTimeoutMs: 150 } },
  );

  against(
    'a response that comes byte by byte is taken',
    async (peer) => {
      for (const byte of agreement(await peer.readRequest())) {
        peer.socket.write(byte);
        await new Promise((resolve) => setImmediate(resolve));
      }
      peer.send({ opcode: 8, payload: closePayload(1000) });
      assert.is((await peer.next()).opcode, 8);
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', [1000, '', true]]),
  );

  against(
    'names of fields in any case, and frames behind the response',
    async (peer) => {
      const head = agreement(await peer.readRequest()).replace('Upgrade: websocket', 'uPGRADE:WebSocket\t');
      const frames = [
        { opcode: 1, payload: 'early' },
        { opcode: 9, payload: 'ping' },
        { opcode: 8, payload: closePayload(4000, 'bye') },
      ];
      peer.socket.write(Buffer.concat([Buffer.from(head), ...frames.map(serverFrame)]));
      const { opcode, payload } = await peer.next();
      assert.equal([opcode, payload.toString()], [10, 'ping']);
      const close = await peer.next();
      assert.equal([close.opcode, close.payload.readUInt16BE()], [8, 4000]);
      await peer.ended();
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', 'early', [4000, 'bye', true]]),
  );

  // --- frames --------------------------------------------------------------------------------------------------------

  /** These frames fail the connection; the close frame of the client has this code. */
  const fails = (what, frames, code, { extensions, before = [] } = {}) =>
    against(
      `frames: ${what}`,
      async (peer) => {
        await peer.open(extensions && { 'Sec-WebSocket-Extensions': extensions });
        peer.socket.write(Buffer.concat(frames.map((each) => (Buffer.isBuffer(each) ? each : serverFrame(each)))));
        const { opcode, payload } = await peer.next();
        assert.equal([opcode, payload.readUInt16BE()], [8, code]);
        await peer.ended(); // it does not wait for a rogue
      },
      (seen) => {
        const [open, ...rest] = seen;
        const [error, close] = rest.slice(-2);
        assert.is(open, 'open');
        assert.match(error, /^FEATHERSTAR_WEBSOCKET: the connection failed: /);
        assert.equal([rest.slice(0, -2), close], [before, [1006, '', false]]);
      },
    );

  fails('masked', [{ opcode: 1, payload: 'x', mask: [1, 2, 3, 4] }], 1002);
  fails('masked with zeros', [{ opcode: 1, payload: 'x', mask: [0, 0, 0, 0] }], 1002);
  fails('a reserved bit', [{ opcode: 1, payload: 'x', rsv: 4 }], 1002);
  fails('a reserved opcode', [{ opcode: 3 }], 1002);
  fails('a reserved control opcode', [{ opcode: 11 }], 1002);
  fails('a long ping', [{ opcode: 9, payload: Buffer.alloc(126) }], 1002);
  fails('a ping in fragments', [{ opcode: 9, fin: 0 }], 1002);
  fails('a length that is too long', [{ payload: 'x', form: 16 }], 1002);
  fails(
    'a continuation of nothing, behind a message',
    [
      { opcode: 1, payload: 'a' },
      { opcode: 0, payload: 'x' },
    ],
    1002,
    { before: ['a'] },
  );
  fails(
    'a message within a message',
    [
      { opcode: 1, fin: 0, payload: 'a' },
      { opcode: 1, payload: 'b' },
    ],
    1002,
  );
  fails('text that is not UTF-8', [{ opcode: 1, payload: [0xff] }], 1007);
  fails('text that ends within a character', [{ opcode: 1, payload: [0xc3] }], 1007);
  fails('a close code that is never sent', [{ opcode: 8, payload: closePayload(1006) }], 1002);
  fails('half a close code', [{ opcode: 8, payload: [3] }], 1002);
  fails('a reason that is not UTF-8', [{ opcode: 8, payload: [3, 232, 0xff] }], 1007);
  fails('a message larger than maxPayloadBytes, by its head', [serverFrame({ length: 100_001 }).subarray(0, 10)], 1009);
  const chunk = { opcode: 0, fin: 0, payload: Buffer.alloc(10_000) };
  fails('fragments without end', [{ ...chunk, opcode: 2 }, ...Array(20).fill(chunk)], 1009);
  const deflate = 'permessage-deflate; server_no_context_takeover';
  const raw = (data) => deflateRawSync(data, { finishFlush: 2 }).subarray(0, -4);
  fails('a bomb', [{ opcode: 2, rsv: 4, payload: raw(Buffer.alloc(1_000_000)) }], 1009, { extensions: deflate });
  fails('compressed bytes that are none', [{ opcode: 2, rsv: 4, payload: [255, 255, 255] }], 1007, {
    extensions: deflate,
  });
  fails('compressed text that is not UTF-8', [{ opcode: 1, rsv: 4, payload: raw(Buffer.from([0xff])) }], 1007, {
    extensions: deflate,
  });

  // --- ends ----------------------------------------------------------------------------------------------------------

  const closesAtOnce = { onEvent: (socket, name) => name === 'open' && socket.close(3001, 'mine') };

  against(
    'no reply to a close frame: 1006, after closeTimeoutMs',
    async (peer) => {
      await peer.open();
      assert.is((await peer.next()).opcode, 8);
      await peer.ended();
    },
    (seen) => assert.equal(seen, ['open', [1006, '', false]]),
    closesAtOnce,
  );

  against(
    'frames in the place of a reply to a close frame: they are dropped, and the time is not longer',
    async (peer) => {
      await peer.open();
      await peer.next();
      while (!peer.hasEnded) {
        peer.send({ opcode: 1, payload: 'still here' });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    (seen) => assert.equal(seen, ['open', [1006, '', false]]),
    closesAtOnce,
  );

  against(
    'another code in the reply is the one of the event',
    async (peer) => {
      await peer.open();
      assert.equal((await peer.next()).payload, closePayload(3001, 'mine'));
      peer.send({ opcode: 8, payload: closePayload(4999, 'theirs') });
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', [4999, 'theirs', true]]),
    closesAtOnce,
  );

  against(
    'a close frame, and a connection that stays open: the client ends it',
    async (peer) => {
      await peer.open();
      peer.send({ opcode: 8 });
      assert.equal((await peer.next()).payload.length, 0);
      await peer.ended();
    },
    (seen) => assert.equal(seen, ['open', [1005, '', true]]),
  );

  against(
    'the response, a message, a close frame and the end in one piece',
    async (peer) => {
      const head = Buffer.from(agreement(await peer.readRequest()));
      const frames = [
        { opcode: 1, payload: 'all' },
        { opcode: 8, payload: closePayload(4000, 'bye') },
      ];
      peer.socket.end(Buffer.concat([head, ...frames.map(serverFrame)]));
      assert.is((await peer.next()).opcode, 8);
    },
    (seen) => assert.equal(seen, ['open', 'all', [4000, 'bye', true]]),
  );

  against(
    'frames behind a close frame count for nothing',
    async (peer) => {
      await peer.open();
      peer.socket.write(
        Buffer.concat([
          serverFrame({ opcode: 8, payload: closePayload(1000) }),
          serverFrame({ opcode: 1, payload: 'late' }),
        ]),
      );
      await peer.ended();
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', [1000, '', true]]),
  );

  against(
    'the end without a close frame',
    async (peer) => {
      await peer.open();
      peer.send({ opcode: 1, payload: 'all' });
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', 'all', [1006, '', false]]),
  );

  against(
    'the end within a message',
    async (peer) => {
      await peer.open();
      peer.socket.end(serverFrame({ opcode: 1, payload: 'all of it' }).subarray(0, 5));
    },
    (seen) => assert.equal(seen, ['open', [1006, '', false]]),
  );

  against(
    'a reset',
    async (peer) => {
      await peer.open();
      await peer.next();
      peer.socket.resetAndDestroy();
    },
    (seen) => assert.equal(seen, ['open', [1006, '', false]]),
    { onEvent: (socket, name) => name === 'open' && socket.send('x') },
  );

  against(
    'a silent server gets a ping, and is cut off if it does not reply',
    async (peer) => {
      await peer.open();
      assert.is((await peer.next()).opcode, 9);
      await peer.ended();
    },
    (seen) => assert.equal(seen, ['open', [1006, '', false]]),
    { options: { idleTimeoutMs: 200 } },
  );

  against(
    'a silent server that replies to pings stays',
    async (peer) => {
      await peer.open();
      for (let i = 0; i < 3; i++) {
        const { opcode, payload } = await peer.next();
        assert.is(opcode, 9);
        peer.send({ opcode: 10, payload });
      }
      peer.send({ opcode: 8, payload: closePayload(1000) });
      peer.socket.end();
    },
    (seen) => assert.equal(seen, ['open', [1000, '', true]]),
    { options: { idleTimeoutMs: 300 } },
  );

  check('a server that does not read: bufferedAmount says so, close() waits closeTimeoutMs', async () => {
    const BYTES = 12_000_000; // more than the kernel takes
    const server = await rogueServer(async (peer) => {
      await peer.open();
      peer.socket.pause();
    });
    const socket = new WebSocket(server.url, { ...OPTIONS, perMessageDeflate: false });
    await within(new Promise((resolve) => socket.addEventListener('open', resolve)), 'open');
    socket.send(new Uint8Array(BYTES));
    await until(() => socket.bufferedAmount === BYTES, 'it waits');
    const seen = story(socket);
    socket.close();
    assert.equal(await seen, [[1006, '', false]]);
    assert.is(socket.bufferedAmount, BYTES);
    server.close();
  });

  check('a Blob that is read when the connection is over raises bufferedAmount for good', async () => {
    const server = await rogueServer(async (peer) => {
      await peer.open();
      peer.send({ opcode: 8, payload: closePayload(1000) });
      peer.socket.end();
    });
    const socket = new WebSocket(server.url, OPTIONS);
    const blob = new Blob(['123']);
    let read;
    blob.arrayBuffer = () =>
      new Promise((resolve) => {
        read = () => resolve(new ArrayBuffer(3));
      });
    await story(socket, (name) => name === 'open' && socket.send(blob));
    read();
    await new Promise(setImmediate);
    assert.is(socket.bufferedAmount, 3);
    server.close();
  });

  for (const [user, bytes] of [
    ['us%65r:p%C3%BC%ff', Buffer.from('user:p\xc3\xbc\xff', 'latin1')],
    ['%zz:%', Buffer.from('%zz:%')],
  ]) {
    against(
      `the name and the password of the URL are sent as bytes: ${user}`,
      async (peer) => {
        await peer.open();
        const [, sent] = /^authorization: basic (.*)\r$/im.exec(peer.request);
        assert.is(sent, bytes.toString('base64'));
        peer.send({ opcode: 8 });
        peer.socket.end();
      },
      (seen) => assert.equal(seen, ['open', [1005, '', true]]),
      { user },
    );
  }

  check('10,000 pings that nobody reads the pongs of cost little, and the last one is answered', async () => {
    const server = await rogueServer(async (peer) => {
      await peer.open();
      for (let i = 0; i < 10_000; i++) peer.send({ opcode: 9, payload: `${i}`.padStart(100, '-') });
      let last = '';
      while (!last.endsWith('9999')) last = (await peer.next()).payload.toString();
      peer.send({ opcode: 8, payload: closePayload(1000) });
      peer.socket.end();
    });
    assert.equal(await story(new WebSocket(server.url, OPTIONS)), ['open', [1000, '', true]]);
    assert.equal(server.failures, []);
    server.close();
  });
}

for (const host of hosts()) {
  const suite = oneShardSuite('the client of WebSockets and rogues', host);
  rogues(suite);
  suite.run();
}
