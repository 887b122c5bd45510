// The shard module of tests/api/sync-*.test.js: scenarios that run inside each shard. One that fails throws there.

import {
  CancellationToken,
  Channel,
  Condvar,
  Event,
  Mutex,
  maxConcurrent,
  parallelForEach,
  RwLock,
  Semaphore,
  select,
  sleep,
} from 'featherstar';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from '../http/random.js';
import { holdings, rejection } from './hosts.js';
import { until } from './http.js';

const own = new Error('own reason');
const isOption = (error) => error.code === 'FEATHERSTAR_OPTION';
const tick = () => new Promise((resolve) => setImmediate(resolve));
const codeOf = async (promise) => (await rejection(promise)).code;

/** Notes `name` when the promise is there, and passes the value on. */
const noting = (order, name, promise) =>
  promise.then((value) => {
    order.push(name);
    return value;
  });

/** A signal that counts its listeners. */
function counted() {
  const controller = new AbortController();
  const { signal } = controller;
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
  return { signal, abort: (reason = own) => controller.abort(reason), listeners: () => listeners };
}

/** The ways to end a wait, on anything that waits: `wait(options)` must wait, and `waiting()` count who does. */
async function eachWayToGiveUp(wait, waiting) {
  const before = AbortSignal.abort(own);
  assert.is(await rejection(wait({ signal: before })), own);
  const { signal, abort, listeners } = counted();
  const aborted = rejection(wait({ signal, timeoutMs: 100_000 }));
  assert.equal([waiting(), listeners()], [1, 1]);
  abort();
  assert.equal([waiting(), listeners()], [0, 0]);
  assert.is(await aborted, own);
  const start = performance.now();
  assert.is(await codeOf(wait({ timeoutMs: 5 })), 'FEATHERSTAR_TIMEOUT');
  assert.ok(performance.now() - start >= 5);
  assert.is(waiting(), 0);
  for (const timeoutMs of [-1, Number.NaN, '5', 8.64e9 + 1, null]) {
    assert.ok(isOption(await rejection((async () => wait({ timeoutMs }))())), String(timeoutMs));
  }
  assert.ok(isOption(await rejection((async () => wait({ signal: {} }))())));
  assert.is(waiting(), 0);
}

