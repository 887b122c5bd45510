// The shard module of the page: what the buttons ask for. It knows nothing of being watched.

import { on, self, shardCount, sleep, spawn, yieldNow } from './featherstar/host/browser/shard.js';

const next = () => on((self() + 1) % shardCount());

export const add = (a, b) => a + b;

/** Calls the next shard as fast as it replies, many calls at a time. Returns how many it made. */
export async function flood(ms) {
  const end = performance.now() + ms;
  let calls = 0;
  const one = async () => {
    while (performance.now() < end) {
      await next().add(calls++, 1);
    }
  };
  await Promise.all(Array.from({ length: 200 }, one));
  return calls;
}

/** Puts timers onto the wheel, from a millisecond to half a minute ahead. */
export async function sleepers(count) {
  const waits = Array.from({ length: count }, (_, i) => sleep(1.5 ** ((i * 26) / count)));
  await Promise.all(waits);
  return count;
}

/** Tasks that take turns. */
export async function tasks(count, steps) {
  const work = Array.from({ length: count }, () =>
    spawn(async () => {
      for (let i = 0; i < steps; i++) {
        await yieldNow();
        if (i % 50 === 49) await sleep(10);
      }
    }),
  );
  await Promise.all(work);
  return count * steps;
}

/** A task that does not yield: nothing else of this shard runs meanwhile, and its mail waits. */
export async function stall(ms) {
  await spawn(() => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  });
  return ms;
}

/** One call there and back, for journey.js to follow. */
export const travel = () => on(1).visit();

export async function visit() {
  await spawn(() => sleep(100));
}
