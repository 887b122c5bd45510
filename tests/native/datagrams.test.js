// Datagrams through the gate: RECVMSG in its one form, and SEND with a destination. What is refused, and that what is
// let through arrives, with its sender.
//
// Next: gate.test.js for everything else, fuzz.test.js.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  BUFFER_SELECT,
  CQE_SKIP_SUCCESS,
  closeAll,
  ERRNO,
  F_BUFFER,
  F_MORE,
  OP,
  obstacle,
  RECV_MULTISHOT,
  Rig,
  refused,
} from './rig.js';

const { EPERM, EBADF, EFAULT, EINVAL, ECANCELED, EMFILE, EADDRINUSE } = ERRNO;
const LISTEN_REUSE_PORT = 1;
const LISTEN_FIRST = 4;
const LISTEN_DATAGRAMS = 8;
const HEADER_BYTES = 16 + 28;
const TOP = 1n << 63n;

const test = suite('datagrams');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: datagrams: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

function bind(rig, address = '127.0.0.1', port = 0, flags = 0) {
  return rig.ring.listen(address, port, 0, LISTEN_DATAGRAMS | flags);
}

const RECEIVE = { ioprio: RECV_MULTISHOT, flags: BUFFER_SELECT };

/** A sockaddr_in6 of ::1 near the end of memory. */
function address6(rig, port) {
  const addr = rig.bytes.length - 64;
  rig.bytes.fill(0, addr, addr + 28);
  rig.bytes.set([10, 0, port >> 8, port & 255], addr);
  rig.bytes[addr + 23] = 1;
  return addr;
}

function datagram(rig, { result, flags }) {
  const at = rig.recvAt + (flags >>> 16) * rig.options.recvBufferBytes;
  return {
    truncated: (rig.view.getUint32(at + 12, true) & 0x20) !== 0,
    family: rig.view.getUint16(at + 16, true),
    port: rig.view.getUint16(at + 18),
    text: rig.text(at + HEADER_BYTES, result - HEADER_BYTES),
  };
}

it('fields of RECVMSG: one form, and nothing to say about it', () => {
  const rig = new Rig();
  const { slot: fd } = bind(rig);
  const fields = { off: 64, addr: 64, len: 32, opFlags: 32, fileIndex: 32, bufGroup: 16 };
  for (const [name, bits] of Object.entries(fields)) {
    for (let bit = 0; bit < bits; bit++) {
      const value = bits === 64 ? 1n << BigInt(bit) : (1 << bit) >>> 0;
      refused(rig, OP.RECVMSG, { ...RECEIVE, fd, [name]: value }, EINVAL, name);
    }
  }
  for (let ioprio = 0; ioprio < 16; ioprio++) {
    if (ioprio !== RECV_MULTISHOT) refused(rig, OP.RECVMSG, { ...RECEIVE, fd, ioprio }, EINVAL, 'ioprio');
  }
  for (let bit = 4; bit < 16; bit++) {
    refused(rig, OP.RECVMSG, { ...RECEIVE, fd, ioprio: RECV_MULTISHOT | (1 << bit) }, EINVAL, 'ioprio');
  }
  refused(rig, OP.RECVMSG, { ...RECEIVE, fd, flags: 0 }, EINVAL, 'a buffer of its own');
  refused(rig, OP.RECVMSG, { ...RECEIVE, fd, flags: BUFFER_SELECT | CQE_SKIP_SUCCESS }, EINVAL, 'silent');
  for (const plain of [rig.ring.fileSlots, -1, 0x7fffffff]) refused(rig, OP.RECVMSG, { ...RECEIVE, fd: plain }, EBADF);
});

it('the destination of a SEND: two lengths, two families, inside linear memory', () => {
  const rig = new Rig();
  const { slot: fd, port } = bind(rig);
  const { addr: at } = rig.address(port);
  const send = { fd, ...rig.put('x') };
  for (let fileIndex = 1; fileIndex < 300; fileIndex++) {
    if (fileIndex !== 16 && fileIndex !== 28) refused(rig, OP.SEND, { ...send, off: at, fileIndex }, EINVAL, 'length');
  }
  for (let bit = 9; bit < 32; bit++) {
    refused(rig, OP.SEND, { ...send, off: at, fileIndex: ((1 << bit) >>> 0) + 16 }, EINVAL, 'length');
  }
  for (const off of [1, at, TOP]) refused(rig, OP.SEND, { ...send, off }, EINVAL, 'a place without a length');
  const end = BigInt(rig.bytes.length);
  for (const off of [end - 15n, end, end + 1n, 1n << 32n, 1n << 47n, TOP, (1n << 64n) - 1n, (1n << 64n) - 16n]) {
    refused(rig, OP.SEND, { ...send, off, fileIndex: 16 }, EFAULT, 'outside');
  }
  for (const off of [end - 27n, end - 16n]) refused(rig, OP.SEND, { ...send, off, fileIndex: 28 }, EFAULT, 'outside');
  for (let family = 0; family < 256; family++) {
    rig.bytes[at] = family;
    if (family !== 2) refused(rig, OP.SEND, { ...send, off: at, fileIndex: 16 }, EPERM, 'family');
  }
  rig.bytes.set([2, 1], at);
  refused(rig, OP.SEND, { ...send, off: at, fileIndex: 16 }, EPERM, 'family');
  const at6 = address6(rig, port);
  refused(rig, OP.SEND, { ...send, off: at6, fileIndex: 16 }, EPERM, 'the longer one, cut short');
  rig.bytes[at6] = 1;
  refused(rig, OP.SEND, { ...send, off: at6, fileIndex: 28 }, EPERM, 'a path');
});

