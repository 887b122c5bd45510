// Which machines are proxies whose word is taken for the address of a client: the option `trust` of listen() and
// serve().
//
// Next: proxied.ts, http/proxies.ts.

import { optionError } from '../base/errors.js';
import type { NetAddress } from '../hosts/host.js';
import { encodeAddress } from './address.js';
import { allowsAddress, parseRule, type Rule } from './network-rules.js';

const HOPS_MAX = 16;

function rulesOf(text: unknown, name: string): Rule[] {
  if (typeof text === 'string' && text !== 'unix') {
    const rules = parseRule(text.includes(':') ? `[${text}]:*` : `${text}:*`);
    if (rules !== undefined && text !== '*') return rules;
  }
  throw optionError(`each of ${name}.trust`, text, "an address, a network like '10.0.0.0/8', or 'unix'");
}

export class TrustedPeers {
  readonly #hops: number;
  readonly #rules: readonly Rule[];
  readonly #trustsUnix: boolean;

  /** `trust`: a list of addresses, or how many proxies stand in a row. Throws OPTION. `name`: of the whole option. */
  constructor(trust: unknown, name: string) {
    const isCount = typeof trust === 'number' && Number.isInteger(trust) && trust >= 1 && trust <= HOPS_MAX;
    if (!isCount && !Array.isArray(trust))
      throw optionError(`${name}.trust`, trust, `an array of addresses, or how many proxies, 1 to ${HOPS_MAX}`);
    const list = isCount ? [] : (trust as unknown[]);
    this.#hops = isCount ? trust : 0;
    this.#trustsUnix = list.includes('unix');
    this.#rules = list.filter((text) => text !== 'unix').flatMap((text) => rulesOf(text, name));
  }

  /** Whether a machine that is `hops` away is trusted; 0: the peer of the connection. Undefined: a Unix socket's. */
  trusts(remote: NetAddress | undefined, hops = 0): boolean {
    if (hops < this.#hops) return true;
    if (remote === undefined) return this.#trustsUnix;
    const [hostname] = remote.hostname.split('%') as [string];
    return this.#rules.length !== 0 && allowsAddress(this.#rules, encodeAddress(hostname, remote.port));
  }
}
