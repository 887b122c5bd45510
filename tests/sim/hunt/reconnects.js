// A WebSocket that reconnects, over ws: the server cuts connections and restarts; the client is closed and reconnects.
//
// Next: partysocket.js, reconnecting-websocket.js, which name a package with such a client.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: WebSocket } = await hunted('ws');

class EchoServer {
  async start() {
    this.server = new WebSocket.WebSocketServer({ port: 9000 });
    this.server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.on('message', (data) => socket.send(String(data)));
    });
    await once(this.server, 'listening');
  }

  cut() {
    for (const socket of this.server.clients) socket.terminate();
  }

  stop() {
    this.cut();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** A hunt for the client that is the default export of `name`. */
export async function reconnecting(name) {
  const { default: exported } = await hunted(name);
  const ReconnectingWebSocket = exported.default ?? exported;
  return (seed) =>
    simulate({ seed, faults: { partial: 0.05 } }, async (world) => {
      const server = new EchoServer();
      await server.start();
      const client = new ReconnectingWebSocket('ws://localhost:9000', [], {
        WebSocket,
        minReconnectionDelay: 20,
        maxReconnectionDelay: 50,
        connectionTimeout: 200,
        minUptime: 50,
        maxRetries: pick([2, Number.POSITIVE_INFINITY]),
      });
      for (const event of ['open', 'close', 'error']) client.addEventListener(event, () => note(event));
      for (let round = 0; round < 5; round++) {
        await sleep(below(60));
        const kind = pick(['cut', 'restart', 'close', 'reconnect', 'nothing']);
        note(kind);
        if (kind === 'cut') server.cut();
        if (kind === 'restart') {
          await server.stop();
          await sleep(below(200));
          await server.start();
        }
        if (kind === 'close') client.close();
        if (kind === 'reconnect') client.reconnect();
      }
      client.reconnect(); // the network and the server are well from now on
      await sleep(3000);
      always(client.readyState === 1, 'after reconnect() the client connects', client.readyState);
      const echoed = new Promise((resolve) => client.addEventListener('message', ({ data }) => resolve(data)));
      client.send('hello');
      always((await world.within(1000, 'the echo', echoed)) === 'hello', 'the echo is right');
      sometimes(true, 'an echo');
      client.close();
      await sleep(1000);
      await server.stop();
    });
}
