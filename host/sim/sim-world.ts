// The world as a simulated program uses it.
//
// Next: world.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { type Checks, checkBoolean, checkNumber, checkOptions, checkShard, checkTimeout } from '../base/options.js';
import type { RestartOptions } from '../runtime/restart.js';
import type { Runtime } from '../runtime/runtime.js';
import type { SignalName } from '../runtime/signal-board.js';
import { checkSignalNames } from '../runtime/signals.js';
import { checkFaults, faultChecks, type SimFaults } from './faults.js';
import { LINK_CHECKS, type LinkOptions } from './links.js';
import { runOn } from './run-on.js';
import { SimClient } from './sim-client.js';
import { SimMachine } from './sim-machine.js';
import type { SimRuntime } from './sim-runtime.js';
import { type Place, START_NS, type World } from './world.js';

const CONNECT_TIMEOUT_MS = 5000;

/** Options of `world.connect()`. */
export interface ClientOptions {
  /** The port of the server. */
  port: number;
  /** Default: localhost, which is the machine that it is on. */
  hostname?: string | undefined;
  /** One of `hosts`: the machine that the client is on. Default: the first. */
  from?: string | undefined;
  /** Default 5000. */
  timeoutMs?: number | undefined;
}

/** Options of `world.partition()`. */
export interface PartitionOptions {
  /** Cuts only the way from the first to the second. Default false. */
  oneWay?: boolean | undefined;
}

/** Options of `world.setDisk()`: faults that the disk of a machine has of its own. */
export type DiskOptions = Pick<SimFaults, 'diskUs' | 'diskSlow' | 'diskSlowUs' | 'bitRot' | 'misdirect'>;

const DISK_CHECKS: Checks<DiskOptions> = faultChecks(['diskUs', 'diskSlow', 'diskSlowUs', 'bitRot', 'misdirect']);

const PARTITION_CHECKS: Checks<PartitionOptions> = { oneWay: checkBoolean };

/** The world as a simulated program uses it. */
export class SimWorld {
  readonly #world: World;
  readonly #own: SimRuntime;
  readonly #others: readonly SimRuntime[];
  /** The seed that decides everything. */
  readonly seed: number;
  /** The runtime, as Runtime.start() returns it on shard 0. Only code of shard 0 may use it. */
  readonly runtime: Runtime;

  /** @internal simulate() makes it. */
  constructor(world: World, own: SimRuntime, others: readonly SimRuntime[]) {
    this.#world = world;
    this.#own = own;
    this.#others = others;
    this.seed = world.seed;
    this.runtime = own.runtime;
  }

