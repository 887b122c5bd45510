// A simulated kernel for one shard. It has the same windows as every host. The world behind them has its own clock, and
// the seed decides everything.
//
//   world's turn --> step() --> microtasks, ticks --> settle(): more to do or asleep      both: host/hosts/turn.ts
//
// Next: sim-gate.ts, which performs the submissions.

import { FeatherstarError, systemError } from '../base/errors.js';
import { Errno } from '../core/kernel.js';
import { HostControl } from '../core/layout.js';
import {
  type Bound,
  type DatagramOptions,
  type DoorbellToken,
  type HostListenOptions,
  type NetAddress,
  type Parking,
  placeOf,
  type ShardHost,
  type Windows,
} from '../hosts/host.js';
import { PortableWindow } from '../hosts/portable-window.js';
import { HostTurn } from '../hosts/turn.js';
import { Descriptors } from './descriptors.js';
import { DiskCalls } from './disk-calls.js';
import { SimFiles } from './sim-files.js';
import { SimGate } from './sim-gate.js';
import type { Place, World } from './world.js';

const SEND_BUFFERS_USED = HostControl.sendBuffersUsed >> 2;

export class SimHost implements ShardHost {
  readonly name = 'sim';
  readonly sharesPorts = true;
  readonly movesFiles = true;
  readonly keepsLentBytes = false;
  readonly fileSlots: number;
  /** The shard's place in the world, and that of its runtime's shard 0. */
  readonly shard: number;
  readonly #base: number;
  readonly window: PortableWindow;
  readonly gate: SimGate;
  readonly disk: DiskCalls;
  /** Of node:fs. */
  readonly descriptors = new Descriptors();
  readonly directories: SimFiles;
  readonly world: World;
  /** It has something to do, or has been woken. */
  isAwake = false;
  isClosed = false;
  readonly #gone = new Set<number>();
  readonly #sendBufferCount: number;
  readonly control: Int32Array;
  /** All of linear memory, and the word at which the message stands that is to be sent. */
  readonly words: Int32Array;
  readonly bytes: Buffer;
  readonly outgoing: number;
  readonly turn: HostTurn;
  /** The turn's own: the core imports it as it is. */
  readonly enter: () => void;

  constructor(world: World, windows: Windows, { index, range }: Place) {
    const { memory, base } = windows;
    this.world = world;
    this.shard = index;
    this.#base = range.base;
    this.#sendBufferCount = windows.header.sendBufferCount;
    this.control = new Int32Array(memory.buffer, base, 128);
    this.words = new Int32Array(memory.buffer);
    this.bytes = Buffer.from(memory.buffer);
    this.outgoing = (base + windows.header.outgoingOffset) >>> 2;
    this.window = new PortableWindow(windows, this.wake);
    this.gate = new SimGate(this, windows);
    this.fileSlots = this.gate.fileSlots;
    this.disk = new DiskCalls(world, index);
    this.directories = new SimFiles(this);
    this.turn = new HostTurn(
      windows,
      this.window,
      (count) => this.gate.take(count),
      () => world.nowNs,
    );
    this.enter = this.turn.enter;
  }

  readonly wake = (): void => {
    this.isAwake = true;
  };

  start(turn: () => void, core: Parking): void {
    this.turn.start(turn, core);
    this.wake();
  }

  /** Staged operations go out when the turn settles. Between turns no code may stage anything. */
  poke(): void {
    if (this.world.mayStage(this.shard)) return;
    const text = `something of shard ${this.shard} was used while that shard did not run`;
    const who = "by another shard's code, or by a callback from outside of the simulation";
    throw new FeatherstarError('FEATHERSTAR_SIMULATION', `${text}: ${who}`);
  }

  /** When it has to be woken without any event. */
  get deadlineNs(): number {
    return this.turn.deadlineNs;
  }

  /** The first half of a turn; microtasks and ticks come behind it. Returns how many completions it found. */
  step(): number {
    this.isAwake = false;
    return this.turn.begin();
  }

  settle(): void {
    if (this.isClosed) return;
    if ((this.control[SEND_BUFFERS_USED] as number) >= this.#sendBufferCount) this.world.reached.add('sendBufferCount');
    if (!this.turn.settle()) this.wake();
  }

  resolve(hostname: string): string {
    return this.world.machines.resolve(hostname);
  }

  listen(options: HostListenOptions): Bound {
    const result = this.gate.listen(options);
    if (typeof result === 'number') throw systemError('listen', result, placeOf(options));
    return result;
  }

  remoteOf(file: number): NetAddress | undefined {
    return this.gate.remoteOf(file);
  }

  localOf(file: number): NetAddress | undefined {
    return this.gate.localOf(file);
  }

  setSocketPath(index: number, path: string | undefined): void {
    this.gate.socketPaths[index] = path;
  }

  bindDatagrams(options: DatagramOptions): Bound {
    const result = this.gate.bindDatagrams(options);
    if (typeof result === 'number') throw systemError('bind', result, placeOf(options));
    return result;
  }

  /** The host of another shard of its runtime, if that lives. */
  peer(shard: number): SimHost | undefined {
    return this.world.hostOf(this.#base + shard);
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
    this.world.ring(this.shard, this.#base + peer);
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
    this.descriptors.closeAll();
  }

  /** Lets go of the world, as Shard.forget() does of all memory. */
  forget(): void {
    for (const key of Reflect.ownKeys(this)) Reflect.set(this, key, undefined);
  }
}
