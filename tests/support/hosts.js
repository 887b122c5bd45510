// Which hosts tests run on, and what a shard holds when nothing is going on: tests that put it back prove no leak.

import * as assert from 'uvu/assert';
import { uringObstacle } from '../../dist/host/hosts/pick.js';
import { currentShard } from '../../dist/host/shard.js';
import { until } from './http.js';

/** The hosts that can be had here; FEATHERSTAR_HOST narrows it to one. What is left out is said aloud. */
export function hosts() {
  const asked = process.env.FEATHERSTAR_HOST;
  if (asked && asked !== 'auto') return [asked];
  const obstacle = uringObstacle();
  if (obstacle === undefined) return ['uring', 'portable'];
  console.log(`# skipped: uring: ${obstacle}`);
  return ['portable'];
}

/** What the shard of this thread holds at the moment. */
export function holdings() {
  const shard = currentShard();
  const { core } = shard;
  return {
    operations: core.openOps(),
    timers: core.pendingTimers(),
    tasks: core.liveTasks(),
    calls: core.openCalls(),
    arenaBytes: core.arenaUsed(),
    sendBuffers: shard.sendBuffersUsed,
  };
}

/** Waits until the shard holds what it held at first. */
export async function back(base) {
  const isBack = () => JSON.stringify(holdings()) === JSON.stringify(base);
  await until(isBack, 'the shard holds what it held before').catch(() => undefined);
  assert.equal(holdings(), base);
}

/** The error that `promise` rejects with. */
export async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}
