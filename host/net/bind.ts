// Where a listener listens: from the options of listen() and serve() to a bound socket of this shard.
//
//   options --> checkAddress() --> resolveAddress() --> checkReach() --> host.listen(): a file slot
//
// Several sockets can have one port if each of them says so to the kernel (SO_REUSEPORT). Two options ask for that:
//
//   reusePort   the shards of this process. Shard 0 is the first, and finds out whether another process listens there:
//               the kernel alone would let any process of this user join in, and share its clients by accident
//   sharePort   other processes too, so shard 0 does not look: a new process takes over from an old one
//
// Next: listener.ts, http/server.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean } from '../base/options.js';
import type { Bound } from '../hosts/host.js';
import { runtime } from '../runtime/runtime.js';
import type { Shard } from '../shard/shard.js';
import { ADDRESS_CHECKS, checkAddress, type ListenAddress, resolveAddress } from './address.js';
import { checkReach } from './network-rules.js';

/** What `listen()` and `serve()` have in common. */
export interface BindOptions extends ListenAddress {
  reusePort?: boolean | undefined;
  sharePort?: boolean | undefined;
}

export const BIND_CHECKS: Checks<BindOptions> = {
  ...ADDRESS_CHECKS,
  reusePort: checkBoolean,
  sharePort: checkBoolean,
};

/** Where to listen, with all defaults. */
export interface BindPlace {
  port: number;
  hostname: string;
  backlog: number;
  reusePort: boolean | undefined;
  sharePort: boolean;
}

/** The options of listen() and serve() that say where. Throws OPTION. */
export function checkBind(options: BindOptions): BindPlace {
  const { reusePort, sharePort = false } = options;
  const address = checkAddress(options);
  if (sharePort && address.hostname.startsWith('unix:')) {
    throw optionError('sharePort', sharePort, 'left out for a Unix socket: its path cannot be shared');
  }
  if (sharePort && reusePort === false) throw optionError('reusePort', reusePort, 'true where sharePort is');
  return { ...address, reusePort, sharePort };
}

/**
 * A socket of this shard that listens. Rejects with SYSTEM, DNS, NETWORK or HOST. `unreachableMs`: see
 * HostListenOptions.
 */
export async function bindStream(shard: Shard, place: BindPlace, unreachableMs?: number): Promise<Bound> {
  const { port, hostname, backlog, sharePort, reusePort = runtime().shardCount > 1 } = place;
  if (sharePort && !shard.host.sharesPorts) throw shareError(shard.host.name);
  const address = await resolveAddress(hostname);
  checkReach(shard.network, 'listen', address, port);
  const isFirst = shard.index === 0 && !sharePort;
  return shard.host.listen({ address, port, backlog, reusePort: reusePort || sharePort, isFirst, unreachableMs });
}

function shareError(host: string): FeatherstarError {
  const text = `the host ${host} cannot share a port here: leave sharePort out, or use io_uring or Node >= 22.12`;
  return new FeatherstarError('FEATHERSTAR_HOST', text);
}
