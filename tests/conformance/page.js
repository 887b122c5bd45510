// Replays vectors in a page of Chromium or Firefox.
//
//   [server: this folder, the core, the vectors] <--fetch-- page: replay.js --> what main.js prints of any engine
//
// Chromium runs code in the page and returns what it says. Firefox opens a page that does the same, and posts it to the
// server.
//
// Next: ../browser/chromium.js.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

const RUN_MS = 240_000;
const HEADERS = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };

const CODE = `(async () => {
  const { replay } = await import('/replay.js');
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const module = await WebAssembly.compile(await bytes('/core.wasm'));
  const { hash, seeds, calls, differences } = replay(module, await bytes('/vectors.bin'));
  return hash + ' ' + seeds + ' seeds, ' + calls + ' calls, ' + differences.length + ' differ';
})()`;
const POSTING = `<!doctype html><title>vectors</title><script type="module">
  const said = await ${CODE}.catch(String);
  await fetch('/result', { method: 'POST', body: said });
</script>`;

/** Serves what a page needs. `url`; `result`: what a page posts; close(). */
async function serveVectors(wasm, vectors) {
  const files = {
    '/': ['text/html', () => '<!doctype html><title>vectors</title>'],
    '/posting': ['text/html', () => POSTING],
    '/replay.js': ['text/javascript', () => readFileSync(new URL('./replay.js', import.meta.url))],
    '/core.wasm': ['application/wasm', () => readFileSync(wasm)],
    '/vectors.bin': ['application/octet-stream', () => readFileSync(vectors)],
  };
  const server = createServer();
  const result = new Promise((resolve) => {
    server.on('request', (request, response) => {
      const [type, read] = files[request.url] ?? [];
      if (request.url === '/result') resolve(text(request).finally(() => response.end()));
      else if (read === undefined) response.writeHead(404).end();
      else response.writeHead(200, { ...HEADERS, 'content-type': type }).end(read());
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, result, close };
}

/** Returns what the page says. Ends the browser. */
export async function replayInChromium(chromium, wasm, vectors) {
  const server = await serveVectors(wasm, vectors);
  try {
    const run = await chromium.open(server.url);
    return await run(CODE, RUN_MS);
  } finally {
    await chromium.close();
    server.close();
  }
}

/** Returns what the page says, or why there is nothing. Ends the browser. */
export async function replayInFirefox(command, wasm, vectors) {
  const server = await serveVectors(wasm, vectors);
  const profile = mkdtempSync(join(tmpdir(), 'featherstar-firefox-'));
  const args = ['--headless', '--no-remote', '--profile', profile, `${server.url}posting`];
  const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, HOME: profile } });
  const ended = once(child, 'close');
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS);
  try {
    return await Promise.race([server.result, ended.then(() => 'Firefox ended, and has posted nothing')]);
  } finally {
    clearTimeout(timer);
    child.kill('SIGKILL');
    await ended;
    server.close();
    rmSync(profile, { recursive: true, maxRetries: 10, retryDelay: 100 });
  }
}
