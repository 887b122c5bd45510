// A shard module that calls a peer as soon as it is loaded, whether the peer has begun or not.

import { runtime } from 'featherstar';

let early;
export const add = (a, b) => a + b;
export const answered = () => early;

if (runtime().self === 1) {
  setTimeout(() => {
    early = runtime().on(2).add(1, 2);
  });
}
