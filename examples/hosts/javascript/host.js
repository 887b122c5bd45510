// A host of the core, written from docs/abi.md alone: plain JavaScript, threads, and nothing of featherstar's host.
//
//   node examples/hosts/javascript/host.js [calls]
//
//   shard 0 --requests: a number, or now and then 1,000 bytes--> shard 1
//           <--------- replies: the number plus one, the sum ---
//
// Both shards run tasks and timers besides, and sleep when there is nothing to do. Their doorbells are words of a small
// memory of their own: Atomics.wait() returns at once if the word has been set before.

import { readFileSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const SHARDS = 2;
const LARGE_BYTES = 1000;
const LARGE_EVERY = 100; // so many calls
const OPEN_MAX = 64; // calls at a time
const REQUEST = 1; // kinds of messages
const REPLY = 2;
const ECHO = 1; // our one operation: it completes with its length
const DOORBELL = 40;
const QUIET = 64;

const file = (name) => readFileSync(new URL(import.meta.resolve(`featherstar/${name}`)));
const { constants, structs, enums } = JSON.parse(file('layout.json'));
const offset = (struct, field) => structs[struct].fields[field].offset;

const LIMITS = {
  ...{ shardCount: SHARDS, ringSlots: 64, creditCount: 32, sqeSlots: 16, cqeSlots: 16, readySlots: 128 },
  ...{ opSlots: 64, timerSlots: 64, taskSlots: 64, connectionSlots: 1, arenaBytes: 16_384, scratchBytes: 64 },
  ...{ recvBufferCount: 1, recvBufferBytes: 64, largeRecvBufferCount: 1, largeRecvBufferBytes: 64 },
  ...{ sendBufferCount: 1, sendBufferBytes: 64, callSlots: 0 },
};

const nowNs = () => Number(process.hrtime.bigint()); // the same clock in all threads

function instantiate(module, memory, enter) {
  const imports = { env: { memory }, uring: { enter }, wasi: { 'thread-spawn': () => -1 } };
  return new WebAssembly.Instance(module, imports).exports;
}

/** A memory of so many pages, after plan(). Returns how many it should have, too. */
function planned(module, pages) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const view = new DataView(memory.buffer);
  for (const [name, value] of Object.entries(LIMITS)) {
    view.setUint32(constants.HEADER + offset('Header', name), value, true);
  }
  const totalPages = instantiate(module, memory, () => {}).plan();
  const version = view.getUint32(constants.HEADER + offset('Header', 'abiVersion'), true);
  if (version !== 2) throw new Error(`this host was written for version 2 of the ABI, not for ${version}`);
  return { memory, totalPages };
}

class Shard {
  constructor(module, memory, bells, index) {
    this.bells = bells;
    this.index = index;
    this.view = new DataView(memory.buffer);
    this.base = this.header('shardsOffset') + index * this.header('shardBytes');
    this.core = instantiate(module, memory, () => this.enter());
    this.completions = [];
    this.waiting = []; // messages that were refused
    this.tasks = new Map();
    this.spawned = 0;
    this.fired = 0;
    this.settled = 0;
    this.setControl('quotaNs', 1e6, 'Float64');
    this.core.boot(index, nowNs());
  }

  header(name) {
    return this.view.getUint32(constants.HEADER + offset('Header', name), true);
  }

  control(name, type = 'Uint32') {
    return this.view[`get${type}`](this.base + offset('Control', name), true);
  }

  setControl(name, value, type = 'Uint32') {
    this.view[`set${type}`](this.base + offset('Control', name), value, true);
  }

  // --- enter ---------------------------------------------------------------------------------------------------------

