// The gate, submission by submission: what it refuses, with which code, and that what it lets through does work.
//
// Next: paths.test.js, ring.test.js, then fuzz.test.js, which asks for all of this at once, at random and in a race.

import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ACCEPT_MULTISHOT,
  admitted,
  BUFFER_SELECT,
  CQE_SKIP_SUCCESS,
  closeAll,
  ERRNO,
  F_BUFFER,
  F_MORE,
  FIXED_FILE,
  OP,
  obstacle,
  RECV_MULTISHOT,
  Rig,
  refused,
} from './rig.js';

const { EPERM, EBADF, EFAULT, EINVAL, ECANCELED, ENOENT, ENOTCONN, EPIPE } = ERRNO;
const LISTED = Object.values(OP);
const WITH_FILE = [
  'READ',
  'WRITE',
  'RECV',
  'SEND',
  'CONNECT',
  'ACCEPT',
  'FSYNC',
  'SHUTDOWN',
  'POLL_ADD',
  'URING_CMD',
  'RECVMSG',
  'FTRUNCATE',
];
const WITH_MEMORY = ['READ', 'WRITE', 'RECV', 'SEND'];
const TOP = 1n << 63n;

const test = suite('gate');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: gate: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

it('256 opcodes: what is not listed is -EPERM', () => {
  const rig = new Rig();
  for (let opcode = 0; opcode < 256; opcode++) {
    if (LISTED.includes(opcode)) continue;
    refused(rig, opcode, {}, EPERM);
  }
  assert.is(rig.control('refusedCount'), 256 - LISTED.length);
});

it('what is listed gets past the list', () => {
  const rig = new Rig();
  for (const [name, opcode] of Object.entries(OP)) {
    assert.is.not(rig.run(opcode, { fd: name === 'SOCKET' ? 2 : 0, off: name === 'SOCKET' ? 1 : 0 }), EPERM, name);
  }
});

it("user_data's top bit is refused, and not given back", () => {
  const rig = new Rig();
  rig.stage(OP.NOP, { user: TOP | 7n });
  const [cqe] = rig.enter();
  assert.equal(cqe, { user: 7n, result: EINVAL, flags: 0 });
  rig.stage(OP.NOP, { user: TOP - 1n });
  assert.equal(rig.enter(), [{ user: TOP - 1n, result: 0, flags: 0 }]);
});

it('each flag of a submission', () => {
  const rig = new Rig();
  const allowed = FIXED_FILE | BUFFER_SELECT | CQE_SKIP_SUCCESS;
  for (let bit = 1; bit < 256; bit <<= 1) {
    if (bit & allowed) continue;
    for (const opcode of LISTED) refused(rig, opcode, { flags: bit }, EINVAL, `flag ${bit}`);
  }
  admitted(rig, OP.NOP, { flags: FIXED_FILE }, 0);
  admitted(rig, OP.NOP, { flags: BUFFER_SELECT }, 0);
  rig.stage(OP.NOP, { flags: CQE_SKIP_SUCCESS });
  assert.equal(rig.enter(), []);
});

it('a personality', () => {
  const rig = new Rig();
  for (const opcode of LISTED) refused(rig, opcode, { personality: 1 }, EPERM);
  refused(rig, OP.NOP, { personality: 0xffff }, EPERM);
});

it('file slots: the last one is known, the next one and every plain descriptor is not', () => {
  const rig = new Rig();
  const { fileSlots } = rig.ring;
  assert.is(fileSlots, 32);
  const plain = openSync('/dev/null', 'r+');
  for (const name of WITH_FILE) {
    const fields = name === 'CONNECT' ? rig.address(80) : {};
    if (name === 'RECVMSG') Object.assign(fields, { ioprio: RECV_MULTISHOT, flags: BUFFER_SELECT });
    for (const fd of [fileSlots, fileSlots + 1, -1, -100, 0x7fffffff, -0x80000000]) {
      refused(rig, OP[name], { ...fields, fd }, EBADF, name);
    }
    // In the table's range, so the gate lets it by; the kernel finds an empty slot, never this process's descriptor.
    for (const fd of [0, 1, 2, plain < fileSlots ? plain : 3, fileSlots - 1]) {
      admitted(rig, OP[name], { ...fields, fd }, EBADF);
    }
  }
  closeSync(plain);
});

