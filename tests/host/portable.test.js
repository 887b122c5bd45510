// The portable host, completion by completion: what io_uring would answer, and what the loop may and may not do.
// portable-rig.js plays the core.

import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FeatherstarError } from '../../dist/host/base/errors.js';
import { coreModule, instantiateCore, makeMemory } from '../../dist/host/core/core.js';
import { Control, ReadyKind } from '../../dist/host/core/layout.js';
import { monotonicNs } from '../../dist/host/hosts/host.js';
import { PortableHost } from '../../dist/host/hosts/portable.js';
import {
  closeAll,
  F_MORE,
  FIXED,
  LIMITS,
  OP,
  OP_MSG_RING,
  OP_SHUTDOWN,
  OP_SOCKET,
  OP_URING_CMD,
  QUIET,
  Rig,
  sleep,
} from './portable-rig.js';

const ENTER_COUNT = Control.enterCount >> 3;
const NEXT_DEADLINE = Control.nextDeadlineNs >> 3;
const COMPLETION_COUNT = Control.completionCount >> 2;

test.after.each(closeAll);

async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}

// --- the windows ----------------------------------------------------------------------------------------------------

test('a NOP completes with its user_data', async () => {
  const rig = new Rig();
  rig.stage(OP.NOP, { user: 77, userHigh: 0x7fffffff });
  assert.equal(await rig.completion(77), { user: 77, high: 0x7fffffff, result: 0, flags: 0 });
  assert.is(rig.u32[Control.refusedCount >> 2], 0);
});

test('more completions than the window has slots come in order, none lost', async () => {
  const rig = new Rig();
  const users = Array.from({ length: 200 }, () => rig.stage(OP.NOP));
  await rig.completion(users[199]);
  assert.equal(
    rig.taken.map((cqe) => cqe.user),
    users.slice(0, 199),
  );
  assert.is(rig.largest, LIMITS.cqeSlots);
});

test('an enter in mid-turn submits, and leaves the completion window as it is', async () => {
  const rig = new Rig();
  const first = rig.stage(OP.NOP);
  let counts;
  rig.onTurn = () => {
    rig.onTurn = () => {};
    rig.u32[Control.submitOnly >> 2] = 1;
    rig.stage(OP.NOP, { user: 500 });
    rig.host.enter();
    counts = [rig.u32[Control.submitCount >> 2], rig.u32[COMPLETION_COUNT]];
    rig.u32[Control.submitOnly >> 2] = 0;
  };
  await rig.completion(first);
  await rig.completion(500);
  assert.equal(counts, [0, 0]);
});

test('completions go behind those that the core has not read', () => {
  const rig = new Rig({ start: false });
  rig.stage(OP.NOP);
  rig.host.enter();
  rig.stage(OP.NOP);
  rig.host.enter();
  assert.is(rig.u32[COMPLETION_COUNT], 2);
  assert.equal([rig.cqes[0], rig.cqes[4]], [1, 2]);
});

test('the queue of completions wraps round and grows without losing its order', () => {
  const rig = new Rig({ start: false });
  let staged = 0;
  const stage = (count) => {
    for (let i = 0; i < count; i++) staged = rig.stage(OP.NOP);
    rig.host.enter();
  };
  stage(50);
  for (let i = 0; i < 5; i++) {
    rig.turn();
    rig.host.enter();
  }
  stage(40); // behind the end of 64 entries, at whose beginning is room
  stage(200);
  while (rig.u32[COMPLETION_COUNT] !== 0) {
    rig.turn();
    rig.host.enter();
  }
  assert.equal(
    rig.taken.map((cqe) => cqe.user),
    Array.from({ length: staged }, (_, i) => i + 1),
  );
});

test('a quiet success has no completion, a quiet failure has one', async () => {
  const rig = new Rig();
  rig.stage(OP.NOP, { flags: FIXED | QUIET });
  const failed = rig.stage(OP.CLOSE, { flags: FIXED | QUIET, fileIndex: 1 });
  const last = rig.stage(OP.NOP);
  await rig.completion(last);
  assert.equal(
    rig.taken.map((cqe) => cqe.user),
    [failed],
  );
});

