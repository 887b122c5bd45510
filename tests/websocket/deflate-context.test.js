// permessage-deflate with context takeover: messages refer to earlier ones in both directions, published ones too. The
// peer's side of it is zlib's own, with a window that stays. `ws` is a client and a server of it.
//
// Next: deflate.test.js.

import { once } from 'node:events';
import zlib from 'node:zlib';
import { Runtime } from 'featherstar';
import { serve, WebSocket } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import WsWebSocket, { WebSocketServer } from 'ws';
import {
  acceptedDeflate,
  agreedDeflate,
  deflateOffers,
  MessageContext,
  unchangingBytes,
} from '../../dist/host/websocket/deflate.js';
import { hosts } from '../support/hosts.js';
import { within } from '../support/http.js';
import { WebSocketClient } from './client.js';

const BITS = 10;
const BYTES = 2 ** BITS;
const OFFER = 'permessage-deflate; client_max_window_bits';
const AGREED = `permessage-deflate; server_max_window_bits=${BITS}; client_max_window_bits=${BITS}`;
const NO_SENT = 'server_no_context_takeover';
const NO_RECEIVED = 'client_no_context_takeover';

/** JSON texts that resemble each other; `length` characters at least. */
const jsonOf = (i, length = 0) =>
  JSON.stringify({ user: `name ${i * 7919}`, at: 1e9 + i * 61, text: 'x'.repeat(length) });
/** Bytes that no compression makes shorter, the same for each `seed`. */
function noise(bytes, seed) {
  let state = seed;
  return Uint8Array.from({ length: bytes }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 16;
  });
}

const unit = suite('context takeover');

unit('a context has the last bytes of all messages', () => {
  const context = new MessageContext(9);
  assert.equal(context.dictionary, {});
  let all = Buffer.alloc(0);
  for (const [i, bytes] of [0, 1, 500, 11, 1, 512, 511, 513, 3, 2000, 0, 100].entries()) {
    const message = noise(bytes, i);
    all = Buffer.concat([all, message]);
    context.add(message);
    const { dictionary = new Uint8Array(0) } = context.dictionary;
    assert.ok(all.subarray(-512).equals(dictionary), `${bytes} bytes`);
    assert.is(dictionary.buffer.byteLength, dictionary.length, 'it has its memory to itself');
  }
});

unit('bytes that another thread can change are copied, once', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(10)).fill(7);
  const copy = unchangingBytes(shared);
  shared.fill(8);
  assert.equal(copy, new Uint8Array(10).fill(7));
  const own = new Uint8Array(10);
  assert.is(unchangingBytes(own), own);
});

unit('what a server agrees to', () => {
  for (const [offer, bits, text, ownBits] of [
    [OFFER, BITS, AGREED, BITS],
    [OFFER, 15, 'permessage-deflate; client_max_window_bits=15', 15],
    ['permessage-deflate', 15, 'permessage-deflate', 15],
    ['permessage-deflate', BITS, `permessage-deflate; ${NO_RECEIVED}; server_max_window_bits=${BITS}`, BITS],
    [`${OFFER}=9; server_max_window_bits=11`, BITS, AGREED.replace(/10$/, '9'), BITS],
    [`${OFFER}; server_max_window_bits=9`, BITS, AGREED.replace('=10', '=9'), 9],
    [`${OFFER}=8`, BITS, AGREED.replace(/10$/, '8'), BITS],
    [`${OFFER}; ${NO_SENT}`, BITS, AGREED.replace(';', `; ${NO_SENT};`), BITS],
    [`${OFFER}; ${NO_RECEIVED}`, BITS, `permessage-deflate; ${NO_RECEIVED}; server_max_window_bits=${BITS}`, BITS],
    [`${OFFER}; server_max_window_bits=8`, BITS, undefined],
  ]) {
    const agreement = agreedDeflate(offer, bits);
    assert.equal([agreement?.text, agreement?.windowBits], [text, ownBits], `${offer}, ${bits}`);
    assert.is(agreement?.sent !== undefined, text !== undefined && !text.includes(NO_SENT), `${offer}: sent`);
    assert.is(
      agreement?.received !== undefined,
      text !== undefined && !text.includes(NO_RECEIVED),
      `${offer}: received`,
    );
  }
});

