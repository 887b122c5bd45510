// Behaviours of featherstar/node. A part of behaviours.js.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { sleep } from 'featherstar';
import { listen } from 'featherstar/net';
import { createConnection, createNetServer, createServer, nodeSocketOf } from 'featherstar/node';

const HERE = '127.0.0.1';
const MEBIBYTE = 1_048_576;

/** A NodeSocket, and the peer's end of it, which is one, too. */
async function pair(options = {}) {
  const listener = await listen({ hostname: HERE });
  const accepting = listener.accept();
  const client = createConnection({ port: listener.port, host: HERE, ...options });
  const server = nodeSocketOf(await accepting, { allowHalfOpen: true });
  if (client.connecting) await once(client, 'connect');
  listener.close();
  return { client, server };
}

function readAll(stream) {
  const parts = [];
  stream.on('data', (part) => parts.push(part));
  return once(stream, 'end').then(() => Buffer.concat(parts));
}

export const streams = {
  'bytes go both ways, and both ends close when both have ended': async () => {
    const { client, server } = await pair();
    const closing = Promise.all([once(client, 'close'), once(server, 'close')]);
    const big = Buffer.alloc(MEBIBYTE, 'big');
    client.write('text');
    client.end(big);
    assert.deepEqual(await readAll(server), Buffer.concat([Buffer.from('text'), big]));
    server.end(big);
    assert.deepEqual(await readAll(client), big);
    assert.deepEqual(await closing, [[false], [false]]);
  },
  'a reader that stops makes the writer wait': async () => {
    const { client, server } = await pair();
    const block = Buffer.alloc(MEBIBYTE);
    let written = 0;
    for (let i = 0; i < 32; i++) client.write(block, () => written++);
    await sleep(50);
    assert.ok(written < 32, `${written} of 32 MiB were written`);
    server.resume();
    while (written < 32) await sleep(1);
    client.destroy();
    server.destroy();
  },
  'errors have the codes of Node': async () => {
    const { server, client } = await pair();
    const port = client.remotePort;
    server.destroy();
    client.destroy();
    await sleep(5);
    const refused = createConnection(port, HERE);
    const [error] = await once(refused, 'error').catch((thrown) => [thrown]);
    assert.equal(error.code, 'ECONNREFUSED');
    assert.equal(error.cause.code, 'FEATHERSTAR_SYSTEM');
  },
  'a timeout is told of': async () => {
    const { client, server } = await pair();
    client.setTimeout(20);
    await once(client, 'timeout');
    client.destroy();
    server.destroy();
  },
  'a server of the shape of net.Server': async () => {
    const server = createNetServer((socket) => socket.pipe(socket)).listen(0, HERE);
    await once(server, 'listening');
    const client = createConnection(server.address().port, HERE);
    client.end('echo');
    assert.equal(`${await readAll(client)}`, 'echo');
    server.close();
    await once(server, 'close');
  },
  "a server of Node's own http.Server": async () => {
    const server = createServer((request, response) => request.pipe(response)).listen(0, HERE);
    await once(server, 'listening');
    const { port } = server.address();
    const asked = http.request({ createConnection, host: HERE, port, method: 'POST' });
    asked.end(Buffer.alloc(MEBIBYTE, 'big'));
    const [response] = await once(asked, 'response');
    assert.equal((await readAll(response)).length, MEBIBYTE);
    server.close();
    await once(server, 'close');
  },
  "Node's own client of HTTP speaks over it": async () => {
    const listener = await listen({ hostname: HERE });
    const serving = (async () => {
      const socket = await listener.accept();
      for (let text = ''; !text.endsWith('\r\n\r\n'); ) text += Buffer.from(await socket.read());
      await socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
      await socket.read();
      socket.close();
    })();
    const asked = http.get({ createConnection, host: HERE, port: listener.port });
    const [response] = await once(asked, 'response');
    assert.equal(`${await readAll(response)}`, 'hello');
    await serving;
    listener.close();
  },
};
