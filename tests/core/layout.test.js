// core: both
// The map of memory: host/core/layout.ts against the core, whose assembly/layout.ts is the original.
//
// The core exports no offsets, so each of the host's is shown to be right by effect: somebody writes there, and the
// core does what it should, or the other way round. And plan()'s arithmetic is done again here, in numbers that
// cannot wrap.
//
// Next: wheel.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { coreModule, DEFAULT_LIMITS, instantiateCore, makeMemory } from '../../dist/host/core/core.js';
import * as layout from '../../dist/host/core/layout.js';
import { Cluster, Code, Kind, MoreWork, oneShard, SMALL } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const { Control, HEADER, HEADER_SCRATCH, HEADER_STATES, ReadyKind, SHARDS_MAX, ShardState } = layout;
const PAGE = 65536;
const MESH = 8192;

/** Regions of a shard in the order of the drawing: name of the header's field, bytes, alignment. */
function regions(h) {
  return [
    ['sqeOffset', h.sqeSlots * 64, 64],
    ['cqeOffset', h.cqeSlots * 16, 64],
    ['recycleOffset', (h.recvBufferCount + h.largeRecvBufferCount) * 4, 64],
    ['readyOffset', h.readySlots * 16, 64],
    ['countersOffset', 256, 64],
    ['opsOffset', (h.opSlots + 1) * 64, 64],
    ['timersOffset', (h.timerSlots + 1) * 32, 64],
    ['wheelOffset', 8192, 64],
    ['tasksOffset', (h.taskSlots + 1) * 32, 64],
    ['groupsOffset', 16 * 64, 64],
    ['inboxOffset', h.readySlots * layout.MESSAGE_BYTES, 64],
    ['outgoingOffset', layout.MESSAGE_BYTES, 64],
    ['connectionsOffset', h.connectionSlots * layout.CONNECTION_BYTES, 64],
    ['scratchOffset', h.scratchBytes, 64],
    ['arenaOffset', h.arenaBytes, 64],
    ['recvOffset', h.recvBufferCount * h.recvBufferBytes + h.largeRecvBufferCount * h.largeRecvBufferBytes, 4096],
    ['sendOffset', h.sendBufferCount * (h.sendBufferBytes + layout.SEND_STAGGER), 4096],
  ];
}

/** Runs plan() over two pages, as makeMemory() does. Returns its result and the header. */
function plan(shardCount, limits) {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  layout.writeLimits(memory, shardCount, limits);
  const never = () => assert.unreachable('plan() calls nobody');
  const core = instantiateCore(coreModule(), memory, { enter: never, threadSpawn: never });
  const pages = core.plan();
  const header = layout.readHeader(memory);
  assert.equal([core.plan(), layout.readHeader(memory)], [pages, header], 'the same each time');
  return { pages, header };
}

function checkPlan({ pages, header: h }) {
  assert.is(h.magic, 0x52545346);
  assert.is(h.abiVersion, layout.ABI_VERSION);
  assert.is(h.ringBytes, 512 + h.ringSlots * 64);
  assert.is(h.shardsOffset % PAGE, 0);
  assert.is(h.shardBytes % PAGE, 0);
  assert.ok(MESH + h.shardCount ** 2 * h.ringBytes <= h.shardsOffset, 'the mesh ends before the shards');
  assert.is(pages, h.totalPages);
  assert.is(h.totalPages * PAGE, h.shardsOffset + h.shardCount * h.shardBytes);
  assert.ok(h.totalPages <= 65535);
  let end = 512; // the control block
  for (const [name, bytes, align] of regions(h)) {
    assert.is(h[name] % align, 0, name);
    assert.ok(h[name] >= end && h[name] < end + align, `${name} ${h[name]} follows ${end}`);
    end = h[name] + bytes;
  }
  end += layout.GUARD_BYTES;
  assert.ok(end <= h.shardBytes && end > h.shardBytes - PAGE, 'the guard ends in the last page');
}

test('plan() places every region, aligned, one behind the other', () => {
  checkPlan(plan(1, DEFAULT_LIMITS));
  checkPlan(plan(2, DEFAULT_LIMITS));
  checkPlan(plan(16, SMALL));
  checkPlan(plan(SHARDS_MAX, SMALL));
  const ones = Object.fromEntries(Object.keys(SMALL).map((name) => [name, 1]));
  checkPlan(plan(1, ones));
});

