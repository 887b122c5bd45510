// Timers: sleep until later, have something done later, change one's mind. All of it is on the shard's timer wheel,
// where setting and cancelling cost the same however many timers are pending.
import { blockOn, now, runtimeOptions, schedule, sleep } from 'featherstar';

await blockOn(async () => {
  const begin = now(); // ms, the same clock on every shard; it stands still while this shard is busy
  await sleep(20);
  console.log(`slept, and not too short: ${now() - begin >= 20}`);

  // Many sleeps at once: what counts is when each is due, not in which order they were asked for.
  const order = [];
  const nap = (ms) => sleep(ms).then(() => order.push(ms));
  await Promise.all([nap(30), nap(10), nap(20)]);
  console.log(`woken: ${order.join(', ')}`);

  // A callback instead of a promise. An error that it throws is reported, and ends nothing else.
  schedule(10, () => console.log('the scheduled callback runs'));
  const second = schedule(5, () => console.log('this is never seen'));
  console.log(`cancelled: ${second.cancel()}, and again: ${second.cancel()}`);
  await sleep(20);

  // Everything that waits takes a signal, and rejects with its reason.
  const changeOfMind = new AbortController();
  schedule(5, () => changeOfMind.abort(new Error('that is long enough')));
  try {
    await sleep(60_000, { signal: changeOfMind.signal });
  } catch (error) {
    console.log(`woken early: ${error.message}`);
  }
}, runtimeOptions().options);

// It prints:
//   slept, and not too short: true
//   woken: 10, 20, 30
//   cancelled: true, and again: false
//   the scheduled callback runs
//   woken early: that is long enough
