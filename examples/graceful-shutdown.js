// Graceful shutdown: a program that ends with its work, or with a signal, and cleans up in either case.
//
//   node examples/graceful-shutdown.js --iterations 1000         and then press Ctrl-C; twice if it is to end at once
import { parseArgs } from 'node:util';
import { blockOn, runtimeOptions, select, sleep, waitForSignal } from 'featherstar';

const { options, rest } = runtimeOptions(); // `rest`: arguments that are not the runtime's
const { values } = parseArgs({ args: rest, options: { iterations: { type: 'string', default: '4' } } });
const iterations = Number(values.iterations);

async function work(signal) {
  for (let i = 1; i <= iterations; i++) {
    await sleep(20, { signal });
    console.log(`Working... iteration ${i}`);
  }
  return 'Work completed naturally';
}

await blockOn(async () => {
  // The first branch that ends wins. Then the others' signal aborts, and select() waits until they have ended, too:
  // behind it nothing runs in the background any more.
  const first = await select({
    work,
    shutdown: (signal) => waitForSignal(['SIGTERM', 'SIGINT'], { signal }),
  });

  if (first.key === 'work') console.log(first.value);
  else console.log(`Received signal: ${first.value}, shutting down gracefully...`);

  console.log('Cleaning up resources...');
  await sleep(10); // close connections, flush data; a second signal meanwhile ends the process at once
  console.log('Cleanup completed, exiting');
}, options);

// It prints:
//   Working... iteration 1
//   Working... iteration 2
//   Working... iteration 3
//   Working... iteration 4
//   Work completed naturally
//   Cleaning up resources...
//   Cleanup completed, exiting
//
// With many iterations, and SIGTERM, it prints:
//   Working... iteration 1
//   ...
//   Received signal: SIGTERM, shutting down gracefully...
//   Cleaning up resources...
//   Cleanup completed, exiting
