// An echo of WebSocket messages by the package ws, which --modules names the folder of. At /topic it sends each message
// to all other clients there.
// Next: ../websocket.js.

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' }, modules: { type: 'string' } } });
const { WebSocketServer } = createRequire(`${values.modules}/`)('ws');
const server = new WebSocketServer({ port: Number(values.port), host: '127.0.0.1' });
const subscribers = new Set();
server.on('connection', (client, request) => {
  const isOfTopic = request.url === '/topic';
  if (isOfTopic) subscribers.add(client);
  client.on('message', (data, binary) => {
    if (!isOfTopic) client.send(data, { binary });
    else for (const other of subscribers) if (other !== client) other.send(data, { binary });
  });
  client.on('close', () => subscribers.delete(client));
});
