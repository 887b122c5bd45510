// The part of the network that a program lets its shards reach: `network` of Runtime.start(). Parsed once, here; from
// then on plain data, which goes to every shard before its core runs.
//
//   { connect: ['10.0.0.0/8:443'] } --> checkNetwork() --> hosts: their gate refuses the rest (host/native/address.c)
//                                                      --> featherstar/net: says so before it asks (checkReach)
//
// An address is 16 bytes, and an IPv4 address is the last four of them, as in an IPv6 socket (::ffff:10.0.0.1). So
// there is no second way to write it. It is compared as it is. 0.0.0.0 and ::, which mean this machine, are not
// translated: a rule has to name them.

import { isIP } from 'node:net';
import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkedLater, checkOptions } from '../base/options.js';
import { AF_INET } from '../core/kernel.js';
import { encodeAddress } from './address.js';

/** The part of the network that the shards may reach. */
export interface NetworkOptions {
  /**
   * Where shards may connect and send datagrams to: `'127.0.0.1:*'`, `'10.0.0.0/8:443'`,
   * `'[2001:db8::/32]:8000-8999'`, `'*:53'`, `'unix:/run/db.sock'`, `'unix:*'`. Default: anywhere.
   */
  connect?: readonly string[] | undefined;
  /** Where they may listen, and bind UDP sockets: rules of the same form, for own addresses. Default: anywhere. */
  listen?: readonly string[] | undefined;
}

export interface AddressRule {
  readonly text: string;
  /** 16 bytes. */
  readonly address: readonly number[];
  /** How many bits of it count: of an IPv4 address, those of its prefix. */
  readonly bits: number;
  readonly isV4: boolean;
  readonly firstPort: number;
  readonly lastPort: number;
}

export interface PathRule {
  readonly text: string;
  /** undefined: any. */
  readonly path: string | undefined;
}

export type Rule = AddressRule | PathRule;

export interface NetworkRules {
  readonly connect: readonly Rule[] | undefined;
  readonly listen: readonly Rule[] | undefined;
}

/** Of each list (host/native/ring.h). */
export const RULES_MAX = 64;

const RULE_BYTES = 24;
const PORT_MAX = 65_535;
const V4_BITS = 32;
const V6_BITS = 128;
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
const WANTED =
  "rules like '127.0.0.1:*', '10.0.0.0/8:443', '[2001:db8::/32]:8000-8999', '*:53', 'unix:/run/db.sock' or 'unix:*'";

interface Plain {
  address: readonly number[];
  isV4: boolean;
}

/** The 16 bytes of a sockaddr, and what family it is, however it is written. */
function plainOf(sockaddr: Uint8Array): Plain {
  if (sockaddr[0] === AF_INET) return { address: [...MAPPED, ...sockaddr.subarray(4, 8)], isV4: true };
  const address = [...sockaddr.subarray(8, 24)];
  return { address, isV4: MAPPED.every((byte, i) => address[i] === byte) };
}

// --- parsing ---------------------------------------------------------------------------------------------------------

function parsePorts(text: string): { firstPort: number; lastPort: number } | undefined {
  if (text === '*') return { firstPort: 0, lastPort: PORT_MAX };
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const [firstPort, lastPort] = [Number(first), Number(last)];
  return firstPort <= lastPort && lastPort <= PORT_MAX ? { firstPort, lastPort } : undefined;
}

/** Whether an address has bits behind its prefix: then it is not clear what is meant. */
function hasMore(address: readonly number[], bits: number): boolean {
  return address.some((byte, i) => (byte & ~(0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff) !== 0);
}

function parseNetwork(text: string, family: 4 | 6): (Plain & { bits: number }) | undefined {
  const all = family === 4 ? V4_BITS : V6_BITS;
  const [, address, prefix = String(all)] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const bits = Number(prefix);
  if (address === undefined || isIP(address) !== family || address.includes('%') || bits > all) return undefined;
  const plain = plainOf(encodeAddress(address, 0));
  const isWritten = plain.isV4 === (family === 4); // ::ffff:1.2.3.4 is an IPv4 address
  return isWritten && !hasMore(plain.address, bits + V6_BITS - all) ? { ...plain, bits } : undefined;
}

/** Undefined: it is none. */
export function parseRule(text: string): Rule[] | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '' || path.includes('\0')) return undefined;
    return [{ text, path: path === '*' ? undefined : path }];
  }
  const [, v6, v4, portText = ''] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(text) ?? [];
  const ports = parsePorts(portText);
  const name = v6 ?? v4;
  if (ports === undefined || name === undefined) return undefined;
  if (v4 === '*') {
    return ['0.0.0.0/0', '::/0'].flatMap((each, i) => {
      const network = parseNetwork(each, i === 0 ? 4 : 6);
      return network === undefined ? [] : [{ text, ...network, ...ports }];
    });
  }
  const network = parseNetwork(name, v6 === undefined ? 4 : 6);
  return network && [{ text, ...network, ...ports }];
}

