// A world at random: how many shards, how tight each limit is, which faults there are and how often. Even chance makes
// every world alike. So a seed first draws which kinds of faults it has at all, and which limits are tight ("swarm
// testing": Groce et al., 2012); a limit that is tight is often as low as it can be.
//
// Invariant: what is drawn for a seed depends on the seed alone, and each limit is one that Runtime.start() takes.
//
// Next: faults.ts.

import { type Checks, checkBoolean, checkedLater, checkInteger, checkOptions } from '../base/options.js';
import type { Limits } from '../core/layout.js';
import { checkFaults, type SimFaults } from './faults.js';
import { Random } from './random.js';

const STREAM = 2; // the world has 0, the program 1
const SWARM_STREAM = 3;
const SHARDS_LEAST = 2;
const SHARDS_MOST = 5;
const TIGHT = 0.4; // how often a limit is
const MISCHIEF = 0.35; // how often a kind of fault is on
const CALM = 0.15; // how often none is
const SWARM_SHARE = 0.5; // of the kinds of faults that a search allows
const SEED_MAX = 2 ** 53 - 1;

/** The values of each limit, the tightest first; a server with a few clients works with any of them. */
const TIGHT_LIMITS: { [K in keyof Limits]: readonly number[] } = {
  ringSlots: [1, 2, 4, 8],
  creditCount: [1, 2, 3, 8],
  callSlots: [16_384], // what is full is an error, not a wait
  sqeSlots: [1, 2, 4, 16],
  cqeSlots: [1, 2, 4, 16],
  readySlots: [2, 4, 16],
  opSlots: [12, 16, 48],
  timerSlots: [8, 16, 64],
  taskSlots: [1, 2, 8],
  connectionSlots: [20, 24, 40],
  recvBufferCount: [1, 2, 4],
  recvBufferBytes: [64, 256, 1024],
  largeRecvBufferCount: [1, 2],
  largeRecvBufferBytes: [64, 512, 4096],
  sendBufferCount: [1, 2, 3, 8],
  sendBufferBytes: [64, 128, 512],
  arenaBytes: [2048, 4096, 16_384],
  scratchBytes: [262_144], // serve() takes no less
};

/** The highest share, or time, of each kind of fault. */
const MISCHIEFS: readonly (readonly [keyof SimFaults, number])[] = [
  ['freeze', 0.02],
  ['spurious', 0.1],
  ['partial', 0.5],
  ['reset', 0.05],
  ['refuse', 0.2],
  ['noBuffers', 0.2],
  ['noFiles', 0.2],
  ['errno', 0.06],
  ['latencyUs', 20_000],
  ['diskUs', 50_000],
  ['freezeUs', 50_000],
];

/** Options of `simulate()` that `drawWorld()` has drawn. */
export interface DrawnWorld {
  /** How many shards. */
  readonly shards: number;
  /** Sizes of the tables. */
  readonly limits: Partial<Limits>;
  /** Which faults occur, and how often. */
  readonly faults: SimFaults;
}

/** Options for simulate(), drawn from a seed. */
export function drawWorld(seed: number): DrawnWorld {
  checkInteger('seed', seed, 0, SEED_MAX);
  const random = new Random(seed, STREAM);
  const shards = random.between(SHARDS_LEAST, SHARDS_MOST);
  const limits = drawLimits(random);
  return { shards, limits, faults: drawFaults(random, MISCHIEFS, MISCHIEF) };
}

function drawLimits(random: Random): Partial<Limits> {
  const limits: Partial<Record<keyof Limits, number>> = {};
  for (const [name, values] of Object.entries(TIGHT_LIMITS)) {
    if (!random.chance(TIGHT)) continue;
    const isTightest = random.chance(0.5);
    limits[name as keyof Limits] = isTightest ? values[0] : values[random.below(values.length)];
  }
  const { readySlots, cqeSlots = 16 } = limits;
  if (readySlots !== undefined) limits.cqeSlots = Math.min(cqeSlots, readySlots / 2); // it must not be more than half
  return limits;
}

/** `share`: how often a kind of fault is on. */
function drawFaults(random: Random, worst: readonly (readonly [keyof SimFaults, number])[], share: number): SimFaults {
  const faults: Partial<Record<keyof SimFaults, number>> = {};
  const isCalm = random.chance(CALM);
  for (const [name, most] of worst) {
    if (!isCalm && random.chance(share)) faults[name] = random.fraction() * most;
  }
  return faults;
}

/** Options of a search: each of its seeds draws these. */
export interface SimSwarm {
  /** The most of each fault. A seed draws which of them it has, and how much. Default: none. */
  faults?: SimFaults | undefined;
  /** Each seed makes some limits tight. Default false. */
  limits?: boolean | undefined;
}

/** Faults that change when things happen, and nothing else. */
export const BENIGN: SimFaults = {
  freeze: 0.02,
  freezeUs: 50_000,
  spurious: 0.1,
  partial: 0.5,
  latencyUs: 20_000,
  diskUs: 50_000,
  slow: 0.1,
  slowUs: 2_000_000,
  kilobyteUs: 2000,
  retransmit: 0.1,
  diskSlow: 0.1,
  diskSlowUs: 2_000_000,
};

/** Also faults that a program sees, data that is spoilt, and tight limits. */
export const HARSH: SimSwarm = {
  faults: {
    ...BENIGN,
    reset: 0.05,
    refuse: 0.2,
    lose: 0.2,
    duplicate: 0.2,
    noBuffers: 0.2,
    noFiles: 0.2,
    errno: 0.06,
    bitRot: 0.05,
    misdirect: 0.05,
  },
  limits: true,
};

const SWARM_CHECKS: Checks<SimSwarm> = { faults: checkedLater, limits: checkBoolean };

export function checkSwarm(swarm: SimSwarm): void {
  const { faults } = checkOptions(swarm, SWARM_CHECKS, 'swarm');
  checkFaults(faults);
}

/** The faults and limits of a seed. */
export function drawSwarm(seed: number, { faults = {}, limits = false }: SimSwarm): Omit<DrawnWorld, 'shards'> {
  const random = new Random(seed, SWARM_STREAM);
  const worst = Object.entries(faults) as [keyof SimFaults, number][];
  return { faults: drawFaults(random, worst, SWARM_SHARE), limits: limits ? drawLimits(random) : {} };
}
