// The core alone: N shards are N instances over one memory, all in this thread, and this file is their kernel.
//
// The flow: `shard.turn()` enters (SQEs out of the window into `sqes`, queued CQEs into the window), takes
// the core's turn and drains the ready ring into plain objects. Time is what `setClock()` says. A MSG_RING rings the
// peer's `bells`; nothing else is performed, the test completes by `complete()`.
//
// Invariant: enter() keeps the contract of the real hosts: it takes the whole submission window, and leaves the
// completion window alone when control.submitOnly is set.
//
// Next: ../core/layout.test.js.

import { coreModule, instantiateCore, makeMemory } from '../../dist/host/core/core.js';
import { COUNTER_NAMES, Control, HEADER_STATES, INLINE_BYTES, ReadyKind, Slab } from '../../dist/host/core/layout.js';

export const Code = { FULL: -5001, STALE: -5002, RANGE: -5003, NO_CREDIT: -5004, PEER_DOWN: -5005 };
export const MoreWork = { TASKS: 1, MAIL: 2, BLOCKED: 4, QUIET: 8 };
export const OP_MSG_RING = 40;
export const CQE_BUFFER = 1;
export const CQE_MORE = 2;
export const Kind = { REQUEST: 1, REPLY: 2, ABORT: 3 }; // of a message

export const SMALL = {
  ringSlots: 8,
  creditCount: 8,
  callSlots: 64,
  sqeSlots: 16,
  cqeSlots: 16,
  readySlots: 64,
  opSlots: 64,
  timerSlots: 64,
  taskSlots: 64,
  connectionSlots: 4,
  recvBufferCount: 16,
  recvBufferBytes: 256,
  largeRecvBufferCount: 2,
  largeRecvBufferBytes: 1024,
  sendBufferCount: 4,
  sendBufferBytes: 256,
  arenaBytes: 4096,
  scratchBytes: 4096,
};

export class TestShard {
  constructor(cluster, index, module, instantiate = instantiateCore) {
    const { memory, header } = cluster;
    this.cluster = cluster;
    this.index = index;
    this.header = header;
    this.base = header.shardsOffset + index * header.shardBytes;
    this.i32 = new Int32Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.control = new Int32Array(memory.buffer, this.base, 128);
    this.f64 = new Float64Array(memory.buffer, this.base, 64);
    this.u64 = new BigUint64Array(memory.buffer, this.base, 64);
    this.core = instantiate(module, memory, {
      enter: () => this.enter(),
      threadSpawn: (arg) => cluster.spawn(arg),
    });
    this.sqes = []; // all that was submitted and not looked at
    this.cqes = []; // to be delivered with the next enter
    this.recycled = [];
    this.enters = 0;
    this.bells = 0;
    this.setClock(cluster.bootNs);
    this.f64[Control.quotaNs >> 3] = 500_000;
  }

  boot() {
    this.core.boot(this.index, this.now());
    return this;
  }

  setClock(nowNs) {
    this.f64[Control.nowNs >> 3] = nowNs;
  }

  now() {
    return this.f64[Control.nowNs >> 3];
  }

  /** A word of the control block by its name. */
  word(name) {
    return this.control[Control[name] >> 2];
  }

  setWord(name, value) {
    this.control[Control[name] >> 2] = value;
  }

  deadline() {
    return this.f64[Control.nextDeadlineNs >> 3];
  }

  /** Where a table's slot begins, in words. */
  slotWord(offset, slotBytes, index) {
    return (this.base + offset + index * slotBytes) >>> 2;
  }

  opGeneration(index) {
    return this.u32[this.slotWord(this.header.opsOffset, 64, index)];
  }

  timerGeneration(index) {
    return this.u32[this.slotWord(this.header.timersOffset, 32, index)];
  }

  taskGeneration(index) {
    return this.u32[this.slotWord(this.header.tasksOffset, 32, index)];
  }

  pendingTimers() {
    return this.u32[this.slotWord(this.header.timersOffset + Slab.used, 0, 0)];
  }

  liveTasks() {
    return this.u32[this.slotWord(this.header.tasksOffset + Slab.used, 0, 0)];
  }

  counters() {
    const words = new BigUint64Array(
      this.cluster.memory.buffer,
      this.base + this.header.countersOffset,
      COUNTER_NAMES.length,
    );
    return Object.fromEntries(COUNTER_NAMES.map((name, i) => [name, Number(words[i])]));
  }

  // --- the kernel ----------------------------------------------------------------------------------------------------

  /** The SQE at `slot` of the window. */
  sqeAt(slot) {
    const view = new DataView(this.cluster.memory.buffer, this.base + this.header.sqeOffset + slot * 64, 64);
    return {
      opcode: view.getUint8(0),
      flags: view.getUint8(1),
      ioprio: view.getUint16(2, true),
      fd: view.getInt32(4, true),
      off: view.getBigUint64(8, true),
      addr: view.getBigUint64(16, true),
      len: view.getUint32(24, true),
      opFlags: view.getUint32(28, true),
      bufGroup: view.getUint16(40, true),
      index: view.getUint32(32, true),
      generation: view.getUint32(36, true),
      fileIndex: view.getUint32(44, true),
    };
  }

