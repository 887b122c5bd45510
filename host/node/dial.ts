// How a NodeSocket connects: names to addresses, and one attempt after the other, as node:net does it.
//
//   host --lookup--> addresses, families in turn --attempt, attempt, ...--> connected, or the errors of all
//
// Each attempt but the last has ATTEMPT_MS, so that a family without a route delays the others little.

import { lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { withDeadline } from '../base/abortable.js';
import { FeatherstarError, optionError, resolveError } from '../base/errors.js';
import { PORT_MAX } from '../net/address.js';
import { connectTo } from '../net/connect.js';
import type { Shard } from '../shard/shard.js';
import { codedError, nodeError } from './node-errors.js';

const ATTEMPT_MS = 250; // Node's default, too

/** Where to connect, with the names of node:net. `null` means: not given. */
export interface DialOptions {
  port?: number | string | null | undefined;
  host?: string | null | undefined;
  path?: string | null | undefined;
  family?: number | null | undefined;
  hints?: number | null | undefined;
  lookup?: LookupFunction | null | undefined;
  localAddress?: string | null | undefined;
  localPort?: number | null | undefined;
  autoSelectFamily?: boolean | null | undefined;
  autoSelectFamilyAttemptTimeout?: number | null | undefined;
}

/** An address of a name. */
export interface FoundAddress {
  address: string;
  family: number;
}

/** The socket that an attempt is for. */
export interface Dialer {
  /** The connection's file slot. */
  onFile(file: number): void;
  onLookup(error: Error | null, address?: string, family?: number, host?: string): void;
}

/** A port as programs of Node give it. */
export function checkedPort(port: unknown): number {
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port;
  if (Number.isInteger(number) && (number as number) >= 0 && (number as number) <= PORT_MAX) return number as number;
  const text = `Port should be >= 0 and < 65536. Received ${String(port)}.`;
  throw codedError('ERR_SOCKET_BAD_PORT', text, RangeError);
}

/** Checks the options. Throws what Node throws, and OPTION for what this socket cannot do. */
export function checkDial(options: DialOptions): void {
  for (const name of ['localAddress', 'localPort'] as const) {
    if (options[name]) throw optionError(name, options[name], 'left out: the kernel chooses the own address');
  }
  if (options.path) return;
  if (options.port === undefined || options.port === null) {
    throw codedError('ERR_MISSING_ARGS', 'The "options" or "port" or "path" argument must be specified');
  }
  checkedPort(options.port);
}

/** Connects. Rejects with an error of Node's form, or with the signal's reason. */
export async function dial(shard: Shard, options: DialOptions, dialer: Dialer, signal: AbortSignal): Promise<void> {
  if (options.path) {
    const numeric = `unix:${options.path}`;
    await attempt(shard, { numeric, port: 0, hostname: numeric }, { address: options.path }, dialer, signal);
    return;
  }
  const host = options.host || 'localhost';
  const port = checkedPort(options.port);
  const found = isIP(host) === 0 ? await resolveAll(shard, host, options, dialer) : [{ address: host }];
  const errors: Error[] = [];
  for (const [i, { address }] of found.entries()) {
    signal.throwIfAborted();
    const timeoutMs = i < found.length - 1 ? (options.autoSelectFamilyAttemptTimeout ?? ATTEMPT_MS) : undefined;
    try {
      const target = { numeric: address, port, hostname: host };
      await withDeadline({ signal, timeoutMs }, (ends) => attempt(shard, target, { address, port }, dialer, ends));
      return;
    } catch (error) {
      signal.throwIfAborted();
      errors.push(timedOut(error, address, port));
    }
  }
  throw errors.length === 1 ? errors[0] : allFailed(errors);
}

async function attempt(
  shard: Shard,
  target: { numeric: string; port: number; hostname: string },
  place: { address: string; port?: number },
  dialer: Dialer,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await connectTo(shard, target, signal, (file) => dialer.onFile(file));
  } catch (error) {
    throw nodeError(error, 'connect', place);
  }
}

function timedOut(error: unknown, address: string, port: number): Error {
  if (!FeatherstarError.is(error) || error.code !== 'FEATHERSTAR_TIMEOUT') return error as Error;
  const made = new Error(`connect ETIMEDOUT ${address}:${port}`, { cause: error });
  return Object.assign(made, { errno: -110, code: 'ETIMEDOUT', syscall: 'connect', address, port });
}

function allFailed(errors: Error[]): Error {
  const { code } = errors[0] as NodeJS.ErrnoException;
  return Object.assign(new AggregateError(errors), { code });
}

/** The addresses of a name: by the program's `lookup`, the host's own names, or the system. */
async function resolveAll(shard: Shard, host: string, options: DialOptions, dialer: Dialer): Promise<FoundAddress[]> {
  const given = options.lookup ?? undefined;
  try {
    const own = given === undefined ? shard.host.resolve?.(host) : undefined;
    const found = own === undefined ? await lookUp(host, options, given ?? lookup) : [foundAddress(own)];
    for (const { address, family } of found) dialer.onLookup(null, address, family, host);
    return found;
  } catch (error) {
    const failure = FeatherstarError.is(error) || given !== undefined ? error : resolveError(host, error);
    const made = nodeError(failure, 'getaddrinfo', { hostname: host });
    dialer.onLookup(made, undefined, undefined, host);
    throw made;
  }
}

function foundAddress(address: string): FoundAddress {
  return { address, family: isIP(address) };
}

function lookUp(host: string, options: DialOptions, ask: LookupFunction): Promise<FoundAddress[]> {
  const { family, hints, autoSelectFamily } = options;
  const all = autoSelectFamily !== false && !family;
  const asked = { family: family ?? 0, hints: hints ?? 0, all };
  return new Promise((resolve, reject) => {
    ask(host, asked, (error, found) => {
      if (error) reject(error);
      else resolve(familiesInTurn(Array.isArray(found) ? found : [foundAddress(found as string)]));
    });
  });
}

/** The family of the first address begins, and the families take turns. */
function familiesInTurn(found: FoundAddress[]): FoundAddress[] {
  const first = found.filter(({ family }) => family === found[0]?.family);
  const others = found.filter(({ family }) => family !== found[0]?.family);
  const inTurn: FoundAddress[] = [];
  for (let i = 0; i < Math.max(first.length, others.length); i++) {
    for (const one of [first[i], others[i]]) if (one !== undefined) inTurn.push(one);
  }
  return inTurn;
}
