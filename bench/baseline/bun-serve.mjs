// Bun.serve with an async handler, its defaults untouched. Run by `bun`, not by node. Next: featherstar.mjs.

import { parseArgs } from 'node:util';

const { values } = parseArgs({ args: Bun.argv.slice(2), options: { port: { type: 'string', default: '8080' } } });

Bun.serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  fetch: async () => new Response('Hello, World!'),
});
console.log('ready');
