// A page that shows the runtime at work: two shards in Web Workers. Their rings, wheels and tasks are drawn from the
// shared memory. This is its server. It sends the two headers that let a page's workers share memory.
//   node examples/browser/main.js [--port N]      then open http://127.0.0.1:8090
import { parseArgs } from 'node:util';
import { blockOn, runtimeOptions, waitForSignal } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { Response, serve } from 'featherstar/http';

const { options, rest } = runtimeOptions();
const { values } = parseArgs({
  args: rest,
  options: { port: { type: 'string', default: process.env.PORT ?? '8090' } },
});
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css', wasm: 'application/wasm' };
const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cache-control': 'no-store',
};

const folder = (url) => openDirectory(decodeURIComponent(new URL('.', url).pathname));

await blockOn(async () => {
  const page = await folder(import.meta.url);
  const library = await folder(new URL('../..', import.meta.resolve('featherstar/browser'))); // dist/

  async function fetch(request) {
    const path = new URL(request.url).pathname.slice(1) || 'index.html';
    const inLibrary = path.startsWith('featherstar/');
    const type = TYPES[path.split('.').pop()];
    if (request.method !== 'GET' || type === undefined) return new Response('no such page\n', { status: 404 });
    try {
      const bytes = await (inLibrary ? library.readFile(path.slice('featherstar/'.length)) : page.readFile(path));
      return new Response(bytes, { headers: { ...ISOLATED, 'content-type': type } });
    } catch (error) {
      if (error.code !== 'FEATHERSTAR_SYSTEM') throw error; // ENOENT, or EXDEV: no path leads out of a directory
      return new Response('no such page\n', { status: 404 });
    }
  }

  const server = await serve({ port: Number(values.port), hostname: '127.0.0.1', fetch });
  console.log(`open http://127.0.0.1:${server.port}`);
  await waitForSignal(['SIGTERM', 'SIGINT']);
}, options);

// It prints:
//   open http://127.0.0.1:...
