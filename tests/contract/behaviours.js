// What every host promises, one behaviour each, through the public surface. `t` is what main.js makes for the host:
// `folder`, and helpers that look at failures. A behaviour runs on shard 0 of a runtime of its own.

import assert from 'node:assert/strict';
import { allocate, interval, onSignal, runtime, sleep, spawn, timeout, waitForSignal, yieldNow } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { Response, serve } from 'featherstar/http';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { currentShard } from '../../dist/host/shard/shard.js';
import { submitRaw } from '../support/operation.js';
import { blockCalls, blockFiles } from './blocks.js';
import { chains } from './chains.js';
import { lent } from './lent.js';
import { clients, peers, peersElsewhere } from './peers.js';
import { pipes } from './pipes.js';
import { readsInto } from './read-into.js';
import { streams } from './streams.js';
import { tls } from './tls.js';

const HERE = '127.0.0.1';
const MEBIBYTE = 1_048_576;

function pattern(length) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7) & 0xff;
  return bytes;
}

async function pair(where = {}) {
  const listener = await listen(where.path === undefined ? { hostname: HERE } : where);
  const accepting = listener.accept();
  const client = await connect(where.path === undefined ? { port: listener.port } : where);
  const server = await accepting;
  return { listener, client, server };
}

async function readAll(socket) {
  const parts = [];
  for await (const part of socket) parts.push(part);
  return Buffer.concat(parts);
}

function closeAll(...all) {
  for (const one of all) one.close();
}

/** Gives up at each stage of a wait; who waits is told with the reason, each time. */
async function abortsOf(ask) {
  await assert.rejects(ask(AbortSignal.abort(new Error('before'))), /before/);
  for (const ms of [0, 1, 5]) {
    const controller = new AbortController();
    const asked = ask(controller.signal);
    const rejected = assert.rejects(asked, /during/);
    if (ms > 0) await sleep(ms);
    controller.abort(new Error('during'));
    await rejected;
  }
}

const submit = (opcode, fields) => submitRaw(currentShard(), opcode, fields);

const tcp = {
  'bytes go both ways': async () => {
    const { listener, client, server } = await pair();
    await client.write('ping');
    assert.equal(`${Buffer.from(await server.read())}`, 'ping');
    await server.write('pong');
    assert.equal(`${Buffer.from(await client.read())}`, 'pong');
    closeAll(client, server, listener);
  },
  'a megabyte each way at once': async () => {
    const { listener, client, server } = await pair();
    const send = (socket) => socket.write(pattern(MEBIBYTE)).then(() => socket.end());
    const [, , a, b] = await Promise.all([send(client), send(server), readAll(client), readAll(server)]);
    assert.ok(a.equals(pattern(MEBIBYTE)) && b.equals(pattern(MEBIBYTE)));
    closeAll(client, server, listener);
  },
  'one side ends, the other goes on': async () => {
    const { listener, client, server } = await pair();
    await client.write('question');
    await client.end();
    assert.equal(`${await readAll(server)}`, 'question');
    await server.write('answer');
    await server.end();
    assert.equal(`${await readAll(client)}`, 'answer');
    closeAll(client, server, listener);
  },
  'who writes waits for a peer that does not read': async () => {
    const { listener, client, server } = await pair();
    const data = pattern(16 * MEBIBYTE);
    let isDone = false;
    const writing = client.write(data).then(() => {
      isDone = true;
      return client.end();
    });
    await sleep(100);
    assert.equal(isDone, false);
    assert.ok((await readAll(server)).equals(data));
    await writing;
    closeAll(client, server, listener);
  },
  'who reads nothing holds nothing but a window': async () => {
    const { listener, client, server } = await pair();
    for (let i = 0; i < 20; i++) await client.write('x'.repeat(100));
    await client.end();
    await sleep(20);
    assert.equal((await readAll(server)).length, 2000);
    closeAll(client, server, listener);
  },
  'a peer that has gone is an error of a later write': async () => {
    const { listener, client, server } = await pair();
    server.close();
    const error = await (async () => {
      for (;;) {
        await client.write(pattern(10_000));
        await sleep(1);
      }
    })().catch((reason) => reason);
    assert.ok(['ECONNRESET', 'EPIPE'].includes(error.errnoName), String(error));
    closeAll(client, listener);
  },
  'nobody listens: ECONNREFUSED': async (t) => {
    const listener = await listen({ hostname: HERE });
    const { port } = listener;
    listener.close();
    await sleep(5);
    assert.equal(await t.errno(connect({ port })), 'ECONNREFUSED');
  },
  'a port that is taken: EADDRINUSE': async (t) => {
    const listener = await listen({ hostname: HERE, reusePort: false });
    const again = listen({ hostname: HERE, port: listener.port, reusePort: false });
    assert.equal(await t.errno(again), 'EADDRINUSE');
    listener.close();
  },
  'accept() of a listener that closes is null': async () => {
    const listener = await listen({ hostname: HERE });
    const accepting = listener.accept();
    await sleep(1);
    listener.close();
    assert.equal(await accepting, null);
  },
  'a Unix socket': async (t) => {
    const { listener, client, server } = await pair({ path: t.path('socket') });
    await client.write('here');
    assert.equal(`${Buffer.from(await server.read())}`, 'here');
    closeAll(client, server, listener);
  },
  'a Unix socket is reached by the path that connect() was given, and by none that stands in memory': async (t) => {
    const OP = { CONNECT: 16, SOCKET: 45 };
    const shard = currentShard();
    const path = t.path('socket');
    const listener = await listen({ path });
    const file = await submit(OP.SOCKET, { fd: 1, off: 1, fileIndex: -1, fixed: false });
    assert.ok(file >= 0, `${file}`);
    const addr = shard.sendBuffers.take();
    const bytes = shard.bytes.subarray(addr);
    bytes[1] = 0;
    for (const family of [1, 2, 10]) {
      bytes[0] = family;
      const length = bytes.write(`${path}\0`, 2) + 2;
      for (const off of [length, 110, 16, 28].filter((each) => family === 1 || each === length)) {
        const result = await submit(OP.CONNECT, { fd: file, off, addr });
        assert.ok([-1, -22].includes(result), `${family}, ${off}: ${result}`); // EPERM, EINVAL
      }
    }
    for (const index of [0, 1, 63, 64, addr]) {
      assert.equal(await submit(OP.CONNECT, { fd: file, off: 0, addr: index }), -9, `index ${index}`); // EBADF
    }
    assert.ok(runtime().stats(0).refused >= 11);
    shard.sendBuffers.give(addr);
    shard.closeFile(file);
    const accepting = listener.accept();
    closeAll(await connect({ path }), await accepting, listener); // nobody had come before
    assert.equal(await submit(OP.CONNECT, { fd: file, off: 0, addr: 0 }), -9, 'the index was taken back');
  },
  'a Unix socket that nobody listens on: ENOENT or ECONNREFUSED': async (t) => {
    const errno = await t.errno(connect({ path: t.path('none') }));
    assert.ok(['ENOENT', 'ECONNREFUSED'].includes(errno), errno);
  },
};

