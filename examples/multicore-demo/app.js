// The shard module: every shard loads it, so every shard has variables of its own, and no locks.
import { runtime } from 'featherstar';

let greeted = 0;

export function greet(name) {
  greeted++;
  return `Hello ${name}, from shard ${runtime().self} (greeting ${greeted})`;
}

/** Primes below `limit` among this shard's share of the numbers: every shardCount-th. */
export function countPrimes(limit) {
  const { self, shardCount } = runtime();
  let count = 0;
  for (let n = self; n < limit; n += shardCount) if (isPrime(n)) count++;
  return count;
}

function isPrime(n) {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n > 1;
}

export function fail() {
  throw new RangeError(`shard ${runtime().self} has no luck`);
}

/** Shards may call each other: this one asks its neighbour, which asks its own, all the way round. */
export async function roundTrip(stations = []) {
  const { self, shardCount } = runtime();
  if (stations.length > 0 && self === stations[0]) return [...stations, self].join(' -> ');
  return runtime()
    .on((self + 1) % shardCount)
    .roundTrip([...stations, self]);
}
