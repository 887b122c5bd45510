// Hello, world: a runtime of one shard, in this thread, for as long as a function runs.
//
//   node examples/hello-world.js
//   node examples/hello-world.js --host portable        without io_uring; docs/runtime.md has the other flags
import { blockOn, runtimeOptions, spawn } from 'featherstar';

// Flags such as --host and --memory, and their twins in the environment, cost a program this one call.
const { options } = runtimeOptions();

const answer = await blockOn(async () => {
  console.log('Hello from featherstar!');

  // A task runs when the scheduler gets to it. Its handle is awaited like a promise.
  const task = spawn(() => 6 * 7);
  console.log('The task waits for its turn.');
  return await task;
}, options);

console.log(`The task says ${answer}.`); // the runtime has closed: nothing is left open, so the program ends

// It prints:
//   Hello from featherstar!
//   The task waits for its turn.
//   The task says 42.
