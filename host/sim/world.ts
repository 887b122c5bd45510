// A simulated world: its time, its chance, its shards, and the one loop that gives each its turn.
//
//   pump: pick a shard that has something to do --> its turn, or a timer of its JavaScript
//           ^                                              | microtasks
//           |                                              v
//           +---- none left: settle, leave the shard <-- tick: pump; all process.nextTick's of the program
//
// All shards share one thread, and with it one queue of microtasks. So a shard's turn is not over before that queue is
// empty, and only then is another shard the current one. Ticks say when it is (steps.ts has the reason); they are this
// thread's own, so the world takes the program's for itself (globals.ts). When no shard has anything to do, time jumps
// to the next event. If there is none, the program can never end, and that is reported at once.
//
// Invariant: what is picked, and when things happen, comes from `random`, `calendar` and the shards' own memory. Never
// from a clock, a timer or an order that the engine is free in.
//
// Next: simulate.ts.

import type { EventEmitter } from 'node:events';
import { FeatherstarError } from '../base/errors.js';
import { SHARDS_MAX } from '../core/layout.js';
import { findRuntime, setRuntime, type WorkerRuntime } from '../runtime/runtime.js';
import { enterShard, findShard, type Shard } from '../shard/shard.js';
import { Calendar, type Entry } from './calendar.js';
import type { Choices } from './choices.js';
import { type Faults, OwnFaults } from './faults.js';
import { Links } from './links.js';
import { Loads } from './loads.js';
import { Random } from './random.js';
import { Reached } from './reached.js';
import { real } from './real.js';
import { DatagramNet } from './sim-datagrams.js';
import type { SimDisk } from './sim-disk.js';
import { SimHost } from './sim-host.js';
import type { Machines, ShardRange } from './sim-machines.js';
import { SimNet } from './sim-net.js';
import type { SimSignals } from './sim-signals.js';
import { type EventName, opcodeName, type Subject, type Trace } from './trace.js';
import { hasOpenOperations, Waits } from './waits.js';
import { tellTurn } from './watchdog.js';

export const START_NS = 1e12;
const LOOK_NS = 100; // what reading the clock takes: a loop that waits for a short time ends
/** A synchronous call of node:fs counts as so many looks at the clock. */
export const FILE_LOOKS = 20;
const LOOKS_MAX = 1_000_000; // in one turn: such a loop waits for a long time, or for ever
const TURN_US = 20;
const RING_US = 30;
const RING_SLOW_US = 500;
const RING_SLOW = 0.15; // how often
const FAR = 0.25; // shards to which a doorbell always takes long: chance that is even makes extremes too rare
const RINGS = Array.from({ length: SHARDS_MAX }, (_, shard) => `time of the doorbell of shard ${shard}, ns`);
const PUMPS_MAX = 256; // then the thread's own loop comes round

/** Events by which a program gets on; timers, and turns that bring nothing, are none. */
const PROGRESS: Partial<Record<EventName, boolean>> = {
  complete: true,
  rung: true,
  arrive: true,
  fin: true,
  reset: true,
  disk: true,
  file: true,
  sync: true,
  exit: true,
};

/** One thread in the world, and the shard that it becomes. */
export class Place {
  /** Its place in the world. */
  readonly index: number;
  /** The shards of its runtime, and its own number among them. */
  readonly range: ShardRange;
  readonly number: number;
  /** The name of its shard, for a reader. */
  readonly label: string;
  /** A number that no other thread of this world has. */
  readonly life: number;
  /** The shard that the thread is, from when it has made it until it has closed it. */
  shard: Shard | undefined;
  runtime: WorkerRuntime | undefined;
  /** The shard's host, from when that was made. */
  host: SimHost | undefined;
  /** The exports of the shard module, by the numbers that calls use. */
  functions: readonly string[] = [];
  isFrozen = false;
  /** Shard 0 knows that it runs. */
  hasStarted = false;
  /** The thread takes no more turns: it was killed, or has ended in order. */
  hasEnded = false;
  /** The process's signals, if its thread is a runtime's first. */
  signals: SimSignals | undefined;
  signalEvents: EventEmitter | undefined;
  /** The listeners for other events of the process that its code has added, by events. */
  processListeners: (readonly [event: string | symbol, listener: (...args: unknown[]) => void])[] = [];
  /** The thread is gone, with all that the kernel had open for it. */
  onGone: ((exitCode: number) => void) | undefined;
  readonly isFar: boolean;
  /** The names of its choices. */
  readonly turnText: string;
  readonly spuriousText: string;
  readonly jobText: string;
  readonly nextText: string;
  readonly randomText: string;
  readonly randomLowText: string;
  /** Functions that run when the microtasks are through. */
  readonly ticks: (() => void)[] = [];
  /** Functions that wait for a turn of their own: timers of JavaScript that are due. */
  readonly jobs: (() => void)[] = [];
  /** The waits for functions that this shard runs. */
  readonly mourners = new Set<() => void>();

