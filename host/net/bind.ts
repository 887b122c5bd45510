// Where a listener listens: from the options of listen() and serve() to a bound socket of this shard.
//
//   options --> checkAddress() --> resolveAddress() --> checkReach() --> host.listen(): a file slot
//   { fd }  --> host.given.look() -------------------> checkReach() --> host.given.take(): likewise
//
// Several sockets can have one port if each of them says so to the kernel (SO_REUSEPORT). Two options ask for that:
//
//   reusePort   the shards of this process. Shard 0 is the first, and finds out whether another process listens there:
//               the kernel alone would let any process of this user join in, and share its clients by accident
//   sharePort   other processes too, so shard 0 does not look: a new process takes over from an old one
//
// Next: listener.ts, http/server.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean, integer } from '../base/options.js';
import type { Bound } from '../hosts/host.js';
import { runtime } from '../runtime/runtime.js';
import type { Shard } from '../shard/shard.js';
import { ADDRESS_CHECKS, checkAddress, type ListenAddress, resolveAddress } from './address.js';
import { checkReach } from './network-rules.js';

/** What `listen()` and `serve()` have in common. */
export interface BindOptions extends ListenAddress {
  reusePort?: boolean | undefined;
  sharePort?: boolean | undefined;
  fd?: number | undefined;
}

const FD_MAX = 2 ** 31 - 1;

export const BIND_CHECKS: Checks<BindOptions> = {
  ...ADDRESS_CHECKS,
  fd: integer(0, FD_MAX),
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
  fd: number | undefined;
}

/** The options of listen() and serve() that say where. Throws OPTION. */
export function checkBind(options: BindOptions): BindPlace {
  const { reusePort, sharePort = false, fd } = options;
  const address = checkAddress(options);
  if (fd !== undefined) {
    const other = (['port', 'hostname', 'path', 'backlog', 'reusePort', 'sharePort'] as const).find(
      (name) => options[name],
    );
    if (other !== undefined) throw optionError(other, options[other], 'left out where fd is given');
  }
  if (sharePort && address.hostname.startsWith('unix:')) {
    throw optionError('sharePort', sharePort, 'left out for a Unix socket: its path cannot be shared');
  }
  if (sharePort && reusePort === false) throw optionError('reusePort', reusePort, 'true where sharePort is');
  return { ...address, reusePort, sharePort, fd };
}

/** A socket that listens, and where: the hostname that was asked for, or the address of a descriptor. */
export interface BoundStream {
  bound: Bound;
  hostname: string;
}

/**
 * A socket of this shard that listens. Rejects with SYSTEM, DNS, NETWORK or HOST. `unreachableMs`: see
 * HostListenOptions.
 */
export async function bindStream(shard: Shard, place: BindPlace, unreachableMs?: number): Promise<BoundStream> {
  const { port, hostname, backlog, sharePort, reusePort = runtime().shardCount > 1, fd } = place;
  if (fd !== undefined) return takeGiven(shard, fd, unreachableMs);
  if (sharePort && !shard.host.sharesPorts) throw shareError(shard.host.name);
  const address = await resolveAddress(hostname);
  checkReach(shard.network, 'listen', address, port);
  const isFirst = shard.index === 0 && !sharePort;
  const options = { address, port, backlog, reusePort: reusePort || sharePort, isFirst, unreachableMs };
  return { bound: await shard.host.listen(options), hostname };
}

async function takeGiven(shard: Shard, fd: number, unreachableMs?: number): Promise<BoundStream> {
  const { given, name } = shard.host;
  if (given === undefined) throw new FeatherstarError('FEATHERSTAR_HOST', `the host ${name} takes no descriptors`);
  const { address, port } = given.look(fd);
  checkReach(shard.network, 'listen', address, port);
  return { bound: await given.take(fd, unreachableMs), hostname: address };
}

function shareError(host: string): FeatherstarError {
  const text = `the host ${host} cannot share a port here: leave sharePort out, or use io_uring or Node >= 22.12`;
  return new FeatherstarError('FEATHERSTAR_HOST', text);
}
