// The simulated world as the runtime's platform: threads to which the world gives turns, messages that its calendar
// delivers, signals. All else is production's: shard 0 runs runtime.ts, shutdown.ts and restart.ts, a worker runs
// worker-shard.ts.
//
//   start(shard) --> a new place --> its first job: the core boots there --> messages, both ways
//   a thread ends --> its kernel closes what it had open --> shard 0 gets its exit, behind all that it said
//
// Invariant: the messages of one worker arrive in order, each after a time that the seed draws, as jobs of the shard
// that gets them. A message to a thread that has ended is lost.
//
// Next: world.ts.

import { fileURLToPath } from 'node:url';
import { functionNames } from '../calls/functions.js';
import type { Core, Memories } from '../core/core.js';
import type { HostFactory } from '../hosts/host.js';
import { importModule } from '../runtime/node-platform.js';
import type { Checked } from '../runtime/options.js';
import type {
  FromWorker,
  RuntimePlatform,
  ShardModule,
  ShardWorker,
  ToWorker,
  WorkerPort,
} from '../runtime/protocol.js';
import { startThread } from '../runtime/threads.js';
import { WorkerShard } from '../runtime/worker-shard.js';
import { shardData } from '../runtime/workers.js';
import { INSTANCE, loadInstance } from './forgotten-modules.js';
import { watchPosts } from './posts.js';
import { SimHost } from './sim-host.js';
import type { SimSignals } from './sim-signals.js';
import { Place, type World } from './world.js';

const MESSAGE_US = 100;
const MESSAGE_SLOW_US = 3000;
const MESSAGE_SLOW = 0.1; // how often
const KILL_US = 200; // until a thread that is terminated runs no more
const DIE_US = 500; // until a thread has died, if it does not at once
const LOAD_US = 2000; // what loading the shard module takes, besides what the module awaits

/** The host of the shard whose thread is the current one. */
export function simFactory(world: World): HostFactory {
  return {
    name: 'sim',
    reason: 'simulate()',
    open: (windows) => {
      const place = world.current as Place;
      const host = new SimHost(world, windows, place);
      place.host = host;
      return host;
    },
  };
}

export class SimPlatform implements RuntimePlatform {
  readonly signals: SimSignals;
  readonly #world: World;
  readonly #options: Checked;
  readonly #memories: Memories;
  readonly #run: number;
  readonly #first: Place;
  readonly #workers: SimWorker[] = [];
  readonly #modules = new Map<number, string>(); // of shards that have another one
  /** The failures in onClose() of a worker. In production that is a warning. */
  readonly failures: string[] = [];
  #core: Core | undefined;
  #module: WebAssembly.Module | undefined;

  /** `run`: a number that no other runtime of this process has. `first`: the thread that becomes shard 0. */
  constructor(world: World, options: Checked, memories: Memories, run: number, first: Place, signals: SimSignals) {
    this.signals = signals;
    this.#first = first;
    this.#world = world;
    this.#options = options;
    this.#memories = memories;
    this.#run = run;
  }

