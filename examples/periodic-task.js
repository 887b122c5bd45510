// A task that runs a function every so often, until it is told to stop.
import { blockOn, Event, runtimeOptions, spawnPeriodic } from 'featherstar';

await blockOn(async () => {
  let count = 0;
  const enough = new Event();

  const periodic = spawnPeriodic(10, async () => {
    count++;
    console.log(`Periodic task executed: ${count}`);
    if (count === 5) enough.set();
    // The next call comes when this one has ended: calls never overlap, however long one takes.
  });

  await enough.wait();
  periodic.abort();
  try {
    await periodic; // it goes on until it fails or is aborted, so this is how it ends
  } catch (error) {
    console.log(`It has ended: ${error.code}`);
  }
  console.log(`Final count: ${count}`);

  // A call that fails ends the task. If no code awaits the task, the error is a warning; it never ends the shard.
  const failing = spawnPeriodic(1, () => {
    throw new Error('the disk is full');
  });
  await failing.catch((error) => console.log(`It has failed: ${error.message}`));
}, runtimeOptions().options);

// It prints:
//   Periodic task executed: 1
//   Periodic task executed: 2
//   Periodic task executed: 3
//   Periodic task executed: 4
//   Periodic task executed: 5
//   It has ended: FEATHERSTAR_ABORTED
//   Final count: 5
//   It has failed: the disk is full