test('plan() with random limits: placed right, or refused because it is more than 4 GiB', () => {
  const refused = [0, 0];
  forSeeds(1, (random) => {
    for (let i = 0; i < (FULL ? 20_000 : 2000); i++) {
      const limits = Object.fromEntries(Object.keys(SMALL).map((name) => [name, 1 + random(1 << random(18))]));
      limits.arenaBytes = 16 * (1 + random(1 << random(26)));
      const shardCount = 1 + random(SHARDS_MAX);
      const planned = plan(shardCount, limits);
      const h = { ...planned.header, shardCount, ...limits };
      let end = 512;
      for (const [, bytes, align] of regions(h)) end = Math.ceil(end / align) * align + bytes;
      const shards = Math.ceil((MESH + shardCount ** 2 * (512 + limits.ringSlots * 64)) / PAGE);
      const pages = shards + shardCount * Math.ceil((end + layout.GUARD_BYTES) / PAGE);
      refused[pages > 65535 ? 1 : 0]++;
      assert.is(planned.pages, pages > 65535 ? 0 : pages);
      if (planned.pages !== 0) checkPlan(planned);
    }
  });
  assert.ok(refused[0] > 100 && refused[1] > 100, `${refused}`);
});

test('more than 4 GiB is refused, also where 32 bits would wrap round to little', () => {
  const tooMuch = (shardCount, change) => {
    assert.is(plan(shardCount, { ...SMALL, ...change }).pages, 0, JSON.stringify(change));
    assert.throws(() => makeMemory(shardCount, { ...SMALL, ...change }), /4 GiB/);
  };
  const takesMemory = Object.keys(SMALL).filter((name) => name !== 'callSlots'); // that one is the host's
  for (const name of takesMemory) tooMuch(2, { [name]: 2 ** 32 - 1 });
  for (const power of [25, 26, 27, 30, 31]) {
    for (const name of ['ringSlots', 'opSlots', 'timerSlots', 'sqeSlots', 'sendBufferBytes']) {
      tooMuch(64, { [name]: 2 ** power });
    }
  }
  tooMuch(2, { arenaBytes: 2 ** 31 });
  tooMuch(2, { sendBufferBytes: 2 ** 32 - 192 });
  tooMuch(SHARDS_MAX + 1, {});
  tooMuch(2 ** 16, {});
  checkPlan(plan(1, { ...SMALL, arenaBytes: 2 ** 31 }));

  const { pages } = plan(1, SMALL);
  const most = SMALL.arenaBytes + (65535 - pages) * PAGE;
  checkPlan(plan(1, { ...SMALL, arenaBytes: most }));
  tooMuch(1, { arenaBytes: most + PAGE });
});

test('a limit may be 2 ** 25 and no more', () => {
  const ones = Object.fromEntries(Object.keys(SMALL).map((name) => [name, 1]));
  // callSlots takes no memory, two are bounded by the memory alone, and so many send buffers do not fit it.
  const others = ['callSlots', 'arenaBytes', 'scratchBytes', 'sendBufferCount'];
  const counts = Object.keys(SMALL).filter((name) => !others.includes(name));
  for (const name of counts) {
    checkPlan(plan(1, { ...ones, [name]: 2 ** 25 }));
    assert.is(plan(1, { ...ones, [name]: 2 ** 25 + 1 }).pages, 0, name);
  }
});

test('the last page holds the guard, to the byte', () => {
  const limits = { ...SMALL, sendBufferCount: 1 };
  const { header } = plan(1, limits);
  const end = header.sendOffset + layout.SEND_STAGGER + layout.GUARD_BYTES; // of the guard, without the buffer
  for (const over of [-1, 0, 1]) checkPlan(plan(1, { ...limits, sendBufferBytes: 4 * PAGE - (end % PAGE) + over }));
});

test('shards begin where the header says, and boot() touches no other', () => {
  const { header, memory, shards } = new Cluster(3);
  const states = new Int32Array(memory.buffer, HEADER_STATES, SHARDS_MAX);
  assert.equal([...states], [1, 1, 1, ...Array(SHARDS_MAX - 3).fill(ShardState.ABSENT)]);
  shards[1].core.stop();
  assert.is(states[1], ShardState.STOPPED);

  const fresh = makeMemory(3, SMALL);
  const never = () => assert.unreachable();
  const core = instantiateCore(coreModule(), fresh.memory, { enter: never, threadSpawn: never });
  new Float64Array(fresh.memory.buffer)[(HEADER_SCRATCH + 8) / 8] = 12_345;
  core.wasi_thread_start(9, 1); // boots shard 1 with the clock that lies in the header
  const bytes = new Uint8Array(fresh.memory.buffer);
  const untouched = (from, to) =>
    assert.is(
      bytes.subarray(from, to).findIndex((each) => each !== 0),
      -1,
    );
  untouched(0, HEADER);
  untouched(MESH, header.shardsOffset + header.shardBytes);
  untouched(header.shardsOffset + 2 * header.shardBytes, bytes.length);
  const base = header.shardsOffset + header.shardBytes;
  assert.is(new Float64Array(fresh.memory.buffer)[(base + Control.nowNs) / 8], 12_345);
});

