// Time, through the public surface: sleep, timeout, intervals, scheduled callbacks, the coarse clock.
//
// Nothing here asserts how long something took, only that it was not early; and where ticks are missed, the test itself
// holds the shard up for so long that they must be, and counts.

import { AsyncLocalStorage } from 'node:async_hooks';
import { setMaxListeners } from 'node:events';
import { interval, now, schedule, sleep, spawn, timeout } from 'featherstar';
import * as assert from 'uvu/assert';
import { holdings, hosts, oneShardSuite, rejection, warnings } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';

/** Holds the thread up. */
const spin = (ms) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

for (const host of hosts()) {
  const { check, run } = oneShardSuite('time', host);

  // --- sleep ---------------------------------------------------------------------------------------------------------

  check('a sleep is never too short', async () => {
    const measure = async (ms) => {
      const start = performance.now();
      await sleep(ms);
      return performance.now() - start;
    };
    for (const ms of [0, 0.001, 0.1, 0.5, 1, 1.5, 2, 5, 20.25]) {
      for (let i = 0; i < 10; i++) {
        const took = await measure(ms);
        assert.ok(took >= ms, `sleep(${ms}) took ${took} ms`);
      }
    }
    const took = await Promise.all(Array.from({ length: 200 }, (_, i) => measure(i / 10)));
    for (const [i, ms] of took.entries()) assert.ok(ms >= i / 10, `sleep(${i / 10}) took ${ms} ms`);
  });

  check('sleeps end in the order of their deadlines, equal ones in the order of their making', async () => {
    const order = [];
    const delays = [30, 10, 20, 10, 0, 30, 20, 0];
    await Promise.all(delays.map((ms, i) => sleep(ms).then(() => order.push(i))));
    assert.equal(order, [4, 7, 1, 3, 2, 6, 0, 5]);
  });

  check('10,000 sleeps', async (base) => {
    const ends = Array.from({ length: 10_000 }, (_, i) => sleep((i * 7919) % 100));
    assert.is(holdings().timers, base.timers + 10_000);
    await within(Promise.all(ends), 'all of them');
  });

  check('10,000 sleeps, aborted', async (base) => {
    const controller = new AbortController();
    const { signal } = controller;
    setMaxListeners(0, signal);
    const ends = Array.from({ length: 10_000 }, () => sleep(1e9, { signal }).catch((reason) => reason));
    controller.abort('enough');
    assert.equal(new Set(await Promise.all(ends)), new Set(['enough']));
    assert.is(holdings().timers, base.timers);
  });

  check('abort before, during and after', async () => {
    const reason = new Error('own reason');
    assert.is(await rejection(sleep(1e9, { signal: AbortSignal.abort(reason) })), reason);
    const during = new AbortController();
    const waiting = rejection(sleep(1e9, { signal: during.signal }));
    await sleep(1);
    during.abort(reason);
    assert.is(await waiting, reason);
    const after = new AbortController();
    await sleep(1, { signal: after.signal });
    after.abort(reason);
    await sleep(1);
    const byDefault = new AbortController();
    const named = rejection(sleep(1e9, { signal: byDefault.signal }));
    byDefault.abort();
    assert.is((await named).name, 'AbortError');
    assert.is((await rejection(sleep(1e9, { signal: AbortSignal.timeout(5) }))).name, 'TimeoutError');
  });

  check('an abort in the turn in which the sleep ends', async () => {
    for (let i = 0; i < 50; i++) {
      const controller = new AbortController();
      const first = sleep(2).then(() => controller.abort('late'));
      const second = sleep(2, { signal: controller.signal }).catch((reason) => reason);
      await first;
      assert.ok([undefined, 'late'].includes(await second));
    }
  });

  check('delays that are none are refused', () => {
    for (const ms of [-1, -0.001, NaN, Infinity, '5', null, undefined, 8.65e9, {}])
      assert.throws(() => sleep(ms), isOption);
  });

  check('timers of Node go on beside it', async () => {
    const order = [];
    const node = new Promise((resolve) => setTimeout(resolve, 5)).then(() => order.push('node'));
    await Promise.all([sleep(60).then(() => order.push('late')), node, sleep(0).then(() => order.push('early'))]);
    assert.equal(order, ['early', 'node', 'late']);
  });

  check('contexts of AsyncLocalStorage survive every way of waiting', async () => {
    const storage = new AsyncLocalStorage();
    const see = () => storage.getStore();
    const inContext = async (value) => {
      const seen = [];
      await sleep(1);
      seen.push(see());
      seen.push(await timeout(1000, async () => sleep(1).then(see)));
      const ticking = interval(1);
      await ticking.tick();
      seen.push(see());
      for await (const _ of ticking) {
        seen.push(see());
        break;
      }
      seen.push(await new Promise((resolve) => schedule(1, () => resolve(see()))));
      assert.equal(seen, Array(5).fill(value));
    };
    await Promise.all([1, 2, 3].map((value) => storage.run(value, inContext, value)));
    await sleep(1);
    assert.is(see(), undefined);
  });

  // --- timeout -------------------------------------------------------------------------------------------------------

  check('timeout answers what is in time, and takes its timer back', async (base) => {
    assert.is(await timeout(1e6, () => 5), 5);
    assert.is(await timeout(1e6, async () => sleep(1).then(() => 'later')), 'later');
    assert.is(await timeout(1e6, Promise.resolve('a promise')), 'a promise');
    assert.is(await timeout(0, () => 'at once'), 'at once');
    const own = new Error('own');
    const thrower = () => {
      throw own;
    };
    assert.is(await rejection(timeout(1e6, thrower)), own);
    assert.is(await rejection(timeout(1e6, async () => thrower())), own);
    assert.is(await rejection(timeout(1e6, Promise.reject(own))), own);
    assert.is(holdings().timers, base.timers);
  });

  check('a time-out is an error of its own, and aborts the inner signal with it', async () => {
    let inner;
    const start = performance.now();
    const error = await rejection(
      timeout(10, (signal) => {
        inner = signal;
        return sleep(1e6, { signal });
      }),
    );
    assert.ok(performance.now() - start >= 10);
    assert.equal([error.code, error.message], ['FEATHERSTAR_TIMEOUT', 'it took longer than 10 ms']);
    assert.is(inner.reason, error);
    assert.is((await rejection(timeout(1, new Promise(() => {})))).code, 'FEATHERSTAR_TIMEOUT');
  });

  check('the outer signal reaches in, at each stage', async (base) => {
    let calls = 0;
    const before = timeout(1e6, () => calls++, { signal: AbortSignal.abort('before') });
    assert.equal([await rejection(before), calls], ['before', 0]);
    const controller = new AbortController();
    let inner;
    const during = rejection(
      timeout(
        1e6,
        (signal) => {
          inner = signal;
          return sleep(1e6, { signal });
        },
        controller,
      ),
    );
    controller.abort('during');
    assert.is(await during, 'during');
    assert.is(inner.reason, 'during');
    assert.is(holdings().timers, base.timers);
    const after = new AbortController();
    assert.is(await timeout(1e6, () => 'done', after), 'done');
    after.abort('after');
    const within = new AbortController();
    const aborts = timeout(1e6, () => within.abort('by itself'), within);
    assert.is(await rejection(aborts), 'by itself');
  });

  check('what fails for a reason of its own after a time-out is reported', async () => {
    const [text] = await warnings(1, async () => {
      const late = timeout(1, async () => {
        await sleep(20);
        throw new Error('too late');
      });
      assert.is((await rejection(late)).code, 'FEATHERSTAR_TIMEOUT');
    });
    assert.match(text, /^what timeout\(\) had given up failed, and no code awaits it: Error: too late/);
  });

  check('what cannot be timed is refused', () => {
    for (const work of [undefined, null, 5, {}]) assert.throws(() => timeout(5, work), isOption);
    for (const ms of [-1, NaN, '5', null]) assert.throws(() => timeout(ms, () => 5), isOption);
    for (const signal of ['', 5, null, {}]) assert.throws(() => timeout(5, () => 5, { signal }), isOption);
  });

  // --- intervals -----------------------------------------------------------------------------------------------------

  check('ticks come in order, none early, and an iteration ends with close()', async () => {
    const start = performance.now();
    const ticking = interval(2);
    const seen = [];
    for await (const tick of ticking) {
      assert.ok(performance.now() >= start + 2 * tick, `tick ${tick} is early`);
      seen.push(tick);
      if (tick === 5) ticking.close();
    }
    assert.equal([seen, ticking.ticks], [[1, 2, 3, 4, 5], 5]);
    assert.is((await rejection(ticking.tick())).code, 'FEATHERSTAR_CLOSED');
  });

  check('an iteration that is left goes on later; ticks that are asked for together come in order', async () => {
    const ticking = interval(1);
    for await (const tick of ticking) if (tick === 2) break;
    const together = await Promise.all([ticking.tick(), ticking.tick(), ticking.tick()]);
    assert.equal(together, [3, 4, 5]);
    await ticking[Symbol.asyncDispose]();
    assert.is((await rejection(ticking.tick())).code, 'FEATHERSTAR_CLOSED');
  });

  check('close() and signals end a wait for a tick, and leave no timer', async (base) => {
    const closed = interval(1e6);
    const waiting = [rejection(closed.tick()), rejection(closed.tick())];
    const iteration = (async () => {
      for await (const _ of closed) assert.unreachable();
      return 'ended';
    })();
    await until(() => holdings().timers === base.timers + 1, 'it waits');
    closed.close();
    assert.equal(
      (await Promise.all(waiting)).map(({ code }) => code),
      ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED'],
    );
    assert.is(await iteration, 'ended');
    const controller = new AbortController();
    const aborted = interval(1e6, controller);
    const tick = rejection(aborted.tick());
    await sleep(1);
    controller.abort('whole');
    assert.is(await tick, 'whole');
    assert.is(await rejection(aborted.tick()), 'whole');
    const one = new AbortController();
    const goesOn = interval(5);
    const given = rejection(goesOn.tick(one));
    one.abort('this tick');
    assert.is(await given, 'this tick');
    assert.is(await goesOn.tick(), 1);
    assert.is(await rejection(goesOn.tick({ signal: AbortSignal.abort('before') })), 'before');
  });

  const PERIOD = 4;

  /** Ticks of an interval that is held up for ten periods after its second tick: [tick, missed so far, when]. */
  async function stalled(missed, count) {
    const start = performance.now();
    const ticking = interval(PERIOD, { missed });
    const seen = [];
    for (let i = 0; i < count; i++) {
      const tick = await ticking.tick();
      seen.push({ tick, missed: ticking.missedTicks, at: performance.now() - start });
      if (i === 1) spin(10 * PERIOD);
    }
    return seen;
  }

  check('missed: burst gives every tick, the late ones without a wait', async () => {
    const seen = await stalled('burst', 30);
    for (const { tick, at } of seen) assert.ok(at >= tick * PERIOD, `tick ${tick} is early`);
    assert.equal(
      seen.map(({ tick }) => tick),
      Array.from({ length: 30 }, (_, i) => i + 1),
    );
    assert.ok(seen[29].missed >= 9, `${seen[29].missed} missed`);
    const ticking = interval(PERIOD);
    spin(5 * PERIOD);
    const { timers } = holdings();
    const late = [ticking.tick(), ticking.tick(), ticking.tick(), ticking.tick()];
    await Promise.resolve();
    assert.is(holdings().timers, timers);
    assert.equal(await Promise.all(late), [1, 2, 3, 4]);
    assert.ok(ticking.missedTicks >= 4);
  });

  check('missed: skip leaves them out and stays in step', async () => {
    const seen = await stalled('skip', 10);
    assert.ok(seen[2].missed >= 9, `${seen[2].missed} missed`);
    // Ticks that were given and ticks that were left out are all the periods that have gone by.
    for (const { tick, missed, at } of seen) assert.ok(at >= (tick + missed) * PERIOD, `tick ${tick} is early`);
    for (const [i, { tick }] of seen.entries()) assert.is(tick, i + 1);
  });

  check('missed: delay leaves them out and begins anew', async () => {
    const seen = await stalled('delay', 10);
    assert.ok(seen[2].missed >= 9, `${seen[2].missed} missed`);
    const lateAt = seen[1].at + 10 * PERIOD; // the third tick was taken then or later
    assert.ok(seen[3].at >= lateAt + PERIOD, `${seen[3].at} after ${lateAt}`);
  });

  check('intervals that are none are refused', () => {
    for (const ms of [0, -1, NaN, Infinity, '5', null, undefined, 8.65e9, 0.0009]) {
      assert.throws(() => interval(ms), isOption);
    }
    for (const missed of ['', 'late', 5, null]) assert.throws(() => interval(5, { missed }), isOption);
    for (const signal of ['', 5, null, {}]) assert.throws(() => interval(5, { signal }), isOption);
  });

  // --- scheduled callbacks -------------------------------------------------------------------------------------------

  check(
    'callbacks run in the order of their deadlines, equal ones in the order of their making, none early',
    async () => {
      const order = [];
      const start = performance.now();
      const delays = [30, 10, 20, 10, 0, 30, 20, 0];
      const handles = delays.map((ms, i) =>
        schedule(ms, () => {
          assert.ok(performance.now() >= start + ms);
          order.push(i);
        }),
      );
      assert.ok(handles.every((handle) => handle.isPending));
      await until(() => order.length === delays.length, 'all');
      assert.equal(order, [4, 7, 1, 3, 2, 6, 0, 5]);
      for (const handle of handles) assert.equal([handle.isPending, handle.cancel()], [false, false]);
    },
  );

  check('a cancelled callback does not run, and a stale handle cancels nothing', async (base) => {
    const ran = [];
    const handle = schedule(1, () => ran.push('cancelled'));
    assert.equal([handle.cancel(), handle.cancel(), handle.isPending], [true, false, false]);
    schedule(1, () => ran.push('disposed of'))[Symbol.dispose]();
    assert.is(holdings().timers, base.timers);
    schedule(2, () => ran.push('its slot again'));
    assert.is(handle.cancel(), false);
    const controller = new AbortController();
    const bySignal = schedule(1, () => ran.push('aborted'), controller);
    controller.abort();
    assert.is(bySignal.isPending, false);
    assert.throws(() => schedule(1, () => {}, { signal: AbortSignal.abort(new Error('own')) }), /^own$/);
    // All of them are due in one turn, and the first one to run cancels the rest.
    const many = Array.from({ length: 10 }, (_, i) =>
      schedule(3, () => {
        ran.push(i);
        for (const other of many) other.cancel();
      }),
    );
    spin(10);
    await sleep(5);
    assert.equal(ran, ['its slot again', 0]);
  });

  check('what a callback throws is reported, and the shard lives on', async () => {
    const texts = await warnings(2, () => {
      schedule(0, () => {
        throw new Error('in a timer');
      });
      schedule(0, () => Promise.reject('later'));
    });
    assert.match(texts[0], /^a timer callback failed, and no code awaits it: Error: in a timer\n/);
    assert.is(texts[1], 'a timer callback failed, and no code awaits it: later');
    assert.is(await spawn(() => 'goes on'), 'goes on');
  });

  check('bad arguments of schedule()', () => {
    for (const ms of [-1, NaN, '5', null]) assert.throws(() => schedule(ms, () => {}), isOption);
    for (const fn of [undefined, null, 5]) assert.throws(() => schedule(1, fn), isOption);
  });

  check('the coarse clock goes on, never back, and is never ahead', async () => {
    let last = now();
    for (let i = 0; i < 10; i++) {
      const start = now();
      await sleep(3);
      const gone = now() - start;
      assert.ok(gone >= 3, `${gone}`);
      assert.ok(now() >= last);
      last = now();
    }
  });

  run();

  const COUNT = 1_000_000;
  const million = oneShardSuite('a million timers', host, { limits: { timerSlots: COUNT + 1000 } });

  million.check('a third is cancelled, the rest all run, none early', async (base) => {
    const due = new Float64Array(COUNT);
    const runs = new Uint8Array(COUNT);
    let early = 0;
    let done = 0;
    const fire = (i) => {
      if (performance.now() < due[i]) early++;
      runs[i]++;
      done++;
    };
    const handles = Array.from({ length: COUNT }, (_, i) => {
      const ms = (i * 7919) % 2000; // they are pending together all the same: no turn comes in between
      due[i] = performance.now() + ms;
      return schedule(ms, () => fire(i));
    });
    assert.is(holdings().timers, base.timers + COUNT);
    let cancelled = 0;
    for (let i = 0; i < COUNT; i += 3) cancelled += handles[i].cancel() ? 1 : 0;
    assert.is(cancelled, Math.ceil(COUNT / 3));
    assert.is(holdings().timers, base.timers + COUNT - cancelled);
    await until(() => done === COUNT - cancelled, 'all that are left', 60_000);
    assert.is(early, 0);
    assert.ok(runs.every((count, i) => count === (i % 3 === 0 ? 0 : 1)));
    assert.ok(handles.every((handle) => handle.cancel() === false));
  });

  million.run();
}
