// simulate(): a runtime whose shards all run in this thread, on the core that is shipped, in a world that one number
// decides about.
//
//   options --> world, globals replaced --> shard 0: Runtime.launch() --> the program --> runtime.close()
//
// Starting, stopping and starting again are production's (host/runtime); the world supplies threads and time.
//
// Next: world.ts.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { FeatherstarError, optionError } from '../base/errors.js';
import {
  type Checks,
  checkedLater,
  checkInteger,
  checkObject,
  checkOptions,
  checkUrl,
  integer,
} from '../base/options.js';
import { loadParts } from '../calls/internal.js';
import { offerParts } from '../calls/parts.js';
import { coreModule } from '../core/core.js';
import { type Limits, SHARDS_MAX } from '../core/layout.js';
import { checkLimits } from '../core/limits.js';
import { useClock } from '../hosts/host.js';
import { checkNetwork, type NetworkOptions, type NetworkRules } from '../net/network-rules.js';
import type { Checked } from '../runtime/options.js';
import { setRuntime } from '../runtime/runtime.js';
import type { CloseReport, ShardEnd } from '../runtime/shutdown.js';
import type { Holdings } from '../runtime/stats.js';
import { enterShard, findShard } from '../shard/shard.js';
import { countSimulation } from './copies.js';
import { checkFaults, type SimFaults } from './faults.js';
import { forgetInstances } from './forgotten-modules.js';
import { replaceGlobals } from './globals.js';
import { warnOfNamedImports } from './named-imports.js';
import { realSoon } from './real.js';
import { search } from './search.js';
import { currentSession, type Session } from './session.js';
import { SimDisk } from './sim-disk.js';
import { Machines, type SimHosts } from './sim-machines.js';
import { simFactory } from './sim-platform.js';
import { SimRuntime } from './sim-runtime.js';
import { SimWorld } from './sim-world.js';
import { textOfThrown } from './thrown.js';
import { Trace } from './trace.js';
import { watch } from './watchdog.js';
import { START_NS, World, type WorldParts } from './world.js';

/** Options of `simulate()`. */
export interface SimOptions {
  /** Decides everything. A whole number from 0 to 2 ** 53 - 1. */
  seed: number;
  /** 1 to 64. Default 1. */
  shards?: number | undefined;
  /** The shard module; each shard gets an instance of its own. */
  module?: URL | string | undefined;
  /** Which faults occur, and how often. Default: none. */
  faults?: SimFaults | undefined;
  /**
   * Named machines. `{ db: { shards: 2, module } }` has a runtime of its own, and `{ web: [0, 1] }` has these shards of
   * the program's runtime. Default: all shards are on one machine.
   */
  hosts?: SimHosts | undefined;
  /** The machines' disks. Default: new ones, empty but for the root. */
  disk?: SimDisk | undefined;
  /** Of the tables, as in RuntimeOptions; the defaults are small here, so that they are reached. */
  limits?: Partial<Limits> | undefined;
  /** Narrows what of the network shards can reach, as in RuntimeOptions. */
  network?: NetworkOptions | undefined;
  /** How long everything may take to close by itself when the program is done, ms of the world's time. Default 4500. */
  shutdownTimeoutMs?: number | undefined;
  /** The program has failed when it takes more turns. Default 10,000,000. */
  maxTurns?: number | undefined;
  /** The program has failed when it takes longer, ms of the world's time. Default 86,400,000: a day. */
  maxMs?: number | undefined;
  /**
   * The program has failed when nothing but timers has happened for so long, ms. Default: an hour in which shards took
   * 100,000 turns.
   */
  quietMs?: number | undefined;
  /**
   * A turn that takes longer, in ms of real time, ends the process with an error, on Node. A shard module that takes
   * longer to load fails the simulation. Default 20,000; 0: never.
   */
  stallMs?: number | undefined;
  /** How many of the last events are kept for a failure. Default 200. */
  traceEvents?: number | undefined;
}