test('what is refused: codes as the gate has them, and a count', async () => {
  const rig = new Rig();
  const { slot, listener } = await rig.pair();
  const end = rig.memoryBytes;
  const select = { fd: slot, flags: FIXED | 32 };
  const EINVAL = [
    [OP.NOP, { userHigh: 0x80000000 }], // the host's own mark
    [OP.NOP, { flags: 4 }], // links
    [OP.RECV, { fd: slot, ioprio: 2, addr: 8192 }], // multishot without buffer selection
    [OP.RECV, { ...select, ioprio: 2, len: 8 }], // multishot of bounded length
    [OP.RECV, { ...select, ioprio: 4 }],
    [OP.RECV, { ...select, addr: 8192 }],
    [OP.RECV, { ...select, addrHigh: 1 }],
    [OP.RECV, { ...select, group: 2 }],
    [OP.RECV, { ...select, opFlags: 1 }], // MSG_OOB
    [OP.SEND, { fd: slot, addr: 8192, len: 8, opFlags: 1 }],
    [OP.SEND, { fd: slot, addr: 8192, len: 8, ioprio: 2 }],
    [OP.SEND, select],
    [OP.ACCEPT, { fd: listener, addr: 8192 }],
    [OP.ACCEPT, { fd: listener, ioprio: 2 }],
    [OP.CANCEL, { opFlags: 4 }],
    [OP.CANCEL, { addrHigh: 0x80000000 }],
    [OP_SHUTDOWN, { fd: slot, len: 3 }],
    [OP_SOCKET, { fd: 2, off: 1, len: 6 }],
    [OP.CONNECT, { fd: slot, addr: 8192, off: 1 }],
    [OP.CONNECT, { fd: slot, addr: 8192, off: 110 }],
    [OP.CONNECT, { fd: slot, addr: 8192, off: 16, offHigh: 1 }],
    [OP_URING_CMD, { fd: slot, off: 3 }],
    [OP_URING_CMD, { fd: slot, len: 1 }],
    [OP_URING_CMD, { fd: slot, addr: 1 }],
    [OP_URING_CMD, { fd: slot, opFlags: 1 }],
    [OP_URING_CMD, { fd: slot, fileIndex: 1 }],
  ];
  const EFAULT = [
    [OP.RECV, { fd: slot, addr: end - 7, len: 8 }],
    [OP.RECV, { fd: slot, addr: 8192, addrHigh: 1, len: 8 }],
    [OP.SEND, { fd: slot, addr: end - 7, len: 8 }],
    [OP.SEND, { fd: slot, addr: 0xfffffff0, len: 0xffffffff }],
    [OP.SEND, { fd: slot, addr: 8192, addrHigh: 1, len: 8 }],
    [OP.CONNECT, { fd: slot, addr: end - 7, off: 16 }],
  ];
  const EPERM = [
    [250, {}],
    [OP.NOP, { group: 1 << 16 }], // a personality
    [OP_SOCKET, { fd: 16, off: 1 }], // AF_NETLINK
    [OP.CONNECT, { fd: slot, addr: 8192, off: 16 }], // no family
    [OP.CONNECT, { fd: slot, ...rig.put(9, Buffer.from('\x01\0/var/run/docker.sock\0')), off: 28 }], // AF_UNIX
    [OP_SOCKET, { fd: 2, off: 3 }], // SOCK_RAW
  ];
  const EOPNOTSUPP = [
    ...[3, 6, 22, 23].map((opcode) => [opcode, { fd: slot }]), // FSYNC, POLL_ADD, READ, WRITE
    [OP.RECV, { ...select, opFlags: 2 }], // MSG_PEEK
    [OP.CANCEL, { opFlags: 2, fd: slot }], // IORING_ASYNC_CANCEL_FD
    [OP_SOCKET, { fd: 2, off: 2 }], // SOCK_DGRAM
  ];
  const onFiles = [OP.RECV, OP.SEND, OP.ACCEPT, OP.CONNECT, OP_SHUTDOWN, OP_URING_CMD, 3, 6, 22, 23];
  const outside = [LIMITS.connectionSlots, 0x7fffffff, -1];
  const EBADF = outside.flatMap((fd) => [...onFiles.map((op) => [op, { fd }]), [OP.CLOSE, { fileIndex: fd + 1 }]]);
  EBADF.push([OP.CLOSE, { fd: 1, fileIndex: slot + 1 }]);
  const refused = { '-22': EINVAL, '-14': EFAULT, '-1': EPERM, '-95': EOPNOTSUPP, '-9': EBADF };
  const cases = Object.entries(refused).flatMap(([code, list]) => list.map(([opcode, sqe]) => [code, opcode, sqe]));
  for (const [code, opcode, sqe] of cases) {
    assert.is(await rig.run(opcode, sqe), Number(code), `opcode ${opcode}, ${JSON.stringify(sqe)}`);
  }
  assert.is(rig.u32[Control.refusedCount >> 2], cases.length);
  for (const fd of [15, slot + 1]) {
    for (const opcode of onFiles) assert.is(await rig.run(opcode, { fd }), -9, 'an empty slot');
    assert.is(await rig.run(OP.CLOSE, { fileIndex: fd + 1 }), -9);
  }
  assert.is(rig.u32[Control.refusedCount >> 2], cases.length, 'nothing wrong with those');
  assert.is(await rig.run(OP_URING_CMD, { fd: slot }), 0, 'TCP_NODELAY');
  assert.is(await rig.run(OP.SEND, { fd: slot, addr: end - 8, len: 8 }), 8, 'up to the end of memory is fine');
});

