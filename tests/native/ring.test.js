// One ring's life: windows of every size, buffers that come and go, grants, peers, listeners, the end.
//
// Next: loop.test.js.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from '../support/deny.js';
import {
  addon,
  BUFFER_SELECT,
  CQE_SKIP_SUCCESS,
  closeAll,
  ERRNO,
  F_BUFFER,
  F_MORE,
  OP,
  obstacle,
  openFiles,
  RECV_MULTISHOT,
  Rig,
  ringMappings,
} from './rig.js';

const { EADDRINUSE, EADDRNOTAVAIL, EALREADY, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOTCONN, EOPNOTSUPP, EPERM } =
  ERRNO;
const OWN_END = 0;
const PEER_END = 1;
const LISTEN_REUSE_PORT = 1;
const LISTEN_V6_ONLY = 2;

const test = suite('ring');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: ring: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

function users(cqes) {
  return cqes.map(({ user }) => Number(user));
}

function range(count, from = 1) {
  return Array.from({ length: count }, (_, i) => from + i);
}

it('more completions than the window holds: all come, in order, in windows', () => {
  const rig = new Rig({ sqeSlots: 64, cqeSlots: 64 });
  const kernel = [];
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 64; i++) rig.stage(OP.NOP);
    rig.setControl('submitOnly', 1); // five times more than the window, and the kernel's own queue, can take
    rig.ring.enter();
    assert.is(rig.control('submitCount'), 0);
    assert.is(rig.control('completionCount'), 0, 'submit only: the window is left alone');
  }
  rig.setControl('submitOnly', 0);
  for (let i = 0; i < 20 && kernel.length < 320; i++) {
    const cqes = rig.enter();
    assert.ok(cqes.length <= 64);
    kernel.push(...cqes);
  }
  assert.equal(users(kernel), range(320));
});

it('the window is not written again before the core has taken what is in it', () => {
  const rig = new Rig();
  const first = rig.stage(OP.NOP);
  rig.ring.enter();
  rig.stage(OP.NOP);
  rig.ring.enter();
  assert.is(rig.control('completionCount'), 1);
  assert.is(rig.take()[0].user, first);
  assert.is(rig.enter().length, 1);
});

it('a count beyond the window is one of the window', () => {
  const rig = new Rig({ sqeSlots: 16, cqeSlots: 64 });
  for (let i = 0; i < 16; i++) rig.stage(OP.NOP);
  rig.setControl('submitCount', 0xffffffff);
  assert.equal(users(rig.enter()), range(16));
  assert.is(rig.control('submitCount'), 0);
});

it('refusals that nobody takes fill a bounded list; then submissions stay staged, and none is lost', () => {
  const rig = new Rig({ sqeSlots: 16, cqeSlots: 16 });
  rig.setControl('submitOnly', 1);
  let staged = 0;
  for (let round = 0; round < 10; round++) {
    for (; rig.control('submitCount') < 16; staged++) rig.stage(200);
    rig.ring.enter();
  }
  assert.is(rig.control('submitCount'), 16, 'the window is full: the core has to stop');
  assert.is(staged, 48, 'both windows as refusals, and one window that waits');
  rig.setControl('submitOnly', 0);
  const all = [];
  for (let i = 0; i < 10; i++) all.push(...rig.enter());
  assert.equal(users(all), range(48));
  assert.ok(all.every(({ result }) => result === EPERM));
});

it('receive buffers: run out, come back, and are received into again', () => {
  const rig = new Rig({ recvBufferCount: 2, recvBufferBytes: 64 });
  const [a, b] = rig.pair();
  const receive = () => rig.completion(rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT }));
  rig.run(OP.SEND, { fd: a, ...rig.put('x'.repeat(64) + 'y'.repeat(64) + 'z'.repeat(64)) });
  const held = [receive(), receive()];
  assert.equal(new Set(held.map(({ flags }) => flags >>> 16)), new Set([0, 1]));
  assert.is(receive().result, ENOBUFS);
  assert.is(rig.received(held[0]), 'x'.repeat(64), 'a failed receive has not touched what Wasm holds');
  rig.recycle(held[1].flags >>> 16);
  const third = receive();
  assert.is(rig.received(third), 'z'.repeat(64));
  assert.is(third.flags >>> 16, held[1].flags >>> 16);
});