it('CLOSE: slot + 1 only, never a descriptor', () => {
  const rig = new Rig();
  refused(rig, OP.CLOSE, { fd: 0 }, EBADF);
  refused(rig, OP.CLOSE, { fd: 5 }, EBADF);
  refused(rig, OP.CLOSE, { fd: 5, fileIndex: 1 }, EBADF);
  refused(rig, OP.CLOSE, { fileIndex: 33 }, EBADF);
  refused(rig, OP.CLOSE, { fileIndex: 0xffffffff }, EBADF);
  admitted(rig, OP.CLOSE, { fileIndex: 32 }, EBADF);
  const [a] = rig.pair();
  admitted(rig, OP.CLOSE, { fileIndex: a + 1 }, 0);
  admitted(rig, OP.CLOSE, { fileIndex: a + 1 }, EBADF);
});

it('memory: the last byte is inside, the next one is not, and no sum wraps', () => {
  const rig = new Rig();
  const end = BigInt(rig.bytes.length);
  const outside = [
    [end, 1],
    [end - 1n, 2],
    [end + 1n, 0],
    [0n, Number(end) + 1],
    [end - 0xffffn, 0x10000],
    [0xffffffffn, 1],
    [0x100000000n - 1n, 2],
    [1n << 32n, 1],
    [1n << 47n, 1],
    [TOP - 1n, 1],
    [TOP, 1],
    [(1n << 64n) - 1n, 1],
    [(1n << 64n) - 1n, 2],
    [(1n << 64n) - 0x1000n, 0x1000],
    [(1n << 64n) - 0x1000n, 0xffffffff],
    [0n, 0xffffffff],
  ];
  const inside = [
    [end, 0],
    [end - 1n, 1],
    [0n, Number(end)],
    [0n, 0],
  ];
  for (const name of WITH_MEMORY) {
    for (const [addr, len] of outside) refused(rig, OP[name], { addr, len }, EFAULT, name);
    for (const [addr, len] of inside) admitted(rig, OP[name], { addr, len }, EBADF);
  }
});

it('memory of an address: the same bounds, and its own length', () => {
  const rig = new Rig();
  const end = BigInt(rig.bytes.length);
  for (const off of [1, 2, 15, 17, 27, 29, 110, 128, 129, 272, 1n << 32n, (1n << 32n) + 16n, TOP, (1n << 64n) - 1n]) {
    refused(rig, OP.CONNECT, { off }, EINVAL);
  }
  for (const addr of [end - 15n, end, 1n << 32n, TOP, (1n << 64n) - 8n, (1n << 64n) - 1n]) {
    refused(rig, OP.CONNECT, { addr, off: 16 }, EFAULT);
  }
  rig.address(80);
  admitted(rig, OP.CONNECT, { addr: end - 16n, off: 16 }, EBADF);
  refused(rig, OP.CONNECT, { addr: end - 27n, off: 28 }, EFAULT);
});

