// Calls between shards: 2, 3 and 5 of them in one thread, turns in random order, more than a million steps in all.
//
// What is checked at every step: requests of a pair arrive in the order in which they were sent; each call is answered
// once, with the payload that its number foretells; no shard has more calls open at a peer than it has credits; what
// was refused for want of credit is told by a CREDIT entry. At the end: everything is answered within a bound of
// rounds (no deadlock, whatever the capacity), no call slot is taken and no byte of the arenas used.
//
// Next: park.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ReadyKind, ShardState } from '../../dist/host/layout.js';
import { Cluster, Code, MESSAGE, PAYLOAD } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const CALL_BYTES = 128;
const INLINE_BYTES = 40;
const hash = (n, salt) => Math.imul(n ^ (salt * 0x9e3779b9), 0x85ebca6b) >>> 0;

/** One shard's host: makes calls, keeps requests for a while, answers them. */
class Peer {
  constructor(net, shard) {
    this.net = net;
    this.shard = shard;
    this.index = shard.index;
    this.held = []; // requests not answered yet
    this.replies = new Map(); // call slot -> call
    this.open = net.cluster.shards.map(() => 0);
    this.sent = net.cluster.shards.map(() => 0);
    this.seen = net.cluster.shards.map(() => 0);
    this.refused = net.cluster.shards.map(() => false); // since the last call that was freed
    this.promised = net.cluster.shards.map(() => 0); // CREDIT entries that have to come
  }

  words(index) {
    return this.shard.slotWord(this.shard.header.callsOffset, CALL_BYTES, index);
  }

  /** Writes `bytes` bytes that `number` foretells. Answers their address, 0 for inline, -1 if the arena is full. */
  write(index, number, bytes) {
    const { u32, core } = this.shard;
    let to = this.words(index) + (PAYLOAD >> 2);
    let address = 0;
    if (bytes > INLINE_BYTES) {
      address = core.arenaTake(bytes) >>> 0;
      if (address === 0) return -1;
      to = address >>> 2;
    }
    u32[to] = number;
    for (let i = 1; i < bytes >>> 2; i++) u32[to + i] = hash(number, i);
    return address;
  }

  /** Reads what write() wrote in the other shard, and checks it. */
  read(index) {
    const { u32, core } = this.shard;
    const message = this.words(index) + (MESSAGE >> 2);
    const bytes = u32[message + 3];
    const address = u32[message + 4];
    assert.is(address === 0, bytes <= INLINE_BYTES);
    const from = address === 0 ? message + 6 : address >>> 2;
    const number = u32[from];
    for (let i = 1; i < bytes >>> 2; i++)
      if (u32[from + i] !== hash(number, i)) assert.unreachable(`word ${i} of ${number}`);
    if (address !== 0) core.arenaRelease(address);
    return { number, kind: u32[message] & 0xff, status: (u32[message] >>> 8) & 0xff, method: u32[message] >>> 16 };
  }

  call(peer, depth = 0) {
    const { net, shard } = this;
    const { creditCount } = shard.header;
    const index = shard.core.callBegin(peer);
    if (index === Code.NO_CREDIT) {
      assert.is(this.open[peer], creditCount, 'refused although there is credit');
      this.refused[peer] = true;
      return;
    }
    assert.ok(index > 0, `callBegin answered ${index}`);
    assert.ok(this.open[peer] < creditCount, 'credits exceeded');
    const number = net.number + 1;
    const payload = this.write(index, number, net.size());
    if (payload < 0) {
      net.arenaFull++;
      assert.is(shard.core.callFree(index), 0);
      return;
    }
    net.number = number;
    const bytes = net.lastSize;
    shard.core.callSend(index, number & 0xffff, bytes, payload);
    this.open[peer]++;
    const call = { number, peer, depth, order: ++this.sent[peer], abandoned: false };
    net.calls.set(number, call);
    this.replies.set(index, call);
    if (net.random(50) === 0) {
      shard.core.callAbandon(index);
      call.abandoned = true;
    }
  }

