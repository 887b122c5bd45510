// Serves the package, the example and these tests as they lie there, with the headers that let workers share memory, or
// without, or with them for the page alone. Pages of other origins may load the library. The contract's modules come
// with other imports: what a page has of what they ask for (contract-world.js).

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname } from 'node:path';

// any other path: the example's
const ROOTS = {
  featherstar: '../../dist/',
  test: './',
  contract: '../contract/',
  support: '../support/',
  http: '../http/',
};
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };
const ISOLATED = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

function bytesOf(path) {
  const [first, ...rest] = path.slice(1).split('/');
  const url = first in ROOTS ? `${ROOTS[first]}${rest.join('/')}` : `../../examples/browser${path}`;
  const bytes = readFileSync(new URL(url, import.meta.url));
  if (first !== 'contract' && first !== 'support') return bytes;
  return bytes
    .toString()
    .replaceAll(/from '(featherstar[^']*|node:[^']*)'/g, "from '/test/contract-world.js'")
    .replaceAll("from '../../dist/", "from '/featherstar/");
}

export function open({ isolated = true } = {}) {
  const server = createServer((request, response) => {
    const path = request.url === '/' ? '/index.html' : request.url;
    const hasThem = isolated === 'page' ? extname(path) === '.html' : isolated;
    const headers = { ...(hasThem ? ISOLATED : {}), 'access-control-allow-origin': '*' };
    try {
      const bytes = bytesOf(path);
      response.writeHead(200, { ...headers, 'content-type': TYPES[extname(path)] }).end(bytes);
    } catch {
      response.writeHead(404, headers).end();
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

export const urlOf = (server) => `http://127.0.0.1:${server.address().port}/`;
