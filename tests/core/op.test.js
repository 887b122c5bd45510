// core: both
// Operations, from submit() to the last completion: each rule by itself, then random lives against a fake kernel.
//
// The fake kernel (support/core.js takes the SQEs; `Kernel` below answers them) hands out files and buffers. What it
// handed out must reach its owner, exactly once, also what comes after a cancel.
//
// Next: task.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ReadyKind } from '../../dist/host/core/layout.js';
import { Cluster, Code, CQE_BUFFER, CQE_MORE, MoreWork, OP_MSG_RING, oneShard } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const ACCEPT = 13;
const CANCEL = 14;
const CLOSE = 19;
const READ = 22;
const SEND = 26;
const RECV = 27;
const SHUTDOWN = 34;
const SOCKET = 45;
const SKIP_SUCCESS = 64;
const ECANCELED = -125;

/** submit() with what matters; the rest is 0. */
function submit(shard, opcode, { flags = 0, file = 3, ptr = 0, len = 0, owner = 1, tag = 0, fileIndex = 0 } = {}) {
  return shard.core.submit(opcode, flags, 0, file, 0, ptr, len, 0, fileIndex, owner, tag);
}

function entry(owner, result, extra = 0, tag = 0) {
  return { kind: ReadyKind.OP, tag, index: owner, result, extra };
}

test('an SQE says what was asked, and its completion comes back to the owner with the tag', () => {
  const shard = oneShard();
  const index = shard.core.submit(SEND, 1, 2, 3, 2 ** 40, 0xfffffff0, 5, 6, -1, 77, 9, 1);
  const generation = shard.opGeneration(index);
  shard.enter();
  const [sqe] = shard.sqes;
  assert.equal(sqe, {
    ...{ opcode: SEND, flags: 1, ioprio: 2, fd: 3, off: 2n ** 40n, addr: 0xfffffff0n, len: 5, opFlags: 6 },
    ...{ index, generation, fileIndex: 0xffffffff, bufGroup: 1 },
  });
  assert.is(shard.core.openOps(), 1);
  assert.is(shard.u32[shard.slotWord(shard.header.opsOffset, 64, index) + 2], SEND, 'host/runtime/stats.ts reads it');
  shard.complete(sqe, 5, 0x40);
  assert.equal(shard.turn(), [entry(77, 5, 0x40, 9)]);
  assert.is(shard.core.openOps(), 0);
  assert.equal(shard.counters().completions, 1);
});

test('a late or second completion, or one for nobody, is counted and not obeyed', () => {
  const shard = oneShard();
  submit(shard, READ);
  shard.enter();
  const [sqe] = shard.sqes;
  shard.complete(sqe, 1);
  shard.complete(sqe, 2);
  assert.equal(shard.turn(), [entry(1, 1)]);
  assert.is(submit(shard, READ, { owner: 2 }), sqe.index, 'the slot is taken again');
  for (const index of [sqe.index, 0, 64, 65, 2 ** 32 - 1]) shard.complete({ index, generation: sqe.generation }, 3);
  shard.complete({ index: 0, generation: 0 }, -2);
  assert.equal(shard.turn(), []);
  assert.is(shard.counters().staleCompletions, 7);
  assert.is(shard.core.openOps(), 1);
});

test('a multishot operation lives until a completion without MORE', () => {
  const shard = oneShard();
  const index = submit(shard, RECV, { owner: 5 });
  shard.enter();
  const [sqe] = shard.sqes;
  for (let i = 0; i < 3; i++) shard.complete(sqe, i, CQE_MORE | CQE_BUFFER | (i << 16));
  assert.is(shard.turn().length, 3);
  assert.is(shard.core.openOps(), 1);
  shard.complete(sqe, 0);
  assert.equal(shard.turn(), [entry(5, 0)]);
  assert.is(shard.core.openOps(), 0);
  assert.is(shard.core.cancelOp(index, sqe.generation), Code.STALE);
});

