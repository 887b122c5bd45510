// An echo of WebSocket messages by featherstar, and a topic. FEATHERSTAR_HOST says on which host.
// Next: websocket-module.mjs.

import { parseArgs } from 'node:util';
import { serve } from 'featherstar/http';

const { values } = parseArgs({
  options: { port: { type: 'string', default: '8080' }, shards: { type: 'string', default: '1' } },
});
await serve({
  module: new URL('websocket-module.mjs', import.meta.url),
  shards: Number(values.shards),
  port: Number(values.port),
  hostname: '127.0.0.1',
});
