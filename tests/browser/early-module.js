// A shard module that calls a peer as soon as it is loaded, whether the peer has begun or not (start.test.js).

import { on, self } from '../featherstar/host/browser/shard.js';

let early;
export const add = (a, b) => a + b;
export const answered = () => early;

if (self() === 0) {
  setTimeout(() => {
    early = on(1).add(1, 2);
  });
}
