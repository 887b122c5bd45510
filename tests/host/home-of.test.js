// homeOf(): the shard that a key lives on. The numbers are from another implementation, in Python: they are part of the
// API and never change.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { homeOf } from '../../dist/host/base/home-of.js';

const COUNTS = [1, 2, 3, 4, 7, 64];
const HOMES = {
  '': [0, 1, 2, 3, 4, 11],
  a: [0, 1, 0, 3, 0, 51],
  key: [0, 1, 2, 1, 4, 61],
  'user:1': [0, 1, 0, 3, 0, 47],
  'user:2': [0, 0, 2, 2, 6, 62],
  grün: [0, 1, 1, 1, 2, 37],
  日本: [0, 1, 0, 3, 5, 31],
  '😀': [0, 0, 1, 2, 4, 10],
};

test('a key has the same home in every version, as text and as bytes', () => {
  for (const [key, homes] of Object.entries(HOMES)) {
    assert.equal(
      COUNTS.map((count) => homeOf(key, count)),
      homes,
      key,
    );
    assert.equal(
      COUNTS.map((count) => homeOf(new TextEncoder().encode(key), count)),
      homes,
      `${key} as bytes`,
    );
  }
});

test('every shard gets its part of the keys, also of keys that are much alike', () => {
  const kinds = [(i) => `user:${i}`, (i) => `${i}${i}`, (i) => `${'x'.repeat(i % 50)}-${i}`, (i) => String(i * 64)];
  for (const keyOf of kinds) {
    for (const count of [2, 3, 8, 64]) {
      const sizes = new Array(count).fill(0);
      for (let i = 0; i < 1000 * count; i++) sizes[homeOf(keyOf(i), count)]++;
      assert.ok(Math.min(...sizes) > 850 && Math.max(...sizes) < 1150, `${keyOf(12)} of ${count}: ${sizes}`);
    }
  }
});

test('half a pair of surrogates counts as TextEncoder writes it', () => {
  assert.is(homeOf('\ud800', 64), homeOf('\ufffd', 64));
});

test('a key that is neither text nor bytes is refused', () => {
  for (const key of [5, undefined, null, {}, [1]]) {
    assert.throws(
      () => homeOf(key, 2),
      (error) => error.code === 'FEATHERSTAR_OPTION',
    );
  }
});

test.run();
