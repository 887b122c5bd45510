// HTTP over a transport that is no socket: bytes in memory, both ways. So a connection needs no more than the interface
// of host/shard/transport.ts, and may run over TLS or any other stream.
//
// What flows through: text --> onBytes() --> HttpConnection --> handler --> enqueue() --> text. Nothing here has a file
// slot, and nothing is submitted to the kernel.

import { Runtime } from 'featherstar';
import { Response } from 'featherstar/http';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CONNECTION_BYTES } from '../../dist/host/core/layout.js';
import { HttpConnection } from '../../dist/host/http/connection.js';
import { Heads } from '../../dist/host/http/heads.js';
import { Writer } from '../../dist/host/http/writer.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { until } from '../support/http.js';

const BODY_BYTES_MAX = 1_000_000;
const HEAD_SCRATCH = 0;
const PIECE_SCRATCH = 131_072;
const TEMPLATES = 196_608;
const TEMPLATES_BYTES = 65_536;
const SLOT = 30; // whose parser state is used: no file is in it
const AHEAD_BYTES = 262_144; // of a stream are read before the client takes some (writer.ts)

let runtime;
test.before(async () => {
  runtime = await Runtime.start({ shards: 1, host: 'portable' });
});
test.after(() => runtime.close());

/** A transport of two arrays. `takes`: whether the peer takes what is sent. */
class MemoryTransport {
  sent = [];
  waiting = [];
  calls = [];
  takes = true;
  isReceiving = false;
  peerLeft = false;
  peerEnded = false;
  isClosed = false;
  deadlineNs = Number.POSITIVE_INFINITY;
  out;

  constructor(user) {
    this.user = user;
    const transport = this;
    this.out = {
      get isIdle() {
        return transport.waiting.length === 0;
      },
      get backlogBytes() {
        return transport.waiting.reduce((sum, { length }) => sum + length, 0);
      },
      reserve: () => 0,
      enqueue: (bytes) => (this.takes ? this.sent : this.waiting).push(Buffer.from(bytes)),
      hurry: () => {},
    };
  }

  get text() {
    return Buffer.concat(this.sent).toString('latin1');
  }

  /** The peer sends. */
  push(text, pieceBytes = text.length) {
    for (let at = 0; at < text.length; at += pieceBytes) {
      assert.not(this.isClosed, 'the connection is open');
      this.user.onBytes(Buffer.from(text.slice(at, at + pieceBytes), 'latin1'));
    }
  }

  /** The peer takes all that waits. */
  take() {
    this.takes = true;
    this.sent.push(...this.waiting.splice(0));
    this.user.onSent();
  }

  end() {
    this.peerLeft = true;
    this.peerEnded = true;
    this.user.onPeerEnd();
  }

  receive() {
    if (this.user.mayReceive) this.isReceiving = true;
  }
  pause() {
    this.isReceiving = false;
  }
  release() {
    throw new Error('it has no buffers');
  }
  setDeadline(ns) {
    this.deadlineNs = ns;
  }
  clearDeadline() {
    this.deadlineNs = Number.POSITIVE_INFINITY;
  }
  finish() {
    this.calls.push('finish');
    this.destroy();
  }
  destroy() {
    if (this.isClosed) return;
    this.isClosed = true;
    this.user.onClosed();
  }
}

