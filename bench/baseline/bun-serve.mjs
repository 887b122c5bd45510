// Bun.serve with an async handler, its defaults untouched. Run by `bun`, not by node. `--tls` names a folder with
// key.pem and cert.pem. Next: featherstar.mjs.

import { join } from 'node:path';
import { parseArgs } from 'node:util';

const options = { port: { type: 'string', default: '8080' }, tls: { type: 'string' } };
const { values } = parseArgs({ args: Bun.argv.slice(2), options });
const file = (name) => Bun.file(join(values.tls, name));

Bun.serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  tls: values.tls && { key: file('key.pem'), cert: file('cert.pem') },
  fetch: async () => new Response('Hello, World!'),
});
console.log('ready');
