// The benchmark of WebSockets: an echo of 64 bytes of text and of 16 KiB, on `--connections` at once. Each has one
// message on its way. The figure is the CPU time of the server for each message. The client is this process: plain
// sockets of Node that send a frame again and again, and count the bytes that come back.
//
// Next: contest.js.

import { connect } from 'node:net';
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
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '2' },
  modules: { type: 'string', default: fileURLToPath(new URL('../node_modules', import.meta.url)) },
  only: { type: 'string' },
  ...PEER_OPTIONS,
};

const SIZES = [64, 16_384];
const WARM_UP_MS = 700;
const HANDSHAKE = [
  'GET / HTTP/1.1',
  'Host: localhost',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version: 13',
].join('\r\n');

function specs(modules) {
  const featherstar = [baseline('websocket-featherstar.mjs')];
  return [
    { name: 'featherstar', on: 'node', args: featherstar, env: { FEATHERSTAR_HOST: 'uring' } },
    { name: 'featherstar-portable', on: 'node', args: featherstar, env: { FEATHERSTAR_HOST: 'portable' } },
    { name: 'ws', on: 'node', args: [baseline('websocket-ws.mjs'), '--modules', resolve(modules)] },
    { name: 'bun', on: 'bun', args: [baseline('websocket-bun.mjs')] },
  ];
}

async function answers(port) {
  try {
    await fetch(`http://127.0.0.1:${port}/`);
    return true;
  } catch (error) {
    if (error.cause?.code === 'ECONNREFUSED') return false;
    throw error;
  }
}

/** Connections that send `bytes` whenever `replyBytes` have come back. */
class Echoes {
  messages = 0;
  #sockets = [];
  #isOver = false;

  async open(port, connections, bytes, replyBytes) {
    const all = Array.from({ length: connections }, () => this.#open(port, bytes, replyBytes));
    await Promise.all(all);
    for (const socket of this.#sockets) socket.write(bytes);
  }

  #open(port, bytes, replyBytes) {
    return new Promise((ready, fail) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#sockets.push(socket);
      let isUpgraded = false;
      let waiting = 0;
      socket.on('error', fail).on('close', () => this.#isOver || fail(new Error('a server has closed a connection')));
      socket.write(`${HANDSHAKE}\r\n\r\n`);
      socket.on('data', (chunk) => {
        if (!isUpgraded) {
          isUpgraded = chunk.includes('\r\n\r\n');
          if (isUpgraded) ready();
          return;
        }
        waiting += chunk.length;
        for (; waiting >= replyBytes; waiting -= replyBytes) {
          this.messages++;
          socket.write(bytes);
        }
      });
    });
  }

  close() {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** CPU time of a message in microseconds, and messages a second. */
async function measure(contender, size, { connections, seconds }) {
  const server = await startServer(contender, SERVER_CORE, answers);
  const echoes = new Echoes();
  try {
    const bytes = frame({ opcode: size < 1024 ? 1 : 2, payload: Buffer.alloc(size, 'x') });
    await echoes.open(server.port, connections, bytes, bytes.length - 4); // without the mask
    await sleep(WARM_UP_MS);
    const before = { messages: echoes.messages, cpu: cpuTime(server.pid), ms: performance.now() };
    await sleep(seconds * 1000);
    const messages = echoes.messages - before.messages;
    const cpuNs = cpuBetween(before.cpu, cpuTime(server.pid));
    return { us: cpuNs / 1000 / messages, rate: (messages * 1000) / (performance.now() - before.ms) };
  } finally {
    echoes.close();
    await server.stop();
  }
}

export async function main(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  const options = {
    connections: count('connections', values.connections, 10_000),
    seconds: count('seconds', values.seconds, 600),
  };
  const rounds = count('rounds', values.rounds, 100);
  const versions = findPeers(values);
  const all = await contendersOf(specs(values.modules), values, versions);
  const contenders = chooseContenders(all, values.only);
  for (const { name, unavailable } of contenders) if (unavailable) console.log(`${name}: ${unavailable}`);
  const running = contenders.filter(({ unavailable }) => unavailable === undefined);
  for (const size of SIZES) {
    const results = new Map(running.map((contender) => [contender, []]));
    for (let round = 0; round < rounds; round++) {
      for (const contender of running) results.get(contender).push(await measure(contender, size, options));
    }
    const rows = running.map((contender) => {
      const found = results.get(contender);
      const us = found.map((each) => each.us);
      return [contender.name, median(us), Math.min(...us), median(found.map(({ rate }) => rate))];
    });
    const cells = rows.map(([name, middle, least, rate]) => [
      name,
      middle.toFixed(2),
      least.toFixed(2),
      String(Math.round(rate)),
    ]);
    console.log(`\n${size} bytes\n${table([['', 'CPU us/message', 'least', 'messages/s'], ...cells])}`);
  }
  console.log(`\n${machineLine(versions)}`);
  return 0;
}
