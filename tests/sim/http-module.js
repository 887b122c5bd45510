// A server for the simulator's test of HTTP: it responds with the shard's number, or with the body of the request.

import { runtime, sleep } from 'featherstar';
import { Response, serve } from 'featherstar/http';

export async function start(port) {
  const server = await serve({
    port,
    async fetch(request) {
      if (request.method === 'GET') return new Response(`shard ${runtime().self}`);
      await sleep(1);
      return new Response(await request.text());
    },
  });
  return server.port;
}
