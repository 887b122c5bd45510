// core: both
// The arena of payloads: against a model that knows which bytes are taken, then where each block comes to lie.
//
// Next: park.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildWasm } from '../support/asc.js';
import { Cluster } from '../support/core.js';
import { FULL, forSeeds } from '../support/seeds.js';

const module = buildWasm('tests/core/internals.ts', 'dist/test-internals.wasm');
const UNIT = 16; // a header, and what sizes are rounded up to

/** The first of `shardCount` shards. */
function arenaOf(arenaBytes, shardCount = 1) {
  return new Cluster(shardCount, { arenaBytes }, { module }).shards[0];
}

const sizeOf = (bytes) => (bytes + 31) & ~15; // with its header of 16, rounded up to 16

/** The most bytes that lie free in one piece between `low` and `high`. */
function largestGap(live, low, high) {
  const ends = live.map(({ at, bytes }) => at - 16 + sizeOf(bytes));
  const starts = live.map(({ at }) => at - 16);
  return Math.max(...[low, ...ends].map((end) => Math.min(high, ...starts.filter((start) => start >= end)) - end));
}

test('the arena against a model: random sizes, read in any order, never overlapping, all of it usable', () => {
  forSeeds(4, (random) => {
    const arenaBytes = 4096;
    const { core, header, base, u32 } = arenaOf(arenaBytes);
    const live = [];
    const low = base + header.arenaOffset;
    let full = 0;
    for (let step = 0; step < (FULL ? 300_000 : 60_000); step++) {
      if (random(5) < 3) {
        const bytes = random(20) === 0 ? random(arenaBytes) : random(400);
        const at = core.arenaTake(bytes) >>> 0;
        if (at === 0) {
          full++;
          assert.ok(
            largestGap(live, low, low + arenaBytes) < sizeOf(bytes),
            `${bytes} bytes refused, with room for them`,
          );
          continue;
        }
        assert.ok(at % 16 === 0 && at >= low + 16 && at + bytes <= low + arenaBytes);
        for (const other of live)
          assert.ok(at + bytes <= other.at - 16 || other.at + other.bytes <= at - 16, 'overlap');
        for (let i = 0; i < bytes >>> 2; i++) u32[(at >>> 2) + i] = step;
        live.push({ at, bytes, step });
      } else if (live.length > 0) {
        const [{ at, bytes, step: written }] = live.splice(random(live.length), 1);
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
  const { core } = arenaOf(1024);
  for (const bytes of [1009, 1024, 2 ** 31, 2 ** 32 - 1]) {
    assert.is(core.arenaTake(bytes), 0);
    assert.is(core.arenaFits(bytes), 0);
  }
  assert.is(core.arenaFits(1008), 1);
  for (let i = 0; i < 5; i++) {
    const at = core.arenaTake(1008) >>> 0;
    assert.ok(at !== 0);
    assert.is(core.arenaUsed(), 1024);
    assert.is(core.arenaTake(0), 0, 'full');
    assert.is(core.arenaFits(0), 0);
    core.arenaRelease(at);
    const small = core.arenaTake(0) >>> 0; // moves the head on
    core.arenaRelease(small);
  }
  assert.is(core.arenaUsed(), 0);
});

/** An arena of 16 units, of which nothing is taken. Sizes and places are in units, and a size counts the header. */
function units() {
  const { core, header, base } = arenaOf(16 * UNIT);
  const low = base + header.arenaOffset + UNIT;
  return {
    take: (size) => (core.arenaTake((size - 1) * UNIT) - low) / UNIT,
    fits: (size) => core.arenaFits((size - 1) * UNIT) === 1,
    release: (...places) => {
      for (const place of places) core.arenaRelease(low + place * UNIT);
    },
    isRefused: (size) => core.arenaTake((size - 1) * UNIT) === 0,
  };
}

test('the search begins at the start, goes on behind the last block that was taken, and wraps round', () => {
  const { take, release } = units();
  assert.equal([take(4), take(4), take(4)], [0, 4, 8]);
  release(4);
  assert.equal([take(2), take(2)], [12, 14], 'behind the last one, up to the end');
  assert.equal([take(2), take(2)], [4, 6], 'and round');

  const other = units();
  assert.equal([4, 4].map(other.take), [0, 4]);
  other.release(0);
  assert.is(other.take(4), 0, 'the start comes first, also if it fits exactly');
});

test('a search joins no more blocks than it needs', () => {
  const { take, release } = units();
  assert.equal([1, 2, 1, 4, 4, 4].map(take), [0, 1, 3, 4, 8, 12]);
  release(1, 4, 8);
  assert.is(take(4), 4, 'fits exactly');
  assert.is(take(2), 1, 'so the next search begins at the start');
  assert.is(take(4), 8);
});

test('a search in vain, or one that only asks, leaves the next search where it was', () => {
  const first = units();
  assert.equal([4, 4, 4, 2, 2].map(first.take), [0, 4, 8, 12, 14]);
  first.release(4, 12);
  assert.ok(first.isRefused(5));
  assert.is(first.take(2), 4, 'not on to the last block that was looked at');

  const second = units();
  assert.equal([4, 4, 4].map(second.take), [0, 4, 8]);
  second.release(4);
  assert.ok(second.isRefused(5));
  assert.is(second.take(2), 12, 'not back to the block that was too small');

  const third = units();
  assert.equal([4, 6, 4].map(third.take), [0, 4, 10]);
  third.release(10);
  assert.ok(third.fits(4));
  assert.is(third.take(2), 14, 'not back to the block that fits');
});

test('a search begins at a block, also if that was joined with the one before it', () => {
  const { take, fits, release } = units();
  assert.equal([4, 4, 4].map(take), [0, 4, 8]);
  release(4, 8);
  assert.not(fits(13)); // joins 4 and 8 with 12, where the next search would begin
  assert.equal([take(2), take(2)], [4, 6]);
});

test('who holds blocks: the peers that were sent some and have not read them', () => {
  const { core } = new Cluster(4, { arenaBytes: 1024 }, { module }).shards[1];
  const holders = () => BigInt.asUintN(64, core.arenaHolders());
  const [own, zero, two, three, again] = [10, 10, 40, 10, 10].map((bytes) => core.arenaTake(bytes));
  assert.is(holders(), 0n, 'none was sent');
  core.arenaSend(zero, 0);
  assert.is(holders(), 1n);
  core.arenaSend(two, 2);
  core.arenaSend(three, 3);
  core.arenaSend(again, 3);
  assert.is(holders(), 0b1101n);
  core.arenaRelease(three);
  assert.is(holders(), 0b1101n, 'it has another one');
  assert.is(core.arenaUsed(), 4 * 32 + 64 - 32);

  core.arenaPeerDown(2);
  assert.is(holders(), 0b1001n);
  assert.is(core.arenaUsed(), 3 * 32);
  core.arenaPeerDown(0);
  assert.is(holders(), 0b1000n);
  assert.is(core.arenaUsed(), 2 * 32);
  core.arenaRelease(again);
  assert.is(holders(), 0n);
  core.arenaRelease(own);
  assert.is(core.arenaUsed(), 0);
});

test.run();
