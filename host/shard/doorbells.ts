// How the shards of a runtime come to know how to wake each other, on threads, in a page, and in a simulated world.
//
//   each shard: doorbells() --> 'booted' --> who starts them: tokensOf() --> 'peers' --> each shard: setPeers()
//
// Next: runtime/worker-shard.ts, and browser/worker.ts.

import type { DoorbellToken } from '../hosts/host.js';
import type { Shard } from './shard.js';

/** How each peer rings this shard, in shard order. */
export function doorbells(shard: Shard, shardCount: number): DoorbellToken[] {
  return Array.from({ length: shardCount }, (_, peer) => shard.host.doorbell(peer));
}

/** How a shard rings each peer, in shard order. `booted`: the doorbells() of each shard. */
export function tokensOf(shard: number, booted: readonly (readonly DoorbellToken[])[]): (DoorbellToken | undefined)[] {
  return booted.map((tokens, peer) => (peer === shard ? undefined : tokens[shard]));
}

/** The parts of a message that are moved, not copied. */
export function ports(tokens: readonly unknown[]): Transferable[] {
  return tokens.filter((token) => typeof token === 'object') as Transferable[];
}

/** From now on the shard can ring its peers. */
export function setPeers(shard: Shard, tokens: readonly (DoorbellToken | undefined)[]): void {
  for (const [peer, token] of tokens.entries()) if (peer !== shard.index) shard.host.setPeer(peer, token);
}

/** A peer has died. */
export function losePeer(shard: Shard, peer: number): void {
  if (shard.closed) return;
  shard.calls?.peers.down(peer);
  shard.host.setPeer(peer, undefined);
}