it('CONNECT: two families from memory, and never a path', () => {
  const rig = new Rig();
  const path = join(tmpdir(), `featherstar-gate-${process.pid}.sock`);
  const { slot } = rig.listen(`unix:${path}`);
  const socket = rig.run(OP.SOCKET, { fd: 1, off: 1 });
  for (let family = 0; family < 48; family++) {
    const addr = rig.put(Buffer.concat([Buffer.from([family, 0]), Buffer.from(`${path}\0`)])).addr;
    if (family !== 2) refused(rig, OP.CONNECT, { fd: socket, addr, off: 16 }, EPERM, `family ${family}`);
    if (family !== 10) refused(rig, OP.CONNECT, { fd: socket, addr, off: 28 }, EPERM, `family ${family}`);
    refused(rig, OP.CONNECT, { fd: socket, addr, off: path.length + 3 }, EINVAL, `family ${family}`);
  }
  for (const index of [0, 1, 63, 64, 65, 1n << 32n, TOP, (1n << 64n) - 1n]) {
    refused(rig, OP.CONNECT, { fd: socket, addr: index }, EBADF, 'a path that is not there');
  }
  assert.equal(
    [-1, 64, 2 ** 31].map((index) => rig.ring.setSocketPath(index, path)),
    [EINVAL, EINVAL, EINVAL],
  );
  for (const bad of ['', 'x'.repeat(108), 'x'.repeat(1000), 'a\0b'])
    assert.is(rig.ring.setSocketPath(63, bad), EINVAL, bad);
  assert.is(rig.ring.setSocketPath(63, 'x'.repeat(107)), 0);
  admitted(rig, OP.CONNECT, { fd: socket, addr: 63 }, ENOENT);
  assert.is(rig.ring.setSocketPath(63, path), 0);
  const accept = rig.stage(OP.ACCEPT, { fd: slot });
  const connect = rig.stage(OP.CONNECT, { fd: socket, addr: 63 });
  rig.enter();
  assert.is(rig.ring.setSocketPath(63, undefined), 0);
  assert.is(rig.completion(connect).result, 0);
  assert.ok(rig.completion(accept).result > 0);
  const second = rig.stage(OP.ACCEPT, { fd: slot });
  assert.equal(rig.enter(), [], 'nobody else has come');
  admitted(rig, OP.ASYNC_CANCEL, { addr: second }, 0);
  refused(rig, OP.CONNECT, { fd: socket, addr: 63 }, EBADF, 'a path that was taken back');
  rmSync(path);
});

it('fields of READ and WRITE', () => {
  const rig = new Rig();
  for (const opcode of [OP.READ, OP.WRITE]) {
    for (let bit = 0; bit < 32; bit++) refused(rig, opcode, { opFlags: (1 << bit) >>> 0 }, EINVAL);
    for (let bit = 0; bit < 16; bit++) refused(rig, opcode, { ioprio: 1 << bit }, EINVAL);
  }
  refused(rig, OP.WRITE, { flags: BUFFER_SELECT }, EINVAL);
  refused(rig, OP.READ, { flags: BUFFER_SELECT, bufGroup: 2 }, EINVAL);
  refused(rig, OP.READ, { flags: BUFFER_SELECT, addr: 64 }, EINVAL);
  refused(rig, OP.READ, { flags: BUFFER_SELECT, addr: TOP }, EINVAL);
});

it('fields of RECV', () => {
  const rig = new Rig();
  const [a] = rig.pair();
  for (let bit = 2; bit < 16; bit++) refused(rig, OP.RECV, { fd: a, ioprio: 1 << bit }, EINVAL);
  const allowed = 0x2 | 0x100 | 0x40; // PEEK, WAITALL, DONTWAIT
  for (let bit = 0; bit < 32; bit++) {
    const opFlags = (1 << bit) >>> 0;
    if (!(opFlags & allowed)) refused(rig, OP.RECV, { fd: a, opFlags }, EINVAL, `flag ${opFlags}`);
  }
  refused(rig, OP.RECV, { fd: a, ioprio: RECV_MULTISHOT }, EINVAL, 'multishot without buffers');
  refused(rig, OP.RECV, { fd: a, ioprio: RECV_MULTISHOT, flags: BUFFER_SELECT, len: 1 }, EINVAL, 'with a length');
  refused(rig, OP.RECV, { fd: a, ioprio: RECV_MULTISHOT, flags: BUFFER_SELECT, opFlags: 0x100 }, EINVAL, 'WAITALL');
  refused(rig, OP.RECV, { fd: a, flags: BUFFER_SELECT, bufGroup: 2 }, EINVAL);
  refused(rig, OP.RECV, { fd: a, flags: BUFFER_SELECT, addr: 1 }, EINVAL);
});

it('a buffer that the kernel picks is told to somebody', () => {
  const rig = new Rig();
  const flags = BUFFER_SELECT | CQE_SKIP_SUCCESS;
  for (const opcode of [OP.READ, OP.RECV]) {
    refused(rig, opcode, { flags }, EINVAL, 'silent');
    admitted(rig, opcode, { flags: BUFFER_SELECT }, EBADF);
  }
});

