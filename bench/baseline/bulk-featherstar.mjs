// featherstar with large bodies; with --echo an echo over its sockets, with --echo --by pipe one by pipeTo(),
// with --echo --by into one by readInto(). FEATHERSTAR_HOST says on which host.
// Next: bulk-node.mjs.

import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { blockOn } from 'featherstar';
import { Response, serve, serveStatic } from 'featherstar/http';
import { listen } from 'featherstar/net';
import { bulkHandler } from './bulk-fetch.mjs';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8080' },
    payload: { type: 'string' },
    echo: { type: 'boolean' },
    by: { type: 'string' },
  },
});
const at = { port: Number(values.port), hostname: '127.0.0.1' };

async function echoInto(socket, bytes) {
  for (let count = await socket.readInto(bytes); count !== null; count = await socket.readInto(bytes)) {
    await socket.write(bytes.subarray(0, count));
  }
}

async function echo(socket) {
  if (values.by === 'pipe') await socket.pipeTo(socket);
  else if (values.by === 'into') await echoInto(socket, new Uint8Array(65_536));
  else for await (const bytes of socket) await socket.write(bytes);
  socket.close();
}

if (values.echo) {
  await blockOn(async () => {
    const listener = await listen(at);
    console.log('ready');
    for await (const socket of listener) echo(socket).catch(() => socket.close()); // the client has gone
  });
} else {
  let files; // made when the runtime is there
  const fileResponse = async (request) => {
    files ??= await serveStatic(dirname(values.payload));
    return files(request);
  };
  await serve({ ...at, fetch: bulkHandler(values.payload, Response, fileResponse) });
  console.log('ready');
}
