// Lent bytes: what the gate reads of JavaScript's own memory for a send, what it writes there for a receive, and what
// it refuses. The pieces are looked at in the enter that submits the operation, so tests change them between stage()
// and that enter.
//
// Next: fuzz.test.js.

import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  addon,
  BLOCK_SPACE,
  BUFFER_SELECT,
  CQE_SKIP_SUCCESS,
  closeAll,
  ERRNO,
  OP,
  obstacle,
  Rig,
  refused,
} from './rig.js';

const { EBADF, EFAULT, EINVAL, EPIPE } = ERRNO;
const EAGAIN = -11;
const DONTWAIT = 0x40;
const WAITALL = 0x100;
const AT_ONCE = DONTWAIT | WAITALL;
const PIECES = 32; // host/native/ring.h

const test = suite('lent');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: lent: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

const bytes = (text) => new Uint8Array(Buffer.from(text));

/** A rig with two connected sockets, and a function that stages a send of pieces on the first one. */
function open(options) {
  const rig = new Rig(options);
  const [from, to] = rig.pair();
  const send = (pieces, fields = {}) => {
    rig.lent[from] = pieces;
    const len = pieces.reduce((sum, piece) => sum + piece.length, 0);
    return rig.stage(OP.SENDMSG, { fd: from, len, opFlags: AT_ONCE, ...fields });
  };
  const arrived = (count) => rig.text(rig.freeAt, rig.run(OP.RECV, { fd: to, addr: rig.freeAt, len: count }));
  return { rig, from, to, send, arrived };
}

it('pieces go out in order, whatever memory they lie in', () => {
  const { rig, send, arrived } = open({ blockPages: 1 });
  rig.bytes.set(bytes('linear '), rig.freeAt + 4096);
  rig.blocks.set(bytes('block '), 100);
  const pieces = [
    bytes('tiny '), // in V8's heap
    Buffer.from('pool '),
    new Uint8Array(bytes('xx window yy').buffer, 3, 7),
    rig.bytes.subarray(rig.freeAt + 4096, rig.freeAt + 4103),
    rig.blocks.subarray(100, 106),
    new Uint8Array(new SharedArrayBuffer(3)).fill(0x2e),
  ];
  for (const piece of pieces) piece.buffer; // as send-queue.ts does
  const text = 'tiny pool window linear block ...';
  assert.is(rig.completion(send(pieces)).result, text.length);
  assert.is(arrived(100), text);
});

it('a part of the first piece, and of the last', () => {
  const { rig, send, arrived } = open();
  assert.is(rig.completion(send([bytes('xxab'), bytes('cd'), bytes('efxx')], { off: 2, len: 6 })).result, 6);
  assert.is(arrived(100), 'abcdef');
  assert.is(rig.completion(send([bytes('xabx')], { off: 1, len: 2 })).result, 2);
  assert.is(arrived(100), 'ab');
  const tooMany = Array.from({ length: PIECES + 1 }, () => bytes('.'));
  assert.is(rig.completion(send(tooMany, { len: PIECES })).result, PIECES);
  assert.is(arrived(100), '.'.repeat(PIECES));
});

it('bytes of a region in front of what is lent', () => {
  const { rig, send, arrived } = open({ blockPages: 1 });
  rig.put('head ');
  rig.blocks.set(bytes('block '), 65_530);
  const head = { addr: rig.freeAt, fileIndex: 5 };
  assert.is(rig.completion(send([bytes('xbody')], { ...head, off: 1, len: 9 })).result, 9);
  assert.is(arrived(100), 'head body');
  assert.is(rig.completion(send([bytes('body')], { addr: BLOCK_SPACE + 65_530, fileIndex: 6, len: 10 })).result, 10);
  assert.is(arrived(100), 'block body');
  for (const addr of [rig.bytes.length - 4, rig.bytes.length, BLOCK_SPACE + 65_532, 2 * BLOCK_SPACE, -1]) {
    assert.is(rig.completion(send([bytes('body')], { addr, fileIndex: 5, len: 9 })).result, EFAULT, `${addr}`);
  }
});

it('one piece stands in the table as it is, or in an array', () => {
  const { rig, from, arrived } = open();
  rig.lent[from] = bytes('abc');
  assert.is(rig.run(OP.SENDMSG, { fd: from, len: 3, opFlags: AT_ONCE }), 3);
  assert.is(arrived(100), 'abc');
});

