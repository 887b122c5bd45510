// Names to numeric addresses: the kernel and the gate take no others.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { FeatherstarError } from './errors.js';

/** A numeric address or `unix:/path` as it is; a name by the system's resolver. */
export async function resolveAddress(hostname: string): Promise<string> {
  if (hostname.startsWith('unix:') || isIP(hostname) !== 0) return hostname;
  try {
    return (await lookup(hostname)).address;
  } catch (cause) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `hostname ${hostname} cannot be resolved`, { cause });
  }
}