  onRequest(index) {
    const { net } = this;
    const { number, kind, method } = this.read(index);
    const call = net.calls.get(number);
    assert.is(kind, 1);
    assert.is(method, number & 0xffff);
    const from = this.shard.u32[this.words(index) + 4];
    assert.is(call.peer, this.index, 'at the right shard');
    assert.is(call.order, ++this.seen[from], `order of requests ${from} > ${this.index}`);
    this.held.push({ index, number });
    // calls back while it is called
    if (!net.closing && call.depth < 3 && net.random(4) === 0) this.call(from, call.depth + 1);
  }

  onReply(index, abandoned) {
    const { net } = this;
    const { number, kind, status } = this.read(index);
    const call = this.replies.get(index);
    assert.is(kind, 2);
    assert.is(call?.number, number, 'the reply is for the call in this slot');
    assert.is(status, number & 1);
    assert.is(abandoned, call.abandoned ? 1 : 0);
    this.replies.delete(index);
    net.calls.delete(number); // so a second answer would find nothing
    assert.is(this.shard.core.callFree(index), 0);
    assert.is(this.shard.core.callFree(index), Code.STALE);
    this.open[call.peer]--;
    if (this.refused[call.peer]) this.promised[call.peer]++;
    this.refused[call.peer] = false;
    net.answered++;
  }

  onEntry({ kind, index, result }) {
    if (kind === ReadyKind.REQUEST) this.onRequest(index);
    else if (kind === ReadyKind.REPLY) this.onReply(index, result);
    else {
      assert.is(kind, ReadyKind.CREDIT);
      assert.ok(this.promised[index]-- > 0, 'CREDIT for a peer that refused nothing');
      this.net.credits++;
      if (!this.net.closing) this.call(index);
    }
  }

  /** Answers one of the requests that it keeps. */
  reply(which) {
    const [{ index, number }] = this.held.splice(which, 1);
    const payload = this.write(index, number, this.net.size());
    if (payload < 0) {
      this.net.arenaFull++;
      this.held.push({ index, number });
      return;
    }
    assert.is(this.shard.core.callReply(index, number & 1, this.net.lastSize, payload), 0);
    assert.is(this.shard.core.callReply(index, 0, 0, 0), Code.STALE, 'a second reply');
  }

  turn() {
    this.shard.setClock(this.shard.now() + 1000);
    this.shard.enter();
    this.shard.core.turn();
    for (let [entry] = this.shard.drain(1); entry !== undefined; [entry] = this.shard.drain(1)) this.onEntry(entry);
  }
}

class Net {
  constructor(random, shardCount, limits) {
    this.random = random;
    this.cluster = new Cluster(shardCount, { arenaBytes: 2048, ...limits });
    this.calls = new Map();
    Object.assign(this, { number: 0, answered: 0, credits: 0, arenaFull: 0, lastSize: 0, closing: false });
    this.peers = this.cluster.shards.map((shard) => new Peer(this, shard));
  }

  /** Most payloads fit a slot, some go through the arena, a few fill it. */
  size() {
    const kind = this.random(10);
    const limit = kind < 6 ? INLINE_BYTES : kind < 9 ? 300 : 2048 - 16;
    this.lastSize = 4 + 4 * this.random(limit / 4);
    return this.lastSize;
  }

  step() {
    const { random, peers } = this;
    const peer = peers[random(peers.length)];
    const what = random(16);
    if (what < 6) peer.call((peer.index + 1 + random(peers.length - 1)) % peers.length);
    else if (what < 10) peer.turn();
    else if (what < 15 && peer.held.length > 0) peer.reply(random(peer.held.length));
    else peer.shard.core.flush();
  }