export const scenarios = {
  async 'semaphore: units, order, nobody overtakes'() {
    const semaphore = new Semaphore(3);
    const order = [];
    const first = await semaphore.acquire({ units: 2 });
    const take = (name, units) => noting(order, name, semaphore.acquire({ units }));
    const big = take('big', 3);
    const small = take('small', 1);
    assert.equal([semaphore.available, semaphore.waiting], [1, 2]);
    assert.is(semaphore.tryAcquire(), undefined, 'not past those who wait');
    await tick();
    assert.equal(order, []);
    first.release();
    first.release();
    assert.is(semaphore.available, 0, 'granted in the frame of the release, and released once');
    (await big).release();
    (await small)[Symbol.dispose]();
    assert.equal(order, ['big', 'small']);
    assert.is(semaphore.available, 3);
    const guard = semaphore.tryAcquire({ units: 3 });
    assert.equal([guard.units, guard.isHeld, semaphore.tryAcquire()], [3, true, undefined]);
    await eachWayToGiveUp(
      (options) => semaphore.acquire(options),
      () => semaphore.waiting,
    );
    guard.release();
    for (const units of [0, 4, 1.5, '1', null]) assert.throws(() => semaphore.acquire({ units }), isOption);
    for (const units of [0, -1, 2 ** 31, Number.NaN]) assert.throws(() => new Semaphore(units), isOption);
    for (const maxWaiters of [0, 2 ** 30, '5']) assert.throws(() => new Semaphore(1, { maxWaiters }), isOption);
  },

  async 'semaphore: a big one that gives up lets the small ones behind it go'() {
    const semaphore = new Semaphore(3);
    const guard = await semaphore.acquire();
    const { signal, abort } = counted();
    const big = rejection(semaphore.acquire({ units: 3, signal }));
    const late = rejection(semaphore.acquire({ units: 3, timeoutMs: 2 }));
    const small = semaphore.acquire({ units: 2 });
    abort();
    assert.is(await big, own);
    assert.is((await late).code, 'FEATHERSTAR_TIMEOUT');
    (await small).release();
    guard.release();
    assert.is(semaphore.available, 3);
  },

  async 'semaphore: two times are over in one turn, and the first to go makes room for the second'() {
    const semaphore = new Semaphore(3);
    const guard = await semaphore.acquire();
    const big = codeOf(semaphore.acquire({ units: 3, timeoutMs: 1 }));
    const small = semaphore.acquire({ units: 2, timeoutMs: 1 });
    const until = performance.now() + 3;
    while (performance.now() < until);
    assert.is(await big, 'FEATHERSTAR_TIMEOUT');
    (await small).release();
    await tick();
    assert.equal([semaphore.available, semaphore.waiting], [2, 0]);
    guard.release();
  },

  async 'semaphore: an abort after the grant loses no unit'() {
    const semaphore = new Semaphore(1);
    const guard = await semaphore.acquire();
    const { signal, abort, listeners } = counted();
    let ran = false;
    const used = rejection(semaphore.use(() => (ran = true), { signal }));
    const acquired = semaphore.acquire({ signal: AbortSignal.any([signal]) });
    guard.release();
    abort();
    assert.is(await used, own);
    assert.equal([ran, listeners()], [false, 0]);
    // The one behind had to give up: it was not granted yet.
    assert.is(await rejection(acquired), own);
    assert.is(semaphore.available, 1);
    const held = await semaphore.acquire();
    const racing = semaphore.acquire({ timeoutMs: 1 });
    const until = performance.now() + 3;
    while (performance.now() < until); // the time is over, but it was not reported yet
    held.release();
    assert.ok((await racing).isHeld, 'the grant came first');
    assert.is(await semaphore.use(() => 'no unit', { timeoutMs: 0 }).catch(({ code }) => code), 'FEATHERSTAR_TIMEOUT');
    (await racing).release();
    assert.is(await semaphore.use(async () => semaphore.available), 0);
    assert.is(await rejection(semaphore.use(() => Promise.reject(own))), own);
    assert.is(semaphore.available, 1);
  },

  async 'semaphore: limits and closing'() {
    const semaphore = new Semaphore(1, { maxWaiters: 2, name: 'the pool' });
    const guard = await semaphore.acquire();
    const waits = [semaphore.acquire(), semaphore.acquire()].map((promise) => codeOf(promise));
    const full = await rejection(semaphore.acquire());
    assert.is(full.code, 'FEATHERSTAR_FULL');
    assert.match(full.message, /the pool.*maxWaiters/);
    semaphore.close();
    assert.equal(await Promise.all(waits), ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED']);
    assert.is(await codeOf(semaphore.acquire({ signal: AbortSignal.abort() })), 'FEATHERSTAR_CLOSED');
    assert.throws(() => semaphore.tryAcquire(), /the pool is closed/);
    guard.release();
    assert.equal([semaphore.available, semaphore.waiting, semaphore.isClosed], [1, 0, true]);
    const broken = new Semaphore(1);
    broken.close(own);
    broken.close(new Error('later'));
    assert.is(await rejection(broken.acquire()), own);
    await new Semaphore(1)[Symbol.asyncDispose]();
    const usual = new Semaphore(1);
    const last = await usual.acquire();
    const all = Array.from({ length: 65_536 }, () => usual.acquire().then((taken) => taken.release()));
    assert.is(await codeOf(usual.acquire()), 'FEATHERSTAR_FULL', 'the usual limit');
    last.release();
    await Promise.all(all);
    assert.equal([usual.available, usual.waiting], [1, 0]);
  },

  async 'semaphore: random, against a list'() {
    for (let seed = SEED; seed < SEED + 20; seed++) await randomSemaphore(randomFrom(seed), seed);
  },

  async mutex() {
    const mutex = new Mutex();
    const order = [];
    const run = (name) =>
      mutex.withLock(async () => {
        order.push(`${name} in`);
        await tick();
        order.push(`${name} out`);
      });
    await Promise.all([run('a'), run('b')]);
    assert.equal(order, ['a in', 'a out', 'b in', 'b out']);
    const guard = mutex.tryLock();
    assert.equal([mutex.isLocked, mutex.tryLock()], [true, undefined]);
    await eachWayToGiveUp(
      (options) => mutex.lock(options),
      () => mutex.waiting,
    );
    guard.release();
    assert.is(mutex.isLocked, false);
    mutex.close();
    assert.is(await codeOf(mutex.lock()), 'FEATHERSTAR_CLOSED');
  },

  async 'rwlock: readers together, writers alone and not starved'() {
    const lock = new RwLock();
    const order = [];
    const readers = [await lock.read(), await lock.read()];
    assert.equal([lock.readers, lock.isWriting, lock.tryWrite()], [2, false, undefined]);
    const writer = noting(order, 'w', lock.write());
    const behind = noting(order, 'r', lock.read());
    assert.is(lock.tryRead(), undefined, 'not past the writer');
    readers[0].release();
    await tick();
    assert.equal(order, []);
    readers[1].release();
    assert.equal([lock.isWriting, lock.readers, lock.waiting], [true, 0, 1]);
    (await writer).release();
    (await behind).release();
    assert.equal(order, ['w', 'r']);
    const held = lock.tryWrite();
    for (const wait of [(options) => lock.read(options), (options) => lock.write(options)]) {
      await eachWayToGiveUp(wait, () => lock.waiting);
    }
    held.release();
    let inside = 0;
    let isAlone = true;
    const random = randomFrom(SEED);
    const reader = async () => {
      inside++;
      await tick();
      inside--;
    };
    const alone = async () => {
      if (inside !== 0) isAlone = false;
      await reader();
    };
    const work = Array.from({ length: 200 }, () => (random(3) === 0 ? lock.withWrite(alone) : lock.withRead(reader)));
    await Promise.all(work);
    assert.equal([isAlone, inside, lock.readers], [true, 0, 0]);
    lock.close(own);
    assert.is(await rejection(lock.withRead(() => 1)), own);
  },

  async event() {
    const event = new Event();
    await eachWayToGiveUp(
      (options) => event.wait(options),
      () => event.waiting,
    );
    const waits = [event.wait(), event.wait({ timeoutMs: 100_000 })];
    assert.equal([event.isSet, event.waiting], [false, 2]);
    event.set();
    event.reset();
    await Promise.all(waits);
    const again = codeOf(event.wait());
    event.close();
    assert.is(await again, 'FEATHERSTAR_CLOSED');
    const set = new Event();
    set.set();
    await set.wait({ timeoutMs: 0 });
    assert.is(await rejection(set.wait({ signal: AbortSignal.abort(own) })), own);
  },

  async 'condvar: with a guard and without'() {
    const condvar = new Condvar();
    const mutex = new Mutex();
    const order = [];
    const waiter = async (name) => {
      const guard = await mutex.lock();
      await condvar.wait(guard);
      assert.ok(guard.isHeld && mutex.isLocked);
      order.push(name);
      await tick();
      guard.release();
    };
    const all = ['a', 'b', 'c'].map(waiter);
    await tick();
    assert.equal([condvar.waiting, mutex.isLocked], [3, false]);
    assert.ok(condvar.notifyOne());
    await all[0];
    assert.equal(order, ['a']);
    assert.is(condvar.notifyAll(), 2);
    await Promise.all(all);
    assert.equal([order, condvar.notifyOne(), mutex.isLocked], [['a', 'b', 'c'], false, false]);
    await eachWayToGiveUp(
      (options) => condvar.wait(undefined, options),
      () => condvar.waiting,
    );
    const guard = await mutex.lock();
    assert.is(await codeOf(condvar.wait(guard, { timeoutMs: 1 })), 'FEATHERSTAR_TIMEOUT');
    assert.equal([guard.isHeld, mutex.isLocked], [false, false]);
    assert.ok(isOption(await rejection(condvar.wait(guard))), 'a guard that is not held');
    condvar.close();
    assert.is(await codeOf(condvar.wait()), 'FEATHERSTAR_CLOSED');
  },

  async 'condvar: a notification is not lost with the one it woke'() {
    const condvar = new Condvar();
    const mutex = new Mutex();
    const { signal, abort } = counted();
    const first = rejection(condvar.wait(await mutex.lock(), { signal }));
    const second = condvar.wait(await mutex.lock());
    const holder = await mutex.lock();
    condvar.notifyOne();
    await tick();
    assert.equal([mutex.waiting, condvar.waiting], [1, 1], 'the first one waits for the lock');
    abort();
    assert.is(await first, own);
    holder.release();
    await second;
    assert.ok(mutex.isLocked);
  },

  async 'cancellation token'() {
    const token = new CancellationToken();
    const child = token.child();
    const other = token.child();
    other.cancel(own);
    assert.equal([token.isCancelled, other.isCancelled, other.reason], [false, true, own]);
    assert.is(await token.cancellable(Promise.resolve(5)), 5);
    assert.is(await token.cancellable(async (signal) => signal), token.signal);
    assert.is(await rejection(token.cancellable(() => Promise.reject(own))), own);
    const pending = rejection(child.cancellable(new Promise(() => {})));
    const slept = rejection(token.cancellable((signal) => sleep(100_000, { signal })));
    const alone = token.child();
    alone[Symbol.dispose]();
    child.throwIfCancelled();
    token.cancel();
    token.cancel(own);
    assert.equal([child.isCancelled, child.reason, alone.isCancelled], [true, token.reason, false]);
    assert.equal([(await pending).code, (await slept).code], ['FEATHERSTAR_ABORTED', 'FEATHERSTAR_ABORTED']);
    assert.throws(() => token.throwIfCancelled(), /the token was cancelled/);
    let ran = false;
    assert.is(await rejection(token.cancellable(() => (ran = true))), token.reason);
    assert.is(await rejection(token.cancellable(Promise.reject(own))), token.reason);
    assert.equal([ran, token.child().reason], [false, token.reason]);
    assert.throws(() => token.cancellable(5), isOption);
  },

  async 'select: the first wins, the others have ended'() {
    const ended = [];
    const slow = (name) => async (signal) => {
      const error = await rejection(sleep(100_000, { signal }));
      ended.push(name, error.code);
      throw error;
    };
    const result = await select({ a: slow('a'), b: () => sleep(1).then(() => 'b'), c: slow('c') });
    assert.equal([result.key, result.value, Object.keys(result.others)], ['b', 'b', ['a', 'c']]);
    assert.equal(ended, ['a', 'FEATHERSTAR_ABORTED', 'c', 'FEATHERSTAR_ABORTED']);
    const one = new Channel({ capacity: 1 });
    const two = new Channel({ capacity: 1 });
    one.trySend(1);
    two.trySend(2);
    const both = await select({
      one: (signal) => one.receive({ signal }),
      two: (signal) => two.receive({ signal }),
    });
    assert.equal([both.key, both.value, both.others.two], ['one', 1, { status: 'fulfilled', value: 2 }]);
    assert.is(await rejection(select({ a: slow('a'), b: () => Promise.reject(own) })), own);
    const thrower = () => {
      throw own;
    };
    assert.is(await rejection(select({ a: slow('a'), thrower })), own);
    const { signal, abort, listeners } = counted();
    const aborted = rejection(select({ a: slow('a') }, { signal }));
    await tick();
    abort();
    assert.is(await aborted, own);
    assert.is(await rejection(select({ a: slow('a') }, { signal })), own);
    const ok = counted();
    await select({ a: () => 1 }, { signal: ok.signal });
    assert.is(ok.listeners(), 0);
    assert.ok(listeners() <= 1); // its own abort has removed it
    for (const branches of [{}, undefined, { a: 1 }]) assert.ok(isOption(await rejection(select(branches))));
  },

  async 'parallelForEach: all start, all end, then the first error'() {
    const log = [];
    const body = async (n) => {
      log.push(`${n} begins`);
      await sleep(n === 2 ? 0 : 1);
      log.push(`${n} ends`);
      if (n !== 1) throw new Error(`failed ${n}`);
    };
    assert.is((await rejection(parallelForEach([1, 2, 3], body))).message, 'failed 2');
    assert.equal(log.slice(0, 3), ['1 begins', '2 begins', '3 begins']);
    assert.is(log.length, 6);
    async function* items() {
      yield* [1, 2];
      throw own;
    }
    let ended = 0;
    assert.is(await rejection(parallelForEach(items(), () => tick().then(() => ended++))), own);
    assert.is(ended, 2);
    await parallelForEach(new Set(), () => assert.unreachable());
    const { signal, abort, listeners } = counted();
    const aborted = rejection(parallelForEach([1, 2], (_, inner) => sleep(100_000, { signal: inner }), { signal }));
    abort();
    assert.is(await aborted, own);
    assert.equal([await rejection(parallelForEach([1], () => 1, { signal })), listeners()], [own, 0]);
    for (const bad of [undefined, 5, {}]) assert.ok(isOption(await rejection(parallelForEach(bad, () => 1))));
    assert.ok(isOption(await rejection(parallelForEach([]))));
  },

  async 'maxConcurrent: never more, in order, the first error stops it'() {
    let running = 0;
    let most = 0;
    const taken = [];
    const body = async (n) => {
      taken.push(n);
      most = Math.max(most, ++running);
      await sleep(n % 3);
      running--;
    };
    const numbers = Array.from({ length: 30 }, (_, i) => i);
    async function* later() {
      for (const n of numbers) {
        await tick();
        yield n;
      }
    }
    for (const items of [numbers, later()]) {
      taken.length = 0;
      most = 0;
      await maxConcurrent(items, 4, body);
      assert.equal([taken, running], [numbers, 0]);
      assert.ok(most <= 4 && most > 1);
    }
    let returned = 0;
    let aborted = 0;
    let begun = 0;
    function* endless() {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        returned++;
      }
    }
    async function* endlessLater() {
      yield* endless();
    }
    for (const items of [endless(), endlessLater()]) {
      begun = 0;
      const failing = async (n, signal) => {
        begun++;
        if (n === 2) throw own;
        await sleep(100_000, { signal }).catch(() => aborted++);
      };
      assert.is(await rejection(maxConcurrent(items, 3, failing)), own);
      assert.is(begun, 3);
    }
    assert.equal([returned, aborted], [2, 4]);
    // An iterable that is stuck does not keep it.
    const { signal, abort } = counted();
    const stuck = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    const given = rejection(maxConcurrent(stuck, 1, body, { signal }));
    await tick();
    abort();
    assert.is(await given, own);
    for (const limit of [0, 1.5, undefined]) assert.ok(isOption(await rejection(maxConcurrent([], limit, body))));
  },
};

