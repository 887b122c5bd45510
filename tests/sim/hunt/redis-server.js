// A server that speaks enough of Redis, for clients that are searched. It can stop and start, and it keeps what it has.

import net from 'node:net';
import { below } from './hunted.js';

const bulk = (text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

export class RedisServer {
  executed = new Map(); // how often each INCR of a key was done
  #sockets = new Set();
  #server;
  #slowMs;

  constructor(slowMs) {
    this.#slowMs = slowMs;
  }

  start() {
    this.#server = net.createServer((socket) => this.#serve(socket));
    return new Promise((resolve) => this.#server.listen(6379, resolve));
  }

  stop() {
    this.cut();
    const late = setInterval(() => this.#sockets.forEach((socket) => void socket.destroy()), 5); // they came meanwhile
    return new Promise((resolve) => this.#server.close(resolve)).finally(() => clearInterval(late));
  }

  /** Ends all connections. */
  cut() {
    for (const socket of this.#sockets) Math.random() < 0.5 ? socket.destroy() : socket.resetAndDestroy();
  }

  #run([name, ...args], state) {
    const command = name.toUpperCase();
    if (state.isInMulti && command !== 'EXEC') {
      state.queued.push([name, ...args]);
      return '+QUEUED\r\n';
    }
    if (command === 'HELLO') return '%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n';
    if (command === 'INFO') return bulk('loading:0\r\nredis_version:7.0.0\r\n');
    if (command === 'ECHO') return bulk(args[0]);
    if (command === 'PING') return '+PONG\r\n';
    if (command === 'INCR') {
      this.executed.set(args[0], (this.executed.get(args[0]) ?? 0) + 1);
      return `:${this.executed.get(args[0])}\r\n`;
    }
    if (command === 'MULTI') {
      Object.assign(state, { isInMulti: true, queued: [] });
      return '+OK\r\n';
    }
    if (command === 'EXEC') {
      const { queued } = state;
      state.isInMulti = false;
      return `*${queued.length}\r\n${queued.map((each) => this.#run(each, state)).join('')}`;
    }
    if (['CLIENT', 'SELECT', 'QUIT', 'AUTH'].includes(command)) return '+OK\r\n';
    return '-ERR unknown command\r\n';
  }

  #serve(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    let text = '';
    const words = [];
    const state = { isInMulti: false, queued: [] };
    let isBusy = false;
    const next = () => {
      if (isBusy || words.length === 0 || socket.destroyed) return;
      isBusy = true;
      setTimeout(() => {
        const command = words.shift();
        isBusy = false;
        if (socket.destroyed) return;
        socket.write(this.#run(command, state));
        if (command[0].toUpperCase() === 'QUIT') socket.end();
        next();
      }, below(this.#slowMs));
    };
    socket.on('data', (part) => {
      text += part;
      for (;;) {
        const lines = text.split('\r\n');
        const count = Number(lines[0].slice(1));
        if (!(count > 0) || lines.length < 2 * count + 2) return;
        words.push(Array.from({ length: count }, (_, i) => lines[2 * i + 2]));
        text = lines.slice(2 * count + 1).join('\r\n');
        next();
      }
    });
  }
}
