// Replays vectors in a page of Chromium.
//
//   [server: this folder, the core, the vectors] <--fetch-- page: replay.js --> what main.js prints of any engine
//
// Next: ../browser/chromium.js.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const RUN_MS = 240_000;
const HEADERS = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

const CODE = `(async () => {
  const { replay } = await import('/replay.js');
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const module = await WebAssembly.compile(await bytes('/core.wasm'));
  const { hash, seeds, calls, differences } = replay(module, await bytes('/vectors.bin'));
  return hash + ' ' + seeds + ' seeds, ' + calls + ' calls, ' + differences.length + ' differ';
})()`;

/** Returns what the page says. Ends the browser. */
export async function replayInPage(chromium, wasm, vectors) {
  const files = {
    '/': ['text/html', () => '<!doctype html><title>vectors</title>'],
    '/replay.js': ['text/javascript', () => readFileSync(new URL('./replay.js', import.meta.url))],
    '/core.wasm': ['application/wasm', () => readFileSync(wasm)],
    '/vectors.bin': ['application/octet-stream', () => readFileSync(vectors)],
  };
  const server = createServer((request, response) => {
    const [type, read] = files[request.url] ?? [];
    if (read === undefined) response.writeHead(404).end();
    else response.writeHead(200, { ...HEADERS, 'content-type': type }).end(read());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const run = await chromium.open(`http://127.0.0.1:${server.address().port}/`);
    return await run(CODE, RUN_MS);
  } finally {
    await chromium.close();
    server.close();
  }
}
