// Preloaded into the tests of undici: its connections, and those that the tests make by themselves, are connections of
// this process's shard. TLS goes over them.

import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { Runtime } from '../../../dist/host/index.js';
import { createConnection } from '../../../dist/host/node/index.js';

const ofNode = tls.connect;

function connectTls(...args) {
  const [options, onSecure] = args;
  if (typeof options !== 'object' || options.socket) return ofNode(...args);
  const { host = 'localhost', port, path, lookup } = options;
  const socket = createConnection(path ? { path } : { host, port, lookup });
  return ofNode({ ...options, socket, servername: options.servername ?? (net.isIP(host) ? '' : host) }, onSecure);
}

(await Runtime.start({ shards: 1, stallMs: 0 })).unref(); // sockets keep a process alive, as those of Node do
Object.assign(net, { connect: createConnection, createConnection });
tls.connect = connectTls;
syncBuiltinESMExports();