// --- the loop -------------------------------------------------------------------------------------------------------

test('what is staged in a microtask after a turn, or in a timer, is noticed', async () => {
  const rig = new Rig();
  let inMicrotask;
  rig.onTurn = () => {
    rig.onTurn = () => {};
    let chain = Promise.resolve();
    for (let i = 0; i < 20; i++) chain = chain.then(() => {});
    inMicrotask = chain.then(() => rig.run(OP.NOP));
  };
  await rig.run(OP.NOP);
  assert.is(await inMicrotask, 0);
  await sleep(5);
  assert.is(await rig.run(OP.NOP), 0);
});

test('a turn comes for work, for mail, and for what JavaScript has not drained', async () => {
  const rig = new Rig();
  const words = [
    [Control.moreWork >> 2, 1],
    [Control.dirty >> 2, 2],
    [(Control.dirty >> 2) + 1, 0x80000000],
    [Control.readyTail >> 2, 1],
  ];
  for (const [word, value] of words) {
    let left = 3; // more turns than one, as long as there is work
    const done = new Promise((resolve) => {
      rig.onTurn = () => {
        if (left === 3) rig.u32[word] = value;
        if (--left > 0) return;
        rig.u32[word] = 0;
        rig.onTurn = () => {};
        resolve();
      };
    });
    rig.stage(OP.NOP);
    await done;
    assert.is(left, 0);
  }
});

test('with nothing to do it sleeps: no enters, no turns, and it says so', async () => {
  const rig = new Rig();
  const { slot } = await rig.pair();
  rig.receive(slot, 2);
  rig.f64[NEXT_DEADLINE] = monotonicNs() + 60e9; // a deadline that is far off does not tick either
  await sleep(50);
  const before = [rig.f64[ENTER_COUNT], rig.turns];
  await sleep(300);
  assert.equal([rig.f64[ENTER_COUNT], rig.turns], before);
  assert.is(rig.u32[Control.sleeping >> 2], 1);
  assert.ok(before[0] > 0);
  let inTurn;
  rig.onTurn = () => {
    inTurn = rig.u32[Control.sleeping >> 2];
  };
  await rig.run(OP.NOP);
  assert.is(inTurn, 0);
});

test('mail that comes while it falls asleep is not missed', async () => {
  const rig = new Rig({ start: false });
  const { core } = rig;
  let isMissed = true;
  let sleeps = 0;
  rig.onTurn = () => {
    if (rig.u32[Control.dirty >> 2] === 0) return;
    rig.u32[Control.dirty >> 2] = 0;
    isMissed = false;
  };
  const trySleep = (isBusy) => {
    if (++sleeps === 1) rig.u32[Control.dirty >> 2] = 1; // by a peer that has just seen it awake, so it does not ring
    return core.trySleep(isBusy);
  };
  rig.host.start(() => rig.turn(), { ...core, trySleep });
  await rig.run(OP.NOP);
  await sleep(20);
  assert.ok(sleeps > 1, 'it fell asleep');
  assert.not(isMissed);
});

test('a deadline is never early', async () => {
  const rig = new Rig();
  const early = [];
  for (let i = 0; i < 30; i++) {
    const deadlineNs = monotonicNs() + 1e5 + i * 613_000;
    await new Promise((resolve) => {
      rig.onTurn = () => {
        rig.f64[NEXT_DEADLINE] = deadlineNs;
        rig.onTurn = () => {
          const nowNs = rig.f64[Control.nowNs >> 3];
          if (nowNs < deadlineNs || monotonicNs() < deadlineNs) early.push(deadlineNs - nowNs);
          rig.f64[NEXT_DEADLINE] = Number.POSITIVE_INFINITY;
          resolve();
        };
      };
      rig.stage(OP.NOP);
    });
  }
  assert.equal(early, []);
});

