// Checks for every HTTP server of examples/hosts, from outside. It serves, and refuses bad input as the parser says. A
// client that reads late gets all responses, and clients that leave in the middle do no harm. The server stops in
// order, although some clients do not read.
//
// Next: host.test.js, and ../conformance/hosts.test.js.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { REFUSED } from '../http/corpus.js';

const STEP_MS = 60_000;

/** Starts a server. `port` when it listens; stop() ends it by SIGTERM. It is killed after `limitMs`. */
export async function start(program, args, limitMs = STEP_MS) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (piece) => {
    text += piece;
  });
  const port = await new Promise((resolve, reject) => {
    void ended.then(() => reject(new Error(`it ended: ${text}`)));
    child.stdout.setEncoding('utf8').on('data', (piece) => {
      text += piece;
      const match = /(?:127\.0\.0\.1:|port )(\d+)/.exec(text);
      if (match !== null) resolve(Number(match[1]));
    });
  });
  const stop = async (signal = 'SIGTERM') => {
    child.kill(signal);
    const [code] = await ended;
    clearTimeout(timer);
    return { code, text };
  };
  return { port, pid: child.pid, stop };
}

/** Waits for the end of a connection. The server may break it off while the client still sends. */
function closing(socket) {
  socket.on('error', () => socket.destroy());
  return new Promise((resolve) => socket.once('close', resolve));
}

/** All that a server sends to a client that sends `pieces` and reads to the end. */
export async function exchange(port, ...pieces) {
  const socket = connect(port, '127.0.0.1');
  const closed = closing(socket);
  let text = '';
  socket.setEncoding('latin1').on('data', (piece) => {
    text += piece;
  });
  for (const piece of pieces) {
    socket.write(piece);
    await sleep(20); // so that the server sees pieces
  }
  await closed;
  return text;
}

const HELLO = /^HTTP\/1\.1 200 OK\r\n[\s\S]*Date: \w{3}, [^\r]* GMT\r\nContent-Length: 13\r\n\r\nHello, World!/;
const LAST = 'GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

async function checkRequests(port) {
  assert.match(await exchange(port, LAST), new RegExp(`${HELLO.source}$`));
  assert.match(await exchange(port, 'GET / HT', 'TP/1.1\r\nHo', 'st: a\r\nConnection: close\r\n', '\r\n'), HELLO);
  const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  assert.is((await exchange(port, get.repeat(40) + LAST)).match(/Hello, World!/g).length, 41);
  const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde';
  assert.is((await exchange(port, post + post, LAST)).match(/Hello, World!/g).length, 3);
  const chunks = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc';
  assert.is((await exchange(port, chunks, 'de\r\n0\r\n', '\r\n', LAST)).match(/Hello, World!/g).length, 2);
  const waits = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\n';
  assert.match(await exchange(port, waits, 'x'), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  assert.not.match(await exchange(port, LAST.replace('GET', 'HEAD')), /Hello/);
  assert.match(await exchange(port, 'GET / HTTP/1.0\r\n\r\n'), HELLO);
}

/** Requests that the parser must refuse (tests/http/corpus.js), some of them in a body or at a limit. */
const BAD = [
  ...REFUSED.map(([input, result]) => [input, -result]),
  [`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  [`GET / HTTP/1.1\r\nHost: a\r\nA: ${'b'.repeat(17_000)}\r\n\r\n`, 431],
  [`GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(101)}\r\n`, 431],
  ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
  ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc', 400],
];

async function checkBadInput(port) {
  const texts = await Promise.all(BAD.map(([input]) => exchange(port, Buffer.from(input, 'latin1'))));
  for (const [i, [input, status]] of BAD.entries())
    assert.match(texts[i], new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\n\r\n$`), input.slice(0, 60));
}

