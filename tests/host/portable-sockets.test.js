// Sockets of the portable host: bytes, ends, errors, backpressure, and what happens to operations that are open.
// portable-rig.js plays the core.

import { once } from 'node:events';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';
import {
  closeAll,
  DONTWAIT,
  F_BUFFER,
  F_MORE,
  FIXED,
  LIMITS,
  OP,
  OP_SHUTDOWN,
  OP_SOCKET,
  QUIET,
  Rig,
  sleep,
  stalled,
} from './portable-rig.js';

const ENOENT = -2;
const EAGAIN = -11;
const EPIPE = -32;
const ECONNRESET = -104;
const EOPNOTSUPP = -95;
const ENOBUFS = -105;
const EISCONN = -106;
const ENOTCONN = -107;
const ECONNREFUSED = -111;
const ECANCELED = -125;
const SEND_BYTES = LIMITS.sendBufferBytes;

test.after.each(closeAll);

/** Bytes that are not the same anywhere near. */
function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 255;
  return bytes;
}

/** Everything that the client gets, up to the end. Its other half stays open. */
async function readAll(client) {
  const chunks = [];
  client.on('data', (chunk) => chunks.push(chunk));
  await client.gone;
  return Buffer.concat(chunks);
}

/** Receives on and on, arming again when buffers ran out, until the end or `bytes`. */
async function receiveAll(rig, slot, bytes = Number.POSITIVE_INFINITY) {
  const chunks = [];
  let total = 0;
  let user = rig.receive(slot, 2);
  while (total < bytes) {
    const cqe = await rig.completion(user);
    if (cqe.result > 0) {
      chunks.push(rig.take(cqe));
      total += cqe.result;
    }
    if ((cqe.flags & F_MORE) !== 0) continue;
    if (cqe.result === 0) break;
    assert.is(cqe.result, ENOBUFS);
    user = rig.receive(slot, 2);
  }
  return Buffer.concat(chunks);
}

// --- bytes ----------------------------------------------------------------------------------------------------------

test('echo: a multishot receive, a send for each buffer, the end', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const bytes = pattern(300_000);
  client.end(bytes);
  const echoed = readAll(client);
  const received = await receiveAll(rig, slot);
  assert.ok(received.equals(bytes));
  for (let at = 0; at < received.length; at += SEND_BYTES) {
    const part = rig.put(0, received.subarray(at, at + SEND_BYTES));
    assert.is(await rig.run(OP.SEND, { fd: slot, ...part }), part.len);
  }
  assert.is(await rig.run(OP.CLOSE, { fileIndex: slot + 1 }), 0);
  assert.ok((await echoed).equals(bytes));
  assert.is(rig.u32[Control.refusedCount >> 2], 0);
});

test('a receive into a buffer of the pool: bounded by the buffer, by len, and by what has come', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const bytes = pattern(3000);
  client.write(bytes);
  const first = await rig.completion(rig.receive(slot));
  assert.is(first.result, LIMITS.recvBufferBytes);
  assert.is(first.flags & (F_BUFFER | F_MORE), F_BUFFER);
  const second = await rig.completion(rig.stage(OP.RECV, { fd: slot, flags: FIXED | 32, len: 10 }));
  assert.is(second.result, 10);
  const third = await rig.completion(rig.receive(slot));
  const fourth = await rig.completion(rig.receive(slot));
  const all = Buffer.concat([first, second, third, fourth].map((cqe) => rig.take(cqe)));
  assert.ok(all.equals(bytes));
});

const CHUNKS_KEPT = 128; // host/hosts/portable-window.ts, KEPT_MAX

