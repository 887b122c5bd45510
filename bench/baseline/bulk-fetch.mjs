// The handler of large bodies for the servers that have the web's types: featherstar, Bun, Deno. Routes as in bulk.h.
// Next: bulk-featherstar.mjs.

import { readFileSync } from 'node:fs';

const CHUNK_BYTES = 65536;
const CHUNKS = 16;

/** FNV-1a, as bulk.h has it. */
export function hash(bytes, state = 2166136261) {
  let value = state;
  for (const byte of bytes) value = Math.imul(value ^ byte, 16777619);
  return value >>> 0;
}

const buffers = []; // of reads that are over

/** Reads a body by a BYOB reader: always into the same buffer. */
async function readByob(body, take) {
  const reader = body.getReader({ mode: 'byob' });
  let view = new Uint8Array(buffers.pop() ?? CHUNK_BYTES);
  for (;;) {
    const { value, done } = await reader.read(view);
    view = new Uint8Array(value.buffer);
    if (done) break;
    take(value);
  }
  buffers.push(view.buffer);
}

/** A handler that responds with bytes of the file at `path`. `fileResponse()` is the server's own way to send it. */
export function bulkHandler(path, Response, fileResponse) {
  const payload = new Uint8Array(readFileSync(path));
  const chunks = Array.from({ length: CHUNKS }, (_, i) => payload.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES));
  const streamed = (count) => {
    let next = 0;
    return new ReadableStream({
      pull(controller) {
        controller.enqueue(chunks[next++ % CHUNKS]);
        if (next === count) controller.close();
      },
    });
  };
  const tenfold = new Uint8Array(Buffer.concat(Array(10).fill(payload)));
  const routes = {
    '/64k': () => new Response(chunks[0]),
    '/1m': () => new Response(payload),
    '/stream': () => new Response(streamed(CHUNKS)),
    '/10m': () => new Response(tenfold),
    '/10m-stream': () => new Response(streamed(10 * CHUNKS)),
    '/file': fileResponse,
    '/read': async (request) => new Response(String((await request.arrayBuffer()).byteLength)),
    '/read-stream': async (request) => {
      let count = 0;
      for await (const chunk of request.body) count += chunk.byteLength;
      return new Response(String(count));
    },
    '/read-byob': async (request) => {
      let count = 0;
      await readByob(request.body, (bytes) => {
        count += bytes.length;
      });
      return new Response(String(count));
    },
    '/sum-byob': async (request) => {
      let sum;
      await readByob(request.body, (bytes) => {
        sum = hash(bytes, sum);
      });
      return new Response(String(sum));
    },
    '/sum': async (request) => new Response(String(hash(new Uint8Array(await request.arrayBuffer())))),
    '/sum-stream': async (request) => {
      let sum;
      for await (const chunk of request.body) sum = hash(chunk, sum);
      return new Response(String(sum));
    },
  };
  return async (request) => {
    const { url } = request;
    return routes[url.slice(url.indexOf('/', 8))](request);
  };
}
