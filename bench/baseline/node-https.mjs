// node:https with an async handler, its defaults untouched. `--tls` names a folder with key.pem and cert.pem. Next:
// node-http.mjs, which is the same without TLS.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8443' }, tls: { type: 'string' } } });
const file = (name) => readFileSync(join(values.tls, name));

const server = createServer({ key: file('key.pem'), cert: file('cert.pem') }, async (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': 13 });
  response.end('Hello, World!');
});
server.listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
