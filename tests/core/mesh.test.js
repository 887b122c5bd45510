// core: both
// Messages between shards: 2, 3 and 5 of them in one thread, turns in random order, more than a million steps in all.
//
// What is checked at every step: requests of a pair arrive in the order in which they were sent; each call is answered
// once, with the payload that its number foretells; no peer has more requests that it has not begun than there are
// credits, and none is refused while there is one; after a refusal a ROOM entry comes as soon as there is room. Hosts
// keep requests without answering them, in any number, and now and then cannot begin one yet. At the end: everything is
// answered within a bound of rounds (no deadlock, whatever the capacity), and no byte of the arenas is used.
//
// Next: mesh-cases.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { INLINE_BYTES, ReadyKind } from '../../dist/host/core/layout.js';
import { Cluster, Code, Kind } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const hash = (n, salt) => Math.imul(n ^ (salt * 0x9e3779b9), 0x85ebca6b) >>> 0;
const ROOM_NEEDED = [Code.FULL, Code.NO_CREDIT];

/** One shard's host: makes calls, holds requests or runs them for a while, answers them. */
class Peer {
  constructor(net, shard) {
    this.net = net;
    this.shard = shard;
    this.index = shard.index;
    const each = (value) => net.cluster.shards.map(() => value);
    this.running = []; // calls that were begun and are not answered yet
    this.held = []; // calls that were not begun yet
    this.calls = new Map(); // number -> call, of those that this shard has open
    this.out = each(0); // requests to each peer of which it has not published that they have begun
    this.drained = each(0); // requests of each peer that have begun since the last flush()
    this.sent = each(0);
    this.seen = each(0);
    this.waits = each(false); // something for that peer was refused: a ROOM entry will come
    this.arenaWaits = false;
    this.refusals = each(0); // each leads to one ROOM entry at most
  }

  /** `bytes` bytes that `number` foretells. */
  words(number, bytes) {
    return Array.from({ length: bytes >>> 2 }, (_, i) => (i === 0 ? number : hash(number, i)));
  }

  read({ words }) {
    const [number] = words;
    words.forEach((word, i) => {
      if (i > 0 && word !== hash(number, i)) assert.unreachable(`word ${i} of ${number}`);
    });
    return number;
  }

  /** Posts a message. False if it has to wait. */
  post(peer, message) {
    const result = this.shard.post(peer, message);
    if (result === 0) return true;
    assert.ok(ROOM_NEEDED.includes(result), `post() returns ${result}`);
    const { creditCount } = this.shard.header;
    if (result === Code.NO_CREDIT) assert.is(this.out[peer], creditCount, 'refused although there is credit');
    const isArena = result === Code.FULL && this.shard.core.mayPost(peer, message.kind) === 0;
    if (isArena) {
      this.arenaWaits = true;
      this.refusals[this.index]++;
      this.net.arenaFull++;
    } else {
      this.waits[peer] = true;
      this.refusals[peer]++;
    }
    return false;
  }

  call(peer, depth = 0) {
    const { net, shard } = this;
    const number = net.number + 1;
    const words = this.words(number, net.size());
    const message = { kind: Kind.REQUEST, method: number & 0xffff, caller: this.index, number, words };
    if (!this.post(peer, message)) return;
    net.number = number;
    assert.ok(++this.out[peer] <= shard.header.creditCount, 'credits exceeded');
    const call = { number, from: this.index, peer, depth, order: ++this.sent[peer], isBegun: false };
    net.calls.set(number, call);
    this.calls.set(number, call);
  }

  onRequest(from, message) {
    const { net } = this;
    const number = this.read(message);
    const call = net.calls.get(number);
    assert.equal([message.method, message.number, message.caller], [number & 0xffff, number, from]);
    assert.is(call.peer, this.index, 'at the right shard');
    assert.is(call.order, ++this.seen[from], `order of requests ${from} > ${this.index}`);
    if (!net.closing && net.random(10) === 0) {
      this.shard.core.holdRequest(from);
      this.held.push(call);
    } else this.begin(call);
  }

  begin(call) {
    const { net } = this;
    this.drained[call.from]++;
    this.running.push(call);
    // calls back while it is called
    if (!net.closing && call.depth < 3 && net.random(4) === 0) this.call(call.from, call.depth + 1);
  }

  onReply(from, message) {
    const { net } = this;
    const number = this.read(message);
    const call = this.calls.get(message.number);
    assert.is(call?.peer, from);
    assert.equal([number, message.status], [message.number, number & 1]);
    this.calls.delete(number);
    net.calls.delete(number); // so a second answer would find nothing
    net.answered++;
  }