unit('what a client offers, and what a server may agree to', () => {
  const plain = `permessage-deflate; ${NO_SENT}; ${NO_RECEIVED}`;
  assert.is(deflateOffers(0), plain);
  assert.is(deflateOffers(BITS), `${AGREED}, ${plain}`);
  for (const [text, bits, isAccepted, keepsSent, keepsReceived, windowBits] of [
    [AGREED, BITS, true, true, true, BITS],
    [plain, BITS, true, false, false, 15],
    [`permessage-deflate; server_max_window_bits=9`, BITS, true, true, true, 15],
    [`permessage-deflate; ${NO_SENT}; client_max_window_bits=9`, BITS, true, true, false, 9],
    [`permessage-deflate; ${NO_RECEIVED}; server_max_window_bits=10`, BITS, true, false, true, 15],
    ['permessage-deflate', 15, true, true, true, 15],
    ['permessage-deflate', BITS, false], // it would have to keep 32 KiB
    ['permessage-deflate; server_max_window_bits=11', BITS, false],
    [AGREED.replace(/10$/, '8'), BITS, false], // zlib compresses with no such window
    [AGREED.replace('=10', ''), BITS, false],
    [AGREED, 0, false],
    [plain, 0, true, false, false, 15],
  ]) {
    const agreement = acceptedDeflate(text, bits);
    assert.is(agreement !== undefined, isAccepted, `${text}, ${bits}`);
    if (!isAccepted) continue;
    const { sent, received } = agreement;
    assert.equal(
      [sent !== undefined, received !== undefined, agreement.windowBits],
      [keepsSent, keepsReceived, windowBits],
    );
  }
});

unit('a window of another size is refused', () => {
  for (const contextWindowBits of [1, 8, 16, 9.5, '10', true, null]) {
    const perMessageDeflate = { contextWindowBits };
    assert.throws(() => new WebSocket('ws://localhost/', { perMessageDeflate }), /contextWindowBits must be 0, or an/);
  }
});

unit.run();

/** A peer whose windows stay: { compress, inflate }. */
function peer(t, windowBits) {
  const deflater = zlib.createDeflateRaw({ windowBits });
  const inflater = zlib.createInflateRaw({ windowBits });
  t.push(deflater, inflater);
  const run = (stream, bytes) =>
    new Promise((resolve, reject) => {
      const chunks = [];
      stream.removeAllListeners('data').removeAllListeners('error');
      stream.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
      stream.write(bytes);
      stream.flush(zlib.constants.Z_SYNC_FLUSH, () => resolve(Buffer.concat(chunks)));
    });
  return {
    compress: async (data) => (await run(deflater, Buffer.from(data))).subarray(0, -4),
    inflate: (data) => run(inflater, Buffer.concat([data, Buffer.from([0, 0, 255, 255])])),
  };
}

if ('Deno' in globalThis) {
  const deno = suite('context takeover on Deno');
  deno('is refused, because its zlib ignores dictionaries', () => {
    const perMessageDeflate = { contextWindowBits: BITS };
    const make = () => new WebSocket('ws://localhost/', { perMessageDeflate });
    assert.throws(make, ({ code, message }) => code === 'FEATHERSTAR_HOST' && /dictionaries/.test(message));
  });
  deno.run();
}