  /** Time that has passed since the beginning, ms. */
  get elapsedMs(): number {
    return (this.#world.nowNs - START_NS) / 1e6;
  }

  /** Puts a line into the trace, and so into its hash. */
  note(text: string): void {
    this.#world.remark(String(text));
  }

  /**
   * States what is true after each turn of any shard. If `check` returns false or throws, the simulation has failed. It
   * may read what the program's shards hold, and must not call or await anything of a shard.
   */
  invariant(name: string, check: () => boolean): void {
    this.#world.addInvariant(() => {
      const holds: unknown = check();
      if (holds instanceof Promise) throw optionError(`invariant ${JSON.stringify(name)}`, holds, 'a boolean, at once');
      if (holds) return;
      throw new FeatherstarError('FEATHERSTAR_SIMULATION', `invariant ${JSON.stringify(name)} does not hold`);
    });
  }

  /** Runs a function on a shard, as if that shard's code had called it, and resolves with what it returns. */
  on<T>(shard: number, run: () => T | Promise<T>): Promise<T> {
    return runOn(this.#world, this.#place(shard), run);
  }

  /** Kills a shard; not shard 0, which runs the program. The others learn of it a little later. */
  kill(shard: number): void {
    if (shard === 0) throw optionError('shard', shard, 'a shard other than 0');
    this.#world.kill(this.#place(shard));
  }

  /** Calls runtime.restart() on shard 0, as soon as that knows of the shard's death. */
  async restart(shard: number, options: RestartOptions = {}): Promise<void> {
    const place = this.#place(shard);
    await runOn(this.#world, this.#place(0), async () => {
      if (place.hasEnded) await this.#own.platform.ended(shard);
      await this.runtime.restart(shard, options);
    });
  }

  /**
   * The process gets a signal. The simulation fails if that ends the process: if no code listens for it, or if it is
   * the second one (signals.ts).
   */
  signal(name: SignalName): void {
    checkSignalNames([name]);
    this.#own.platform.signals.send(name);
  }

  /** A shard stands still for this long, ms of the world's time. */
  freeze(shard: number, ms: number): void {
    checkNumber('ms', ms, 0, 3_600_000, 'milliseconds');
    this.#world.freeze(this.#place(shard), ms * 1000);
  }

  /**
   * The power fails, everywhere: simulate() resolves with what was until then, and `crashed`. The disks keep what was
   * synced, and of the rest what the seed says; give `disk` to another simulate() to start again. Never resolves.
   */
  crash(): Promise<never> {
    this.#world.crash();
    return new Promise(() => {});
  }

  /**
   * An expectation of a program: `promise` settles within `ms` of the world's time. If it does not, the simulation has
   * failed, and the error says who waits for what, however many timers are pending. Settles as `promise` does.
   */
  within<T>(ms: number, what: string, promise: PromiseLike<T>): Promise<T> {
    checkTimeout('ms', ms);
    return this.#world.waits.within(ms, String(what), promise);
  }

  /** The waits at the moment, a line each: the expectations, and everything that a shard has open. */
  whoWaits(): string[] {
    return this.#world.waits.lines();
  }

  /**
   * Other faults from now on. Faults that are left out are off: `setFaults({})` heals all but what `partition()` has
   * cut.
   */
  setFaults(faults: SimFaults): void {
    this.#world.faults = checkFaults(faults);
    this.note('other faults');
  }

  /** Connects a client that is no shard: a user of a server, who may do as he likes. */
  connect(options: ClientOptions): Promise<SimClient> {
    const { port, hostname = 'localhost', from, timeoutMs = CONNECT_TIMEOUT_MS } = options;
    const { machines, net } = this.#world;
    const own = from === undefined ? 0 : machines.numberOf(from);
    const address = machines.resolve(hostname);
    const machine = machines.at(address, own);
    const target = { machine, address: { hostname: address, port }, find: () => net.find(machine, address, port) };
    return SimClient.connect(this.#world, own, target, timeoutMs);
  }

  /** One of `hosts`: its power, its clock, its shards. */
  host(name: string): SimMachine {
    const runtime = this.#others.find(({ range }) => range.name === name);
    return new SimMachine(this.#world, name, runtime ?? this.#own, (shard) => this.restart(shard));
  }

  /**
   * Cuts the network between two of `hosts`: what is sent is held, and who connects gets ETIMEDOUT after a while.
   * `oneWay`: only from `a` to `b`.
   */
  partition(a: string, b: string, options: PartitionOptions = {}): void {
    const { oneWay = false } = checkOptions(options, PARTITION_CHECKS);
    this.#world.machines.cut(a, b, oneWay);
    this.note(`the network is cut ${oneWay ? 'from' : 'between'} ${a} ${oneWay ? 'to' : 'and'} ${b}`);
  }

  /** Packets that were held arrive now. */
  heal(a: string, b: string): void {
    this.#world.machines.heal(a, b);
    this.note(`the network is whole again between ${a} and ${b}`);
  }

  /**
   * Holds all messages between two of `hosts`, also those that are in flight. None is lost: `deliver()` lets them go
   * on. `oneWay`: only from `a` to `b`.
   */
  hold(a: string, b: string, options: PartitionOptions = {}): void {
    const { oneWay = false } = checkOptions(options, PARTITION_CHECKS);
    this.#world.machines.holdLink(a, b, oneWay);
    this.note(`messages ${oneWay ? 'from' : 'between'} ${a} ${oneWay ? 'to' : 'and'} ${b} are held`);
  }

  /** Messages that are held go on. The seed draws when each arrives; those of a stream keep their order. */
  deliver(a: string, b: string): void {
    this.#world.machines.releaseLink(a, b);
    this.note(`messages between ${a} and ${b} are delivered`);
  }

  /**
   * Gives the link between two of `hosts` faults of its own, in place of the world's. Without options the world's
   * faults are valid again. `setFaults()` does not change them.
   */
  setLink(a: string, b: string, options: LinkOptions = {}): void {
    const { oneWay = false, ...faults } = checkOptions(options, LINK_CHECKS);
    const { machines, links } = this.#world;
    const [from, to] = [machines.numberOf(a), machines.numberOf(b)];
    links.setFaults(from, to, faults);
    if (!oneWay) links.setFaults(to, from, faults);
    this.note(`the link ${oneWay ? 'from' : 'between'} ${a} ${oneWay ? 'to' : 'and'} ${b}: ${JSON.stringify(faults)}`);
  }

  /** Gives the disk of one of `hosts` faults of its own. Without options the world's faults are valid again. */
  setDisk(host: string, options: DiskOptions = {}): void {
    const faults = checkOptions(options, DISK_CHECKS);
    this.#world.diskFaults.set(String(this.#world.machines.numberOf(host)), faults);
    this.note(`the disk of ${host}: ${JSON.stringify(faults)}`);
  }

  #place(shard: number): Place {
    return this.#own.place(checkShard(shard, this.#own.range.count));
  }
}
