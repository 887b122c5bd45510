// Another client: asks for the small answer again and again, on one connection, every INTERVAL_MS. It is a process of
// its own, so that it is not held up by the clients of clients.js.
//
// Reads commands from standard input, one a line. `begin`: forgets what it has measured and connects anew. `warm`: the
// same, but it asks without a pause, so that the server's code is compiled before anything is measured. `end`: stops,
// and prints one line of JSON with what it has measured. It ends with its input, or after LIFE_MS.
//
// A server that stops for a second delays one request of this client, but 500 of a client that keeps its pace. So a
// latency L that is longer than the interval also counts as L - 1 intervals, L - 2 intervals, and so on. HdrHistogram
// corrects for coordinated omission in this way.
//
// Next: clients.js.

import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const INTERVAL_MS = 2;
const LIFE_MS = 300_000;
const REQUEST = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
const END = '\r\n\r\nHello, World!';

const port = Number(process.argv[2]);
let socket;
let latencies = []; // in milliseconds, corrected
let answers = 0;
let errors = 0;
let connectedMs = 0; // when connect() was called
let firstMs; // from there to the first answer
let askedMs = 0; // when the open request was sent; 0: none is open
let received = '';
let timer; // until the next request
let intervalMs = INTERVAL_MS; // 0 while it warms the server up

const now = () => performance.now();

function close() {
  const last = socket;
  socket = undefined;
  last?.destroy();
  clearTimeout(timer);
}

function open() {
  close();
  received = '';
  askedMs = 0;
  connectedMs = now();
  const mine = connect({ port, host: '127.0.0.1', noDelay: true }, ask);
  socket = mine;
  mine.setEncoding('latin1').on('data', onData);
  mine.on('error', () => {});
  mine.on('close', () => {
    if (mine !== socket) return;
    errors++;
    timer = setTimeout(open, 100);
  });
}

function ask() {
  askedMs = now();
  socket.write(REQUEST);
}

function onData(text) {
  received += text;
  if (!received.endsWith(END)) return;
  received = '';
  const ms = now() - askedMs;
  answers++;
  firstMs ??= now() - connectedMs;
  askedMs = 0;
  count(ms);
  timer = setTimeout(ask, Math.max(0, intervalMs - ms));
}

function count(ms) {
  for (let each = ms; each > 0; each -= INTERVAL_MS) latencies.push(each);
}

function report() {
  if (askedMs !== 0) count(now() - askedMs); // it has waited for so long at least
  const { length } = latencies;
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(length - 1, Math.floor(length * share))] ?? null;
  return { answers, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), firstMs: firstMs ?? now() - connectedMs, errors };
}

createInterface({ input: process.stdin })
  .on('line', (command) => {
    if (command === 'end') {
      console.log(JSON.stringify(report()));
      close();
    } else {
      intervalMs = command === 'warm' ? 0 : INTERVAL_MS;
      latencies = [];
      answers = 0;
      errors = 0;
      firstMs = undefined;
      open();
    }
  })
  .on('close', () => process.exit(0));
setTimeout(() => process.exit(3), LIFE_MS);
