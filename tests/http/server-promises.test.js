// Handlers that return promises of a class of their own, whose then() does what it likes. A request gets one response,
// and it is its own.

import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { Client, get, until } from '../support/http.js';
import { WebSocketClient } from '../websocket/client.js';
import { later, ServerRig, stream } from './server-rig.js';

const PENDING_MAX = 16; // docs/limits.md

/** Calls back with each outcome of `outcomes(value)`, in this order: [0 or 1, value]. */
function odd(value, outcomes) {
  class Odd extends Promise {}
  withThen(Odd.prototype, (...callbacks) => {
    for (const [which, outcome] of outcomes(value)) callbacks[which]?.(outcome);
  });
  return Odd.resolve(value);
}

const withThen = (promise, then) => Object.defineProperty(promise, 'then', { value: then });
const another = () => new Response('another');
const ODD = {
  'with a second value': (value) => [
    [0, value],
    [0, another()],
  ],
  'with an error behind it': (value) => [
    [0, value],
    [1, new Error('behind it')],
  ],
  'many times': (value) => [[0, value], ...Array.from({ length: 5 }, () => [0, another()])],
};

for (const host of hosts()) {
  const rig = new ServerRig('promises', host);

  for (const [name, outcomes] of Object.entries(ODD)) {
    for (const body of ['text', 'stream']) {
      rig.check(`a then() that calls back ${name}: ${body}`, async () => {
        const slow = async (request) => {
          await later(5);
          return new Response(request.path);
        };
        rig.handler = (request) => {
          if (request.path !== '/odd') return slow(request);
          const response = new Response(body === 'text' ? 'odd' : stream(['od', 'd'], 5));
          return odd(response, outcomes);
        };
        const client = await Client.open(rig.server.port);
        for (const path of ['/odd', '/one', '/odd', '/two', '/odd']) await client.write(get(path));
        for (const text of ['odd', '/one', 'odd', '/two', 'odd']) assert.is((await client.response()).text, text);
        await later(20);
        assert.is(client.pending.length, 0, 'nothing follows');
        client.destroy();
      });
    }
  }

  rig.check('a then() of the promise itself, one that throws, and one that never calls back', async () => {
    const own = withThen(Promise.resolve(new Response('unused')), (onValue) => {
      onValue(new Response('own'));
      onValue(another());
    });
    const throwing = withThen(Promise.resolve(), () => {
      throw new Error('no then');
    });
    assert.is((await rig.answerOf(() => own)).text, 'own');
    assert.is((await rig.answerOf(() => throwing)).status, 500);
    assert.is(rig.errors.splice(0)[0].message, 'no then');
    rig.handler = () => withThen(Promise.resolve(), () => {});
    const client = await Client.open(rig.server.port);
    await client.write(get());
    await later(20);
    assert.is(client.pending.length, 0);
    client.destroy();
  });

  rig.check('a WebSocket counts each promise of its handler once', async () => {
    const waiting = [];
    const message = (_ws, data) => {
      if (data === 'odd') return odd(undefined, () => Array(5).fill([0]));
      return new Promise((resolve) => waiting.push(resolve));
    };
    const fetch = (_request, info) => info.upgrade();
    const server = await serve({ hostname: '127.0.0.1', fetch, websocket: { message } });
    const client = await WebSocketClient.open(server.port);
    for (let i = 0; i < 10; i++) await client.text('odd');
    for (let i = 0; i < 2 * PENDING_MAX; i++) await client.text('even');
    await until(() => waiting.length >= PENDING_MAX, 'messages are handled');
    await later(50);
    assert.is(waiting.length, PENDING_MAX);
    client.destroy();
    await server.close();
  });

  rig.run();
}