const shared = {
  'several shards listen on one port, and each gets connections': async () => {
    const { shardCount } = runtime();
    let port = 0;
    for (let i = 0; i < shardCount; i++) port = await runtime().on(i).greet(port);
    const seen = new Set();
    for (let i = 0; i < 100; i++) {
      const socket = await connect({ port });
      seen.add(`${await readAll(socket)}`);
      socket.close();
    }
    assert.equal(seen.size, shardCount);
  },
  'one shard listens and gives connections to all, evenly': async () => {
    const { shardCount } = runtime();
    const before = await runtime().onAll().acceptedHere();
    const listener = await listen({ hostname: HERE, reusePort: false });
    const spreading = listener.spread('echo');
    for (let i = 0; i < 10 * shardCount; i++) {
      const socket = await connect({ port: listener.port });
      await socket.write('x');
      await socket.end();
      assert.equal(`${await readAll(socket)}`, 'x');
      socket.close();
    }
    listener.close();
    await spreading;
    const counts = (await runtime().onAll().acceptedHere()).map((count, i) => count - before[i]);
    for (const count of counts) assert.ok(Math.abs(count - 10) <= 1, String(counts));
  },
  'a connection is handed to another shard with what was read': async () => {
    const { listener, client, server } = await pair();
    await client.write('before ');
    await sleep(5);
    await server.handOver(1, 'echo');
    await client.write('after');
    await client.end();
    assert.equal(`${await readAll(client)}`, 'before after');
    closeAll(client, listener);
  },
};