test('a deadline that moves is kept: earlier, later, to never, and armed outside a turn', async () => {
  const rig = new Rig();
  await rig.run(OP.NOP);
  const turnAt = () =>
    new Promise((resolve) => {
      rig.onTurn = () => {
        if (rig.f64[Control.nowNs >> 3] < rig.f64[NEXT_DEADLINE]) return;
        rig.f64[NEXT_DEADLINE] = Number.POSITIVE_INFINITY;
        rig.onTurn = () => {};
        resolve(monotonicNs());
      };
    });
  const set = (delayMs) => {
    rig.f64[NEXT_DEADLINE] = monotonicNs() + delayMs * 1e6;
    rig.host.poke();
    return rig.f64[NEXT_DEADLINE];
  };
  set(60_000);
  await sleep(5);
  const sooner = set(10);
  assert.ok((await turnAt()) >= sooner);
  set(10);
  await sleep(1);
  const later = set(40);
  assert.ok((await turnAt()) >= later);
  set(10);
  rig.f64[NEXT_DEADLINE] = Number.POSITIVE_INFINITY;
  const before = rig.turns;
  await sleep(50);
  assert.is(rig.turns, before, 'a deadline that was called off brings no turn');
});

test('an error thrown by a turn is uncaught, and the loop goes on', async () => {
  const rig = new Rig();
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve));
  rig.onTurn = () => {
    rig.onTurn = () => {};
    throw new Error('from a turn');
  };
  const user = rig.stage(OP.NOP);
  assert.is((await uncaught).message, 'from a turn');
  for (const listener of listeners) process.on('uncaughtException', listener);
  assert.is((await rig.completion(user)).result, 0);
  assert.is(await rig.run(OP.NOP), 0);
});

test('a started host keeps its thread alive, one that is unref-ed does not, nor do its sockets', () => {
  const file = fileURLToPath(new URL('portable-child.js', import.meta.url));
  const outputOf = (call) => {
    const child = spawnSync(process.execPath, [file, call], { encoding: 'utf8' });
    assert.is(child.status, 0, child.stderr);
    return child.stdout;
  };
  assert.is(outputOf('ref'), 'alive');
  assert.is(outputOf('unref'), '');
});

// --- doorbells ------------------------------------------------------------------------------------------------------

test('a doorbell wakes a sleeping peer', async () => {
  const shared = makeMemory(2, LIMITS);
  const [left, right] = [new Rig({ shared, shard: 0 }), new Rig({ shared, shard: 1 })];
  left.host.setPeer(1, right.host.doorbell(0));
  assert.is(typeof right.host.doorbell(1), 'number', 'none for itself');
  await right.run(OP.NOP);
  await sleep(20);
  const rung = new Promise((resolve) => {
    right.onTurn = () => resolve(right.u32[Control.dirty >> 2]);
  });
  right.u32[Control.dirty >> 2] = 1; // the mail; without it a doorbell brings no turn
  assert.is(await left.run(OP_MSG_RING, { flags: 0, fd: 1 }), 0);
  assert.is(await rung, 1);
  right.u32[Control.dirty >> 2] = 0;
  assert.is(await left.run(OP_MSG_RING, { flags: 0, fd: 1, addr: 1 }), -95, 'files stay in their thread');
  left.host.setPeer(1, undefined);
  assert.is(await left.run(OP_MSG_RING, { flags: 0, fd: 1 }), -9);
  assert.is(await left.run(OP_MSG_RING, { flags: 0, fd: 5 }), -9);
  assert.throws(() => left.host.setPeer(1, 3), FeatherstarError.is);
});

