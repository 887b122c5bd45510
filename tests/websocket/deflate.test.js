// permessage-deflate: what is agreed on, messages both ways, bombs and broken data, and one compression for all
// subscribers.
//
// Next: server.test.js.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { Runtime } from 'featherstar';
import { serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { agreedDeflate } from '../../dist/host/websocket/deflate.js';
import { hosts } from '../support/hosts.js';
import { WebSocketClient } from './client.js';

const MAX_BYTES = 100_000;
const SYNC = { finishFlush: 2 };
const compress = (data) => deflateRawSync(data, SYNC).subarray(0, -4);
const inflate = (data) => inflateRawSync(Buffer.concat([data, Buffer.from([0, 0, 255, 255])]), SYNC).toString();
const offer = (text = 'permessage-deflate; client_max_window_bits') => ({ 'Sec-WebSocket-Extensions': text });
const FLAGS = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

const offers = suite('offers of permessage-deflate');
offers('the first one that can be met is accepted', () => {
  const accepted = [
    ['permessage-deflate', FLAGS],
    ['permessage-deflate; client_max_window_bits', FLAGS],
    ['permessage-deflate; client_max_window_bits=8', FLAGS],
    ['permessage-deflate;server_no_context_takeover;client_no_context_takeover', FLAGS],
    ['permessage-deflate; server_max_window_bits=10', `${FLAGS}; server_max_window_bits=10`],
    ['permessage-deflate; server_max_window_bits="15"', `${FLAGS}; server_max_window_bits=15`],
    ['permessage-deflate; server_max_window_bits=8, permessage-deflate', FLAGS],
    [
      'x-webkit-deflate-frame, permessage-deflate; bad=1, permessage-deflate; server_max_window_bits=9',
      `${FLAGS}; server_max_window_bits=9`,
    ],
  ];
  for (const [text, agreed] of accepted) assert.is(agreedDeflate(text, 0)?.text, agreed, text);
  const refused = [
    undefined,
    '',
    'permessage-foo',
    'permessage-deflate; server_max_window_bits=8',
    'permessage-deflate; server_max_window_bits=16',
    'permessage-deflate; server_max_window_bits',
    'permessage-deflate; server_max_window_bits=010',
    'permessage-deflate; client_max_window_bits=7',
    'permessage-deflate; client_max_window_bits=9; client_max_window_bits=9',
    'permessage-deflate; server_no_context_takeover=1',
    'permessage-deflate; unknown',
    'permessage-deflate; ;',
  ];
  for (const text of refused) assert.is(agreedDeflate(text, 0), undefined, text);
});

offers('spaces around = are allowed, and many of them take no time', () => {
  assert.is(
    agreedDeflate('permessage-deflate; server_max_window_bits = 10', 0)?.text,
    `${FLAGS}; server_max_window_bits=10`,
  );
  const beganMs = performance.now();
  for (const end of ['', 'b', '=', '= =', '"'])
    assert.is(agreedDeflate(`permessage-deflate; a${' '.repeat(200_000)}${end}`, 0), undefined);
  const tookMs = performance.now() - beganMs;
  assert.ok(tookMs < 1000, `${tookMs} ms`);
});
offers.run();

for (const host of hosts()) {
  const test = suite(`permessage-deflate (${host})`);
  let runtime;
  let server;
  const closes = [];
  const owned = []; // of each message of bytes
  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    server = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      websocket: {
        maxPayloadBytes: MAX_BYTES,
        perMessageDeflate: { thresholdBytes: 100 },
        message(ws, data) {
          if (data === 'subscribe') ws.subscribe('all');
          if (typeof data !== 'string') owned.push([data.constructor, data.length, data.buffer.byteLength]);
          ws.send(data, data !== 'x'.repeat(101));
        },
        close: (_ws, code) => closes.push(code),
      },
    });
  });
  test.after(() => runtime.close());
  const open = (fields = offer()) => WebSocketClient.open(server.port, { fields });

  test('messages are compressed both ways, from a size on', async () => {
    const client = await open();
    assert.is(client.response.headers['sec-websocket-extensions'], FLAGS);
    for (const text of ['', 'x'.repeat(99), 'ü'.repeat(50), 'ab'.repeat(50_000)]) {
      await client.send({ opcode: 1, rsv: 4, payload: compress(text) });
      const { opcode, rsv, payload } = await client.next();
      const isLong = Buffer.byteLength(text) >= 100;
      assert.equal([opcode, rsv], [1, isLong ? 4 : 0], text.slice(0, 5));
      assert.is(isLong ? inflate(payload) : payload.toString(), text);
    }
    await client.send({ opcode: 2, payload: Buffer.alloc(1000, 1) });
    const bytes = await client.next();
    assert.equal([bytes.opcode, bytes.rsv, inflate(bytes.payload).length], [2, 4, 1000]);
    await client.text('x'.repeat(101));
    assert.is((await client.next()).rsv, 0, 'the program can say no');
    const whole = compress('fragments '.repeat(100));
    await client.send({ opcode: 1, rsv: 4, fin: 0, payload: whole.subarray(0, 3) });
    await client.send({ opcode: 9, payload: 'ping' });
    await client.send({ opcode: 0, payload: whole.subarray(3) });
    assert.is((await client.next()).opcode, 10);
    assert.is(inflate((await client.next()).payload), 'fragments '.repeat(100));
    client.destroy();
  });

  test('a message whose last block says so, and empty ones', async () => {
    const client = await open();
    const last = Buffer.concat([deflateRawSync('He', SYNC), deflateRawSync('llo'), Buffer.from([0])]);
    for (const [payload, text] of [
      [last, 'Hello'],
      [compress(''), ''],
      [[], ''],
    ]) {
      await client.send({ opcode: 1, rsv: 4, payload });
      assert.is(`${(await client.next()).payload}`, text);
    }
    client.destroy();
  });

  test('a message of bytes has its whole buffer to itself', async () => {
    const client = await open();
    for (const bytes of [0, 5, 20_000, 90_000]) {
      owned.length = 0;
      await client.send({ opcode: 2, rsv: 4, payload: compress(Buffer.alloc(bytes, 'x')) });
      await client.next();
      assert.equal(owned, [[Uint8Array, bytes, bytes]]);
    }
    client.destroy();
  });

  test('a client that offers nothing gets nothing', async () => {
    const client = await open({});
    assert.is(client.response.headers['sec-websocket-extensions'], undefined);
    await client.text('x'.repeat(1000));
    assert.is((await client.next()).rsv, 0);
    await client.send({ opcode: 1, rsv: 4, payload: compress('x') });
    assert.is((await client.nextClose())[0], 1002);
    client.destroy();
  });

  test('bombs, broken data and text that is no text are refused', async () => {
    const broken = [
      [1009, 2, compress(Buffer.alloc(MAX_BYTES + 1))],
      [1009, 2, compress(Buffer.alloc(50_000_000))],
      [1007, 2, Buffer.from([0xff, 0xff, 0xff])],
      [1007, 1, compress(Buffer.from([0xff]))],
      [1007, 1, compress('Hello'.repeat(50)).subarray(0, -4)], // cut off
      [1007, 1, compress(Buffer.from('ü').subarray(0, 1))],
    ];
    for (const [code, opcode, payload] of broken) {
      const client = await open();
      await client.send({ opcode, rsv: 4, payload });
      assert.is((await client.nextClose())[0], code);
      client.destroy();
      assert.is(closes.pop(), code);
    }
  });

  test('a published message is compressed for those that can', async () => {
    const fields = [offer(), {}, offer('permessage-deflate; server_max_window_bits=9')];
    const clients = await Promise.all(fields.map((each) => open(each)));
    for (const client of clients) {
      await client.text('subscribe');
      await client.next();
    }
    const text = 'news '.repeat(1000);
    assert.is(server.publish('all', text), 3);
    const frames = await Promise.all(clients.map((client) => client.next()));
    assert.equal(
      frames.map(({ rsv }) => rsv),
      [4, 0, 0],
    );
    assert.equal([inflate(frames[0].payload), `${frames[1].payload}`, `${frames[2].payload}`], [text, text, text]);
    for (const client of clients) client.destroy();
  });

  test.run();
}
