// The benchmark of WebSockets: an echo of 64 bytes of text and of 16 KiB, on `--connections` at once, and a broadcast.
// In an echo, each connection has one message on its way. In a broadcast, one client publishes 64 bytes to
// `--subscribers` others, and again when all have them. There, featherstar has two shards, the others have one thread.
// The figure is the CPU time of the server for each message that a client gets. The client is this process: plain
// sockets of Node that send a frame again and again, and count the bytes that come back.
//
// Next: contest.js.

import { connect } from 'node:net';
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { frame } from '../tests/websocket/frame.js';
import { SERVER_CORE } from './contest.js';
import { baseline, chooseContenders, contendersOf, findPeers, PEER_OPTIONS } from './peers.js';
import { count } from './rounds.js';
import { cpuBetween, cpuTime, startServer } from './server.js';
import { machineLine, median, table } from './tools.js';

const OPTIONS = {
  connections: { type: 'string', default: '64' },
  subscribers: { type: 'string', default: '1000' },
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '2' },
  modules: { type: 'string', default: fileURLToPath(new URL('../node_modules', import.meta.url)) },
  only: { type: 'string' },
  ...PEER_OPTIONS,
};

const SIZES = [64, 16_384];
const ALL_CORES = `0-${cpus().length - 1}`;
const WARM_UP_MS = 2000; // V8 still compiles in the first second, on threads of its own, and that is counted
const BROADCAST_BYTES = 64;
const BROADCAST_SHARDS = 2;
const handshake = (path) =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: localhost',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    '\r\n',
  ].join('\r\n');

function specs(modules) {
  const featherstar = [baseline('websocket-featherstar.mjs')];
  return [
    { name: 'featherstar', on: 'node', args: featherstar, env: { FEATHERSTAR_HOST: 'uring' }, hasShards: true },
    {
      name: 'featherstar-portable',
      on: 'node',
      args: featherstar,
      env: { FEATHERSTAR_HOST: 'portable' },
      hasShards: true,
    },
    { name: 'ws', on: 'node', args: [baseline('websocket-ws.mjs'), '--modules', resolve(modules)] },
    { name: 'bun', on: 'bun', args: [baseline('websocket-bun.mjs')] },
  ];
}

async function answers(port) {
  try {
    await fetch(`http://127.0.0.1:${port}/`);
    return true;
  } catch (error) {
    if (['ECONNREFUSED', 'ECONNRESET'].includes(error.cause?.code)) return false; // not all shards listen
    throw error;
  }
}

/** Clients of one server. `messages` counts those that have come. */
class Clients {
  messages = 0;
  sockets = [];
  #isOver = false;

  /** Opens `count` connections, one after the other. `onData(socket, bytes)` is called for what comes to each. */
  async open(port, path, count, onData) {
    for (let i = 0; i < count; i++) this.sockets.push(await this.#open(port, path, onData));
  }

  #open(port, path, onData) {
    return new Promise((ready, fail) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      let isUpgraded = false;
      socket.on('error', fail).on('close', () => this.#isOver || fail(new Error('a server has closed a connection')));
      socket.write(handshake(path));
      socket.on('data', (chunk) => {
        if (isUpgraded) onData(socket, chunk.length);
        else if (chunk.includes('\r\n\r\n')) {
          isUpgraded = true;
          ready(socket);
        }
      });
    });
  }

  close() {
    this.#isOver = true;
    for (const socket of this.sockets) socket.destroy();
  }
}

const frameOf = (size) => frame({ opcode: size < 1024 ? 1 : 2, payload: Buffer.alloc(size, 'x') });
const replyBytesOf = (bytes) => bytes.length - 4; // without the mask

/** Each connection sends a frame whenever the last one has come back. */
async function startEchoes(clients, port, { size, connections }) {
  const bytes = frameOf(size);
  const replyBytes = replyBytesOf(bytes);
  const waiting = new Map();
  await clients.open(port, '/', connections, (socket, count) => {
    let left = (waiting.get(socket) ?? 0) + count;
    for (; left >= replyBytes; left -= replyBytes) {
      clients.messages++;
      socket.write(bytes);
    }
    waiting.set(socket, left);
  });
  for (const socket of clients.sockets) socket.write(bytes);
}

/** The last connection publishes whenever all others have what it has published last. */
async function startBroadcast(clients, port, { subscribers }) {
  const bytes = frameOf(BROADCAST_BYTES);
  const replyBytes = replyBytesOf(bytes);
  let waiting = 0;
  await clients.open(port, '/topic', subscribers + 1, (_socket, count) => {
    waiting += count;
    if (waiting < subscribers * replyBytes) return;
    waiting -= subscribers * replyBytes;
    clients.messages += subscribers;
    clients.sockets.at(-1).write(bytes);
  });
  clients.sockets.at(-1).write(bytes);
}

/** CPU time of a message in microseconds, and messages a second. */
async function measure(contender, start, core, { seconds, ...options }) {
  const server = await startServer(contender, core, answers);
  const clients = new Clients();
  try {
    await start(clients, server.port, options);
    await sleep(WARM_UP_MS);
    const before = { messages: clients.messages, cpu: cpuTime(server.pid), ms: performance.now() };
    await sleep(seconds * 1000);
    const messages = clients.messages - before.messages;
    const cpuNs = cpuBetween(before.cpu, cpuTime(server.pid));
    return { us: cpuNs / 1000 / messages, rate: (messages * 1000) / (performance.now() - before.ms) };
  } finally {
    clients.close();
    await server.stop();
  }
}

/** Measures all contenders in turn, and prints a table. */
async function compare(title, contenders, rounds, run) {
  const results = new Map(contenders.map((contender) => [contender, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) results.get(contender).push(await run(contender));
  }
  const rows = contenders.map((contender) => {
    const found = results.get(contender);
    const us = found.map((each) => each.us);
    const rate = median(found.map((each) => each.rate));
    return [contender.name, median(us).toFixed(2), Math.min(...us).toFixed(2), String(Math.round(rate))];
  });
  console.log(`\n${title}\n${table([['', 'CPU us/message', 'least', 'messages/s'], ...rows])}`);
}

export async function main(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  const options = {
    connections: count('connections', values.connections, 10_000),
    subscribers: count('subscribers', values.subscribers, 10_000),
    seconds: count('seconds', values.seconds, 600),
  };
  const rounds = count('rounds', values.rounds, 100);
  const versions = findPeers(values);
  const all = await contendersOf(specs(values.modules), values, versions);
  const contenders = chooseContenders(all, values.only);
  for (const { name, unavailable } of contenders) if (unavailable) console.log(`${name}: ${unavailable}`);
  const running = contenders.filter(({ unavailable }) => unavailable === undefined);
  for (const size of SIZES) {
    const run = (contender) => measure(contender, startEchoes, SERVER_CORE, { ...options, size });
    await compare(`${size} bytes`, running, rounds, run);
  }
  const sharded = running.map((contender) =>
    contender.hasShards ? { ...contender, args: [...contender.args, '--shards', `${BROADCAST_SHARDS}`] } : contender,
  );
  const subscribers = `${options.subscribers} subscribers`;
  const title = `${BROADCAST_BYTES} bytes to ${subscribers}; featherstar on ${BROADCAST_SHARDS} shards`;
  await compare(title, sharded, rounds, (contender) => measure(contender, startBroadcast, ALL_CORES, options));
  console.log(`\n${machineLine(versions)}`);
  return 0;
}
