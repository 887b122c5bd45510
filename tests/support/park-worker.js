// One shard in a thread of its own, for ../core/park.test.js: it calls its peer, replies to it, and sleeps whenever it
// finds nothing to do. A doorbell is a notify on a word; a bell that rang before the sleep prevents it, as a completion
// in the kernel's ring does.
//
// Everything it knows about itself it writes to `progress`, where the main thread looks for a standstill. This thread
// never returns to its event loop before the end.

import { parentPort, workerData } from 'node:worker_threads';
import { coreModule } from '../../dist/host/core/core.js';
import { HEADER_STATES, ReadyKind, ShardState } from '../../dist/host/core/layout.js';
import { randomFrom } from '../http/random.js';
import { Code, Kind, TestShard } from './core.js';

const { memory, header, index, seed, bells, progress, flags, recheck } = workerData;
const STOP = 0; // flags: 0 stop, 1 and 2 finished
const peer = 1 - index;
const random = randomFrom(seed + index);
const states = new Int32Array(memory.buffer, HEADER_STATES, 2);

const doorbell = {
  get bells() {
    return 0;
  },
  set bells(_count) {
    ringPeer();
  },
};

function ringPeer() {
  Atomics.add(bells, peer, 1);
  Atomics.notify(bells, peer);
}

const shard = new TestShard({ memory, header, bootNs: 1e9, shards: [doorbell, doorbell] }, index, coreModule());
const { core } = shard;
shard.boot();

let open = 0;
let calls = 0;
let answered = 0;
let served = 0;
let sleeps = 0;
let seenBell = 0;

/** Moves this thread a little against the other one, now by nanoseconds, now by much. */
function dawdle() {
  for (let left = random(4) === 0 ? random(5000) : random(50); left > 0; left--) Atomics.load(flags, STOP);
}

let owed = 0; // replies that found no room

function post(kind) {
  const result = shard.post(peer, { kind });
  if (result < 0 && result !== Code.FULL && result !== Code.NO_CREDIT) throw new Error(`post returned ${result}`);
  return result === 0;
}

function call() {
  if (!post(Kind.REQUEST)) return;
  calls++;
  open++;
}

function reply() {
  for (; owed > 0 && post(Kind.REPLY); owed--) served++;
}

function take({ kind, message }) {
  Atomics.add(progress, index, 1);
  if (kind === ReadyKind.ROOM) return; // reply() comes in any case
  if (message.kind === Kind.REQUEST) owed++;
  else {
    open--;
    answered++;
  }
}

/** R1 and R2 of park.ts; without R2 if the test asks for a protocol that loses wake-ups. */
function maySleep() {
  if (recheck) return core.trySleep(0) === 1;
  if (core.wantsTurn()) return false;
  dawdle();
  Atomics.store(shard.control, 128 >> 2, 1);
  return true;
}

function park() {
  dawdle();
  if (!maySleep()) return;
  dawdle();
  sleeps++;
  Atomics.wait(bells, index, seenBell);
  seenBell = Atomics.load(bells, index);
  core.awake();
}

function isOver() {
  if (Atomics.load(flags, STOP) === 0 || open > 0) return false;
  if (Atomics.exchange(flags, 1 + index, 1) === 0) ringPeer(); // it may be asleep, with nothing else to wake it
  return Atomics.load(flags, 1 + peer) === 1;
}

/** The peer wakes us when it replies to a call, or is over. With neither to come, the next look at `flags` is ours. */
function isExpecting() {
  return open > 0 || Atomics.load(flags, 1 + index) === 1;
}

while (Atomics.load(states, peer) !== ShardState.RUNNING) dawdle();
while (!isOver()) {
  const entries = shard.turn();
  entries.forEach(take);
  reply();
  dawdle();
  if (Atomics.load(flags, STOP) === 0 && (open === 0 || random(3) === 0)) call();
  core.flush();
  shard.enter(); // submits the doorbells
  if (isExpecting() && (entries.length === 0 || random(4) === 0)) park();
}
parentPort.postMessage({ calls, answered, served, sleeps, ...shard.counters(), openCalls: open });