it('fields of SEND', () => {
  const rig = new Rig();
  const [a] = rig.pair();
  for (let bit = 1; bit < 16; bit++) refused(rig, OP.SEND, { fd: a, ioprio: 1 << bit }, EINVAL);
  const allowed = 0x100 | 0x8000 | 0x40; // WAITALL, MORE, DONTWAIT
  for (let bit = 0; bit < 32; bit++) {
    const opFlags = (1 << bit) >>> 0;
    if (!(opFlags & allowed)) refused(rig, OP.SEND, { fd: a, opFlags }, EINVAL, `flag ${opFlags}`);
  }
  refused(rig, OP.SEND, { fd: a, flags: BUFFER_SELECT }, EINVAL);
});

it('fields of ACCEPT, FSYNC, FTRUNCATE, SHUTDOWN, POLL_ADD', () => {
  const rig = new Rig();
  for (let bit = 1; bit < 16; bit++) refused(rig, OP.ACCEPT, { ioprio: 1 << bit }, EINVAL);
  refused(rig, OP.ACCEPT, { addr: 64 }, EINVAL);
  refused(rig, OP.ACCEPT, { off: 64 }, EINVAL, 'the length of the address');
  for (let bit = 0; bit < 32; bit++) {
    refused(rig, OP.ACCEPT, { opFlags: (1 << bit) >>> 0 }, EINVAL);
    if (bit !== 0) refused(rig, OP.FSYNC, { opFlags: (1 << bit) >>> 0 }, EINVAL);
    if (bit !== 0) refused(rig, OP.POLL_ADD, { len: (1 << bit) >>> 0 }, EINVAL);
    if (bit >= 16) refused(rig, OP.POLL_ADD, { opFlags: (1 << bit) >>> 0 }, EINVAL);
  }
  refused(rig, OP.FSYNC, { addr: 1 }, EINVAL);
  refused(rig, OP.FSYNC, { ioprio: 1 }, EINVAL);
  const others = { ioprio: 16, addr: 64, len: 32, opFlags: 32, fileIndex: 32 };
  for (const [name, bits] of Object.entries(others)) {
    for (let bit = 0; bit < bits; bit++)
      refused(rig, OP.FTRUNCATE, { [name]: bits === 64 ? 1n << BigInt(bit) : (1 << bit) >>> 0 }, EINVAL, name);
  }
  refused(rig, OP.SHUTDOWN, { len: 3 }, EINVAL);
  refused(rig, OP.SHUTDOWN, { len: 0xffffffff }, EINVAL);
});

it('SOCKET: three families, two types, nothing else', () => {
  const rig = new Rig();
  for (let family = -1; family < 48; family++) {
    const fields = { fd: family, off: 1 };
    if (![1, 2, 10].includes(family)) refused(rig, OP.SOCKET, fields, EPERM, 'family');
  }
  for (const type of [0, 3, 4, 5, 10, 1 | 0o2000000, 1 | 0o4000, 1n << 32n, TOP]) {
    refused(rig, OP.SOCKET, { fd: 2, off: type }, EPERM, 'type');
  }
  refused(rig, OP.SOCKET, { fd: 2, off: 1, len: 6 }, EINVAL, 'protocol');
  refused(rig, OP.SOCKET, { fd: 2, off: 1, opFlags: 1 }, EINVAL, 'flags');
  // A slot of the caller's choice is not to be had: the kernel takes one behind those for grants.
  const slot = rig.run(OP.SOCKET, { fd: 2, off: 1, fileIndex: 1 });
  assert.ok(slot >= rig.options.grantSlots && slot < rig.ring.fileSlots, `slot ${slot}`);
});

