// core: both
// Messages between shards, one case at a time: who may be called, who waits for what, and who is told.
//
// mesh.test.js is about all of it together, in random order.
//
// Next: arena.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control, MESH, ReadyKind, ShardState } from '../../dist/host/core/layout.js';
import { Cluster, Code, Kind } from '../support/core.js';

function shardsOf(count, limits) {
  return new Cluster(count, limits).shards;
}

/** A request, sent and published. */
function send(shard, peer, words = []) {
  assert.is(shard.post(peer, { words }), 0);
  shard.core.flush();
}

const kinds = (entries) => entries.map(({ kind, message }) => (kind === ReadyKind.ROOM ? 'room' : message.kind));
const LARGE = Array(25).fill(7);
const WAITING = 192; // of a ring

/** Whether the producer of a ring has asked to be told of room. */
function isWaiting({ cluster: { header, shards }, u32 }, from, to) {
  return u32[(MESH + (from * shards.length + to) * header.ringBytes + WAITING) >>> 2] !== 0;
}

test('who may be called: not oneself, none beyond the last, none that does not run', () => {
  const [a, b] = shardsOf(2);
  for (const peer of [0, 2, -1]) assert.is(a.post(peer), Code.RANGE);
  for (const state of [ShardState.ABSENT, ShardState.STOPPED]) {
    a.cluster.setState(1, state);
    assert.is(a.post(1), Code.PEER_DOWN);
  }
  a.cluster.setState(1, ShardState.RUNNING);
  b.core.stop();
  assert.is(a.post(1), Code.PEER_DOWN);
  assert.is(a.post(1, { kind: Kind.REPLY }), Code.PEER_DOWN);
  assert.is(a.counters().requestsSent, 0);
});

test('credit comes back when the host has drained the request, answered or not', () => {
  const [a, b] = shardsOf(2, { creditCount: 2 });
  send(a, 1);
  send(a, 1);
  for (let i = 0; i < 3; i++) assert.is(a.post(1), Code.NO_CREDIT);
  assert.is(a.counters().creditRefused, 3);
  b.enter();
  b.core.turn();
  b.core.flush(); // in the middle of the drain, as after a handler that threw
  assert.equal(a.turn(), []);
  assert.is(a.post(1), Code.NO_CREDIT, 'the host has not drained');
  assert.is(b.drain().length, 2);
  b.core.flush();
  assert.equal(a.turn(), [{ kind: ReadyKind.ROOM, tag: 0, index: 1, result: 0, extra: 0 }]);
  assert.is(a.post(1), 0);
  assert.is(a.post(1), 0);
  assert.is(a.post(1), Code.NO_CREDIT);
});

test('a request that is held keeps its credit, and replies pass it', () => {
  const [a, b] = shardsOf(2, { creditCount: 1, ringSlots: 1 });
  send(a, 1);
  b.enter();
  b.core.turn();
  assert.is(b.drain().length, 1);
  b.core.holdRequest(0);
  b.core.flush();
  assert.is(a.post(1), Code.NO_CREDIT);
  assert.is(a.post(1, { kind: Kind.REPLY }), 0, 'no credit is needed for a reply');
  a.core.flush();
  assert.equal(kinds(b.turn()), [Kind.REPLY]);
  assert.equal(a.turn(), [], 'still held');
  b.core.beginRequest(0);
  assert.is(b.core.wantsTurn(), 1, 'so that flush() comes');
  b.core.flush();
  assert.equal(kinds(a.turn()), ['room']);
});

test('a hundred calls are open at a peer that has one credit for them', () => {
  const [a, b] = shardsOf(2, { creditCount: 1, ringSlots: 1 });
  for (let i = 0; i < 100; i++) {
    send(a, 1);
    assert.equal(kinds(b.turn()), [Kind.REQUEST]);
    send(b, 0); // calls back
    assert.equal(kinds(a.turn()), [Kind.REQUEST]);
  }
});

test('ROOM is told once, also of a ring and of the arena', () => {
  const [a, b] = shardsOf(2, { ringSlots: 1, arenaBytes: 256 });
  send(a, 1, LARGE);
  assert.is(a.post(1), Code.FULL);
  assert.is(a.core.payloadTake(200), 0);
  a.core.flush();
  b.turn();
  assert.equal(
    a.turn().map(({ kind, index }) => [kind, index]),
    [
      [ReadyKind.ROOM, 1],
      [ReadyKind.ROOM, 0], // its own index: the arena
    ],
  );
  assert.equal(a.turn(), []);
});

