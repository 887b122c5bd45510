// WebSockets of serve(): the handshake, messages both ways, every end, limits and backpressure, with a client that
// sends frame by frame, on both hosts. A test that leaves an error or a connection behind has failed.
//
// Next: autobahn.test.js.

import { FeatherstarError, Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts } from '../support/hosts.js';
import { ask, until, within } from '../support/http.js';
import { handshake, KEY, WebSocketClient } from './client.js';
import { frame } from './frame.js';

const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='; // RFC 6455 1.3
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The next event of that name. */
const once = (target, name) =>
  within(new Promise((resolve) => target.addEventListener(name, resolve, { once: true })), `the event ${name}`);

class Rig {
  errors = [];
  closes = [];
  server;
  handlers = {};
  fetch = (_request, info) => info.upgrade();
  #test;
  #base;

  constructor(host) {
    const test = suite(`WebSocket (${host})`);
    let runtime;
    test.before(async () => {
      runtime = await Runtime.start({ shards: 1, host });
      this.server = await this.serve({ closeTimeoutMs: 300 });
      await later(20); // the accept is staged
      this.#base = holdings();
    });
    test.after(() => runtime.close());
    this.#test = test;
  }

  /** A server whose handlers are those of the test. */
  serve(options) {
    const call = (name) => ({ [name]: (...args) => this.handlers[name]?.(...args) });
    const { closes } = this;
    return serve({
      hostname: '127.0.0.1',
      fetch: (request, info) => this.fetch(request, info),
      onError: (error) => this.errors.push(error),
      websocket: {
        ...call('open'),
        ...call('message'),
        ...call('drain'),
        ...call('ping'),
        ...call('pong'),
        close: (ws, code, reason) => closes.push([code, reason, ws.readyState]),
        ...options,
      },
    });
  }

  check(name, run) {
    this.#test(name, async () => {
      this.errors.length = 0;
      this.closes.length = 0;
      this.handlers = { message: (ws, data) => ws.send(data) };
      this.fetch = (_request, info) => info.upgrade();
      await run();
      assert.equal(this.errors, []);
      await until(() => this.server.stats.connections === 0, 'all connections are closed');
      await back(this.#base);
    });
  }

  open(options, server = this.server) {
    return WebSocketClient.open(server.port, options);
  }

  run() {
    this.#test.run();
  }
}

/** Closes by the handshake. */
async function bye(client, code = 1000) {
  await client.close(code);
  assert.equal(await client.nextClose(), [code, '']);
  assert.is((await client.ended()).length, 0);
  client.raw.end();
}