test('a SEND grows while it is staged, and not later', () => {
  const shard = oneShard({ sqeSlots: 4 });
  const index = submit(shard, SEND, { len: 100 });
  const generation = shard.opGeneration(index);
  assert.is(shard.core.extend(index, generation, 23), 0);
  assert.is(shard.core.extend(index, generation + 2, 1), Code.STALE);
  assert.is(shard.core.extend(0, 1, 1), Code.STALE);
  shard.enter();
  assert.is(shard.sqes[0].len, 123);
  assert.is(shard.core.extend(index, generation, 1), Code.STALE, 'submitted');
  submit(shard, READ, { len: 7, owner: 2 }); // in the same place of the window
  assert.is(shard.core.extend(index, generation, 1), Code.STALE, "another's SQE lies there now");
  shard.enter();
  assert.is(shard.sqes[1].len, 7);
});

test('cancelling asks the kernel; the operation completes as ever', () => {
  const shard = oneShard();
  const index = submit(shard, READ);
  shard.enter();
  const [sqe] = shard.sqes;
  assert.is(shard.core.cancelOp(index, sqe.generation), 0);
  shard.enter();
  const cancel = shard.sqes[1];
  assert.equal([cancel.opcode, cancel.flags, cancel.index, cancel.generation], [CANCEL, SKIP_SUCCESS, 0, 0]);
  assert.is(cancel.addr, (BigInt(sqe.generation) << 32n) | BigInt(index));
  shard.complete(sqe, ECANCELED);
  assert.equal(shard.turn(), [entry(1, ECANCELED)]);
  assert.is(shard.core.cancelOp(index, sqe.generation), Code.STALE);
});

test('files are closed also when the op table is full', () => {
  const shard = oneShard({ opSlots: 2 });
  submit(shard, ACCEPT);
  submit(shard, READ);
  assert.is(submit(shard, READ), Code.FULL);
  shard.enter();
  shard.sqes.splice(0);
  for (const file of [7, 0]) assert.ok(shard.core.closeFile(file) >= 0); // file 0 is a file
  shard.enter();
  const closes = shard.sqes.filter((each) => each.opcode === CLOSE);
  assert.equal(
    closes.map(({ fileIndex, bufGroup }) => [fileIndex - 1, bufGroup]),
    [
      [7, 0],
      [0, 0],
    ],
  );
  for (const close of closes) shard.complete(close, 0);
  assert.equal(shard.turn(), []);
  assert.is(shard.core.openOps(), 2);
});

test('closing a file asks for nothing else', () => {
  const shard = oneShard();
  const index = shard.core.closeFile(7);
  const none = { flags: 0, ioprio: 0, fd: 0, off: 0n, addr: 0n, len: 0, opFlags: 0, bufGroup: 0 };
  assert.equal(shard.sqeAt(0), {
    ...none,
    ...{ opcode: CLOSE, fileIndex: 8, index, generation: shard.opGeneration(index) },
  });
});

test('an operation without an owner completes without an event, and its slot is free again', () => {
  const shard = oneShard();
  submit(shard, CLOSE, { owner: 0 });
  submit(shard, SHUTDOWN, { owner: 0, flags: SKIP_SUCCESS }); // is not quiet: no owner is to be told
  assert.is(shard.core.openOps(), 2);
  shard.enter();
  for (const sqe of shard.sqes) shard.complete(sqe, 0);
  assert.equal(shard.turn(), []);
  assert.is(shard.core.openOps(), 0);
});

test('the doorbell of a peer that sleeps is a message to its ring, and completes only if it fails', () => {
  const [a, b] = new Cluster(2).shards;
  assert.is(b.core.trySleep(0), 1);
  a.post(1);
  a.core.flush();
  assert.is(a.word('submitCount'), 1);
  const { opcode, flags, fd, index, generation } = a.sqeAt(0);
  assert.equal([opcode, flags, fd, index, generation], [OP_MSG_RING, SKIP_SUCCESS, 1, 0, 0]);
});

