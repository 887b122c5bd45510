// An echo of WebSocket messages by the package ws, which --modules names the folder of.
// Next: ../websocket.js.

import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' }, modules: { type: 'string' } } });
const { WebSocketServer } = createRequire(`${values.modules}/`)('ws');
const server = new WebSocketServer({ port: Number(values.port), host: '127.0.0.1' });
server.on('connection', (client) => client.on('message', (data, isBinary) => client.send(data, { binary: isBinary })));
