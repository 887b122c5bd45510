// An echo of WebSocket messages by featherstar. FEATHERSTAR_HOST says on which host.
// Next: websocket-bun.mjs.

import { parseArgs } from 'node:util';
import { serve } from 'featherstar/http';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' } } });
await serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  fetch: (_request, info) => info.upgrade(),
  websocket: {
    message(ws, data) {
      ws.send(data);
    },
  },
});