  onEntry({ kind, index, message }) {
    if (kind === ReadyKind.ROOM) {
      assert.ok(this.refusals[index]-- > 0, 'room where nothing was refused');
      if (index === this.index) this.arenaWaits = false;
      else {
        this.waits[index] = false;
        if (!this.net.closing) this.call(index);
      }
      this.net.rooms++;
      return;
    }
    assert.is(kind, ReadyKind.MAIL);
    if (message.kind === Kind.REQUEST) this.onRequest(index, message);
    else this.onReply(index, message);
  }

  /** Replies to one of the calls that run. */
  reply(which) {
    const [call] = this.running.splice(which, 1);
    const { number, from } = call;
    const words = this.words(number, this.net.size());
    if (!this.post(from, { kind: Kind.REPLY, status: number & 1, number, words })) this.running.push(call);
  }

  beginHeld() {
    const call = this.held.shift();
    this.shard.core.beginRequest(call.from);
    this.begin(call);
  }

  flush() {
    const isDrained = this.shard.word('readyHead') === this.shard.word('readyTail'); // else the next turn is due
    this.shard.core.flush();
    if (!isDrained) return;
    this.drained.forEach((count, from) => {
      this.net.peers[from].out[this.index] -= count;
      this.drained[from] = 0;
    });
  }

  turn() {
    this.shard.setClock(this.shard.now() + 1000);
    this.shard.enter();
    this.shard.core.turn();
    for (let [entry] = this.shard.drain(1); entry !== undefined; [entry] = this.shard.drain(1)) this.onEntry(entry);
    this.flush();
  }
}

class Net {
  constructor(random, shardCount, limits) {
    this.random = random;
    this.cluster = new Cluster(shardCount, { arenaBytes: 2048, ...limits });
    this.calls = new Map();
    Object.assign(this, { number: 0, answered: 0, rooms: 0, arenaFull: 0, closing: false });
    this.peers = this.cluster.shards.map((shard) => new Peer(this, shard));
  }

  /** Most payloads fit a slot, some go through the arena, a few fill it. */
  size() {
    const kind = this.random(10);
    const limit = kind < 6 ? INLINE_BYTES : kind < 9 ? 300 : 2048 - 16;
    return 4 + 4 * this.random(limit / 4);
  }

  step() {
    const { random, peers } = this;
    const peer = peers[random(peers.length)];
    const what = random(16);
    if (what < 6) peer.call((peer.index + 1 + random(peers.length - 1)) % peers.length);
    else if (what < 10) peer.turn();
    else if (what < 14 && peer.running.length > 0) peer.reply(random(peer.running.length));
    else if (what === 14 && peer.held.length > 0) peer.beginHeld();
    else peer.flush();
  }

  /** No new calls: everything comes to an end. */
  settle() {
    this.closing = true;
    const bound = 40 * (this.calls.size + 10) * this.peers.length;
    for (let round = 0; this.calls.size > 0; round++) {
      if (round > bound) assert.unreachable(`deadlock: ${this.calls.size} calls are not answered; ${this.dump()}`);
      for (const peer of this.peers) {
        if (peer.shard.core.wantsTurn() === 1) peer.turn(); // else its host sleeps: what is due must have woken it
        while (peer.held.length > 0 && this.random(3) > 0) peer.beginHeld();
        for (let left = peer.running.length; left > 0 && this.random(3) > 0; left--) peer.reply(0);
      }
    }
    for (const peer of [...this.peers, ...this.peers, ...this.peers]) peer.turn();
    for (const { shard, out, waits, arenaWaits } of this.peers) {
      assert.is(shard.core.arenaUsed(), 0);
      assert.is(shard.core.wantsTurn(), 0);
      assert.ok(out.every((count) => count === 0));
      assert.ok(!arenaWaits && waits.every((each) => !each), 'a refusal was followed by no ROOM');
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
      this.peers.map(({ shard, held, running, out }) => ({
        held: held.length,
        running: running.length,
        out,
        ...shard.counters(),
      })),
    );
  }
}

test('every call is answered once and in order, and nothing deadlocks: a million random steps', () => {
  const steps = FULL ? 60_000 : 20_000;
  const seen = { ringFull: 0, creditRefused: 0, rooms: 0, arenaFull: 0, steps: 0 };
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
        seen.rooms += net.rooms;
        seen.arenaFull += net.arenaFull;
        seen.steps += steps;
      }
    }
  });
  for (const [name, count] of Object.entries(seen)) assert.ok(count > 1000, `${name}: ${count}`);
  assert.ok(seen.steps >= 1e6 || process.env.FEATHERSTAR_SEED !== undefined);
});

test.run();
