// simulate(): a runtime whose shards all run in this thread, on the core that is shipped, in a world that one number
// decides about.
//
//   options --> world, memory, shards --> globals replaced, modules loaded --> program, on shard 0 --> all is closed
//
// Next: world.ts.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
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
import { Calls } from '../calls/call.js';
import { functionNames } from '../calls/functions.js';
import { loadParts } from '../calls/internal.js';
import { offerParts } from '../calls/parts.js';
import { coreModule, type Memories, makeMemory } from '../core/core.js';
import { type Limits, SHARDS_MAX } from '../core/layout.js';
import { checkLimits } from '../core/limits.js';
import { useClock } from '../hosts/host.js';
import { checkNetwork, type NetworkOptions, type NetworkRules } from '../net/network-rules.js';
import { importModule } from '../runtime/node-workers.js';
import { clearShard } from '../runtime/restart.js';
import { setRuntime, WorkerRuntime } from '../runtime/runtime.js';
import { type Holdings, readHoldings, unansweredCalls } from '../runtime/stats.js';
import { enterShard, findShard, Shard } from '../shard/shard.js';
import { checkFaults, type SimFaults } from './faults.js';
import { replaceGlobals } from './globals.js';
import { SimDisk } from './sim-disk.js';
import { SimHost } from './sim-host.js';
import { Machines } from './sim-machines.js';
import { runOn, SimWorld } from './sim-world.js';
import { Place, START_NS, World } from './world.js';

export interface SimOptions {
  /** Decides everything. A whole number from 0 to 2 ** 53 - 1. */
  seed: number;
  /** 1 to 64. Default 1. */
  shards?: number | undefined;
  /** The shard module; each shard gets an instance of its own. */
  module?: URL | string | undefined;
  faults?: SimFaults | undefined;
  /** Named machines, for the network only: the shards on each, `{ web: [0, 1], db: [2] }`. Default: all are one. */
  hosts?: Readonly<Record<string, readonly number[]>> | undefined;
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
  /** The program has failed when nothing but timers has happened for so long, ms. Default: it may wait for timers. */
  quietMs?: number | undefined;
  /** How many of the last events are kept for a failure. Default 200. */
  traceEvents?: number | undefined;
}

export interface SimReport<T> {
  readonly seed: number;
  /** What the program returned; undefined after a crash. */
  readonly value: T | undefined;
  /** world.crash() has ended it. */
  readonly crashed: boolean;
  /** 16 hexadecimal digits: the same for the same seed and program, on each runtime. */
  readonly traceHash: string;
  readonly events: number;
  readonly turns: number;
  /** How much time has passed in the world. */
  readonly virtualMs: number;
  /** What each shard held at the end, in shard order; undefined: it died. */
  readonly left: readonly (Holdings | undefined)[];
  /** How often each limit was reached, on all shards together; none that was not. */
  readonly reached: Readonly<Partial<Record<keyof Limits, number>>>;
}

/** A simulated program has failed. `cause` is what went wrong. */
export class SimulationError extends FeatherstarError {
  readonly seed: number;
  readonly traceHash: string;
  /** The last events, oldest first, a line each. */
  readonly trace: readonly string[];

  constructor(seed: number, world: World, cause: unknown) {
    const text = cause instanceof Error ? cause.message : String(cause);
    super('FEATHERSTAR_SIMULATION', `seed ${seed}: ${text}`, { cause });
    this.seed = seed;
    this.traceHash = world.trace.hash;
    this.trace = world.trace.lines();
  }
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
  sendBufferCount: 64,
  sendBufferBytes: 4096,
  arenaBytes: 262_144,
  scratchBytes: 262_144,
};
const SHARED_BYTES = 1_048_576;
const QUOTA_NS = 500_000;
const GRACE_MS = 250;
const LOOK_MS = 2;
const SEED_MAX = 2 ** 53 - 1;
const QUIET_NEVER_MS = 8.64e9; // no run is as long