it('ASYNC_CANCEL: own operations and own files only', () => {
  const rig = new Rig();
  for (let bit = 2; bit < 32; bit++) refused(rig, OP.ASYNC_CANCEL, { opFlags: (1 << bit) >>> 0 }, EINVAL);
  refused(rig, OP.ASYNC_CANCEL, { addr: TOP | 2n }, EINVAL, "the addon's own poll");
  refused(rig, OP.ASYNC_CANCEL, { opFlags: 2, fd: 32 }, EBADF);
  refused(rig, OP.ASYNC_CANCEL, { opFlags: 2, fd: -1 }, EBADF);
  admitted(rig, OP.ASYNC_CANCEL, { addr: 12345n }, ENOENT);
  const [a] = rig.pair();
  const byUser = rig.stage(OP.RECV, { fd: a, flags: BUFFER_SELECT });
  admitted(rig, OP.ASYNC_CANCEL, { addr: byUser }, 0);
  assert.is(rig.completion(byUser).result, ECANCELED);
  const byFile = [0, 1].map(() => rig.stage(OP.RECV, { fd: a, flags: BUFFER_SELECT }));
  admitted(rig, OP.ASYNC_CANCEL, { opFlags: 3, fd: a }, 2);
  for (const user of byFile) assert.is(rig.completion(user).result, ECANCELED);
});

it('MSG_RING: known peers only, and nothing but a bell', () => {
  const rig = new Rig();
  for (const fd of [0, 1, 63, 64, -1, rig.ring.fd, 0x7fffffff]) refused(rig, OP.MSG_RING, { fd }, EBADF);
  assert.is(rig.ring.setPeer(3, rig.ring.fd), 0);
  for (const addr of [2, 3, 64, 1n << 32n, (1n << 32n) + 1n, TOP, TOP + 1n]) {
    refused(rig, OP.MSG_RING, { fd: 3, addr }, EINVAL, 'an unknown message');
  }
  refused(rig, OP.MSG_RING, { fd: 3, len: 1 }, EINVAL, 'a result');
  refused(rig, OP.MSG_RING, { fd: 3, off: 1 }, EINVAL, 'a user_data');
  for (let bit = 0; bit < 32; bit++) refused(rig, OP.MSG_RING, { fd: 3, opFlags: (1 << bit) >>> 0 }, EINVAL);
  admitted(rig, OP.MSG_RING, { fd: 3 }, 0);
  assert.equal(rig.cqes, [], 'a doorbell is not shown to Wasm');
});