/** The report of a simulation. */
export interface SimReport<T> {
  /** The seed that was given. */
  readonly seed: number;
  /** The program's result; undefined after a crash. */
  readonly value: T | undefined;
  /** world.crash() has ended it. */
  readonly crashed: boolean;
  /** 16 hexadecimal digits: the same for the same seed and program, on each runtime. */
  readonly traceHash: string;
  /** How many events the trace has. */
  readonly events: number;
  /** How many turns the shards have taken. */
  readonly turns: number;
  /** How much time has passed in the world. */
  readonly virtualMs: number;
  /** Whether all ended by itself within `shutdownTimeoutMs` when the program was done; false after a crash. */
  readonly drained: boolean;
  /**
   * The things that each shard held at the end. First come the shards of the program's runtime, then those of the
   * machines with their own, in the order of `hosts`. Undefined: it died, or could not say.
   */
  readonly left: readonly (Holdings | undefined)[];
  /** How often each limit was reached, on all shards together; none that was not. */
  readonly reached: Readonly<Partial<Record<keyof Limits, number>>>;
  /** How often each `sometimes()` held; 0: it was asked, and never did. */
  readonly sometimes: Readonly<Record<string, number>>;
}

/** A simulated program has failed. `cause` is what went wrong. */
export class SimulationError extends FeatherstarError {
  /** The seed that was given. */
  readonly seed: number;
  /** The hash of the trace, as in the report. */
  readonly traceHash: string;
  /** The last events, oldest first, a line each. */
  readonly trace: readonly string[];

  /** @internal */
  constructor(seed: number, world: World, cause: unknown) {
    const { message, stack } = textOfThrown(cause);
    super('FEATHERSTAR_SIMULATION', `seed ${seed}: ${message}`, { cause });
    // Test runners that print no cause show the place of the program all the same.
    const [own, program] = [this.stack, stack].map(framesOf);
    if (own !== '' && program !== '') this.stack = `${this.name}: ${this.message}${program}${own}`;
    this.seed = seed;
    this.traceHash = world.trace.hash;
    this.trace = world.trace.lines();
  }
}

/** The lines of a stack behind the message. */
function framesOf(stack = ''): string {
  const start = stack.search(/\n\s+at /);
  return start === -1 ? '' : stack.slice(start);
}

/** Small, so that a run begins fast and reaches them. */
const SIM_LIMITS: Partial<Limits> = {
  ringSlots: 64,
  creditCount: 32,
  sqeSlots: 64,
  cqeSlots: 128,
  readySlots: 512,
  opSlots: 2048,
  timerSlots: 4096,
  taskSlots: 4096,
  connectionSlots: 272,
  recvBufferCount: 32,
  recvBufferBytes: 2048,
  largeRecvBufferCount: 4,
  largeRecvBufferBytes: 16_384,
  sendBufferCount: 64,
  sendBufferBytes: 4096,
  arenaBytes: 262_144,
  scratchBytes: 262_144,
};
const SHARED_BYTES = 1_048_576;
const QUOTA_NS = 500_000;
const SEED_MAX = 2 ** 53 - 1;
const MS_MAX = 8.64e9;
const QUIET_MS = 3_600_000;
const QUIET_TURNS = 100_000;
const STALL_MS = 20_000;

interface SimChecked
  extends Required<Omit<SimOptions, 'faults' | 'hosts' | 'limits' | 'module' | 'disk' | 'network' | 'quietMs'>> {
  quietMs: number | undefined;
  module: string | undefined;
  limits: Limits;
}

interface SimCheckedWithNetwork extends SimChecked {
  network: NetworkRules | undefined;
}

const CHECKS: Checks<SimOptions> = {
  seed: integer(0, SEED_MAX),
  shards: integer(1, SHARDS_MAX),
  module: checkUrl,
  faults: checkedLater,
  hosts: checkObject,
  disk: checkedLater,
  limits: checkedLater,
  network: checkedLater,
  shutdownTimeoutMs: integer(0, 3_600_000),
  maxTurns: integer(1, 2 ** 40),
  maxMs: integer(1, MS_MAX),
  quietMs: integer(1, MS_MAX),
  stallMs: integer(0, 3_600_000),
  traceEvents: integer(1, 1_000_000),
};

