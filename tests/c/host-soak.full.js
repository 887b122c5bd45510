// deadline: 300 s
//
// A minute of load on the HTTP host in C: connections that stay and send requests in rows, and others that come and go.
// The memory of the server and its files do not grow. FEATHERSTAR_SOAK_S: seconds, instead of 60.
//
// Next: host.test.js.

import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildHost, compiler, folder } from './host-build.js';
import { start } from './server-checks.js';

const SOAK_MS = Number(process.env.FEATHERSTAR_SOAK_S ?? 60) * 1000;
// Each of two shards has 4,096 slots for connections. A slot has buffers of its own, whose pages are touched when it is
// used for the first time. So memory grows until all were used. The minute begins when it has not grown for a while.
const STILL_MS = 10_000;
const WARM_UP_MAX_MS = 150_000;
const STAYING = 64;
const ROW = 16; // requests in a row
const GROWTH_MAX_KIB = 512;
const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const LAST = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function residentKib(pid) {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

/** Waits until the memory of a process has not changed for a while. Returns how large it is. */
async function warmUp(pid) {
  const endMs = performance.now() + WARM_UP_MAX_MS;
  let [kib, sinceMs] = [0, performance.now()];
  while (performance.now() - sinceMs < STILL_MS) {
    assert.ok(performance.now() < endMs, `the memory still grows: ${kib} KiB`);
    const now = residentKib(pid);
    if (now !== kib) [kib, sinceMs] = [now, performance.now()];
    await later(100);
  }
  return kib;
}

/** Sends rows of requests, each when the last one is answered, until stop() is called. */
function stay(port, counts) {
  const socket = connect(port, '127.0.0.1');
  let answers = 0;
  socket.write(REQUEST.repeat(ROW));
  socket.setEncoding('latin1').on('data', (text) => {
    answers += text.split('Hello, World!').length - 1;
    if (answers < ROW) return;
    counts.requests += answers;
    answers = 0;
    socket.write(REQUEST.repeat(ROW));
  });
  socket.on('error', (error) => counts.errors.push(error.message));
  return socket;
}

/** One client after the other, until `counts.isOver`. */
async function comeAndGo(port, counts) {
  while (!counts.isOver) {
    await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1').end(LAST).resume();
      socket.on('error', (error) => counts.errors.push(error.message));
      socket.once('close', resolve);
    });
    counts.connections++;
  }
}

test('the HTTP host in C does not grow under load', async () => {
  if (compiler === undefined || process.platform !== 'linux') {
    console.log('# skipped: it needs Linux and a C compiler');
    return;
  }
  const { port, pid, stop } = await start(await buildHost('http'), ['0', '2'], SOAK_MS + WARM_UP_MAX_MS + 60_000);
  const counts = { requests: 0, connections: 0, errors: [], isOver: false };
  const sockets = Array.from({ length: STAYING }, () => stay(port, counts));
  const guests = Array.from({ length: 4 }, () => comeAndGo(port, counts));
  const before = await warmUp(pid);
  const files = readdirSync(`/proc/${pid}/fd`).length;
  counts.requests = counts.connections = 0;
  await later(SOAK_MS);
  const after = residentKib(pid);
  assert.is(readdirSync(`/proc/${pid}/fd`).length, files);
  counts.isOver = true;
  await Promise.all(guests);
  for (const socket of sockets) socket.destroy();
  const { code, text } = await stop();
  assert.is(code, 0, text);
  assert.equal(counts.errors, []);
  const { requests, connections } = counts;
  console.log(`# ${requests} requests, ${connections} connections; ${before} KiB before, ${after} KiB after`);
  assert.ok(requests > 0 && connections > 0);
  assert.ok(after - before <= GROWTH_MAX_KIB, `grew from ${before} to ${after} KiB`);
});

test.after(() => rmSync(folder, { recursive: true }));
test.run();
