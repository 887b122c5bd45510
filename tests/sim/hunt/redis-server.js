// A server that speaks enough of Redis, for clients that are searched. It can stop and start, and it keeps what it has.

import { readCommands } from '../wire-protocols.js';
import { below } from './hunted.js';
import { Server } from './server.js';

const bulk = (text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

export class RedisServer extends Server {
  executed = new Map(); // how often each INCR of a key was done
  #slowMs;

  constructor(slowMs) {
    super(6379);
    this.#slowMs = slowMs;
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

  serve(socket) {
    const commands = [];
    const state = { isInMulti: false, queued: [] };
    let isBusy = false;
    const next = () => {
      if (isBusy || commands.length === 0 || socket.destroyed) return;
      isBusy = true;
      setTimeout(() => {
        const command = commands.shift();
        isBusy = false;
        if (socket.destroyed) return;
        socket.write(this.#run(command, state));
        if (command[0].toUpperCase() === 'QUIT') socket.end();
        next();
      }, below(this.#slowMs));
    };
    readCommands(socket, (command) => {
      commands.push(command);
      next();
    });
  }
}
