// The shard module of browser.test.js.

import { on, self, shardCount, sleep } from '../featherstar/host/browser/shard.js';

export const add = (a, b) => a + b;
export const same = (value) => value;
export const where = () => [self(), shardCount()];

/** A value's way to the next shard and back. */
export const relay = (values) => on((self() + 1) % shardCount()).same(values);

export function fails() {
  throw new RangeError('not that one');
}

export const failsThere = () => on(1 - self()).fails();

/** What fired before its time, or out of order. */
export async function early() {
  const wrong = [];
  const order = [];
  const wait = async (ms) => {
    const start = performance.now();
    await sleep(ms);
    if (performance.now() - start < ms) wrong.push(ms);
    order.push(ms);
  };
  await Promise.all([40, 5, 20, 10].map(wait));
  return [wrong, order];
}

/** A call that is given up. */
export async function givesUp() {
  const waiting = on(1 - self())
    .with({ timeoutMs: 20 })
    .never();
  return waiting.catch((error) => error.code);
}

export const never = () => new Promise(() => {});