test('a receive into large buffers gets one, and what the host has kept as it is; numbers run out', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const large = (sqe) => rig.completion(rig.stage(OP.RECV, { fd: slot, flags: FIXED | 32, group: 1, ...sqe }));
  const bytes = pattern(30_000);
  client.write(bytes);
  const first = await large({ len: 10 }); // before the bytes have come, so the rest is kept
  assert.ok(first.flags >>> 16 >= LIMITS.recvBufferCount);
  assert.ok(first.flags >>> 16 < LIMITS.recvBufferCount + LIMITS.largeRecvBufferCount);
  const held = [];
  for (let i = 0; i < CHUNKS_KEPT; i++) held.push(await large({ len: 10 + (i & 1) }));
  assert.equal([held[0].result, held[1].result], [10, 11]);
  const numbers = held.map(({ flags }) => flags >>> 16);
  assert.is(new Set(numbers).size, CHUNKS_KEPT);
  assert.ok(Math.min(...numbers) >= 49_152, 'behind all numbers that buffers may have');
  assert.is((await large({})).result, ENOBUFS);
  const parts = [first, ...held].map((cqe) => rig.take(cqe));
  assert.is(rig.host.receivedBytes(numbers[0]), undefined, 'once');
  const free = [await large({ len: 5 }), await large({ len: 6 })];
  assert.is(new Set(free.map(({ flags }) => flags >>> 16)).size, 2);
  parts.push(...free.map((cqe) => rig.take(cqe)));
  const count = () => parts.reduce((sum, part) => sum + part.length, 0);
  while (count() < bytes.length) parts.push(rig.take(await large({})));
  assert.ok(Buffer.concat(parts).equals(bytes));
  assert.ok(parts.at(-1).length > LIMITS.recvBufferBytes);
  assert.is(rig.bytes.indexOf(bytes.subarray(10, 74)), -1, 'linear memory has not seen what was kept');
  client.write('small');
  assert.is(rig.take(await rig.completion(rig.receive(slot))).toString(), 'small');
});

test('a receive into large buffers that finds none free gets a copy of its own', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const large = () => rig.stage(OP.RECV, { fd: slot, flags: FIXED | 32, group: 1 });
  const held = [];
  for (let i = 0; i <= LIMITS.largeRecvBufferCount; i++) {
    const received = rig.completion(large()); // armed when the bytes come
    client.write(`chunk ${i}`);
    held.push(await received);
  }
  assert.ok(held.at(-1).flags >>> 16 >= 49_152);
  const texts = held.map((cqe) => Buffer.from(rig.take(cqe)).toString());
  assert.equal(texts, ['chunk 0', 'chunk 1', 'chunk 2']);
});

test('a receive into memory of its own', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  client.write('abcdef');
  assert.is(await rig.run(OP.RECV, { fd: slot, addr: rig.sendAt(0), len: 4 }), 4);
  assert.is(await rig.run(OP.RECV, { fd: slot, addr: rig.sendAt(0) + 4, len: 100 }), 2);
  assert.is(rig.bytes.toString('latin1', rig.sendAt(0), rig.sendAt(0) + 6), 'abcdef');
  assert.is(await rig.run(OP.RECV, { fd: slot, addr: rig.sendAt(0), len: 0 }), 0);
});

test('receives are answered in the order in which they were staged', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const users = [0, 1, 2].map((i) => rig.stage(OP.RECV, { fd: slot, addr: rig.sendAt(i), len: 2 }));
  client.write('aabbcc');
  for (const user of users) assert.is((await rig.completion(user)).result, 2);
  assert.equal(
    [0, 1, 2].map((i) => rig.bytes.toString('latin1', rig.sendAt(i), rig.sendAt(i) + 2)),
    ['aa', 'bb', 'cc'],
  );
});

test('no free buffer: -ENOBUFS ends the receive, nothing is lost; ids that are not out are dropped', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const bytes = pattern(LIMITS.recvBufferCount * LIMITS.recvBufferBytes + 500);
  client.end(bytes);
  const user = rig.receive(slot, 2);
  const cqes = [];
  do cqes.push(await rig.completion(user));
  while ((cqes.at(-1).flags & F_MORE) !== 0);
  const last = cqes.pop();
  assert.equal([last.result, last.flags], [ENOBUFS, 0]);
  assert.equal(cqes.map((cqe) => cqe.flags >>> 16).sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.is((await rig.completion(rig.receive(slot))).result, ENOBUFS);
  const first = rig.take(cqes[0]);
  rig.recycle(cqes[0].flags >>> 16); // twice
  rig.recycle(LIMITS.recvBufferCount);
  rig.recycle(0xffffffff);
  const next = await rig.completion(rig.receive(slot));
  assert.is(next.result, 500);
  assert.is((await rig.completion(rig.receive(slot))).result, 0, 'the end needs no buffer');
  const all = Buffer.concat([first, ...cqes.slice(1).map((cqe) => rig.take(cqe)), rig.take(next)]);
  assert.ok(all.equals(bytes));
});

// --- ends and errors ------------------------------------------------------------------------------------------------

