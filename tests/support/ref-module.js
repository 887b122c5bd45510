// The functions that ref-program.js calls on other shards.

import { once } from 'node:events';
import { createNetServer } from 'featherstar/node';

let server;

export async function listen() {
  server = createNetServer().listen(0, '127.0.0.1');
  if (!server.listening) await once(server, 'listening');
}

export const unref = () => void server.unref();
