// A program that waits for nothing but its sockets and servers: `case` of its arguments says which. It prints 'end'
// when it ends by itself.

import { once } from 'node:events';
import { promisify } from 'node:util';
import { Runtime } from 'featherstar';
import { createConnection, createNetServer, createServer } from 'featherstar/node';
import { cert, key } from './tls.js';

const [what] = process.argv.slice(2);
const module = new URL('ref-module.js', import.meta.url);
const runtime = await Runtime.start({ shards: 2, module });
process.on('exit', () => console.log('end'));

async function opened(server) {
  server.listen(0, '127.0.0.1');
  if (!server.listening) await once(server, 'listening');
  return server;
}

const cases = {
  nothing: () => runtime.unref(),
  'a runtime that is closed': async () => {
    const closing = runtime.close();
    runtime.unref(); // no effect: close() ends in order
    await closing;
    runtime.unref().ref().unref();
  },
  'a handshake with a server that is closed': async () => {
    const server = await opened(createServer({ tls: { key, cert } }));
    runtime.unref();
    const client = createConnection(server.address().port, '127.0.0.1');
    while ((await promisify(server.getConnections)()) === 0) await new Promise(setImmediate);
    client.unref();
    server.close();
  },
  'a runtime': () => setTimeout(() => {}, 1),
  'a runtime that is ref again': () => runtime.unref().ref(),
  'an http server': async () => {
    await opened(createServer());
    runtime.unref();
  },
  "a server that is unref'd": async () => {
    runtime.unref();
    (await opened(createNetServer())).unref();
  },
  "a server that was unref'd before, and is ref again": async () => {
    runtime.unref();
    (await opened(createNetServer().unref())).ref();
  },
  'a server that is closed': async () => {
    runtime.unref();
    (await opened(createNetServer())).close();
  },
  'a server on another shard': async () => {
    await runtime.on(1).listen();
    runtime.unref();
  },
  "a server on another shard that is unref'd later": async () => {
    const server = await opened(createNetServer());
    await runtime.on(1).listen();
    runtime.unref();
    await runtime.on(1).unref();
    server.unref();
  },
  'a socket': async () => {
    const server = (await opened(createNetServer())).unref();
    runtime.unref();
    server.on('connection', (socket) => socket.unref());
    await once(createConnection(server.address().port, '127.0.0.1'), 'connect');
  },
  "a socket that is unref'd, with a timeout": async () => {
    const server = (await opened(createNetServer())).unref();
    runtime.unref();
    server.on('connection', (socket) => socket.unref());
    const socket = createConnection(server.address().port, '127.0.0.1').setTimeout(600_000);
    await once(socket, 'connect');
    socket.unref();
  },
  'a socket whose peer ends': async () => {
    const server = (await opened(createNetServer((socket) => socket.end('bye')))).unref();
    runtime.unref();
    await once(createConnection(server.address().port, '127.0.0.1').resume(), 'end');
  },
};

await cases[what]();
console.log('waits');