function check(options: SimOptions): SimChecked {
  const { module, limits, ...rest } = checkOptions(options, CHECKS);
  return {
    seed: checkInteger('seed', rest.seed, 0, SEED_MAX),
    shards: rest.shards ?? 1,
    module: module === undefined ? undefined : String(module),
    limits: checkLimits({ ...SIM_LIMITS, ...limits }),
    shutdownTimeoutMs: rest.shutdownTimeoutMs ?? 4500,
    maxTurns: rest.maxTurns ?? 10_000_000,
    maxMs: rest.maxMs ?? 86_400_000,
    quietMs: rest.quietMs,
    stallMs: rest.stallMs ?? STALL_MS,
    traceEvents: rest.traceEvents ?? 200,
  };
}

function checkDisk(disk: SimOptions['disk'] = new SimDisk()): SimDisk {
  if (disk instanceof SimDisk) return disk;
  throw optionError('disk', disk, 'a SimDisk');
}

/** The sha256 of the core.wasm that simulations run, in hexadecimal digits. */
export function coreHash(): string {
  return createHash('sha256')
    .update(readFileSync(new URL('../../core.wasm', import.meta.url)))
    .digest('hex');
}

let running = false;

/**
 * Runs a program on a simulated runtime, on shard 0, and closes everything when it is done. Rejects with a
 * SimulationError when the program fails, deadlocks, or leaves the simulation. One simulation at a time in a thread.
 */
export async function simulate<T>(
  options: SimOptions,
  program: (world: SimWorld) => T | Promise<T>,
): Promise<SimReport<T>> {
  const session = currentSession();
  const adjusted = session?.adjust(options) ?? options;
  const checked = check(adjusted);
  const network = checkNetwork(adjusted.network);
  const parts = worldPartsOf(adjusted, checked, session);
  if (running || findShard() !== undefined) {
    throw new FeatherstarError('FEATHERSTAR_STATE', 'this thread is a shard already, or simulates one: one at a time');
  }
  running = true;
  countSimulation();
  warnOfNamedImports();
  if (session !== undefined) session.open++;
  try {
    return await runWorld(parts, { ...checked, network }, session, program);
  } finally {
    running = false;
    if (session !== undefined) session.open--;
  }
}

async function runWorld<T>(
  parts: WorldParts,
  checked: SimCheckedWithNetwork,
  session: Session | undefined,
  program: (world: SimWorld) => T | Promise<T>,
): Promise<SimReport<T>> {
  offerParts();
  await loadParts();
  coreModule(); // read and compiled now: files of the real world are shut in the simulated one
  const { seed } = checked;
  const world = new World(parts);
  if (session !== undefined) {
    session.worlds.push(world);
    const number = session.worlds.length - 1;
    session.choices.look = () => ({
      world: number,
      event: world.trace.count,
      atUs: (world.nowNs - START_NS) / 1000,
    });
  }
  const watched = watch(seed, checked.stallMs);
  useClock(world.readNs);
  const putBack = replaceGlobals(world);
  const onLost = (reason: unknown) => world.fail(reason);
  process.on('unhandledRejection', onLost);
  process.on('uncaughtException', onLost); // a callback of queueMicrotask()
  try {
    const outcome: Outcome<T> = {};
    const options = optionsOfRuntime(checked, world);
    const range = { name: undefined, base: 0, count: options.shards, module: options.module };
    const own = new SimRuntime(world, options, range);
    world.post(own.addFirst(0), () => {
      lead(world, own, options, program, outcome).then(
        () => world.finish(),
        (error) => world.fail(error),
      );
    });
    await world.run();
    return {
      seed,
      value: world.isCrashed ? undefined : outcome.value,
      crashed: world.isCrashed,
      traceHash: world.trace.hash,
      events: world.trace.count,
      turns: world.turns,
      virtualMs: (world.nowNs - START_NS) / 1e6,
      drained: outcome.close?.drained ?? false,
      left: outcome.close?.shards.map(({ left }) => left) ?? [],
      reached: world.reached.counts,
      sometimes: Object.fromEntries(world.sometimes),
    };
  } catch (error) {
    world.fail(undefined); // whatever comes late has nothing to run in
    await realSoon(); // what else has failed in the same turn is told meanwhile, and dropped
    throw new SimulationError(seed, world, error);
  } finally {
    world.fail(undefined);
    enterShard(undefined);
    setRuntime(undefined);
    for (const { host } of world.places) host?.close();
    world.forget();
    process.off('unhandledRejection', onLost);
    process.off('uncaughtException', onLost);
    for (const undo of world.undos) undo();
    world.disk.passTime((world.nowNs - START_NS) / 1e6);
    putBack();
    useClock(undefined);
    watched.end();
    forgetInstances();
  }
}

