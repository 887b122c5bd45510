// A shard module that shard 2 takes a while to load. Shard 1 calls it meanwhile, with more than there are credits and
// than the arena holds, and then shard 0, which must not wait for shard 2.

import { runtime } from 'featherstar';

const text = 'x'.repeat(1000);
const ended = [];
const call = (shard) =>
  runtime()
    .on(shard)
    .length(text)
    .then(() => ended.push(shard));
let calls;

export const echo = (value) => value;
export const length = (value) => value.length;
/** The shards that have answered, in order. */
export const order = async () => {
  await Promise.all(calls);
  return ended;
};

if (runtime().self === 1) {
  setTimeout(() => {
    calls = [...Array.from({ length: 50 }, () => call(2)), call(0)];
  });
}
if (runtime().self === 2) await new Promise((resolve) => setTimeout(resolve, 200));