  /** Nobody calls any more: everything comes to an end. */
  settle() {
    this.closing = true;
    const bound = 40 * (this.calls.size + 10) * this.peers.length;
    for (let round = 0; this.calls.size > 0; round++) {
      if (round > bound) assert.unreachable(`deadlock: ${this.calls.size} calls are not answered; ${this.dump()}`);
      for (const peer of this.peers) {
        if (peer.shard.core.hasWork() === 1) peer.turn(); // a host without work sleeps: what is due must have woken it
        while (peer.held.length > 0 && this.random(3) > 0) peer.reply(0);
      }
    }
    for (const peer of [...this.peers, ...this.peers]) peer.turn();
    for (const { shard, open, refused, promised } of this.peers) {
      assert.is(shard.core.openCalls(), 0);
      assert.is(shard.core.arenaUsed(), 0);
      assert.is(shard.core.hasWork(), 0);
      for (const count of [...open, ...promised]) assert.is(count, 0);
      assert.ok(refused.every((each) => !each));
      assert.is(shard.counters().staleReplies, 0);
    }
    const sum = (name) => this.peers.reduce((total, { shard }) => total + shard.counters()[name], 0);
    for (const name of ['requestsSent', 'requestsReceived', 'repliesSent', 'repliesReceived']) {
      assert.is(sum(name), this.number, name);
    }
    assert.is(this.answered, this.number);
    return { ringFull: sum('ringFull'), creditRefused: sum('creditRefused') };
  }

  dump() {
    return JSON.stringify(
      this.peers.map(({ shard, held, open }) => ({ held: held.length, open, ...shard.counters() })),
    );
  }
}

test('every call is answered once and in order, and nothing deadlocks: a million random steps', () => {
  const steps = FULL ? 60_000 : 20_000;
  const seen = { ringFull: 0, creditRefused: 0, credits: 0, arenaFull: 0, steps: 0 };
  forSeeds(2, (random) => {
    for (const shardCount of [2, 3, 5]) {
      for (const [ringSlots, creditCount] of [
        [1, 1],
        [1, 8],
        [2, 3],
        [4, 8],
        [8, 1],
        [8, 2],
        [8, 8],
        [1, 2],
        [2, 8],
      ]) {
        const net = new Net(random, shardCount, { ringSlots, creditCount, sqeSlots: 1 << random(4), readySlots: 32 });
        for (let i = 0; i < steps; i++) net.step();
        const { ringFull, creditRefused } = net.settle();
        seen.ringFull += ringFull;
        seen.creditRefused += creditRefused;
        seen.credits += net.credits;
        seen.arenaFull += net.arenaFull;
        seen.steps += steps;
      }
    }
  });
  for (const [name, count] of Object.entries(seen)) assert.ok(count > 1000, `${name}: ${count}`);
  assert.ok(seen.steps >= 1e6 || process.env.FEATHERSTAR_SEED !== undefined);
});

// --- one thing at a time --------------------------------------------------------------------------------------------

function pair(limits) {
  const net = new Net(() => 0, 2, limits);
  return { net, shards: net.cluster.shards };
}

/** A call with an empty payload, sent and published. */
function send(shard, peer, payload = 0, bytes = 0) {
  const index = shard.core.callBegin(peer);
  assert.ok(index > 0, `${index}`);
  shard.core.callSend(index, 7, bytes, payload);
  shard.core.flush();
  return index;
}

test('who may be called: not oneself, nobody beyond the last, nobody who does not run', () => {
  const { net, shards } = pair();
  assert.is(shards[0].core.callBegin(0), Code.RANGE);
  assert.is(shards[0].core.callBegin(2), Code.RANGE);
  assert.is(shards[0].core.callBegin(-1), Code.RANGE);
  for (const state of [ShardState.ABSENT, ShardState.STOPPED]) {
    net.cluster.setState(1, state);
    assert.is(shards[0].core.callBegin(1), Code.PEER_DOWN);
  }
  net.cluster.setState(1, ShardState.RUNNING);
  shards[1].core.stop();
  assert.is(shards[0].core.callBegin(1), Code.PEER_DOWN);
  assert.is(shards[0].core.openCalls(), 0);
});

