// Names to numeric addresses: the kernel and the gate take no others.

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { optionError, resolveError } from '../base/errors.js';
import { type Checks, checkedLater, checkInteger, definedOnly, integer } from '../base/options.js';
import { AF_INET, AF_INET6 } from '../core/kernel.js';
import { findShard } from '../shard/shard.js';

const UNIX_PATH_MAX = 107;
const BACKLOG_MAX = 2 ** 31 - 1; // the kernel's int; it cuts this down to net.core.somaxconn
export const PORT_MAX = 65_535;

/** A numeric address or `unix:/path` as it is; a name by the host, if it has its own, or the system. Rejects DNS. */
export async function resolveAddress(hostname: string): Promise<string> {
  if (hostname.startsWith('unix:') || isIP(hostname) !== 0) return hostname;
  const { host } = findShard() ?? {};
  if (host?.resolve !== undefined) return host.resolve(hostname);
  try {
    return (await lookup(hostname)).address;
  } catch (cause) {
    throw resolveError(hostname, cause);
  }
}

export interface ListenAddress {
  port?: number | undefined;
  hostname?: string | undefined;
  /** A Unix socket: the same as the hostname `unix:` and this. */
  path?: string | undefined;
  backlog?: number | undefined;
}

export function checkHostname(name: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw optionError(name, value, 'an address or a name');
}

/** Checks of what `listen()` and `serve()` have in common; checkAddress() looks at the rest of them together. */
export const ADDRESS_CHECKS: Checks<ListenAddress> = {
  port: integer(0, PORT_MAX),
  hostname: checkHostname,
  path: checkedLater,
  backlog: integer(1, BACKLOG_MAX),
};

/** The hostname among the options, or what `path` stands for. */
function hostnameOf({ hostname, path, port }: ListenAddress, fallback: string): string {
  if (path !== undefined) {
    if (hostname !== undefined) throw optionError('hostname', hostname, 'left out where path is given');
    if (port !== undefined && port !== 0) throw optionError('port', port, 'left out where path is given');
    if (typeof path !== 'string' || path.startsWith('unix:')) throw optionError('path', path, 'a path');
    return checkSocketPath('path', path, `unix:${path}`);
  }
  const name = hostname === undefined ? fallback : hostname;
  return typeof name === 'string' && name.startsWith('unix:') ? checkSocketPath('hostname', name, name) : name;
}

/** The kernel has room for 107 bytes and a NUL, and cuts nothing off: nor does this. */
function checkSocketPath(name: string, given: string, hostname: string): string {
  const bytes = Buffer.byteLength(hostname) - 'unix:'.length;
  if (bytes >= 1 && bytes <= UNIX_PATH_MAX && !hostname.includes('\0')) return hostname;
  const wanted = `${name === 'path' ? 'a path' : 'unix: and a path'} of 1 to ${UNIX_PATH_MAX} bytes, without NUL`;
  throw optionError(name, given, wanted);
}

/** Where to listen, with the defaults of `listen()` and `serve()`. Throws OPTION. */
export function checkAddress(options: ListenAddress): { port: number; hostname: string; backlog: number } {
  const { port = 0, backlog = 1024 } = options;
  const hostname = hostnameOf(options, '0.0.0.0');
  checkInteger('port', port, 0, PORT_MAX);
  checkHostname('hostname', hostname);
  checkInteger('backlog', backlog, 1, BACKLOG_MAX);
  return { port, hostname, backlog };
}

/** Where to connect. Throws OPTION. */
export function checkTarget(options: ListenAddress): { port: number; hostname: string } {
  const fallback = options.path === undefined ? { hostname: '127.0.0.1' } : {};
  const { port = 0, hostname } = checkAddress({ ...fallback, ...definedOnly(options), backlog: 1 });
  if (!hostname.startsWith('unix:') && port === 0)
    throw optionError('port', options.port, `an integer from 1 to ${PORT_MAX}`);
  return { port, hostname };
}

/** The kernel's sockaddr for a numeric address. */
export function encodeAddress(address: string, port: number): Uint8Array {
  if (isIP(address) === 4)
    return new Uint8Array(
      [AF_INET, 0, port >> 8, port & 255, ...address.split('.').map(Number)].concat(new Array(8).fill(0)),
    );
  const [text, scope = '0'] = address.split('%');
  if (!/^\d+$/.test(scope)) throw optionError('hostname', address, 'an address whose zone is a number');
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  ipv6Groups(text as string).forEach((group, i) => {
    bytes.writeUInt16BE(group, 8 + 2 * i);
  });
  bytes.writeUInt32LE(Number(scope), 24);
  return bytes;
}

/** The eight numbers of an IPv6 address. URL writes it in its shortest form, without IPv4 at its end. */
function ipv6Groups(address: string): number[] {
  const [left, right] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const numbers = (text: string | undefined) =>
    text ? text.split(':').map((group) => Number.parseInt(group, 16)) : [];
  const [first, last] = [numbers(left), numbers(right)];
  return [...first, ...new Array(8 - first.length - last.length).fill(0), ...last];
}
