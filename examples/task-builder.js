// Tasks with more to say about them: a name for warnings, a scheduling group, a signal that ends them all.
import { blockOn, runtimeOptions, schedulingGroup, spawn, TaskBuilder } from 'featherstar';

await blockOn(async () => {
  // The short form is enough for most tasks.
  const plain = spawn(() => 42);
  console.log(`plain: ${await plain}`);

  // A builder is a recipe; it may spawn any number of tasks. The context tells a function about its own task.
  const builder = new TaskBuilder().name('counter');
  const counters = [0, 1, 2, 3, 4].map((i) => builder.spawn(({ name }) => `${name} ${i} completed`));
  for (const counter of counters) console.log(await counter); // they have long run, side by side

  // Groups share the processor when there is not enough for all: here 'serving' gets four times what 'sweeping' gets.
  schedulingGroup('serving', { shares: 400 });
  const sweeping = schedulingGroup('sweeping', { shares: 100 });

  // Work without an end lets others run, in its own group, by yieldNow(); there it also learns that it was aborted.
  const control = new AbortController();
  let rounds = 0;
  const sweeper = new TaskBuilder()
    .name('sweeper')
    .group(sweeping)
    .signal(control.signal)
    .spawn(async ({ yieldNow }) => {
      for (;;) {
        rounds++;
        if (rounds === 1000) control.abort(new Error('swept enough'));
        await yieldNow();
      }
    });
  try {
    await sweeper;
  } catch (error) {
    console.log(`${sweeper.name}: ${error.message}`);
  }
  await sweeper.ended; // the handle rejects at once, the function ends when it heeds its signal
  console.log(`finished: ${sweeper.isFinished}, rounds: ${rounds}`);
}, runtimeOptions().options);

// It prints:
//   plain: 42
//   counter 0 completed
//   counter 1 completed
//   counter 2 completed
//   counter 3 completed
//   counter 4 completed
//   sweeper: swept enough
//   finished: true, rounds: 1000