it('large receive buffers: a pool of its own, with the numbers behind the small ones', () => {
  const rig = new Rig({ recvBufferCount: 2, recvBufferBytes: 64, largeRecvBufferCount: 2, largeRecvBufferBytes: 4096 });
  const [a, b] = rig.pair();
  const receive = (bufGroup) => rig.completion(rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, bufGroup }));
  const texts = ['p', 'q', 'r', 's'].map((letter) => letter.repeat(4096));
  rig.run(OP.SEND, { fd: a, ...rig.put(texts.join('')) });
  const held = [receive(1), receive(1)];
  assert.equal(new Set(held.map(({ flags }) => flags >>> 16)), new Set([2, 3]));
  assert.is(receive(1).result, ENOBUFS);
  assert.equal(
    held.map((cqe) => rig.received(cqe)),
    texts.slice(0, 2),
  );
  const small = receive(0);
  assert.is(rig.received(small), 'r'.repeat(64), 'small ones are left');
  rig.recycle(small.flags >>> 16, held[1].flags >>> 16);
  const third = receive(1);
  assert.is(third.flags >>> 16, held[1].flags >>> 16);
  assert.is(rig.received(third), 'r'.repeat(4032) + 's'.repeat(64));
  assert.is(rig.received(held[0]), texts[0], 'the one that Wasm holds is untouched');
});

it('a multishot receive ends with -ENOBUFS and goes on after a recycle', () => {
  const rig = new Rig({ recvBufferCount: 1, recvBufferBytes: 64 });
  const [a, b] = rig.pair();
  const first = rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, ioprio: RECV_MULTISHOT });
  rig.run(OP.SEND, { fd: a, ...rig.put('one') });
  const one = rig.completion(first);
  assert.is(rig.received(one), 'one');
  rig.run(OP.SEND, { fd: a, ...rig.put('two') });
  const last = rig.completion(first);
  assert.equal([last.result, last.flags & (F_MORE | F_BUFFER)], [ENOBUFS, 0]);
  rig.recycle(one.flags >>> 16);
  const second = rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, ioprio: RECV_MULTISHOT });
  assert.is(rig.received(rig.completion(second)), 'two');
});

it('buffers given back twice, never lent, or made up are not given to the kernel twice', () => {
  const rig = new Rig({ recvBufferCount: 4, recvBufferBytes: 64, largeRecvBufferCount: 1, largeRecvBufferBytes: 64 });
  const [a, b] = rig.pair();
  const receive = () => rig.completion(rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, opFlags: 0x40 }));
  rig.recycle(0, 1, 2, 3, 4); // the kernel has all of them
  rig.enter();
  rig.run(OP.SEND, { fd: a, ...rig.put('a'.repeat(64)) });
  const held = receive().flags >>> 16;
  rig.recycle(held, held, held, 0xffffffff);
  rig.enter();
  assert.is(rig.control('recycleCount'), 0);
  rig.recycle(4, 5, 0x10000 + held, 0x80000000); // 4 is the large one
  rig.setControl('recycleCount', 0xffffffff);
  rig.enter();
  rig.run(OP.SEND, { fd: a, ...rig.put('b'.repeat(64 * 6)) });
  const ids = [];
  let result;
  for (let i = 0; i < 6; i++) {
    const cqe = receive();
    result = cqe.result;
    if (result > 0) ids.push(cqe.flags >>> 16);
  }
  assert.equal(ids.sort(), [0, 1, 2, 3], 'each of the four once');
  assert.is(result, ENOBUFS);
});

it('the file table has an end', () => {
  const rig = new Rig({ fileSlots: 8, grantSlots: 4 });
  const slots = range(4).map(() => rig.run(OP.SOCKET, { fd: 2, off: 1 }));
  assert.equal(slots.sort(), [4, 5, 6, 7]);
  assert.is(rig.run(OP.SOCKET, { fd: 2, off: 1 }), ENFILE);
  rig.run(OP.CLOSE, { fileIndex: 6 });
  assert.is(rig.run(OP.SOCKET, { fd: 2, off: 1 }), 5);
});