function handshakes(rig) {
  const status = async (...args) => (await ask(rig.server.port, handshake(...args))).status;

  rig.check('the handshake of the RFC is accepted, with what the handler adds', async () => {
    rig.fetch = (request, info) => {
      assert.is(request.headers.get('sec-websocket-key'), KEY);
      return info.upgrade({ protocol: 'chat', headers: { 'X-Own': 'yes' }, data: { name: 'Ada' } });
    };
    let seen;
    rig.handlers.open = (ws) => {
      seen = [ws.data, ws.protocol, ws.readyState, ws.bufferedAmount > 0, ws.remoteAddress];
    };
    const client = await rig.open({ fields: { 'Sec-WebSocket-Protocol': 'soap, chat' } });
    const { headers } = client.response;
    assert.is(headers['sec-websocket-accept'], ACCEPT);
    assert.equal([headers.upgrade, headers.connection], ['websocket', 'Upgrade']);
    assert.equal([headers['sec-websocket-protocol'], headers['x-own']], ['chat', 'yes']);
    assert.equal(seen, [{ name: 'Ada' }, 'chat', 1, true, '127.0.0.1']);
    await bye(client);
  });

  rig.check('a request that is no handshake gets 426 or 400', async () => {
    const plain = await ask(rig.server.port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal([plain.status, plain.headers['sec-websocket-version']], [426, '13']);
    for (const fields of [{ Upgrade: undefined }, { Upgrade: 'h2c' }, { Connection: 'close' }]) {
      assert.is(await status(fields), 426, JSON.stringify(fields));
    }
    for (const version of ['12', '013', '8, 13', undefined])
      assert.is(await status({ 'Sec-WebSocket-Version': version }), 426, version);
    for (const key of ['', 'x', `${KEY}A`, KEY.slice(1), 'dGhlIHNhbXBsZSBub25jZR==', undefined])
      assert.is(await status({ 'Sec-WebSocket-Key': key }), 400, key);
    assert.is(await status({ 'Content-Length': '2' }, 'GET / HTTP/1.1'), 400);
    assert.is(await status({}, 'PUT / HTTP/1.1'), 400);
    assert.is(await status({ Upgrade: 'foo, WebSocket', Connection: 'keep-alive, upgrade' }), 101);
  });

  rig.check('options that cannot be are errors of the handler', async () => {
    const wrong = [
      { protocol: 'other' },
      { protocol: 'cha' },
      { headers: { Connection: 'close' } },
      { headers: { 'Sec-WebSocket-Accept': 'x' } },
      { headers: { 'content-length': '1' } },
      { unknown: 1 },
    ];
    for (const options of wrong) {
      rig.fetch = (_request, info) => {
        assert.throws(
          () => info.upgrade(options),
          (error) => FeatherstarError.is(error) && error.code === 'FEATHERSTAR_OPTION',
        );
        return new Response('no');
      };
      const { status } = await ask(rig.server.port, handshake({ 'Sec-WebSocket-Protocol': 'chat' }));
      assert.is(status, 200, JSON.stringify(options));
    }
  });

  rig.check('what upgrade() returns counts for its own request only', async () => {
    let other;
    rig.fetch = (_request, info) => {
      other = info.upgrade();
      return new Response('changed my mind');
    };
    assert.is((await ask(rig.server.port, handshake())).text, 'changed my mind');
    rig.fetch = () => other;
    assert.is((await ask(rig.server.port, handshake())).status, 500);
    assert.is(rig.errors.splice(0)[0].code, 'FEATHERSTAR_OPTION');
  });

  rig.check('a handler that takes its time, and frames that were sent ahead', async () => {
    for (const wait of [undefined, 0, 30]) {
      rig.fetch = async (_request, info) => {
        if (wait !== undefined) await later(wait);
        return info.upgrade();
      };
      const behind = [frame({ opcode: 1, payload: 'early' }), frame({ opcode: 2, payload: Buffer.alloc(9000, 1) })];
      const client = await rig.open({ behind });
      assert.equal(await client.nextText(), [1, 'early'], `${wait}`);
      assert.is((await client.next()).payload.length, 9000);
      await bye(client);
    }
  });
}

function messages(rig) {
  rig.check('text and bytes of every size come back as they were', async () => {
    const client = await rig.open();
    for (const size of [0, 1, 64, 65, 125, 126, 4000, 4090, 4096, 5000, 65_535, 65_536, 300_000]) {
      const text = '0123456789abcdef'.repeat(size / 16 + 1).slice(0, size);
      await client.text(text);
      assert.equal(await client.nextText(), [1, text]);
      await client.send({ opcode: 2, payload: Buffer.from(text) });
      assert.equal(await client.nextText(), [2, text]);
    }
    await client.text('grüße \u{1f600}');
    assert.equal(await client.nextText(), [1, 'grüße \u{1f600}']);
    await client.text('ü'.repeat(3000));
    assert.equal(await client.nextText(), [1, 'ü'.repeat(3000)]);
    await bye(client);
    assert.equal(rig.closes, [[1000, '', 3]]);
  });

  rig.check('a message in many fragments and pieces, with a ping between them', async () => {
    const client = await rig.open();
    const parts = [];
    for (let i = 0; i < 50; i++) parts.push(frame({ opcode: i === 0 ? 1 : 0, fin: 0, payload: `${i}ü` }));
    parts.splice(20, 0, frame({ opcode: 9, payload: 'between' }));
    parts.push(frame({ opcode: 0, payload: '' }));
    const bytes = Buffer.concat(parts);
    for (let at = 0; at < bytes.length; at += 13) await client.raw.write(bytes.subarray(at, at + 13));
    assert.equal(await client.nextText(), [10, 'between']);
    assert.equal(await client.nextText(), [1, Array.from({ length: 50 }, (_, i) => `${i}ü`).join('')]);
    await bye(client);
  });

  rig.check('many messages in one piece come in order, and so do their answers', async () => {
    const client = await rig.open();
    const count = 3000;
    await client.raw.write(
      Buffer.concat(Array.from({ length: count }, (_, i) => frame({ opcode: 1, payload: `${i}` }))),
    );
    for (let i = 0; i < count; i++) assert.equal(await client.nextText(), [1, `${i}`]);
    await bye(client);
  });

  rig.check('pings are answered, and handlers are told of pings and pongs', async () => {
    const seen = [];
    rig.handlers.ping = (_ws, data) => seen.push(['ping', Buffer.from(data).toString()]);
    rig.handlers.pong = (ws, data) => {
      seen.push(['pong', Buffer.from(data).toString()]);
      assert.ok(ws.ping('are you there?') > 0 && ws.pong() > 0);
    };
    const client = await rig.open();
    await client.send({ opcode: 9, payload: 'a' });
    assert.equal(await client.nextText(), [10, 'a']);
    await client.send({ opcode: 10, payload: 'b' });
    assert.equal(await client.nextText(), [9, 'are you there?']);
    assert.equal(await client.nextText(), [10, '']);
    assert.equal(seen, [
      ['ping', 'a'],
      ['pong', 'b'],
    ]);
    await bye(client);
  });

  rig.check('bytes of every kind are sent, and nothing else', async () => {
    rig.handlers.message = (ws) => {
      const bytes = Uint8Array.from([1, 2, 3, 4]);
      const sizes = [bytes, bytes.buffer, new DataView(bytes.buffer, 1, 2)].map((data) => ws.send(data));
      assert.equal(sizes, [6, 6, 4]);
      for (const data of [undefined, null, 1, {}, [1]]) assert.throws(() => ws.send(data), /data must be/);
      assert.throws(() => ws.ping('x'.repeat(126)), /at most 125 bytes/);
    };
    const client = await rig.open();
    await client.text('go');
    for (const hex of ['01020304', '01020304', '0203']) assert.is((await client.next()).payload.toString('hex'), hex);
    await bye(client);
  });

  rig.check('an error of a handler is reported, and the connection goes on', async () => {
    rig.handlers.message = (ws, data) => {
      ws.send(data);
      throw new Error('sync');
    };
    const client = await rig.open();
    await client.text('1');
    await client.nextText();
    rig.handlers.message = async (ws, data) => {
      ws.send(data);
      throw new Error('async');
    };
    await client.text('2');
    await client.nextText();
    await bye(client);
    assert.equal(
      rig.errors.splice(0).map(({ message }) => message),
      ['sync', 'async'],
    );
  });
}

function ends(rig) {
  rig.check('the server closes: it waits for the close frame of the peer', async () => {
    rig.handlers.message = (ws) => {
      ws.close(3001, 'enough ü');
      ws.close(1000);
      assert.is(ws.readyState, 2);
      assert.is(ws.send('late'), 0);
    };
    const client = await rig.open();
    await client.text('go');
    assert.equal(await client.nextClose(), [3001, 'enough ü']);
    await client.text('this comes too late');
    await client.close(3001);
    await client.ended();
    client.raw.end();
    assert.equal(rig.closes, [[3001, 'enough ü', 3]]);
  });

  rig.check('a peer that does not reply to a close frame is cut off', async () => {
    rig.handlers.open = (ws) => ws.close();
    const client = await rig.open();
    assert.equal(await client.nextClose(), [1000, '']);
    await client.ended();
    assert.equal(rig.closes, [[1006, '', 3]]);
  });

  rig.check('close() takes codes that may be sent, and short reasons', async () => {
    rig.handlers.message = (ws) => {
      for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 1.5, 'x'])
        assert.throws(() => ws.close(code), /code must be/, `${code}`);
      assert.throws(() => ws.close(1000, 'ü'.repeat(62)), /at most 123 bytes/);
      ws.close(1014, `${'ü'.repeat(61)}x`);
    };
    const client = await rig.open();
    await client.text('go');
    assert.equal(await client.nextClose(), [1014, `${'ü'.repeat(61)}x`]);
    await client.close(1014);
    await client.ended();
  });

  rig.check('a close frame without a code, and one that is wrong', async () => {
    const client = await rig.open();
    await client.close();
    assert.equal(await client.nextClose(), [1005, '']);
    await client.ended();
    const bad = await rig.open();
    await bad.close(1005);
    assert.is((await bad.nextClose())[0], 1002);
    await bad.ended();
    const split = await rig.open();
    const bytes = frame({ opcode: 8, payload: [3, 0xe8, ...Buffer.from('split')] });
    for (const byte of bytes) await split.raw.write(Buffer.from([byte]));
    assert.equal(await split.nextClose(), [1000, 'split']);
    await split.ended();
    assert.equal(
      rig.closes.map(([code, reason]) => [code, reason]),
      [
        [1005, ''],
        [1002, 'a frame broke the protocol'],
        [1000, 'split'],
      ],
    );
    for (const each of [client, bad, split]) each.raw.end();
  });

  rig.check('a broken frame closes with its code, behind what came before', async () => {
    const broken = [
      [1002, frame({ opcode: 3 })],
      [1002, frame({ payload: 'x', mask: null })],
      [1007, frame({ opcode: 1, payload: [0xff] })],
      [1009, frame({ length: 20_000_000 })],
    ];
    for (const [code, bytes] of broken) {
      const client = await rig.open();
      await client.raw.write(Buffer.concat([frame({ opcode: 1, payload: 'before' }), bytes, frame({ opcode: 1 })]));
      assert.equal(await client.nextText(), [1, 'before']);
      assert.is((await client.nextClose())[0], code);
      assert.is((await client.ended()).length, 0, 'nothing behind it');
      client.raw.end();
      assert.is(rig.closes.pop()[0], code);
    }
  });

  rig.check('a peer that leaves without a word: 1006', async () => {
    for (const leave of ['end', 'reset']) {
      const client = await rig.open();
      await client.text('x');
      await client.nextText();
      client.raw[leave]();
      await until(() => rig.closes.length === 1, 'the handler is told');
      assert.equal(rig.closes.splice(0), [[1006, '', 3]], leave);
      client.destroy();
    }
  });

  rig.check('terminate() closes at once, also in the middle of a message', async () => {
    rig.handlers.message = (ws) => {
      ws.terminate();
      assert.is(ws.readyState, 3);
    };
    const client = await rig.open();
    await client.raw.write(Buffer.concat([frame({ opcode: 1 }), frame({ opcode: 1 })]));
    await client.ended();
    assert.equal(rig.closes, [[1006, '', 3]]);
  });

  rig.check('server.close() sends 1001 and waits', async () => {
    const server = await rig.serve({});
    const client = await rig.open({}, server);
    const silent = await rig.open({}, server);
    let isClosed = false;
    const closing = server.close({ timeoutMs: 700 }).then(() => {
      isClosed = true;
    });
    assert.equal(await client.nextClose(), [1001, '']);
    assert.not(isClosed);
    await client.close(1001);
    await client.ended();
    client.raw.end();
    assert.equal(await silent.nextClose(), [1001, '']);
    await closing;
    assert.equal(rig.closes, [
      [1001, '', 3],
      [1006, '', 3],
    ]);
    silent.destroy();
  });
}

