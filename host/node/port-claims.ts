// Which ports the servers of featherstar/node have on the shards of this process. Shard 0 keeps the list.
//
// The kernel lets any process of this user listen on a port that shards share (net/bind.ts). So the first server of a
// port finds out whether another process listens there; servers of other shards join it. Shards load their modules in
// any order, so the first one need not be shard 0's.

import type { Calls } from '../calls/call.js';
import { perShard } from '../shard/per-shard.js';
import { currentShard, type Shard } from '../shard/shard.js';

const claimsOn = perShard(() => new Map<string, number>()); // address and port -> servers

function claimKey(address: string, port: number): string {
  return `${address} ${port}`;
}

/** On shard 0: whether this is the first server there. */
export function addClaim(shard: Shard, address: string, port: number): boolean {
  const claims = claimsOn(shard);
  const count = claims.get(claimKey(address, port)) ?? 0;
  claims.set(claimKey(address, port), count + 1);
  return count === 0;
}

/** On shard 0: a server is gone. */
function dropClaim(shard: Shard, address: string, port: number): void {
  const claims = claimsOn(shard);
  const left = (claims.get(claimKey(address, port)) ?? 1) - 1;
  if (left === 0) claims.delete(claimKey(address, port));
  else claims.set(claimKey(address, port), left);
}

/** From another shard: shard 0 looks whether the port is free, if this is its first server. Rejects with SYSTEM. */
export async function claimPort(shard: Shard, address: string, port: number): Promise<void> {
  await (shard.calls as Calls).callInternal(0, 'node', 'claim', address, port);
}

/** A server of this shard is gone. Shard 0 may be gone, too: then nothing is left to tell it. */
export function releasePort(shard: Shard, address: string, port: number): void {
  if (shard.index === 0) dropClaim(shard, address, port);
  else (shard.calls as Calls).callInternal(0, 'node', 'release', address, port).catch(() => undefined);
}

// --- what shards ask of shard 0 --------------------------------------------------------------------------------------

async function claim(address: string, port: number): Promise<void> {
  const shard = currentShard();
  if (!addClaim(shard, address, port)) return;
  try {
    const probe = await shard.host.listen({ address, port, backlog: 1, reusePort: true, isFirst: true });
    shard.closeFile(probe.slot);
  } catch (error) {
    dropClaim(shard, address, port);
    throw error;
  }
}

function release(address: string, port: number): void {
  dropClaim(currentShard(), address, port);
}

export const internal = { claim, release };