test('CREDIT comes once, when the host has freed a call', () => {
  const { shards } = pair({ creditCount: 2 });
  const [a, b] = shards;
  send(a, 1);
  send(a, 1);
  for (let i = 0; i < 3; i++) assert.is(a.core.callBegin(1), Code.NO_CREDIT);
  assert.is(a.counters().creditRefused, 3);
  const requests = b.turn();
  for (const { index } of requests) b.core.callReply(index, 0, 0, 0);
  b.core.flush();
  const replies = a.turn();
  assert.equal(
    replies.map(({ kind }) => kind),
    [ReadyKind.REPLY, ReadyKind.REPLY],
  );
  assert.is(a.core.callBegin(1), Code.NO_CREDIT, 'a reply that is not read yet still holds its slot');
  for (const { index } of replies) a.core.callFree(index);
  assert.equal(a.drain(), [{ kind: ReadyKind.CREDIT, tag: 0, index: 1, result: 0, extra: 0 }]);
  assert.ok(a.core.callBegin(1) > 0);
});

test('replies that nobody has read do not take the slots of requests that may come', () => {
  const { shards } = pair({ creditCount: 2, ringSlots: 8 });
  const [a, b] = shards;
  for (let i = 0; i < 2; i++) send(a, 1);
  for (const { index } of b.turn()) b.core.callReply(index, 0, 0, 0);
  b.core.flush();
  a.enter();
  a.core.turn(); // and its host does not drain
  assert.is(a.core.callBegin(1), Code.NO_CREDIT);
  for (let i = 0; i < 2; i++) send(b, 0);
  a.core.turn();
  assert.equal(
    a.drain().map(({ kind, index }) => [kind, index > 0]),
    [
      [ReadyKind.REPLY, true],
      [ReadyKind.REPLY, true],
      [ReadyKind.REQUEST, true],
      [ReadyKind.REQUEST, true],
    ],
  );
});

test('messages written between turns ask for a turn, and flush() is enough to show them', () => {
  const { shards } = pair();
  const [a, b] = shards;
  a.core.callSend(a.core.callBegin(1), 1, 0, 0);
  assert.is(b.core.hasWork(), 0, 'not published yet');
  assert.is(a.core.hasWork(), 1);
  a.core.flush();
  assert.is(a.core.hasWork(), 0);
  assert.is(b.core.hasWork(), 1);
  assert.is(b.turn().length, 1);
});

test('a batch is published in mid-turn, before flush()', () => {
  const { shards } = pair({ ringSlots: 64, creditCount: 64 });
  for (let i = 0; i < 15; i++) shards[0].core.callSend(shards[0].core.callBegin(1), i, 0, 0);
  assert.is(shards[1].turn().length, 0);
  shards[0].core.callSend(shards[0].core.callBegin(1), 15, 0, 0);
  assert.is(shards[1].turn().length, 16);
});

test('a full ready ring leaves mail in the ring, and a later turn takes it', () => {
  const { shards } = pair({ readySlots: 32, creditCount: 64, ringSlots: 64 });
  const [a, b] = shards;
  for (let i = 0; i < 50; i++) send(a, 1);
  b.enter();
  b.core.turn();
  assert.is(b.word('readyTail'), 32);
  assert.is(b.core.hasWork(), 1);
  assert.is(b.drain().length, 32);
  assert.is(b.turn().length, 18);
  assert.is(b.core.hasWork(), 0);
});

