// The PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt): a proxy begins a connection with a header
// that tells whose it is. Then come the bytes of the client.
//
// Only trusted peers are expected to send a header, and they have to. A header that is malformed closes the connection.
//
// Next: proxied.ts for the connections of listen(), http/proxy-protocol.ts for those of serve().

import { isIP } from 'node:net';
import { FeatherstarError } from '../base/errors.js';
import { AF_INET, AF_INET6 } from '../core/kernel.js';
import type { NetAddress } from '../hosts/host.js';
import { SenderNames } from './udp-address.js';

const V1_MAX = 107; // bytes, with CRLF
const V2_BYTES = 16; // before the addresses
const V2_REST_MAX = 4096; // addresses, and further values that nothing here reads
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** A header that is whole. `remote` undefined: the proxy speaks for itself, or does not know. */
interface ParsedHeader {
  readonly bytes: number;
  readonly remote: NetAddress | undefined;
}

/** Undefined: more has to come. Null: it is no header. */
export function parseProxyHeader(bytes: Buffer): ParsedHeader | null | undefined {
  const known = Math.min(bytes.length, SIGNATURE.length);
  if (bytes.subarray(0, known).equals(SIGNATURE.subarray(0, known)))
    return bytes.length < V2_BYTES ? undefined : parseV2(bytes);
  const begin = 'PROXY '.slice(0, bytes.length);
  if (bytes.latin1Slice(0, begin.length) !== begin) return null;
  const end = bytes.subarray(0, V1_MAX).indexOf('\r\n');
  if (end < 0) return bytes.length >= V1_MAX ? null : undefined;
  return parseV1(bytes.latin1Slice(0, end), end + 2);
}

function parseV1(line: string, bytes: number): ParsedHeader | null {
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { bytes, remote: undefined };
  const [, family, hostname, other, port, otherPort] =
    /^PROXY TCP([46]) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line) ?? [];
  if (family === undefined || Math.max(Number(port), Number(otherPort)) > 65_535) return null;
  for (const address of [hostname, other])
    if (isIP(address as string) !== Number(family) || address?.includes('%')) return null;
  return { bytes, remote: { hostname: hostname as string, port: Number(port) } };
}

function parseV2(head: Buffer): ParsedHeader | null | undefined {
  const version = (head[12] as number) >> 4;
  const command = (head[12] as number) & 15;
  const family = (head[13] as number) >> 4;
  const rest = head.readUInt16BE(14);
  if (version !== 2 || command > 1 || rest > V2_REST_MAX) return null;
  if (head.length < V2_BYTES + rest) return undefined;
  const bytes = V2_BYTES + rest;
  if (command === 0 || family === 0 || family === 3) return { bytes, remote: undefined }; // its own, unknown, a path
  const isV4 = family === 1;
  if (family > 2 || rest < (isV4 ? 12 : 36)) return null;
  const sockaddr = Buffer.alloc(28);
  sockaddr[0] = isV4 ? AF_INET : AF_INET6;
  head.copy(sockaddr, isV4 ? 4 : 8, V2_BYTES, V2_BYTES + (isV4 ? 4 : 16));
  const port = head.readUInt16BE(V2_BYTES + (isV4 ? 8 : 32));
  return { bytes, remote: { hostname: new SenderNames(sockaddr).addressAt(0), port } };
}

/** For a connection whose header is malformed. */
export function headerError(peer: NetAddress | undefined): FeatherstarError {
  const from = peer?.hostname ?? 'a Unix socket';
  const text = `a connection of ${from} begins without a valid PROXY header, and was closed`;
  return new FeatherstarError('FEATHERSTAR_CLOSED', text);
}
