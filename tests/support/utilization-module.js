// The shard module of tests/api/utilization.test.js: a shard that is idle or busy, and what Node says of it then.

import perfHooks, { performance } from 'node:perf_hooks';
import { sleep } from 'featherstar';

const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

/** Works for so long, with a short wait after each piece: the waits are a twentieth of it. */
export async function work(pieces) {
  for (let i = 0; i < pieces; i++) {
    spin(20);
    await sleep(1);
  }
}

/** What each way to ask Node says of the time that `idle` or busy takes. */
export async function measure(what, amount) {
  const { eventLoopUtilization: named = performance.eventLoopUtilization } = perfHooks;
  const first = performance.eventLoopUtilization();
  const firstNamed = named();
  const idleFirst = performance.nodeTiming.idleTime;
  const begin = performance.now();
  if (what === 'idle') await sleep(amount);
  else await work(amount);
  const second = performance.eventLoopUtilization();
  const difference = performance.eventLoopUtilization(first);
  return {
    since: difference.utilization,
    between: performance.eventLoopUtilization(second, first).utilization,
    named: named(firstNamed).utilization,
    byIdleTime: 1 - (performance.nodeTiming.idleTime - idleFirst) / (performance.now() - begin),
    isMore: second.idle >= first.idle && second.active >= first.active,
  };
}
