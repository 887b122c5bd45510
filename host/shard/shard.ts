// The JavaScript half of a shard. The core decides; this half carries its decisions to promises and callbacks.
//
// A turn: core.turn() fills the ready ring; drain() hands each entry to the owner that it names; then what was written
// to peers is published. Microtasks run when the host's callback returns, and behind them JavaScript's tasks, one by
// one (steps.ts); what they stage goes out with the next enter.
//
// Owners are objects with an `onEvent`, registered by number (owners.ts). They hold their operations and timers in
// flight as Operation and Timer (operation.ts).

import { platformTimeout, useTimeouts } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import { ownCopy } from '../base/own-bytes.js';
import type { Calls } from '../calls/call.js';
import { type Core, type CoreImports, instantiateCore } from '../core/core-module.js';
import { CQE_MORE } from '../core/kernel.js';
import { Control, type Header, HostControl, MoreWork, ReadyKind, recvBufferAt } from '../core/layout.js';
import {
  type ChunkSink,
  type HostFactory,
  type LentBytes,
  monotonicNs,
  type ShardHost,
  type Windows,
} from '../hosts/host.js';
import type { NetworkRules } from '../net/network-rules.js';
import { blockPool } from './block-pool.js';
import { MemoryChecks } from './memory-checks.js';
import type { Submission } from './operation.js';
import { type Owner, Owners } from './owners.js';
import { SendBuffers } from './send-buffers.js';
import { StepMark } from './stall.js';
import { Steps, type TaskName } from './steps.js';
import { Wait } from './wait.js';

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
  /** The policy for a failed task that no code awaits. */
  unhandled: 'warn' | 'throw';
  checkMemory: boolean;
  network?: NetworkRules | undefined;
  threadSpawn: CoreImports['threadSpawn'];
}

// Looked up once: Buffer's prototype is in V8's dictionary mode.
const { latin1Slice } = Buffer.prototype;

