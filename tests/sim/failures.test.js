// How a simulated program fails that does not throw: a rejection without a handler, however late.

import { runtime, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 20;

const orphan = () => {
  Promise.reject(new Error('no handler'));
};

for (const sleeps of [0, 1, 5, 20, 50, 100, 200, 300]) {
  test(`a rejection without a handler is found with ${sleeps} sleeps behind it`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const program = async () => {
        orphan();
        for (let i = 0; i < sleeps; i++) await sleep(1);
      };
      const error = await rejection(simulate({ seed }, program));
      assert.is(error.code, 'FEATHERSTAR_SIMULATION');
      assert.is(error.cause.message, 'no handler');
    }
  });
}

test('a rejection without a handler is found where it happens: on another shard, while all closes, at a crash', async () => {
  const programs = {
    'on another shard': (world) => world.on(1, orphan),
    'while all closes': () => void runtime().onClose(orphan),
    'at a crash': (world) => {
      orphan();
      return world.crash();
    },
  };
  for (const [where, program] of Object.entries(programs)) {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const error = await rejection(simulate({ seed, shards: 2, module }, program));
      assert.is(error.cause.message, 'no handler', where);
    }
  }
});

test('a rejection that is handled in the same turn is none', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { value } = await simulate({ seed }, async () => {
      const failed = Promise.reject(new Error('handled'));
      await undefined;
      return failed.catch((error) => error.message);
    });
    assert.is(value, 'handled');
  }
});

test.run();
