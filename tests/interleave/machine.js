// Two shards over one memory in one thread, stopped before each access to what they share; their state can be put
// away, taken back and named by a number.
//
// The flow: `step(choice)` lets one shard go on to its next switch point: within a call of the core (the
// stack lies in memory, by Asyncify), within a function of park.h (park.c), or between two acts of its host
// (scenario.js says which). Or it lets one plain store of a shard become visible (store-buffers.js). Everything a later
// step can depend on is in `save()`: the header, the rings, both shards' blocks, both stacks, the globals of both
// instances, the variables of the hosts, and the stores that are not visible yet.
//
// Not in it: the counters, which the core only counts up (stats.ts), so that a poll that finds nothing leads back to
// the state it began in; and the bytes of a stack that no call will read again.
//
// Switch points: every atomic access, and every plain access to a ring's slots or to a word that two shards share.
//
// Next: store-buffers.js, scenario.js, explore.js.

import { makeMemory } from '../../dist/host/core/core.js';
import { Control } from '../../dist/host/core/layout.js';
import { StoreBuffers } from './store-buffers.js';
import { Access } from './transform.js';

export const MESH = 8192;
const RING_OWN = 256; // from here on to the slots: words that only one side reads
const RING_CONTROL_BYTES = 512;
const COUNTERS_BYTES = 256;
const PAGE = 65536;
const STACK_BYTES = 32768; // each; Asyncify traps if a stack of calls needs more
const OP_MSG_RING = 40;

const LIMITS = {
  callSlots: 1,
  sqeSlots: 8,
  cqeSlots: 2,
  readySlots: 32,
  opSlots: 1,
  timerSlots: 1,
  taskSlots: 1,
  connectionSlots: 1,
  recvBufferCount: 1,
  recvBufferBytes: 64,
  largeRecvBufferCount: 1,
  largeRecvBufferBytes: 64,
  sendBufferCount: 1,
  sendBufferBytes: 64,
  arenaBytes: 64,
  scratchBytes: 64,
};

/** Words of a host's state, for each shard; scenario.js uses the others. */
export const Var = { STOPPED_AT: 0, BELL: 1, ACT: 2, RESULT: 3, FIRST_FREE: 4, LOGGED: 15, LOG: 16, COUNT: 24 };
/** LOOK and TAKE are those of a ring: whether a doorbell has come, and the enter that makes a completion of it. */
export const Act = { CALL: 0, ENTER: 1, SLEEP: 2, DONE: 3, STOPPED: 4, LOOK: 5, TAKE: 6 };

export class Machine {
  #stopping = false;
  #resuming = false;
  #running = -1;
  #globals;
  #regions;
  #free = false; // points let pass: while a shard boots

  /**
   * `module`: of transform(). `scenario`: of scenario.js, or of c-host.js. `model`: of store-buffers.js. `park`: of
   * c-park.js; without it the shards sleep by the core's own exports, or as the host in C does.
   */
  constructor(module, scenario, model = 'sc', park = undefined) {
    this.scenario = scenario;
    this.park = park;
    const limits = { ...LIMITS, ringSlots: scenario.capacity, creditCount: Math.max(1, scenario.credit) };
    const { memory, header } = makeMemory(2, limits, 256 * PAGE); // the table of so many blocks is room for stacks
    Object.assign(this, { memory, header });
    this.u32 = new Uint32Array(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.buffers = new StoreBuffers(this.u32, model);
    this.vars = [0, 1].map(() => new Int32Array(Var.COUNT));
    this.bases = [0, 1].map((shard) => header.shardsOffset + shard * header.shardBytes);
    this.stacks = [0, 1].map((shard) => header.totalPages * PAGE + shard * STACK_BYTES);
    this.where = [null, null]; // the access before which a shard stands: for people
    this.slotsEnd = MESH + 4 * header.ringBytes;
    this.cores = [0, 1].map(
      (shard) =>
        new WebAssembly.Instance(module, {
          env: { memory },
          uring: { enter: () => this.enter(shard) },
          wasi: { 'thread-spawn': () => -1 },
          inter: { point: (address, offset, access) => this.#point(address, offset, access) },
        }).exports,
    );
    this.#globals = this.cores.map((core) =>
      Object.keys(core)
        .filter((name) => name.startsWith('global.'))
        .map((name) => core[name]),
    );
    this.#free = true;
    for (const core of this.cores) core.boot(this.cores.indexOf(core), 1e9);
    for (const core of this.cores) core.turn(); // the wheel's first look at the clock
    this.#free = false;
    const used = header.arenaOffset + limits.arenaBytes;
    this.#regions = [[4096, this.slotsEnd]];
    for (const base of this.bases) {
      this.#regions.push([base, base + header.countersOffset]);
      this.#regions.push([base + header.countersOffset + COUNTERS_BYTES, base + used]);
    }
    scenario.begin?.(this);
    for (const shard of [0, 1]) {
      this.#rewindStack(shard);
      this.#begin(shard, scenario.next(this, shard));
    }
  }

  // --- switch points -------------------------------------------------------------------------------------------------

  #point(address, offset, access) {
    if (this.#free) return address;
    const at = (address >>> 0) + offset;
    if ((access & Access.ATOMIC) === 0 && !this.#isShared(at)) return address;
    const shard = this.#running;
    if (this.#resuming) {
      this.#resuming = false;
      this.cores[shard].asyncify_stop_rewind();
      return this.vars[shard][Var.STOPPED_AT];
    }
    this.#stopping = true;
    this.vars[shard][Var.STOPPED_AT] = address;
    this.where[shard] = { at, access };
    this.cores[shard].asyncify_start_unwind(this.stacks[shard]);
    return address;
  }

  /** Of a ring all but the words that only its producer or only its consumer has; of a shard the two for sleeping. */
  #isShared(at) {
    if (at >= MESH && at < this.slotsEnd) {
      const offset = (at - MESH) % this.header.ringBytes;
      return offset < RING_OWN || offset >= RING_CONTROL_BYTES;
    }
    return this.bases.some((base) => at === base + Control.sleeping || at === base + Control.dirty);
  }

  #rewindStack(shard) {
    const word = this.stacks[shard] >>> 2;
    this.u32[word] = this.stacks[shard] + 8;
    this.u32[word + 1] = this.stacks[shard] + STACK_BYTES;
  }

