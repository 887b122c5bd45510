// A hello of Express or Fastify: `--framework express|fastify`, from `--modules DIR`, the node_modules that
// ../connect.js was given. It runs on node:http, and with --shard on the sockets of a shard. Next: ../connect.js.

import http from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8080' },
    modules: { type: 'string' },
    framework: { type: 'string' },
    shard: { type: 'boolean', default: false },
  },
});
const load = createRequire(join(values.modules, 'index.js'));
const TYPE = 'text/plain; charset=utf-8';

async function onShard() {
  const { Runtime } = await import('featherstar');
  await Runtime.start({ shards: 1 });
  return import('featherstar/node');
}

const { createServer } = values.shard ? await onShard() : http;
const port = Number(values.port);
if (values.framework === 'express') {
  const app = load('express')();
  app.disable('etag').disable('x-powered-by');
  app.get('/', (_, response) => response.type(TYPE).send('Hello, World!'));
  createServer(app).listen(port, '127.0.0.1', () => console.log('ready'));
} else {
  const app = load('fastify')({ serverFactory: (handler) => createServer(handler) });
  app.get('/', (_, reply) => reply.type(TYPE).send('Hello, World!'));
  await app.listen({ port, host: '127.0.0.1' });
  console.log('ready');
}
