// Behaviours of large sends, whose bytes are lent and not copied (host/shard/send-queue.ts). A part of behaviours.js.

import assert from 'node:assert/strict';
import { allocate, sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { connect, listen } from 'featherstar/net';
import { currentShard } from '../../dist/host/shard/shard.js';
import { readAll } from './sockets.js';

const HERE = '127.0.0.1';
const MEBIBYTE = 1_048_576;
const SIZES = [0, 1, 63, 65, 4000, 4096, 4097, 8192, 65_535, 65_536, MEBIBYTE - 1, 5 * MEBIBYTE + 3];

function pattern(length, seed = 0) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + seed) & 0xff;
  return bytes;
}

/** The body of one response to GET, by a connection of its own. */
async function get(port, path = '/', rests = 0) {
  const socket = await connect({ port });
  await socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const text = await readAll(socket, rests);
  socket.close();
  const at = text.indexOf('\r\n\r\n') + 4;
  const head = text.toString('latin1', 0, at);
  return { head, body: /chunked/i.test(head) ? unchunked(text.subarray(at)) : text.subarray(at) };
}

function unchunked(bytes) {
  const parts = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, end), 16);
    assert.ok(size >= 0, 'a chunk has a size');
    if (size === 0) {
      assert.equal(end + 4, bytes.length, 'the last chunk is the end');
      return Buffer.concat(parts);
    }
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
    assert.equal(bytes.toString('latin1', at - 2, at), '\r\n', 'a chunk has an end');
  }
}

async function withServer(fetch, run) {
  const server = await serve({ hostname: HERE, port: 0, fetch });
  try {
    await run(server.port);
  } finally {
    await server.close();
  }
}

async function pair() {
  const listener = await listen({ hostname: HERE });
  const accepting = listener.accept();
  const client = await connect({ port: listener.port });
  const server = await accepting;
  return { listener, client, server };
}

function transfer(bytes) {
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  assert.equal(bytes.length, 0);
}