it('grants: a slot is given again after CLOSE, and there are only so many', () => {
  const rig = new Rig({ grantSlots: 2 });
  const { port } = rig.listen();
  assert.is(rig.listen().slot, 1);
  assert.equal(rig.listen(), { errno: EMFILE, syscall: 'io_uring_register' });
  assert.is(rig.run(OP.CLOSE, { fileIndex: 1 }), 0);
  const again = rig.listen('127.0.0.1', port);
  assert.equal(again, { slot: 0, port, address: '127.0.0.1' }, 'the port is free again, and so is the slot');
});

it('listen: addresses of every kind, and what it says to bad ones', () => {
  const rig = new Rig({ grantSlots: 8 });
  const { port } = rig.listen();
  assert.ok(port > 0 && port < 65_536);
  assert.is(rig.listen('127.0.0.1', port).errno, EADDRINUSE);
  const six = rig.listen('::1', 0, 16, LISTEN_V6_ONLY);
  if (six.errno === EADDRNOTAVAIL || six.errno === -97) console.log('# skipped: listen on ::1: no IPv6 here');
  else assert.ok(six.port > 0, JSON.stringify(six));
  const shared = rig.listen('127.0.0.1', 0, 16, LISTEN_REUSE_PORT);
  assert.is(rig.listen('127.0.0.1', shared.port, 16, LISTEN_REUSE_PORT).port, shared.port);
  assert.equal(rig.listen('192.0.2.1'), { errno: EADDRNOTAVAIL, syscall: 'bind' });
  const path = join(tmpdir(), `featherstar-ring-${process.pid}.sock`);
  assert.is(rig.listen(`unix:${path}`).port, 0);
  assert.is(rig.listen(`unix:${path}`).errno, EADDRINUSE);
  rmSync(path);
  const bad = ['', 'localhost', '127.0.0.1.2', '127.0.0.1\0', 'unix:', `unix:/${'x'.repeat(108)}`, 'x'.repeat(1000), 7];
  for (const address of bad) {
    assert.equal(rig.listen(address), { errno: EINVAL, syscall: 'inet_pton' }, String(address));
  }
  for (const port of [-1, 65_536, 2 ** 40, Number.NaN]) assert.is(rig.listen('127.0.0.1', port).errno, EINVAL);
  assert.throws(() => rig.listen('127.0.0.1', '80'), /not a number/);
  assert.throws(() => rig.ring.listen('127.0.0.1'), /too few arguments/);
});

it('listen: a port that needs a privilege', () => {
  if (process.getuid() === 0) {
    console.log('# skipped: EACCES of bind: this process is root, and may');
    return;
  }
  const answer = new Rig().listen('127.0.0.1', 1);
  // Some systems let everybody have low ports (net.ipv4.ip_unprivileged_port_start).
  if (answer.errno === undefined) console.log('# skipped: EACCES of bind: low ports are free to all here');
  else assert.equal(answer, { errno: -13, syscall: 'bind' });
});

it('peers: known, forgotten, out of range', () => {
  const rig = new Rig();
  const other = new Rig({ base: 65_536 * 2 });
  const files = openFiles();
  assert.is(rig.run(OP.MSG_RING, { fd: 1 }), EBADF);
  assert.is(rig.ring.setPeer(1, other.ring.fd), 0);
  assert.is(rig.run(OP.MSG_RING, { fd: 1 }), 0);
  assert.is(rig.ring.setPeer(1, other.ring.fd), 0);
  assert.is(openFiles(), files + 1, 'the duplicate of before is closed');
  assert.is(rig.ring.setPeer(1, -1), 0);
  assert.is(openFiles(), files);
  assert.is(rig.run(OP.MSG_RING, { fd: 1 }), EBADF);
  for (const peer of [-1, 64, 2 ** 31, 2 ** 40, Number.NaN]) {
    assert.is(rig.ring.setPeer(peer, other.ring.fd), EINVAL, String(peer));
  }
  assert.is(rig.ring.setPeer(1, 1_000_000), EBADF);
  assert.throws(() => rig.ring.setPeer(1, undefined), /not a number/);
});

it('a peer that has closed its ring does not hang who rings', () => {
  const rig = new Rig();
  const other = new Rig();
  rig.ring.setPeer(0, other.ring.fd);
  other.ring.close();
  const result = rig.run(OP.MSG_RING, { fd: 0 });
  assert.ok(result <= 0, `${result}`);
  assert.is(rig.run(OP.NOP), 0);
});