it('MSG_RING that hands a file over: own files, known peers, into a slot that the kernel picks', () => {
  const rig = new Rig();
  const peer = new Rig();
  const { fileSlots } = rig.ring;
  const [a, b] = rig.pair();
  const message = { addr: 1, fileIndex: a + 1 };
  for (const fd of [0, 1, 63, 64, -1, peer.ring.fd, 0x7fffffff]) {
    refused(rig, OP.MSG_RING, { ...message, fd }, EBADF, 'an unknown peer');
  }
  assert.is(rig.ring.setPeer(5, peer.ring.fd), 0);
  const plain = openSync('/dev/null', 'r+');
  for (const fileIndex of [0, 1, rig.options.grantSlots, fileSlots + 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
    refused(rig, OP.MSG_RING, { ...message, fd: 5, fileIndex }, EBADF, 'a file that is none, or a grant');
  }
  refused(rig, OP.MSG_RING, { ...message, fd: 5, flags: CQE_SKIP_SUCCESS }, EINVAL, 'silent');
  refused(rig, OP.MSG_RING, { ...message, fd: 5, len: 1 }, EINVAL, 'a result');
  refused(rig, OP.MSG_RING, { ...message, fd: 5, off: 1 }, EINVAL, 'a user_data');
  for (let bit = 0; bit < 32; bit++) {
    refused(rig, OP.MSG_RING, { ...message, fd: 5, opFlags: (1 << bit) >>> 0 }, EINVAL, 'flags');
  }
  admitted(rig, OP.MSG_RING, { ...message, fd: 5, fileIndex: plain < fileSlots ? plain + 1 : 30 }, EBADF);
  closeSync(plain);
  admitted(rig, OP.MSG_RING, { ...message, fd: 5, fileIndex: fileSlots }, EBADF);
  assert.is(rig.ring.setPeer(6, rig.ring.fd), 0);
  admitted(rig, OP.MSG_RING, { ...message, fd: 6 }, EINVAL); // to itself: the kernel does not
  const moved = handed(rig, peer, message);
  assert.ok(moved >= peer.options.grantSlots && moved < peer.ring.fileSlots, `slot ${moved}`);
  assert.equal(peer.take(), [], 'the peer learns nothing from its ring');
  admitted(rig, OP.CLOSE, { fileIndex: a + 1 }, 0);
  admitted(peer, OP.SEND, { fd: moved, ...peer.put('from the peer') }, 13);
  admitted(rig, OP.RECV, { fd: b, addr: rig.freeAt, len: 100 }, 13);
  assert.is(rig.text(rig.freeAt, 13), 'from the peer');
  admitted(peer, OP.CLOSE, { fileIndex: moved + 1 }, 0);
  admitted(rig, OP.RECV, { fd: b, addr: rig.freeAt, len: 100 }, 0);
});

it('a file that is handed to a full table, or to a ring that is closed, stays where it is', () => {
  const rig = new Rig();
  const peer = new Rig();
  assert.is(rig.ring.setPeer(5, peer.ring.fd), 0);
  const [a, b] = rig.pair();
  const message = { addr: 1, fileIndex: a + 1 };
  const slots = peer.ring.fileSlots - peer.options.grantSlots;
  for (let i = 0; i < slots; i++) assert.ok(handed(rig, peer, message) >= 0);
  assert.is(handed(rig, peer, message), ERRNO.ENFILE);
  peer.ring.close();
  assert.ok(rig.run(OP.MSG_RING, { ...message, fd: 5 }) < 0);
  admitted(rig, OP.SEND, { fd: a, ...rig.put('x') }, 1);
  admitted(rig, OP.RECV, { fd: b, addr: rig.freeAt, len: 100 }, 1);
});

/** Hands a file over: the peer's thread, which is this one, has to take it in its own enter. */
function handed(rig, peer, message) {
  const user = rig.stage(OP.MSG_RING, { ...message, fd: 5 });
  rig.enter();
  peer.enter();
  return rig.completion(user).result;
}

it('URING_CMD: one command, and nothing to say about it', () => {
  const rig = new Rig();
  const [a] = rig.pair();
  const fields = { ioprio: 16, off: 64, addr: 64, len: 32, opFlags: 32, fileIndex: 32 };
  for (const [name, bits] of Object.entries(fields)) {
    for (let bit = 0; bit < bits; bit++) {
      const value = bits === 64 ? 1n << BigInt(bit) : (1 << bit) >>> 0;
      refused(rig, OP.URING_CMD, { fd: a, [name]: value }, EINVAL, name);
    }
  }
  const result = rig.run(OP.URING_CMD, { fd: a });
  if (result === ERRNO.EOPNOTSUPP) console.log('# skipped: URING_CMD: this kernel sets no socket options');
  else assert.is(result, 0);
});

it('what is refused is answered, also when success would be silent', () => {
  const rig = new Rig();
  const flags = CQE_SKIP_SUCCESS;
  const users = [
    rig.stage(200, { flags }),
    rig.stage(OP.NOP, { flags }),
    rig.stage(OP.SEND, { flags, addr: TOP, len: 1 }),
  ];
  const cqes = rig.enter();
  assert.equal(cqes, [
    { user: users[0], result: EPERM, flags: 0 },
    { user: users[2], result: EFAULT, flags: 0 },
  ]);
  assert.is(rig.control('refusedCount'), 2);
});

it('sockets: listen, connect, accept, send, receive both ways, shut down, close', () => {
  const rig = new Rig();
  const [a, b] = rig.pair();
  admitted(rig, OP.SEND, { fd: a, ...rig.put('to b') }, 4);
  const picked = rig.completion(rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT }));
  assert.is(picked.flags & F_BUFFER, F_BUFFER);
  assert.is(rig.received(picked), 'to b');
  admitted(rig, OP.WRITE, { fd: b, ...rig.put('to a') }, 4);
  admitted(rig, OP.POLL_ADD, { fd: a, opFlags: 1 }, 1);
  const last = rig.bytes.length - 4; // up to the last byte of memory
  admitted(rig, OP.RECV, { fd: a, addr: last, len: 4 }, 4);
  assert.is(rig.text(last, 4), 'to a');
  admitted(rig, OP.FSYNC, { fd: a }, EINVAL);
  admitted(rig, OP.SHUTDOWN, { fd: a, len: 1 }, 0);
  admitted(rig, OP.READ, { fd: b, addr: rig.freeAt, len: 10 }, 0);
  for (const slot of [a, b]) admitted(rig, OP.CLOSE, { fileIndex: slot + 1 }, 0);
  admitted(rig, OP.SEND, { fd: a, ...rig.put('late') }, EBADF);
});