test('the recycle list takes as many buffers as there are, and no more', () => {
  const shard = oneShard({ recvBufferCount: 4, largeRecvBufferCount: 2 });
  for (let i = 0; i < 8; i++) shard.core.recycle(i % 6); // two of them twice
  assert.is(shard.word('recycleCount'), 6);
  shard.enter();
  assert.equal(shard.recycled, [0, 1, 2, 3, 4, 5]);
});

test('a full window is emptied in mid-turn, without touching the completions', () => {
  const shard = oneShard({ sqeSlots: 4 });
  const entered = [];
  const enter = shard.enter.bind(shard);
  shard.enter = () => {
    entered.push(shard.word('submitOnly'));
    enter();
  };
  for (let i = 0; i < 11; i++) submit(shard, READ, { len: i });
  assert.equal(entered, [1, 1]);
  assert.is(shard.word('submitOnly'), 0);
  assert.is(shard.word('submitCount'), 3);
  shard.enter();
  assert.equal(
    shard.sqes.map(({ len }) => len),
    Array.from({ length: 11 }, (_, i) => i),
  );
  assert.is(shard.counters().submissions, 11);
});

test('a host that leaves the window full is stopped before the next SQE lands beyond it', () => {
  const shard = oneShard({ sqeSlots: 2 });
  shard.enter = () => {};
  submit(shard, READ);
  submit(shard, READ);
  assert.throws(
    () => submit(shard, READ),
    (error) => error instanceof WebAssembly.RuntimeError,
  );
});

test('the op table is full at its limit, and FULL stages nothing', () => {
  const shard = oneShard({ opSlots: 3 });
  for (let i = 0; i < 3; i++) assert.is(submit(shard, READ), i + 1);
  assert.is(submit(shard, READ), Code.FULL);
  assert.is(shard.word('submitCount'), 3);
  shard.enter();
  shard.complete(shard.sqes[1], 0);
  shard.turn();
  assert.is(submit(shard, READ), 2);
});

test('a ready ring without room for all completions leaves them in the window', () => {
  const shard = oneShard({ readySlots: 32, cqeSlots: 16 });
  const index = submit(shard, RECV);
  shard.enter();
  const [sqe] = shard.sqes;
  for (let i = 0; i < 60; i++) shard.complete(sqe, i, CQE_MORE);
  const results = [];
  for (let i = 0; i < 12; i++) {
    shard.enter();
    shard.core.turn();
    if (i === 3) {
      assert.is(shard.word('submitOnly'), 1);
      assert.ok(shard.word('moreWork') & MoreWork.BLOCKED);
      assert.is(shard.core.wantsTurn(), 1);
    }
    if (i >= 3) results.push(...shard.drain(10).map(({ result }) => result));
  }
  while (results.length < 60) results.push(...shard.turn().map(({ result }) => result));
  assert.equal(
    results,
    Array.from({ length: 60 }, (_, i) => i),
  );
  assert.is(shard.word('moreWork'), 0);
  assert.is(shard.opGeneration(index), sqe.generation);
});

test('a ready ring with room for just the completions takes them', () => {
  const shard = oneShard({ readySlots: 32, cqeSlots: 16 });
  for (let i = 0; i < 16; i++) shard.core.armTimer(0, 0, 1);
  submit(shard, RECV);
  shard.enter();
  shard.core.turn();
  for (let i = 0; i < 16; i++) shard.complete(shard.sqes[0], i, CQE_MORE);
  shard.enter();
  shard.core.turn();
  assert.equal([shard.word('readyTail'), shard.word('submitOnly')], [32, 0]);
});

// --- random lives ---------------------------------------------------------------------------------------------------

const MULTISHOT = [ACCEPT, RECV];