  enter() {
    const { view } = this;
    for (let i = 0; i < this.control('submitCount'); i++) {
      const at = this.base + this.header('sqeOffset') + i * 64;
      const word = (name) => view.getUint32(at + offset('Sqe', name), true);
      const opcode = view.getUint8(at + offset('Sqe', 'opcode'));
      const flags = view.getUint8(at + offset('Sqe', 'flags'));
      if (opcode === DOORBELL) this.ring(word('fd'));
      else if (opcode === ECHO && (flags & QUIET) === 0) {
        this.completions.push({
          userData: view.getBigUint64(at + offset('Sqe', 'userData'), true),
          result: word('len'),
        });
      }
    }
    this.setControl('submitCount', 0);
    this.setControl('recycleCount', 0);
    this.setControl('nowNs', nowNs(), 'Float64');
    if (this.control('submitOnly') !== 0) return;
    let count = this.control('completionCount');
    for (; this.completions.length !== 0 && count < LIMITS.cqeSlots; count++) {
      const { userData, result } = this.completions.shift();
      const at = this.base + this.header('cqeOffset') + count * 16;
      view.setBigUint64(at + offset('Cqe', 'userData'), userData, true);
      view.setInt32(at + offset('Cqe', 'result'), result, true);
      view.setUint32(at + offset('Cqe', 'flags'), 0, true);
    }
    this.setControl('completionCount', count);
  }

  ring(shard) {
    Atomics.store(this.bells, shard, 1);
    Atomics.notify(this.bells, shard);
  }

  // --- the loop ------------------------------------------------------------------------------------------------------

  run(isDone) {
    const { core } = this;
    while (!isDone()) {
      this.enter();
      if (core.wantsTurn()) {
        core.turn();
        this.drain();
        this.runTasks();
        core.flush();
      } else if (this.control('submitCount') === 0 && core.trySleep(this.completions.length)) {
        const waitMs = (this.control('nextDeadlineNs', 'Float64') - nowNs()) / 1e6;
        Atomics.wait(this.bells, this.index, 0, waitMs);
        core.awake();
        Atomics.store(this.bells, this.index, 0);
      }
    }
    this.enter();
    core.stop();
  }

  drain() {
    const { view } = this;
    const { ReadyKind } = enums;
    for (;;) {
      const head = this.control('readyHead');
      if (head === this.control('readyTail')) return;
      const slot = head & (LIMITS.readySlots - 1);
      const entry = this.base + this.header('readyOffset') + slot * 16;
      const [kind, index] = [view.getUint32(entry, true), view.getUint32(entry + 4, true)];
      this.setControl('readyHead', (head + 1) >>> 0);
      if ((kind & 255) === ReadyKind.TIMER) this.fired++;
      else if ((kind & 255) === ReadyKind.OP) this.settled += view.getInt32(entry + 8, true);
      else if ((kind & 255) === ReadyKind.MAIL) this.onMail(index, this.base + this.header('inboxOffset') + slot * 64);
      else for (const send of this.waiting.splice(0)) send();
    }
  }

  runTasks() {
    if ((this.control('moreWork') & enums.MoreWork.TASKS) === 0) return;
    this.setControl('nowNs', nowNs(), 'Float64');
    for (let owner = this.core.firstTask(); owner !== 0; owner = this.core.nextTask()) {
      this.tasks.get(owner)();
      this.tasks.delete(owner);
      this.setControl('nowNs', nowNs(), 'Float64');
    }
  }

  spawn(run) {
    const owner = ++this.spawned;
    this.tasks.set(owner, run);
    if (this.core.spawnHost(0, owner) < 0) throw new Error('the table of tasks is full');
  }

  // --- messages ------------------------------------------------------------------------------------------------------

  onMail(peer, at) {
    const { view } = this;
    const field = (name) => view.getUint32(at + offset('Message', name), true);
    const payload = field('payload');
    const from = payload === 0 ? at + constants.MESSAGE_INLINE : payload;
    if (view.getUint8(at) === REPLY) this.onReply(field('number'), view.getFloat64(from, true));
    else if (payload === 0) this.send(peer, REPLY, field('number'), [view.getFloat64(from, true) + 1]);
    else {
      let sum = 0;
      for (let i = 0; i < field('payloadBytes'); i += 8) sum += view.getFloat64(from + i, true);
      this.send(peer, REPLY, field('number'), [sum]);
    }
    if (payload !== 0) this.core.arenaRelease(payload);
  }