for (const host of 'Deno' in globalThis ? [] : hosts()) {
  const test = suite(`context takeover (${host})`);
  let runtime;
  let server;
  const streams = [];
  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    server = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      websocket: {
        maxPayloadBytes: 100_000,
        perMessageDeflate: { thresholdBytes: 30, contextWindowBits: BITS },
        message(ws, data) {
          if (data === 'subscribe') ws.subscribe('all');
          ws.send(data);
        },
      },
    });
  });
  test.after(async () => {
    for (const stream of streams) stream.close();
    await runtime.close();
  });
  const open = (offer = OFFER) => WebSocketClient.open(server.port, { fields: { 'Sec-WebSocket-Extensions': offer } });

  test('messages refer to earlier ones, both ways', async () => {
    const client = await open();
    assert.is(client.response.headers['sec-websocket-extensions'], AGREED);
    const { compress, inflate } = peer(streams, BITS);
    let total = 0;
    for (let i = 0; i < 50; i++) {
      const text = i % 7 === 3 ? 'short' : jsonOf(i, i === 20 ? 3 * BYTES : 0); // short ones are not compressed
      const isShort = text === 'short';
      await client.send({ opcode: 1, rsv: isShort ? 0 : 4, payload: isShort ? text : await compress(text) });
      const { rsv, payload } = await client.next();
      assert.is(rsv, isShort ? 0 : 4);
      assert.is(String(isShort ? payload : await inflate(payload)), text);
      if (i > 30 && !isShort) total += payload.length / text.length / 16;
    }
    assert.ok(total < 0.6, `${total} of the bytes`); // by itself, such a text is hardly compressed
    client.destroy();
  });

  test('nothing refers to bytes that are further back than the window', async () => {
    const client = await open();
    const { compress, inflate } = peer(streams, BITS);
    const repeated = noise(300, 1);
    for (const gap of [100, 600, 724, 725, 1000, 2000]) {
      for (const message of [repeated, noise(gap, gap), repeated]) {
        await client.send({ opcode: 2, rsv: 4, payload: await compress(message) });
        assert.ok((await inflate((await client.next()).payload)).equals(message), `${gap}`);
      }
    }
    client.destroy();
  });

  test('a published message is compressed by itself, and later ones refer to it', async () => {
    const offers = [OFFER, `${OFFER}; ${NO_SENT}`, `${OFFER}; server_max_window_bits=9`];
    const clients = await Promise.all(offers.map((offer) => open(offer)));
    const peers = offers.map((_, i) => peer(streams, i === 2 ? 9 : BITS));
    for (const client of clients) {
      await client.text('subscribe');
      await client.next();
    }
    const payloads = [];
    for (let round = 0; round < 3; round++) {
      const text = jsonOf(round, 300);
      assert.is(server.publish('all', text), 3);
      for (const [i, client] of clients.entries()) {
        const { rsv, payload } = await client.next();
        payloads.push(payload);
        assert.equal([rsv, String(rsv === 0 ? payload : await peers[i].inflate(payload))], [i === 2 ? 0 : 4, text]);
        await client.text(text);
        const own = await client.next();
        assert.is(String(await peers[i].inflate(own.payload)), text);
        if (i === 0) assert.ok(own.payload.length < payload.length / 2, `${own.payload.length}: it refers to it`);
      }
    }
    assert.ok(payloads[0].equals(payloads[1]), 'one frame for both');
    for (const client of clients) client.destroy();
  });

  test('a message that is dropped joins no context', async () => {
    const outcomes = [];
    const first = noise(3 * BYTES, 7);
    const own = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      websocket: {
        maxBacklogBytes: BYTES,
        perMessageDeflate: { thresholdBytes: 30, contextWindowBits: BITS },
        open: (ws) => ws.subscribe('all'),
        message: (ws) => outcomes.push(ws.send(first) > BYTES, ws.send(jsonOf(1)), own.publish('all', jsonOf(2))),
        drain(ws) {
          if (ws.send(jsonOf(1)) > 0) outcomes.push(ws.send(jsonOf(2)) > 0); // else it is called again
        },
      },
    });
    const client = await WebSocketClient.open(own.port, { fields: { 'Sec-WebSocket-Extensions': OFFER } });
    const { inflate } = peer(streams, BITS);
    await client.text('begin');
    for (const message of [first, jsonOf(1), jsonOf(2)]) {
      assert.ok((await inflate((await client.next()).payload)).equals(Buffer.from(message)), `${message.length} bytes`);
    }
    assert.equal(outcomes, [true, 0, 0, true]);
    client.destroy();
    await own.close();
  });

  test('a reference behind the window is refused', async () => {
    const client = await open();
    const { compress } = peer(streams, 15);
    const first = noise(BYTES + 200, 5);
    await client.send({ opcode: 2, rsv: 4, payload: await compress(first) });
    await client.next();
    await client.send({ opcode: 2, rsv: 4, payload: await compress(first) });
    assert.is((await client.nextClose())[0], 1007);
    client.destroy();
  });

  test('ws as a client, with a window that stays, and our client with ours', async () => {
    const url = `ws://127.0.0.1:${server.port}/`;
    for (const connect of [
      () => new WsWebSocket(url, { perMessageDeflate: { threshold: 0 } }),
      () => new WebSocket(url, { perMessageDeflate: { thresholdBytes: 0, contextWindowBits: 9 } }),
    ]) {
      const socket = connect();
      await within(once(socket, 'open'), 'open');
      assert.not.match(socket.extensions, /no_context/);
      const seen = [];
      const all = new Promise((resolve) => {
        socket.addEventListener('message', ({ data }) => seen.push(data) === 50 && resolve());
      });
      for (let i = 0; i < 50; i++) socket.send(jsonOf(i, i * 100));
      await within(all, 'all messages');
      assert.equal(
        seen,
        Array.from({ length: 50 }, (_, i) => jsonOf(i, i * 100)),
      );
      socket.close();
      await within(once(socket, 'close'), 'close');
    }
  });

  test('our client with ws as the server', async () => {
    const theirs = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: { threshold: 0 } });
    theirs.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
    await once(theirs, 'listening');
    const url = `ws://127.0.0.1:${theirs.address().port}/`;
    const socket = new WebSocket(url, { perMessageDeflate: { thresholdBytes: 0, contextWindowBits: BITS } });
    await within(once(socket, 'open'), 'open');
    assert.is(socket.extensions, AGREED);
    for (let i = 0; i < 20; i++) {
      const reply = new Promise((resolve) => {
        socket.onmessage = resolve;
      });
      socket.send(jsonOf(i, i * 100));
      assert.is((await within(reply, 'a reply')).data, jsonOf(i, i * 100));
    }
    socket.close();
    theirs.close();
    for (const client of theirs.clients) client.terminate();
  });

  test.run();
}