it('a send to a closed peer is -EPIPE, not a signal', () => {
  const rig = new Rig();
  const [a] = rig.pair();
  admitted(rig, OP.SHUTDOWN, { fd: a, len: 1 }, 0);
  admitted(rig, OP.SEND, { fd: a, ...rig.put('x') }, EPIPE);
});

it('a receive takes no more than its buffer, whatever length it asks for', () => {
  const rig = new Rig();
  const [a, b] = rig.pair();
  const { recvBufferBytes, largeRecvBufferBytes } = rig.options;
  for (const [bufGroup, size] of [recvBufferBytes, largeRecvBufferBytes].entries()) {
    admitted(rig, OP.SEND, { fd: a, ...rig.put('x'.repeat(size + 100)) }, size + 100);
    const cqe = rig.completion(rig.stage(OP.RECV, { fd: b, flags: BUFFER_SELECT, bufGroup, len: 0xffffffff }));
    assert.is(cqe.result, size);
    admitted(rig, OP.RECV, { fd: b, addr: rig.freeAt, len: 100 }, 100);
  }
});

it('multishot: accepts and receives come until they are cancelled', () => {
  const rig = new Rig();
  const { slot, port } = rig.listen();
  const accept = rig.stage(OP.ACCEPT, { fd: slot, ioprio: ACCEPT_MULTISHOT });
  const peers = [0, 1].map(() => {
    const socket = rig.run(OP.SOCKET, { fd: 2, off: 1 });
    admitted(rig, OP.CONNECT, { fd: socket, ...rig.address(port) }, 0);
    const cqe = rig.completion(accept);
    assert.is(cqe.flags & F_MORE, F_MORE);
    return [socket, cqe.result];
  });
  const [[socket, peer]] = peers;
  const receive = rig.stage(OP.RECV, { fd: peer, ioprio: RECV_MULTISHOT, flags: BUFFER_SELECT });
  for (const text of ['one', 'two']) {
    admitted(rig, OP.SEND, { fd: socket, ...rig.put(text) }, 3);
    const cqe = rig.completion(receive);
    assert.is(cqe.flags & (F_MORE | F_BUFFER), F_MORE | F_BUFFER);
    assert.is(rig.received(cqe), text);
  }
  for (const user of [receive, accept]) {
    admitted(rig, OP.ASYNC_CANCEL, { addr: user }, 0);
    const cqe = rig.completion(user);
    assert.equal([cqe.result, cqe.flags & F_MORE], [ECANCELED, 0]);
  }
});

it('operations on the wrong kind of file get an error of the kernel', () => {
  const rig = new Rig();
  const { slot } = rig.listen();
  admitted(rig, OP.READ, { fd: slot, addr: rig.freeAt, len: 1 }, ENOTCONN);
  admitted(rig, OP.SEND, { fd: slot, ...rig.put('x') }, EPIPE);
  admitted(rig, OP.FSYNC, { fd: slot }, EINVAL);
});

it('plain descriptors are out of reach for every operation on a file', () => {
  const rig = new Rig();
  const path = join(tmpdir(), `featherstar-gate-${process.pid}`);
  writeFileSync(path, 'canary');
  const fd = openSync(path, 'r+');
  for (const name of WITH_FILE) {
    for (const flags of [0, FIXED_FILE]) {
      const result = rig.run(OP[name], { fd, flags, ...rig.put('gone'), off: name === 'CONNECT' ? 16 : 0 });
      assert.ok(result < 0, `${name}: ${result}`);
    }
  }
  rig.run(OP.CLOSE, { fd });
  assert.is(readFileSync(fd, 'utf8'), 'canary', 'neither written nor closed, and its position is where it was');
  closeSync(fd);
  rmSync(path);
});

test.run();
