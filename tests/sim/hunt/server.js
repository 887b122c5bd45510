// A server for clients that are searched. It can stop and start, and end its connections.

import net from 'node:net';

/** A subclass has `serve(socket)`. */
export class Server {
  sockets = new Set();
  #port;
  #server;

  constructor(port) {
    this.#port = port;
  }

  start() {
    this.#server = net.createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
      this.serve(socket);
    });
    return new Promise((resolve) => this.#server.listen(this.#port, resolve));
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
}
