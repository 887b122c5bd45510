// The machines of a simulated world: which shard is on which, what they are called, and between which of them the cable
// is cut. Without names everything is one machine, whatever address is asked for.

import { optionError, resolveError } from '../base/errors.js';
import { type Checks, checkOptions, checkUrl, integer } from '../base/options.js';
import { SHARDS_MAX } from '../core/layout.js';
import { isAny, isLoopback } from './sim-addresses.js';

/** No machine has this address. */
export const NOWHERE = -1;

/** A machine's date: `offsetMs` ahead at `sinceNs`, and faster by `driftPpm` from then on. */
interface MachineClock {
  readonly offsetMs: number;
  readonly driftPpm: number;
  readonly sinceNs: number;
}

/** A machine of `hosts` that has a runtime of its own. */
export interface SimHostOptions {
  /** How many shards its runtime has, 1 to 64. Default 1. */
  shards?: number | undefined;
  /** The shard module of its runtime. */
  module?: URL | string | undefined;
}

/** Machines by their names: each has shards of the program's runtime, or a runtime of its own. */
export type SimHosts = Readonly<Record<string, readonly number[] | SimHostOptions>>;

/** The shards of one runtime. */
export interface ShardRange {
  /** The machine's name; undefined: the program's runtime. */
  readonly name: string | undefined;
  /** The place of its shard 0 in the world. */
  readonly base: number;
  readonly count: number;
  readonly module: string | undefined;
}

const HOST_CHECKS: Checks<SimHostOptions> = { shards: integer(1, SHARDS_MAX), module: checkUrl };

const isList = (host: SimHosts[string]): host is readonly number[] => Array.isArray(host);

function checkHost(name: string, host: SimHostOptions, wanted: string): SimHostOptions {
  if (typeof host === 'object' && host !== null) return checkOptions(host, HOST_CHECKS, `hosts.${name}`);
  throw optionError(`hosts.${name}`, host, `${wanted}, or an object with shards and module`);
}

export class Machines {
  /** The runtimes of machines that have one of their own. */
  readonly ranges: ShardRange[] = [];
  readonly #names: string[];
  readonly #ofShard: number[];
  readonly #cut = new Set<string>();
  /** The ways on which everything waits. */
  readonly #heldWays = new Set<string>();
  readonly #off = new Set<number>();
  readonly #clocks = new Map<number, MachineClock>();
  readonly #held = new Map<string, (() => void)[]>();
  readonly #watchers = new Map<string, Set<() => void>>();

  /** `hosts`: the shards of each machine by its name. Shards without one are on a machine without a name. */
  constructor(hosts: SimHosts, shards: number) {
    this.#names = Object.keys(hosts);
    this.#ofShard = new Array(shards).fill(this.#names.length);
    const seen = new Set<number>();
    const wanted = `an array of shards from 0 to ${shards - 1}, each on one host`;
    for (const [name, those] of Object.entries(hosts)) {
      if (!isList(those)) {
        this.#addRange(name, checkHost(name, those, wanted));
        continue;
      }
      for (const shard of those) {
        const isFine = Number.isInteger(shard) && shard >= 0 && shard < shards && !seen.has(shard);
        if (!isFine) throw optionError(`hosts.${name}`, shard, wanted);
        seen.add(shard);
        this.#ofShard[shard] = this.#names.indexOf(name);
      }
    }
  }