test('the peer ends: 0, again and again, without MORE; sending goes on', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const user = rig.receive(slot, 2);
  client.end();
  assert.equal(await rig.completion(user), { user, high: 0, result: 0, flags: 0 });
  assert.is((await rig.completion(rig.receive(slot))).result, 0);
  const heard = once(client, 'data');
  assert.is(await rig.run(OP.SEND, { fd: slot, ...rig.put(0, 'still here') }), 10);
  assert.is(String((await heard)[0]), 'still here');
});

test('the peer resets: -ECONNRESET once, then the end; sends get -EPIPE', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const user = rig.receive(slot, 2);
  await rig.run(OP.NOP);
  client.resetAndDestroy();
  assert.equal(await rig.completion(user), { user, high: 0, result: ECONNRESET, flags: 0 });
  assert.is((await rig.completion(rig.receive(slot))).result, 0);
  assert.is(await rig.run(OP.SEND, { fd: slot, ...rig.put(0, 'x') }), EPIPE);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: slot + 1 }), 0);
});

test('a reset that nobody was waiting for is told to whoever asks next', async () => {
  const rig = new Rig();
  for (const ask of [(slot) => rig.receive(slot), (slot) => rig.stage(OP.SEND, { fd: slot, ...rig.put(0, 'x') })]) {
    const { slot, client } = await rig.pair();
    client.write('x');
    rig.take(await rig.completion(rig.receive(slot))); // it reads on, so that it can notice
    client.resetAndDestroy();
    await sleep(50);
    assert.is((await rig.completion(ask(slot))).result, ECONNRESET);
    assert.is((await rig.completion(rig.receive(slot))).result, 0);
  }
});

test('shutdown: no more sends, the peer sees the end, receiving goes on', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const heard = readAll(client);
  assert.is(await rig.run(OP.SEND, { fd: slot, ...rig.put(0, 'last') }), 4);
  assert.is(await rig.run(OP_SHUTDOWN, { fd: slot, len: 1 }), 0);
  assert.is(await rig.run(OP_SHUTDOWN, { fd: slot, len: 1 }), 0);
  assert.is(await rig.run(OP.SEND, { fd: slot, ...rig.put(0, 'x') }), EPIPE);
  client.write('back');
  assert.is(String(await heard), 'last');
  assert.is(String(rig.take(await rig.completion(rig.receive(slot)))), 'back');
  const user = rig.receive(slot);
  assert.is(await rig.run(OP_SHUTDOWN, { fd: slot, len: 0 }), 0);
  assert.is((await rig.completion(user)).result, 0, 'a receive is over when its side is shut down');
});

test('operations that a listener or an unconnected socket does not have', async () => {
  const rig = new Rig();
  const { slot, listener } = await rig.pair();
  const unconnected = await rig.run(OP_SOCKET, { fd: 2, off: 1 });
  for (const fd of [listener, unconnected]) {
    assert.is((await rig.completion(rig.receive(fd))).result, ENOTCONN);
    assert.is(await rig.run(OP.SEND, { fd, ...rig.put(0, 'x') }), ENOTCONN);
    assert.is(await rig.run(OP_SHUTDOWN, { fd, len: 1 }), ENOTCONN);
  }
  assert.is(await rig.run(OP.ACCEPT, { fd: slot }), -22);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: unconnected + 1 }), 0);
});

// --- backpressure ---------------------------------------------------------------------------------------------------

test('a peer that does not read: sends wait in linear memory, not in copies', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const part = rig.put(0, Buffer.alloc(SEND_BYTES, 'a'));
  const users = Array.from({ length: 240 }, () => rig.stage(OP.SEND, { fd: slot, ...part })); // 15 MiB
  await stalled(() => rig.taken.length);
  const done = rig.taken.length;
  assert.ok(done > 0 && done < users.length, `${done} of ${users.length} were sent`);
  rig.put(0, Buffer.alloc(SEND_BYTES, 'b')); // of what waits, all but one is still to be copied
  const heard = readAll(client);
  for (const user of users) assert.is((await rig.completion(user)).result, SEND_BYTES);
  await rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  const bytes = await heard;
  assert.is(bytes.length, users.length * SEND_BYTES);
  const changed = bytes.indexOf('b');
  assert.ok(changed <= (done + 1) * SEND_BYTES, `${changed} bytes were out or copied, ${done} sends done`);
  assert.is(bytes.lastIndexOf('a'), changed - 1);
});

