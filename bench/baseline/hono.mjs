// An unmodified Hono app on one of three servers: `--on featherstar|bun|node-server`. Hono comes from `--modules DIR`,
// the node_modules that ../hono.js was given. `--own` responds with featherstar's Response instead of Hono's
// `c.text()`, which makes the global one. `--middlewares` adds three that most programs have. With `--hash-in-place`,
// etag() hashes by node:crypto, not by WebCrypto. Next: ../hono.js.

import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8080' },
    modules: { type: 'string' },
    on: { type: 'string' },
    own: { type: 'boolean', default: false },
    middlewares: { type: 'boolean', default: false },
    'hash-in-place': { type: 'boolean', default: false },
  },
});
const load = (path) => import(new URL(path, `${pathToFileURL(values.modules)}/`));

const { Hono } = await load('hono/dist/index.js');
const app = new Hono();
if (values.middlewares) {
  const { cors } = await load('hono/dist/middleware/cors/index.js');
  const { etag } = await load('hono/dist/middleware/etag/index.js');
  const { secureHeaders } = await load('hono/dist/middleware/secure-headers/index.js');
  const sha1 = (body) => Uint8Array.from(createHash('sha1').update(body).digest()).buffer;
  app.use(cors(), etag(values['hash-in-place'] ? { generateDigest: sha1 } : {}), secureHeaders());
}
if (values.own) {
  const { Response } = await import('featherstar/http');
  app.get('/', () => new Response('Hello, World!'));
} else {
  app.get('/', (c) => c.text('Hello, World!'));
}

const at = { port: Number(values.port), hostname: '127.0.0.1', fetch: app.fetch };
if (values.on === 'bun') {
  Bun.serve(at);
} else {
  const { serve } = await (values.on === 'featherstar'
    ? import('featherstar/http')
    : load('@hono/node-server/dist/index.mjs'));
  await serve(at);
}
console.log('ready');
