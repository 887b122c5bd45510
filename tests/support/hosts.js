// Which hosts tests run on, and what a shard holds when nothing is going on: tests that put it back prove no leak.

import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { uringObstacle } from '../../dist/host/hosts/pick.js';
import { readHoldings } from '../../dist/host/runtime/stats.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { until } from './http.js';

/** The hosts that can be had here; FEATHERSTAR_HOST narrows it to one. A host that is left out is reported. */
export function hosts() {
  const asked = process.env.FEATHERSTAR_HOST;
  if (asked && asked !== 'auto') return [asked];
  const obstacle = uringObstacle();
  if (obstacle === undefined) return ['uring', 'portable'];
  console.log(`# skipped: uring: ${obstacle}`);
  return ['portable'];
}

/** The things that the shard of this thread holds at the moment. */
export function holdings() {
  const shard = currentShard();
  const { openOperations, pendingTimers, liveTasks } = readHoldings(shard, shard.index);
  return {
    operations: openOperations,
    timers: pendingTimers,
    tasks: liveTasks,
    calls: shard.calls?.openCount ?? 0,
    arenaBytes: shard.core.arenaUsed(),
    sendBuffers: shard.sendBuffers.used,
  };
}

/** Waits until the shard holds what it held at first. */
export async function back(base) {
  const isBack = () => JSON.stringify(holdings()) === JSON.stringify(base);
  await until(isBack, 'the shard holds what it held before').catch(() => undefined);
  assert.equal(holdings(), base);
}

/**
 * A suite on a runtime of one shard: `test` is uvu's, `check` adds a test that leaves nothing behind, `run` runs it.
 */
export function oneShardSuite(name, host, options = {}) {
  const test = suite(`${name} (${host})`);
  let runtime;
  let base;
  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host, ...options });
    base = holdings();
  });
  test.after(() => runtime.close());
  const check = (what, run) =>
    test(what, async () => {
      await run(base);
      await back(base);
    });
  return { test, check, run: () => test.run() };
}

/** What is warned of while `act` runs, and until there are `count` of it. */
export async function warnings(count, act) {
  const seen = [];
  const onWarning = (warning) => seen.push(warning);
  process.on('warning', onWarning);
  try {
    await act();
    await until(() => seen.length >= count, `${count} warnings`);
  } finally {
    process.off('warning', onWarning);
  }
  for (const { name } of seen) assert.is(name, 'Featherstar');
  return seen.map(({ message }) => message);
}

/** The error that `promise` rejects with. */
export async function rejection(promise) {
  try {
    await (typeof promise === 'function' ? promise() : promise);
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}
