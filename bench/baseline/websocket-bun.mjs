// An echo of WebSocket messages by Bun.serve. Run by `bun`.
// Next: websocket-ws.mjs.

import { parseArgs } from 'node:util';

const { values } = parseArgs({ args: Bun.argv.slice(2), options: { port: { type: 'string', default: '8080' } } });
Bun.serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response('', { status: 426 });
  },
  websocket: {
    message(ws, data) {
      ws.send(data);
    },
  },
});
