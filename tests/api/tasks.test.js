// Tasks, through the public surface: spawn and its handle, groups and their shares. Sets of them: task-sets.test.js.

import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maybeYield, Runtime, runtime, schedulingGroup, sleep, spawn, TaskBuilder, yieldNow } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { monotonicNs, useClock } from '../../dist/host/hosts/host.js';
import { currentShard } from '../../dist/host/shard/shard.js';
import { readStep } from '../../dist/host/shard/stall.js';
import { JoinHandle } from '../../dist/host/tasks/join-handle.js';
import { back, holdings, hosts, oneShardSuite, rejection, warnings } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const module = new URL('../support/task-module.js', import.meta.url);
const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';
const turnOf = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Runs `use` with a clock that only `pass(ns)` moves on, so that who gets how much time is exact. The clocks change
 * where no task runs, or it would be charged. Afterwards the real one has to catch up: the wheel never goes back.
 */
async function withClock(use) {
  await turnOf();
  let nowNs = monotonicNs();
  useClock(() => nowNs);
  try {
    await use((ns) => {
      nowNs += ns;
    });
  } finally {
    await turnOf();
    useClock(undefined);
    await until(() => monotonicNs() > nowNs, 'the real clock catches up');
  }
}

for (const host of hosts()) {
  const { check, run } = oneShardSuite('tasks', host, { stallMs: 0 });

  // --- spawn ---------------------------------------------------------------------------------------------------------

  check('spawn answers what the task answers', async () => {
    assert.is(await spawn(() => 42), 42);
    assert.is(await spawn(() => sleep(1).then(() => 'later')), 'later');
    assert.is(await spawn(() => undefined), undefined);
    const handle = spawn(function named() {
      return sleep(1);
    });
    assert.ok(handle instanceof JoinHandle);
    assert.equal([handle.name, handle.isFinished], ['named', false]);
    await handle;
    assert.ok(handle.isFinished);
    assert.is(spawn(() => 1, { name: 'given' }).name, 'given');
    assert.is(spawn(() => 1).name, 'task');
    await turnOf();
  });

  check('a handle has catch() and finally(), and both count as awaiting it', async () => {
    const failing = () => {
      throw new Error('no');
    };
    let ends = 0;
    const count = () => void ends++;
    const texts = await warnings(0, async () => {
      assert.is(await spawn(failing).catch(({ message }) => message), 'no');
      assert.is(await spawn(() => 1).catch(() => 2), 1);
      assert.is(await spawn(() => 3).finally(count), 3);
      assert.is((await rejection(spawn(failing).finally(count))).message, 'no');
      await turnOf();
    });
    assert.is(ends, 2);
    assert.not.ok(texts.some((text) => text.includes('nobody awaits')));
  });

  check('a task starts later, not in the frame of its spawn, and tasks start in order', async (base) => {
    const order = [];
    const tasks = Array.from({ length: 1000 }, (_, i) => spawn(() => order.push(i)));
    assert.equal(order, []);
    assert.is(holdings().tasks, base.tasks + 1000);
    await Promise.all(tasks);
    assert.equal(
      order,
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  check('a task that fails rejects its handle', async () => {
    const own = new Error('own');
    const thrower = () => {
      throw own;
    };
    assert.is(await rejection(spawn(thrower)), own);
    assert.is(await rejection(spawn(async () => thrower())), own);
    const handle = spawn(thrower);
    await rejection(handle);
    assert.ok(handle.isFinished);
    assert.is(await spawn(() => 'goes on'), 'goes on');
  });

  check('a failure that nobody awaits is a warning that names the task, and the shard lives on', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const texts = await warnings(3, () => {
      spawn(() => Promise.reject(new Error('nobody')), { name: 'first' });
      spawn(function second() {
        throw 'sees it'; // any value may be thrown
      });
      spawn(() => Promise.reject(proxy), { name: 'third' });
    });
    assert.match(texts[0], /^task "first" failed, and no code awaits it: Error: nobody\n {4}at /);
    assert.is(texts[1], 'task "second" failed, and no code awaits it: sees it');
    assert.is(texts[2], 'task "third" failed, and no code awaits it: a value without a text');
    assert.is(await spawn(() => 'goes on'), 'goes on');
  });

  check('scheduling groups: 0 to 15, all of them run', async () => {
    const ran = await Promise.all(Array.from({ length: 16 }, (_, group) => spawn(() => group, { group })));
    assert.equal(
      ran,
      Array.from({ length: 16 }, (_, group) => group),
    );
    for (const group of [-1, 16, 0.5, NaN, '0', null]) assert.throws(() => spawn(() => 1, { group }), isOption);
    for (const fn of [undefined, null, 5, {}]) assert.throws(() => spawn(fn), isOption);
  });

  check('yieldNow lets tasks, timers and I/O run', async () => {
    const order = [];
    const run = (name) => async () => {
      for (let i = 0; i < 3; i++) {
        order.push(name + i);
        await yieldNow();
      }
    };
    await Promise.all([spawn(run('a')), spawn(run('b')), spawn(run('c'))]);
    assert.equal(order, ['a0', 'b0', 'c0', 'a1', 'b1', 'c1', 'a2', 'b2', 'c2']);

    let isOver = false;
    let rounds = 0;
    const busy = spawn(async () => {
      while (!isOver) {
        rounds++;
        await yieldNow();
      }
    });
    await within(sleep(5), 'a timer beside a busy task');
    await within(new Promise((resolve) => setTimeout(resolve, 5)), "a timer of Node's beside a busy task");
    await within(turnOf(), 'an immediate beside a busy task');
    isOver = true;
    await busy;
    assert.ok(rounds > 1);
  });

  check('more tasks than fit are refused, and those that fit run', async () => {
    const { taskSlots } = (await import('../../dist/host/core/core.js')).DEFAULT_LIMITS;
    const tasks = Array.from({ length: taskSlots + 10 }, () =>
      spawn(() => 'ran').then(
        (value) => value,
        ({ code }) => code,
      ),
    );
    const ends = await within(Promise.all(tasks), 'all tasks');
    assert.is(ends.filter((end) => end === 'FEATHERSTAR_FULL').length, 10);
    assert.is(ends.filter((end) => end === 'ran').length, taskSlots);
  });

  // --- the handle ----------------------------------------------------------------------------------------------------

  check('a handle has a number, and its function a context', async () => {
    const [first, second] = [spawn(() => 1), spawn(() => 2)];
    assert.is(second.id, first.id + 1);
    await Promise.all([first, second]);
    const seen = await spawn(({ name, group, signal }) => [name, group, signal.aborted], { name: 'named', group: 3 });
    assert.equal(seen, ['named', 3, false]);
    for (const name of [5, null, {}]) assert.throws(() => spawn(() => 1, { name }), isOption);
    for (const signal of ['', 5, null, {}]) assert.throws(() => spawn(() => 1, { signal }), isOption);
  });

  check('abort before the start: it never runs', async () => {
    let runs = 0;
    const handle = spawn(() => runs++);
    handle.abort();
    const error = await rejection(handle);
    assert.equal([error.code, handle.isFinished], ['FEATHERSTAR_ABORTED', false]);
    await handle.ended;
    assert.equal([runs, handle.isFinished], [0, true]);
    assert.is(await rejection(spawn(() => runs++, { signal: AbortSignal.abort('before') })), 'before');
    const controller = new AbortController();
    const queued = spawn(() => runs++, controller);
    controller.abort('in the queue');
    assert.is(await rejection(queued), 'in the queue');
    await queued.ended;
    assert.is(runs, 0);
  });

  check('abort of a task that runs: the handle at once, the signal too, and the end when it comes', async (base) => {
    const steps = [];
    const handle = spawn(async ({ signal }) => {
      await sleep(1e6, { signal }).catch((reason) => steps.push(reason));
      await sleep(5);
      steps.push('tidied up');
    });
    await until(() => holdings().timers === base.timers + 1, 'it sleeps');
    handle.abort('enough');
    handle.abort('twice');
    assert.is(await rejection(handle), 'enough');
    assert.is(handle.isFinished, false);
    await handle.ended;
    assert.equal([handle.isFinished, steps], [true, ['enough', 'tidied up']]);
    handle.abort('after');
    const done = spawn(() => 'done');
    await done.ended;
    done.abort('too late');
    assert.is(await done, 'done');
  });

  check('an endless loop that yields by its context ends with an abort', async () => {
    let rounds = 0;
    const handle = spawn(async ({ yieldNow: own }) => {
      for (;;) {
        rounds++;
        await own();
      }
    });
    await until(() => rounds > 10, 'it runs');
    handle.abort();
    await rejection(handle);
    await within(handle.ended, 'its end');
  });

  check('an aborted task that nobody awaits is no warning; one that fails for another reason is', async () => {
    const texts = await warnings(1, async () => {
      spawn(({ signal }) => sleep(1e6, { signal })).abort();
      const quiet = spawn(({ signal }) => sleep(1e6, { signal }));
      let loud;
      await new Promise((begun) => {
        const fn = ({ signal }) => {
          begun();
          return sleep(1e6, { signal }).finally(() => Promise.reject('broken'));
        };
        loud = spawn(fn, { name: 'loud' });
      });
      quiet.abort();
      loud.abort();
      await Promise.all([quiet.ended, loud.ended]);
      await turnOf();
    });
    assert.equal(texts, ['task "loud" failed, and no code awaits it: broken']);
  });

  check('listeners leave the signal that was given', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args) => {
      listeners++;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args) => {
      listeners--;
      removeEventListener.apply(signal, args);
    };
    await spawn(() => sleep(1, { signal }), { signal });
    await rejection(spawn(() => Promise.reject('no'), { signal }));
    assert.is(listeners, 0);
  });

  check('contexts of AsyncLocalStorage survive spawn and every yield', async () => {
    const storage = new AsyncLocalStorage();
    const inContext = async (value) => {
      const seen = await spawn(async ({ yieldNow: own }) => {
        const stores = [storage.getStore()];
        await yieldNow();
        stores.push(storage.getStore());
        await own();
        stores.push(storage.getStore());
        stores.push(await spawn(() => storage.getStore()));
        return stores;
      });
      assert.equal(seen, Array(4).fill(value));
    };
    await Promise.all([1, 2, 3].map((value) => storage.run(value, inContext, value)));
  });

  // --- yielding ------------------------------------------------------------------------------------------------------

  check('yieldNow takes a signal', async () => {
    assert.is(await rejection(yieldNow({ signal: AbortSignal.abort('before') })), 'before');
    const controller = new AbortController();
    const waiting = rejection(yieldNow(controller));
    controller.abort('queued');
    assert.is(await waiting, 'queued');
    assert.throws(() => yieldNow({ signal: 5 }), isOption);
  });

  check('maybeYield answers at once until the time of a turn is used up', async () => {
    await withClock((pass) =>
      spawn(async () => {
        assert.is(maybeYield(), undefined);
        pass(499_000);
        assert.is(maybeYield(), undefined);
        pass(2000);
        const other = spawn(() => 'ran');
        await maybeYield();
        assert.ok(other.isFinished);
        assert.is(maybeYield(), undefined);
        assert.is(await rejection(maybeYield({ signal: AbortSignal.abort('no') })), 'no');
      }),
    );
  });

  // --- groups --------------------------------------------------------------------------------------------------------

  check('scheduling groups have names', async () => {
    const group = schedulingGroup('a name', { shares: 7 });
    assert.is(schedulingGroup('a name'), group);
    assert.equal([group.name, group.shares], ['a name', 7]);
    schedulingGroup('a name', { shares: 8 });
    assert.is(group.shares, 8);
    assert.is(await spawn(({ group: id }) => id, { group }), group.id);
    for (const shares of [0, 1001, 0.5, NaN, '5', null]) {
      assert.throws(() => schedulingGroup('a name', { shares }), isOption);
      assert.throws(() => schedulingGroup('refused', { shares }), isOption);
    }
    for (const name of ['', 5, null, undefined]) assert.throws(() => schedulingGroup(name), isOption);
    assert.is(group.shares, 8);
  });

  /** How often each of two endless loops comes round, when a round takes `ns[i]`, until time is up. */
  async function compete(shares, ns, round) {
    const counts = [0, 0];
    await withClock(async (pass) => {
      let left = 200e6;
      const loop = (i) => async (context) => {
        while (left > 0) {
          await round(context, () => {
            counts[i]++;
            left -= ns[i];
            pass(ns[i]);
          });
        }
      };
      const groups = shares.map((of, i) => schedulingGroup(`compete ${i}`, { shares: of }));
      await Promise.all(groups.map((group, i) => spawn(loop(i), { group, name: `loop ${i}` })));
    });
    return counts;
  }

  const ROUNDS = {
    'by yieldNow': async (_, work) => {
      work();
      await yieldNow();
    },
    'by the context, behind nested functions': async ({ yieldNow: own }, work) => {
      const inner = async () => {
        await null;
        work();
        await (async () => {
          await null;
          await own();
        })();
      };
      await inner();
    },
    'by yieldNow, in microtasks of microtasks': async (_, work) => {
      for (let i = 0; i < 20; i++) await null;
      await Promise.all([null, Promise.resolve().then(work)]);
      await (async () => yieldNow())();
    },
  };

  for (const [name, round] of Object.entries(ROUNDS)) {
    check(`shares of 1 : 3 are time of 1 : 3, ${name}`, async () => {
      for (const ns of [
        [20_000, 20_000],
        [60_000, 20_000],
        [10_000, 150_000],
      ]) {
        const [one, three] = await compete([100, 300], ns, round);
        const ratio = (three * ns[1]) / (one * ns[0]);
        assert.ok(Math.abs(ratio / 3 - 1) < 0.05, `${ratio} for rounds of ${ns} ns`);
      }
    });
  }

  check('new shares hold from then on', async () => {
    const [one, other] = await compete([100, 100], [20_000, 20_000], ROUNDS['by yieldNow']);
    assert.ok(Math.abs(one / other - 1) < 0.05, `${one} and ${other}`);
  });

  check('whoever awaited a task of a group goes on in its own', async () => {
    const group = schedulingGroup('compete 0');
    await spawn(async () => {
      await spawn(() => yieldNow(), { group });
      assert.is(currentShard().steps.current.group, 0);
    });
    assert.is(currentShard().steps.current.group, 0);
  });

  check('groups are used up', () => {
    const made = () => {
      for (let i = 0; i < 20; i++) schedulingGroup(`group ${i}`);
    };
    assert.throws(made, (error) => error.code === 'FEATHERSTAR_FULL');
  });

  run();

  // In a runtime of its own: on a busy machine other steps take long too, and only a few warnings come in a minute.
  const watched = oneShardSuite('tasks, stallMs', host, { stallMs: 25 });

  watched.check('a step that takes too long is named', async () => {
    const texts = await warnings(1, () =>
      spawn(
        async () => {
          await null;
          for (const end = performance.now() + 40; performance.now() < end; );
        },
        { name: 'hog' },
      ),
    );
    assert.match(texts.at(-1), /^task "hog"( and who awaited it)? kept shard 0 for \d+ ms without a yield/);
  });

  watched.run();

  // --- what an exception does ----------------------------------------------------------------------------------------

  const strict = oneShardSuite("tasks, unhandled: 'throw'", host, { unhandled: 'throw' });

  strict.check('a failure that nobody awaits is an uncaught exception, and tasks go on behind it', async () => {
    const own = new Error('own');
    const caught = new Promise((resolve) => process.once('uncaughtException', resolve));
    spawn(() => Promise.reject(own));
    assert.is(await within(caught, 'the exception'), own);
    assert.is(
      await within(
        spawn(() => 'goes on'),
        'a task',
      ),
      'goes on',
    );
  });

  strict.check('an exception in a microtask of a step puts the run off, no more', async () => {
    const own = new Error('in a microtask');
    const caught = new Promise((resolve) => process.once('uncaughtException', resolve));
    const tasks = Array.from({ length: 10 }, (_, i) =>
      spawn(async () => {
        if (i === 3) {
          queueMicrotask(() => {
            throw own;
          });
        }
        await yieldNow();
        return i;
      }),
    );
    assert.is(await within(caught, 'the exception'), own);
    assert.equal(await within(Promise.all(tasks), 'all tasks'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  strict.run();

  // --- several shards ------------------------------------------------------------------------------------------------

  for (const shards of [1, 2, 4]) {
    const test = suite(`tasks (${host}, ${shards} shards)`);
    const last = shards - 1;
    let here;
    let base;

    test.before(async () => {
      here = await within(Runtime.start({ host, shards, module }), 'start');
      base = holdings();
    });
    test.after(() => within(here.close(), 'close'));

    test('every shard has all of it', async () => {
      const sum = (99 * 100) / 2;
      assert.equal(
        await within(here.onAll().everything(), 'all shards'),
        Array.from({ length: shards }, (_, self) => ({ self, sum, ticks: [1, 2, 3], reason: 'enough' })),
      );
      await back(base);
    });

    test('TaskBuilder', async () => {
      const group = schedulingGroup('built');
      const builder = new TaskBuilder().name('built').group(group);
      const handle = builder.spawn(({ name, group: id }) => [name, id]);
      assert.is(handle.name, 'built');
      assert.equal(await handle, ['built', group.id]);
      assert.is(await rejection(new TaskBuilder().signal(AbortSignal.abort('no')).spawn(() => 1)), 'no');
      const remote = builder.spawn(() => runtime().on(last).add(1, 2, 3));
      assert.equal([remote.name, await remote, remote.isFinished], ['built', 6, true]);
      assert.is((await rejection(builder.spawn(() => runtime().on(last).fails()))).message, 'on the other shard');
      assert.throws(() => builder.spawn('add'), isOption);
      await back(base);
    });

    if (last !== 0) {
      test('a task that never yields is named where other shards can read it', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
        const path = join(folder, 'go');
        const { memory, header } = currentShard();
        try {
          for (const name of ['hog', `${'ä'.repeat(100)}`]) {
            rmSync(path, { force: true });
            const held = here.on(last).hold(name, path);
            await until(() => readStep(memory, header, last) !== undefined, 'it is seen');
            const { name: seen, startNs } = readStep(memory, header, last);
            assert.is(seen, name.slice(0, 56)); // 112 bytes
            assert.ok(startNs > 0);
            assert.is(
              await within(
                spawn(() => 'not held up'),
                'a task here',
              ),
              'not held up',
            );
            writeFileSync(path, '');
            assert.is(await within(held, 'its end'), 'let go');
            await until(() => readStep(memory, header, last) === undefined, 'it is over');
          }
        } finally {
          writeFileSync(path, '');
          rmSync(folder, { recursive: true });
        }
        await back(base);
      });
    }

    test.run();
  }
}