test('startShard() asks the host for a thread', () => {
  const { memory } = makeMemory(2, SMALL);
  const asked = [];
  const core = instantiateCore(coreModule(), memory, {
    enter: () => assert.unreachable(),
    threadSpawn: (arg) => asked.push(arg) && 42,
  });
  assert.is(core.startShard(1), 42);
  assert.equal(asked, [1]);
});

// --- the control block, by effect -----------------------------------------------------------------------------------

/** Names of the control words that `action` changed. All of the block is looked at, so a wrong offset shows too. */
function changed(shard, action) {
  const before = Uint8Array.from(new Uint8Array(shard.cluster.memory.buffer, shard.base, 512));
  action();
  const after = new Uint8Array(shard.cluster.memory.buffer, shard.base, 512);
  const names = new Set();
  after.forEach((each, i) => {
    if (each === before[i]) return;
    const word = Object.entries(Control).findLast(([, offset]) => offset <= i);
    names.add(i - word[1] < 8 ? word[0] : `byte ${i}`);
  });
  return [...names].sort();
}

test('every word that the core writes is where the host reads it', () => {
  const [shard, peer] = new Cluster(2).shards;
  const { core } = shard;
  const writes = (names, action) => assert.equal(changed(shard, action), names.sort());
  writes(['submitCount'], () => core.submit(26, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0));
  assert.is(shard.word('submitCount'), 1);
  writes(['recycleCount'], () => core.recycle(3));
  writes(['moreWork'], () => core.spawnHost(0, 7));
  assert.is(core.firstTask(), 7);
  writes(['moreWork'], () => core.nextTask());
  writes(['nextDeadlineNs'], () => core.armTimer(2e9, 0, 1));
  assert.is(shard.deadline(), 2e9);
  writes(['sleeping'], () => assert.is(core.trySleep(0), 1));
  assert.is(shard.word('sleeping'), 1);

  assert.is(peer.post(0), 0);
  writes(['dirty', 'sleeping'], () => peer.core.flush());
  assert.is(shard.word('sleeping'), 2, 'a doorbell is on its way');
  assert.is(shard.u64[Control.dirty / 8], 2n, "the peer's bit");
  writes(['sleeping'], () => core.awake());
  writes(['dirty', 'readyTail', 'nextDeadlineNs'], () => core.turn());
  assert.is(shard.word('readyTail'), 1);
  writes([], () => assert.is(core.trySleep(0), 0)); // it has work

  shard.drain();
  writes(['sleeping'], () => assert.is(core.trySleep(0), 1));
  core.awake();
  writes([], () => assert.is(core.trySleep(1), 0)); // busy
  assert.is(shard.word('sleeping'), 0);
});

test('every word that the host writes is where the core reads it', () => {
  const shard = oneShard();
  const { core } = shard;
  core.armTimer(shard.now() + 1000, 0, 5);
  core.turn();
  assert.equal(shard.drain(), []);
  shard.setClock(shard.now() + 2000); // nowNs
  core.turn();
  const before = shard.word('readyTail');
  assert.equal(shard.drain(), [{ kind: ReadyKind.TIMER, tag: 0, index: 5, result: 0, extra: 0 }]); // readyHead
  assert.is(before, 1);
  assert.is(core.wantsTurn(), 0);
  shard.setWord('readyHead', 0);
  assert.is(core.wantsTurn(), 1);
  shard.setWord('readyHead', 1);

  core.submit(22, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0);
  shard.enter();
  shard.complete(shard.sqes[0], 3);
  shard.enter(); // completionCount
  assert.is(shard.word('completionCount'), 1);
  assert.is(core.turn(), 1, 'one entry, of two that there have been');
  assert.is(shard.word('completionCount'), 0);
  assert.is(shard.drain()[0].result, 3);

  core.spawnHost(0, 1);
  shard.f64[Control.quotaNs / 8] = 0;
  assert.is(core.firstTask(), 0, 'no quota, no task');
  shard.f64[Control.quotaNs / 8] = 1;
  assert.is(core.firstTask(), 1);

  shard.u64[Control.dirty / 8] = 1n;
  assert.is(core.wantsTurn(), 1);
  assert.is(core.trySleep(0), 0);
  shard.u64[Control.dirty / 8] = 0n;
  shard.setWord('moreWork', 1);
  assert.is(core.wantsTurn(), 1);
});