test('what waits to be sent on one connection is not what another one sends', async () => {
  const rig = new Rig();
  const [slow, quick] = [await rig.pair(), await rig.pair()];
  const part = rig.put(0, Buffer.alloc(5000, 'a'));
  const users = Array.from({ length: 100 }, () => rig.stage(OP.SEND, { fd: slow.slot, ...part }));
  const large = rig.put(1, Buffer.alloc(SEND_BYTES, 'a'));
  for (let i = 0; i < 150; i++) users.push(rig.stage(OP.SEND, { fd: slow.slot, ...large })); // stuck in one of these
  await stalled(() => rig.taken.length);
  assert.ok(rig.taken.length < users.length);
  const heard = [readAll(slow.client), readAll(quick.client)];
  slow.client.pause();
  for (const bytes of [100, 5000, SEND_BYTES]) {
    const other = rig.put(2, Buffer.alloc(bytes, 'b'));
    assert.is(await rig.run(OP.SEND, { fd: quick.slot, ...other }), bytes);
  }
  slow.client.resume();
  await rig.completion(users.at(-1));
  for (const { slot } of [slow, quick]) await rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  const [slowBytes, quickBytes] = await Promise.all(heard);
  assert.is(slowBytes.indexOf('b'), -1);
  assert.is(slowBytes.length, 100 * 5000 + 150 * SEND_BYTES);
  assert.is(quickBytes.indexOf('a'), -1);
});

test('a send that may not wait: it takes one, then says -EAGAIN until that one is out', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const part = { ...rig.put(0, Buffer.alloc(SEND_BYTES)), opFlags: DONTWAIT, flags: FIXED | QUIET };
  let taken = 0;
  for (;;) {
    const user = rig.stage(OP.SEND, { fd: slot, ...part });
    await rig.run(OP.NOP);
    if (rig.taken.length !== 0) {
      assert.is((await rig.completion(user)).result, EAGAIN);
      break;
    }
    taken++;
    assert.ok(taken < 1000, 'a peer that does not read must stop it');
  }
  assert.is((await rig.completion(rig.stage(OP.SEND, { fd: slot, ...part }))).result, EAGAIN);
  const waits = rig.stage(OP.SEND, { fd: slot, ...rig.put(1, 'end') });
  const heard = readAll(client);
  assert.is((await rig.completion(waits)).result, 3);
  await rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  assert.is((await heard).length, taken * SEND_BYTES + 3);
});

test('a shard that does not receive: its peer has to wait, and loses nothing', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  client.write('hello'); // it has received once, so it is not paused from the start
  rig.take(await rig.completion(rig.receive(slot)));
  const chunk = pattern(65_536);
  const chunks = 480; // 30 MiB
  let written = 0;
  const writeNext = () => {
    if (written < chunks) client.write(chunk, () => ++written && writeNext());
  };
  writeNext(); // one by one: Node would make one long write of them all
  await stalled(() => written);
  assert.ok(written < chunks, 'the peer could write everything');
  const received = await receiveAll(rig, slot, chunks * chunk.length);
  assert.is(received.length, chunks * chunk.length);
  for (let i = 0; i < chunks; i++) assert.is(received.compare(chunk, 0, chunk.length, i * 65_536, (i + 1) * 65_536), 0);
});

const POLLOUT = 4;
const POLL_MULTISHOT = 1;
const POLLRDHUP = 0x2000;
const POLL_ENDS = 8 | 16 | 0x2000;

/** Sends without waiting until the socket is full. */
async function fill(rig, slot) {
  const part = { ...rig.put(0, Buffer.alloc(SEND_BYTES)), opFlags: DONTWAIT };
  while ((await rig.run(OP.SEND, { fd: slot, ...part })) !== EAGAIN);
}

const watchRoom = (rig, slot) => rig.stage(OP.POLL, { fd: slot, len: POLL_MULTISHOT, opFlags: POLLOUT });

test('a poll for room tells of it at once, and each time that the peer has read; it holds no memory', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  client.pause();
  const user = watchRoom(rig, slot);
  for (let i = 0; i < 3; i++) {
    assert.equal(await rig.completion(user), { user, result: POLLOUT, flags: F_MORE, high: 0 });
    client.pause();
    await fill(rig, slot);
    await sleep(30);
    assert.is(rig.taken.length, 0);
    client.resume();
  }
  const again = watchRoom(rig, slot);
  assert.is((await rig.completion(again)).result, EOPNOTSUPP, 'one at a time');
});