  enter() {
    this.enters++;
    this.f64[Control.enterCount >> 3]++;
    const staged = this.word('submitCount');
    for (let slot = 0; slot < staged; slot++) this.#take(this.sqeAt(slot));
    this.setWord('submitCount', 0);
    const recycleAt = (this.base + this.header.recycleOffset) >>> 2;
    for (let i = 0; i < this.word('recycleCount'); i++) this.recycled.push(this.u32[recycleAt + i]);
    this.setWord('recycleCount', 0);
    if (this.word('submitOnly') === 0) this.#deliver();
  }

  #take(sqe) {
    if (sqe.opcode === OP_MSG_RING) this.cluster.shards[sqe.fd].bells++;
    else this.sqes.push(sqe);
  }

  #deliver() {
    const count = Math.min(this.cqes.length, this.header.cqeSlots);
    this.cqes.splice(0, count).forEach(({ index, generation, result = 0, flags = 0 }, i) => {
      const at = (this.base + this.header.cqeOffset + i * 16) >>> 2;
      this.u32[at] = index;
      this.u32[at + 1] = generation;
      this.i32[at + 2] = result;
      this.u32[at + 3] = flags;
    });
    this.setWord('completionCount', count);
  }

  /** Completes an operation, named by its SQE, with the next enter. */
  complete(sqe, result = 0, flags = 0) {
    this.cqes.push({ index: sqe.index, generation: sqe.generation, result, flags });
  }

  // --- the host ------------------------------------------------------------------------------------------------------

  /** Posts a message. `words`: what it carries; more than 10 go through the arena. Returns what post() does. */
  post(peer, { kind = Kind.REQUEST, status = 0, method = 0, caller = 0, number = 0, words = [] } = {}) {
    const at = (this.base + this.header.outgoingOffset) >>> 2;
    const bytes = words.length * 4;
    let payload = 0;
    if (bytes > INLINE_BYTES) {
      const may = this.core.mayPost(peer, kind);
      if (may !== 0) return may;
      payload = this.core.payloadTake(bytes) >>> 0;
      if (payload === 0) return Code.FULL;
    }
    this.u32.set([kind | (status << 8) | (method << 16), caller, number, bytes, payload], at);
    this.u32.set(words, payload === 0 ? at + 6 : payload >>> 2);
    return this.core.post(peer);
  }

  /** The message in a slot of the inbox. Its block of the arena is given back. */
  #message(slot) {
    const at = this.slotWord(this.header.inboxOffset, 64, slot);
    const [head, caller, number, bytes, payload] = this.u32.subarray(at, at + 5);
    const from = payload === 0 ? at + 6 : payload >>> 2;
    const words = [...this.u32.subarray(from, from + (bytes >>> 2))];
    if (payload !== 0) this.core.arenaRelease(payload);
    return { kind: head & 0xff, status: (head >>> 8) & 0xff, method: head >>> 16, caller, number, words, payload };
  }

  /** All entries of the ready ring, or the first `most`. */
  drain(most = Number.POSITIVE_INFINITY) {
    const entries = [];
    while (entries.length < most && this.word('readyHead') !== this.word('readyTail')) {
      const head = this.word('readyHead');
      const at = (this.base + this.header.readyOffset + (head & (this.header.readySlots - 1)) * 16) >>> 2;
      const [kind, index, result, extra] = this.i32.subarray(at, at + 4);
      const entry = { kind: kind & 0xff, tag: kind >>> 8, index, result, extra };
      if (entry.kind !== ReadyKind.OP && (result | extra) !== 0) throw new Error('only OP has a result and more');
      if (entry.kind === ReadyKind.MAIL) entry.message = this.#message(head & (this.header.readySlots - 1));
      entries.push(entry);
      this.setWord('readyHead', (head + 1) | 0);
    }
    return entries;
  }

  /** Enter, turn, drain, flush. */
  turn(nowNs = this.now()) {
    this.setClock(nowNs);
    this.enter();
    this.core.turn();
    const entries = this.drain();
    this.core.flush();
    return entries;
  }
}

export class Cluster {
  /** `limits` are changes to SMALL; `module` is the core, or a module that contains it. */
  constructor(shardCount, limits = {}, { bootNs = 1_000_000_000, module = coreModule(), instantiate } = {}) {
    Object.assign(this, makeMemory(shardCount, { ...SMALL, ...limits }));
    this.bootNs = bootNs;
    this.shards = [];
    for (let i = 0; i < shardCount; i++) this.shards.push(new TestShard(this, i, module, instantiate).boot());
  }

  spawn() {
    throw new Error('the tests of the core start no thread');
  }

  setState(shard, state) {
    new Int32Array(this.memory.buffer, HEADER_STATES, 64)[shard] = state;
  }
}

/** One shard without peers. */
export function oneShard(limits, options) {
  return new Cluster(1, limits, options).shards[0];
}