  /** Sends these numbers, or keeps them until there is room. */
  send(peer, kind, number, values) {
    if (this.waiting.length !== 0 || !this.post(peer, kind, number, values)) {
      this.waiting.push(() => this.send(peer, kind, number, values));
    }
  }

  post(peer, kind, number, values) {
    const { view, core } = this;
    const bytes = values.length * 8;
    let payload = 0;
    if (bytes > constants.INLINE_BYTES) {
      if (core.mayPost(peer, kind) !== enums.Code.OK) return false;
      payload = core.payloadTake(bytes) >>> 0;
      if (payload === 0) return false;
    }
    const at = this.base + this.header('outgoingOffset');
    values.forEach((value, i) => {
      view.setFloat64((payload === 0 ? at + constants.MESSAGE_INLINE : payload) + i * 8, value, true);
    });
    view.setUint8(at, kind);
    view.setUint32(at + offset('Message', 'number'), number, true);
    view.setUint32(at + offset('Message', 'payloadBytes'), bytes, true);
    view.setUint32(at + offset('Message', 'payload'), payload, true);
    return core.post(peer) === enums.Code.OK;
  }
}

// --- the program ----------------------------------------------------------------------------------------------------

const BOOTED = SHARDS; // words behind the doorbells: how many shards have booted, and whether all is done
const DONE = SHARDS + 1;

function waitForAll(bells) {
  Atomics.add(bells, BOOTED, 1);
  Atomics.notify(bells, BOOTED);
  for (let count = 0; count < SHARDS; count = Atomics.load(bells, BOOTED)) Atomics.wait(bells, BOOTED, count);
}

function serve({ module, memory, bells, index }) {
  const shard = new Shard(module, memory, bells, index);
  waitForAll(bells);
  shard.run(() => Atomics.load(bells, DONE) === 1);
}

/** Makes the calls. Prints what has come of them. */
function call(shard, bells, calls) {
  const values = Array.from({ length: LARGE_BYTES / 8 }, (_, i) => i);
  const sum = values.reduce((total, value) => total + value);
  const startNs = nowNs();
  let sent = 0;
  let replied = 0;
  const next = () => {
    const number = sent++;
    shard.send(1, REQUEST, number, number % LARGE_EVERY === 0 ? values : [number]);
  };
  shard.onReply = (number, value) => {
    if (value !== (number % LARGE_EVERY === 0 ? sum : number + 1)) throw new Error(`${number}: ${value}`);
    replied++;
    if (sent < calls) next();
  };
  const { core } = shard;
  let stepped = 0;
  for (let i = 1; i <= 20; i++) core.armTimer(nowNs() + i * 1e6, 0, i);
  for (let i = 0; i < 5; i++) shard.spawn(() => stepped++);
  core.submit(ECHO, 0, 0, 0, 0, 0, 30, 0, 0, 1, 0, 0);
  core.submit(ECHO, QUIET, 0, 0, 0, 0, 12, 0, 0, 1, 0, 0);
  while (sent < Math.min(calls, OPEN_MAX)) next();
  shard.run(() => replied === calls && shard.fired === 20 && stepped === 5 && shard.settled === 42);
  const microseconds = (nowNs() - startNs) / 1000 / calls;
  console.log(
    `${replied} calls between two threads, ${shard.fired} timers, ${stepped} tasks, ${shard.settled} settled`,
  );
  console.error(`${microseconds.toFixed(2)} µs a call`);
  Atomics.store(bells, DONE, 1);
  shard.ring(1);
}

if (isMainThread) {
  const calls = Number(process.argv[2] ?? 100_000);
  const module = new WebAssembly.Module(file('core.wasm'));
  const { totalPages } = planned(module, 1);
  const { memory } = planned(module, totalPages);
  const bells = new Int32Array(new SharedArrayBuffer(4 * (SHARDS + 2)));
  const worker = new Worker(new URL(import.meta.url), { workerData: { module, memory, bells, index: 1 } });
  worker.on('error', (error) => {
    throw error;
  });
  await new Promise((resolve) => worker.once('online', resolve));
  const shard = new Shard(module, memory, bells, 0);
  waitForAll(bells);
  call(shard, bells, calls);
} else serve(workerData);