function limits(rig) {
  rig.check('a silent peer is pinged, and closed when it does not reply', async () => {
    const server = await rig.serve({ idleTimeoutMs: 400 });
    const client = await rig.open({}, server);
    assert.is((await client.next()).opcode, 9);
    await client.send({ opcode: 10 });
    assert.is((await client.next()).opcode, 9, 'its pong counts');
    assert.is((await client.ended()).length, 0);
    client.destroy();
    assert.equal(rig.closes, [[1006, '', 3]]);
    await server.close();
  });

  rig.check('without pings, silence is the end', async () => {
    const server = await rig.serve({ idleTimeoutMs: 100, sendPings: false });
    const client = await rig.open({}, server);
    assert.is((await client.ended()).length, 0);
    client.destroy();
    await server.close();
  });

  rig.check('a message that is as large as may be, and one that is larger', async () => {
    const server = await rig.serve({ maxPayloadBytes: 1000 });
    const client = await rig.open({}, server);
    await client.text('x'.repeat(1000));
    assert.is((await client.nextText())[1].length, 1000);
    await client.send({ fin: 0, payload: Buffer.alloc(600) });
    await client.send({ opcode: 0, payload: Buffer.alloc(401) });
    assert.is((await client.nextClose())[0], 1009);
    await client.ended();
    client.raw.end();
    await server.close();
  });

  rig.check('a slow peer: send() says so, drops at the limit, and drain follows', async () => {
    const server = await rig.serve({ maxBacklogBytes: 8_000_000 });
    const message = new Uint8Array(1_000_000);
    const results = [];
    let drains = 0;
    rig.handlers.message = (ws) => {
      for (let i = 0; i < 30; i++) results.push(ws.send(message));
    };
    rig.handlers.drain = () => drains++;
    const client = await rig.open({ paused: true }, server);
    await client.text('go');
    await until(() => results.length === 30, 'all is sent');
    const accepted = results.filter((result) => result === -1).length;
    assert.equal(new Set(results), new Set([-1, 0]));
    assert.ok(accepted >= 8 && accepted <= 10, `${accepted}`);
    client.raw.resume();
    for (let i = 0; i < accepted; i++) assert.is((await client.next()).payload.length, 1_000_000);
    await until(() => drains > 0, 'drain');
    assert.is(drains, 1);
    await bye(client);
    await server.close();
  });

  rig.check('a slow peer can be closed instead', async () => {
    const server = await rig.serve({ maxBacklogBytes: 100_000, closeOnBacklog: true });
    rig.handlers.message = (ws) => {
      for (let i = 0; i < 20; i++) ws.send(new Uint8Array(1_000_000));
    };
    const client = await rig.open({ paused: true }, server);
    await client.text('go');
    await until(() => rig.closes.length === 1, 'it is closed');
    assert.is(rig.closes[0][0], 1006);
    client.destroy();
    await server.close();
  });

  rig.check('while a peer does not take its echoes, or promises are pending, no more is received', async () => {
    const client = await rig.open({ paused: true });
    let received = 0;
    rig.handlers.message = (ws, data) => {
      received += data.length;
      ws.send(data);
    };
    const payload = Buffer.alloc(100_000);
    const count = 300;
    const all = Promise.all(Array.from({ length: count }, () => client.send({ payload })));
    await later(200);
    assert.ok(received < (count * payload.length) / 2, `${received} bytes`);
    client.raw.resume();
    for (let i = 0; i < count; i++) assert.is((await client.next()).payload.length, payload.length);
    await all;

    const waiting = [];
    rig.handlers.message = () => new Promise((resolve) => waiting.push(resolve));
    await Promise.all(Array.from({ length: 40 }, () => client.text('x')));
    await later(50);
    assert.is(waiting.length, 16);
    await client.send({ opcode: 9, payload: 'still' });
    for (let done = 0; done < 40; ) {
      await until(() => waiting.length > 0, 'the next');
      for (const resolve of waiting.splice(0)) {
        resolve();
        done++;
      }
    }
    assert.equal(await client.nextText(), [10, 'still']);
    await bye(client);
  });

  rig.check('a pong is not forgotten while much waits', async () => {
    rig.handlers.message = (ws) => ws.send(new Uint8Array(3_000_000));
    const client = await rig.open({ paused: true });
    await client.raw.write(Buffer.concat([frame({ opcode: 1 }), frame({ opcode: 9, payload: 'a' })]));
    await client.send({ opcode: 9, payload: 'b' });
    client.raw.resume();
    const opcodes = [];
    let last;
    do {
      last = await client.next();
      opcodes.push(last.opcode);
    } while (last.payload.toString() !== 'b');
    assert.is(opcodes[0], 2);
    await bye(client);
  });

  rig.check('options that cannot be', async () => {
    const wrong = [
      { maxPayloadBytes: 0 },
      { maxPayloadBytes: 2 ** 31 },
      { maxBacklogBytes: -1 },
      { idleTimeoutMs: -1 },
      { closeTimeoutMs: 0 },
      { sendPings: 1 },
      { closeOnBacklog: 'yes' },
      { message: 'no' },
      { unknown: 1 },
    ];
    for (const options of wrong) {
      const error = await rig.serve(options).catch((reason) => reason);
      assert.ok(FeatherstarError.is(error) && error.code === 'FEATHERSTAR_OPTION', JSON.stringify(options));
    }
    const plain = await serve({
      hostname: '127.0.0.1',
      fetch: (_request, info) => info.upgrade(),
      onError: (error) => rig.errors.push(error),
    });
    assert.is((await ask(plain.port, handshake())).status, 500);
    assert.match(rig.errors.splice(0)[0].message, /needs the option `websocket`/);
    await plain.close();
  });
}

