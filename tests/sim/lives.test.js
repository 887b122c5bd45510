// Starting, stopping and starting again while threads die: production's own code, in a world where that is likely.
//
// The flow: seeds, faults `die` and `stuck` -> start, restart(), close() -> each ends in time, as it should.
//
// Next: lives.js, the program of most of these seeds.

import { onSignal, runtime, waitForSignal } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';
import { runLives } from './lives.js';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 300;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('a shard that dies as it starts fails the start, whenever that is', async () => {
  const seen = { died: 0, started: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const faults = { die: 0.2 };
    const error = await simulate({ seed, shards: 4, module, faults }, async (world) => {
      world.setFaults({});
      const calls = [1, 2, 3].map((shard) => runtime().on(shard).where());
      for (const result of await world.within(100, 'an answer of each shard', Promise.allSettled(calls))) {
        if (result.status === 'rejected') assert.is(result.reason.code, 'FEATHERSTAR_PEER_DOWN');
      }
    }).catch((failure) => failure);
    if (error instanceof Error) {
      assert.is(error.cause?.code, 'FEATHERSTAR_MODULE', `seed ${seed}: ${error.message}`);
      assert.match(error.message, /a shard exited with code 1 at start/);
      seen.died++;
    } else seen.started++;
  }
  assert.ok(seen.died > SEEDS / 4 && seen.started > SEEDS / 20, JSON.stringify(seen));
});

test('close() gives a restart() up that waits for a thread which does not end', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { value } = await simulate({ seed, shards: 2, module, faults: { stuck: 1 } }, async (world) => {
      const { runtime: rt } = world;
      const restart = rt.restart(1, { force: true }).catch((error) => error.code);
      await new Promise((resolve) => setTimeout(resolve, 100));
      const fromMs = performance.now();
      const { shards } = await rt.close({ timeoutMs: 100 });
      assert.ok(performance.now() - fromMs < 2500, `close() took ${performance.now() - fromMs} ms`);
      return [await restart, shards[1].how];
    });
    assert.equal(value[0], 'FEATHERSTAR_CLOSED');
    assert.ok(['died', 'terminated', 'stuck'].includes(value[1]), value[1]); // sooner or later, or after all that
  }
});

test('hooks of onClose() that fail fail the simulation, on any shard; one that never ends is told', async () => {
  const withHook = (shard, hook) =>
    simulate({ seed: 1, shards: 2, shutdownTimeoutMs: 100 }, (world) => world.on(shard, () => runtime().onClose(hook)));
  for (const shard of [0, 1]) {
    const failure = await rejection(withHook(shard, () => Promise.reject(new Error('this one fails'))));
    assert.match(failure.message, /this one fails/);
    assert.is((await withHook(shard, () => {})).drained, true);
    assert.is((await withHook(shard, () => new Promise(() => {}))).drained, false);
  }
});

test('signals reach every shard that waits for them, and not the shard that has died', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const { value } = await simulate({ seed, shards: 3 }, async (world) => {
      const told = [];
      for (const shard of [0, 1, 2]) await world.on(shard, () => void onSignal('SIGHUP', () => told.push(shard)));
      const waiting = world.on(2, () => waitForSignal(['SIGTERM', 'SIGINT']));
      await pause(20); // shard 0 has heard that they wait
      world.signal('SIGHUP');
      await pause(20);
      world.kill(1);
      await pause(20);
      world.signal('SIGHUP');
      world.signal('SIGINT');
      const name = await waiting;
      await pause(20);
      return [told.sort().join(''), name];
    });
    assert.equal(value, ['00122', 'SIGINT']);
  }
});

test('the simulation fails if a signal ends the process', async () => {
  const failure = (program) => rejection(simulate({ seed: 1, shards: 2 }, program));
  const unheard = await failure(async (world) => {
    world.signal('SIGTERM');
    await pause(20);
  });
  assert.match(unheard.message, /SIGTERM has ended the process: no code listens for it/);
  const twice = await failure(async (world) => {
    await world.on(1, () => void onSignal('SIGTERM', () => new Promise(() => {})));
    await pause(20);
    world.signal('SIGTERM');
    world.signal('SIGTERM');
    await pause(20);
  });
  assert.match(twice.message, /a second signal has ended the process, with exit code 143/);
  assert.is((await failure((world) => world.signal('SIGKILL'))).cause.code, 'FEATHERSTAR_OPTION');
});

test('seeds of lives.js pass, and all that can happen does', async () => {
  const seen = new Map();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { ends, told } = (await runLives(seed)).value;
    for (const what of new Set([...ends, ...told])) seen.set(what, (seen.get(what) ?? 0) + 1);
  }
  const refusals = ['OPTION', 'MODULE', 'TIMEOUT', 'CLOSED'].map((code) => `FEATHERSTAR_${code}`);
  for (const what of [
    'stopped',
    'terminated',
    'died',
    'stuck',
    'died at start',
    'a service failed',
    'restarted',
    ...refusals,
  ]) {
    assert.ok(seen.get(what) > 0, `${what} in ${seen.get(what)} seeds`);
  }
});

test.run();