test("words of the host alone lie in the host's line, and the core leaves them", () => {
  const shard = oneShard();
  const own = ['enterResult', 'refusedCount', 'overflowCount', 'idlePollNs', 'enterCount', 'sleepCount', 'pollCount'];
  for (const name of own) assert.ok(Control[name] >= 64 && Control[name] < 128, name);
  const bytes = new Uint8Array(shard.cluster.memory.buffer, shard.base, 512);
  for (const name of own) bytes.fill(0x5a, Control[name], Control[name] + 4);
  assert.equal(
    changed(shard, () => shard.core.turn()),
    [],
  );
  const offsets = Object.values(Control);
  assert.equal(
    offsets,
    [...new Set(offsets)].sort((a, b) => a - b),
  );
});

test('lines are grouped by writer', () => {
  const line = (name) => Control[name] >> 6;
  for (const name of ['submitCount', 'recycleCount', 'moreWork', 'submitOnly', 'nextDeadlineNs'])
    assert.is(line(name), 0);
  assert.equal([line('sleeping'), line('dirty'), line('readyTail'), line('readyHead')], [2, 3, 4, 4]);
});

// --- counters -------------------------------------------------------------------------------------------------------

/** Names of the counters that `action` raised, with by how much. */
function raised(shard, action) {
  const before = shard.counters();
  action();
  const after = shard.counters();
  const names = Object.keys(after).filter((name) => after[name] !== before[name]);
  return Object.fromEntries(names.map((name) => [name, after[name] - before[name]]));
}

test('every counter counts what its name says', () => {
  const [a, b] = new Cluster(2, { creditCount: 2, ringSlots: 1 }).shards;
  const seen = new Set();
  const check = (shard, expected, action) => {
    assert.equal(raised(shard, action), expected);
    for (const name of Object.keys(expected)) seen.add(name);
  };
  check(a, { turns: 1 }, () => a.turn());
  check(a, { submissions: 1 }, () => a.core.submit(22, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0));
  a.enter();
  a.complete(a.sqes[0], 0);
  a.complete(a.sqes[0], 0);
  check(a, { turns: 1, completions: 2, staleCompletions: 1 }, () => a.turn());
  a.core.armTimer(0, 0, 1);
  check(a, { turns: 1, timersFired: 1 }, () => a.turn());
  a.core.spawnHost(0, 1);
  check(a, { tasksRun: 1 }, () => a.core.firstTask());
  check(a, { requestsSent: 1 }, () => assert.is(a.post(1), 0));
  check(a, { ringFull: 1 }, () => assert.is(a.post(1), Code.FULL));
  b.core.trySleep(0);
  check(a, { doorbells: 1, submissions: 1 }, () => a.core.flush());
  check(b, { turns: 1, requestsReceived: 1 }, () => b.core.turn());
  a.core.turn();
  a.drain();
  check(a, { requestsSent: 1 }, () => assert.is(a.post(1), 0));
  check(a, { creditRefused: 1 }, () => assert.is(a.post(1), Code.NO_CREDIT));
  b.drain();
  check(b, { repliesSent: 1 }, () => assert.is(b.post(0, { kind: Kind.REPLY }), 0));
  b.core.flush();
  check(a, { turns: 1, repliesReceived: 1 }, () => a.core.turn());
  assert.equal([...seen].sort(), [...layout.COUNTER_NAMES].sort(), 'none is left out');
});

// --- tables that the host reaches into ------------------------------------------------------------------------------

test('generations lie at the head of their slots, and a message in the inbox', () => {
  const [a, b] = new Cluster(2).shards;
  const op = a.core.submit(22, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0);
  const timer = a.core.armTimer(2e9, 0, 1);
  const task = a.core.spawnHost(0, 1);
  assert.equal([a.opGeneration(op), a.timerGeneration(timer), a.taskGeneration(task)], [1, 1, 1]);
  assert.equal([a.core.cancelOp(op, 1), a.core.cancelTimer(timer, 1)], [0, 0]);

  const inline = Array.from({ length: layout.INLINE_BYTES / 4 }, (_, i) => 1000 + i);
  const outgoing = a.slotWord(a.header.outgoingOffset, 64, 0);
  a.u32.set([0xabcd_03_01, 5, 7, layout.INLINE_BYTES, 0, 9, ...inline], outgoing);
  assert.is(a.core.post(1), 0);
  a.core.flush();
  b.core.turn();
  const at = b.slotWord(b.header.inboxOffset, layout.MESSAGE_BYTES, 0);
  assert.equal([...b.u32.subarray(at, at + 16)], [0xabcd_03_01, 5, 7, layout.INLINE_BYTES, 0, 9, ...inline]);
  const [{ kind, index, message }] = b.drain();
  assert.equal([kind, index], [ReadyKind.MAIL, 0]);
  assert.equal(message, { kind: 1, status: 3, method: 0xabcd, caller: 5, number: 7, words: inline, payload: 0 });
  assert.is(b.word('moreWork') & MoreWork.MAIL, 0);
});

test.run();