function parseRules(name: string, given: unknown): Rule[] | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given)) throw optionError(name, given, `an array of ${WANTED}`);
  const rules = given.flatMap((each) => {
    const parsed = typeof each === 'string' ? parseRule(each) : undefined;
    if (parsed === undefined)
      throw optionError(`each of ${name}`, each, `one of ${WANTED}, without bits behind a prefix`);
    return parsed;
  });
  if (rules.length > RULES_MAX)
    throw optionError(name, rules.length, `at most ${RULES_MAX} rules (*:port counts twice)`);
  return rules;
}

const NETWORK_CHECKS: Checks<NetworkOptions> = { connect: checkedLater, listen: checkedLater };

/** Throws OPTION. */
export function checkNetwork(given: unknown): NetworkRules | undefined {
  if (given === undefined) return undefined;
  const { connect, listen } = checkOptions(given as NetworkOptions, NETWORK_CHECKS, 'network');
  return { connect: parseRules('network.connect', connect), listen: parseRules('network.listen', listen) };
}

// --- asking ----------------------------------------------------------------------------------------------------------

function isInNetwork(address: readonly number[], rule: AddressRule): boolean {
  const bits = rule.isV4 ? rule.bits + V6_BITS - V4_BITS : rule.bits;
  for (let i = 0; i * 8 < bits; i++) {
    const mask = bits - i * 8 >= 8 ? 0xff : (0xff00 >> (bits - i * 8)) & 0xff;
    if ((((address[i] as number) ^ (rule.address[i] as number)) & mask) !== 0) return false;
  }
  return true;
}

/** Whether the rules have this sockaddr; where there are none, all is allowed. */
export function allowsAddress(rules: readonly Rule[] | undefined, sockaddr: Uint8Array): boolean {
  if (rules === undefined) return true;
  const { address, isV4 } = plainOf(sockaddr);
  const port = ((sockaddr[2] as number) << 8) | (sockaddr[3] as number);
  return rules.some(
    (rule) =>
      'bits' in rule &&
      rule.isV4 === isV4 &&
      port >= rule.firstPort &&
      port <= rule.lastPort &&
      isInNetwork(address, rule),
  );
}

function allowsPath(rules: readonly Rule[], path: string): boolean {
  return rules.some((rule) => 'path' in rule && (rule.path === undefined || rule.path === path));
}

/** Throws NETWORK if the program has not allowed it. `address`: numeric, or `unix:/path`. */
export function checkReach(
  network: NetworkRules | undefined,
  what: 'connect' | 'listen',
  address: string,
  port: number,
): void {
  const rules = network?.[what];
  if (rules === undefined) return;
  const isPath = address.startsWith('unix:');
  if (isPath ? allowsPath(rules, address.slice('unix:'.length)) : allowsAddress(rules, encodeAddress(address, port))) {
    return;
  }
  const place = isPath ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const allowed = [...new Set(rules.map(({ text }) => text))].join(', ') || 'no rule';
  const text = `${what} ${place}: not allowed by Runtime.start({ network }), where ${what} has ${allowed}`;
  throw new FeatherstarError('FEATHERSTAR_NETWORK', text);
}

/** For the addon: struct address_rule, one behind the other. Paths are granted one by one, by JavaScript. */
export function encodeRules(rules: readonly Rule[]): Uint8Array {
  const addresses = rules.filter((rule) => 'bits' in rule);
  const bytes = Buffer.alloc(addresses.length * RULE_BYTES);
  addresses.forEach((rule, i) => {
    bytes.set(rule.address, i * RULE_BYTES);
    bytes.writeUInt16LE(rule.firstPort, i * RULE_BYTES + 16);
    bytes.writeUInt16LE(rule.lastPort, i * RULE_BYTES + 18);
    bytes[i * RULE_BYTES + 20] = rule.bits;
    bytes[i * RULE_BYTES + 21] = rule.isV4 ? 1 : 0;
  });
  return bytes;
}