  // --- steps ---------------------------------------------------------------------------------------------------------

  /** A host's next act: a call of the core runs to its first point at once, as no shard can see what it did before. */
  #begin(shard, act) {
    const vars = this.vars[shard];
    let next = act;
    while (Array.isArray(next)) {
      const [name, ...args] = next;
      const result = this.#inC(name) ? this.#runC(shard, name) : this.#run(shard, name, args);
      if (this.#stopping) {
        this.#stopping = false;
        if (!this.#inC(name)) this.cores[shard].asyncify_stop_unwind();
        vars[Var.ACT] = Act.STOPPED;
        return;
      }
      vars[Var.RESULT] = result ?? 0;
      next = this.scenario.next(this, shard);
    }
    const isAccess = typeof next === 'object'; // of the host in C
    vars[Var.ACT] = isAccess ? Act.STOPPED : next;
    this.where[shard] = isAccess ? next : null;
  }

  #run(shard, name, args) {
    this.#running = shard;
    return this.cores[shard][name](...args);
  }

  #inC(name) {
    return this.park?.has(name) === true;
  }

  /** A function of park.h, up to the next access that is not in its log. */
  #runC(shard, name) {
    const vars = this.vars[shard];
    const stop = this.park.run(name, this.bytes, this.bases[shard], vars.subarray(Var.LOG), vars[Var.LOGGED]);
    if (stop.result === undefined) {
      this.#stopping = true;
      this.where[shard] = stop;
      return 0;
    }
    vars.fill(0, Var.LOGGED);
    return stop.result;
  }

  /** The access before which C stands. Returns what it loads. */
  #access({ at, access, value }) {
    const word = at >>> 2;
    if (access >> Access.BYTES === 8 && this.u32[word + 1] !== 0) throw new Error('more shards than the log has bits');
    if ((access & Access.STORE) !== 0) this.u32[word] = value;
    return this.u32[word];
  }

  /** The call that a shard is stopped in; the arguments of an export lie on the stack, so any will do. */
  #resume(shard) {
    const core = this.cores[shard];
    const vars = this.vars[shard];
    const name = this.scenario.callOf(this, shard);
    const inC = this.#inC(name);
    let result;
    if (inC) {
      vars[Var.LOG + vars[Var.LOGGED]++] = this.#access(this.where[shard]);
      result = this.#runC(shard, name);
    } else if (core[name] === undefined) {
      result = this.#access(this.where[shard]);
    } else {
      this.#resuming = true;
      core.asyncify_start_rewind(this.stacks[shard]);
      result = this.#run(shard, name, [0, 0, 0, 0]);
    }
    if (this.#stopping) {
      this.#stopping = false;
      if (!inC) core.asyncify_stop_unwind();
      return;
    }
    vars[Var.RESULT] = result ?? 0;
    this.#begin(shard, this.scenario.next(this, shard));
  }

  /** What may happen next: a shard goes on, by its number, or one of its stores becomes visible. */
  choices() {
    return [0, 1].filter((shard) => this.#enabled(shard)).concat(this.buffers.choices());
  }

  /** Not if it has ended, sleeps and no doorbell has rung, or its next access waits for its stores. */
  #enabled(shard) {
    const vars = this.vars[shard];
    if (vars[Var.ACT] === Act.DONE) return false;
    if (vars[Var.ACT] === Act.SLEEP) return vars[Var.BELL] !== 0;
    return vars[Var.ACT] !== Act.STOPPED || !this.buffers.delays(shard, this.where[shard].access);
  }

  step(choice) {
    if (this.buffers.drain(choice)) return;
    const shard = choice;
    const isStopped = this.vars[shard][Var.ACT] === Act.STOPPED;
    this.buffers.show(shard, isStopped ? this.where[shard] : undefined);
    try {
      this.#go(shard);
    } finally {
      this.buffers.hide(shard);
    }
  }

  #go(shard) {
    const vars = this.vars[shard];
    const act = vars[Var.ACT];
    if (act === Act.STOPPED) return this.#resume(shard);
    if (act === Act.ENTER) this.enter(shard);
    if (act === Act.LOOK || act === Act.TAKE || act === Act.SLEEP) vars[Var.RESULT] = vars[Var.BELL];
    if (act === Act.TAKE || act === Act.SLEEP) vars[Var.BELL] = 0;
    this.#begin(shard, this.scenario.next(this, shard));
  }

  /** The kernel: takes the submission window; a doorbell stays rung until its shard has woken. */
  enter(shard) {
    const bells = this.scenario.bellsOf?.(this, shard); // the host in C has taken them from the window
    if (bells !== undefined) {
      for (const peer of [0, 1]) if ((bells >> peer) & 1) this.vars[peer][Var.BELL] = 1;
      return;
    }
    const control = this.bases[shard] >>> 2;
    for (let slot = 0; slot < this.u32[control]; slot++) {
      const sqe = (this.bases[shard] + this.header.sqeOffset + slot * 64) >>> 2;
      if ((this.u32[sqe] & 0xff) !== OP_MSG_RING) throw new Error('an operation that no scenario asks for');
      this.vars[this.u32[sqe + 1]][Var.BELL] = 1;
    }
    this.u32[control] = 0;
  }

  word(shard, offset) {
    return this.u32[(this.bases[shard] + offset) >>> 2];
  }

  ringWord(from, offset) {
    const ring = MESH + (from * 2 + (1 - from)) * this.header.ringBytes;
    return this.u32[(ring + offset) >>> 2];
  }

  // --- states --------------------------------------------------------------------------------------------------------

  #pieces() {
    const pieces = this.#regions.map(([from, to]) => [from >>> 2, to >>> 2]);
    for (const at of this.stacks) pieces.push([at >>> 2, this.u32[at >>> 2] >>> 2]);
    return pieces;
  }

  save() {
    return {
      memory: this.#pieces().map(([from, to]) => [from, this.u32.slice(from, to)]),
      globals: this.#globals.map((list) => list.map((global) => global.value)),
      vars: this.vars.map((vars) => vars.slice()),
      where: [...this.where],
      stores: this.buffers.save(),
      host: this.scenario.save?.(),
    };
  }

  restore(state) {
    for (const [from, words] of state.memory) this.u32.set(words, from);
    for (const [shard, list] of this.#globals.entries()) {
      for (const [i, global] of list.entries()) global.value = state.globals[shard][i];
    }
    for (const shard of [0, 1]) this.vars[shard].set(state.vars[shard]);
    this.where = [...state.where];
    this.buffers.restore(state.stores);
    this.scenario.restore?.(state.host);
  }

  /** 53 bits for the state: two sums of 32 bits that mix differently. */
  hash() {
    const { u32 } = this;
    let a = 0x9e3779b9;
    let b = 0x85ebca6b;
    const mix = (word) => {
      a = Math.imul(a ^ word, 0x01000193) ^ (a >>> 15);
      b = Math.imul((b << 7) | (b >>> 25), 0x2c1b3c6d) + word;
    };
    for (const [from, to] of this.#pieces()) for (let i = from; i < to; i++) mix(u32[i]);
    for (const list of this.#globals) {
      for (const { value } of list) {
        if (typeof value === 'bigint') {
          mix(Number(value & 0xffffffffn));
          mix(Number((value >> 32n) & 0xffffffffn));
        } else {
          mix(value | 0);
          mix((value / 4294967296) | 0);
        }
      }
    }
    for (const vars of this.vars) for (const word of vars) mix(word);
    this.buffers.each(mix);
    this.scenario.each?.(mix);
    a = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
    b = Math.imul(b ^ (b >>> 16), 0xc2b2ae35);
    return ((a ^ (a >>> 13)) >>> 0) * 2097152 + ((b ^ (b >>> 13)) >>> 11);
  }
}
