// core: both
// What a peer does in the middle of a call: the peer's whole part happens just before one atomic access of the call.
//
// The flow: atEachAccess() runs a call once for each of its accesses, on new shards each time. The import that
// transform.js puts before the access runs the peer, which is another instance over the same memory. interleave.test.js
// tries every order of single steps, but only in its scenarios. Here a test chooses the calls and says what must hold.
//
// Next: store-buffers.test.js.

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ReadyKind } from '../../dist/host/core/layout.js';
import { isDebug } from '../support/asc.js';
import { Cluster, Code } from '../support/core.js';
import { Access, transform } from './transform.js';

const file = new URL(`../../dist/core${isDebug ? '.debug' : ''}.wasm`, import.meta.url);
const { module } = transform(readFileSync(file));
const LARGE = Array(25).fill(7);

let atAccess = () => undefined; // called before each atomic access of any shard

function instantiate(copy, memory, { enter, threadSpawn }) {
  const point = (address, _offset, access) => {
    if ((access & Access.ATOMIC) !== 0) atAccess();
    return address;
  };
  const imports = { env: { memory }, uring: { enter }, wasi: { 'thread-spawn': threadSpawn }, inter: { point } };
  return new WebAssembly.Instance(copy, imports).exports;
}

function shardsOf(count, limits) {
  return new Cluster(count, limits, { module, instantiate }).shards;
}

/**
 * For each atomic access of `call`: shards of `begin`, then `call`, with the whole of `act` just before that access,
 * then `check` with the result of `call` in front of the shards. The last time, `act` comes after `call`.
 */
function atEachAccess({ begin, call, act, check }) {
  for (let accesses = 0; ; accesses++) {
    const shards = begin();
    let left = accesses;
    atAccess = () => {
      if (left-- > 0) return;
      atAccess = () => undefined;
      act(...shards);
    };
    const result = call(...shards);
    atAccess = () => undefined;
    const isOver = left >= 0;
    if (isOver) act(...shards);
    check(result, ...shards);
    if (!isOver) continue;
    assert.ok(accesses > 0, 'a call without an atomic access');
    return;
  }
}

/** A request, sent and published; the doorbell rings. */
function send(shard, peer, words = []) {
  assert.is(shard.post(peer, { words }), 0);
  shard.core.flush();
  shard.enter();
}

function wakeAndTurn(shard) {
  shard.core.awake();
  const entries = shard.turn();
  shard.enter(); // its doorbells
  return entries;
}

/** A shard that was told nothing would sleep now, and stay asleep. */
function nextEntries(shard) {
  assert.is(shard.core.wantsTurn(), 1, 'nothing wakes it');
  return shard.turn().map(({ kind, index }) => [kind, index]);
}

test('a message while a shard falls asleep rings, or keeps it awake: then it does not say that it sleeps', () => {
  const seen = new Set();
  atEachAccess({
    begin: () => shardsOf(2),
    call: (_a, b) => b.core.trySleep(0),
    act: (a) => send(a, 1),
    check: (isAsleep, _a, b) => {
      seen.add(isAsleep);
      if (isAsleep) assert.is(b.bells, 1);
      else assert.is(b.word('sleeping'), 0, 'the stall watch and the peers read it');
      assert.equal(nextEntries(b), [[ReadyKind.MAIL, 0]]);
    },
  });
  assert.is(seen.size, 2);
});

test('two shards that wake a third at the same time ring once', () => {
  atEachAccess({
    begin: () => {
      const shards = shardsOf(3);
      assert.is(shards[1].core.trySleep(0), 1);
      assert.is(shards[0].post(1), 0);
      return shards;
    },
    call: (a) => a.core.flush(),
    act: (_a, _b, c) => send(c, 1),
    check: (_, a, b, c) => {
      a.enter();
      assert.is(b.bells, 1);
      assert.is(a.counters().doorbells + c.counters().doorbells, 1);
      assert.equal(nextEntries(b).length, 2);
    },
  });
});

test('a shard that wakes up while a message is published gets the message, and stays awake', () => {
  atEachAccess({
    begin: () => {
      const shards = shardsOf(2);
      assert.is(shards[1].core.trySleep(0), 1);
      assert.is(shards[0].post(1), 0);
      return shards;
    },
    call: (a) => a.core.flush(),
    act: (_a, b) => Object.assign(b, { taken: wakeAndTurn(b) }),
    check: (_, _a, b) => {
      assert.is(b.word('sleeping'), 0);
      if (b.taken.length === 0) b.taken = nextEntries(b);
      assert.is(b.taken.length, 1);
      assert.is(b.turn().length, 0);
    },
  });
});

test('a message that comes in the middle of a turn is taken by this turn or the next', () => {
  atEachAccess({
    begin: () => {
      const shards = shardsOf(2);
      send(shards[0], 1);
      return shards;
    },
    call: (_a, b) => b.turn(),
    act: (a) => send(a, 1),
    check: (taken, _a, b) => {
      if (taken.length === 1) taken.push(...nextEntries(b));
      assert.is(taken.length, 2);
      assert.equal(b.turn(), []);
    },
  });
});

for (const [what, limits, index, refuse] of [
  ['a slot', { ringSlots: 1 }, 1, (a) => assert.is(a.post(1), Code.FULL)],
  ['a credit', { creditCount: 1 }, 1, (a) => assert.is(a.post(1), Code.NO_CREDIT)],
  ['the arena', { arenaBytes: 256 }, 0, (a) => assert.is(a.core.payloadTake(200), 0)],
]) {
  test(`a shard that waits for ${what} is told once, whenever the peer makes room`, () => {
    atEachAccess({
      begin: () => {
        const shards = shardsOf(2, limits);
        send(shards[0], 1, LARGE);
        refuse(shards[0]);
        return shards;
      },
      call: (a) => a.core.flush(),
      act: (_a, b) => wakeAndTurn(b),
      check: (_, a) => {
        assert.equal(nextEntries(a), [[ReadyKind.ROOM, index]]);
        assert.equal(a.turn(), []);
      },
    });
  });
}

test.run();
