// Connections that stay on this shard and serve another one: where files cannot move from thread to thread, as with
// node:net. The other shard has a proxy (remote.ts), which names the connection by a number; each of its reads and
// writes is a call to here. When the other shard dies, its connections are closed.

import type { Calls } from '../calls/call.js';
import { perShard } from '../shard/per-shard.js';
import type { Shard } from '../shard/shard.js';
import { type SocketTransport, socketClosed } from './socket.js';

interface Home {
  readonly connections: Map<number, { via: SocketTransport; peer: number }>;
  next: number;
}

const homeOn = perShard((shard): Home => {
  const connections: Home['connections'] = new Map();
  (shard.calls as Calls).peers.onDown((peer) => {
    for (const [id, entry] of connections) if (entry.peer === peer) forget(shard, id)?.close();
  });
  return { connections, next: shard.numbersFrom };
});

/** Keeps a connection for a peer, which `introduce` tells its number. If that fails, the connection is closed. */
export async function keepFor(
  shard: Shard,
  via: SocketTransport,
  peer: number,
  introduce: (id: number) => Promise<unknown>,
): Promise<void> {
  const home = homeOn(shard);
  const id = home.next++;
  home.connections.set(id, { via, peer });
  try {
    const refusal = await introduce(id);
    if (refusal !== undefined) throw refusal;
  } catch (error) {
    forget(shard, id)?.close();
    throw error;
  }
}

export function kept(shard: Shard, id: number): SocketTransport {
  const entry = homeOn(shard).connections.get(id);
  if (entry === undefined) throw socketClosed();
  return entry.via;
}

/** The connection has no proxy any more. */
export function forget(shard: Shard, id: number): SocketTransport | undefined {
  const { connections } = homeOn(shard);
  const via = connections.get(id)?.via;
  connections.delete(id);
  return via;
}
