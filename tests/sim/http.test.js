// core: debug
// serve() in the simulator, unchanged: requests in parts, kept alive, on connections that break.

import { runtime } from 'featherstar';
import { connect } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const module = new URL('./http-module.js', import.meta.url);
const SEEDS = 40;
const SHARDS = 2;
const BODY = 'x'.repeat(5000);

/** Asks twice on one connection. Returns all that came. */
async function ask(port) {
  const socket = await connect({ port, hostname: 'server.test' });
  try {
    const post = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\nConnection: close\r\n\r\n${BODY}`;
    await socket.write(`GET / HTTP/1.1\r\nHost: a\r\n\r\n${post}`);
    let text = '';
    for await (const bytes of socket) text += Buffer.from(bytes).toString('latin1');
    return text;
  } finally {
    socket.close();
  }
}

async function program() {
  const rt = runtime();
  const port = await rt.on(0).start(0);
  for (let i = 1; i < SHARDS; i++) await rt.on(i).start(port);
  return Promise.allSettled(Array.from({ length: 6 }, () => ask(port)));
}

test('requests are answered, whatever parts they come in', async () => {
  const shards = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed, shards: SHARDS, module, faults: { partial: 0.3 } }, program);
    for (const { status, value: text, reason } of value) {
      assert.is(status, 'fulfilled', String(reason));
      const [, shard] = /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nshard (\d)HTTP\/1\.1 200 OK\r\n/.exec(text) ?? [];
      shards.add(shard);
      assert.ok(text.endsWith(`\r\n\r\n${BODY}`), text.slice(0, 400));
      assert.match(text, /\r\nDate: Thu, 01 Jan 2026 00:00:0\d GMT\r\n/);
    }
  }
  assert.equal([...shards].sort(), ['0', '1']);
});

test('connections that break take nothing with them', async () => {
  let broken = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = {
      partial: 0.2,
      reset: 0.1,
      refuse: 0.1,
      noBuffers: 0.1,
      noFiles: 0.05,
      errno: 0.03,
      freeze: 0.01,
      spurious: 0.05,
    };
    const { value, left } = await simulate({ seed, shards: SHARDS, module, faults }, program);
    for (const { status, reason } of value) {
      if (status === 'fulfilled') continue;
      assert.is(reason.code, 'FEATHERSTAR_SYSTEM', String(reason));
      broken++;
    }
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
  assert.ok(broken > 10, `${broken}`);
});

test.run();
