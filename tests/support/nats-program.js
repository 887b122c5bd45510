// A process of its own with two shards, which publishes the service of nats-module.js until its input ends.
// Arguments: the address of the nats-server, and options of publishService() as JSON.

import { Runtime, Sharded } from 'featherstar';

const [servers, more = '{}'] = process.argv.slice(2);
const runtime = await Runtime.start({ shards: 2, module: new URL('./nats-module.js', import.meta.url) });
await Sharded.start('Store', { servers }, JSON.parse(more));
console.log('published');
process.stdin.resume().once('end', () => runtime.close());
