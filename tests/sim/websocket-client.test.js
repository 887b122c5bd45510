// core: debug
// Clients of WebSockets in the simulator, on a network that splits, delays and breaks. Each run can be repeated, though
// masks are random.

import { runtime } from 'featherstar';
import { WebSocket } from 'featherstar/http';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const module = new URL('./websocket-module.js', import.meta.url);
const SEEDS = 30;
const SHARDS = 2;
const CLIENTS = 4;
const ROUNDS = 8;

/** Resolves to the echoes of one client, then the code of its end. */
function conversation(port, number) {
  return new Promise((resolve) => {
    const seen = [];
    const socket = new WebSocket(`ws://server.test:${port}/`);
    const text = (round) => `client ${number}, round ${round} ü ${'x'.repeat(round * 300)}`;
    socket.onopen = () => socket.send(text(0));
    socket.onmessage = ({ data }) => {
      if (data !== text(seen.length)) throw new Error(`client ${number} got ${data}`);
      if (seen.push('echo') === ROUNDS) socket.close(4000, 'done');
      else socket.send(text(seen.length));
    };
    socket.onerror = ({ error }) => seen.push(error.code);
    socket.onclose = ({ code }) => resolve([...seen, code]);
  });
}

async function program() {
  const port = await runtime().on(0).start(0);
  for (let shard = 1; shard < SHARDS; shard++) await runtime().on(shard).start(port);
  return Promise.all(Array.from({ length: CLIENTS }, (_, i) => conversation(port, i)));
}

const ALL = [...Array(ROUNDS).fill('echo'), 4000];

test('echoes come in order, and each connection closes by the handshake', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const options = { seed, shards: SHARDS, module, faults: { partial: 0.3 } };
    const { value, left, hash } = await simulate(options, program);
    assert.equal(value, Array(CLIENTS).fill(ALL), `seed ${seed}`);
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
    if (seed <= 3) assert.is((await simulate(options, program)).hash, hash, `seed ${seed}`);
  }
});

test('connections that break end with 1006, and take nothing with them', async () => {
  let broken = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = { partial: 0.2, reset: 0.05, noBuffers: 0.1, freeze: 0.01, spurious: 0.05 };
    const { value, left } = await simulate({ seed, shards: SHARDS, module, faults }, program);
    for (const seen of value) {
      if (seen.at(-1) !== 4000) {
        broken++;
        assert.is(seen.at(-1), 1006, `seed ${seed}: ${seen}`);
      }
    }
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
  assert.ok(broken > 5, `${broken}`);
});

test.run();
