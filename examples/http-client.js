// Requests over connections of the shard: undici with a pool, a time limit, and a server that passes requests on.
// It needs undici: npm install undici
import { blockOn, runtimeOptions, sleep } from 'featherstar';
import { createClient } from 'featherstar/client';
import { Response, serve } from 'featherstar/http';

await blockOn(async () => {
  const ports = new Set(); // of the client's connections
  const origin = await serve({
    hostname: '127.0.0.1',
    async fetch(request, info) {
      ports.add(info.remote.port);
      if (request.path === '/slow') await sleep(60_000, { signal: request.signal });
      return new Response(`${request.method} ${request.path}: "${await request.text()}"`);
    },
  });

  const client = createClient({ maxConnections: 2 }); // it closes with the runtime
  console.log(await (await client.fetch(`${origin.url}one`)).text());

  // Ten at once share two connections. request() costs a fraction of fetch(). Each body has to be read.
  const ask = async (path) => (await client.request(origin.url + path)).body.text();
  await Promise.all(Array.from({ length: 10 }, (_, i) => ask(`many/${i}`)));
  console.log(`11 requests, at most 2 connections: ${ports.size <= 2}`);

  const error = await client
    .fetch(`${origin.url}slow`, { signal: AbortSignal.timeout(20) })
    .catch((failure) => failure);
  console.log(`/slow: ${error.name}`);

  // A server that passes each request on, and the response back. Bodies are streams, which are not kept in memory.
  const front = await serve({
    hostname: '127.0.0.1',
    fetch: (request) => client.fetch(new URL(request.path, origin.url), request),
  });
  console.log(await (await client.fetch(`${front.url}passed-on`, { method: 'POST', body: 'with a body' })).text());

  await front.close();
  await origin.close();
}, runtimeOptions().options);

// It prints:
//   GET /one: ""
//   11 requests, at most 2 connections: true
//   /slow: TimeoutError
//   POST /passed-on: "with a body"
