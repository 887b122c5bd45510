// What a part of the library keeps for each shard. It is made when it is first asked for, and goes with the shard.

import type { Shard } from './shard.js';

/** Returns a function that gives each shard one `T` of its own. */
export function perShard<T>(make: (shard: Shard) => T): (shard: Shard) => T {
  const made = new WeakMap<Shard, { value: T }>();
  return (shard) => {
    let entry = made.get(shard);
    if (entry === undefined) {
      entry = { value: make(shard) };
      made.set(shard, entry);
    }
    return entry.value;
  };
}
