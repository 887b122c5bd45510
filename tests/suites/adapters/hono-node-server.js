// This takes the place of Hono's server for Node in the tests of that server: the shape of a server of node:http, on
// featherstar's serve(). Next: ../vitest.js.

import { EventEmitter } from 'node:events';
import { serve as serveHere } from '../../../dist/host/http/index.js';

/** The part of node:http's Server that the tests use. */
class Server extends EventEmitter {
  #options;
  #opening;
  #address = null;

  constructor(options) {
    super();
    this.#options = options;
  }

  listen(port = 0, hostname = '::', onListening = undefined) {
    if (onListening !== undefined) this.once('listening', onListening);
    const { fetch, createServer } = this.#options;
    if (createServer !== undefined) throw new Error('featherstar serves HTTP/1.1 without TLS only');
    this.#opening = serveHere({ port, hostname, fetch, onError() {} });
    this.#opening.then((server) => {
      this.#address = { address: hostname, family: hostname.includes(':') ? 'IPv6' : 'IPv4', port: server.port };
      this.emit('listening');
    });
    return this;
  }

  address() {
    return this.#address;
  }

  close(callback) {
    this.#address = null;
    void Promise.resolve(this.#opening)
      .then((server) => server?.close())
      .then(() => callback?.());
    return this;
  }
}

export const createAdaptorServer = (options) => new Server(options);

export function serve(options, onListening) {
  const server = new Server(options);
  return server.listen(options.port ?? 3000, options.hostname, () => onListening?.(server.address()));
}
