// Bun.serve with large bodies, files by Bun.file; with --echo an echo over Bun.listen. Run by `bun`.
// Next: bulk-deno.mjs.

import { parseArgs } from 'node:util';
import { bulkHandler } from './bulk-fetch.mjs';

const { values } = parseArgs({
  args: Bun.argv.slice(2),
  options: { port: { type: 'string', default: '8080' }, payload: { type: 'string' }, echo: { type: 'boolean' } },
});
const at = { port: Number(values.port), hostname: '127.0.0.1' };

/** Sends `bytes`. Bytes that find no room wait for drain(), in a copy, because Bun reuses its buffer. */
function send(socket, bytes) {
  const { rest } = socket.data;
  if (rest.length > 0) {
    rest.push(bytes.slice());
    return;
  }
  const sent = socket.write(bytes);
  if (sent < bytes.length) rest.push(bytes.slice(Math.max(sent, 0)));
}

function drain(socket) {
  const rest = socket.data.rest.splice(0);
  for (const bytes of rest) send(socket, bytes);
}

if (values.echo) {
  const open = (socket) => {
    socket.data = { rest: [] };
  };
  Bun.listen({ ...at, socket: { open, data: send, drain } });
} else {
  Bun.serve({ ...at, fetch: bulkHandler(values.payload, Response, () => new Response(Bun.file(values.payload))) });
}
console.log('ready');
