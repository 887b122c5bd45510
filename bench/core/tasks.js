// A shard's tools for tasks that work together, and the code that users write instead: `node tasks.js ours|plain WHAT`.
//
//   spawn      64 tasks are started and awaited, again and again; an async function that awaits once. ns per task
//   yield      10 loops take turns; setImmediate, which is how Node lets I/O in between. ns per turn
//   semaphore  acquire, and release, one unit, no code waits; contended: 64 loops wait for it. A counter and a list
//   channel    one sends, one receives, capacity 64; an array and two promises. ns per value
//   shares     two groups of 100 and 300 shares with endless work: what the second did, by what the first did. No ns
//
// Each prints its name and ns per operation: the median of some runs behind one that does not count.
//
// Next: calls.js.

import { blockOn, Channel, Semaphore, schedulingGroup, spawn, yieldNow } from '../../dist/host/index.js';
import { nowNs, print, quantile, RUNS } from './threads.js';

const [who, what] = process.argv.slice(2);

/** A semaphore as people write it. */
class PlainSemaphore {
  #free = 1;
  #waiting = [];

  async acquire() {
    if (this.#free > 0) this.#free--;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    return { release: () => this.#release() };
  }

  #release() {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** A bounded queue as people write it. */
class PlainChannel {
  #values = [];
  #capacity;
  #senders = [];
  #receivers = [];

  constructor(capacity) {
    this.#capacity = capacity;
  }

  async send(value) {
    while (this.#values.length >= this.#capacity) await new Promise((resolve) => this.#senders.push(resolve));
    this.#values.push(value);
    this.#receivers.shift()?.();
  }

  async receive() {
    while (this.#values.length === 0) await new Promise((resolve) => this.#receivers.push(resolve));
    this.#senders.shift()?.();
    return this.#values.shift();
  }
}

const plainTask = async (i) => {
  await undefined;
  return i;
};
const start = { ours: (i) => spawn(() => i), plain: plainTask }[who];
const turn = { ours: yieldNow, plain: () => new Promise(setImmediate) }[who];
const makeSemaphore = { ours: () => new Semaphore(1), plain: () => new PlainSemaphore() }[who];
const makeChannel = { ours: () => new Channel({ capacity: 64 }), plain: () => new PlainChannel(64) }[who];

const LOOPS = { spawn: 64, yield: 10, 'semaphore-contended': 64 };

/** Each returns how many operations it did. */
const UNITS = {
  async spawn() {
    for (let round = 0; round < 300; round++) {
      const answers = await Promise.all(Array.from({ length: LOOPS.spawn }, (_, i) => start(i)));
      if (answers[63] !== 63) throw new Error('a task answered something else');
    }
    return 300 * LOOPS.spawn;
  },
  async yield() {
    const loop = async () => {
      for (let i = 0; i < 2000; i++) await turn();
    };
    await Promise.all(Array.from({ length: LOOPS.yield }, loop));
    return 2000 * LOOPS.yield;
  },
  async semaphore() {
    const semaphore = makeSemaphore();
    for (let i = 0; i < 50_000; i++) (await semaphore.acquire()).release();
    return 50_000;
  },
  async 'semaphore-contended'() {
    const semaphore = makeSemaphore();
    let inside = 0;
    const loop = async () => {
      for (let i = 0; i < 500; i++) {
        const guard = await semaphore.acquire();
        if (++inside !== 1) throw new Error('two hold one unit');
        await undefined;
        inside--;
        guard.release();
      }
    };
    await Promise.all(Array.from({ length: LOOPS['semaphore-contended'] }, loop));
    return 500 * LOOPS['semaphore-contended'];
  },
  async channel() {
    const channel = makeChannel();
    const count = 50_000;
    const sending = (async () => {
      for (let i = 0; i < count; i++) await channel.send(i);
    })();
    for (let i = 0; i < count; i++) if ((await channel.receive()) !== i) throw new Error('a value is lost');
    await sending;
    return count;
  },
};

const SHARES_STEPS = 40_000; // of about 25 us

async function shares() {
  const counts = [0, 0];
  const work = (i) => async () => {
    while (counts[0] + counts[1] < SHARES_STEPS) {
      let x = i;
      for (let k = 0; k < 20_000; k++) x = (x * 31 + k) | 0;
      counts[i] += x === 0.5 ? 0 : 1;
      await yieldNow();
    }
  };
  const groups = [100, 300].map((of) => schedulingGroup(`of ${of}`, { shares: of }));
  await Promise.all(groups.map((group, i) => spawn(work(i), { group })));
  return counts[1] / counts[0];
}

async function nsPerOperation() {
  const results = [];
  for (let run = 0; run <= 2 * RUNS; run++) {
    const startNs = nowNs();
    const operations = await UNITS[what]();
    if (run >= RUNS) results.push((nowNs() - startNs) / operations);
  }
  return quantile(results, 0.5);
}

await blockOn(async () => {
  print(`tasks.${what}`, what === 'shares' ? await shares() : await nsPerOperation());
});