it('a doorbell ends the sleep of a ring in another thread', async () => {
  const worker = new Worker(new URL('./sleeper.js', import.meta.url));
  const [fd] = await once(worker, 'message');
  const rig = new Rig();
  assert.is(rig.ring.setPeer(0, fd), 0);
  const answer = once(worker, 'message');
  assert.is(rig.run(OP.MSG_RING, { fd: 0 }), 0);
  assert.equal((await answer)[0], { completions: 0, sleeping: 0 });
  await worker.terminate();
});

it('a wait of any length is legal, and ends with a completion', () => {
  const rig = new Rig();
  for (const timeoutNs of [0, -1, Number.NaN, 1]) rig.ring.wait(timeoutNs);
  for (const timeoutNs of [1e18, 1e30, Number.MAX_VALUE, Number.POSITIVE_INFINITY]) {
    const [a, b] = rig.pair();
    const user = rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT });
    rig.enter();
    rig.stage(OP.SEND, { fd: a, flags: CQE_SKIP_SUCCESS, ...rig.put('x') });
    rig.ring.wait(timeoutNs);
    assert.ok(rig.control('enterResult') >= 0, `${timeoutNs}: ${rig.control('enterResult')}`);
    rig.cqes.push(...rig.take());
    const cqe = rig.completion(user);
    assert.is(cqe.result, 1);
    rig.recycle(cqe.flags >>> 16);
  }
});

it('close() twice is one; afterwards every method says so', () => {
  const rig = new Rig();
  const { ring } = rig;
  const { enter } = ring;
  assert.is(
    ring.start(() => {}),
    0,
  );
  assert.is(
    ring.start(() => {}),
    EALREADY,
  );
  ring.close();
  ring.close();
  const closed = { code: 'ERR_RING_CLOSED' };
  const calls = [
    () => ring.enter(),
    enter,
    () => ring.wait(0),
    () => ring.start(() => {}),
    () => ring.stop(),
    () => ring.ref(),
    () => ring.unref(),
    () => ring.listen('127.0.0.1', 0, 1, 0),
    () => ring.setPeer(0, -1),
  ];
  for (const call of calls) {
    try {
      call();
    } catch (error) {
      assert.is(error.code, closed.code);
      continue;
    }
    assert.unreachable(String(call));
  }
});

it('close() with everything still open: it ends, and the port is free', () => {
  const rig = new Rig();
  const { slot, port } = rig.listen();
  const [, b] = rig.pair();
  rig.stage(OP.ACCEPT, { fd: slot, ioprio: 1 });
  rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, ioprio: RECV_MULTISHOT });
  rig.stage(OP.POLL_ADD, { fd: b, opFlags: 1 });
  rig.enter();
  rig.ring.close();
  const next = new Rig();
  assert.equal(next.listen('127.0.0.1', port), { slot: 0, port, address: '127.0.0.1' });
});

it('200 rings, opened, used and closed, leave neither a descriptor nor a mapping', () => {
  const memory = new WebAssembly.Memory({ initial: 8, maximum: 8, shared: true });
  const cycle = () => {
    const rig = new Rig({ memory });
    rig.pair();
    rig.ring.close();
    closeAll();
  };
  cycle();
  const before = [openFiles(), ringMappings()];
  for (let i = 0; i < 200; i++) cycle();
  assert.equal([openFiles(), ringMappings()], before);
  const open = new Rig({ memory });
  assert.ok(ringMappings() > before[1], 'else the line above proves nothing'); // libuv may have rings of its own
  open.ring.close();
});

