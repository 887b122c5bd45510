// Intervals: a tick at regular times, and what becomes of ticks that were missed.
import { blockOn, interval, runtimeOptions, sleep } from 'featherstar';

await blockOn(async () => {
  const heartbeat = interval(10); // ms; the first tick comes after one period
  for await (const tick of heartbeat) {
    console.log(`tick ${tick}`);
    if (tick === 3) break; // the interval stays as it is: a timer is armed only while a consumer waits for a tick
  }
  console.log(`tick ${await heartbeat.tick()}, by hand`);
  heartbeat.close(); // loops over it end

  // Away for longer than three periods. 'burst' (the default) makes up for what was missed ...
  const burst = interval(10, { missed: 'burst' });
  const skip = interval(10, { missed: 'skip' });
  await sleep(35);
  for (let i = 0; i < 3; i++) await burst.tick(); // at once: these were due
  console.log(`burst: ${burst.ticks} ticks, the late ones among them`);

  // ... 'skip' leaves it out and gets in step again; 'delay' also leaves it out, and counts from now on.
  await skip.tick();
  console.log(`skip: ${skip.ticks} tick, at least two were left out: ${skip.missedTicks >= 2}`);
}, runtimeOptions().options);

// It prints:
//   tick 1
//   tick 2
//   tick 3
//   tick 4, by hand
//   burst: 3 ticks, the late ones among them
//   skip: 1 tick, at least two were left out: true
