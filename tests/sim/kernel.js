// What a Linux kernel answers when connections end badly, addresses are taken, and the like: each case says what came
// out of one there: `linux` is that, or all that may be, where it depends on what happens first; `path` is what a Unix
// socket has instead. kernel.test.js asks the simulator, and the kernel of this machine where there is an io_uring.

import assert from 'node:assert/strict';
import { sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { MSG_DONTWAIT, OP_SEND } from '../../dist/host/core/kernel.js';
import { encodeAddress } from '../../dist/host/net/address.js';
import { socketPathsOf } from '../../dist/host/net/socket-paths.js';
import { Operation } from '../../dist/host/shard/operation.js';
import { connectFileOrThrow, openSocketOrThrow, prepareFile, send, watchRoom } from '../../dist/host/shard/ops.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { operate, start } from '../support/operation.js';

export const HERE = '127.0.0.1';
const AF_UNIX = 1;
const AF_INET = 2;
const FILL_BYTES = 16_384;
const LONG_MS = 300;
const A_WHILE_MS = 20; // until what was sent has arrived

function toText(value) {
  if (value === null) return 'end';
  if (value === undefined) return 'ok';
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  return typeof value.close === 'function' ? 'open' : String(value);
}

/** What became of it, in a word. What it opened is closed. */
export async function outcome(promise, ms = LONG_MS) {
  const told = promise.then(
    (value) => {
      const text = toText(value);
      if (text === 'open') value.close();
      return text;
    },
    (error) => error.errnoName ?? error.code ?? String(error),
  );
  return Promise.race([told, sleep(ms).then(() => 'waits')]);
}

const aWhile = () => sleep(A_WHILE_MS);

/** Where to listen, and a connection there. */
async function pair(where) {
  const listener = await listen(where);
  const accepting = listener.accept();
  const client = await connect(where.path === undefined ? { port: listener.port, hostname: HERE } : where);
  return { listener, client, server: await accepting };
}

/** A connection by operations alone, one at a time. */
class Raw {
  #shard = currentShard();
  #file;

  /** `where`: a path, or a port. */
  static async connect({ path, port }) {
    const raw = new Raw();
    const shard = raw.#shard;
    const family = path === undefined ? AF_INET : AF_UNIX;
    raw.#file = await operate(shard, (operation) => openSocketOrThrow(operation, family));
    const connected = (at, bytes) => operate(shard, (operation) => connectFileOrThrow(operation, raw.#file, at, bytes));
    if (path !== undefined) {
      const index = socketPathsOf(shard).take(path);
      assert.equal(await connected(index, 0), 0);
      socketPathsOf(shard).give(index);
    } else {
      const address = encodeAddress(HERE, port);
      const at = shard.sendBuffers.take();
      shard.bytes.set(address, at);
      assert.equal(await connected(at, address.length), 0);
      shard.sendBuffers.give(at);
    }
    return raw;
  }

  /** All send buffers, as one. */
  send() {
    const { header, base } = this.#shard;
    const bytes = header.sendBufferCount * header.sendBufferBytes;
    return start(this.#shard, (operation) => send(operation, this.#file, base + header.sendOffset, bytes));
  }

  /** Sends without waiting until the socket is full. Returns how many bytes it took. */
  async fill() {
    const { header, base } = this.#shard;
    const shard = this.#shard;
    const at = base + header.sendOffset;
    let sent = 0;
    for (;;) {
      const what = { ...prepareFile(OP_SEND, this.#file), ptr: at, len: FILL_BYTES, opFlags: MSG_DONTWAIT };
      const result = await operate(shard, (operation) => operation.stageOrThrow(what));
      if (result <= 0) return sent;
      sent += result;
    }
  }

  /** Watches for room to send. Returns how the events are read, one by one. */
  watchRoom() {
    const events = [];
    let wake;
    const shard = this.#shard;
    const id = shard.register({
      onEvent: (_tag, result, flags) => {
        operation.ended(flags);
        events.push(result);
        wake?.();
      },
    });
    const operation = new Operation(shard, id, 0);
    watchRoom(operation, this.#file);
    shard.unregister(id); // when its last event has come
    const next = async () => {
      while (events.length === 0) {
        await new Promise((resolve) => {
          wake = resolve;
        });
      }
      return events.shift();
    };
    let told; // the event that is awaited, perhaps for longer than one call
    const nextOrWaits = async (ms = 50) => {
      told ??= next();
      const text = await outcome(told, ms);
      if (text !== 'waits') told = undefined;
      return text;
    };
    return { next: nextOrWaits, cancel: () => operation.cancel() };
  }

  close() {
    this.#shard.closeFile(this.#file);
  }
}

/** A connection, of which one end is raw. */
async function rawPair(where) {
  const listener = await listen(where);
  const accepting = listener.accept();
  const client = await Raw.connect({ path: where.path, port: listener.port });
  return { client, server: await accepting };
}

const outcomes = async (...steps) => {
  const texts = [];
  for (const step of steps) texts.push(await outcome(step()));
  return texts.join(', ');
};

/** Cases of connections: once by TCP, once by a path. `of` makes the object `where`. */
const streams = {
  'closed with something unread': {
    run: async (where) => {
      const { client, server } = await pair(where);
      await client.write('x');
      await aWhile();
      await server.write('answer');
      await aWhile();
      server.close();
      await aWhile();
      return outcomes(
        () => client.read(),
        () => client.read(),
      );
    },
    linux: ['6 bytes, ECONNRESET'],
  },
  'closed with something unread, and a receive waits': {
    run: async (where) => {
      const { client, server } = await pair(where);
      await client.write('x');
      await aWhile();
      const reading = outcome(client.read());
      await aWhile();
      server.close();
      return reading;
    },
    linux: ['ECONNRESET'],
  },
  'closed with something unread, and a receive and a send wait': {
    run: async (where) => {
      const { client, server } = await pair(where);
      const writing = outcome(client.write(new Uint8Array(8_388_608)));
      const reading = outcome(client.read());
      await aWhile();
      server.close();
      return `${await reading}, ${await writing}`;
    },
    linux: ['end, ECONNRESET', 'ECONNRESET, ECONNRESET', 'ECONNRESET, EPIPE'], // which of the two hears of it first
    path: ['ECONNRESET, ECONNRESET', 'ECONNRESET, EPIPE'],
  },
  'closed with all read: a send later is EPIPE': {
    run: async (where) => {
      const { client, server } = await pair(where);
      await server.write('bye');
      server.close();
      await aWhile();
      const texts = [];
      for (let i = 0; i < 4; i++) {
        texts.push(await outcome(client.write('y')));
        await aWhile();
      }
      return texts.at(-1);
    },
    linux: ['EPIPE'],
  },
  'closed with all read, and then something comes: what was sent is read, and its end': {
    run: async (where) => {
      const { client, server } = await pair(where);
      await server.write('bye');
      server.close();
      await aWhile();
      await client.write('late').catch(() => {});
      await aWhile();
      return outcomes(
        () => client.read(),
        () => client.read(),
      );
    },
    linux: ['3 bytes, end'],
    path: ['EPIPE, EPIPE'], // read() tells of the send that has failed
  },
  'one that has ended is reset: EPIPE': {
    run: async (where) => {
      const { client, server } = await pair(where);
      await server.end();
      await client.write('x');
      await aWhile();
      server.close();
      await aWhile();
      const reading = await outcome(client.read());
      const texts = [];
      for (let i = 0; i < 2; i++) {
        texts.push(await outcome(client.write('z')));
        await aWhile();
      }
      return `${reading}, ${texts.at(-1)}`;
    },
    linux: ['end, EPIPE'],
    path: ['ECONNRESET, ECONNRESET'], // write() tells of the receive that has failed
  },
  'no slot is free for one that comes: it is taken, and dropped': {
    limits: { connectionSlots: 17 },
    run: async (where) => {
      const listener = await listen(where);
      const client = await connect(where.path === undefined ? { port: listener.port, hostname: HERE } : where);
      const reading = await outcome(client.read());
      return `${reading}, ${await outcome(listener.accept(), 50)}`;
    },
    linux: ['end, waits'],
  },
  'a poll for room tells of it at once, and when the peer has read': {
    run: async (where) => {
      const { client, server } = await rawPair(where);
      const room = client.watchRoom();
      const texts = [await room.next()];
      for (let i = 0; i < 2; i++) {
        const sent = await client.fill();
        texts.push(await room.next());
        for (let read = 0; read < sent; ) read += (await server.read()).length;
        texts.push(await room.next());
        while ((await room.next()) === '4'); // a Unix socket tells of it for each part that was read
      }
      room.cancel();
      texts.push(await room.next());
      client.close();
      server.close();
      return texts.join(', ');
    },
    linux: ['4, waits, 4, waits, 4, -125'],
  },
  'a poll for room, and the peer ends its side but does not read': {
    run: async (where) => {
      const { client, server } = await rawPair(where);
      await client.fill();
      const room = client.watchRoom();
      const texts = [await room.next()];
      await server.end();
      texts.push(await room.next(LONG_MS), await room.next());
      const late = client.watchRoom();
      texts.push(await late.next(LONG_MS), await late.next());
      room.cancel();
      late.cancel();
      client.close();
      server.close();
      return texts.join(', ');
    },
    linux: ['waits, 8192, waits, 8192, waits'], // POLLRDHUP, without POLLOUT
  },
  'a poll for room, and the peer closes with something unread': {
    run: async (where) => {
      const { client, server } = await rawPair(where);
      await client.fill();
      const room = client.watchRoom();
      await aWhile();
      server.close();
      const text = await room.next();
      room.cancel();
      client.close();
      return text;
    },
    linux: ['8220'], // POLLOUT, POLLERR, POLLHUP, POLLRDHUP
  },
  'a send that is cancelled tells what was sent': {
    run: async (where) => {
      const { client, server } = await rawPair(where);
      let sent = 0;
      for (let isOpen = true; isOpen; ) {
        const sending = client.send();
        const result = await Promise.race([sending.result, sleep(50)]);
        isOpen = result !== undefined;
        if (!isOpen) sending.cancel();
        sent += Math.max(0, await sending.result);
      }
      client.close();
      let read = 0;
      for await (const part of server) read += part.length;
      return sent === read ? 'all' : `${sent} told, ${read} sent`;
    },
    linux: ['all'],
  },
};

function casesOf(group, cases, whereOf) {
  return Object.entries(cases).map(([name, { run, linux, path, limits }]) => ({
    name: `${group}: ${name}`,
    limits,
    expected: (group === 'path' && path) || linux,
    run: (t) => run(whereOf(t)),
  }));
}

/** `t.path(name)`: where a path may be bound. */
export const CASES = [
  ...casesOf('tcp', streams, () => ({ hostname: HERE, reusePort: false })),
  ...casesOf('path', streams, (t) => ({ path: t.path('socket') })),
];