/** Completes its operations, in any order, with files and buffers of its own making. */
class Kernel {
  constructor(random, shard) {
    Object.assign(this, {
      random,
      shard,
      running: [],
      files: new Set(),
      buffers: new Set(),
      nextFile: 0,
      ending: false,
    });
    this.closing = new Set(); // CLOSE operations that have a slot, as index:generation
    this.freeBuffers = Array.from({ length: shard.header.recvBufferCount }, (_, i) => i);
  }

  /** Takes what was submitted; `staged` is what the test staged, in order. */
  take(staged) {
    for (const sqe of this.shard.sqes.splice(0)) {
      if (sqe.opcode === CLOSE) {
        assert.ok(this.files.delete(sqe.fileIndex - 1), `file ${sqe.fileIndex - 1} is closed twice`);
        if (sqe.generation !== 0) this.closing.add(`${sqe.index}:${sqe.generation}`);
        this.shard.complete(sqe, 0);
      } else if (sqe.opcode === CANCEL) this.cancel(sqe.addr);
      else {
        const asked = staged.shift();
        assert.equal(
          [sqe.index, sqe.generation, sqe.len],
          [asked.index, asked.generation, asked.len],
          'nothing is lost',
        );
        this.running.push(sqe);
      }
    }
    for (const buffer of this.shard.recycled.splice(0)) this.giveBack(buffer);
  }

  giveBack(buffer) {
    assert.ok(this.buffers.delete(buffer), `buffer ${buffer} comes back twice`);
    this.freeBuffers.push(buffer);
  }

  cancel(userData) {
    const [index, generation] = [Number(userData & 0xffffffffn), Number(userData >> 32n)];
    const at = this.running.findIndex((sqe) => sqe.index === index && sqe.generation === generation);
    if (at >= 0 && this.random(2) === 0) this.shard.complete(this.running.splice(at, 1)[0], ECANCELED);
  }

  completeOne() {
    const at = this.random(this.running.length);
    const sqe = this.running[at];
    const more = !this.ending && MULTISHOT.includes(sqe.opcode) && this.random(4) > 0 ? CQE_MORE : 0;
    if (more === 0) this.running.splice(at, 1);
    if (this.random(5) === 0) this.shard.complete(sqe, -11, more);
    else if (sqe.opcode === ACCEPT || sqe.opcode === SOCKET) {
      this.files.add(this.nextFile);
      this.shard.complete(sqe, this.nextFile++, more);
    } else if (sqe.opcode === RECV && this.freeBuffers.length > 0) {
      const buffer = this.freeBuffers.pop();
      this.buffers.add(buffer);
      this.shard.complete(sqe, 9, more | CQE_BUFFER | (buffer << 16));
    } else this.shard.complete(sqe, sqe.len, more);
  }
}

class Life {
  constructor(random) {
    this.random = random;
    this.shard = oneShard({ sqeSlots: 1 << random(5), cqeSlots: 8, readySlots: 32, opSlots: 30 });
    this.kernel = new Kernel(random, this.shard);
    this.ops = new Map(); // index -> op
    this.dead = [];
    Object.assign(this, { owner: 0, staged: [], full: 0, stale: 0 });
  }

  submit() {
    const { random, shard } = this;
    const opcode = [ACCEPT, RECV, SEND, READ, SOCKET][random(5)];
    const owner = ++this.owner;
    const op = { opcode, owner, tag: random(2 ** 24), len: random(1000) };
    const index = submit(shard, opcode, op);
    if (index === Code.FULL) {
      this.full++;
      return;
    }
    assert.not(this.ops.has(index), 'a slot that is taken');
    Object.assign(op, { index, generation: shard.opGeneration(index) });
    this.ops.set(index, op);
    this.staged.push(op);
  }

  /** One operation that lives or did, for cancel and extend. */
  some() {
    const live = [...this.ops.values()];
    if (live.length > 0 && this.random(4) > 0) return { op: live[this.random(live.length)], alive: true };
    return { op: this.dead[this.random(this.dead.length)] ?? { index: 31, generation: 1 }, alive: false };
  }