interface Checked extends Required<Omit<SimOptions, 'faults' | 'hosts' | 'limits' | 'module' | 'disk' | 'network'>> {
  module: string | undefined;
  limits: Limits;
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
  maxMs: integer(1, QUIET_NEVER_MS),
  quietMs: integer(1, QUIET_NEVER_MS),
  traceEvents: integer(1, 1_000_000),
};

function check(options: SimOptions): Checked {
  const { module, limits, ...rest } = checkOptions(options, CHECKS);
  return {
    seed: checkInteger('seed', rest.seed, 0, SEED_MAX),
    shards: rest.shards ?? 1,
    module: module === undefined ? undefined : String(module),
    limits: checkLimits({ ...SIM_LIMITS, ...limits }),
    shutdownTimeoutMs: rest.shutdownTimeoutMs ?? 4500,
    maxTurns: rest.maxTurns ?? 10_000_000,
    maxMs: rest.maxMs ?? 86_400_000,
    quietMs: rest.quietMs ?? QUIET_NEVER_MS,
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

const later = setImmediate; // the real one
const realSoon = () => new Promise<void>((resolve) => void later(resolve));

let running = false;
let runs = 0;

/**
 * Runs a program on a simulated runtime, on shard 0, and closes everything when it is done. Rejects with a
 * SimulationError when the program fails, deadlocks, or leaves the simulation. One simulation at a time in a thread.
 */
export async function simulate<T>(
  options: SimOptions,
  program: (world: SimWorld) => T | Promise<T>,
): Promise<SimReport<T>> {
  const checked = check(options);
  const faults = checkFaults(options.faults);
  const machines = new Machines(options.hosts ?? {}, checked.shards);
  const disk = checkDisk(options.disk);
  const network = checkNetwork(options.network);
  if (running || findShard() !== undefined) {
    throw new FeatherstarError('FEATHERSTAR_STATE', 'this thread is a shard already, or simulates one: one at a time');
  }
  running = true;
  offerParts();
  await loadParts();
  const { seed } = checked;
  const world = new World(seed, faults, machines, disk, checked.traceEvents, {
    maxTurns: checked.maxTurns,
    maxNs: checked.maxMs * 1e6,
    quietNs: checked.quietMs * 1e6,
  });
  useClock(world.readNs);
  const putBack = replaceGlobals(world);
  const onRejection = (reason: unknown) => world.fail(reason);
  process.on('unhandledRejection', onRejection);
  try {
    const memories = makeMemory(checked.shards, checked.limits, SHARED_BYTES);
    const matter = { world, ...memories, module: checked.module, network, run: ++runs };
    for (let index = 0; index < checked.shards; index++) makeShard(matter, index);
    for (const place of world.places) await loadModule(matter, place);
    const outcome: { value?: T; left?: (Holdings | undefined)[] } = {};
    world.post(world.places[0], () => {
      lead(world, checked, () => program(new SimWorld(world, seed, (shard) => restart(matter, shard))), outcome).then(
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
      left: outcome.left ?? [],
      reached: world.reached.counts,
    };
  } catch (error) {
    world.fail(undefined); // whatever comes late has nothing to run in
    await realSoon(); // what else has failed in the same turn is told meanwhile, and dropped
    throw new SimulationError(seed, world, error);
  } finally {
    world.fail(undefined);
    enterShard(undefined);
    setRuntime(undefined);
    for (const { shard } of world.places) shard.close();
    process.off('unhandledRejection', onRejection);
    putBack();
    useClock(undefined);
    running = false;
  }
}

/** What shards are made of. */
interface Matter extends Memories {
  readonly world: World;
  readonly module: string | undefined;
  readonly network: NetworkRules | undefined;
  readonly run: number;
}

function makeShard({ world, memory, blocks, header, network }: Matter, index: number): Place {
  const link = { want() {}, waited() {}, done() {} }; // no signal of the process comes in
  const shard = new Shard({
    module: coreModule(),
    memory,
    blocks,
    header,
    shard: index,
    factory: { name: 'sim', reason: 'simulate()', open: (windows) => new SimHost(world, windows) },
    idlePollNs: 0,
    quotaNs: QUOTA_NS,
    stallMs: 0,
    network,
    unhandled: 'throw',
    checkMemory: false,
    threadSpawn: () => -1,
  });
  world.reached.watch(shard);
  shard.core.boot(index, world.nowNs);
  shard.start();
  const place = new Place(shard);
  world.places[index] = place;
  shard.calls = new Calls(shard, header.shardCount);
  place.runtime = new WorkerRuntime(shard, header.shardCount, 'sim', link);
  return place;
}

/** Each shard gets an instance of its own, as a thread would. */
async function loadModule({ world, module, run }: Matter, place: Place): Promise<void> {
  const { shard, index, runtime } = place;
  if (module === undefined) {
    shard.calls?.setModule({});
    return;
  }
  world.loading = index; // the loader has real files to read, so timers and files are real as long
  enterShard(shard);
  setRuntime(runtime);
  try {
    const life = Math.floor(shard.numbersFrom / 2 ** 32);
    const exports = await importModule(anew(module, `${run}.${index}.${life}`));
    shard.calls?.setModule(exports);
    place.functions = functionNames(exports);
  } finally {
    world.loading = -1;
    enterShard(undefined);
    setRuntime(undefined);
  }
}

/** A shard that died, again: the steps of runtime/restart.ts. */
async function restart(matter: Matter, index: number): Promise<void> {
  const { world, memory, header } = matter;
  const dead = world.places[index];
  if (!dead.isDead || dead.isReborn) throw optionError('shard', index, 'a shard that has died');
  dead.isReborn = true;
  await runOnLiving(world, ({ shard }) => shard.calls?.peers.whenBuried(index));
  await world.pause(async () => {
    clearShard(memory, header, index);
    world.note('restart', index);
    await loadModule(matter, makeShard(matter, index));
  });
  const reborn = world.places[index];
  await runOnLiving(world, ({ index: peer, shard, host }) => {
    if (peer === index || reborn.isDead) return;
    host.setPeer(index, index);
    shard.calls?.peers.up(index);
  });
}

/** The module's URL with a query, which makes it another module. Bun ignores the query of a URL, but not of a path. */
function anew(module: string, mark: string): string {
  const url = new URL(module);
  url.searchParams.set('simulated', mark);
  const isPath = process.versions.bun !== undefined && url.protocol === 'file:';
  return isPath ? `${fileURLToPath(module)}${url.search}` : url.href;
}

/** The same on every shard that lives; one that dies meanwhile has nothing to say. */
async function runOnLiving<T>(world: World, run: (place: Place) => T | Promise<T>): Promise<T[]> {
  const living = world.places.filter((place) => !place.isDead);
  const results = await Promise.allSettled(living.map((place) => runOn(world, place, () => run(place))));
  return results.flatMap((result, i) => {
    if (result.status === 'fulfilled') return [result.value];
    if (living[i].isDead) return [];
    throw result.reason;
  });
}

/** On shard 0: the program, and then the end, in the order of runtime/shutdown.ts. */
async function lead<T>(
  world: World,
  { shutdownTimeoutMs }: Checked,
  program: () => T | Promise<T>,
  outcome: { value?: T; left?: (Holdings | undefined)[] },
): Promise<void> {
  outcome.value = await program();
  const alive = () => world.places.filter((place) => !place.isDead);
  const own = world.places[0].runtime as WorkerRuntime;
  const failures = (await own.stopServices?.(shutdownTimeoutMs)) ?? [];
  const hooks = await runOnLiving(world, async ({ runtime }) => (await runtime?.runOnClose(shutdownTimeoutMs)) ?? []);
  failures.push(...hooks.flat());
  const deadlineNs = world.nowNs + shutdownTimeoutMs * 1e6;
  const isOpen = () => alive().some(({ shard, index }) => unansweredCalls(shard, index) !== 0);
  while (isOpen() && world.nowNs < deadlineNs) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  await runOnLiving(world, ({ runtime }) => runtime?.cancel(GRACE_MS));
  for (const { shard } of alive()) world.reached.collect(shard);
  outcome.left = world.places.map(({ shard, index, isDead }) => (isDead ? undefined : readHoldings(shard, index)));
  if (failures.length !== 0) throw failures[0];
}
