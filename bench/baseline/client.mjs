// Requests of one client, `--connections` at once, to `--port` for `--seconds`. Prints the CPU time of a request.
//   --with node | shard    undici's request() on Node's own sockets, or with a pool of featherstar/client
//   --with fetch | shard-fetch | bun    fetch() of undici on both, and Bun's own
// The responses come from ../client.js.

import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    with: { type: 'string' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '64' },
  },
});
const url = `http://127.0.0.1:${values.port}/`;
const side = Number(values.connections);

async function makeClient() {
  if (values.with === 'bun') return { fetch };
  if (values.with.startsWith('shard')) {
    const { Runtime } = await import('featherstar');
    const { createClient } = await import('featherstar/client');
    await Runtime.start({ shards: 1 });
    return createClient({ maxConnections: side, proxy: 'none' });
  }
  const undici = await import('undici');
  const dispatcher = new undici.Agent({ connections: side });
  return {
    fetch: (to) => undici.fetch(to, { dispatcher }),
    request: (to) => undici.request(to, { dispatcher }),
  };
}

const client = await makeClient();
const one =
  values.with === 'node' || values.with === 'shard'
    ? async () => (await client.request(url)).body.text()
    : async () => (await client.fetch(url)).text();

/** Sends requests for a time. Returns how many. */
async function load(seconds) {
  const until = performance.now() + seconds * 1000;
  let requests = 0;
  const loop = async () => {
    while (performance.now() < until) {
      await one();
      requests++;
    }
  };
  await Promise.all(Array.from({ length: side }, loop));
  return requests;
}

await load(2); // V8 compiles
const before = process.cpuUsage();
const requests = await load(Number(values.seconds));
const { user, system } = process.cpuUsage(before);
console.log(`RESULT ${JSON.stringify({ requests, cpuUs: (user + system) / requests })}`);
process.exit(0);