  change() {
    const { core } = this.shard;
    const { op, alive } = this.some();
    const { index, generation } = op;
    if (this.random(2) === 0) {
      const isStaged = alive && this.staged.includes(op) && !this.shard.sqes.some((sqe) => sqe.index === index);
      assert.is(core.extend(index, generation, 5), isStaged ? 0 : Code.STALE, 'extend');
      if (isStaged) op.len += 5;
    } else assert.is(core.cancelOp(index, generation), alive ? 0 : Code.STALE, 'cancel');
  }

  /** What the last enter put into the window. */
  window() {
    const { u32, i32, base, header } = this.shard;
    return Array.from({ length: this.shard.word('completionCount') }, (_, i) => {
      const at = (base + header.cqeOffset + i * 16) >>> 2;
      return { index: u32[at], generation: u32[at + 1], result: i32[at + 2], flags: u32[at + 3] };
    });
  }

  turn() {
    const { shard, kernel } = this;
    if (this.random(6) === 0 && this.dead.length > 0) shard.complete(this.dead[this.random(this.dead.length)], 1);
    shard.enter();
    kernel.take(this.staged);
    const expected = [];
    const owners = [];
    for (const { index, generation, result, flags } of this.window()) {
      const op = this.ops.get(index);
      if (op?.generation !== generation) {
        if (!kernel.closing.delete(`${index}:${generation}`)) this.stale++;
        continue;
      }
      expected.push(entry(op.owner, result, flags, op.tag));
      owners.push(op);
      if (flags & CQE_MORE) continue;
      this.ops.delete(index);
      this.dead.push(op);
      if (this.dead.length > 100) this.dead.shift();
    }
    shard.core.turn();
    const entries = shard.drain();
    assert.equal(entries, expected);
    for (const [i, { result, extra }] of entries.entries()) this.consume(owners[i], result, extra);
    kernel.take(this.staged);
    assert.is(shard.counters().staleCompletions, this.stale);
  }

  /** The owner uses what it got, and gives it back. */
  consume({ opcode }, result, flags) {
    if ((opcode === ACCEPT || opcode === SOCKET) && result >= 0) assert.ok(this.shard.core.closeFile(result) >= 0);
    if (flags & CQE_BUFFER) this.shard.core.recycle(flags >>> 16);
  }

  step() {
    const what = this.random(20);
    if (what < 6) this.submit();
    else if (what < 10) this.change();
    else if (what < 16) {
      if (this.kernel.running.length > 0) this.kernel.completeOne();
    } else this.turn();
  }

  finish() {
    const { kernel, shard } = this;
    for (let i = 0; i < 10; i++) this.turn();
    kernel.ending = true;
    while (this.ops.size > 0 || kernel.files.size > 0) {
      while (kernel.running.length > 0) kernel.completeOne();
      this.turn();
    }
    for (let i = 0; i < 10; i++) this.turn();
    assert.is(shard.core.openOps(), 0);
    assert.is(kernel.buffers.size, 0, 'every buffer came back');
    assert.is(kernel.freeBuffers.length, shard.header.recvBufferCount);
    assert.is(this.staged.length, 0);
    assert.is(shard.core.wantsTurn(), 0);
  }
}

test('files and buffers reach their owner, exactly once: half a million random steps', () => {
  const seen = { full: 0, stale: 0, files: 0 };
  forSeeds(FULL ? 200 : 50, (random) => {
    const life = new Life(random);
    for (let i = 0; i < 10_000; i++) life.step();
    life.finish();
    seen.full += life.full;
    seen.stale += life.stale;
    seen.files += life.kernel.nextFile;
  });
  for (const [name, count] of Object.entries(seen)) assert.ok(count > 100, `${name}: ${count}`);
});

// --- quiet operations -----------------------------------------------------------------------------------------------