/** Runs many seeds of a program; see `SearchOptions`. */
simulate.search = search;

/** A trace's events are counted over all worlds of a run, and so is `stopAt`. */
function worldPartsOf(options: SimOptions, checked: SimChecked, session: Session | undefined): WorldParts {
  const { seed, maxTurns, maxMs, quietMs, stallMs, shards } = checked;
  const before = session?.worlds.reduce((sum, { trace }) => sum + trace.count, 0) ?? 0;
  const stopAt = session?.stopAt === undefined ? undefined : session.stopAt - before;
  const machines = new Machines(options.hosts ?? {}, shards);
  const trace = new Trace(session?.traceEvents ?? checked.traceEvents, START_NS, stopAt);
  trace.numberOf = (shard) => machines.numberOfShard(shard);
  trace.nameOf = (shard) => {
    const name = machines.nameOf(machines.of(shard), '');
    const number = trace.numberOf(shard);
    return name === '' ? `shard ${number}` : `shard ${number} (${name})`;
  };
  return {
    seed,
    machines,
    trace,
    faults: checkFaults(options.faults),
    disk: checkDisk(options.disk),
    choices: session?.choices,
    limits: {
      maxTurns,
      maxNs: maxMs * 1e6,
      quietNs: (quietMs ?? QUIET_MS) * 1e6,
      quietTurns: quietMs === undefined ? QUIET_TURNS : 0,
      stallMs,
    },
  };
}

/** The options as Runtime.start() would have made them. */
function optionsOfRuntime(checked: SimCheckedWithNetwork, world: World): Checked {
  const { shards, module, limits, shutdownTimeoutMs, network } = checked;
  return {
    shards,
    module,
    limits,
    shutdownTimeoutMs,
    network,
    factory: simFactory(world),
    cpuset: 'none',
    sharedBytes: SHARED_BYTES,
    idlePollNs: 0,
    quotaNs: QUOTA_NS,
    stallMs: 0,
    unhandled: 'throw',
    checkMemory: false,
  };
}

interface Outcome<T> {
  value?: T;
  close?: CloseReport;
}

/**
 * The thread of the program's shard 0. It starts the runtime as any program does, and then those of the machines that
 * have their own. It runs the simulated program, and closes all runtimes.
 */
async function lead<T>(
  world: World,
  own: SimRuntime,
  options: Checked,
  program: (world: SimWorld) => T | Promise<T>,
  outcome: Outcome<T>,
): Promise<void> {
  await own.launch();
  const others = world.machines.ranges.map((range) => new SimRuntime(world, options, range));
  for (const each of others) await each.start(); // in the order of their places
  outcome.value = await program(new SimWorld(world, own, others));
  const reports = await Promise.all(others.map(endOf));
  outcome.close = joinReports(await own.close(), reports);
}

/** The report of the program's runtime, with those of the machines: a dead one has undefined for each shard. */
function joinReports(own: CloseReport, others: readonly CloseReport[]): CloseReport {
  const all = [own, ...others];
  return { drained: all.every(({ drained }) => drained), shards: all.flatMap(({ shards }) => shards) };
}

async function endOf(runtime: SimRuntime): Promise<CloseReport> {
  const dead: ShardEnd = { how: 'died', left: undefined, waitsFor: undefined };
  return (await runtime.end()) ?? { drained: true, shards: new Array(runtime.range.count).fill(dead) };
}