test('two cores in one thread call each other over doorbells', async () => {
  const { memory, blocks, header } = makeMemory(2, LIMITS);
  const shards = [0, 1].map((shard) => {
    const base = header.shardsOffset + shard * header.shardBytes;
    const host = new PortableHost({ memory, blocks, header, base, shard });
    const core = instantiateCore(coreModule(), memory, { enter: host.enter, threadSpawn: () => -1 });
    core.boot(shard, monotonicNs());
    const control = new Uint32Array(memory.buffer, base, 128);
    const ready = new Int32Array(memory.buffer, base + header.readyOffset, header.readySlots * 4);
    return { host, core, control, ready, base, header, memory, onReady: undefined };
  });
  for (const shard of shards) {
    shard.host.start(() => {
      shard.core.turn();
      const { control, ready } = shard;
      const head = Control.readyHead >> 2;
      for (; control[head] !== control[Control.readyTail >> 2]; control[head]++) {
        const at = (control[head] & (header.readySlots - 1)) * 4;
        shard.onReady(ready[at] & 255, ready[at + 1]);
      }
      shard.core.flush();
    }, shard.core);
  }
  shards[0].host.setPeer(1, shards[1].host.doorbell(0));
  shards[1].host.setPeer(0, shards[0].host.doorbell(1));
  const [REQUEST, REPLY] = [1, 2];
  const post = (shard, peer, kind) => {
    const outgoing = (shard.base + shard.header.outgoingOffset) >>> 2;
    new Int32Array(shard.memory.buffer).set([kind, 0, 0, 0, 0], outgoing);
    assert.is(shard.core.post(peer), 0);
  };
  shards[1].onReady = (kind, peer) => {
    assert.equal([kind, peer], [ReadyKind.MAIL, 0]);
    post(shards[1], 0, REPLY);
  };
  for (let i = 0; i < 50; i++) {
    const reply = new Promise((resolve) => {
      shards[0].onReady = (kind, peer) => resolve([kind, peer]);
    });
    post(shards[0], 1, REQUEST);
    shards[0].host.poke();
    assert.equal(await reply, [ReadyKind.MAIL, 1]);
    if (i % 10 === 9) await sleep(5); // let both fall asleep
  }
  for (const { host } of shards) host.close();
});

// --- listening ------------------------------------------------------------------------------------------------------

test('a port in use is a typed error, and costs no slot', async () => {
  const rig = new Rig();
  const { slot, port } = await rig.listen();
  assert.is(slot, 0);
  for (let i = 0; i < 20; i++) {
    const error = await rejection(rig.listen({ port }));
    assert.ok(FeatherstarError.is(error));
    assert.equal(
      [error.code, error.errnoName, error.errno, error.syscall],
      ['FEATHERSTAR_SYSTEM', 'EADDRINUSE', -98, 'listen'],
    );
  }
  assert.is((await rig.listen()).slot, 1);
});

test('what cannot be listened on: names, empty paths, too many', async () => {
  const rig = new Rig();
  for (const address of ['localhost', '', 'unix:', '300.1.1.1']) {
    assert.is((await rejection(rig.listen({ address }))).errnoName, 'EINVAL', address);
  }
  for (let i = 0; i < 16; i++) assert.is((await rig.listen()).slot, i);
  assert.is((await rejection(rig.listen())).errnoName, 'ENFILE');
});

test('several listeners share a port where the platform can, and the host says so', async () => {
  const [left, right] = [new Rig(), new Rig()];
  const { port } = await left.listen({ reusePort: true });
  if (left.host.sharesPorts) assert.is((await right.listen({ reusePort: true, port })).port, port);
  else assert.is((await rejection(right.listen({ reusePort: true, port }))).errnoName, 'EADDRINUSE');
});

test('the first to listen on a shared port sees whether somebody else does', async () => {
  const [left, right] = [new Rig(), new Rig()];
  const { slot, port } = await left.listen({ reusePort: true, isFirst: true });
  const error = await rejection(right.listen({ reusePort: true, isFirst: true, port }));
  assert.is(error.errnoName, 'EADDRINUSE');
  await left.run(OP.CLOSE, { fileIndex: slot + 1 });
  assert.is((await right.listen({ reusePort: true, isFirst: true, port })).port, port);
});

test('a host that is closed while it begins to listen does not listen', async () => {
  const { slot, port } = await new Rig().listen();
  assert.is(slot, 0);
  closeAll();
  for (const isFirst of [false, true]) {
    const rig = new Rig();
    const listening = rig.listen({ port, isFirst, reusePort: isFirst });
    rig.close();
    assert.is((await rejection(listening)).code, 'FEATHERSTAR_CLOSED');
    const next = new Rig();
    await next.listen({ port });
    next.close();
  }
});

test('a listener on all addresses that is closed at once rejects nothing', async () => {
  const unhandled = [];
  const onUnhandled = (error) => unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  const rig = new Rig();
  const listening = rig.listen({ address: '::' });
  rig.close(); // before Node's event 'listening'
  await listening;
  await sleep(5);
  process.off('unhandledRejection', onUnhandled);
  assert.equal(unhandled, []);
});

