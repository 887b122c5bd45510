// Calls between machines: a service on every shard, published in NATS, and a caller that finds it there.
// It needs the package, and a server: npm install @nats-io/transport-node; nats-server
//
//   NATS_URL=127.0.0.1:4222 node examples/nats/main.js
import { connect } from '@nats-io/transport-node';
import { Runtime, runtimeOptions, Sharded } from 'featherstar';
import { homeOf, remote } from 'featherstar/nats';

const servers = process.env.NATS_URL ?? '127.0.0.1:4222';
const { options } = runtimeOptions();

const runtime = await Runtime.start({ shards: 2, ...options, module: new URL('./app.js', import.meta.url) });
await Sharded.start('Words', servers);

// From here on, all could be on another machine: it knows the name of the service, and nothing else.
const connection = await connect({ servers, maxReconnectAttempts: -1 });
const words = remote(connection, { name: 'Words' });
const instances = await words.instances();
console.log(`${instances.length} instances, on shards ${instances.map(({ shard }) => shard).join(' and ')}`);

await words.onAny().count('hello'); // NATS chooses an instance, which asks the word's own shard
const home = homeOf('hello', instances[0].shardCount);
console.log(`hello was counted ${await words.on(home).countHere('hello')} times`);

for (const call of [() => words.onAny().fail(), () => words.onAny().noSuchMethod()]) {
  const error = await call().catch((failure) => failure);
  console.log(`${error.code ?? error.name}: ${error.message}`);
}

words.close();
await connection.close();
await runtime.close();

// It prints:
//   2 instances, on shards 0 and 1
//   hello was counted 2 times
//   RangeError: no luck
//   FEATHERSTAR_PEER_DOWN: no instance of the service Words listens on Words.any.noSuchMethod