test('a quiet operation has its event after the enter that submits it, in success and in failure, once', () => {
  const shard = oneShard();
  const good = submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 1, tag: 4, len: 10 });
  shard.core.extend(good, shard.opGeneration(good), 3);
  submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 2, len: 20 });
  submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 3, len: 30 });
  shard.core.turn();
  assert.equal(shard.drain(), [], 'nothing was submitted yet');
  const take = shard.enter.bind(shard);
  shard.enter = () => {
    // decided in this enter
    if (shard.enters === 0) shard.complete({ index: 2, generation: shard.opGeneration(2) }, -32);
    take();
  };
  assert.equal(shard.turn(), [entry(2, -32), entry(3, 30), entry(1, 13, 0, 4)]);
  assert.is(shard.core.openOps(), 0);
  assert.equal(shard.turn(), []);

  shard.sqes.splice(0);
  for (let i = 1; i <= 3; i++) submit(shard, READ, { owner: i }); // in the same slots
  shard.enter();
  for (const sqe of shard.sqes) shard.complete(sqe, 1);
  assert.is(shard.turn().length, 3);
  assert.is(shard.core.openOps(), 0, 'they are not quiet');
});

test('a quiet operation is not settled as long as completions may be left in the kernel', () => {
  const shard = oneShard({ cqeSlots: 4 });
  submit(shard, RECV, { owner: 1 });
  submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 2, len: 20 });
  shard.enter();
  const [receive, send] = shard.sqes;
  for (let i = 0; i < 4; i++) shard.complete(receive, i, CQE_MORE);
  shard.complete(send, -32); // behind a full window
  assert.is(shard.turn().length, 4);
  assert.equal(shard.turn(), [entry(2, -32)]);
  assert.is(shard.core.openOps(), 1);
});

test('a full ready ring leaves quiet operations for the next turn', () => {
  const shard = oneShard({ readySlots: 32, sqeSlots: 64 });
  for (let i = 1; i <= 40; i++) submit(shard, SEND, { flags: SKIP_SUCCESS, owner: i, len: 100 + i });
  shard.enter();
  shard.core.turn();
  assert.is(shard.core.openOps(), 8);
  shard.core.turn(); // and the host has drained nothing
  assert.is(shard.core.openOps(), 8);
  const entries = [...shard.drain(), ...shard.turn()];
  assert.equal(
    entries,
    Array.from({ length: 40 }, (_, i) => entry(40 - i, 140 - i)), // newest first
  );
});

test('an owner in a hurry gets a turn at once, if a quiet operation is open', () => {
  const shard = oneShard();
  shard.core.hurry();
  assert.is(shard.core.wantsTurn(), 0, 'nothing is open');
  submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 1, len: 10 });
  assert.is(shard.core.wantsTurn(), 0, 'the owner can wait');
  shard.core.hurry();
  assert.is(shard.word('moreWork'), MoreWork.QUIET);
  assert.equal(shard.turn(), [entry(1, 10)]);
  assert.is(shard.word('moreWork'), 0);
});

test('a quiet operation is not settled by a turn that takes the completions of an earlier enter', () => {
  const shard = oneShard({ readySlots: 32, cqeSlots: 16 });
  submit(shard, RECV, { owner: 1 });
  shard.enter();
  for (let i = 0; i < 32; i++) shard.core.armTimer(0, 0, 3);
  shard.core.turn();
  shard.complete(shard.sqes[0], 7, CQE_MORE);
  shard.enter();
  shard.core.turn(); // the ready ring is full of timers, so the window stays as it is
  submit(shard, SEND, { flags: SKIP_SUCCESS, owner: 2, len: 20 });
  shard.complete({ index: 2, generation: shard.opGeneration(2) }, -32);
  shard.enter(); // the failure finds no place in the window
  assert.is(shard.drain().length, 32);
  shard.core.turn();
  assert.equal(shard.drain(), [entry(1, 7, CQE_MORE)]);
  assert.equal(shard.turn(), [entry(2, -32)]);
  assert.is(shard.core.openOps(), 1);
});

test.run();
