// A world of two machines, `web` with shard 0 and `db` with shard 1, and a connection between them.

import { sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';

export const twoHosts = { shards: 2, hosts: { web: [0], db: [1] } };

/** `program` gets the world, and both ends of a connection from web to db: `on` runs something at db. */
export function overWire(options, program) {
  return simulate({ seed: 1, ...twoHosts, ...options }, async (world) => {
    const accepting = world.on(1, async () => (await listen({ port: 80, reusePort: false })).accept());
    await sleep(1);
    const client = await connect({ port: 80, hostname: 'db' });
    return program(world, client, await accepting);
  });
}