  constructor(world: World, index: number, life: number, range: ShardRange) {
    this.index = index;
    this.life = life;
    this.range = range;
    this.number = index - range.base;
    const label = range.name === undefined ? `shard ${this.number}` : `shard ${this.number} of ${range.name}`;
    this.label = label;
    this.turnText = `how long the turn of ${label} takes, µs`;
    this.spuriousText = `fault: a spurious turn of ${label}`;
    this.jobText = `${label} runs a timer of JavaScript first`;
    this.nextText = `${label} is next, before those with lower numbers`;
    this.randomText = `Math.random() of ${label}`;
    this.randomLowText = `the low bits of Math.random() of ${label}`;
    this.isFar = world.random.chance(FAR, `${label} is far from all others`);
  }
}

export interface WorldLimits {
  readonly maxTurns: number;
  readonly maxNs: number;
  /** The program has failed when only timers have happened for so long, and in so many turns. */
  readonly quietNs: number;
  readonly quietTurns: number;
  /** How long a module may take to load, in real time; 0: for ever. */
  readonly stallMs: number;
}

/** The parts of a world. */
export interface WorldParts {
  readonly seed: number;
  readonly faults: Faults;
  readonly machines: Machines;
  readonly disk: SimDisk;
  readonly trace: Trace;
  readonly limits: WorldLimits;
  /** Where its choices are recorded, and may be others. */
  readonly choices: Choices | undefined;
}

export class World {
  readonly seed: number;
  readonly random: Random;
  /** Another stream: what a program draws does not change what happens to it. */
  readonly fortune: Random;
  readonly calendar = new Calendar();
  readonly trace: Trace;
  /** Sets the faults from now on. */
  faults: Faults;
  readonly net: SimNet;
  readonly datagrams: DatagramNet;
  readonly machines: Machines;
  readonly links: Links;
  readonly loads: Loads;
  readonly disk: SimDisk;
  /** The date at which this world begins. */
  readonly epochMs: number;
  /** By the number of the machine. */
  readonly diskFaults = new OwnFaults(this);
  readonly waits = new Waits(this);
  readonly reached = new Reached();
  /** How often each `sometimes()` held. */
  readonly sometimes = new Map<string, number>();
  /** The names of `buggify()` that were asked for, and whether they are on. */
  readonly buggified = new Map<string, boolean>();
  /** Functions that take back at the end of the world what the program has changed in the process. */
  readonly undos: (() => void)[] = [];
  isCrashed = false;
  readonly places: Place[] = [];
  /** How many threads have been started. */
  threads = 0;
  /** All that there have been. */
  readonly shards = new Set<Shard>();
  nowNs = START_NS;
  turns = 0;
  current: Place | undefined;
  readonly #limits: WorldLimits;
  readonly #settled = Promise.resolve();
  #pumps = 0;
  #progressNs = START_NS; // when something happened that was no timer
  #progressTurns = 0;
  #looks = 0; // at the clock, in this turn
  readonly #invariants: (() => void)[] = [];
  #isDone = false; // the program is: nothing of it goes on
  #isOver = false; // and its outcome is told
  #end: { resolve: () => void; reject: (error: unknown) => void } | undefined;

  constructor({ seed, faults, machines, disk, trace, limits, choices }: WorldParts) {
    this.seed = seed;
    this.machines = machines;
    this.disk = disk;
    this.epochMs = disk.epochMs;
    this.random = new Random(seed, 0, choices);
    this.fortune = new Random(seed, 1, choices);
    this.trace = trace;
    this.faults = faults;
    this.#limits = limits;
    this.loads = new Loads(this, limits.stallMs);
    this.links = new Links(this, new OwnFaults(this));
    this.net = new SimNet(this);
    this.datagrams = new DatagramNet(this);
  }

