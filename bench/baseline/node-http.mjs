// The contender that everyone knows: node:http with an async handler, its defaults untouched (so it also sends
// Connection and Keep-Alive). With --shard the same server on the sockets of a shard. Next: bun-serve.mjs.

import http from 'node:http';
import { parseArgs } from 'node:util';

const options = { port: { type: 'string', default: '8080' }, shard: { type: 'boolean', default: false } };
const { values } = parseArgs({ options });

async function onShard() {
  const { Runtime } = await import('featherstar');
  await Runtime.start({ shards: 1 });
  return import('featherstar/node');
}

const { createServer } = values.shard ? await onShard() : http;

const server = createServer(async (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': 13 });
  response.end('Hello, World!');
});
server.listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
