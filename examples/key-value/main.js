// A key-value store on every core. Each key lives on one shard, all shards listen on one port, and the shard that a
// request arrives on calls the key's own shard.
//
//   node examples/key-value/main.js --port 8080 --shards 4
//   curl -X PUT -d hello localhost:8080/greeting; curl localhost:8080/greeting
//   curl -X DELETE localhost:8080/greeting; curl localhost:8080/                   / is how many keys each shard has
import { parseArgs } from 'node:util';
import { runtimeOptions, waitForSignal } from 'featherstar';
import { serve } from 'featherstar/http';

const { options, rest } = runtimeOptions(); // `rest`: arguments that are not the runtime's
const { values } = parseArgs({ args: rest, options: { port: { type: 'string', default: '8080' } } });
const { shards, ...runtime } = options;

const server = await serve({
  module: new URL('./app.js', import.meta.url),
  port: Number(values.port),
  hostname: '127.0.0.1',
  limits: { bodyBytes: 1_000_000 }, // what crosses shards must fit in their memory: docs/limits.md, arenaBytes
  shards,
  runtime,
});
console.log(`key-value listening on ${server.url} · ${server.runtime.summary}`);

await waitForSignal(['SIGTERM', 'SIGINT']);
await server.close(); // responds to what runs, for 4.5 s at most, and stops the shards
console.log('closed');

// It prints:
//   key-value listening on http://127.0.0.1:8080/ · 2 shards · host ...
//   closed
