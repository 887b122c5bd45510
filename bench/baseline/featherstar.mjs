// This measures featherstar's serve() with an async handler. Host and polling come by environment, as they would in
// production: FEATHERSTAR_HOST=uring|portable, FEATHERSTAR_IDLE_POLL_US. `--web` answers with the global Response
// instead of featherstar's own. `--tls` names a folder with key.pem and cert.pem. Next: ../http.js.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Response as OwnResponse, serve } from 'featherstar/http';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8080' },
    web: { type: 'boolean', default: false },
    tls: { type: 'string' },
  },
});
const file = (name) => readFileSync(join(values.tls, name));

await serve({
  port: Number(values.port),
  hostname: '127.0.0.1',
  tls: values.tls && { key: file('key.pem'), cert: file('cert.pem') },
  fetch: values.web ? async () => new Response('Hello, World!') : async () => new OwnResponse('Hello, World!'),
});
console.log('ready');