it('a full socket: a part goes out, then nothing, and no send stays open', () => {
  const { rig, send } = open();
  const body = new Uint8Array(32 * 1024 * 1024);
  const sent = rig.completion(send([body])).result;
  assert.ok(sent > 0 && sent < body.length, `${sent}`);
  assert.is(rig.completion(send([body])).result, EAGAIN);
});

it('a send that succeeds is quiet if it may be', () => {
  const { rig, send, arrived } = open();
  send([bytes('quiet')], { flags: CQE_SKIP_SUCCESS });
  assert.equal(rig.enter(), []);
  assert.is(arrived(100), 'quiet');
});

it('a peer that has gone is an error, and no signal', () => {
  const { rig, to, send } = open();
  rig.run(OP.CLOSE, { fileIndex: to + 1 });
  rig.completion(send([bytes('a')]));
  assert.is(rig.completion(send([bytes('b')])).result, EPIPE);
});

it('what happens to the bytes between the submission and the enter', () => {
  const { rig, send } = open();
  const refusedAfter = (what, pieces, change) => {
    const user = send(pieces);
    change(pieces);
    assert.is(rig.completion(user).result, EFAULT, what);
  };
  const large = () => new Uint8Array(100_000);
  refusedAfter('detached', [large()], ([piece]) => structuredClone(piece, { transfer: [piece.buffer] }));
  refusedAfter('the second is detached', [large(), large()], ([, piece]) => {
    structuredClone(piece, { transfer: [piece.buffer] });
  });
  refusedAfter('transferred', [large()], ([piece]) => {
    const { port1 } = new MessageChannel();
    port1.postMessage(piece, [piece.buffer]);
    port1.close();
  });
  const resizable = () => new Uint8Array(new ArrayBuffer(100_000, { maxByteLength: 200_000 }));
  refusedAfter('shrunk', [resizable()], ([piece]) => piece.buffer.resize(99_999));
  refusedAfter('shrunk to nothing', [resizable()], ([piece]) => piece.buffer.resize(0));
  const fixed = new Uint8Array(new ArrayBuffer(100_000, { maxByteLength: 200_000 }), 50_000, 50_000);
  refusedAfter('out of bounds', [fixed], ([piece]) => piece.buffer.resize(99_999));
  refusedAfter('taken out', [large()], (pieces) => pieces.pop());
  refusedAfter('another object', [large()], (pieces) => {
    pieces[0] = { length: 100_000 };
  });
  const grown = [resizable()];
  const user = send(grown);
  grown[0].buffer.resize(200_000);
  assert.is(rig.completion(user).result, 100_000, 'grown: no more than was asked for');
});

it('what is no row of pieces', () => {
  const { rig, from } = open();
  const fields = { fd: from, len: 4, opFlags: AT_ONCE };
  const rows = [undefined, null, 1, 'text', {}, [], [undefined], [null], ['text'], [new ArrayBuffer(4)]];
  rows.push(
    [new Uint16Array(2)],
    [new Int8Array(4)],
    [new DataView(new ArrayBuffer(4))],
    [new Uint8Array(0)],
    new Uint8Array(0),
  );
  rows.push([bytes('ab'), new Uint8Array(0), bytes('ab')], [bytes('abc')], [[bytes('abcd')]]);
  for (const row of rows) {
    rig.lent[from] = row;
    refused(rig, OP.SENDMSG, fields, EFAULT, String(row));
  }
  rig.lent[from] = [bytes('abcd')];
  for (const off of [1, 4, 5, 2 ** 32, (1n << 64n) - 1n]) refused(rig, OP.SENDMSG, { ...fields, off }, EFAULT, 'off');
  for (const len of [5, 0x7fffffff, 0xffffffff]) refused(rig, OP.SENDMSG, { ...fields, len }, EFAULT, 'len');
  rig.lent[from] = Array.from({ length: PIECES + 1 }, () => bytes('.'));
  refused(rig, OP.SENDMSG, { ...fields, len: PIECES + 1 }, EFAULT, 'too many');
});

