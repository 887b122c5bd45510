// The JavaScript half of a shard. The core decides; this half carries its decisions to promises and callbacks.
//
// A turn: core.turn() fills the ready ring; drain() hands each entry to the owner that it names; then what was written
// to peers is published. Microtasks run when the host's callback returns, and behind them JavaScript's tasks, one by
// one (steps.ts); what they stage goes out with the next enter.
//
// Owners are objects with an `onEvent`. They are registered here by number, because the core keeps only a number. Each
// operation, timer and call ends with exactly one last event, so an owner that counts them knows when it may leave.

import { useTimeouts } from '../base/abortable.js';
import { Code, FeatherstarError, fullError } from '../base/errors.js';
import type { Calls } from '../calls/call.js';
import { type Core, type CoreImports, instantiateCore } from '../core/core-module.js';
import { Control, type Header, HostControl, OP_BYTES, ReadyKind, TIMER_BYTES } from '../core/layout.js';
import { type HostFactory, monotonicNs, type ShardHost, type Windows } from '../hosts/host.js';
import type { NetworkRules } from '../net/network-rules.js';
import { blockPool } from './block-pool.js';
import { MemoryChecks } from './memory-checks.js';
import { SendBuffers } from './send-buffers.js';
import { StepMark } from './stall.js';
import { Steps, type TaskName } from './steps.js';
import { Wait } from './wait.js';

export interface Owner {
  /** `tag`: what the owner gave when it asked. OP: result and CQE flags; TIMER: zeros. */
  onEvent(tag: number, result: number, extra: number): void;
  /** The runtime closes and has waited long enough: closes what this owns. Its last events still come. */
  onShutdown?(): void;
  /** What it waits for, if that cannot be taken back from the kernel. */
  waitsFor?(): string;
}

export interface ShardOptions {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** All of the block memory. */
  blocks: ArrayBufferLike;
  header: Header;
  shard: number;
  factory: HostFactory;
  idlePollNs: number;
  quotaNs: number;
  /** A step of a task that takes longer is reported; 0 = none is. */
  stallMs: number;
  /** What becomes of a failed task that nobody awaits. */
  unhandled: 'warn' | 'throw';
  checkMemory: boolean;
  network?: NetworkRules | undefined;
  threadSpawn: CoreImports['threadSpawn'];
}

// Looked up once: Buffer's prototype is in V8's dictionary mode.
const { latin1Slice } = Buffer.prototype;

const MORE_WORK = Control.moreWork >> 2;
const MORE_WORK_TASKS = 1; // assembly/layout.ts, MoreWork
const MORE_WORK_BLOCKED = 4;
const QUOTA_MIN_NS = 1000; // less would be over before the first task
const BIRTHS = HostControl.births >> 2;
const READY_TAIL = Control.readyTail >> 2;
const READY_HEAD = Control.readyHead >> 2;
const SUBMIT_COUNT = Control.submitCount >> 2;
const ENTER_COUNT = Control.enterCount >> 3;
const NOW_NS = Control.nowNs >> 3;

export class Shard {
  readonly index: number;
  readonly core: Core;
  /** JavaScript's tasks. */
  readonly steps: Steps;
  /** Tells other shards which step this one is in. */
  readonly stepMark: StepMark;
  readonly host: ShardHost;
  readonly header: Header;
  readonly base: number;
  readonly memory: WebAssembly.Memory;
  /** All of linear memory. Kernel and peers write it too. */
  readonly bytes: Buffer;
  /** All of the block memory (block-pool.ts). Programs write it, and kernel and peers. */
  readonly blocks: Buffer;
  /** Only if memory is checked. */
  readonly memoryChecks: MemoryChecks | undefined;
  readonly words: Int32Array;
  readonly doubles: Float64Array;
  /** What goes out goes through these. */
  readonly sendBuffers: SendBuffers;
  readonly unhandled: 'warn' | 'throw';
  /** What of the network this shard may reach; undefined: all. */
  readonly network: NetworkRules | undefined;
  /** Numbers by which others know something of this shard's begin here, and higher each time that it is started. */
  readonly numbersFrom: number;
  /** Set by the runtime, on every shard, before the shard module is loaded. */
  calls: Calls | undefined;

  readonly #control: Int32Array;
  readonly #clock: Float64Array;
  readonly #ready: Int32Array;
  readonly #readyMask: number;
  readonly #owners: (Owner | undefined)[] = [undefined];
  readonly #freeOwners: number[] = [];
  #closed = false;
  #inTurn = false;
  #beforeTurn: (() => void)[] = [];

