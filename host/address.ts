// Names to numeric addresses: the kernel and the gate take no others.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { FeatherstarError, optionError } from './errors.js';

/** A numeric address or `unix:/path` as it is; a name by the system's resolver. */
export async function resolveAddress(hostname: string): Promise<string> {
  if (hostname.startsWith('unix:') || isIP(hostname) !== 0) return hostname;
  try {
    return (await lookup(hostname)).address;
  } catch (cause) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `hostname ${hostname} cannot be resolved`, { cause });
  }
}

export interface ListenAddress {
  port?: number | undefined;
  hostname?: string | undefined;
  backlog?: number | undefined;
}

/** Where to listen, with the defaults of `listen()` and `serve()`. Throws OPTION. */
export function checkAddress(options: ListenAddress): { port: number; hostname: string; backlog: number } {
  const { port = 0, hostname = '0.0.0.0', backlog = 1024 } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw optionError('port', port, 'an integer, 0 to 65535');
  if (typeof hostname !== 'string' || hostname === '') throw optionError('hostname', hostname, 'an address or a name');
  if (!Number.isInteger(backlog) || backlog < 1) throw optionError('backlog', backlog, 'a positive integer');
  return { port, hostname, backlog };
}
