// Ends of a WebSocket that cross, on both hosts: a close frame waits behind messages, or a side ends before the
// handshake is done.
//
// Next: topics.test.js.

import { serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { Client, until } from '../support/http.js';
import { handshake, WebSocketClient } from './client.js';
import { frame } from './frame.js';

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const PENDING_MAX = 16;
const PATIENT_MS = 60_000; // no test waits so long for the peer's close frame
const text = (payload) => frame({ opcode: 1, payload });
const closeFrame = (code) => frame({ opcode: 8, payload: [code >> 8, code & 255] });

for (const host of hosts()) {
  const { check, run } = oneShardSuite('WebSocket: ends that cross', host);

  /** Runs with a server, whose connections are over when it ends. */
  const checkWith = (name, options, act) =>
    check(name, async () => {
      const events = [];
      const server = await serve({
        hostname: '127.0.0.1',
        fetch: options.fetch ?? ((_request, info) => info.upgrade()),
        onError: ({ message }) => events.push(message),
        websocket: {
          closeTimeoutMs: PATIENT_MS,
          idleTimeoutMs: 0,
          open: () => events.push('open'),
          close: (_ws, code, reason) => events.push(`close ${code} ${reason}`),
          ...options.websocket?.(events),
        },
      });
      await act(server, events);
      await until(() => server.stats.connections === 0, 'all connections are closed');
      await server.close();
    });

  checkWith(
    'a handler closes while the close frame of the peer waits behind its message',
    { websocket: () => ({ message: (ws) => ws.close(4000, 'mine') }) },
    async ({ port }, events) => {
      // Frames that come with the handshake lie in memory of all connections. So they wait until all are parsed.
      const client = await WebSocketClient.open(port, { behind: [text('x'), closeFrame(3001)] });
      assert.equal(await client.nextClose(), [4000, 'mine']);
      await client.ended();
      client.raw.end();
      assert.equal(events, ['open', 'close 4000 mine']);
    },
  );

  checkWith('the close frame of a peer comes back, with its code and its reason', {}, async ({ port }, events) => {
    for (const [code, reason] of [
      [1000, ''],
      [4000, 'ü'.repeat(61)],
    ]) {
      events.length = 0;
      const client = await WebSocketClient.open(port);
      await client.close(code, reason);
      assert.equal(await client.nextClose(), [code, reason]);
      await client.ended();
      client.raw.end();
      assert.equal(events, ['open', `close ${code} ${reason}`]);
    }
  });

  checkWith(
    'a text that is on its way while the server closes is dropped, not checked',
    { websocket: () => ({ ping: (ws) => ws.close(3001) }) },
    async ({ port }, events) => {
      const client = await WebSocketClient.open(port);
      await client.send({ opcode: 1, fin: 0, payload: [0x61, 0xc3] }); // half of ü
      await client.send({ opcode: 9 });
      assert.is((await client.next()).opcode, 10);
      assert.equal(await client.nextClose(), [3001, '']);
      await client.send({ opcode: 0, payload: [0xbc] });
      await client.send({ opcode: 1, payload: [0xff] });
      await client.close(3001);
      await client.ended();
      client.raw.end();
      assert.equal(events, ['open', 'close 3001 ']);
    },
  );

  const blocked = [];
  checkWith(
    'a program closes while a close frame waits, because too many promises are pending',
    {
      websocket: () => ({
        message: (ws) => new Promise((resolve) => blocked.push({ ws, resolve })),
      }),
    },
    async ({ port }, events) => {
      const client = await WebSocketClient.open(port);
      const messages = Array.from({ length: PENDING_MAX + 4 }, () => text('x'));
      await client.raw.write(Buffer.concat([...messages, closeFrame(3001)]));
      await until(() => blocked.length === PENDING_MAX, 'it is blocked');
      await later(50); // the rest has come
      blocked[0].ws.close(4000);
      assert.equal(events, ['open', 'close 4000 ']);
      for (const { resolve } of blocked.splice(0)) resolve();
      assert.equal(await client.nextClose(), [4000, '']);
      await client.ended();
      client.raw.end();
      assert.is(blocked.length, 0, 'no message is delivered behind close()');
    },
  );

  checkWith(
    'messages before a broken frame are delivered, also if they came with the handshake',
    { websocket: (events) => ({ message: (_ws, data) => events.push(data) }) },
    async ({ port }, events) => {
      const behind = [text('one'), text('two'), frame({ opcode: 3 })];
      const client = await WebSocketClient.open(port, { behind });
      assert.is((await client.nextClose())[0], 1002);
      await client.ended();
      client.raw.end();
      assert.equal(events, ['open', 'one', 'two', 'close 1002 a frame broke the protocol']);
    },
  );

  checkWith(
    'a silent peer that was not listened to for long is pinged before it is cut off',
    {
      websocket: () => ({
        idleTimeoutMs: 400,
        message: (ws) => new Promise((resolve) => blocked.push({ ws, resolve })),
      }),
    },
    async ({ port }) => {
      const client = await WebSocketClient.open(port);
      await client.raw.write(Buffer.concat(Array.from({ length: PENDING_MAX }, () => text('x'))));
      await later(1000);
      for (const { resolve } of blocked.splice(0)) resolve();
      assert.is((await client.next()).opcode, 9);
      await client.send({ opcode: 10 });
      assert.is((await client.next()).opcode, 9, 'its pong counts');
      await client.ended();
      client.raw.end();
    },
  );

  checkWith('a text in fragments that no string can hold: 1009', {}, async ({ port }, events) => {
    const client = await WebSocketClient.open(port);
    const original = Buffer.prototype.toString;
    Buffer.prototype.toString = function (...args) {
      if (this.length === 'grüße'.length + 2)
        throw new Error('Cannot create a string longer than 0x1fffffe8 characters');
      return original.apply(this, args);
    };
    try {
      await client.send({ opcode: 1, payload: 'grü', fin: 0 });
      await client.send({ opcode: 0, payload: 'ße' });
      await until(() => events.length === 2, 'it is closed');
    } finally {
      Buffer.prototype.toString = original;
    }
    assert.equal(events, ['open', 'close 1009 the message is too large']);
    assert.is((await client.nextClose())[0], 1009);
    await client.ended();
    client.raw.end();
  });

  const slow = async (_request, info) => {
    const response = info.upgrade();
    await later(100);
    return response;
  };

  for (const behind of [[], [text('x')]]) {
    checkWith(
      `a client leaves before the handler returns the upgrade, with ${behind.length} messages`,
      { fetch: slow, websocket: (events) => ({ message: () => events.push('message') }) },
      async (server, events) => {
        const client = await Client.open(server.port);
        await client.write(Buffer.concat([Buffer.from(handshake()), ...behind]));
        client.end();
        await until(() => client.ending !== undefined, 'it is closed');
        client.destroy();
        assert.equal(events, [], 'no WebSocket');
      },
    );
  }

  let upgradeError;
  checkWith(
    'a client leaves before the handler calls upgrade(): that is no error of the program',
    {
      fetch: async (_request, info) => {
        await later(100);
        try {
          return info.upgrade();
        } catch (error) {
          upgradeError = error;
          throw error;
        }
      },
    },
    async (server, events) => {
      for (const leave of ['end', 'reset']) {
        const client = await Client.open(server.port);
        await client.write(handshake());
        await until(() => server.stats.requests === (leave === 'end' ? 1 : 2), 'the handler runs');
        client[leave]();
        await until(() => upgradeError !== undefined, 'the handler is told');
        assert.is(upgradeError.code, 'FEATHERSTAR_CLOSED');
        upgradeError = undefined;
        client.destroy();
      }
      assert.equal(events, []);
    },
  );

  checkWith(
    'the server closes before the handler returns the upgrade: 503',
    { fetch: slow },
    async (server, events) => {
      const client = await Client.open(server.port);
      await client.write(handshake());
      await until(() => server.stats.requests === 1, 'the handler runs');
      const closing = server.close();
      assert.is((await client.response()).status, 503);
      await until(() => client.ending !== undefined, 'it is closed');
      client.end();
      await closing;
      assert.equal(events, [], 'no WebSocket');
    },
  );

  checkWith(
    'a handshake with a body is refused, also when the body has been read',
    {
      fetch: async (request, info) => {
        await request.text();
        return info.upgrade();
      },
    },
    async (server, events) => {
      const client = await Client.open(server.port);
      await client.write(`${handshake({ 'Content-Length': '3' })}abc`);
      assert.is((await client.response()).status, 400);
      client.destroy();
      assert.equal(events, []);
    },
  );

  run();
}