it('what a send of lent bytes may not ask for', () => {
  const { rig, from } = open();
  rig.lent[from] = [bytes('abcd')];
  const fields = { fd: from, len: 4, opFlags: AT_ONCE };
  for (const opFlags of [0, DONTWAIT, WAITALL, AT_ONCE | 0x8000, AT_ONCE | 0x4000000, AT_ONCE | 1]) {
    refused(rig, OP.SENDMSG, { ...fields, opFlags }, EINVAL, 'flags of the message');
  }
  for (let bit = 1; bit < 65_536; bit <<= 1) refused(rig, OP.SENDMSG, { ...fields, ioprio: bit }, EINVAL, 'ioprio');
  refused(rig, OP.SENDMSG, { ...fields, len: 0 }, EINVAL, 'no bytes');
  refused(rig, OP.SENDMSG, { ...fields, addr: rig.freeAt }, EINVAL, 'an address without a head');
  for (const fileIndex of [4, 5, 0xffffffff]) {
    refused(rig, OP.SENDMSG, { ...fields, addr: rig.freeAt, fileIndex }, EINVAL, 'a head and nothing lent');
  }
  refused(rig, OP.SENDMSG, { ...fields, flags: BUFFER_SELECT }, EINVAL, 'a buffer of the kernel');
  for (const fd of [rig.ring.fileSlots, -1, 0x7fffffff]) refused(rig, OP.SENDMSG, { ...fields, fd }, EBADF, 'fd');
  rig.lent[20] = rig.lent[from];
  assert.is(rig.run(OP.SENDMSG, { ...fields, fd: 20 }), EBADF, 'an empty slot');
});

it('without a table no bytes are lent', () => {
  const bare = { open: (memory, blocks, options) => addon().open(memory, blocks, options) };
  const { rig, from } = open({ addon: bare });
  rig.lent[from] = [bytes('abcd')];
  refused(rig, OP.SENDMSG, { fd: from, len: 4, opFlags: AT_ONCE }, EFAULT);
});

it('also in an enter that libuv begins', async () => {
  const { rig, to, send } = open();
  const done = new EventTarget();
  let isStaged = false;
  rig.ring.start(() => {
    rig.take();
    if (!isStaged) send([new Uint8Array(50_000).fill(0x61), bytes('end')]);
    isStaged = true;
    done.dispatchEvent(new Event('turn'));
  });
  rig.setControl('moreWork', 1);
  rig.stage(OP.NOP);
  await once(done, 'turn');
  rig.setControl('moreWork', 0);
  let count = 0;
  for (let i = 0; i < 100 && count < 50_003; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    const user = rig.stage(OP.RECV, { fd: to, addr: rig.freeAt, len: 60_000, opFlags: DONTWAIT });
    rig.ring.enter();
    const cqe = rig.take().find((each) => each.user === user);
    count += Math.max(cqe?.result ?? 0, 0);
  }
  rig.ring.stop();
  assert.is(count, 50_003);
});

// --- receives --------------------------------------------------------------------------------------------------------

/** A rig with two connected sockets, and a function that stages a receive from the first one into `target`. */
function openTarget(options) {
  const rig = new Rig(options);
  const [to, from] = rig.pair();
  const receive = (target, fields = {}) => {
    rig.targets[to] = target;
    return rig.stage(OP.RECVMSG, { fd: to, len: target.length, opFlags: DONTWAIT, ...fields });
  };
  const arrive = (text) => {
    rig.put(text);
    assert.is(rig.run(OP.SEND, { fd: from, addr: rig.freeAt, len: text.length }), text.length);
  };
  return { rig, to, from, receive, arrive };
}

it('a receive brings what has come, at once, and as much as it was asked for', () => {
  const { rig, receive, arrive } = openTarget();
  const target = new Uint8Array(100).fill(0x2e);
  assert.is(rig.completion(receive(target)).result, EAGAIN, 'nothing has come');
  arrive('abcdef');
  assert.is(rig.completion(receive(target, { len: 2 })).result, 2);
  assert.is(Buffer.from(target).toString(), `ab${'.'.repeat(98)}`);
  assert.is(rig.completion(receive(target.subarray(50, 60))).result, 4);
  assert.is(Buffer.from(target).toString(), `ab${'.'.repeat(48)}cdef${'.'.repeat(46)}`);
  assert.is(rig.completion(receive(target)).result, EAGAIN);
});