test('a peer that is down: what waits for room is dropped, late replies are counted, the arena is free again', () => {
  const { net, shards } = pair({ ringSlots: 1, creditCount: 4 });
  const [a, b] = shards;
  const calls = [0, 1, 2].map(() => send(a, 1, a.core.arenaTake(100) >>> 0, 100)); // one in the ring, two wait for room
  send(b, 0, b.core.arenaTake(60) >>> 0, 60);
  const [request] = a.turn();
  assert.is(b.turn().length, 1, 'one request has reached it');
  assert.ok(a.core.arenaUsed() > 0);

  b.core.callReply(1 + (b.core.openCalls() > 1 ? 1 : 0), 0, 0, 0); // answers at the last moment
  b.core.flush();
  b.core.stop();
  a.core.peerDown(1);
  for (const index of calls) assert.is(a.core.callFree(index), 0);
  assert.is(a.core.callReply(request.index, 0, 64, a.core.arenaTake(64) >>> 0), Code.PEER_DOWN, 'its slot is free');
  assert.is(a.core.callReply(request.index, 0, 0, 0), Code.STALE);
  assert.is(a.core.openCalls(), 0);
  assert.is(a.core.arenaUsed(), 0, 'nobody reads those blocks, and they do not hold up others');
  assert.equal(a.turn(), []);
  assert.is(a.counters().staleReplies, 1);
  assert.is(a.core.hasWork(), 0);
  assert.is(net.cluster.shards.length, 2);
});

test("a stale reply's payload is given back to whoever sent it", () => {
  const { shards } = pair();
  const [a, b] = shards;
  const index = send(a, 1);
  const [request] = b.turn();
  b.core.callReply(request.index, 0, 500, b.core.arenaTake(500) >>> 0);
  b.core.flush();
  a.core.callFree(index); // as after peerDown()
  assert.equal(a.turn(), []);
  assert.is(a.counters().staleReplies, 1);
  assert.is(b.core.arenaUsed(), 0);
});

test('doorbells ring only for a peer that sleeps, and once', () => {
  const { shards } = pair();
  const [a, b] = shards;
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

// --- the arena ------------------------------------------------------------------------------------------------------

test('the arena against a model: random sizes, read in any order, never overlapping, all of it usable', () => {
  forSeeds(4, (random) => {
    const arenaBytes = 4096;
    const { core, header, base, u32 } = pair({ arenaBytes }).shards[0];
    const live = [];
    const low = base + header.arenaOffset;
    let full = 0;
    for (let step = 0; step < (FULL ? 300_000 : 60_000); step++) {
      if (random(5) < 3) {
        const bytes = random(20) === 0 ? random(arenaBytes) : random(400);
        const at = core.arenaTake(bytes) >>> 0;
        if (at === 0) {
          full++;
          assert.ok(live.length > 0 || bytes > arenaBytes - 16, `${bytes} bytes refused by an empty arena`);
          continue;
        }
        assert.ok(at % 16 === 0 && at >= low + 16 && at + bytes <= low + arenaBytes);
        for (const other of live)
          assert.ok(at + bytes <= other.at - 16 || other.at + other.bytes <= at - 16, 'overlap');
        for (let i = 0; i < bytes >>> 2; i++) u32[(at >>> 2) + i] = step;
        live.push({ at, bytes, step });
      } else if (live.length > 0) {
        const [{ at, bytes, step: written }] = live.splice(random(Math.min(live.length, 3)), 1);
        for (let i = 0; i < bytes >>> 2; i++) if (u32[(at >>> 2) + i] !== written) assert.unreachable('overwritten');
        core.arenaRelease(at);
      }
    }
    assert.ok(full > 0);
    for (const { at } of live) core.arenaRelease(at);
    assert.is(core.arenaUsed(), 0);
  });
});

test('the largest payload fits an empty arena exactly, and what can never fit is refused', () => {
  const { core } = pair({ arenaBytes: 1024 }).shards[0];
  for (const bytes of [1009, 1024, 2 ** 31, 2 ** 32 - 1]) assert.is(core.arenaTake(bytes), 0);
  for (let i = 0; i < 5; i++) {
    const at = core.arenaTake(1008) >>> 0;
    assert.ok(at !== 0);
    assert.is(core.arenaUsed(), 1024);
    assert.is(core.arenaTake(0), 0, 'full');
    core.arenaRelease(at);
    const small = core.arenaTake(0) >>> 0; // moves the head on
    core.arenaRelease(small);
  }
  assert.is(core.arenaUsed(), 0);
});

test.run();