  initialize(core: Core, module: WebAssembly.Module): void {
    this.#core = core;
    this.#module = module;
    this.#world.reached.watch(core);
    watchPosts(this.#world, this.#first, core);
  }

  start(shard: number): ShardWorker {
    startThread(this.#core as Core, this.#memories.memory, shard);
    return this.#workers[shard] as SimWorker;
  }

  readonly threadSpawn = (shard: number): number => {
    const world = this.#world;
    const { range } = this.#first;
    const place = new Place(world, range.base + shard, ++world.threads, range);
    world.places[place.index] = place;
    world.note('spawn', place.index);
    const worker = new SimWorker(world, place, this.#first, () => this.#boot(place, worker));
    this.#workers[shard] = worker;
    return place.life;
  };

  #boot(place: Place, worker: SimWorker): WorkerShard {
    const { memory, blocks } = this.#memories;
    const data = shardData(place.number, this.#options, blocks, undefined);
    const port: WorkerPort = {
      say: (message) => {
        if (message.type === 'drained') this.failures.push(...message.failures);
        worker.say(message);
      },
      importModule: this.importModule,
      leave: () => this.#world.leave(place),
    };
    const shard = new WorkerShard(data, simFactory(this.#world), this.#module as WebAssembly.Module, memory, port);
    this.#world.reached.watch(shard.core);
    watchPosts(this.#world, place, shard.core);
    shard.core.wasi_thread_start(place.life, place.number);
    shard.start();
    return shard;
  }

  /** Each shard gets an instance of its own, as a thread would. That takes real time, so the world stands still. */
  readonly importModule = async (given: string | undefined): Promise<ShardModule> => {
    const world = this.#world;
    const place = world.current as Place;
    await new Promise<void>((resolve) => void world.after(LOAD_US, () => world.post(place, resolve)));
    const own = this.#modules.get(place.number) ?? given;
    if (own === undefined) return {};
    const url = anew(own, `${this.#run}.${place.index}.${place.life}`);
    const exports = await world.loads.run(() => loadInstance(() => importModule(url)), `the shard module ${own}`);
    place.functions = functionNames(exports);
    return exports;
  };

  /** The shard loads another module when it starts again. */
  useModule(shard: number, url: string): void {
    this.#modules.set(shard, url);
  }

  /** Resolves in a turn of shard 0 when shard 0 knows that this worker has ended. */
  ended(shard: number): Promise<void> {
    return (this.#workers[shard] as SimWorker).ended;
  }
}

/** The module's URL with a query, which makes it another module. */
function anew(module: string, mark: string): string {
  const url = new URL(module);
  url.searchParams.set(INSTANCE, mark);
  return importName(url);
}

/** The name by which import() loads a module with its query. Bun ignores the query of a URL, but not of a path. */
export function importName(url: URL): string {
  const isPath = process.versions.bun !== undefined && url.protocol === 'file:';
  return isPath ? `${fileURLToPath(url)}${url.search}` : url.href;
}

/** Jobs for one place, in order, each after a drawn time. */
class Line {
  readonly #world: World;
  readonly #place: Place;
  readonly #what: string;
  readonly #slow: string;
  #lastNs = 0;

  constructor(world: World, place: Place, from: Place) {
    const way = `from ${from.label} to ${place.number}`;
    this.#what = `time of a message of the runtime ${way}, ns`;
    this.#slow = `a message of the runtime ${way} is slow`;
    this.#world = world;
    this.#place = place;
  }

  send(job: () => void): void {
    const { random, calendar, nowNs } = this.#world;
    const mostUs = random.chance(MESSAGE_SLOW, this.#slow) ? MESSAGE_SLOW_US : MESSAGE_US;
    this.#lastNs = Math.max(this.#lastNs, nowNs + random.below(mostUs * 1000 + 1, this.#what));
    calendar.add(this.#lastNs, () => this.#world.post(this.#place, job));
  }
}

class SimWorker implements ShardWorker {
  readonly ended: Promise<void>;
  readonly #world: World;
  readonly #place: Place;
  readonly #first: Place;
  readonly #toShard: Line;
  readonly #toMain: Line;
  readonly #onMessage = new Set<(message: FromWorker) => void>();
  readonly #onExit = new Set<(exitCode: number) => void>();
  #shard: WorkerShard | undefined;
  #hasEnded = false;

  constructor(world: World, place: Place, first: Place, boot: () => WorkerShard) {
    this.#world = world;
    this.#place = place;
    this.#first = first;
    this.#toShard = new Line(world, place, first);
    this.#toMain = new Line(world, first, place);
    this.#toShard.send(() => {
      this.#live(() => {
        this.#shard = boot();
      });
    });
    this.ended = new Promise((resolve) => {
      place.onGone = (exitCode) =>
        this.#toMain.send(() => {
          world.note('exit', first.index, place.index);
          this.#hasEnded = true;
          for (const listener of [...this.#onExit]) listener(exitCode);
          resolve();
        });
    });
  }

  tell(message: ToWorker): void {
    const copy = structuredClone(message);
    this.#toShard.send(() => {
      this.#world.tell(this.#place, `shard 0 says: ${message.type}`);
      this.#live(() => this.#shard?.onMessage(copy));
    });
  }

  /** Runs what the thread does next, unless it dies before. It may also die soon after. */
  #live(run: () => void): void {
    const [world, place] = [this.#world, this.#place];
    const dies = world.fault('die', place.index, 0, 0);
    const isBefore = dies && world.random.chance(0.5, 'it dies before the message');
    if (dies) world.after(isBefore ? 0 : DIE_US, () => world.kill(place));
    if (!isBefore) run();
  }

  /** In the thread itself. */
  say(message: FromWorker): void {
    const copy = structuredClone(message);
    this.#toMain.send(() => {
      this.#world.tell(this.#first, `shard ${this.#place.number} says: ${message.type}`);
      if (message.type === 'running') this.#place.hasStarted = true;
      for (const listener of [...this.#onMessage]) listener(copy);
    });
  }

  onMessage(listener: (message: FromWorker) => void): () => void {
    this.#onMessage.add(listener);
    return () => this.#onMessage.delete(listener);
  }

  /** An error that no code of a simulated shard catches fails the simulation. */
  onError(): () => void {
    return () => {};
  }

  onExit(listener: (exitCode: number) => void): () => void {
    this.#onExit.add(listener);
    return () => this.#onExit.delete(listener);
  }

  terminate(): Promise<unknown> {
    if (this.#hasEnded) return Promise.resolve();
    this.#world.after(KILL_US, () => this.#world.kill(this.#place));
    return this.ended;
  }

  /** A world ends when its program does. */
  ref(): void {}

  unref(): void {}
}