test('a poll for room tells of how its socket ends, until it is cancelled or the socket closed', async () => {
  const endings = [
    [({ client }) => client.resetAndDestroy(), POLLOUT | POLL_ENDS, F_MORE],
    [({ client }) => client.end(), POLLRDHUP, F_MORE],
    [({ rig, user }) => rig.stage(OP.CANCEL, { addr: user }), ECANCELED, 0],
    [({ rig, slot }) => rig.stage(OP.CLOSE, { fileIndex: slot + 1 }), ECANCELED, 0],
    [({ rig, slot }) => rig.stage(OP_SHUTDOWN, { fd: slot, len: 1 }), POLLOUT, F_MORE],
  ];
  for (const [end, result, flags] of endings) {
    const rig = new Rig();
    const { slot, client } = await rig.pair();
    client.pause();
    await fill(rig, slot);
    rig.receive(slot, 2); // so that the end is read
    const user = watchRoom(rig, slot);
    await sleep(20);
    end({ rig, slot, client, user });
    const told = await rig.completion(user);
    assert.equal([told.result, told.flags], [result, flags], String(end));
    client.destroy();
  }
});

// --- cancelling and closing -----------------------------------------------------------------------------------------

test('cancel: accept, receive, send and connect end with -ECANCELED', async () => {
  const rig = new Rig();
  const { slot, client, listener, port } = await rig.pair();
  const part = rig.put(0, Buffer.alloc(SEND_BYTES));
  const sends = Array.from({ length: 240 }, () => rig.stage(OP.SEND, { fd: slot, ...part }));
  await stalled(() => rig.taken.length);
  const [started, waiting] = sends.slice(rig.taken.length); // one is with Node, one waits in linear memory
  rig.taken.length = 0;
  const fd = await rig.run(OP_SOCKET, { fd: 2, off: 1 });
  const address = Buffer.alloc(16);
  address.writeUInt16LE(2, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  const open = [
    rig.stage(OP.ACCEPT, { fd: listener, ioprio: 1 }),
    rig.stage(OP.RECV, { fd: slot, flags: FIXED | 32, ioprio: 2 }),
    rig.stage(OP.RECV, { fd: slot, addr: rig.sendAt(2), len: 5 }),
    started,
    waiting,
    () => rig.stage(OP.CONNECT, { fd, addr: rig.put(1, address).addr, off: 16 }), // staged with its cancel
  ];
  for (const op of open) {
    const user = typeof op === 'function' ? op() : op;
    const cancel = rig.stage(OP.CANCEL, { addr: user });
    assert.equal(await rig.completion(user), { user, high: 0, result: ECANCELED, flags: 0 });
    assert.is((await rig.completion(cancel)).result, 0);
    assert.is(await rig.run(OP.CANCEL, { addr: user }), ENOENT, 'it is over');
  }
  client.resume();
  assert.is((await rig.completion(sends.at(-1))).result, SEND_BYTES, 'the sends behind them go on');
  client.write('x');
  assert.is((await rig.completion(rig.receive(slot))).result, 1, 'so does receiving');
});

test('cancel finds the operation by all 64 bits of its user_data, and is silent if asked', async () => {
  const rig = new Rig();
  const { slot } = await rig.pair();
  for (const userHigh of [1, 2, 3]) rig.stage(OP.RECV, { fd: slot, flags: FIXED | 32, user: 900, userHigh });
  for (const addrHigh of [2, 3, 1]) {
    const quiet = rig.stage(OP.CANCEL, { addr: 900, addrHigh, flags: QUIET });
    assert.equal(await rig.completion(900), { user: 900, high: addrHigh, result: ECANCELED, flags: 0 });
    await rig.run(OP.NOP);
    assert.is(rig.taken.filter((cqe) => cqe.user === quiet).length, 0);
  }
  assert.is(await rig.run(OP.CANCEL, { addr: 900, addrHigh: 1 }), ENOENT);
});

test('close: open operations end with -ECANCELED, the slot is free, the peer sees the end', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const receive = rig.receive(slot, 2);
  const close = rig.stage(OP.CLOSE, { fileIndex: slot + 1 });
  assert.equal(await rig.completion(receive), { user: receive, high: 0, result: ECANCELED, flags: 0 });
  assert.is((await rig.completion(close)).result, 0);
  await client.gone;
  assert.is(await rig.run(OP.CLOSE, { fileIndex: slot + 1 }), -9);
  assert.is((await rig.pair()).slot, slot);
});

