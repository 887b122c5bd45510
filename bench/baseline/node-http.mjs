// The contender that everyone knows: node:http with an async handler, its defaults untouched (so it also sends
// Connection and Keep-Alive). Next: bun-serve.mjs.

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' } } });

const server = createServer(async (_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': 13 });
  response.end('Hello, World!');
});
server.listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
