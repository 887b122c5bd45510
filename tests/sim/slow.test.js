// Slow clients in the simulator, where minutes cost nothing: how slow a reader may be, who waits behind those that do
// not read, heads and chunks in every cutting, and datagrams of a socket that is full.

import { runtime, sleep } from 'featherstar';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const module = new URL('./slow-module.js', import.meta.url);
const GET = (path) => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
const BUFFER_BYTES = 4096; // that one read brings
const LIMITS = { recvBufferBytes: BUFFER_BYTES, largeRecvBufferBytes: BUFFER_BYTES, sendBufferBytes: BUFFER_BYTES };
const TWO = { shards: 2, module, limits: LIMITS };
const MINUTE_MS = 60_000;
const LARGE_BYTES = 1_000_000; // of slow-module.js's /large

const onServer = (name, ...args) =>
  runtime()
    .on(1)
    [name](...args);
const client = () => connect({ port: 80, hostname: 'server.test' });

async function readAll(socket) {
  const runs = [];
  for await (const run of socket) runs.push(run);
  return Buffer.concat(runs);
}

/** For how long a client is served that reads once in `pauseMs`, at most half an hour; and how much it gets in all. */
async function served(pauseMs, limits = {}) {
  await onServer('start', limits);
  const socket = await client();
  await socket.write(GET('/large'));
  await sleep(100); // it is accepted
  let readMs = 0;
  let bytes = 0;
  for (; readMs < 30 * MINUTE_MS && (await onServer('connections')) === 1; readMs += pauseMs) {
    await sleep(pauseMs);
    bytes += (await socket.read().catch(() => undefined))?.length ?? 0;
  }
  if (readMs < 30 * MINUTE_MS) bytes += (await readAll(socket).catch(() => '')).length; // what was on its way
  socket.close();
  return { minutes: readMs / MINUTE_MS, bytes };
}

const minutesServed = async (pauseMs, limits) => (await served(pauseMs, limits)).minutes;

test('a client that takes less than minSendBytesPerSecond is closed, however it renews its wait', async () => {
  const slow = (BUFFER_BYTES / 200) * 1000; // 200 bytes a second
  for (let seed = 1; seed <= 3; seed++) {
    const { value } = await simulate({ seed, ...TWO }, () => minutesServed(slow));
    assert.ok(value >= 1 && value <= 6, `${value} minutes`); // the window of the connection counts at first
  }
});

test('one that takes more is served to the end', async () => {
  const quick = (BUFFER_BYTES / 400) * 1000;
  const { value } = await simulate({ seed: 1, ...TWO }, () => minutesServed(quick));
  assert.is(Math.round(value), 30);
});

test('minSendBytesPerSecond and idleTimeoutMs say how slow it may be', async () => {
  const limits = { minSendBytesPerSecond: 10_000, idleTimeoutMs: 2000 };
  for (const [pauseMs, isServed] of [
    [300, true],
    [600, false],
  ]) {
    const { value } = await simulate({ seed: 1, ...TWO }, () => minutesServed(pauseMs, limits));
    assert.is(value > 1, isServed, `${value} minutes`);
  }
});

test('what a client takes counts, though no poll has told of room yet', async () => {
  const limits = { minSendBytesPerSecond: 1000, idleTimeoutMs: 5000 };
  const { value } = await simulate({ seed: 1, ...TWO }, () => served(1000, limits)); // a third takes it longer
  assert.ok(value.minutes > 3.5 && value.bytes > LARGE_BYTES, JSON.stringify(value));
  const slow = await simulate({ seed: 1, ...TWO }, () => minutesServed(6000, limits));
  assert.ok(slow.value < 1, `${slow.value} minutes`);
});

test('clients that do not read keep nobody waiting, with a handful of buffers', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const limits = { sendBufferCount: 1 + (seed % 3) };
    const options = { seed, shards: 2, module, limits, faults: { partial: 0.2, spurious: 0.1 } };
    const { value } = await simulate(options, async () => {
      await onServer('start', {});
      const stalled = [];
      for (let i = 0; i < 8; i++) {
        const socket = await client();
        await socket.write(GET('/large'));
        stalled.push(socket);
      }
      await sleep(50);
      const socket = await client();
      await socket.write(GET('/'));
      const answer = await Promise.race([readAll(socket), sleep(5000)]);
      const large = await readAll(stalled[3]);
      for (const each of [socket, ...stalled]) each.close();
      return [answer?.subarray(0, 15).toString(), large.length > 1_000_000];
    });
    assert.equal(value, ['HTTP/1.1 200 OK', true], `seed ${seed}`);
  }
});

test('answers of one turn, and one buffer: the last one does not wait for something else to happen', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, shards: 2, module, limits: { sendBufferCount: 1 } }, async () => {
      await onServer('start', {});
      const sockets = await Promise.all(Array.from({ length: 6 }, client));
      await sleep(20);
      for (const socket of sockets) socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const answers = await Promise.race([Promise.all(sockets.map((socket) => socket.read())), sleep(5000)]);
      for (const socket of sockets) socket.close();
      return answers?.length;
    });
    assert.is(value, 6, `seed ${seed}`);
  }
});