  // --- time and chance -----------------------------------------------------------------------------------------------

  /** The clock of the whole world. */
  readonly readNs = (): number => {
    this.nowNs += LOOK_NS;
    return this.nowNs;
  };

  /**
   * The clock as a program reads it. Code of no shard, as a test runner's, does not change it. `weight`: how many looks
   * it counts for, in a turn that does not end.
   */
  look(weight = 1): number {
    const place = this.current;
    if (place === undefined) return this.nowNs;
    this.#looks += weight;
    if (this.#looks > LOOKS_MAX) {
      const often = `read the clock ${LOOKS_MAX} times, or called node:fs ${LOOKS_MAX / FILE_LOOKS} times,`;
      const what = `a turn of ${place.label} has ${often} and does not end`;
      const error = new FeatherstarError(
        'FEATHERSTAR_SIMULATION',
        `${what}: time passes between turns, so use sleep()`,
      );
      this.fail(error); // also if the program catches it
      throw error;
    }
    return this.readNs();
  }

  /** The date of the machine of a shard, ms; without a shard, the world's. */
  dateMs(shard: number | undefined): number {
    const skewMs = shard === undefined ? 0 : this.machines.skewMs(this.machines.of(shard), this.nowNs);
    return this.epochMs + (this.nowNs - START_NS) / 1e6 + skewMs;
  }

  note(kind: EventName, shard: number, first?: number, second?: number, subject?: Subject): void {
    if (PROGRESS[kind]) this.#progress();
    this.trace.add(kind, this.nowNs, shard, first, second, subject);
  }

  /** Puts a line of the program, or about a machine, into the trace. */
  remark(text: string): void {
    this.trace.note(this.nowNs, this.current?.index ?? -1, text);
  }

