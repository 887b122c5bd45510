// A server for the simulator's test of slow clients: large answers, and what it made of a request.

import { Response, serve } from 'featherstar/http';

let server;

export async function start(limits) {
  server = await serve({
    port: 80,
    limits,
    async fetch(request) {
      if (request.path === '/large') return new Response(new Uint8Array(1_000_000));
      const headers = [...request.headers].map(([name, value]) => `${name}=${value}`).join('&');
      return new Response(`${request.method} ${request.path} ${headers} ${await request.text()}`);
    },
  });
}

export const connections = () => server.stats.connections;
