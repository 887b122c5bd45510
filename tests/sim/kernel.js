// What a Linux kernel answers when connections end badly, addresses are taken, and the like: each case says what came
// out of one there: `linux` is that, or all that may be, where it depends on what happens first; `path` is what a Unix
// socket has instead. kernel.test.js asks the simulator, and the kernel of this machine where there is an io_uring.

import assert from 'node:assert/strict';
import { sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { encodeAddress } from '../../dist/host/address.js';
import { connectFile, openSocket, send } from '../../dist/host/ops.js';
import { currentShard } from '../../dist/host/shard.js';

export const HERE = '127.0.0.1';
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
  #settle;
  #id = this.#shard.register({ onEvent: (_tag, result) => this.#settle(result) });
  #file;

  static async connect(address) {
    const raw = new Raw();
    const shard = raw.#shard;
    raw.#file = await raw.#ask(() => openSocket(shard, address[0], raw.#id, 0)).told;
    const at = shard.takeSendBuffer();
    shard.bytes.set(address, at);
    assert.equal(await raw.#ask(() => connectFile(shard, raw.#file, at, address.length, raw.#id, 0)).told, 0);
    shard.giveSendBuffer(at);
    return raw;
  }

  #ask(begin) {
    const told = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const op = begin();
    const generation = this.#shard.opGeneration(op);
    return { told, cancel: () => this.#shard.cancelOp(op, generation) };
  }

  /** All send buffers, as one. */
  send() {
    const { header, base } = this.#shard;
    const bytes = header.sendBufferCount * header.sendBufferBytes;
    return this.#ask(() => send(this.#shard, this.#file, base + header.sendOffset, bytes, this.#id, 0));
  }

  close() {
    this.#shard.closeFile(this.#file);
    this.#shard.unregister(this.#id);
  }
}

const outcomes = async (...steps) => {
  const texts = [];
  for (const step of steps) texts.push(await outcome(step()));
  return texts.join(', ');
};

/** Cases of connections: once by TCP, once by a path. `of`: makes where(). */
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
    linux: ['end, ECONNRESET', 'ECONNRESET, EPIPE'],
    path: ['ECONNRESET, EPIPE'],
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
  'a send that is cancelled tells what was sent': {
    run: async (where) => {
      const listener = await listen(where);
      const accepting = listener.accept();
      const address = where.path === undefined ? HERE : `unix:${where.path}`;
      const client = await Raw.connect(encodeAddress(address, listener.port));
      const server = await accepting;
      let sent = 0;
      for (let isOpen = true; isOpen; ) {
        const sending = client.send();
        const result = await Promise.race([sending.told, sleep(50)]);
        isOpen = result !== undefined;
        if (!isOpen) sending.cancel();
        sent += Math.max(0, await sending.told);
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
