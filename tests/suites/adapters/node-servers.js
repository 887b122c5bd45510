// Preloaded into the tests of a framework: they call http.createServer(), and get servers of this process's shard.

import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { Runtime } from '../../../dist/host/index.js';
import { createServer } from '../../../dist/host/node/index.js';

(await Runtime.start({ shards: 1, stallMs: 0 })).unref(); // sockets keep a process alive, as those of Node do
http.createServer = createServer;
syncBuiltinESMExports();
