// One of the machines of a simulated world, as its program uses it: its power, its clock, its shards.
//
//   running --crash()--> off: unsynced writes are lost, peers hear nothing --restart()--> running
//
// Next: sim-machines.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkNumber, checkOptions, checkUrl, number } from '../base/options.js';
import type { SimPlatform } from './sim-platform.js';
import type { World } from './world.js';

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
  readonly #platform: SimPlatform;
  readonly #number: number;
  readonly #restart: (shard: number) => Promise<void>;

  /** @internal world.host() makes it. */
  constructor(world: World, platform: SimPlatform, name: string, restart: (shard: number) => Promise<void>) {
    this.#world = world;
    this.#platform = platform;
    this.#restart = restart;
    this.#number = world.machines.numberOf(name);
    this.name = name;
  }

  /** The shards on this machine. */
  get shards(): number[] {
    return this.#world.machines.shardsOf(this.#number);
  }

  /**
   * The power fails. The shards of this machine end, and writes that were not synced may be lost. Peers on other
   * machines hear nothing. The machine of shard 0 cannot crash, as it runs the program: then use `world.crash()`.
   */
  crash(): void {
    if (this.shards.includes(0)) throw optionError('host', this.name, 'a machine without shard 0');
    this.#world.remark(`${this.name} loses power`);
    this.#world.powerOff(this.#number);
  }

  /** The power is back: the shards start again on what the disk has kept. */
  async restart(options: SimMachineRestartOptions = {}): Promise<void> {
    const { module } = checkOptions(options, RESTART_CHECKS);
    if (!this.shards.every((shard) => this.#world.places[shard]?.hasEnded)) {
      throw new FeatherstarError('FEATHERSTAR_STATE', `the machine ${this.name} has power: crash() takes it`);
    }
    this.#world.remark(`${this.name} has power again`);
    this.#world.machines.powerOn(this.#number);
    for (const shard of this.shards) {
      if (module !== undefined) this.#platform.useModule(shard, String(module));
      await this.#restart(shard);
    }
  }

  /** All shards of this machine stand still for this long, ms of the world's time. */
  freeze(ms: number): void {
    checkNumber('ms', ms, 0, FREEZE_MAX_MS, 'milliseconds');
    const { places } = this.#world;
    for (const shard of this.shards) this.#world.freeze(places[shard] as (typeof places)[number], ms * 1000);
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
}
