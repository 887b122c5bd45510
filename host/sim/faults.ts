// The faults of a simulated world, and how often they come. Order is the seed's business in any case; each of these is
// off unless it is asked for. `buggify` is what the program itself asks for.

import { type Checks, checkOptions, number } from '../base/options.js';

/** Shares of all cases, from 0 (never, the default) to 1 (always), unless a unit is given. */
export interface SimFaults {
  /** A turn does not come: the shard stands still for up to `freezeUs`. */
  freeze?: number | undefined;
  /** Longest freeze, µs. Default 10,000. */
  freezeUs?: number | undefined;
  /** A shard takes a turn although nothing has woken it. */
  spurious?: number | undefined;
  /** Longest time on its way for bytes, connections and resets, µs. Default 500. */
  latencyUs?: number | undefined;
  /** Longest time of an operation on a file, µs. Default 1000. */
  diskUs?: number | undefined;
  /** A send, a receive, a read or a write of a file takes only a part. */
  partial?: number | undefined;
  /** A send finds its connection reset. */
  reset?: number | undefined;
  /** A datagram does not arrive. */
  lose?: number | undefined;
  /** A datagram arrives twice. */
  duplicate?: number | undefined;
  /** A read of a file finds a bit of the file flipped, and so does each later one. */
  bitRot?: number | undefined;
  /** A write of a file goes to another sector of that file. */
  misdirect?: number | undefined;
  /** A connect is refused or times out. */
  refuse?: number | undefined;
  /** A receive finds no free buffer (ENOBUFS), as when all are held. */
  noBuffers?: number | undefined;
  /** The kernel refuses an operation with an errno that it can return: ENOMEM, EMFILE, ECONNABORTED and others. */
  errno?: number | undefined;
  /** A new socket, or a connection that is accepted, finds no file slot (ENFILE). */
  noFiles?: number | undefined;
  /** The share of the names of `buggify()` that are on in a world. Default 0.25; 0: none. */
  buggify?: number | undefined;
  /** A shard other than 0 dies as the runtime tells it something: as shards start, or as all closes. */
  die?: number | undefined;
  /** The kernel does not let go of a thread that was killed: it ends only after up to `stuckUs`. */
  stuck?: number | undefined;
  /** Longest time until a stuck thread has ended, µs. Default 10,000,000: longer than anything waits for it. */
  stuckUs?: number | undefined;
}

export type Faults = Required<{ [K in keyof SimFaults]: number }>;

const DEFAULTS: Faults = {
  freeze: 0,
  freezeUs: 10_000,
  spurious: 0,
  latencyUs: 500,
  diskUs: 1000,
  partial: 0,
  reset: 0,
  lose: 0,
  duplicate: 0,
  bitRot: 0,
  misdirect: 0,
  refuse: 0,
  noBuffers: 0,
  errno: 0,
  noFiles: 0,
  buggify: 0.25,
  die: 0,
  stuck: 0,
  stuckUs: 10_000_000,
};

const TIME_MAX_US = 60e6;

const CHECKS = Object.fromEntries(
  Object.keys(DEFAULTS).map((name) => [name, number(0, name.endsWith('Us') ? TIME_MAX_US : 1)]),
) as Checks<SimFaults>;

export function checkFaults(given: SimFaults = {}): Faults {
  checkOptions(given, CHECKS, 'faults');
  const faults = { ...DEFAULTS };
  for (const name of Object.keys(given) as (keyof Faults)[]) faults[name] = given[name] ?? DEFAULTS[name];
  return faults;
}