  #addRange(name: string, { shards = 1, module }: SimHostOptions): void {
    const base = this.#ofShard.length;
    const machine = this.#names.indexOf(name);
    for (let i = 0; i < shards; i++) this.#ofShard.push(machine);
    this.ranges.push({ name, base, count: shards, module: module === undefined ? undefined : String(module) });
  }

  of(shard: number): number {
    return this.#ofShard[shard] as number;
  }

  /** A shard's number in its runtime. */
  numberOfShard(shard: number): number {
    return shard - (this.ranges.findLast(({ base }) => base <= shard)?.base ?? 0);
  }

  shardsOf(machine: number): number[] {
    return [...this.#ofShard.keys()].filter((shard) => this.of(shard) === machine);
  }

  /** The machine of that name. */
  numberOf(name: string): number {
    const number = this.#names.indexOf(name);
    if (number < 0) throw optionError('host', name, `one of ${this.#names.join(', ')}`);
    return number;
  }

  /** The address of a name. */
  resolve(name: string): string {
    if (this.#names.length === 0 || name === 'localhost') return '127.0.0.1';
    const number = this.#names.indexOf(name);
    if (number >= 0) return `10.0.0.${number + 1}`;
    throw resolveError(name);
  }

  /** The machine with that address, as seen from a machine; NOWHERE. */
  at(address: string, from: number): number {
    if (this.#names.length === 0 || isLoopback(address) || address.startsWith('unix:')) return from;
    const number = Number(/^10\.0\.0\.(\d+)$/.exec(address)?.[1]) - 1;
    return number >= 0 && number < this.#names.length ? number : NOWHERE;
  }

  /** Whether sockets there may be bound to it. */
  isOwn(address: string, machine: number): boolean {
    return this.#names.length === 0 || isAny(address) || isLoopback(address) || address === this.addressOf(machine);
  }

  /** Its name for a reader: one of `hosts`, or an address. */
  nameOf(machine: number, address: string): string {
    return this.#names[machine] ?? address;
  }

  addressOf(machine: number): string {
    return this.#names.length === 0 || machine >= this.#names.length ? '127.0.0.1' : `10.0.0.${machine + 1}`;
  }

  // --- partitions ----------------------------------------------------------------------------------------------------

  /** Whether nothing gets from `from` to `to`. */
  isCut(from: number, to: number): boolean {
    if (from !== to && (this.#off.has(from) || this.#off.has(to))) return true;
    return this.#cut.has(way(from, to));
  }

  /** `oneWay`: only from `a` to `b`. */
  cut(a: string, b: string, oneWay: boolean): void {
    const [from, to] = [this.numberOf(a), this.numberOf(b)];
    const ways = oneWay ? [way(from, to)] : [way(from, to), way(to, from)];
    const isNew = ways.some((each) => !this.#cut.has(each));
    for (const each of ways) this.#cut.add(each);
    if (isNew) this.#tellCut(from, to);
  }

  #tellCut(a: number, b: number): void {
    for (const onCut of this.#watchers.get(pair(a, b)) ?? []) onCut();
  }

  /** Calls back at each cut between these two. Returns how to end it. */
  watch(a: number, b: number, onCut: () => void): () => void {
    const key = pair(a, b);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers.add(onCut));
    return () => watchers.delete(onCut);
  }

  /** Packets that were on their way go on. */
  heal(a: string, b: string): void {
    const [from, to] = [this.numberOf(a), this.numberOf(b)];
    this.#cut.delete(way(from, to));
    this.#cut.delete(way(to, from));
    this.#letGo(pair(from, to));
  }

  #letGo(key: string): void {
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const go of held) go();
  }

  isHeld(from: number, to: number): boolean {
    return this.#heldWays.has(way(from, to));
  }

  /** Keeps all messages, from now on. `oneWay`: only from `a` to `b`. */
  holdLink(a: string, b: string, oneWay: boolean): void {
    const [from, to] = [this.numberOf(a), this.numberOf(b)];
    this.#heldWays.add(way(from, to));
    if (!oneWay) this.#heldWays.add(way(to, from));
  }

  releaseLink(a: string, b: string): void {
    const [from, to] = [this.numberOf(a), this.numberOf(b)];
    this.#heldWays.delete(way(from, to));
    this.#heldWays.delete(way(to, from));
    if (!this.isCut(from, to) && !this.isCut(to, from)) this.#letGo(pair(from, to)); // else at the end of the cut
  }

  /** Keeps what arrives at a cut, or where all is held, until that ends, in order. */
  hold(a: number, b: number, go: () => void): void {
    const key = pair(a, b);
    const held = this.#held.get(key) ?? [];
    held.push(go);
    this.#held.set(key, held);
  }

  /** The messages that are held, a line for each pair of machines. They may be all that a program waits for. */
  heldLines(): string[] {
    const nameOf = (machine: string) => this.#names[Number(machine)] ?? 'the machine without a name';
    return [...this.#held].map(([key, { length }]) => {
      const [a, b] = key.split('-').map(nameOf);
      return `${length} messages between ${a} and ${b} are held, until deliver(), heal() or restart()`;
    });
  }

  // --- power and clocks ----------------------------------------------------------------------------------------------

  /** A machine without power neither sends nor gets anything. */
  powerOff(machine: number): void {
    this.#off.add(machine);
    for (let other = 0; other <= this.#names.length; other++) this.#tellCut(machine, other);
  }

  powerOn(machine: number): void {
    this.#off.delete(machine);
    for (let other = 0; other <= this.#names.length; other++) this.#letGo(pair(machine, other));
  }

  isOff(machine: number): boolean {
    return this.#off.has(machine);
  }

  setClock(machine: number, clock: MachineClock): void {
    this.#clocks.set(machine, clock);
  }

  /** How far a machine's date is ahead of the world's, ms. */
  skewMs(machine: number, nowNs: number): number {
    const clock = this.#clocks.get(machine);
    if (clock === undefined) return 0;
    return clock.offsetMs + (((nowNs - clock.sinceNs) / 1e6) * clock.driftPpm) / 1e6;
  }
}

function pair(a: number, b: number): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`;
}

/** The link from one machine to another. */
export function way(from: number, to: number): string {
  return `${from}>${to}`;
}
