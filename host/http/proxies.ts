// The client behind proxies: whose word is taken for its address, its scheme and its host.
//
//   client --> proxy --> proxy --> this server
//      chain: [ the peer of the connection, then what the header says, from its end ]
//      The first address of the chain that is not trusted is the client. What it says itself is not believed.
//
// An address in a header is worth as much as the machine that has written it. So a header of a peer that is not trusted
// is ignored. Of a longer list only the end is read, which trusted machines have written.
//
// Next: proxy-protocol.ts, for proxies that say it before the first request.

import { isIP } from 'node:net';
import { optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkedLater, checkOptions } from '../base/options.js';
import type { NetAddress } from '../hosts/host.js';
import { TrustedPeers } from '../net/trusted-peers.js';
import { fieldOf, type Head } from './head.js';

/** A header by which a proxy tells of its client. */
export type ProxyHeader = 'forwarded' | 'x-forwarded-for' | 'x-forwarded-host' | 'x-forwarded-proto';

/** Which proxies stand between a server and its clients, and how they tell of them. */
export interface ProxyOptions {
  /**
   * The proxies: addresses, networks (`'10.0.0.0/8'`), and `'unix'` for peers on a Unix socket. Or how many stand in a
   * row, 1 to 16, whatever their addresses are.
   */
  trust: readonly string[] | number;
  /**
   * The headers that the proxies set, and do not pass on from their clients. Default: X-Forwarded-For and
   * X-Forwarded-Proto.
   */
  headers?: readonly ProxyHeader[] | undefined;
  /** Whether trusted peers begin each connection with a header of the PROXY protocol, version 1 or 2. Default false. */
  expectProtocol?: boolean | undefined;
}

const HEADERS: readonly string[] = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'];
const DEFAULT_HEADERS: readonly ProxyHeader[] = ['x-forwarded-for', 'x-forwarded-proto'];

const PROXY_CHECKS: Checks<ProxyOptions> = {
  trust: checkedLater,
  headers: checkedLater,
  expectProtocol: checkBoolean,
};

/** Throws OPTION. */
export function checkProxy(name: string, given: unknown): Proxies {
  const {
    trust,
    headers = DEFAULT_HEADERS,
    expectProtocol = false,
  } = checkOptions(given as ProxyOptions, PROXY_CHECKS, name);
  if (!Array.isArray(headers) || !headers.every((header) => HEADERS.includes(header)))
    throw optionError(`${name}.headers`, headers, `an array of ${HEADERS.join(', ')}`);
  if (headers.includes('forwarded') && headers.length > 1)
    throw optionError(
      `${name}.headers`,
      headers.join(', '),
      "only 'forwarded', or only X-Forwarded-...: a proxy that sets one lets clients set the other",
    );
  return new Proxies(trust, headers, expectProtocol, name);
}

/** The client of one proxy, as far as the proxy tells. */
interface Hop {
  remote: NetAddress | undefined;
  proto: string | undefined;
  host: string | undefined;
}

export class Proxies extends TrustedPeers {
  readonly expectProtocol: boolean;
  readonly #headers: readonly ProxyHeader[];

  constructor(trust: unknown, headers: readonly ProxyHeader[], expectProtocol: boolean, name: string) {
    super(trust, name);
    this.#headers = headers;
    this.expectProtocol = expectProtocol;
  }

  /** The address of the client. `peer`: that of the connection. */
  clientOf(head: Head, peer: NetAddress | undefined): NetAddress | undefined {
    return this.#walk(head, peer).remote;
  }

  /** The scheme and host that the client has used, if a proxy tells. */
  originOf(head: Head, peer: NetAddress | undefined): { proto: string | undefined; host: string | undefined } {
    return this.#walk(head, peer);
  }

  /** Goes from the peer towards the client, as far as machines are trusted. */
  #walk(head: Head, peer: NetAddress | undefined): Hop {
    let found: Hop = { remote: peer, proto: undefined, host: undefined };
    const before = this.expectProtocol ? 1 : 0; // its header has told of the peer's client
    if (!this.trusts(peer, before)) return found;
    const hops = this.#headers.includes('forwarded') ? forwardedHops(head) : xForwardedHops(head, this.#headers);
    for (let i = 0; i < hops.length; i++) {
      const { remote, proto = found.proto, host = found.host } = hops[i] as Hop;
      found = { remote: remote ?? found.remote, proto, host };
      if (remote === undefined || !this.trusts(remote, before + i + 1)) break;
    }
    return found;
  }
}

/** An address with or without a port: 1.2.3.4, 1.2.3.4:5, 2001:db8::1, [2001:db8::1]:5. Undefined: it is none. */
function parseNode(text: string): NetAddress | undefined {
  const [, v6, v4, port = '0'] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const hostname = v6 ?? v4 ?? text;
  if (isIP(hostname) === 0 || hostname.includes('%') || Number(port) > 65_535) return undefined;
  return { hostname, port: Number(port) };
}

function schemeOf(text: string | undefined): string | undefined {
  const scheme = text?.toLowerCase();
  return scheme === 'http' || scheme === 'https' ? scheme : undefined;
}

/** A host that a URL can have, as the URL standard writes it. */
function hostOf(text: string | undefined): string | undefined {
  if (text === undefined || text === '' || /[/\\?#@\s]/.test(text) || !URL.canParse(`http://${text}`)) return undefined;
  return text;
}

/** From the end of the list: the nearest first. */
function reversed(head: Head, name: ProxyHeader): string[] {
  const text = fieldOf(head, name);
  return text === undefined
    ? []
    : text
        .split(',')
        .map((each) => each.trim())
        .reverse();
}

function xForwardedHops(head: Head, headers: readonly ProxyHeader[]): Hop[] {
  const listOf = (name: ProxyHeader) => (headers.includes(name) ? reversed(head, name) : []);
  const nodes = listOf('x-forwarded-for');
  const protos = listOf('x-forwarded-proto');
  const hosts = listOf('x-forwarded-host');
  return Array.from({ length: Math.max(nodes.length, 1) }, (_, i) => ({
    remote: nodes[i] === undefined ? undefined : parseNode(nodes[i] as string),
    proto: schemeOf(protos[i]),
    host: hostOf(hosts[i]),
  }));
}

const PAIR = /^\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z]+))\s*(?:;|$)/;

/** RFC 7239. An element that is malformed ends the list: what is before it cannot be told apart. */
function forwardedHops(head: Head): Hop[] {
  const text = fieldOf(head, 'forwarded');
  if (text === undefined) return [];
  const hops: Hop[] = [];
  for (const element of (text.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []).reverse()) {
    const pairs = new Map<string, string>();
    let rest = element.trim();
    for (let match = PAIR.exec(rest); match !== null; match = PAIR.exec(rest)) {
      pairs.set((match[1] as string).toLowerCase(), match[3] ?? (match[2] as string).replace(/\\(.)/g, '$1'));
      rest = rest.slice(match[0].length);
    }
    if (rest.trim() !== '') break;
    hops.push({
      remote: parseNode(pairs.get('for') ?? ''),
      proto: schemeOf(pairs.get('proto')),
      host: hostOf(pairs.get('host')),
    });
  }
  return hops;
}