/** A connection of a server that has no listener. */
function open(fetch) {
  const shard = currentShard();
  const scratch = shard.base + shard.header.scratchOffset;
  shard.core.http_limits(16_384, 100, 8192);
  const server = {
    shard,
    fetch,
    writer: new Writer(shard, Heads.of(shard, scratch + TEMPLATES, TEMPLATES_BYTES)),
    limits: {
      bodyBytes: BODY_BYTES_MAX,
      headerTimeoutNs: 1,
      requestTimeoutNs: 2,
      idleTimeoutNs: 3,
      halfCloseTimeoutNs: 4,
    },
    authority: 'memory',
    headScratch: scratch + HEAD_SCRATCH,
    pieceScratch: scratch + PIECE_SCRATCH,
    draining: false,
    requests: 0,
    refused: 0,
    errors: [],
    report: (error) => server.errors.push(error),
    departed: () => {},
    holding: () => {
      throw new Error('nothing lies in a buffer');
    },
    forget: () => {
      server.isForgotten = true;
    },
  };
  let transport;
  const parser = shard.base + shard.header.connectionsOffset + SLOT * CONNECTION_BYTES;
  const connection = new HttpConnection(server, parser, (user) => {
    transport = new MemoryTransport(user);
    return transport;
  });
  return { server, transport, connection };
}

const bodiesOf = (text) => [...text.matchAll(/\r\n\r\n([\s\S]*?)(?=HTTP\/1\.1 |$)/g)].map(([, body]) => body);

for (const pieceBytes of [1, 7, 4096]) {
  test(`requests are answered in order, in pieces of ${pieceBytes} bytes`, async () => {
    const { transport, server } = open((request) => new Response(new URL(request.url).pathname));
    assert.ok(transport.isReceiving);
    transport.push('GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', pieceBytes);
    transport.push('GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', pieceBytes);
    assert.equal(bodiesOf(transport.text), ['/a', '/b', '/c']);
    assert.equal(transport.calls, ['finish']);
    assert.is(server.requests, 3);
    assert.ok(server.isForgotten);
    assert.equal(server.errors, []);
  });
}

test('a body that nobody reads yet stops receiving, and reading goes on with it', async () => {
  let read;
  const { transport } = open(async (request) => {
    await new Promise((resolve) => {
      read = resolve;
    });
    return new Response(`${(await request.bytes()).length}`);
  });
  const half = 'x'.repeat(100_000);
  transport.push(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n${half}`);
  assert.not(transport.isReceiving, 'the peer has to wait');
  read();
  await until(() => transport.isReceiving, 'it receives again');
  transport.push(half);
  await until(() => transport.text !== '', 'the answer');
  assert.equal(bodiesOf(transport.text), ['200000']);
});

test('a peer that does not take its answer holds up the stream that feeds it', async () => {
  let pulled = 0;
  const body = () =>
    new ReadableStream(
      {
        pull(controller) {
          if (++pulled > 10) controller.close();
          else controller.enqueue(new Uint8Array(50_000));
        },
      },
      { highWaterMark: 0 },
    );
  const { transport } = open(() => new Response(body()));
  transport.takes = false;
  transport.push('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => transport.out.backlogBytes > AHEAD_BYTES, 'as much waits as may');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(pulled <= AHEAD_BYTES / 50_000 + 2, `${pulled} chunks`);
  transport.take();
  await until(() => transport.text.endsWith('0\r\n\r\n'), 'the last chunk');
  assert.is(pulled, 11);
});

test('a half-closed peer gets its answer, and the connection ends', async () => {
  let answer;
  const { transport } = open(
    () =>
      new Promise((resolve) => {
        answer = () => resolve(new Response('late'));
      }),
  );
  transport.push('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  transport.end();
  assert.is(transport.deadlineNs, 4, 'the time that a half-closed client is given');
  answer();
  await until(() => transport.isClosed, 'the end');
  assert.equal(bodiesOf(transport.text), ['late']);
});

test('a deadline is a 408, and a transport that breaks aborts the handler', async () => {
  const { transport: slow, server } = open(() => new Response('never'));
  slow.push('GET / HT');
  assert.is(slow.deadlineNs, 1);
  slow.user.onDeadline();
  assert.match(slow.text, /^HTTP\/1\.1 408 /);
  assert.ok(slow.isClosed && server.refused === 1);

  let signal;
  const { transport: broken } = open((request) => {
    signal = request.signal;
    return new Promise(() => {});
  });
  broken.push('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.not(signal.aborted);
  broken.destroy();
  assert.ok(signal.aborted);
});

test.run();
