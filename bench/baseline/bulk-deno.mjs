// Deno.serve with large bodies; with --echo an echo over Deno.listen. Run by `deno run -A`. Next: bulk-rust.

import { bulkHandler } from './bulk-fetch.mjs';

const option = (name) => (Deno.args.includes(name) ? Deno.args[Deno.args.indexOf(name) + 1] : undefined);
const at = { port: Number(option('--port') ?? 8080), hostname: '127.0.0.1' };
const payload = option('--payload');
const BUFFER_BYTES = 65536;

async function echo(connection) {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) break;
    for (let sent = 0; sent < count; ) sent += await connection.write(buffer.subarray(sent, count));
  }
  connection.close();
}

if (Deno.args.includes('--echo')) {
  const listener = Deno.listen({ ...at });
  console.log('ready');
  for await (const connection of listener) {
    connection.setNoDelay(true);
    echo(connection).catch(() => connection.close()); // the client has gone
  }
} else {
  const fileResponse = async () => {
    const file = await Deno.open(payload);
    const { size } = await file.stat();
    return new Response(file.readable, { headers: { 'Content-Length': String(size) } });
  };
  Deno.serve({ ...at, onListen: () => console.log('ready') }, bulkHandler(payload, Response, fileResponse));
}
