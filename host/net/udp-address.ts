// Addresses of datagrams, both ways: text to sockaddr for what goes, sockaddr to text for what comes. The last one of
// each is kept, because most datagrams of a socket have the same one as the one before.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { optionError, resolveError } from '../base/errors.js';
import { checkInteger } from '../base/options.js';
import { AF_INET } from '../core/kernel.js';
import { currentShard } from '../shard/shard.js';
import { checkHostname, encodeAddress, PORT_MAX } from './address.js';
import { checkReach } from './network-rules.js';

const MAPPED = '::ffff:'; // an IPv4 address as an IPv6 socket has it

export interface UdpDestination {
  readonly bytes: Uint8Array;
  readonly address: string;
  readonly port: number;
  /** How errors call it. */
  readonly what: string;
}

async function resolve(host: string, family: 0 | 4 | 6): Promise<string> {
  const own = currentShard().host.resolve?.(host);
  if (own !== undefined) return own;
  try {
    return (await lookup(host, { family })).address;
  } catch (cause) {
    throw resolveError(host, cause);
  }
}

/** The numeric address to bind to. */
export async function bindTarget(host: string): Promise<string> {
  return isIP(host) !== 0 ? host : resolve(host, 0);
}

/** Where one socket's datagrams go. */
export class Targets {
  readonly #family: 4 | 6;
  #host = '';
  #last: UdpDestination | undefined;

  constructor(family: 4 | 6) {
    this.#family = family;
  }

  /** At once for an address, later for a name. Throws OPTION. */
  find(host: string | undefined, port: number | undefined): UdpDestination | Promise<UdpDestination> {
    const last = this.#last;
    if (last !== undefined && host === this.#host && port === last.port) return last;
    const name = checkHostname('hostname', host);
    const checked = checkInteger('port', port, 1, PORT_MAX);
    if (isIP(name) === 0) return resolve(name, this.#family).then((address) => this.#encode(address, checked));
    const target = this.#encode(name, checked);
    this.#host = name;
    this.#last = target;
    return target;
  }

  #encode(host: string, port: number): UdpDestination {
    const isMapped = this.#family === 6 && isIP(host) === 4;
    const address = isMapped ? `${MAPPED}${host}` : host;
    if (isIP(address) !== this.#family)
      throw optionError('hostname', host, `an IPv${this.#family} address, as the socket's`);
    checkReach(currentShard().network, 'connect', address, port);
    const what = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    return { bytes: encodeAddress(address, port), address, port, what };
  }
}

/** The sender of a datagram. */
export class SenderNames {
  readonly #bytes: Buffer;
  #last = '';
  #raw = Buffer.alloc(28);

  /** `bytes`: the shared memory. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  portAt(at: number): number {
    return ((this.#bytes[at + 2] as number) << 8) | (this.#bytes[at + 3] as number);
  }

  addressAt(at: number): string {
    const bytes = this.#bytes;
    const isV4 = bytes[at] === AF_INET;
    const from = isV4 ? at + 4 : at + 8;
    const count = isV4 ? 4 : 20; // of IPv6 the zone, too
    if (this.#last !== '' && this.#raw[0] === bytes[at] && this.#isLast(from, count)) return this.#last;
    this.#raw[0] = bytes[at] as number;
    bytes.copy(this.#raw, 8, from, from + count);
    this.#last = isV4 ? this.#raw.subarray(8, 12).join('.') : addressText(this.#raw);
    return this.#last;
  }

  /** By hand: Deno's Buffer.compare() takes the one's bounds for the other's. */
  #isLast(from: number, count: number): boolean {
    for (let i = 0; i < count; i++) if (this.#bytes[from + i] !== this.#raw[8 + i]) return false;
    return true;
  }
}

/** Groups and zone are at 8, as in a sockaddr_in6. */
function addressText(raw: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => raw.readUInt16BE(8 + 2 * i));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `${MAPPED}${raw.subarray(20, 24).join('.')}`;
  }
  const text = new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1);
  const zone = raw.readUInt32LE(24);
  return zone === 0 ? text : `${text}%${zone}`;
}