  #progress(): void {
    this.#progressNs = this.nowNs;
    this.#progressTurns = this.turns;
  }

  /** Runs `then` within `mostUs` from now, and `leastUs` at the earliest. */
  after(mostUs: number, then: () => void, leastUs = 0, what = 'how long something takes, ns'): Entry {
    return this.calendar.add(this.nowNs + leastUs * 1000 + this.random.below(mostUs * 1000 + 1, what), then);
  }

  /** Whether this fault strikes now. */
  fault(name: keyof Faults, shard: number, opcode: number, errno: number, faults = this.faults): boolean {
    const share = faults[name];
    if (share <= 0 || !this.random.chance(share, `fault: ${name}`)) return false;
    this.note('fault', shard, opcode, errno, name);
    return true;
  }

  /** The errno with which the kernel refuses an operation now, one of those that it can have; 0: none. */
  drawErrno(shard: number, opcode: number, errnos: readonly number[] | undefined): number {
    if (errnos === undefined || this.faults.errno <= 0) return 0;
    if (!this.random.chance(this.faults.errno, `fault: ${opcodeName(opcode)} fails`)) return 0;
    const errno = errnos[this.random.below(errnos.length, 'the errno')] as number;
    this.note('fault', shard, opcode, errno, 'errno');
    return errno;
  }

  /** Runs after each turn. If it throws, the simulation has failed. */
  addInvariant(check: () => void): void {
    this.#invariants.push(check);
  }

  #checkInvariants(): void {
    for (const check of this.#invariants) check();
  }

  // --- shards --------------------------------------------------------------------------------------------------------

  /** Whether a shard may stage something now. */
  mayStage(shard: number): boolean {
    return this.current?.index === shard || this.loads.mayStage(shard);
  }

  hostOf(shard: number): SimHost | undefined {
    const place = this.places[shard];
    return place === undefined || place.hasEnded ? undefined : place.host;
  }

  ring(from: number, peer: number): void {
    this.note('ring', from, peer);
    const isSlow = this.places[peer]?.isFar || this.random.chance(RING_SLOW, 'a doorbell is slow');
    this.after(
      isSlow ? RING_SLOW_US : RING_US,
      () => {
        const host = this.hostOf(peer);
        if (host === undefined) return;
        this.note('rung', peer);
        host.wake();
      },
      0,
      RINGS[peer],
    );
  }

  /** Gives a shard something to do in a turn of its own. */
  post(place: Place, job: () => void): void {
    if (!place.hasEnded) place.jobs.push(job);
  }

  /** A shard stands still. */
  freeze(place: Place, us: number): void {
    if (place.isFrozen || place.hasEnded) return;
    place.isFrozen = true;
    this.note('freeze', place.index, us);
    this.calendar.add(this.nowNs + us * 1000, () => {
      place.isFrozen = false;
      this.note('thaw', place.index);
    });
  }

  /** Something reaches a shard that its program did not send: a message of the runtime, or a signal. */
  tell(place: Place, what: string): void {
    this.#progress();
    this.trace.note(this.nowNs, place.index, what);
  }

  /** A shard's thread ends, wherever it is. Its open operations stay open until its kernel lets go of the thread. */
  kill(place: Place): void {
    if (place.hasEnded) return;
    this.note('die', place.index);
    this.#stopTurns(place);
    const isStuck = this.fault('stuck', place.index, 0, 0);
    if (isStuck) this.after(this.faults.stuckUs, () => this.#free(place, 1));
    else this.#free(place, 1);
  }

  /** The power of one machine fails: its shards are gone at once, and its disk has what it has. */
  powerOff(machine: number): void {
    this.machines.powerOff(machine);
    this.disk.crashOne(machine, this.random);
    for (const place of this.places) {
      if (this.machines.of(place.index) === machine) this.endNow(place);
    }
  }

  /** A shard's thread is gone at once, with all that its kernel had open for it. */
  endNow(place: Place): void {
    if (place.hasEnded) return;
    this.note('die', place.index);
    this.#stopTurns(place);
    this.#free(place, 1);
  }

  /** A shard's thread ends by itself. */
  leave(place: Place): void {
    if (place.hasEnded) return;
    this.note('leave', place.index);
    this.#stopTurns(place);
    this.#free(place, 0);
  }

  #stopTurns(place: Place): void {
    if (place.shard !== undefined) this.reached.collect(place.shard);
    place.hasEnded = true;
    this.loads.drop(place);
    place.jobs.length = 0;
    place.ticks.length = 0;
    for (const mourner of place.mourners) mourner();
  }

  #free(place: Place, exitCode: number): void {
    place.host?.close();
    place.onGone?.(exitCode);
  }

  /** The power fails, for all machines: nothing of what runs goes on, and the disks have what they have. */
  crash(): void {
    if (this.#isDone || this.#isOver) return;
    this.note('crash', this.current?.index ?? -1);
    this.isCrashed = true;
    this.disk.crash(this.random);
    this.finish();
  }

  /** Not every engine forgets a module. So what the variables of shard modules refer to lets go of the world. */
  forget(): void {
    for (const shard of this.shards) {
      const { host } = shard;
      shard.forget();
      if (host instanceof SimHost) host.forget();
    }
    this.shards.clear();
  }

  // --- the loop ------------------------------------------------------------------------------------------------------

  /** Runs until finish() or fail(). */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#end = { resolve, reject };
      this.#pump();
    });
  }

  finish(): void {
    this.#isDone = true;
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isDone = true;
    this.#isOver = true;
    this.#end?.reject(error);
  }

  readonly #succeed = (): void => {
    this.#isOver = true;
    this.#end?.resolve();
  };

  #enter(place: Place): void {
    this.current = place;
    enterShard(place.shard);
    setRuntime(place.runtime);
  }

  #leave(): void {
    const place = this.current;
    if (place !== undefined) {
      const shard = findShard();
      if (shard !== undefined && shard !== place.shard) this.shards.add(shard);
      place.shard = shard;
      place.runtime = findRuntime();
    }
    this.current = undefined;
    enterShard(undefined);
    setRuntime(undefined);
  }

  readonly #arm = (): void => {
    real.nextTick(this.#pump);
  };

  /** All microtasks have run. */
  readonly #pump = (): void => {
    try {
      if (this.#advance()) void this.#settled.then(this.#arm);
    } catch (error) {
      this.#leave();
      this.fail(error);
    }
  };

  /** True: microtasks first, then again. */
  #advance(): boolean {
    const place = this.current;
    if (place !== undefined) {
      if (place.ticks.length !== 0) {
        // As in Node: all ticks, also those that they add, and then the microtasks of all.
        for (let tick = place.ticks.shift(); tick !== undefined; tick = place.ticks.shift()) tick();
        return true;
      }
      if (!place.hasEnded) place.host?.settle();
      this.#leave();
      if (this.#invariants.length !== 0) this.#checkInvariants();
    }
    if (this.#isDone) {
      // Rejections without a handler are reported when the thread's own loop comes round, and are failures until then.
      if (!this.#isOver) real.setImmediate(this.#succeed);
      return false;
    }
    const load = this.loads.next();
    if (load !== undefined) {
      this.#pause(load());
      return false;
    }
    if (++this.#pumps >= PUMPS_MAX) {
      this.#pumps = 0;
      real.setImmediate(this.#pump);
      return false;
    }
    const next = this.#pick();
    if (next === undefined) {
      this.#pause(this.loads.anyModule());
      return false;
    }
    this.#turn(next);
    return true;
  }

  /** The world stands still until something that takes real time is done. */
  #pause(until: Promise<void>): void {
    until.then(
      () => real.setImmediate(this.#pump),
      (error) => this.fail(error),
    );
  }

  #turn(place: Place): void {
    if (++this.turns > this.#limits.maxTurns) this.#stuck(`the program is not done after ${this.turns - 1} turns`);
    this.#looks = 0;
    tellTurn(place.index);
    this.nowNs += this.random.between(1, TURN_US, place.turnText) * 1000;
    const { jobs, host } = place;
    const isDue = host !== undefined && (host.isAwake || this.nowNs >= host.deadlineNs);
    this.#enter(place);
    if (host === undefined || (jobs.length !== 0 && (!isDue || this.random.chance(0.5, place.jobText)))) {
      this.note('job', place.index, jobs.length);
      (jobs.shift() as () => void)();
    } else {
      const count = host.step();
      this.note('turn', place.index, count, jobs.length);
    }
  }

  /** The next shard. Time goes on until there is one. Undefined: a module has to be loaded first. */
  #pick(): Place | undefined {
    for (;;) {
      for (let due = this.calendar.takeDue(this.nowNs); due; due = this.calendar.takeDue(this.nowNs)) due.run();
      const place = this.#choose();
      if (place === undefined) {
        if (!this.#jump()) return undefined;
      } else if (this.random.chance(this.faults.freeze, 'fault: freeze')) {
        this.freeze(place, this.random.between(1, this.faults.freezeUs, 'length of the freeze, µs'));
      } else return place;
    }
  }

  #choose(): Place | undefined {
    let count = 0;
    let chosen: Place | undefined;
    for (const place of this.places) {
      if (place.hasEnded || place.isFrozen) continue;
      // Each of them is equally likely.
      if (this.#isAble(place) && this.random.isFirst(++count, place.nextText)) chosen = place;
    }
    return chosen;
  }

  #isAble(place: Place): boolean {
    const { host, jobs } = place;
    if (jobs.length !== 0) return true;
    if (host === undefined || host.isClosed) return false;
    return (
      host.isAwake || this.nowNs >= host.deadlineNs || this.random.chance(this.faults.spurious, place.spuriousText)
    );
  }

  /** Time goes on. False: a module has to be loaded first. */
  #jump(): boolean {
    let nextNs = this.calendar.nextNs;
    const isHeldByOthers = () => this.calendar.holds('with others') && this.places.some(hasOpenOperations);
    let isAwaited = this.calendar.holds('always') || isHeldByOthers();
    for (const { host, hasEnded, isFrozen } of this.places) {
      if (hasEnded || isFrozen || host === undefined || host.isClosed) continue;
      if (host.deadlineNs === Number.POSITIVE_INFINITY) continue;
      isAwaited = true;
      nextNs = Math.min(nextNs, host.deadlineNs);
    }
    if (!isAwaited && this.loads.hasModules) return false;
    if (!isAwaited) this.#stuck('nothing is left to happen, and the program is not done');
    const { maxNs, quietNs, quietTurns } = this.#limits;
    if (nextNs - START_NS > maxNs) this.#stuck(`the program is not done after ${maxNs / 1e6} ms of its time`);
    if (nextNs - this.#progressNs > quietNs && this.turns - this.#progressTurns > quietTurns) {
      this.#stuck(`nothing but timers has happened for ${quietNs / 1e6} ms, and the program is not done`);
    }
    this.nowNs = Math.max(this.nowNs, nextNs);
    return true;
  }

  #stuck(text: string): never {
    const cause = 'It deadlocked, or waits for something outside of the simulation';
    throw new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}: ${this.waits.text()}\n${cause}`);
  }
}