  constructor(options: ShardOptions) {
    const { memory, blocks, header, shard, factory, module } = options;
    this.index = shard;
    this.unhandled = options.unhandled;
    this.memory = memory;
    this.header = header;
    this.base = header.shardsOffset + shard * header.shardBytes;
    this.bytes = Buffer.from(memory.buffer);
    this.blocks = Buffer.from(blocks);
    this.memoryChecks = options.checkMemory ? new MemoryChecks(memory, blocks, header, shard) : undefined;
    this.words = new Int32Array(memory.buffer);
    this.doubles = new Float64Array(memory.buffer);
    this.#control = new Int32Array(memory.buffer, this.base, 128);
    this.numbersFrom = this.#control[BIRTHS] * 2 ** 32 + 1;
    this.#clock = new Float64Array(memory.buffer, this.base, 64);
    this.#ready = new Int32Array(memory.buffer, this.base + header.readyOffset, header.readySlots * 4);
    this.#readyMask = header.readySlots - 1;
    this.sendBuffers = new SendBuffers(this.words, this.#control, this.base, header, () => this.hurry());
    this.#clock[Control.idlePollNs >> 3] = options.idlePollNs;
    this.#clock[Control.quotaNs >> 3] = Math.max(options.quotaNs, QUOTA_MIN_NS);
    const { network } = options;
    this.network = network;
    const windows: Windows = { memory, blocks, header, base: this.base, shard, network };
    this.host = factory.open(windows);
    try {
      this.core = instantiateCore(module, memory, { enter: this.host.enter, threadSpawn: options.threadSpawn });
    } catch (error) {
      this.host.close();
      throw error;
    }
    this.stepMark = new StepMark(memory, this.base);
    this.steps = new Steps(this.core, this.#clock, this.stepMark, shard, options.stallMs * 1e6);
  }

  start(): void {
    const checks = this.memoryChecks;
    const checkedTurn = () => {
      this.turn();
      checks?.turn();
    };
    this.host.start(checks === undefined ? this.turn : checkedTurn, this.core);
  }

  /** One turn. An arrow: the host keeps it as its callback. */
  readonly turn = (): void => {
    if (this.#closed) return;
    const core = this.core;
    this.#inTurn = true;
    try {
      if (this.stepMark.nudge !== undefined) this.stepMark.askForWatch();
      if (this.#beforeTurn.length !== 0) for (const hook of this.#beforeTurn.splice(0)) hook();
      core.turn();
      this.#drain();
      if ((this.#control[MORE_WORK] & MORE_WORK_TASKS) !== 0) this.steps.begin();
    } finally {
      this.#inTurn = false;
      core.flush();
    }
  };

  /** Runs `hook` once, before the next turn looks at what has come; `soon`: and that turn comes at once. */
  beforeNextTurn(hook: () => void, soon = false): void {
    this.#beforeTurn.push(hook);
    if (!soon) return;
    this.#control[MORE_WORK] |= MORE_WORK_BLOCKED;
    if (!this.#inTurn) this.host.poke();
  }

  /** Runs `then` when the host has taken all that is staged now: what it copies may change from then on. */
  whenSubmitted(then: () => void): void {
    const entered = this.#clock[ENTER_COUNT];
    this.beforeNextTurn(() => {
      const isTaken = this.#clock[ENTER_COUNT] !== entered && this.#control[SUBMIT_COUNT] === 0;
      if (isTaken) then();
      else this.whenSubmitted(then);
    }, true);
  }

  #drain(): void {
    const control = this.#control;
    const ready = this.#ready;
    for (let head = control[READY_HEAD]; head !== control[READY_TAIL]; ) {
      const slot = head & this.#readyMask;
      const at = slot << 2;
      const kind = ready[at];
      const index = ready[at + 1];
      const result = ready[at + 2];
      const extra = ready[at + 3];
      head = (head + 1) | 0;
      control[READY_HEAD] = head; // before the handler: if it throws, the next turn goes on behind it
      const what = kind & 0xff;
      if (what <= ReadyKind.TIMER) this.#owners[index]?.onEvent(kind >>> 8, result, extra);
      else this.calls?.onReady(what, index, slot);
    }
    this.stepMark.clearRun();
  }

  /** [start, end) of memory as a string of bytes. */
  latin1(start: number, end: number): string {
    return latin1Slice.call(this.bytes, start, end);
  }

  // --- owners --------------------------------------------------------------------------------------------------------

  register(owner: Owner): number {
    const id = this.#freeOwners.pop() ?? this.#owners.length;
    this.#owners[id] = owner;
    return id;
  }

  unregister(id: number): void {
    this.#owners[id] = undefined;
    this.#freeOwners.push(id);
  }

  /** What an owner is, for whoever looks at what is open. */
  ownerName(id: number): string {
    return nameOf(this.#owners[id]);
  }

  /** All owners: connections, listeners, waits, and whatever else has events. */
  ownerNames(): string[] {
    return this.#owners.filter((owner) => owner !== undefined).map(nameOf);
  }

  /** Everybody closes what he has. */
  shutDownOwners(): void {
    for (const owner of [...this.#owners]) owner?.onShutdown?.();
  }

  /** What was begun, cannot be cancelled, and has not ended. */
  waitsFor(): string[] {
    return this.#owners.flatMap((owner) => owner?.waitsFor?.() ?? []);
  }

  // --- operations ----------------------------------------------------------------------------------------------------

  /** Stages an operation (ops.ts has them by name). Answers its slot, or Code.FULL. */
  submit(
    opcode: number,
    sqeFlags: number,
    ioprio: number,
    file: number,
    ptr: number,
    len: number,
    opFlags: number,
    fileIndex: number,
    owner: number,
    tag: number,
  ): number {
    if (!this.#inTurn) this.host.poke();
    return this.core.submit(opcode, sqeFlags, ioprio, file, 0, ptr, len, opFlags, fileIndex, owner, tag);
  }

  /** Gives an owner an event that the core does not bring: with the next turn, which comes at once. */
  answerLater(owner: number, tag: number, result: number): void {
    this.beforeNextTurn(() => this.#owners[owner]?.onEvent(tag, result, 0), true);
  }

  opGeneration(index: number): number {
    return this.words[(this.base + this.header.opsOffset + index * OP_BYTES) >>> 2];
  }

  /** Cancels an operation; it completes as ever. */
  cancelOp(index: number, generation: number): void {
    if (!this.#inTurn) this.host.poke();
    this.core.cancelOp(index, generation);
  }

  /** Somebody waits for an operation that completes silently (ops.ts, sendNow). */
  hurry(): void {
    if (!this.#inTurn) this.host.poke();
    this.core.hurry();
  }

  closeFile(file: number): void {
    if (!this.#inTurn) this.host.poke();
    this.core.closeFile(file);
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  /** Arms a timer `delayNs` from now; `owner` gets its event. Answers its slot, or Code.FULL. */
  tryTimer(delayNs: number, owner: number, tag: number): number {
    if (!this.#inTurn) this.host.poke();
    return this.core.armTimer(monotonicNs() + delayNs, tag, owner);
  }

  /** The same; throws FULL. */
  armTimer(delayNs: number, owner: number, tag: number): number {
    const index = this.tryTimer(delayNs, owner, tag);
    if (index < 0) throw index === Code.FULL ? fullError('timers') : new RangeError(`timer of ${delayNs} ns`);
    return index;
  }

  /** The generation of a slot that was just taken: with the index it makes the handle. */
  timerGeneration(index: number): number {
    return this.words[(this.base + this.header.timersOffset + index * TIMER_BYTES) >>> 2];
  }

  /** The time of this turn, ns; cheap, and at most a turn old. */
  get nowNs(): number {
    return this.#clock[NOW_NS];
  }

  // --- tasks ---------------------------------------------------------------------------------------------------------

  /** Queues a step of a task in its scheduling group. Throws FULL. `run` must not throw. */
  queueStep(task: TaskName, run: () => void): void {
    if (!this.#inTurn) this.host.poke();
    this.steps.queue(task, run);
  }

  // --- end -----------------------------------------------------------------------------------------------------------

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.memoryChecks !== undefined) blockPool(this).lookAtAll();
    this.calls?.close();
    this.steps.close();
    this.core.stop();
    this.host.close();
  }
}

function nameOf(owner: Owner | undefined): string {
  return owner?.toString === Object.prototype.toString ? owner.constructor.name : String(owner);
}

let here: Shard | undefined;

/** The shard of this thread. */
export function currentShard(): Shard {
  if (here === undefined) {
    const text = 'this thread is no shard: start a Runtime, or use blockOn()';
    throw new FeatherstarError('FEATHERSTAR_NO_SHARD', text);
  }
  return here;
}

export function findShard(): Shard | undefined {
  return here;
}

export function enterShard(shard: Shard | undefined): void {
  here = shard;
}

useTimeouts((timeoutMs, onTimeout) => new Wait(currentShard(), timeoutMs * 1e6, undefined, onTimeout, () => {}));
