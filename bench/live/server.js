// The server under test, the same program twice: `ours` on serve() of featherstar/http, `node` on node:http.
//
//   GET /           13 bytes, the small answer
//   GET /large      8 MiB, always the same array
//   POST /body      reads the body as text, returns its length
//   GET /wait?id=7  is never answered; notes when the handler is told that its client has left
//   GET /left       the notes since the last GET /left: { id: nanoseconds of the machine's monotonic clock }
//   GET /cpu        CPU time of this process so far, all threads, in microseconds
//
// Next: probe.js.

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { kind: { type: 'string' }, port: { type: 'string' } } });

const TEXT = 'Hello, World!';
const LARGE = new Uint8Array(8 << 20).fill(120);
const [hostname, port] = ['127.0.0.1', Number(values.port)];
let left = {};

/** The client of `/wait?id=7` has left. Only the first notice counts. */
function note(url) {
  const id = url.split('=')[1];
  left[id] ??= String(process.hrtime.bigint());
}

function cpu() {
  const { user, system } = process.cpuUsage();
  return JSON.stringify(user + system);
}

function takeLeft() {
  const text = JSON.stringify(left);
  left = {};
  return text;
}

/** Resolves when the client has left, as a handler would that waits for news. */
function waitOurs(request, Response) {
  return new Promise((resolve) => {
    const onLeft = () => {
      note(request.url);
      resolve(new Response(''));
    };
    request.signal.addEventListener('abort', onLeft);
  });
}

async function serveOurs() {
  const { Response, serve } = await import('featherstar/http');
  const routes = {
    '/': () => new Response(TEXT),
    '/large': () => new Response(LARGE),
    '/body': async (request) => new Response(`${(await request.text()).length}`),
    '/wait': (request) => waitOurs(request, Response),
    '/left': () => new Response(takeLeft()),
    '/cpu': () => new Response(cpu()),
  };
  await serve({ hostname, port, fetch: async (request) => routes[request.path](request) });
}

/** Of the ways to read a body as text with node:http, the one that costs least for many small chunks. */
function textOf(request) {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.once('end', () => resolve(text));
    request.once('error', reject);
  });
}

function serveNode() {
  const send = (response, body) => {
    response.writeHead(200, { 'Content-Type': 'text/plain;charset=UTF-8', 'Content-Length': body.length });
    response.end(body);
  };
  const routes = {
    '/': (_request, response) => send(response, TEXT),
    '/large': (_request, response) => send(response, LARGE),
    '/body': async (request, response) => send(response, `${(await textOf(request)).length}`),
    '/wait': (request, response) => {
      request.once('close', () => note(request.url));
      response.once('close', () => note(request.url));
    },
    '/left': (_request, response) => send(response, takeLeft()),
    '/cpu': (_request, response) => send(response, cpu()),
  };
  const server = createServer(async (request, response) => routes[request.url.split('?')[0]](request, response));
  server.listen(port, hostname);
}

if (values.kind === 'ours') await serveOurs();
else serveNode();
