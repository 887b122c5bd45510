// A server that replies to any simple query with its text, as PostgreSQL does, for pools that are searched.

import net from 'node:net';
import { below } from './hunted.js';

const MS_MAX = 30;

function message(type, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(5);
  head.write(type, 0);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const READY = message('Z', 'I');
const COLUMN = ['answer\0', [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]];

function replyTo(text) {
  if (text === 'fail') return Buffer.concat([message('E', 'SERROR\0C42601\0Mthe query fails\0\0'), READY]);
  const row = message('D', [0, 1, 0, 0, 0, text.length], text);
  return Buffer.concat([message('T', [0, 1], ...COLUMN), row, message('C', 'SELECT 1\0'), READY]);
}

export class PostgresServer {
  sockets = new Set();
  #server;

  start() {
    this.#server = net.createServer((socket) => this.#serve(socket));
    return new Promise((resolve) => this.#server.listen(5432, resolve));
  }

  stop() {
    this.cut();
    const late = setInterval(() => this.sockets.forEach((socket) => void socket.destroy()), 5); // they came meanwhile
    return new Promise((resolve) => this.#server.close(resolve)).finally(() => clearInterval(late));
  }

  /** Ends all connections. */
  cut() {
    for (const socket of this.sockets) Math.random() < 0.5 ? socket.destroy() : socket.resetAndDestroy();
  }

  #serve(socket) {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    let hasStarted = false;
    const queries = [];
    let isBusy = false;
    const next = () => {
      if (isBusy || queries.length === 0) return;
      isBusy = true;
      setTimeout(() => {
        isBusy = false;
        if (!socket.writable) return;
        socket.write(queries.shift());
        next();
      }, below(MS_MAX));
    };
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      for (;;) {
        const at = hasStarted ? 1 : 0;
        if (bytes.length < at + 4 || bytes.length < at + bytes.readInt32BE(at)) return;
        const size = bytes.readInt32BE(at);
        const type = hasStarted ? String.fromCharCode(bytes[0]) : '';
        const body = bytes.subarray(at + 4, at + size);
        bytes = bytes.subarray(at + size);
        if (!hasStarted) queries.push(Buffer.concat([message('R', [0, 0, 0, 0]), READY]));
        else if (type === 'Q') queries.push(replyTo(body.toString('utf8', 0, body.length - 1)));
        else if (type === 'X') socket.end();
        hasStarted = true;
        next();
      }
    });
  }
}