test('close: what was being sent is sent, then the end', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const part = rig.put(0, Buffer.alloc(SEND_BYTES, 'z'));
  const users = Array.from({ length: 240 }, () => rig.stage(OP.SEND, { fd: slot, ...part }));
  await stalled(() => rig.taken.length);
  const done = rig.taken.length;
  assert.ok(done < users.length);
  assert.is(await rig.run(OP.CLOSE, { fileIndex: slot + 1 }), 0);
  for (const user of users.slice(done)) assert.is((await rig.completion(user)).result, ECANCELED);
  const bytes = await readAll(client);
  assert.is(bytes.length, (done + 1) * SEND_BYTES, 'all that completed, and the one that was under way');
});

test('closing the host: nothing stays open, and nothing happens any more', async () => {
  const rig = new Rig();
  const { slot, client, port } = await rig.pair();
  rig.receive(slot, 2);
  await rig.run(OP.NOP);
  const { turns } = rig;
  rig.host.close();
  rig.host.close();
  rig.host.poke();
  rig.host.ref();
  await client.gone;
  const [error] = await once(net.connect({ host: '127.0.0.1', port }), 'error');
  assert.is(error.code, 'ECONNREFUSED');
  assert.is(rig.turns, turns);
});

// --- connecting -----------------------------------------------------------------------------------------------------

function addressOf(rig, target) {
  if (typeof target === 'string') {
    rig.host.setSocketPath(7, target);
    return { addr: 7 };
  }
  const is6 = target.host.includes(':');
  const bytes = Buffer.alloc(is6 ? 28 : 16);
  bytes.writeUInt16LE(is6 ? 10 : 2, 0);
  bytes.writeUInt16BE(target.port, 2);
  if (is6)
    bytes[23] = 1; // ::1
  else bytes.set(target.host.split('.').map(Number), 4);
  return { addr: rig.put(9, bytes).addr, off: bytes.length };
}

test('connect: IPv4, IPv6 and Unix sockets, there and back', async () => {
  const rig = new Rig();
  const path = join(tmpdir(), `featherstar-portable-${process.pid}.sock`);
  const listeners = [
    [2, '127.0.0.1'],
    [1, `unix:${path}`],
  ];
  const hasIpv6 = await rig.listen({ address: '::1' }).then(
    () => true,
    (error) => error.errnoName === 'EINVAL',
  );
  if (hasIpv6) listeners.push([10, '::1']);
  for (const [family, address] of listeners) {
    const { slot, port } = await rig.listen({ address });
    const accept = rig.stage(OP.ACCEPT, { fd: slot });
    const fd = await rig.run(OP_SOCKET, { fd: family, off: 1 });
    const target = addressOf(rig, family === 1 ? path : { host: address, port });
    assert.is(await rig.run(OP.CONNECT, { fd, ...target }), 0, address);
    const { result: peer } = await rig.completion(accept);
    assert.is(await rig.run(OP.CONNECT, { fd, ...target }), EISCONN);
    for (const [from, to] of [
      [fd, peer],
      [peer, fd],
    ]) {
      assert.is(await rig.run(OP.SEND, { fd: from, ...rig.put(0, address) }), address.length);
      assert.is(String(rig.take(await rig.completion(rig.receive(to)))), address);
    }
    for (const file of [fd, peer, slot]) assert.is(await rig.run(OP.CLOSE, { fileIndex: file + 1 }), 0);
  }
});

test('connect: nobody there, no address', async () => {
  const rig = new Rig();
  const { slot, port } = await rig.listen();
  await rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  const fd = await rig.run(OP_SOCKET, { fd: 2, off: 1 });
  const target = addressOf(rig, { host: '127.0.0.1', port });
  assert.is(await rig.run(OP.CONNECT, { fd, ...target, off: 8 }), -22, 'half an address');
  assert.is(await rig.run(OP.CONNECT, { fd, ...target }), ECONNREFUSED);
  assert.is(await rig.run(OP.SEND, { fd, ...rig.put(0, 'x') }), EPIPE);
});

test.run();
