// core: debug
// listen() behind proxies in the simulator: headers in pieces, clients that leave or never finish theirs.

import { runtime, sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SEEDS = 60;
const CLIENTS = 8;
const HEADER_MS = 10_000;
const SLACK_MS = 200;

/** A client behind a proxy. Resolves to what became of it. */
async function live(world, port, number) {
  const header = `PROXY TCP4 192.0.2.${number} 192.0.2.200 ${1000 + number} 80\r\n`;
  const kind = ['whole', 'in pieces', 'cut', 'silent', 'leaves', 'resets'][Math.floor(Math.random() * 6)];
  const socket = await world.connect({ port, hostname: 'server.test' });
  const beganMs = performance.now();
  try {
    if (kind === 'in pieces') {
      for (const byte of header) {
        await socket.write(byte);
        if (Math.random() < 0.2) await sleep(Math.random() * 50);
      }
      await socket.write(`${number}`);
    } else if (kind === 'whole') await socket.write(`${header}${number}`);
    else if (kind !== 'silent')
      await socket.write(header.slice(0, 1 + Math.floor(Math.random() * (header.length - 1))));
    if (kind === 'leaves') await socket.end();
    if (kind === 'resets') {
      socket.reset();
      return { kind };
    }
    let text = '';
    for (let bytes = await socket.read(); bytes !== null; bytes = await socket.read()) text += Buffer.from(bytes);
    return { kind, number, text, tookMs: performance.now() - beganMs };
  } finally {
    socket.close();
  }
}

async function program(world) {
  const listener = await listen({ port: 80, proxy: { trust: 1, expectProtocol: true } });
  const serving = (async () => {
    for await (const socket of listener) {
      const { hostname, port } = socket.remote;
      const text = `${Buffer.from(await socket.read())}`;
      await socket.write(`${hostname} ${port} ${text}`);
      await socket.end();
      socket.close();
    }
  })();
  const told = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => live(world, listener.port, i + 1)));
  listener.close();
  await serving;
  await sleep(1000);
  return { told, open: runtime().stats(0).openOperations };
}

test('each client has its own address; one that does not finish its header is closed in time', async () => {
  const kinds = new Set();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = { partial: 0.3, noBuffers: 0.1, spurious: 0.05 };
    const { value, left } = await simulate({ seed, shards: 1, faults }, program);
    for (const { kind, number, text, tookMs } of value.told) {
      kinds.add(kind);
      if (kind === 'resets') continue;
      const isServed = kind === 'whole' || kind === 'in pieces';
      assert.is(text, isServed ? `192.0.2.${number} ${1000 + number} ${number}` : '', `seed ${seed}: ${kind}`);
      const isLate = kind === 'cut' || kind === 'silent';
      const isInTime = isLate ? tookMs >= HEADER_MS && tookMs < HEADER_MS + SLACK_MS : tookMs < HEADER_MS;
      assert.ok(isInTime, `seed ${seed}: ${kind}: ${tookMs} ms`);
    }
    assert.is(value.open, 0, `seed ${seed}`);
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
  assert.is(kinds.size, 6);
});

test.run();