it('open() refuses windows that do not lie in memory, and limits that are none', () => {
  const { options, bytes, blocks } = new Rig();
  const { open } = addon();
  const bad = [
    { sqeSlots: 0 },
    { sqeSlots: 3 },
    { sqeSlots: 65_536 },
    { sqeSlots: -1 },
    { sqeSlots: 1.5 },
    { sqeSlots: Number.NaN },
    { sqeSlots: '64' },
    { sqeSlots: undefined },
    { cqeSlots: 100 },
    { recvBufferCount: 7 },
    { recvBufferBytes: 2 ** 24 + 1 },
    { largeRecvBufferCount: 3 },
    { largeRecvBufferCount: 32_768 },
    { largeRecvBufferBytes: 2 ** 24 + 1 },
    { largeRecvBufferBytes: bytes.length },
    { fileSlots: 2 ** 20 + 1 },
    { grantSlots: 65 },
    { shardBase: bytes.length },
    { shardBase: 65_537 },
    { shardBase: 2 ** 32 },
    { sqeOffset: 513 },
    { sqeOffset: bytes.length },
    { cqeOffset: 0xffffffff },
    { recycleOffset: bytes.length - 65_536 },
    { recvOffset: bytes.length - 65_536 - 64 },
  ];
  for (const change of bad) {
    assert.throws(
      () => open(bytes, blocks, { ...options, ...change }),
      (error) => error.code === 'ERR_OUT_OF_RANGE',
    );
  }
  assert.throws(
    () => open({}, blocks, options),
    (error) => error.code === 'ERR_INVALID_ARG_TYPE',
  );
  assert.throws(
    () => open(bytes, blocks),
    (error) => error.code === 'ERR_INVALID_ARG_TYPE',
  );
  assert.throws(
    () => open(bytes.subarray(8), blocks, options),
    (error) => error.code === 'ERR_INVALID_ARG_TYPE',
  );
  const files = openFiles();
  assert.throws(
    () => open(bytes, blocks, { ...options, grantSlots: 32 }),
    (error) => error.errno === EMFILE && error.code === 'EMFILE' && error.syscall === 'io_uring_register',
  );
  assert.is(openFiles(), files, 'what was opened on the way is closed');
});

