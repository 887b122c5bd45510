// node:http with large bodies; with --echo an echo over node:net. Routes as in bulk.h. Next: bulk-bun.mjs.

import { createReadStream, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createEcho } from 'node:net';
import { Readable } from 'node:stream';
import { parseArgs } from 'node:util';
import { hash } from './bulk-fetch.mjs';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '8080' }, payload: { type: 'string' }, echo: { type: 'boolean' } },
});
const CHUNK_BYTES = 65536;

function bulkServer(path) {
  const payload = readFileSync(path);
  const chunks = Array.from({ length: 16 }, (_, i) => payload.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
  const tenfold = Buffer.concat(Array(10).fill(payload));
  const type = { 'Content-Type': 'application/octet-stream' };
  const whole = (bytes) => (_request, response) => {
    response.writeHead(200, { ...type, 'Content-Length': bytes.length });
    response.end(bytes);
  };
  const piped = (readable, headers) => (_request, response) => {
    response.writeHead(200, { ...type, ...headers });
    readable().pipe(response);
  };
  const say = (response, text) => {
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
    response.end(text);
  };
  const collected = (result) => (request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => say(response, String(result(Buffer.concat(parts)))));
  };
  const streamed = (initial, step) => (request, response) => {
    let state = initial;
    request.on('data', (part) => {
      state = step(state, part);
    });
    request.on('end', () => say(response, String(state)));
  };
  const routes = {
    '/64k': whole(chunks[0]),
    '/1m': whole(payload),
    '/stream': piped(() => Readable.from(chunks, { objectMode: false }), {}),
    '/10m': whole(tenfold),
    '/10m-stream': piped(() => Readable.from(Array(10).fill(chunks).flat(), { objectMode: false }), {}),
    '/file': piped(() => createReadStream(path), { 'Content-Length': payload.length }),
    '/read': collected((bytes) => bytes.length),
    '/sum': collected(hash),
    '/read-stream': streamed(0, (count, part) => count + part.length),
    '/sum-stream': streamed(undefined, (sum, part) => hash(part, sum)),
  };
  return createServer((request, response) => routes[request.url](request, response));
}

function echoServer() {
  return createEcho({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
}

const server = values.echo ? echoServer() : bulkServer(values.payload);
server.listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