function platform(rig) {
  if (globalThis.WebSocket === undefined) {
    console.log('# skipped: the platform has no WebSocket');
    return;
  }
  rig.check("the platform's own client gets what it has sent, and both sides close", async () => {
    rig.fetch = (request, info) =>
      info.upgrade({ protocol: request.headers.has('sec-websocket-protocol') ? 'echo' : undefined });
    rig.handlers.message = (ws, data) => (data === 'close' ? ws.close(4001, 'as you wish') : ws.send(data));
    const Client = globalThis.WebSocket;
    const client = new Client(`ws://127.0.0.1:${rig.server.port}/`, ['other', 'echo']);
    client.binaryType = 'arraybuffer';
    await once(client, 'open');
    assert.is(client.protocol, 'echo');
    for (const text of ['', 'grüße', 'long '.repeat(20_000)]) {
      client.send(text);
      assert.is((await once(client, 'message')).data, text);
    }
    for (const size of [0, 125, 126, 65_535, 65_536, 1_000_000]) {
      const bytes = new Uint8Array(size).fill(7);
      client.send(bytes);
      assert.equal(new Uint8Array((await once(client, 'message')).data), bytes);
    }
    client.close(3000, 'enough');
    const { code, wasClean } = await once(client, 'close');
    assert.equal([code, wasClean], [3000, true]);
    assert.equal(rig.closes.pop().slice(0, 2), [3000, 'enough']);

    const other = new Client(`ws://127.0.0.1:${rig.server.port}/`);
    await once(other, 'open');
    other.send('close');
    const closed = await once(other, 'close');
    assert.equal([closed.code, closed.reason, closed.wasClean], [4001, 'as you wish', true]);
  });
}

for (const host of hosts()) {
  const rig = new Rig(host);
  for (const part of [handshakes, messages, ends, limits, platform]) part(rig);
  rig.run();
}
