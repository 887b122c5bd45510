// The shard module of tests/api/calls-live.test.js: functions that call on, back, round and without an end.

import { runtime } from 'featherstar';

const next = () => {
  const { self, shardCount } = runtime();
  return runtime().on((self + 1) % shardCount);
};

export const echo = (value) => value;
export const back = (from) => runtime().on(from).echo(1);

/** Calls that each make one call back; the number of those that were answered. */
export async function callBack(count) {
  const { self } = runtime();
  return (await Promise.all(Array.from({ length: count }, () => next().back(self)))).length;
}

/** Goes round the shards, one call inside the other, now at once, now after other work. */
export async function around(hops, isLate) {
  if (hops === 0) return 0;
  if (isLate) await new Promise(setImmediate);
  return 1 + (await next().around(hops - 1, isLate));
}

/** Each call makes two, of which one goes back: 2 ** depth leaves. `text`: also through the arena. */
export async function tree(depth, text) {
  if (depth === 0) return text.length;
  const { self, shardCount } = runtime();
  const peers = [(self + 1) % shardCount, (self + shardCount - 1) % shardCount];
  const sums = await Promise.all(
    peers.map((peer) =>
      runtime()
        .on(peer)
        .tree(depth - 1, text),
    ),
  );
  return sums[0] + sums[1];
}

export const fail = () => {
  throw new RangeError('it fails');
};
export const long = () => 'x'.repeat(600);

export const forever = () => next().forever();
export const foreverHere = () => runtime().on(runtime().self).foreverHere();

let letGo;
const gate = new Promise((resolve) => {
  letGo = resolve;
});
export const held = () => gate;
export const release = () => letGo();