/** Random acquires, releases and aborts; a plain list says who must hold what. */
async function randomSemaphore(random, seed) {
  const capacity = 1 + random(6);
  const semaphore = new Semaphore(capacity);
  const queue = []; // entries that the model has waiting
  const held = [];
  let free = capacity;
  let entries = 0;
  const pump = () => {
    while (queue.length !== 0 && queue[0].units <= free) {
      const entry = queue.shift();
      free -= entry.units;
      held.push(entry);
    }
  };
  for (let step = 0; step < 300; step++) {
    const what = random(4);
    if (what < 2) {
      const units = 1 + random(capacity);
      const entry = { units, controller: new AbortController(), guard: undefined, error: undefined };
      entries++;
      const options = { signal: entry.controller.signal, ...(random(2) === 0 && { timeoutMs: 100_000 }) };
      semaphore.acquire({ ...options, units }).then(
        (guard) => (entry.guard = guard),
        (error) => (entry.error = error),
      );
      queue.push(entry);
    } else if (what === 2 && held.length !== 0) {
      const [entry] = held.splice(random(held.length), 1);
      await undefined; // its guard has been delivered
      entry.guard.release();
      free += entry.units;
    } else if (what === 3 && queue.length !== 0) {
      pump();
      const [entry] = queue.splice(random(queue.length), 1);
      if (entry === undefined) continue;
      entry.controller.abort(own);
      await undefined;
      assert.is(entry.error, own);
    }
    pump();
    await undefined;
    const state = [semaphore.available, semaphore.waiting, held.every(({ guard }) => guard?.isHeld)];
    assert.equal(state, [free, queue.length, true], `seed ${seed}, step ${step}`);
    assert.ok(queue.every(({ guard, error }) => guard === undefined && error === undefined));
  }
  assert.ok(entries > 50);
  while (held.length !== 0 || queue.length !== 0) {
    const entry = held.shift();
    entry.guard.release();
    free += entry.units;
    pump();
    await undefined;
  }
  assert.is(semaphore.available, capacity);
}

const left = () => {
  const { timers, tasks } = holdings();
  return `${timers} timers, ${tasks} tasks`;
};

/**
 * Runs one scenario on this shard, and sees that it leaves nothing behind. Operations and calls are not compared: the
 * other shards run it at the same time, and this one talks to them.
 */
export async function run(name) {
  const base = left();
  await scenarios[name]();
  await until(() => left() === base, `the shard holds ${base} again, not ${left()}`);
  return 'ran';
}
