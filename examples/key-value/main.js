// A key-value store on every core. Each key lives on one shard, all shards listen on one port, and whichever a request
// arrives on asks the key's own shard.
//
//   node examples/key-value/main.js --port 8080 --shards 4
//   curl -X PUT -d hello localhost:8080/greeting; curl localhost:8080/greeting
//   curl -X DELETE localhost:8080/greeting; curl localhost:8080/                   / is how many keys each shard has
import { parseArgs } from 'node:util';
import { Runtime, runtimeOptions, Sharded, waitForSignal } from 'featherstar';

const { options, rest } = runtimeOptions(); // `rest`: arguments that are not the runtime's
const { values } = parseArgs({ args: rest, options: { port: { type: 'string', default: '8080' } } });
const runtime = await Runtime.start({ ...options, module: new URL('./app.js', import.meta.url) });

// One instance of each on every shard.
await Sharded.start('Store');
const frontend = await Sharded.start('Frontend');

// Shard 0 first: with port 0 it picks the port for all. Where shards cannot share a port it listens for all of them.
const port = await frontend.on(0).listen(Number(values.port));
const listening = runtime.sharesPorts ? runtime.shardCount : 1;
for (let shard = 1; shard < listening; shard++) await frontend.on(shard).listen(port);
console.log(`key-value listening on http://127.0.0.1:${port} · ${runtime.summary}`);

await waitForSignal(['SIGTERM', 'SIGINT']);
await frontend.onAll().close(); // on all shards at once, and while the store is still there
await runtime.close(); // stops the services, then the shards
console.log('closed');

// It prints:
//   key-value listening on http://127.0.0.1:8080 · 2 shards · host ...
//   closed
