// A runtime of a simulated world: the program's, or that of a machine which has one of its own. Production's code
// starts and closes it (host/runtime). This class gives it a first thread, memory and a platform.
//
//   world.places:   0 1 2 | 3 4 | 5
//                   the     one   another       a runtime has `count` places from `base`: its shards 0, 1, ...
//                   program's     machine's
//
// A runtime that has died starts again with new memory and new threads: nothing of it is left but the machine's disk.
//
// Next: sim-platform.ts.

import { FeatherstarError } from '../base/errors.js';
import type { UntypedModule } from '../calls/remote.js';
import { makeMemory } from '../core/core.js';
import type { Checked } from '../runtime/options.js';
import { Runtime } from '../runtime/runtime.js';
import type { CloseReport } from '../runtime/shutdown.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { runIn, runOn } from './run-on.js';
import type { ShardRange } from './sim-machines.js';
import { SimPlatform } from './sim-platform.js';
import { SimSignals } from './sim-signals.js';
import { Place, type World } from './world.js';

let launches = 0;

export class SimRuntime {
  readonly range: ShardRange;
  readonly #world: World;
  readonly #options: Checked;
  #module: string | undefined;
  #platform: SimPlatform | undefined;
  #runtime: Runtime | undefined;
  #shard: Shard | undefined; // its shard 0
  #started: Promise<void> | undefined;

  /** `options`: but for the shards and the module, which `range` has. */
  constructor(world: World, options: Checked, range: ShardRange) {
    this.#world = world;
    this.#options = options;
    this.#module = range.module;
    this.range = range;
  }

  /** The place of its shard 0. */
  get first(): Place {
    return this.#world.places[this.range.base] as Place;
  }

  get platform(): SimPlatform {
    return this.#platform as SimPlatform;
  }

  get runtime(): Runtime {
    return this.#runtime as Runtime;
  }

  /** The place of one of its shards. */
  place(shard: number): Place {
    return this.#world.places[this.range.base + shard] as Place;
  }

  /** A thread that becomes shard 0. */
  addFirst(life: number): Place {
    const place = new Place(this.#world, this.range.base, life, this.range);
    this.#world.places[this.range.base] = place;
    return place;
  }

  /** Starts it, or starts it again when it is dead: its shard 0 in a new thread, and that one the others. */
  start(): Promise<void> {
    const first = this.addFirst(++this.#world.threads);
    this.#world.note('spawn', first.index);
    const starting = runIn(this.#world, first, () => this.launch());
    this.#started = starting.catch(() => this.kill()); // a process that does not start ends
    return starting;
  }

  /** Code of shard 0's thread: starts all shards, as Runtime.start() does. */
  async launch(): Promise<void> {
    const place = this.#world.current as Place;
    const options = { ...this.#options, shards: this.range.count, module: this.#module };
    const memories = makeMemory(options.shards, options.limits, options.sharedBytes);
    const signals = new SimSignals(this.#world, place, this.#endBySignal);
    place.signals = signals;
    const platform = new SimPlatform(this.#world, options, memories, ++launches, place, signals);
    this.#platform = platform;
    const pinning = { cpus: [], text: 'simulated' };
    this.#runtime = (await Runtime.launch<UntypedModule>(options, memories, platform, pinning)) as unknown as Runtime;
    this.#shard = currentShard();
    place.hasStarted = true;
  }

  /** From the program: closes all shards of another runtime, when they have started. Undefined: it is dead. */
  async end(): Promise<CloseReport | undefined> {
    await this.#started;
    const { first } = this;
    if (first.hasEnded) return undefined;
    return runOn(this.#world, first, () => this.close()).catch((error) => {
      if (first.hasEnded) return undefined; // it has died meanwhile
      throw error;
    });
  }

  /** Code of shard 0's thread: closes all shards, in order. */
  async close(): Promise<CloseReport> {
    const report = await this.runtime.close();
    this.#world.reached.collect(this.#shard as Shard);
    const [failure] = this.platform.failures;
    if (failure !== undefined) throw new Error(`onClose failed: ${failure}`);
    return report;
  }

  /** Its shards load another module from the next launch on. */
  useModule(url: string): void {
    this.#module = url;
  }

  /** A signal ends the process: a machine goes on without it, and the program's own is the end of the simulation. */
  readonly #endBySignal = (text: string): void => {
    const { name } = this.range;
    if (name === undefined) throw new FeatherstarError('FEATHERSTAR_SIMULATION', text);
    this.#world.remark(`${name}: ${text}`);
    this.kill();
  };

  /** The process ends in the middle of whatever it does: all shards at once. Its kernel closes what they had open. */
  kill(): void {
    for (let shard = 0; shard < this.range.count; shard++) this.#world.endNow(this.place(shard));
  }
}