// The responses to these are more than the sockets hold, and so are the long requests that follow.
const SHORT = ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 150_000];
const LONG = [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(1000)}\r\n\r\n`, 30_000];

function sendMany(port) {
  const socket = connect(port, '127.0.0.1');
  socket.pause();
  for (const [request, count] of [SHORT, LONG]) {
    for (let i = 0; i < count; i += 1000) socket.write(request.repeat(1000));
  }
  return socket;
}

/** A client sends more requests than sockets hold, reads late, and gets every response. */
async function readLate(port) {
  const socket = sendMany(port);
  const closed = closing(socket);
  socket.end(LAST);
  await sleep(300);
  assert.ok(socket.writableLength > 0, 'the server makes the client wait');
  let bytes = 0;
  let end = '';
  socket.setEncoding('latin1').on('data', (piece) => {
    bytes += piece.length;
    end = (end + piece).slice(-1000);
  });
  socket.resume();
  await closed;
  const [last] = new RegExp(`${HELLO.source}$`).exec(end.slice(end.lastIndexOf('HTTP/1.1 200')));
  assert.is(bytes, (SHORT[1] + LONG[1] + 1) * last.length);
}

const CLOSE_MAX_MS = 3000;

/** Connections that end are closed when the response is out, and not with the next event: that may take a second. */
async function checkClosing(port) {
  const began = performance.now();
  for (let i = 0; i < 5; i++) {
    assert.match(await exchange(port, LAST), HELLO);
    await closing(connect(port, '127.0.0.1').end(SHORT[0]).resume());
  }
  const ms = performance.now() - began;
  assert.ok(ms < CLOSE_MAX_MS, `ten connections took ${Math.round(ms)} ms`);
}

const RUDE = [
  LAST.slice(0, 20),
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab',
  '\x16\x03\x01\x02\x00\x01',
  SHORT[0].repeat(500),
  '\0'.repeat(5000),
  '',
];

/** Clients send what they like, read nothing, and break the connection off after a while, or end it. */
async function checkRudeClients(port) {
  const rounds = Array.from({ length: 30 }, async (_, round) => {
    const sockets = RUDE.map(() =>
      connect(port, '127.0.0.1')
        .pause()
        .on('error', () => undefined),
    );
    const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const [i, socket] of sockets.entries()) socket.write(Buffer.from(RUDE[i], 'latin1'));
    await sleep(round * 5);
    for (const [i, socket] of sockets.entries()) {
      if ((round + i) % 3 === 0) socket.end().resume();
      else socket.resetAndDestroy();
    }
    const idle = sleep(500);
    await Promise.race([Promise.all(closed), idle]); // a request that is not complete may stay open
    for (const socket of sockets) socket.destroy();
  });
  await Promise.all(rounds);
}

const FILES = 64;
const CLIENTS = 150;

/** CPU time of a process, in ms. */
function cpuMs(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10; // ticks, a hundred a second
}

/**
 * A server that may have 64 files gets more clients. Those that find no room wait, and are served when others leave.
 * Waiting takes no CPU time.
 */
export async function checkFullTable(command, args) {
  const { port, pid, stop } = await start('sh', ['-c', `ulimit -n ${FILES}; exec "$0" "$@"`, command, ...args]);
  const served = [];
  let refused = 0;
  const sockets = Array.from({ length: CLIENTS }, () => {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.once('data', () => served.push(socket));
    socket.once('close', () => {
      if (!served.includes(socket)) refused++;
    });
    socket.write(SHORT[0]);
    return socket;
  });
  const hasServed = async (count) => {
    while (served.length < Math.min(count, CLIENTS - refused)) await sleep(5);
  };
  await hasServed(30);
  await sleep(200);
  assert.ok(served.length < FILES, `${served.length} were served at once`);
  const before = cpuMs(pid);
  await sleep(1000);
  assert.ok(cpuMs(pid) - before < 200, `${cpuMs(pid) - before} ms of CPU time in a second without work`);
  for (let left = 0; left + refused < CLIENTS; left++) {
    await hasServed(left + 1);
    served[left]?.destroy();
  }
  assert.is(refused, 0, `${refused} were refused`);
  for (const socket of sockets) socket.destroy();
  const { code, text } = await stop();
  assert.is(code, 0, text);
}

const SHARDS_MAX = 64;
const FILES_OF_MOST_SHARDS = 4500; // of a shard: a ring, a listener, an eventfd, and a doorbell for each other one

/** A server with as many shards as the core allows starts, serves and stops, on however few processors. */
export async function checkMostShards(command) {
  const limited = `ulimit -n ${FILES_OF_MOST_SHARDS}; exec "$0" 0 ${SHARDS_MAX}`;
  const { port, stop } = await start('sh', ['-c', limited, command]);
  const texts = await Promise.all(Array.from({ length: 100 }, () => exchange(port, LAST)));
  for (const text of texts) assert.match(text, HELLO);
  const { code, text } = await stop();
  assert.is(code, 0, text);
}

/** Runs all checks against a server: a command that prints where it listens. */
export async function checkServer(command, args) {
  const { port, stop } = await start(command, args);
  await checkRequests(port);
  await checkBadInput(port);
  await readLate(port);
  await checkRudeClients(port);
  await checkClosing(port);
  await checkRequests(port); // the server has survived that
  const idle = connect(port, '127.0.0.1'); // is open when the server stops
  await once(idle, 'connect');
  idle.on('error', () => idle.destroy());
  const deaf = sendMany(port); // never reads
  deaf.on('error', () => deaf.destroy());
  await sleep(300);
  const { code, text } = await stop();
  deaf.destroy();
  assert.is(code, 0, text);
  assert.match(text, /stopped\n$/);
}