it('datagrams arrive with their sender, one completion each, until it is cancelled', () => {
  const rig = new Rig();
  const to = bind(rig);
  const from = bind(rig);
  const receive = rig.stage(OP.RECVMSG, { ...RECEIVE, fd: to.slot });
  for (const text of ['one', 'two', 'three']) {
    const { addr: off } = rig.address(to.port); // in the last bytes of memory
    assert.is(rig.run(OP.SEND, { fd: from.slot, ...rig.put(text), off, fileIndex: 16 }), text.length);
    const cqe = rig.completion(receive);
    assert.is(cqe.flags & (F_MORE | F_BUFFER), F_MORE | F_BUFFER);
    assert.equal(datagram(rig, cqe), { truncated: false, family: 2, port: from.port, text });
  }
  rig.bytes.fill(0xee, rig.bytes.length - 16); // it was copied: what is there now is nobody's
  assert.is(rig.run(OP.ASYNC_CANCEL, { addr: receive }), 0);
  const last = rig.completion(receive);
  assert.equal([last.result, last.flags & F_MORE], [ECANCELED, 0]);
});

it('one that is too long for its buffer says so, and writes nothing beyond', () => {
  const rig = new Rig();
  const { slot, port } = bind(rig);
  const size = rig.options.recvBufferBytes;
  rig.bytes.fill(0x5a, rig.recvAt, rig.freeAt);
  const receive = rig.stage(OP.RECVMSG, { ...RECEIVE, fd: slot });
  const { addr: off } = rig.address(port);
  const bytes = size - HEADER_BYTES;
  for (const [length, truncated] of [
    [bytes, false],
    [bytes + 1, true],
    [20_000, true],
  ]) {
    assert.is(rig.run(OP.SEND, { fd: slot, ...rig.put('y'.repeat(length)), off, fileIndex: 16 }), length);
    const cqe = rig.completion(receive);
    assert.is(cqe.result, size);
    assert.is(datagram(rig, cqe).truncated, truncated);
    const behind = rig.recvAt + ((cqe.flags >>> 16) + 1) * size;
    if (behind < rig.freeAt) assert.is.not(rig.bytes[behind], 0x79);
  }
});

it('IPv6, if this machine has it; a connected socket needs no destination', () => {
  const rig = new Rig();
  const six = bind(rig, '::1');
  if (six.slot === undefined) console.log('# skipped: IPv6: this machine has none');
  else {
    const receive = rig.stage(OP.RECVMSG, { ...RECEIVE, fd: six.slot });
    const off = address6(rig, six.port);
    assert.is(rig.run(OP.SEND, { fd: six.slot, ...rig.put('six'), off, fileIndex: 28 }), 3);
    const { family, port, text } = datagram(rig, rig.completion(receive));
    assert.equal([family, port, text], [10, six.port, 'six']);
  }
  const [a, b] = [bind(rig), bind(rig)];
  const receive = rig.stage(OP.RECVMSG, { ...RECEIVE, fd: b.slot });
  assert.is(rig.run(OP.CONNECT, { fd: a.slot, ...rig.address(b.port) }), 0);
  assert.is(rig.run(OP.SEND, { fd: a.slot, ...rig.put('straight') }), 8);
  assert.is(datagram(rig, rig.completion(receive)).text, 'straight');
});

it('binding: ports in use, shared ports, paths, grants that are used up', () => {
  const rig = new Rig();
  const { port } = bind(rig);
  assert.is(bind(rig, '127.0.0.1', port).errno, EADDRINUSE);
  assert.is(bind(rig, '127.0.0.1', port, LISTEN_REUSE_PORT).errno, EADDRINUSE);
  assert.is(bind(rig, '127.0.0.1', port, LISTEN_REUSE_PORT | LISTEN_FIRST).errno, EADDRINUSE);
  assert.is(bind(rig, 'unix:/tmp/x').errno, EINVAL);
  assert.is(bind(rig, 'nonsense').errno, EINVAL);
  const shared = bind(rig, '127.0.0.1', 0, LISTEN_REUSE_PORT);
  assert.is(bind(rig, '127.0.0.1', shared.port, LISTEN_REUSE_PORT).port, shared.port);
  assert.is(bind(rig, '127.0.0.1', shared.port, LISTEN_REUSE_PORT | LISTEN_FIRST).errno, EADDRINUSE);
  assert.is(bind(rig).errno, undefined);
  assert.is(bind(rig).errno, EMFILE); // four grants
  rig.run(OP.CLOSE, { fileIndex: shared.slot + 1 });
  assert.is(bind(rig).slot, shared.slot);
});

test.run();