const MORE_WORK = Control.moreWork >> 2;
const MORE_WORK_TASKS = MoreWork.TASKS;
const MORE_WORK_BLOCKED = MoreWork.BLOCKED;
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
  /** Outgoing bytes go through these. */
  readonly sendBuffers: SendBuffers;
  /** Those that are large go out of their own memory (send-queue.ts). */
  readonly lent: LentBytes = [];
  /** Received bytes go straight into these, by file slots (stream-socket.ts). */
  readonly targets: (Uint8Array | undefined)[] = [];
  /** Open connections, by file slots: the portable host hands chunks to them. */
  readonly sinks: (ChunkSink | undefined)[] = [];
  readonly owners = new Owners();
  readonly unhandled: 'warn' | 'throw';
  /** The part of the network that this shard may reach; undefined: all. */
  readonly network: NetworkRules | undefined;
  /** Numbers by which others know something of this shard's begin here, and higher each time that it is started. */
  readonly numbersFrom: number;
  /** Set by the runtime, on every shard, before the shard module is loaded. */
  calls: Calls | undefined;

  #control: Int32Array;
  #clock: Float64Array;
  #ready: Int32Array;
  readonly #readyMask: number;
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
    this.numbersFrom = (this.#control[BIRTHS] as number) * 2 ** 32 + 1;
    this.#clock = new Float64Array(memory.buffer, this.base, 64);
    this.#ready = new Int32Array(memory.buffer, this.base + header.readyOffset, header.readySlots * 4);
    this.#readyMask = header.readySlots - 1;
    this.sendBuffers = new SendBuffers(this.words, this.#control, this.base, header, () => this.hurry());
    this.#clock[Control.idlePollNs >> 3] = options.idlePollNs;
    this.#clock[Control.quotaNs >> 3] = Math.max(options.quotaNs, QUOTA_MIN_NS);
    const { network } = options;
    this.network = network;
    const { base, lent, targets, sinks } = this;
    const windows: Windows = { memory, blocks, header, base, shard, lent, targets, sinks, network };
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
      if (((this.#control[MORE_WORK] as number) & MORE_WORK_TASKS) !== 0) this.steps.begin();
    } finally {
      this.#inTurn = false;
      core.flush();
    }
  };

  /** Runs `hook` once, before the next turn looks at what has come; `soon`: and that turn comes at once. */
  beforeNextTurn(hook: () => void, soon = false): void {
    this.#beforeTurn.push(hook);
    if (!soon) return;
    (this.#control[MORE_WORK] as number) |= MORE_WORK_BLOCKED;
    this.poke();
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
    for (let head = control[READY_HEAD] as number; head !== control[READY_TAIL]; ) {
      const slot = head & this.#readyMask;
      const at = slot << 2;
      const kind = ready[at] as number;
      const index = ready[at + 1] as number;
      const result = ready[at + 2] as number;
      const extra = ready[at + 3] as number;
      head = (head + 1) | 0;
      control[READY_HEAD] = head; // before the handler: if it throws, the next turn goes on behind it
      const what = kind & 0xff;
      if (what <= ReadyKind.TIMER) {
        this.owners.deliver(index, kind >>> 8, result, extra, (extra & CQE_MORE) === 0);
      } else this.calls?.onReady(what, index, slot);
    }
    this.stepMark.clearRun();
  }

  /** Where a receive buffer lies in linear memory. */
  recvBufferAt(buffer: number): number {
    return recvBufferAt(this.base + this.header.recvOffset, this.header, buffer);
  }

  /** A copy of [start, end) of memory that has its whole buffer to itself. */
  copyOut(start: number, end: number): Uint8Array {
    return ownCopy(this.bytes, start, end);
  }

  /** [start, end) of memory as a string of bytes. */
  latin1(start: number, end: number): string {
    return latin1Slice.call(this.bytes, start, end);
  }

  // --- owners --------------------------------------------------------------------------------------------------------

  /** Gives an object a number, to which its events go. */
  register(owner: Owner): number {
    return this.owners.register(owner);
  }

  /** The owner begins nothing more. Events of what is in flight still come; after the last one the number is free. */
  unregister(id: number): void {
    this.owners.release(id);
  }

  /** The name of an owner, for reports of open things. */
  ownerName(id: number): string {
    return nameOf(this.owners.find(id));
  }

  /** All owners: connections, listeners, waits, and whatever else has events. */
  ownerNames(): string[] {
    return this.owners.all().map(nameOf);
  }

  /** Asks every owner to close its resources. */
  shutDownOwners(): void {
    for (const owner of this.owners.all()) owner.onShutdown?.();
  }

  /** The operations that were begun, cannot be cancelled, and have not ended. */
  waitsFor(): string[] {
    return this.owners.all().flatMap((owner) => owner.waitsFor?.() ?? []);
  }

  // --- operations ----------------------------------------------------------------------------------------------------

  /** Staged operations must be submitted soon. In a turn they will be anyway; otherwise the host must come round. */
  poke(): void {
    if (!this.#inTurn) this.host.poke();
  }

  /** Stages an operation, for Operation. Owner 0: no event comes. Returns its slot, or Code.FULL. */
  submit(what: Submission, owner: number, tag: number): number {
    if (owner !== 0) this.owners.begin(owner);
    this.poke();
    const { opcode, flags, ioprio, file, off, ptr, len, opFlags, fileIndex, bufGroup } = what;
    const { core } = this;
    const slot = core.submit(opcode, flags, ioprio, file, off, ptr, len, opFlags, fileIndex, owner, tag, bufGroup);
    if (slot < 0 && owner !== 0) this.owners.end(owner);
    return slot;
  }

  /** Gives an owner an event that the core does not bring: with the next turn, which comes at once. */
  answerLater(owner: number, tag: number, result: number): void {
    this.owners.begin(owner);
    this.beforeNextTurn(() => this.owners.deliver(owner, tag, result, 0, true), true);
  }

  /** A caller waits for an operation that completes silently (ops.ts, sendNow). */
  hurry(): void {
    this.poke();
    this.core.hurry();
  }

  /** Closes a file slot. Without effect on a shard that is closed: its files are. */
  closeFile(file: number): void {
    if (this.#closed) return;
    this.poke();
    this.core.closeFile(file);
  }

  // --- time ----------------------------------------------------------------------------------------------------------

  /** Arms a timer `delayNs` from now, for Timer; `owner` gets its event. Returns its slot, Code.FULL or Code.RANGE. */
  armTimer(delayNs: number, owner: number, tag: number): number {
    this.owners.begin(owner);
    this.poke();
    const slot = this.core.armTimer(monotonicNs() + delayNs, tag, owner);
    if (slot < 0) this.owners.end(owner);
    return slot;
  }

  /** The time of this turn, ns; cheap, and at most a turn old. */
  get nowNs(): number {
    return this.#clock[NOW_NS] as number;
  }

  // --- tasks ---------------------------------------------------------------------------------------------------------

  /** Queues a step of a task in its scheduling group. Throws FULL. `run` must not throw. */
  queueStep(task: TaskName, run: () => void): void {
    this.poke();
    this.steps.queue(task, run);
  }

  // --- end -----------------------------------------------------------------------------------------------------------

  /** Lets go of all memory, for a shard that is no more: a module that refers to it does not keep the rest alive. */
  forget(): void {
    this.#control = this.#ready = new Int32Array(0);
    this.#clock = new Float64Array(0);
    this.#beforeTurn = [];
    for (const key of Reflect.ownKeys(this)) Reflect.set(this, key, undefined);
  }

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

useTimeouts((timeoutMs, onTimeout) => {
  if (here === undefined) return platformTimeout(timeoutMs, onTimeout);
  return new Wait(here, timeoutMs * 1e6, undefined, onTimeout);
});