test('a writer that is behind, catches up, and is behind again at once', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, faults: { partial: 0.6, latencyUs: 3 } }, async () => {
      const listener = await listen({ port: 81 });
      const accepting = listener.accept();
      const reader = await connect({ port: 81 });
      const writer = await accepting;
      for (let i = 0; i < 100; i++) {
        const text = `${i} ${'x'.repeat(1000 + Math.random() * 1000)};`;
        const writing = writer.write(text);
        let came = '';
        while (!came.endsWith(';')) came += Buffer.from(await reader.read());
        if (came !== text) return `${came}, not ${text}`;
        await reader.write('next');
        for (let bytes = 0; bytes < 4; ) bytes += (await writer.read()).length;
        await writing;
      }
      for (const each of [reader, writer, listener]) each.close();
      return 'whole';
    });
    assert.is(value, 'whole', `seed ${seed}`);
  }
});

test('a client that has ended its side, and reads late: nothing turns meanwhile, and it gets everything', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { value, turns } = await simulate({ seed, shards: 2, module }, async () => {
      await onServer('start', {});
      const socket = await client();
      await socket.write(GET('/large'));
      await sleep(5);
      await socket.end();
      await sleep(30_000); // a poll for room tells of the end all the time, unless it is asked right
      const { length } = await readAll(socket);
      socket.close();
      return length;
    });
    assert.ok(value > 1_000_000, `seed ${seed}: ${value} bytes`);
    assert.ok(turns < 10_000, `seed ${seed}: ${turns} turns`);
  }
});

/** A request, cut where chance will have it, with more requests behind it. */
async function askInPieces(parts, cuts) {
  const socket = await client();
  const reading = readAll(socket);
  const bytes = Buffer.from(parts.join(''), 'latin1');
  const ends = Array.from({ length: cuts }, () => Math.floor(Math.random() * bytes.length)).sort((a, b) => a - b);
  let at = 0;
  for (const end of [...ends, bytes.length]) {
    if (end > at) await socket.write(bytes.subarray(at, end));
    at = end;
    await sleep(1);
  }
  const text = (await reading).toString('latin1');
  socket.close();
  return text
    .split('\r\n\r\n')
    .slice(1)
    .map((body) => body.split('HTTP/1.1 ')[0]);
}

test('heads and chunks mean the same in every cutting', async () => {
  const long = 'v'.repeat(700);
  const requests = [
    `POST /one?a=b HTTP/1.1\r\nHost: a\r\nX-Long: ${long}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    '1\r\nx\r\n2;e=f\r\nyz\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\n',
    `\r\nPUT /two HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX-Long: ${long}\r\n\r\nhello`,
    'GET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  ];
  const expected = [
    `POST /one host=a&transfer-encoding=chunked&x-long=${long} xyz!`,
    `PUT /two content-length=5&host=a&x-long=${long} hello`,
    'GET /three connection=close&host=a ',
  ];
  for (let seed = 1; seed <= 60; seed++) {
    const faults = seed % 2 ? { partial: 0.3 } : {};
    const limits = { recvBufferBytes: [4096, 64, 7][seed % 3] };
    const { value } = await simulate({ seed, shards: 2, module, faults, limits }, async () => {
      await onServer('start', {});
      return askInPieces(requests, [0, 1, 4, 30, 2000][seed % 5]);
    });
    assert.equal(value, expected, `seed ${seed}`);
  }
});

test('datagrams of a socket that is full wait for room, hold no buffer, and all go', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const limits = { sendBufferCount: 1 + (seed % 3) };
    const options = { seed, limits, faults: { partial: 0.4 } };
    const { value, left } = await simulate(options, async () => {
      const server = await UdpSocket.bind({ hostname: '127.0.0.1', port: 5000, capacity: 100 });
      const sender = await UdpSocket.bind({ hostname: '127.0.0.1' });
      const to = { hostname: '127.0.0.1', port: 5000 };
      const sending = [];
      for (let i = 0; i < 40; i++) sending.push(sender.send(`${i}`, to));
      const aborted = new AbortController();
      const gone = sender.send('gone', { ...to, signal: aborted.signal }).catch((error) => error);
      aborted.abort();
      await gone;
      await Promise.all(sending);
      const came = new Set();
      while (came.size < 40) came.add(`${Buffer.from((await server.receive()).bytes)}`);
      const late = sender.send('late', to).catch((error) => error.code);
      sender.close();
      server.close();
      return [came.size, ['FEATHERSTAR_CLOSED', undefined].includes(await late), sender.stats.sent >= 40];
    });
    assert.equal(value, [40, true, true], `seed ${seed}`);
    for (const held of left) for (const [what, count] of Object.entries(held)) assert.is(count, 0, `${seed}: ${what}`);
  }
});

test.run();
