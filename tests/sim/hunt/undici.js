// undici: requests by a pool with retries, to an HTTP server that is cut off and restarts.

import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';
import { MACHINES, troubles } from './troubles.js';

const { default: undici } = await hunted('undici');

class HttpServer {
  posts = new Map();
  #sockets = new Set();

  async #reply(request, response) {
    const parts = await request.toArray().catch(() => []);
    if (request.method === 'POST') this.posts.set(request.url, (this.posts.get(request.url) ?? 0) + 1);
    await sleep(below(20));
    response.write(`${request.url} `);
    await sleep(below(10));
    response.end(Buffer.concat(parts));
  }

  start() {
    this.server = http.createServer((request, response) => void this.#reply(request, response));
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    return new Promise((resolve) => this.server.listen(8080, resolve));
  }

  cut() {
    for (const socket of this.#sockets) Math.random() < 0.5 ? socket.destroy() : socket.resetAndDestroy();
  }

  stop() {
    const cut = setInterval(() => this.cut(), 10); // also connections that come meanwhile
    return new Promise((resolve) => this.server.close(resolve)).finally(() => clearInterval(cut));
  }
}

export default (seed) =>
  simulate({ seed, ...MACHINES, faults: { partial: 0.05, reset: 0.002 } }, async (world) => {
    const server = new HttpServer();
    await world.on(1, () => server.start());
    const limits = { headersTimeout: 500, bodyTimeout: 500, connect: { timeout: 500 } };
    const pool = new undici.Pool('http://db:8080', { connections: 2, pipelining: pick([1, 3]), ...limits });
    const agent = new undici.RetryAgent(pool, { maxRetries: 3, minTimeout: 10, maxTimeout: 50 });
    const ask = async (path) => {
      const isPost = Math.random() < 0.5;
      const signal = Math.random() < 0.1 ? AbortSignal.timeout(1 + below(30)) : undefined;
      const options = { path, method: isPost ? 'POST' : 'GET', body: isPost ? `body of ${path}` : undefined, signal };
      const { body } = await agent.request({ origin: 'http://db:8080', ...options });
      const text = await body.text();
      always(text === `${path} ${options.body ?? ''}`, 'a response belongs to its request', `${text}, not ${path}`);
      sometimes(isPost, 'a POST is answered');
    };
    const client = async (name) => {
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const path = `/${name}${round}`;
        await world.within(
          60_000,
          `request ${path}`,
          ask(path).catch((error) => note(`${path}: ${error.message}`)),
        );
      }
    };
    await Promise.all([troubles(world, server), client('a'), client('b'), client('c')]);
    for (const [path, count] of server.posts) always(count === 1, 'a POST is sent once', `${path}: ${count}`);
    await world.within(60_000, 'close()', pool.close());
    await sleep(100);
    await world.on(1, () => server.stop());
  });
