// One of the machines of a simulated world, as its program uses it: its power, its clock, its shards.
//
//   running --crash()--> off: unsynced writes are lost, peers hear nothing --restart()--> running
//
// Next: sim-machines.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkNumber, checkOptions, checkUrl, number } from '../base/options.js';
import type { SignalName } from '../runtime/signal-board.js';
import { checkSignalNames } from '../runtime/signals.js';
import { runOn } from './run-on.js';
import type { SimRuntime } from './sim-runtime.js';
import type { Place, World } from './world.js';

const OFFSET_MAX_MS = 3.2e11; // ten years
const DRIFT_MAX_PPM = 500_000;
const FREEZE_MAX_MS = 3_600_000;

/** Options of `setClock()` of a machine. */
export interface SimClockOptions {
  /** How far the machine's date is ahead now, ms. Negative: behind. Default 0. */
  offsetMs?: number | undefined;
  /** How much faster the machine's date goes from now on, millionths. Negative: slower. Default 0. */
  driftPpm?: number | undefined;
}

/** Options of `restart()` of a machine. */
export interface SimMachineRestartOptions {
  /** Another version of the shard module, which exports functions of the same names. Default: the one from before. */
  module?: URL | string | undefined;
}

const CLOCK_CHECKS: Checks<SimClockOptions> = {
  offsetMs: number(-OFFSET_MAX_MS, OFFSET_MAX_MS),
  driftPpm: number(-DRIFT_MAX_PPM, DRIFT_MAX_PPM),
};
const RESTART_CHECKS: Checks<SimMachineRestartOptions> = { module: checkUrl };

/** A machine of `hosts`: `world.host(name)` returns it. */
export class SimMachine {
  /** The machine's name. */
  readonly name: string;
  readonly #world: World;
  readonly #runtime: SimRuntime;
  readonly #number: number;
  readonly #isOwn: boolean;
  readonly #restart: (shard: number) => Promise<void>;

  /** @internal world.host() makes it. `restart`: restarts a shard of the program's runtime. */
  constructor(world: World, name: string, runtime: SimRuntime, restart: (shard: number) => Promise<void>) {
    this.#world = world;
    this.#runtime = runtime;
    this.#restart = restart;
    this.#number = world.machines.numberOf(name);
    this.#isOwn = runtime.range.name === name;
    this.name = name;
  }

  /** The shards on this machine, by their numbers in their runtime. */
  get shards(): number[] {
    const { machines } = this.#world;
    return machines.shardsOf(this.#number).map((shard) => machines.numberOfShard(shard));
  }

  /**
   * Runs a function on a shard of this machine, as if that shard's code had called it. Resolves with what it returns.
   * Rejects with FEATHERSTAR_PEER_DOWN if the shard is dead, or dies before the function has ended.
   */
  on<T>(shard: number, run: () => T | Promise<T>): Promise<T> {
    return runOn(this.#world, this.#place(shard), run);
  }

  /**
   * Kills a shard. On a machine with a runtime of its own, shard 0 is the main thread. So its process ends with all
   * shards, and the kernel closes the sockets and files. `restart()` starts it again. Throws FEATHERSTAR_OPTION for the
   * shard that runs the program.
   */
  kill(shard: number): void {
    const place = this.#place(shard);
    if (shard !== 0) this.#world.kill(place);
    else if (this.#isOwn) this.#runtime.kill();
    else throw optionError('shard', shard, 'a shard other than 0, which runs the program');
  }

  /**
   * The power fails. The shards of this machine end, and writes that were not synced may be lost. Peers on other
   * machines hear nothing. The machine of the program cannot crash: then use `world.crash()`.
   */
  crash(): void {
    if (!this.#isOwn && this.shards.includes(0)) {
      throw optionError('host', this.name, 'a machine without shard 0 of the program');
    }
    this.#world.remark(`${this.name} loses power`);
    this.#world.powerOff(this.#number);
  }

  /**
   * The power is back, and the shards start again on what the disk has kept. So does a process that was killed.
   * Resolves when all shards run.
   */
  async restart(options: SimMachineRestartOptions = {}): Promise<void> {
    const { module } = checkOptions(options, RESTART_CHECKS);
    const { machines } = this.#world;
    if (!this.shards.every((shard) => this.#place(shard).hasEnded)) {
      throw new FeatherstarError('FEATHERSTAR_STATE', `the machine ${this.name} has power: crash() takes it`);
    }
    const isOff = machines.isOff(this.#number);
    this.#world.remark(`${this.name} ${isOff ? 'has power again' : 'starts its process again'}`);
    if (isOff) machines.powerOn(this.#number);
    if (this.#isOwn) {
      if (module !== undefined) this.#runtime.useModule(String(module));
      await this.#runtime.start();
      return;
    }
    for (const shard of this.shards) {
      if (module !== undefined) this.#runtime.platform.useModule(shard, String(module));
      await this.#restart(shard);
    }
  }

  /**
   * The process of this machine gets a signal. Without a listener it ends, as by `kill(0)`. Throws FEATHERSTAR_OPTION
   * if the machine has no runtime of its own: `world.signal()` is for the program's process.
   */
  signal(name: SignalName): void {
    checkSignalNames([name]);
    if (!this.#isOwn)
      throw optionError('host', this.name, 'a machine with a runtime of its own, or use world.signal()');
    if (this.#runtime.first.hasEnded) {
      throw new FeatherstarError('FEATHERSTAR_STATE', `the process of ${this.name} has ended: restart() starts it`);
    }
    this.#runtime.platform.signals.send(name);
  }

  /** All shards of this machine stand still for this long, ms of the world's time. */
  freeze(ms: number): void {
    checkNumber('ms', ms, 0, FREEZE_MAX_MS, 'milliseconds');
    for (const shard of this.shards) this.#world.freeze(this.#place(shard), ms * 1000);
  }

  /**
   * Sets the machine's clock: what `Date` shows there. Timers and `performance.now()` go on as before, as those of a
   * kernel do. A later call is a step of the clock.
   */
  setClock(options: SimClockOptions): void {
    const { offsetMs = 0, driftPpm = 0 } = checkOptions(options, CLOCK_CHECKS);
    this.#world.remark(`${this.name} has its clock set: ${offsetMs} ms, ${driftPpm} ppm`);
    this.#world.machines.setClock(this.#number, { offsetMs, driftPpm, sinceNs: this.#world.nowNs });
  }

  #place(shard: number): Place {
    if (this.shards.includes(shard)) return this.#runtime.place(shard);
    throw optionError('shard', shard, `a shard of the machine ${this.name}: ${this.shards.join(', ')}`);
  }
}
