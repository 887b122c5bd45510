// Preloaded into undici's tests of its WebSocket: they get the WebSocket of featherstar/http.

import { createRequire } from 'node:module';
import { WebSocket } from '../../../dist/host/http/index.js';
import { Runtime } from '../../../dist/host/index.js';

(await Runtime.start({ shards: 1, stallMs: 0 })).unref(); // sockets keep a process alive, as those of Node do
createRequire(`${process.cwd()}/`)('./index.js').WebSocket = WebSocket;
