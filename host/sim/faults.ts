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
  /** A packet takes much longer: from `latencyUs` to `slowUs`, each doubling as likely as the others. */
  slow?: number | undefined;
  /** Longest time of a slow packet, µs. Default 1,000,000. */
  slowUs?: number | undefined;
  /** The time that 1000 bytes take to get onto a link, µs: 8 is 1 Gbit/s, 8000 is 1 Mbit/s. Default 0. */
  kilobyteUs?: number | undefined;
  /** A packet of a stream is lost, and sent again after 200 ms, then 400 ms, and so on; of a connect after 1 s. */
  retransmit?: number | undefined;
  /** Longest time of an operation on a file, µs. Default 1000. */
  diskUs?: number | undefined;
  /** An operation on a file takes much longer: from `diskUs` to `diskSlowUs`, as for `slow`. */
  diskSlow?: number | undefined;
  /** Longest time of a slow operation on a file, µs. Default 1,000,000. */
  diskSlowUs?: number | undefined;
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
  slow: 0,
  slowUs: 1_000_000,
  kilobyteUs: 0,
  retransmit: 0,
  diskUs: 1000,
  diskSlow: 0,
  diskSlowUs: 1_000_000,
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

/** The checks of some faults. */
export function faultChecks<K extends keyof SimFaults>(names: readonly K[]): Checks<Pick<SimFaults, K>> {
  const checks = names.map((name) => [name, number(0, name.endsWith('Us') ? TIME_MAX_US : 1)]);
  return Object.fromEntries(checks) as Checks<Pick<SimFaults, K>>;
}

const CHECKS = faultChecks(Object.keys(DEFAULTS) as (keyof SimFaults)[]);

export function checkFaults(given: SimFaults = {}): Faults {
  checkOptions(given, CHECKS, 'faults');
  const faults = { ...DEFAULTS };
  for (const name of Object.keys(given) as (keyof Faults)[]) faults[name] = given[name] ?? DEFAULTS[name];
  return faults;
}

/** Faults that parts of a world have of their own: its links, or its disks. */
export class OwnFaults {
  readonly #world: { readonly faults: Faults };
  readonly #own = new Map<string, Partial<Faults>>();

  constructor(world: { readonly faults: Faults }) {
    this.#world = world;
  }

  of(part: string): Faults {
    const own = this.#own.get(part);
    return own === undefined ? this.#world.faults : { ...this.#world.faults, ...own };
  }

  /** None: those of the world hold again. */
  set(part: string, given: SimFaults): void {
    const own: Partial<Faults> = {};
    for (const name of Object.keys(DEFAULTS) as (keyof Faults)[]) {
      const value = given[name];
      if (value !== undefined) own[name] = value;
    }
    if (Object.keys(own).length === 0) this.#own.delete(part);
    else this.#own.set(part, own);
  }
}