for (const [what, limits, refuse] of [
  ['a slot', { ringSlots: 1 }, (a) => assert.is(a.post(1), Code.FULL)],
  ['a credit', { creditCount: 1 }, (a) => assert.is(a.post(1), Code.NO_CREDIT)],
  ['the arena', { arenaBytes: 256 }, (a) => assert.is(a.core.payloadTake(200), 0)],
]) {
  test(`a refusal for want of ${what} is not forgotten while the ready ring is full`, () => {
    const [a, b] = shardsOf(2, { readySlots: 32, ...limits });
    send(a, 1, LARGE);
    refuse(a);
    for (let i = 0; i < 32; i++) a.core.armTimer(0, 0, 1);
    b.turn();
    a.core.turn();
    assert.is(a.word('readyTail'), 32, 'timers alone');
    assert.is(a.drain().length, 32);
    assert.is(a.core.wantsTurn(), 1);
    assert.equal(kinds(a.turn()), ['room']);
    assert.equal(a.turn(), []);
  });

  test(`a shard that was refused ${what} does not sleep before it has asked its peer to tell it`, () => {
    const [a] = shardsOf(2, limits);
    send(a, 1, LARGE);
    assert.is(a.core.wantsTurn(), 0);
    refuse(a);
    assert.is(a.core.trySleep(0), 0);
    a.core.flush();
    assert.ok(isWaiting(a, 0, 1));
    assert.is(a.core.trySleep(0), 1);
  });
}

for (const sizes of [
  [100, 200],
  [200, 100],
]) {
  test(`payloads of ${sizes.join(' and ')} bytes wait for the arena: ROOM comes when the smaller one fits`, () => {
    const [a, b] = shardsOf(3, { arenaBytes: 256 });
    send(a, 1, LARGE);
    send(a, 2, LARGE);
    for (const bytes of sizes) assert.is(a.core.payloadTake(bytes), 0);
    b.turn();
    assert.equal(kinds(a.turn()), ['room']);
    assert.is(a.core.payloadTake(200), 0);
    assert.ok(a.core.payloadTake(100) !== 0);
  });
}

test('messages written between turns ask for a turn, and flush() is enough to show them', () => {
  const [a, b] = shardsOf(2);
  a.post(1);
  assert.is(b.core.wantsTurn(), 0, 'not published yet');
  assert.is(a.core.wantsTurn(), 1);
  a.core.flush();
  assert.is(a.core.wantsTurn(), 0);
  assert.is(b.core.wantsTurn(), 1);
  assert.is(b.turn().length, 1);
});

test('each batch of 16 messages is published in mid-turn, before flush()', () => {
  const [a, b] = shardsOf(2, { ringSlots: 64, creditCount: 64 });
  for (let batch = 0; batch < 3; batch++) {
    for (let i = 0; i < 15; i++) a.post(1);
    assert.is(b.turn().length, 0);
    a.post(1);
    assert.is(b.turn().length, 16);
  }
});

test('a full ready ring leaves mail in the ring, and a later turn takes it', () => {
  const [a, b] = shardsOf(2, { readySlots: 32, creditCount: 64, ringSlots: 64 });
  for (let i = 0; i < 50; i++) send(a, 1, [i]);
  b.enter();
  b.core.turn();
  assert.is(b.word('readyTail'), 32);
  assert.is(b.core.wantsTurn(), 1);
  const first = b.drain();
  b.core.flush();
  const numbers = [...first, ...b.turn()].map(({ message }) => message.words[0]);
  assert.equal(numbers, [...Array(50).keys()]);
  assert.is(b.core.wantsTurn(), 0);
});

test('a peer that is down: nothing waits for it, and the arena is free again', () => {
  const [a, b] = shardsOf(2, { ringSlots: 1, creditCount: 4 });
  send(a, 1, LARGE);
  assert.is(a.post(1, { words: LARGE }), Code.FULL);
  send(b, 0, LARGE);
  assert.equal(kinds(a.turn()), [Kind.REQUEST]);
  assert.ok(a.core.arenaUsed() > 0);
  b.core.stop();
  a.core.peerDown(1);
  assert.is(a.post(1, { kind: Kind.REPLY, words: LARGE }), Code.PEER_DOWN);
  assert.is(a.core.arenaUsed(), 0, 'no peer reads those blocks, and they do not hold up others');
  assert.equal(a.turn(), [], 'no ROOM at a peer that is gone');
});

/** Shards 1 to 3 after shard 0 has heard that shard 1 is down and has flushed: how often each was rung. */
function bellsAfterDeath([a, b, ...others]) {
  b.core.stop();
  a.core.peerDown(1);
  a.core.flush();
  a.enter();
  return [b, ...others].map(({ bells }) => bells);
}

test('messages for a peer that is down are not shown, and those for others are', () => {
  const shards = shardsOf(4);
  const [a, ...peers] = shards;
  for (const peer of peers) assert.is(peer.core.trySleep(0), 1);
  assert.equal([a.post(1), a.post(2)], [0, 0]);
  assert.equal(bellsAfterDeath(shards), [0, 1, 0]);
  assert.is(peers[1].turn().length, 1);
});

