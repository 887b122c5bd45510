// Clients that a server must live with, on plain sockets of node:net. `node clients.js NAME PORT COUNT [BYTES]`:
//
//   stalled  COUNT clients ask for /large and read nothing
//   chunks   one client posts BYTES bytes in chunks of one byte
//   fin      COUNT clients ask for /wait and leave, one a millisecond
//   burst    COUNT clients ask for /wait and leave, all at once
//   heads    COUNT clients send HEADS heads each, a byte at a time, one byte in INTERVAL_MS
//
// Each prints one line of JSON when it has done its work. Commands come on standard input, one a line: `fin` and
// `burst` connect, print a line, and leave at the command `go`. A program ends with its input, or after LIFE_MS.
//
// Next: measure.js.

import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const LIFE_MS = 300_000;
const AT_ONCE = 100; // connects that are under way
const INTERVAL_MS = 2;
const HEADS = 2;
const CHUNKS_AT_ONCE = 10_000;

// The header lines of a request of Chromium, as in ../wrk.lua.
const HEAD = `GET / HTTP/1.1\r
Host: 127.0.0.1\r
Accept: */*\r
Accept-Encoding: gzip, deflate, br, zstd\r
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r
Cache-Control: no-cache\r
Connection: keep-alive\r
Cookie: session=0f8fad5b-d9cb-469f-a165-70867728950e; theme=dark\r
Pragma: no-cache\r
Referer: http://127.0.0.1/index.html\r
Sec-Fetch-Dest: empty\r
Sec-Fetch-Mode: cors\r
Sec-Fetch-Site: same-origin\r
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r
sec-ch-ua: "Chromium";v="142", "Not_A Brand";v="99"\r
sec-ch-ua-mobile: ?0\r
sec-ch-ua-platform: "Linux"\r
\r
`;

const [name, ...numbers] = process.argv.slice(2);
const [port, count, bytes] = numbers.map(Number);
const say = (value) => console.log(JSON.stringify(value));

function open() {
  return connect({ port, host: '127.0.0.1', noDelay: true });
}

/** Opens `count` connections, AT_ONCE at a time. Each sends a request, and reads nothing. */
async function openAll(requestOf) {
  const sockets = [];
  const openSome = async () => {
    while (sockets.length < count) {
      const id = sockets.length;
      const socket = open();
      sockets.push(socket);
      socket.pause();
      await once(socket, 'connect');
      socket.on('error', () => {}); // a reset: the server may close what it likes
      socket.write(requestOf(id));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  return sockets;
}

/** Resolves with the next answer, which ends with `end`. */
function answer(socket, end) {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (data) => {
      text += data;
      if (!text.endsWith(end)) return;
      socket.off('data', onData);
      resolve(text);
    };
    socket.setEncoding('latin1').on('data', onData);
    socket.once('close', () => reject(new Error(`the server closed the connection after ${JSON.stringify(text)}`)));
  });
}

const PROGRAMS = {
  async stalled() {
    const sockets = await openAll(() => 'GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    say({ connected: sockets.length });
  },

  async chunks() {
    const socket = open();
    await once(socket, 'connect');
    const startMs = performance.now();
    const answered = answer(socket, `\r\n\r\n${bytes}`);
    socket.write('POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n');
    const many = Buffer.from('1\r\nx\r\n'.repeat(CHUNKS_AT_ONCE), 'latin1');
    for (let left = bytes; left > 0; left -= CHUNKS_AT_ONCE) {
      const part = left >= CHUNKS_AT_ONCE ? many : many.subarray(0, (many.length / CHUNKS_AT_ONCE) * left);
      if (!socket.write(part)) await Promise.race([once(socket, 'drain'), answered]);
    }
    socket.write('0\r\n\r\n');
    await answered;
    say({ ms: performance.now() - startMs });
    socket.destroy();
  },

  /** Says when each client left, by the machine's monotonic clock, which the server reads too. */
  async leave(pauseMs) {
    const sockets = await openAll((id) => `GET /wait?id=${id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    say({ connected: sockets.length });
    await once(commands, 'line');
    const left = [];
    for (const socket of sockets) {
      if (pauseMs > 0) await sleep(pauseMs);
      left.push(String(process.hrtime.bigint()));
      socket.destroy(); // closes at once: the kernel sends FIN
    }
    say({ left });
  },
  fin: () => PROGRAMS.leave(1),
  burst: () => PROGRAMS.leave(0),

  async heads() {
    const sockets = Array.from({ length: count }, open);
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    for (let round = 0; round < HEADS; round++) {
      const answered = Promise.all(sockets.map((socket) => answer(socket, '\r\n\r\nHello, World!')));
      for (const byte of HEAD) {
        for (const socket of sockets) socket.write(byte);
        await Promise.race([sleep(INTERVAL_MS), answered]); // fails if a connection is closed
      }
      await answered;
    }
    say({ bytes: HEAD.length * HEADS * count });
    for (const socket of sockets) socket.destroy();
  },
};

const commands = createInterface({ input: process.stdin }).on('close', () => process.exit(0));
setTimeout(() => process.exit(3), LIFE_MS);
await PROGRAMS[name]();
