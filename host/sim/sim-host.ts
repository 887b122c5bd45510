// A simulated kernel for one shard: the same windows as every host's, with a world behind them that has no clock but
// its own and does nothing but what the seed says.
//
//   world's turn --> step(): enter, core's turn --> microtasks, ticks --> settle(): enter, more to do or asleep
//
// Next: sim-gate.ts, which answers what is submitted.

import { FeatherstarError, systemError } from '../base/errors.js';
import { Control, HostControl } from '../core/layout.js';
import {
  type Bound,
  type DatagramOptions,
  type DoorbellToken,
  type ListenOptions,
  placeOf,
  type ShardHost,
  type Windows,
} from '../hosts/host.js';
import { Errno, PortableWindow } from '../hosts/portable-window.js';
import { SimFiles } from './sim-files.js';
import { SimGate } from './sim-gate.js';
import type { World } from './world.js';

const SUBMIT_COUNT = Control.submitCount >> 2;
const RECYCLE_COUNT = Control.recycleCount >> 2;
const MORE_WORK = Control.moreWork >> 2;
const SUBMIT_ONLY = Control.submitOnly >> 2;
const COMPLETION_COUNT = Control.completionCount >> 2;
const ENTER_RESULT = Control.enterResult >> 2;
const SLEEPING = Control.sleeping >> 2;
const DIRTY = Control.dirty >> 2;
const READY_TAIL = Control.readyTail >> 2;
const READY_HEAD = Control.readyHead >> 2;
const NEXT_DEADLINE_NS = Control.nextDeadlineNs >> 3;
const NOW_NS = Control.nowNs >> 3;
const SEND_BUFFERS_USED = HostControl.sendBuffersUsed >> 2;
const ENTER_COUNT = Control.enterCount >> 3;
const SLEEP_COUNT = Control.sleepCount >> 3;

export class SimHost implements ShardHost {
  readonly name = 'sim';
  readonly sharesPorts = true;
  readonly movesFiles = true;
  readonly fileSlots: number;
  readonly shard: number;
  readonly window: PortableWindow;
  readonly gate: SimGate;
  readonly directories: SimFiles;
  readonly world: World;
  /** It has something to do, or has been woken. */
  isAwake = false;
  isClosed = false;
  readonly #gone = new Set<number>();
  readonly #sendBufferCount: number;
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  #turn: (() => void) | undefined;

  constructor(world: World, windows: Windows) {
    const { memory, base } = windows;
    this.world = world;
    this.shard = windows.shard;
    this.#sendBufferCount = windows.header.sendBufferCount;
    this.#i32 = new Int32Array(memory.buffer, base, 128);
    this.#f64 = new Float64Array(memory.buffer, base, 64);
    this.window = new PortableWindow(windows, this.wake);
    this.gate = new SimGate(this, windows);
    this.fileSlots = this.gate.fileSlots;
    this.directories = new SimFiles(this);
  }

  readonly wake = (): void => {
    this.isAwake = true;
  };

  readonly enter = (): void => {
    const i32 = this.#i32;
    this.#f64[ENTER_COUNT]++;
    if (i32[RECYCLE_COUNT] !== 0) this.window.recycle();
    const count = i32[SUBMIT_COUNT];
    if (count !== 0) this.gate.take(count);
    i32[SUBMIT_COUNT] = 0;
    i32[ENTER_RESULT] = count;
    if (i32[SUBMIT_ONLY] !== 0) return;
    this.window.deliver();
    this.#f64[NOW_NS] = this.world.nowNs;
  };

  start(turn: () => void): void {
    this.#turn = turn;
    this.wake();
  }

  /** What is staged goes out when the turn settles. Between turns nobody may stage anything. */
  poke(): void {
    if (this.world.isRunning(this.shard)) return;
    const text = `something of shard ${this.shard} was used while that shard did not run`;
    const who = "by another shard's code, or by a callback from outside of the simulation";
    throw new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}: ${who}`);
  }

  /** When it has to be woken without any event. */
  get deadlineNs(): number {
    return this.#f64[NEXT_DEADLINE_NS];
  }

  /** The first half of a turn; microtasks and ticks come behind it. Answers the completions that it took. */
  step(): number {
    Atomics.store(this.#i32, SLEEPING, 0);
    this.isAwake = false;
    this.enter();
    const count = this.#i32[COMPLETION_COUNT];
    if (this.#hasWork() || this.#f64[NOW_NS] >= this.#f64[NEXT_DEADLINE_NS]) this.#turn?.();
    return count;
  }

  settle(): void {
    if (this.isClosed) return;
    if (this.#i32[SEND_BUFFERS_USED] >= this.#sendBufferCount) this.world.reached.add('sendBufferCount');
    if (this.#i32[SUBMIT_COUNT] !== 0 || this.#i32[RECYCLE_COUNT] !== 0) this.enter();
    if (this.#hasWork()) {
      this.wake();
      return;
    }
    Atomics.store(this.#i32, SLEEPING, 1); // R1 and R2 of park.ts
    if (this.#isDirty()) {
      Atomics.store(this.#i32, SLEEPING, 0);
      this.wake();
    } else if (!this.isAwake) this.#f64[SLEEP_COUNT]++;
  }

  #hasWork(): boolean {
    const i32 = this.#i32;
    return (
      i32[COMPLETION_COUNT] !== 0 ||
      i32[MORE_WORK] !== 0 ||
      i32[READY_HEAD] !== i32[READY_TAIL] ||
      this.window.pending !== 0 ||
      this.#isDirty()
    );
  }

  #isDirty(): boolean {
    return Atomics.load(this.#i32, DIRTY) !== 0 || Atomics.load(this.#i32, DIRTY + 1) !== 0;
  }

  resolve(hostname: string): string {
    return this.world.machines.resolve(hostname);
  }

  listen(options: ListenOptions): Bound {
    const result = this.gate.listen(options);
    if (typeof result === 'number') throw systemError('listen', result, placeOf(options));
    return result;
  }

  setSocketPath(index: number, path: string | undefined): void {
    this.gate.socketPaths[index] = path;
  }

  bindDatagrams(options: DatagramOptions): Bound {
    const result = this.gate.bindDatagrams(options);
    if (typeof result === 'number') throw systemError('bind', result, placeOf(options));
    return result;
  }

  doorbell(): DoorbellToken {
    return this.shard;
  }

  setPeer(peer: number, token: DoorbellToken | undefined): void {
    if (token === undefined) this.#gone.add(peer);
    else this.#gone.delete(peer);
  }

  /** Rings at a peer. An errno, or 0. */
  ring(peer: number): number {
    if (this.#gone.has(peer)) return Errno.EBADF;
    this.world.ring(this.shard, peer);
    return 0;
  }

  /** A world ends when its program does. */
  ref(): void {}

  unref(): void {}

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isAwake = false;
    this.gate.close();
  }
}