test('a peer that is down is not told of credit, and others are', () => {
  const shards = shardsOf(4, { creditCount: 1 });
  const [a, b, c] = shards;
  for (const peer of [b, c]) {
    send(peer, 0);
    assert.is(peer.post(0), Code.NO_CREDIT);
    peer.core.flush();
    assert.is(peer.core.trySleep(0), 1);
  }
  a.enter();
  a.core.turn();
  assert.is(a.drain().length, 2);
  assert.equal(bellsAfterDeath(shards), [0, 1, 0]);
  assert.equal(kinds(c.turn()), ['room']);
});

for (const [what, limits] of [
  ['a slot', { ringSlots: 1 }],
  ['a credit', { creditCount: 1 }],
]) {
  test(`a shard that waits for ${what} at two peers, one of which goes down, is told of the other`, () => {
    const [a, b, c] = shardsOf(4, limits);
    for (const peer of [1, 2]) {
      send(a, peer);
      assert.ok(a.post(peer) < 0);
    }
    for (const peer of [b, c]) peer.turn();
    b.core.stop();
    a.core.peerDown(1);
    assert.equal(
      a.turn().map(({ kind, index }) => [kind, index]),
      [[ReadyKind.ROOM, 2]],
    );
  });
}

test('a shard that waits for the arena is told when the peer that has it goes down', () => {
  const [a, b] = shardsOf(2, { arenaBytes: 256 });
  send(a, 1, LARGE);
  assert.is(a.core.payloadTake(200), 0);
  a.core.flush();
  assert.is(a.core.wantsTurn(), 0);
  b.core.stop();
  a.core.peerDown(1);
  assert.is(a.core.wantsTurn(), 1, 'no peer will wake it');
  assert.equal(kinds(a.turn()), ['room']);
});

test('a peer that waits for room is told, and one that does not wait is left alone', () => {
  const [a, b] = shardsOf(2, { ringSlots: 1 });
  const dirty = () => a.u64[Control.dirty >> 3];
  send(a, 1);
  assert.is(a.post(1), Code.FULL);
  assert.not(isWaiting(a, 0, 1), 'before flush()');
  a.core.flush();
  assert.ok(isWaiting(a, 0, 1));
  b.turn();
  assert.equal([isWaiting(a, 0, 1), dirty()], [false, 2n]);
  assert.equal(kinds(a.turn()), ['room']);
  send(a, 1);
  b.turn();
  assert.is(dirty(), 0n);

  send(a, 1);
  assert.is(a.post(1), Code.FULL);
  b.turn(); // makes room before flush() looks
  assert.equal(kinds(a.turn()), ['room']);
  assert.not(isWaiting(a, 0, 1));
});

test('who waits for the arena asks each peer that has a block of it', () => {
  const [a] = shardsOf(3, { arenaBytes: 256 });
  send(a, 1, LARGE);
  send(a, 2, LARGE);
  assert.is(a.core.payloadTake(100), 0);
  a.core.flush();
  assert.equal([isWaiting(a, 0, 1), isWaiting(a, 0, 2)], [true, true]);
});

test('a reply that waits for a slot needs no credit', () => {
  const [a, b] = shardsOf(2, { ringSlots: 1, creditCount: 1 });
  send(a, 1);
  assert.is(a.post(1, { kind: Kind.REPLY }), Code.FULL);
  a.core.flush();
  b.enter();
  b.core.turn();
  b.drain();
  b.core.holdRequest(0); // its credit stays out
  b.core.flush();
  assert.equal(kinds(a.turn()), ['room']);
});

test('room that is there already is not asked for', () => {
  const [a, b] = shardsOf(3, { arenaBytes: 256 });
  send(a, 1, LARGE);
  send(a, 2, LARGE);
  assert.is(a.core.payloadTake(100), 0, 'both blocks are taken');
  b.turn(); // gives one back
  assert.equal(kinds(a.turn()), ['room']);
  assert.not(isWaiting(a, 0, 2), 'the peer that has the other one need not tell');
});

test('a turn that takes no message from a peer tells that peer nothing', () => {
  const [a, b] = shardsOf(2, { creditCount: 1 });
  send(b, 0);
  a.enter();
  a.core.turn();
  a.drain();
  a.core.holdRequest(1);
  a.core.flush();
  assert.is(b.post(0), Code.NO_CREDIT);
  b.core.flush();
  a.u64[Control.dirty >> 3] = 2n; // shard 1 has made room, or its mail was taken before
  a.turn();
  assert.ok(isWaiting(a, 1, 0), 'there is no credit yet');
  assert.is(b.u64[Control.dirty >> 3], 0n);
});

test('doorbells ring only for a peer that sleeps, and once', () => {
  const [a, b] = shardsOf(2);
  send(a, 1);
  a.enter();
  assert.is(b.bells, 0);
  b.turn();
  assert.is(b.core.trySleep(0), 1);
  send(a, 1);
  send(a, 1);
  a.enter();
  assert.is(b.bells, 1);
  assert.is(a.counters().doorbells, 1);
});

test.run();
