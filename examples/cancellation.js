// Stopping what runs. There is one mechanism, the web's AbortSignal: everything that waits takes `{ signal }`, rejects
// with the signal's reason, and leaves nothing behind. CancellationToken is the same, with parents and children.
import { blockOn, CancellationToken, runtimeOptions, sleep, spawn, yieldNow } from 'featherstar';

const why = (promise) =>
  promise.then(
    () => 'it went through',
    (error) => error.message,
  );

await blockOn(async () => {
  // 1. A signal, handed down to whatever waits.
  const control = new AbortController();
  const sleeping = sleep(60_000, { signal: control.signal });
  control.abort(new Error('no longer needed'));
  console.log(`sleep: ${await why(sleeping)}`);

  // 2. A task has a signal of its own, which its handle's abort() aborts.
  const task = spawn(async ({ signal }) => {
    try {
      await sleep(60_000, { signal });
    } finally {
      console.log('(the task cleans up)');
    }
  });
  await yieldNow(); // lets it begin: a task that has not begun never runs
  task.abort(new Error('the user has left'));
  console.log(`task: ${await why(task)}`);
  await task.ended; // by now it has cleaned up

  // 3. Tokens make a tree: cancelling a parent cancels its children, not the other way round.
  const server = new CancellationToken();
  const [first, second] = [server.child(), server.child()];
  first.cancel(new Error('client 1 hung up'));
  console.log(`first: ${first.isCancelled}, second: ${second.isCancelled}, server: ${server.isCancelled}`);

  // 4. Any promise can be waited for until a token is cancelled, even one that knows nothing of signals.
  const foreign = second.cancellable(new Promise(() => undefined));
  server.cancel(new Error('the server stops'));
  console.log(`second: ${await why(foreign)}`);
}, runtimeOptions().options);

// It prints:
//   sleep: no longer needed
//   (the task cleans up)
//   task: the user has left
//   first: true, second: false, server: false
//   second: the server stops