test('all addresses on a machine without IPv6: EAFNOSUPPORT', async () => {
  const { address } = net.Server.prototype;
  net.Server.prototype.address = () => ({ address: '0.0.0.0', family: 'IPv4', port: 1 });
  try {
    const error = await rejection(new Rig().listen({ address: '::' }));
    assert.is(error.errnoName, 'EAFNOSUPPORT');
  } finally {
    net.Server.prototype.address = address;
  }
});

test('accept: the lowest free slot behind those of listeners, one or many', async () => {
  const rig = new Rig();
  const { slot: listener, port } = await rig.listen();
  const single = rig.stage(OP.ACCEPT, { fd: listener });
  await rig.client(port);
  assert.equal(await rig.completion(single), { user: single, high: 0, result: 16, flags: 0 });
  await rig.client(port); // nobody accepts: it waits
  const many = rig.stage(OP.ACCEPT, { fd: listener, ioprio: 1 });
  assert.equal(await rig.completion(many), { user: many, high: 0, result: 17, flags: F_MORE });
  await rig.client(port);
  assert.is((await rig.completion(many)).result, 18);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: 17 + 1 }), 0);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: 16 + 1 }), 0);
  for (const slot of [16, 17, 19]) {
    await rig.client(port);
    assert.is((await rig.completion(many)).result, slot);
  }
});

test('accept without a free slot: -ENFILE ends it, and the connection waits for the next', async () => {
  const rig = new Rig();
  const { slot: listener, port } = await rig.listen();
  const sqe = { fd: listener, ioprio: 1 };
  const many = rig.stage(OP.ACCEPT, sqe);
  for (let i = 0; i < 8; i++) {
    await rig.client(port);
    assert.is((await rig.completion(many)).result, 16 + i);
  }
  await rig.client(port);
  assert.equal(await rig.completion(many), { user: many, high: 0, result: -23, flags: 0 });
  assert.is(await rig.run(OP.ACCEPT, sqe), -23);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: 20 + 1 }), 0);
  assert.is(await rig.run(OP.ACCEPT, sqe), 20);
});

test('beyond the backlog connections are closed; what those in it have sent is not lost', async () => {
  const rig = new Rig();
  const { slot: listener, port } = await rig.listen({ backlog: 2 });
  const clients = [await rig.client(port), await rig.client(port)];
  await sleep(30); // both are in the backlog
  const refused = await rig.client(port);
  refused.resume();
  await refused.gone;
  clients[1].end('second');
  const accepts = [0, 1].map(() => rig.stage(OP.ACCEPT, { fd: listener }));
  const slots = [];
  for (const accept of accepts) slots.push((await rig.completion(accept)).result);
  assert.equal(slots, [16, 17]);
  const cqe = await rig.completion(rig.receive(17));
  assert.is(String(rig.take(cqe)), 'second');
});

test('a connection that was reset while it waited: -ECONNRESET, or passed over if that is known', async () => {
  const rig = new Rig();
  const { slot: listener, port } = await rig.listen();
  const first = await rig.client(port);
  await sleep(20);
  first.resetAndDestroy();
  await sleep(20);
  const second = await rig.client(port);
  second.write('second');
  const accepts = rig.stage(OP.ACCEPT, { fd: listener, ioprio: 1 });
  let slot = (await rig.completion(accepts)).result;
  let cqe = await rig.completion(rig.receive(slot));
  if (cqe.result === -104) {
    slot = (await rig.completion(accepts)).result;
    cqe = await rig.completion(rig.receive(slot));
  }
  assert.is(String(rig.take(cqe)), 'second');
});

test('closing a listener: accepts are cancelled, the port is free, waiting connections are closed', async () => {
  const rig = new Rig();
  const { slot, port } = await rig.listen();
  const waiting = await rig.client(port);
  await sleep(20);
  const spare = await rig.listen();
  const accept = rig.stage(OP.ACCEPT, { fd: spare.slot });
  for (const listener of [slot, spare.slot]) assert.is(await rig.run(OP.CLOSE, { fileIndex: listener + 1 }), 0);
  assert.is((await rig.completion(accept)).result, -125);
  waiting.resume();
  await waiting.gone;
  assert.is((await rig.listen({ port })).slot, slot);
});

test.run();