const udp = {
  'datagrams, and who sent them': async () => {
    const server = await UdpSocket.bind({ hostname: HERE });
    const client = await UdpSocket.bind({ hostname: HERE });
    await client.send('ping', { hostname: HERE, port: server.port });
    const { bytes, remote } = await server.receive();
    assert.deepEqual([`${Buffer.from(bytes)}`, remote], ['ping', { hostname: HERE, port: client.port }]);
    await server.send('pong', remote);
    assert.equal(`${Buffer.from((await client.receive()).bytes)}`, 'pong');
    closeAll(server, client);
  },
  'many of one sender, and of another one': async () => {
    const server = await UdpSocket.bind({ hostname: HERE });
    const clients = [await UdpSocket.bind({ hostname: HERE }), await UdpSocket.bind({ hostname: HERE })];
    for (const client of [0, 0, 0, 1, 1, 0].map((i) => clients[i])) {
      await client.send('x', { hostname: HERE, port: server.port });
      const { remote } = await server.receive();
      assert.deepEqual(remote, { hostname: HERE, port: client.port });
    }
    closeAll(server, ...clients);
  },
  'a datagram that is too long: EMSGSIZE': async (t) => {
    const socket = await UdpSocket.bind({ hostname: HERE });
    const long = new Uint8Array(socket.maxBytes + 1);
    assert.equal(await t.errno(socket.send(long, { hostname: HERE, port: socket.port })), 'EMSGSIZE');
    socket.close();
  },
  'receive() of a socket that closes is null': async () => {
    const socket = await UdpSocket.bind({ hostname: HERE });
    const receiving = socket.receive();
    await sleep(1);
    socket.close();
    assert.equal(await receiving, null);
  },
};

const files = {
  ...blockFiles,
  'what is written is read': async (t) => {
    const dir = await openDirectory(t.folder);
    await dir.writeFile('f', pattern(200_000));
    assert.ok(Buffer.from(await dir.readFile('f')).equals(pattern(200_000)));
    await dir.close();
  },
  'positions, appending, truncating, syncing': async (t) => {
    const dir = await openDirectory(t.folder);
    const file = await dir.open('f', { flags: 'w+' });
    await file.write('0123456789');
    await file.write('AB', { position: 4 });
    await file.truncate(8);
    await file.sync();
    await file.close();
    const log = await dir.open('f', { flags: 'a' });
    await log.write('!');
    await log.close();
    assert.equal(await dir.readText('f'), '0123AB67!');
    await dir.close();
  },
  'names: stat, make, rename, list, remove': async (t) => {
    const dir = await openDirectory(t.folder);
    await dir.makeDirectory('d');
    await dir.writeFile('d/f', 'four');
    assert.deepEqual([(await dir.stat('d')).kind, (await dir.stat('d/f')).size], ['directory', 4]);
    await dir.rename('d/f', 'g');
    const entries = (await dir.list()).map(({ name, kind }) => `${name} ${kind}`);
    assert.deepEqual(entries.sort(), ['d directory', 'g file']);
    assert.equal(await t.errno(dir.open('d/f')), 'ENOENT');
    assert.equal(await t.errno(dir.open('g', { flags: 'wx' })), 'EEXIST');
    await dir.remove('g');
    await dir.remove('d', { directory: true });
    assert.deepEqual(await dir.list(), []);
    await dir.close();
  },
  'a rename that replaces nothing does not take what is its own name already: EEXIST': async (t) => {
    const dir = await openDirectory(t.folder);
    await dir.writeFile('f', 'x');
    assert.equal(await t.errno(dir.rename('f', 'f', { replace: false })), 'EEXIST');
    await dir.rename('f', 'f');
    assert.equal(await dir.readText('f'), 'x');
    await dir.close();
  },
  'no path leads out: EXDEV': async (t) => {
    const root = await openDirectory(t.folder);
    await root.makeDirectory('inner');
    await root.writeFile('secret', 'x');
    const inner = await root.openDirectory('inner');
    for (const path of ['../secret', '/secret']) assert.equal(await t.errno(inner.open(path)), 'EXDEV');
    await inner.close();
    await root.close();
  },
  'replaceFile() leaves nothing beside it': async (t) => {
    const dir = await openDirectory(t.folder);
    await dir.replaceFile('f', 'old');
    await dir.replaceFile('f', 'new');
    assert.equal(await dir.readText('f'), 'new');
    assert.equal((await dir.list()).length, 1);
    await dir.close();
  },
  'a closed file is FEATHERSTAR_CLOSED': async (t) => {
    const dir = await openDirectory(t.folder);
    const file = await dir.open('f', { flags: 'w' });
    await file.close();
    assert.equal(await t.code(file.write('x')), 'FEATHERSTAR_CLOSED');
    await dir.close();
  },
};