it('a receive tells of the end and of a reset, and stays open for neither', () => {
  const { rig, from, receive } = openTarget();
  rig.run(OP.SHUTDOWN, { fd: from, len: 1 });
  assert.is(rig.completion(receive(new Uint8Array(10))).result, 0);
  const other = openTarget();
  other.rig.run(OP.CLOSE, { fileIndex: other.from + 1 });
  assert.is(other.rig.completion(other.receive(new Uint8Array(10))).result, 0);
});

it('what happens to a target between the submission and the enter', () => {
  const { rig, to, receive, arrive } = openTarget();
  arrive('abcd');
  const refusedAfter = (what, target, change) => {
    const user = receive(target);
    change(target);
    assert.is(rig.completion(user).result, EFAULT, what);
  };
  const large = () => new Uint8Array(100_000);
  refusedAfter('detached', large(), (target) => structuredClone(target, { transfer: [target.buffer] }));
  const resizable = new Uint8Array(new ArrayBuffer(100_000, { maxByteLength: 200_000 }));
  refusedAfter('shrunk', resizable, (target) => target.buffer.resize(99_999));
  refusedAfter('taken out', large(), () => {
    rig.targets[to] = undefined;
  });
  const put = new Uint8Array(4);
  const user = receive(large(), { len: 4 });
  rig.targets[to] = put;
  assert.is(rig.completion(user).result, 4, 'another one: that counts which is there at the enter');
  assert.is(Buffer.from(put).toString(), 'abcd');
});

it('what is no target', () => {
  const { rig, to, arrive } = openTarget();
  arrive('abcd');
  const fields = { fd: to, len: 4, opFlags: DONTWAIT };
  const rows = [undefined, null, 1, 'text', {}, [], [undefined], new ArrayBuffer(4), new Uint16Array(4)];
  rows.push(new DataView(new ArrayBuffer(4)), new Uint8Array(3), [bytes('ab'), bytes('cd')]);
  for (const row of rows) {
    rig.targets[to] = row;
    refused(rig, OP.RECVMSG, fields, EFAULT, String(row));
  }
  rig.targets[to] = undefined;
  rig.lent[to] = bytes('....');
  refused(rig, OP.RECVMSG, fields, EFAULT, 'what is lent to be sent is not written to');
  assert.is(Buffer.from(rig.lent[to]).toString(), '....');
  const { rig: bare, to: slot } = openTarget({ addon: { open: (...args) => addon().open(...args.slice(0, 5)) } });
  bare.targets[slot] = bytes('....');
  refused(bare, OP.RECVMSG, { ...fields, fd: slot }, EFAULT, 'without a table');
});

it('what a receive into lent bytes may not ask for', () => {
  const { rig, to, arrive } = openTarget();
  arrive('abcd');
  rig.targets[to] = bytes('....');
  const fields = { fd: to, len: 4, opFlags: DONTWAIT };
  for (const opFlags of [0, WAITALL, AT_ONCE, DONTWAIT | 2, DONTWAIT | 0x4000000]) {
    refused(rig, OP.RECVMSG, { ...fields, opFlags }, EINVAL, 'flags of the message: it would wait, or leave the bytes');
  }
  for (let bit = 1; bit < 65_536; bit <<= 1) refused(rig, OP.RECVMSG, { ...fields, ioprio: bit }, EINVAL, 'ioprio');
  refused(rig, OP.RECVMSG, { ...fields, len: 0 }, EINVAL, 'no bytes');
  refused(rig, OP.RECVMSG, { ...fields, addr: rig.freeAt }, EINVAL, 'an address');
  refused(rig, OP.RECVMSG, { ...fields, off: 1 }, EINVAL, 'a place in the target');
  refused(rig, OP.RECVMSG, { ...fields, fileIndex: 1 }, EINVAL, 'a second file');
  refused(rig, OP.RECVMSG, { ...fields, flags: CQE_SKIP_SUCCESS }, EINVAL, 'silent');
  for (const fd of [rig.ring.fileSlots, -1, 0x7fffffff]) refused(rig, OP.RECVMSG, { ...fields, fd }, EBADF, 'fd');
  assert.is(Buffer.from(rig.targets[to]).toString(), '....');
  assert.is(rig.run(OP.RECVMSG, fields), 4);
});

test.run();