it("a ring's methods take no object but a ring: not one that another addon has wrapped", () => {
  const { ring } = new Rig();
  const methods = Object.entries(ring).filter(([name, value]) => typeof value === 'function' && name !== 'enter');
  const others = [undefined, null, 1, {}, ring.enter, Object.create(ring)];
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-foreign-'));
  const compiler = findCompiler();
  if (compiler === undefined) console.log('# skipped: an object of another addon: no C compiler');
  else {
    const include = join(dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')), 'include');
    const path = join(folder, 'foreign.node');
    const source = fileURLToPath(new URL('foreign.c', import.meta.url));
    execFileSync(compiler, ['-shared', '-fPIC', `-I${include}`, '-o', path, source]);
    others.push(createRequire(import.meta.url)(path));
  }
  rmSync(folder, { recursive: true });
  for (const [name, method] of methods) {
    for (const other of others) {
      assert.throws(
        () => method.call(other, 0, 0, 0, 0),
        ({ code }) => code === 'ERR_INVALID_THIS',
        name,
      );
    }
  }
  assert.throws(() => {
    delete ring.enter.ring; // it keeps the ring alive
  }, /delete/);
});

it('start() wants a function', () => {
  const { ring } = new Rig();
  for (const turn of [undefined, null, 7, {}]) {
    assert.throws(
      () => ring.start(turn),
      (error) => error instanceof TypeError,
    );
  }
  assert.is(
    ring.start(() => {}),
    0,
  );
});

it('address(): the address of the other end of a slot', () => {
  const rig = new Rig();
  const { port } = rig.listen();
  const place = new Uint8Array(128);
  const [a] = rig.pair();
  assert.is(rig.ring.address(a, PEER_END, place), 16);
  assert.equal([...place.subarray(0, 2), ...place.subarray(4, 8)], [2, 0, 127, 0, 0, 1]);
  assert.ok(place[2] * 256 + place[3] > 0);
  // more often than the completion queue has room for
  for (let i = 0; i < 1000; i++) assert.is(rig.ring.address(a, PEER_END, place), 16);
  const connected = rig.run(OP.SOCKET, { fd: 2, off: 1 });
  assert.is(rig.ring.address(connected, PEER_END, place), ENOTCONN);
  rig.run(OP.CONNECT, { fd: connected, ...rig.address(port) });
  assert.is(rig.ring.address(connected, PEER_END, place), 16);
  assert.is(place[2] * 256 + place[3], port);
  const path = rig.run(OP.SOCKET, { fd: 1, off: 1 });
  assert.is(rig.ring.address(path, PEER_END, place), ENOTCONN);
  const empty = rig.options.fileSlots - 1;
  assert.is(rig.ring.address(empty, PEER_END, place), EBADF);
  for (const slot of [rig.options.fileSlots, -1, 2 ** 31 - 1])
    assert.is(rig.ring.address(slot, PEER_END, place), EBADF);
  for (const wrong of [new Uint8Array(127), undefined, 5])
    assert.throws(() => rig.ring.address(a, PEER_END, wrong), /Uint8Array/);
  assert.throws(() => rig.ring.address('a', PEER_END, place));
});

it('address(): the own address of a slot', () => {
  const rig = new Rig();
  const { port } = rig.listen();
  const place = new Uint8Array(128);
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const [a] = rig.pair();
  const connected = rig.run(OP.SOCKET, { fd: 2, off: 1 });
  rig.run(OP.CONNECT, { fd: connected, ...rig.address(port) });
  const before = descriptors();
  for (let i = 0; i < 1000; i++) assert.is(rig.ring.address(a, OWN_END, place), 16); // likewise
  assert.equal([...place.subarray(0, 2), ...place.subarray(4, 8)], [2, 0, 127, 0, 0, 1]);
  assert.is(rig.ring.address(connected, OWN_END, place), 16);
  assert.not.equal(place[2] * 256 + place[3], port);
  const path = rig.run(OP.SOCKET, { fd: 1, off: 1 });
  assert.is(rig.ring.address(path, OWN_END, place), 0);
  const empty = rig.options.fileSlots - 1;
  for (const slot of [empty, rig.options.fileSlots, -1]) assert.is(rig.ring.address(slot, OWN_END, place), EBADF);
  assert.is(descriptors(), before);
});

/** What /proc/net/tcp says of the connection to a port: [kind of timer, its time in s]. Kind 2: probes of silence. */
function timerOfConnection(port) {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const [kind, jiffies] = rows
    .find(([, , remote, state]) => remote?.endsWith(`:${wanted}`) && state === '01')[5]
    .split(':');
  return [Number(kind), Number.parseInt(jiffies, 16) / 100];
}

it('keepAlive(): TCP probes a silent peer, or does not', () => {
  const rig = new Rig();
  const { port } = rig.listen();
  const connected = rig.run(OP.SOCKET, { fd: 2, off: 1 });
  rig.run(OP.CONNECT, { fd: connected, ...rig.address(port) });
  const result = rig.ring.keepAlive(connected, 5);
  if (result === EOPNOTSUPP) return void console.log('# skipped: keepAlive(): this kernel gives no descriptors');
  assert.is(result, 0);
  const [kind, seconds] = timerOfConnection(port);
  assert.is(kind, 2);
  assert.ok(seconds > 3 && seconds <= 5, `${seconds} s`);
  assert.is(rig.ring.keepAlive(connected, -1), 0);
  assert.is(timerOfConnection(port)[0], 0, 'off');
  assert.is(rig.ring.keepAlive(connected, 0), 0, "the last probe's time stays");
  assert.is(timerOfConnection(port)[0], 2, 'on again');
  assert.is(rig.ring.keepAlive(connected, 32_768), EINVAL);
  for (const slot of [rig.options.fileSlots, rig.options.fileSlots - 1, -1])
    assert.is(rig.ring.keepAlive(slot, 5), EBADF);
  assert.throws(() => rig.ring.keepAlive('a', 5));
});

it('address(): completions that wait keep their order', () => {
  const rig = new Rig();
  const place = new Uint8Array(128);
  const [a] = rig.pair();
  for (let round = 0; round < 300; round++) {
    // the queue comes round
    const staged = Array.from({ length: 5 }, () => rig.stage(OP.NOP));
    assert.is(rig.ring.address(a, OWN_END, place), 16);
    assert.is(rig.ring.address(rig.options.fileSlots - 1, PEER_END, place), EBADF);
    assert.is(rig.ring.address(a, OWN_END, place), 16);
    for (const userData of staged) assert.is(rig.completion(userData).result, 0);
    assert.equal(rig.cqes, []);
  }
});

it('address(): what was staged before goes out, and no completion is lost', () => {
  const rig = new Rig();
  const place = new Uint8Array(128);
  const [a, b] = rig.pair();
  const receive = rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT });
  const send = rig.stage(OP.SEND, { fd: a, ...rig.put('hello') });
  assert.is(rig.ring.address(a, PEER_END, place), 16);
  assert.is(rig.completion(send).result, 5);
  assert.is(rig.received(rig.completion(receive)), 'hello');
  assert.equal(rig.cqes, []);
});

test.run();