const time = {
  'sleeps end in the order of their deadlines, none early': async () => {
    const order = [];
    const wait = async (ms) => {
      const start = performance.now();
      await sleep(ms);
      assert.ok(performance.now() - start >= ms);
      order.push(ms);
    };
    await Promise.all([90, 30, 60].map(wait));
    assert.deepEqual(order, [30, 60, 90]);
  },
  'an interval ticks, and ends': async () => {
    let ticks = 0;
    for await (const _ of interval(3)) if (++ticks === 5) break;
    assert.equal(ticks, 5);
  },
  'timeout() gives up': async (t) => {
    assert.equal(await t.code(timeout(5, new Promise(() => {}))), 'FEATHERSTAR_TIMEOUT');
    assert.equal(
      await timeout(
        1000,
        sleep(1).then(() => 'in time'),
      ),
      'in time',
    );
  },
  'timers of JavaScript go on': async () => {
    const fired = [];
    await new Promise((resolve) => {
      setTimeout(() => fired.push('timeout'), 1);
      setImmediate(() => fired.push('immediate'));
      setTimeout(resolve, 30);
    });
    assert.deepEqual(fired.sort(), ['immediate', 'timeout']);
  },
  'too many timers: FEATHERSTAR_FULL, and then they work again': {
    limits: { timerSlots: 16 },
    run: async () => {
      for (let round = 0; round < 3; round++) {
        const waits = Array.from({ length: 40 }, () => sleep(10).catch((error) => error.code));
        const outcomes = await Promise.all(waits);
        assert.ok(outcomes.includes('FEATHERSTAR_FULL') && outcomes.includes(undefined));
      }
    },
  },
};

const tasks = {
  'tasks take turns': async () => {
    const order = [];
    const loop = async (name) => {
      for (let i = 0; i < 3; i++) {
        order.push(name);
        await yieldNow();
      }
    };
    await Promise.all([spawn(() => loop('a')), spawn(() => loop('b'))]);
    assert.deepEqual(order, ['a', 'b', 'a', 'b', 'a', 'b']);
  },
  'a task that fails rejects whoever awaits it': async () => {
    const failing = spawn(async () => {
      throw new RangeError('not that one');
    });
    await assert.rejects(async () => failing, RangeError);
  },
};

const calls = {
  'values and errors cross': async () => {
    assert.equal(await runtime().on(1).add(2, 3), 5);
    assert.deepEqual(await runtime().onAll().self(), [0, 1]);
    const error = await runtime()
      .on(1)
      .fail()
      .catch((reason) => reason);
    assert.deepEqual([error.name, error.code, error.message], ['RangeError', 'MINE', 'not that one']);
  },
  'a call wakes a shard that sleeps': async () => {
    for (const ms of [0, 1, 5, 20, 100]) {
      await sleep(ms);
      assert.equal(await runtime().on(1).add(ms, 1), ms + 1);
    }
  },
  'an answer wakes a shard that sleeps': async () => {
    assert.equal(await runtime().on(1).later(100, 'value'), 'value');
  },
  'calls of one shard to one are begun in order': async () => {
    const numbers = Array.from({ length: 1000 }, (_, i) => i);
    await Promise.all(numbers.map((i) => runtime().on(1).note(i)));
    assert.deepEqual(await runtime().on(1).noted(), numbers);
  },
  'bytes move by reference': async () => {
    const bytes = allocate(100_000);
    const back = await runtime().on(1).fill(bytes);
    assert.equal(bytes.isHere, false);
    assert.ok(back.length === 100_000 && back.bytes.every((byte) => byte === 7));
    back.dispose();
  },
  ...blockCalls,
};

const aborts = {
  sleep: () => abortsOf((signal) => sleep(10_000, { signal })),
  accept: async () => {
    const listener = await listen({ hostname: HERE });
    await abortsOf((signal) => listener.accept({ signal }));
    listener.close();
  },
  read: async () => {
    const { listener, client, server } = await pair();
    await abortsOf((signal) => server.read({ signal }));
    await client.write('still works');
    assert.equal(`${Buffer.from(await server.read())}`, 'still works');
    closeAll(client, server, listener);
  },
  write: async () => {
    const { listener, client, server } = await pair();
    await abortsOf((signal) => client.write(pattern(16 * MEBIBYTE), { signal }));
    closeAll(client, server, listener);
  },
  'receive (UDP)': async () => {
    const socket = await UdpSocket.bind({ hostname: HERE });
    await abortsOf((signal) => socket.receive({ signal }));
    socket.close();
  },
  call: () => abortsOf((signal) => runtime().on(1).with({ signal }).wait(signal)),
  'file operations': async (t) => {
    const dir = await openDirectory(t.folder);
    await dir.writeFile('f', pattern(500_000));
    const before = (promise) => assert.rejects(promise, /before/);
    const signal = AbortSignal.abort(new Error('before'));
    await before(dir.open('f', { signal }));
    await before(dir.stat('f', { signal }));
    const controller = new AbortController();
    const reading = dir.readFile('f', { signal: controller.signal });
    controller.abort(new Error('during'));
    await assert.rejects(reading, /during/);
    assert.equal((await dir.readFile('f')).length, 500_000);
    await dir.close();
  },
};

