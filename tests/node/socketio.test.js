// socket.io over createServer() of featherstar/node, with its own client, on both hosts. It goes by long polling, by
// WebSocket, and by the change from one to the other. It has too many packages for a devDependency:
//
//   npm install --no-save socket.io socket.io-client
//
// Next: ../websocket/libraries.test.js.

import { createServer } from 'featherstar/node';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const CLIENTS = 5;
const LARGE_BYTES = 300_000;

/** socket.io and its client. Undefined: they are not installed. */
async function libraries() {
  try {
    const [{ Server }, { io }] = await Promise.all([import('socket.io'), import('socket.io-client')]);
    return { Server, io };
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    console.log('# skipped: socket.io: npm install --no-save socket.io socket.io-client');
    return undefined;
  }
}

const event = (socket, name) => within(new Promise((resolve) => socket.once(name, resolve)), `the event ${name}`);

function checks({ check }, { Server, io }) {
  /** `run` gets a function that opens a client, and the server of socket.io. */
  const withServer = (what, transports, run) =>
    check(`${transports.join(' then ')}: ${what}`, async () => {
      const server = createServer((_request, response) => response.end('not socket.io'));
      const sockets = new Server(server, { maxHttpBufferSize: 2 * LARGE_BYTES });
      sockets.on('connection', (socket) => {
        socket.join('all');
        socket.on('echo', (value, reply) => reply(value));
        socket.on('tell', (value) => socket.to('all').emit('told', value));
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const clients = [];
      const open = async () => {
        const client = io(`http://127.0.0.1:${server.address().port}`, {
          transports,
          forceNew: true,
          reconnection: false,
        });
        clients.push(client);
        await event(client, 'connect');
        return client;
      };
      try {
        await run(open, sockets, server);
      } finally {
        for (const client of clients) client.disconnect();
        await new Promise((resolve) => sockets.close(resolve));
      }
    });

  for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
    withServer('values of each kind come back', transports, async (open) => {
      const client = await open();
      const bytes = Buffer.alloc(LARGE_BYTES, 'bytes');
      for (const value of ['text ü', 17, null, { list: [1, { two: 2 }] }, 'x'.repeat(LARGE_BYTES), { bytes }]) {
        const back = await client.timeout(10_000).emitWithAck('echo', value);
        if (value?.bytes === undefined) assert.equal(back, value);
        else assert.ok(bytes.equals(Buffer.from(back.bytes)));
      }
      const last = transports.at(-1);
      await until(() => client.io.engine.transport.name === last, `the transport is ${last}`);
      assert.is(await client.timeout(10_000).emitWithAck('echo', 'still there'), 'still there');
    });

    withServer('a message to all reaches the others', transports, async (open, sockets) => {
      const clients = [];
      for (let i = 0; i < CLIENTS; i++) clients.push(await open());
      const told = clients.slice(1).map((client) => event(client, 'told'));
      clients[0].emit('tell', 'news');
      assert.equal(await Promise.all(told), Array(CLIENTS - 1).fill('news'));
      sockets.emit('told', 'from the server');
      assert.equal(await event(clients[0], 'told'), 'from the server');
    });

    withServer('each end is told to the other side', transports, async (open, sockets) => {
      const client = await open();
      const [there] = await sockets.fetchSockets();
      const left = event(sockets.sockets.sockets.get(there.id), 'disconnect');
      client.disconnect();
      assert.is(await left, 'client namespace disconnect');
      const second = await open();
      const ended = event(second, 'disconnect');
      sockets.disconnectSockets(true);
      assert.match(await ended, /^(io server disconnect|transport close|transport error)$/);
    });
  }

  withServer('other requests go to the handler', ['polling'], async (_open, _sockets, server) => {
    const response = await fetch(`http://127.0.0.1:${server.address().port}/`);
    assert.is(await response.text(), 'not socket.io');
  });
}

const found = await libraries();
if (found === undefined) {
  test.skip('socket.io is not installed', () => undefined);
  test.run();
} else {
  for (const host of hosts()) {
    const suite = oneShardSuite('socket.io', host);
    checks(suite, found);
    suite.run();
  }
}
