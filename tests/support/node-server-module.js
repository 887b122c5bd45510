// A shard module as a program of Node's would write it: each shard makes its server, and listens on the same port.

import { runtime } from 'featherstar';
import { createServer } from 'featherstar/node';

let server;

export function listen(port) {
  server = createServer((_, response) => response.end(`${runtime().self}`)).listen(port, '127.0.0.1');
  return new Promise((resolve, reject) => {
    server.once('listening', () => resolve(server.address().port)).once('error', (error) => reject(error.cause));
  });
}

export const stop = () => new Promise((resolve) => server.close(resolve));