async function twoSignals(signal) {
  const waiting = waitForSignal(['SIGUSR2']);
  signal('SIGUSR2');
  assert.equal(await waiting, 'SIGUSR2');
  let count = 0;
  let off;
  const arrived = new Promise((resolve) => {
    off = onSignal('SIGUSR2', () => {
      count++;
      resolve();
    });
  });
  signal('SIGUSR2');
  await arrived;
  off();
  assert.equal(count, 1);
}

const signals = {
  'a signal of the process': async (t) => {
    const own = () => {}; // else a host without signals would be killed by it
    process.on('SIGUSR2', own);
    try {
      await twoSignals(t.signal);
    } finally {
      process.off('SIGUSR2', own);
    }
  },
};

const http = {
  'a server answers': async () => {
    const server = await serve({
      hostname: HERE,
      port: 0,
      fetch: async ({ url }) => new Response(`at ${new URL(url).pathname}`),
    });
    const socket = await connect({ port: server.port });
    await socket.write('GET /here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    const text = `${await readAll(socket)}`;
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(text, /\r\n\r\nat \/here$/);
    socket.close();
    await server.close();
  },
};

/** Shard 1 dies; resolves when that is known here. */
async function die(t) {
  const waiting = runtime().on(1).wait(new AbortController().signal);
  t.kill(1);
  await assert.rejects(waiting, (error) => error.code === 'FEATHERSTAR_PEER_DOWN');
}

const restarts = {
  'a shard that died is started again, with nothing of what it had': async (t) => {
    const [first, second] = [runtime().on(1), runtime().on(2)];
    for (let i = 0; i < 3; i++) {
      await first.note(i);
      await die(t);
      await assert.rejects(first.noted(), (error) => error.code === 'FEATHERSTAR_PEER_DOWN');
      await t.restart(1);
      assert.deepEqual(await first.noted(), []);
      assert.equal(await second.askAdd(1, 2, i), 2 + i);
      assert.equal(await first.askAdd(2, 3, i), 3 + i);
    }
  },
  'an answer to its last life is not one to its next': async (t) => {
    await runtime().on(1).leaveOpen(2, 10);
    await sleep(20);
    await die(t);
    await t.restart(1);
    const sums = Array.from({ length: 10 }, (_, i) => runtime().on(1).askAdd(2, 10, i, 50));
    await runtime().on(2).endAll();
    assert.deepEqual(await Promise.all(sums), [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  },
};

const end = {
  'a runtime that closes ends what is open': async (t) => {
    const { client, server } = await pair();
    const dir = await openDirectory(t.folder);
    await dir.open('f', { flags: 'w' });
    client.read().catch(() => {}); // whoever waits is told: nothing that this asks about
    server.read().catch(() => {});
    sleep(60_000).catch(() => {});
  },
};

const ONE_OF_EACH = { recvBufferCount: 1, largeRecvBufferCount: 1, sendBufferCount: 1 };

function listOf(group, shards, behaviours, given) {
  return Object.entries(behaviours).map(([name, behaviour]) => {
    const { run = behaviour, limits = given } = typeof behaviour === 'function' ? {} : behaviour;
    return { name: `${group}: ${name}`, shards, limits, run };
  });
}

export const BEHAVIOURS = [
  ...listOf('tcp', 1, { ...tcp, ...peers }),
  ...listOf('tcp', 2, peersElsewhere),
  ...listOf('shared', 2, shared),
  ...listOf('udp', 1, udp),
  ...listOf('files', 1, files),
  ...listOf('time', 1, time),
  ...listOf('tasks', 1, tasks),
  ...listOf('calls', 2, calls),
  ...listOf('abort', 2, aborts),
  ...listOf('signals', 1, signals),
  ...listOf('http', 1, { ...http, ...clients }),
  ...listOf('lent', 1, lent),
  ...listOf('read into', 1, readsInto),
  ...listOf('read into, one submission at a time', 1, readsInto, { sqeSlots: 1 }),
  ...listOf('pipes', 1, pipes),
  ...listOf('pipes with one buffer', 1, pipes, ONE_OF_EACH),
  ...listOf('chains', 1, chains),
  ...listOf('chains with one buffer', 1, chains, ONE_OF_EACH),
  ...listOf('node', 1, streams),
  ...listOf('tls', 1, tls),
  ...listOf('restart', 3, restarts),
  ...listOf('end', 2, end),
];
