// One side of calls over a nats-server at `--port`: `--side service` or `--side caller`. `--with shard` is
// featherstar/nats, `--with nats` is nats.js alone with JSON. `--open` calls are under way at a time. Messages of the
// parent:
//
//   service   'cpu'              --> the CPU time of the process, µs
//   caller    { calls }          --> the CPU time that so many calls took here, µs
//
// Each call is get('key') of a map. Next: ../nats.js.

import { parseArgs } from 'node:util';
import { connect } from '@nats-io/transport-node';
import { get } from './nats-values.mjs';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    side: { type: 'string' },
    with: { type: 'string' },
    open: { type: 'string', default: '64' },
  },
});
const connected = () => connect({ servers: `127.0.0.1:${values.port}` });
const cpuUs = () => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function serveStore() {
  if (values.with === 'shard') {
    const { Runtime, Sharded } = await import('featherstar');
    await Runtime.start({ shards: 1, module: new URL('./nats-store.mjs', import.meta.url) });
    await Sharded.start('Store', values.port);
    return;
  }
  const connection = await connected();
  connection.subscribe('store.get', {
    queue: 'store',
    callback: (_error, message) => message.respond(JSON.stringify(get(...message.json()))),
  });
  await connection.flush();
}

async function makeCall() {
  const connection = await connected();
  if (values.with === 'shard') {
    const { remote } = await import('featherstar/nats');
    const store = remote(connection, { name: 'Store' });
    return () => store.onAny().get('key');
  }
  return async () => (await connection.request('store.get', JSON.stringify(['key']), { timeout: 10_000 })).json();
}

async function callInLoops(call, count) {
  let left = count;
  const loop = async () => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: Number(values.open) }, loop));
}

if (values.side === 'service') {
  await serveStore();
  process.on('message', () => process.send(cpuUs()));
} else {
  const call = await makeCall();
  process.on('message', async ({ calls }) => {
    const before = cpuUs();
    await callInLoops(call, calls);
    process.send(cpuUs() - before);
  });
}
process.on('disconnect', () => process.exit(0));
process.send('ready');
