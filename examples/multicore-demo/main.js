// Four shards, each a thread with an event loop of its own. They share nothing: they call each other's functions.
//
//   node examples/multicore-demo/main.js --shards 8
import { Runtime, runtimeOptions, TaskBuilder } from 'featherstar';

const { options } = runtimeOptions();
const module = new URL('./app.js', import.meta.url); // its exports are what shards can call
const runtime = await Runtime.start({ shards: 4, ...options, module });
const last = runtime.shardCount - 1;
console.log(`${runtime.shardCount} shards; this thread is shard ${runtime.self}`);

// One shard. Arguments and result are copied through shared memory.
console.log(await runtime.on(last).greet('you'));
console.log(await runtime.on(last).greet('again'));

// All of them, at the same time; the results come in shard order.
for (const line of await runtime.onAll().greet('all')) console.log(line);

// Divide the work, then add up what comes back.
const primes = (await runtime.onAll().countPrimes(100_000)).reduce((sum, count) => sum + count, 0);
console.log(`primes below 100,000: ${primes}`);

// As a task with a handle: to abort, to await.
const task = new TaskBuilder().name('trip').spawn(() => runtime.on(last).roundTrip());
console.log(`${task.name}: ${await task}`);

// An error comes back as it was, with its stack from over there.
try {
  await runtime.on(last).fail();
} catch (error) {
  console.log(`${error.name}: ${error.message}; thrown in ${/app\.js/.exec(error.stack)}`);
}

const report = await runtime.close(); // drains, then stops; always finishes
console.log(`closed: ${report.shards.map((shard) => shard.how).join(', ')}`);

// It prints:
//   4 shards; this thread is shard 0
//   Hello you, from shard 3 (greeting 1)
//   Hello again, from shard 3 (greeting 2)
//   Hello all, from shard 0 (greeting 1)
//   Hello all, from shard 1 (greeting 1)
//   Hello all, from shard 2 (greeting 1)
//   Hello all, from shard 3 (greeting 3)
//   primes below 100,000: 9592
//   trip: 3 -> 0 -> 1 -> 2 -> 3
//   RangeError: shard 3 has no luck; thrown in app.js
//   closed: stopped, stopped, stopped, stopped
