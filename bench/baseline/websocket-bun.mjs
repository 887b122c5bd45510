// An echo of WebSocket messages by Bun.serve, and a topic at /topic. Run by `bun`.
// Next: websocket-ws.mjs.

import { parseArgs } from 'node:util';

const { values } = parseArgs({ args: Bun.argv.slice(2), options: { port: { type: 'string', default: '8080' } } });
Bun.serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  fetch(request, server) {
    const data = { isOfTopic: new URL(request.url).pathname === '/topic' };
    return server.upgrade(request, { data }) ? undefined : new Response('', { status: 426 });
  },
  websocket: {
    open(ws) {
      if (ws.data.isOfTopic) ws.subscribe('topic');
    },
    message(ws, data) {
      if (ws.data.isOfTopic) ws.publish('topic', data);
      else ws.send(data);
    },
  },
});