export const lent = {
  'bodies of every size arrive whole, at fast and at slow readers': async () => {
    const bodies = SIZES.map((size) => pattern(size));
    const at = ({ url }) => bodies[Number(new URL(url).pathname.slice(1))];
    await withServer(
      (request) => new Response(at(request)),
      async (port) => {
        for (const [i, body] of bodies.entries()) {
          for (const rests of [0, 20]) {
            const answer = await get(port, `/${i}`, rests);
            assert.match(answer.head, new RegExp(`\r\nContent-Length: ${body.length}\r\n`, 'i'));
            assert.ok(answer.body.equals(body), `${body.length} bytes, ${rests} rests`);
          }
        }
      },
    );
  },
  'chunks of every size arrive whole, in order': async () => {
    const chunks = [...SIZES, 1, 70_000, 2, 0, 3, 100_000].map((size, i) => pattern(size, i));
    const stream = () => ReadableStream.from(chunks);
    await withServer(
      () => new Response(stream()),
      async (port) => {
        for (const rests of [0, 20]) {
          const { body } = await get(port, '/', rests);
          assert.ok(body.equals(Buffer.concat(chunks)), `${rests} rests`);
        }
      },
    );
  },
  'large and small responses of one connection keep their order': async () => {
    const bodies = [10, 100_000, 20, 30, 300_000, 4096, 0, 2 * MEBIBYTE, 5].map((size, i) => pattern(size, i));
    let next = 0;
    await withServer(
      () => new Response(bodies[next++]),
      async (port) => {
        const socket = await connect({ port });
        const last = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
        await socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(bodies.length - 1) + last);
        const text = await readAll(socket, 10);
        socket.close();
        let at = 0;
        for (const body of bodies) {
          at = text.indexOf('\r\n\r\n', at) + 4;
          assert.ok(text.subarray(at, at + body.length).equals(body), `${body.length} bytes`);
          at += body.length;
        }
        assert.equal(at, text.length);
      },
    );
  },
  'blocks, shared arrays and parts of larger arrays go out as they are': async () => {
    const block = allocate(200_000);
    block.bytes.set(pattern(200_000));
    const shared = new Uint8Array(new SharedArrayBuffer(200_000));
    shared.set(pattern(200_000));
    const part = new Uint8Array(pattern(300_000).buffer, 0, 200_000);
    const bodies = [block.bytes, shared, part, Buffer.from(part)];
    let next = 0;
    await withServer(
      () => new Response(bodies[next++]),
      async (port) => {
        for (const body of bodies) assert.ok((await get(port)).body.equals(pattern(200_000)), body.constructor.name);
      },
    );
    block.dispose();
  },
  'a body may shrink once it was handed over: the server has its bytes': async () => {
    const body = new Uint8Array(new ArrayBuffer(3 * MEBIBYTE, { maxByteLength: 3 * MEBIBYTE }));
    body.set(pattern(3 * MEBIBYTE));
    await withServer(
      () => {
        queueMicrotask(() => queueMicrotask(() => body.buffer.resize(0)));
        return new Response(body);
      },
      async (port) => assert.ok((await get(port, '/', 10)).body.equals(pattern(3 * MEBIBYTE))),
    );
  },
  'a body that is transferred while its client does not read ends the connection, and nothing else': async () => {
    const body = pattern(32 * MEBIBYTE);
    await withServer(
      ({ url }) => new Response(url.endsWith('/large') ? body : 'small'),
      async (port) => {
        const socket = await connect({ port });
        await socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
        await socket.read();
        await sleep(50);
        transfer(body);
        const bytes = await readAll(socket).catch((error) => error);
        if (bytes instanceof Error) assert.equal(bytes.errnoName, 'ECONNRESET');
        else if (!currentShard().host.keepsLentBytes) assert.ok(bytes.length < 32 * MEBIBYTE);
        socket.close();
        assert.equal(`${(await get(port, '/small')).body}`, 'small');
      },
    );
  },
  'a client that leaves in the middle of a body harms no other': async () => {
    const body = pattern(8 * MEBIBYTE);
    await withServer(
      () => new Response(body),
      async (port) => {
        for (const bytes of [1, 100_000]) {
          const socket = await connect({ port });
          await socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
          for (let read = 0; read < bytes; ) read += (await socket.read()).length;
          socket.close();
        }
        assert.ok((await get(port)).body.equals(body));
      },
    );
  },
  'the bytes of a write may change once it has resolved': async () => {
    const { listener, client, server } = await pair();
    const reading = readAll(server, 20);
    const expected = [];
    const bytes = new Uint8Array(MEBIBYTE);
    for (const [i, size] of [70_000, 4097, 100, MEBIBYTE, 65_536, MEBIBYTE].entries()) {
      bytes.set(pattern(size, i));
      expected.push(pattern(size, i));
      await client.write(bytes.subarray(0, size));
      bytes.fill(0xee);
    }
    await client.end();
    assert.ok((await reading).equals(Buffer.concat(expected)));
    for (const one of [client, server, listener]) one.close();
  },
  'a short write behind a long one resolves when its own bytes are out': async () => {
    const { listener, client, server } = await pair();
    const reading = readAll(server, 20);
    const expected = [];
    const bytes = new Uint8Array(50_000);
    for (let i = 0; i < 8; i++) {
      const long = pattern(3 * MEBIBYTE + i * 123_457);
      bytes.set(pattern(50_000, i));
      expected.push(long, pattern(50_000, i));
      const first = client.write(long);
      await client.write(bytes);
      bytes.fill(0xee);
      await first;
    }
    await client.end();
    assert.ok((await reading).equals(Buffer.concat(expected)));
    for (const one of [client, server, listener]) one.close();
  },
  'bytes that are transferred during a write: it rejects, or had a copy': async (t) => {
    const { listener, client, server } = await pair();
    const bytes = pattern(32 * MEBIBYTE);
    const writing = client.write(bytes);
    await sleep(20);
    transfer(bytes);
    const reading = readAll(server).catch((error) => error);
    if (currentShard().host.keepsLentBytes) await writing;
    else {
      assert.equal(await t.errno(writing), 'EFAULT');
      assert.equal(await t.errno(client.write('more')), 'EFAULT');
    }
    client.close();
    const read = await reading;
    if (Buffer.isBuffer(read)) assert.ok(read.equals(pattern(32 * MEBIBYTE).subarray(0, read.length)));
    for (const one of [server, listener]) one.close();
  },
  'a write that is given up has its own copy': async () => {
    const { listener, client, server } = await pair();
    const bytes = pattern(16 * MEBIBYTE);
    const controller = new AbortController();
    const writing = client.write(bytes, { signal: controller.signal });
    await sleep(10);
    controller.abort(new Error('given up'));
    await assert.rejects(writing, /given up/);
    bytes.fill(0);
    const ending = client.end();
    assert.ok((await readAll(server)).equals(pattern(16 * MEBIBYTE)));
    await ending;
    for (const one of [client, server, listener]) one.close();
  },
};
