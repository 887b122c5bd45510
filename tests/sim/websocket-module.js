// A server of WebSockets for the simulator's test: it echoes, and publishes what begins with "all".

import { runtime } from 'featherstar';
import { serve } from 'featherstar/http';

export async function start(port) {
  const server = await serve({
    port,
    fetch: (_request, info) => info.upgrade(),
    websocket: {
      idleTimeoutMs: 5000,
      open: (ws) => ws.subscribe('all'),
      message(ws, data) {
        if (String(data).startsWith('all')) ws.publish('all', `${data} from shard ${runtime().self}`);
        else ws.send(data);
      },
    },
  });
  return server.port;
}
