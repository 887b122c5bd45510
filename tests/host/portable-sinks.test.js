// Large chunks of the portable host: sinks take them without events, and bytes are sent without submissions.
//
// Next: portable-sockets.test.js.

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';
import { COPIED, KEPT, monotonicNs, REFUSED } from '../../dist/host/hosts/host.js';
import { closeAll, DONTWAIT, MULTI_RECV, OP, Rig, stalled } from './portable-rig.js';

const EAGAIN = -11;
const ENOBUFS = -105;
const LARGE = 1;
const MEBIBYTE = 1_048_576;
const READ_BYTES = 65_536;
const FULL_CHUNKS = 4; // of these

test.after.each(closeAll);

function pattern(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + (i >> 16)) & 255;
  return bytes;
}

/** Receives a mebibyte: a sink uses a chunk as `use(chunk, isOwn)` says, and the rest comes by events, in order. */
async function receiveBoth(use) {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const parts = [];
  let user;
  let events = 0;
  let taken = 0;
  let clocksBehind = 0;
  let startedNs = 0;
  const begin = () => {
    events = 0;
    user = rig.receive(slot, MULTI_RECV, LARGE);
  };
  rig.sinks[slot] = {
    takeChunk(chunk, isOwn, told) {
      const how = told === events ? use(chunk, isOwn) : REFUSED;
      if (how === REFUSED) return REFUSED;
      if (rig.f64[Control.nowNs >> 3] < startedNs) clocksBehind++;
      parts.push(isOwn && how === KEPT ? chunk : Buffer.from(chunk));
      taken++;
      return how;
    },
  };
  rig.onTurn = () => {
    for (const cqe of rig.taken.splice(0)) {
      assert.is(cqe.user, user);
      if (cqe.result > 0) {
        events++;
        parts.push(rig.take(cqe));
      } else {
        assert.is(cqe.result, ENOBUFS);
        begin();
      }
    }
  };
  begin();
  await sleep(5);
  startedNs = monotonicNs();
  client.write(pattern(MEBIBYTE));
  while (parts.reduce((sum, { length }) => sum + length, 0) < MEBIBYTE) await sleep(1);
  assert.ok(Buffer.concat(parts).equals(pattern(MEBIBYTE)), 'all bytes, in order');
  assert.is(clocksBehind, 0, 'the time of the turn is set for a sink');
  return taken;
}

test('a sink takes large chunks, and the receive stays open; those that it refuses come as events', async () => {
  assert.ok((await receiveBoth(() => COPIED)) > 0);
  assert.ok((await receiveBoth(() => KEPT)) > 0);
  let count = 0;
  const uses = [REFUSED, COPIED, KEPT];
  assert.ok((await receiveBoth(() => (++count % 2 === 0 ? COPIED : REFUSED))) > 0);
  assert.ok((await receiveBoth(() => (++count % 2 === 0 ? KEPT : REFUSED))) > 0);
  assert.ok((await receiveBoth(() => uses[((++count * 7) % 5) % 3])) > 0);
  assert.is(await receiveBoth(() => REFUSED), 0);
});

test('a stream whose full chunks are kept gives its arrays away', async () => {
  if (process.versions.bun !== undefined) return; // each chunk of Bun's is its owner's
  let last = COPIED;
  let owned = 0;
  const arrays = new Set();
  await receiveBoth((chunk, isOwn) => {
    const isFull = chunk.length === READ_BYTES;
    if (isOwn) {
      assert.is(last, KEPT);
      assert.ok(isFull && chunk.buffer.byteLength === READ_BYTES, 'a whole buffer');
      assert.is(chunk.constructor, Uint8Array);
      assert.not.ok(arrays.has(chunk.buffer), 'another one each time');
      arrays.add(chunk.buffer);
      owned++;
    }
    last = isFull ? KEPT : COPIED;
    return KEPT;
  });
  assert.ok(owned > 0);
  await receiveBoth((_chunk, isOwn) => {
    assert.not.ok(isOwn);
    return COPIED;
  });
});

test('a stream that fills one array after the other lets the platform have its turn', async () => {
  let inARow = 0;
  let most = 0;
  let isOver = false;
  const onImmediate = () => {
    inARow = 0;
    if (!isOver) setImmediate(onImmediate);
  };
  onImmediate();
  await receiveBoth((chunk) => {
    if (chunk.length === READ_BYTES) most = Math.max(most, ++inARow);
    return inARow % 2 === 0 ? KEPT : COPIED;
  });
  isOver = true;
  assert.ok(most > 0 && most <= FULL_CHUNKS, `${most} in a row`);
});

test('bytes that are sent at once are a copy', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  const got = [];
  client.on('data', (chunk) => got.push(chunk));
  const bytes = pattern(100_000);
  for (let i = 0; i < 3; i++) assert.is(rig.host.sendAtOnce(slot, bytes), bytes.length);
  bytes.fill(0);
  while (Buffer.concat(got).length < 300_000) await sleep(1);
  assert.ok(Buffer.concat(got).equals(Buffer.concat(Array(3).fill(pattern(100_000)))));
});

test('what the kernel has no room for is kept as a copy, and until it is out no more is taken', async () => {
  const rig = new Rig();
  const { slot, client } = await rig.pair();
  client.pause();
  const piece = pattern(50_000);
  let sent = 0;
  for (let count = piece.length; count === piece.length; sent += count) {
    const bytes = Buffer.from(piece);
    count = rig.host.sendAtOnce(slot, bytes);
    bytes.fill(0);
  }
  assert.is(sent % piece.length, 0, 'all of a piece, or nothing');
  assert.is(rig.host.sendAtOnce(slot, piece), 0);
  assert.is(await rig.run(OP.SEND, { fd: slot, opFlags: DONTWAIT, ...rig.put(0, piece.subarray(0, 10)) }), EAGAIN);
  let got = 0;
  let differences = 0;
  client.on('data', (chunk) => {
    for (const byte of chunk) if (byte !== piece[got++ % piece.length]) differences++;
  });
  client.resume();
  await stalled(() => got);
  assert.is(got, sent);
  assert.is(differences, 0);
  assert.is(rig.host.sendAtOnce(slot, piece), piece.length, 'there is room again');
  assert.is(await rig.run(OP.CLOSE, { fileIndex: slot + 1 }), 0);
  assert.is(rig.host.sendAtOnce(slot, piece), 0);
});

test.run();
