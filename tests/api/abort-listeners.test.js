// However many waits one AbortSignal ends, it has one listener, so Node does not warn of a leak; when they have ended
// it has none. And one wait that ends another one in mid-abort finds the queues whole.

import { getEventListeners } from 'node:events';
import {
  CancellationToken,
  Channel,
  Event,
  Gate,
  interval,
  JoinSet,
  Mutex,
  parallelForEach,
  Runtime,
  runtime,
  Semaphore,
  ShardChannel,
  schedule,
  select,
  sleep,
  spawn,
  timeout,
  waitForSignal,
} from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, rejection, warnings } from '../support/hosts.js';
import { within } from '../support/http.js';

const module = new URL('../support/life-module.js', import.meta.url);
const EACH = 12; // Node warns from 11 on
const LONG_MS = 60_000;
const never = () => new Promise(() => {});

for (const host of hosts()) {
  const test = suite(`abort listeners (${host})`);
  let here;
  test.before(async () => {
    here = await within(Runtime.start({ host, module, shards: 2 }), 'start');
  });
  test.after(() => within(here.close({ timeoutMs: 100 }), 'close'));

  /** One wait of every kind that takes a signal. */
  async function waits() {
    const listener = await listen({ hostname: '127.0.0.1', reusePort: false });
    const socket = await connect({ hostname: '127.0.0.1', port: listener.port });
    await listener.accept();
    const gate = new Gate();
    gate.enter();
    const set = new JoinSet();
    set.spawn(never);
    const semaphore = new Semaphore(1);
    await semaphore.acquire();
    const mutex = new Mutex();
    await mutex.lock();
    const all = {
      sleep: (options) => sleep(LONG_MS, options),
      timeout: ({ signal }) => timeout(LONG_MS, (own) => sleep(LONG_MS, { signal: own }), { signal }),
      semaphore: (options) => semaphore.acquire(options),
      mutex: (options) => mutex.lock(options),
      event: (options) => new Event().wait(options),
      channel: (options) => new Channel({ capacity: 1 }).receive(options),
      shardChannel: (options) => new ShardChannel({ capacity: 1 }).receive(options),
      gate: (options) => gate.close(options),
      joinNext: (options) => set.joinNext(options),
      spawn: (options) => spawn(never, options),
      interval: (options) => interval(LONG_MS).tick(options),
      select: (options) => select({ one: (signal) => sleep(LONG_MS, { signal }) }, options),
      forEach: (options) => parallelForEach([1], () => sleep(LONG_MS, { signal: options.signal }), options),
      submit: ({ signal }) => runtime().on(1).with({ signal }).never(),
      submitHere: ({ signal }) => runtime().on(0).with({ signal }).never(),
      waitForSignal: (options) => waitForSignal(['SIGUSR2'], options),
      accept: (options) => listener.accept(options),
    };
    const end = () => {
      socket.close();
      listener.close();
    };
    return { all, end };
  }

  test('one for all waits of all kinds, and none when they have ended', async () => {
    const { all, end } = await waits();
    const said = await warnings(0, async () => {
      for (const [kind, wait] of Object.entries(all)) {
        const controller = new AbortController();
        const { signal } = controller;
        const waiting = Array.from({ length: EACH }, () => rejection(wait({ signal })));
        await sleep(1);
        assert.is(getEventListeners(signal, 'abort').length, 1, kind);
        controller.abort(new Error('enough'));
        for (const error of await within(Promise.all(waiting), kind)) assert.is(error.message, 'enough', kind);
        assert.is(getEventListeners(signal, 'abort').length, 0, `${kind}, when it is over`);
      }
      await sleep(1);
    });
    assert.equal(said, []);
    end();
  });

  test('waits that end by themselves leave none', async () => {
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: EACH }, () => sleep(1, { signal })));
    const timers = Array.from({ length: EACH }, () => schedule(1, () => {}, { signal }));
    for (const one of timers) one.cancel();
    const semaphore = new Semaphore(1);
    await Promise.all(Array.from({ length: EACH }, () => semaphore.use(() => sleep(1), { signal })));
    const token = new CancellationToken();
    await Promise.all(Array.from({ length: EACH }, () => token.cancellable(sleep(1))));
    assert.is(getEventListeners(signal, 'abort').length, 0);
    assert.is(getEventListeners(token.signal, 'abort').length, 0);
  });

  test('a wait that gives up and so lets the next one in, which has the same signal', async () => {
    const controller = new AbortController();
    const semaphore = new Semaphore(2);
    const held = await semaphore.acquire();
    const large = rejection(semaphore.acquire({ units: 2, signal: controller.signal }));
    const small = semaphore.acquire({ signal: controller.signal });
    controller.abort(new Error('enough'));
    assert.is((await large).message, 'enough');
    const units = await within(small, 'the unit is free, and granted before the abort came to it');
    units.release();
    held.release();
    assert.equal([semaphore.available, semaphore.waiting], [2, 0]);
    const again = await within(semaphore.acquire({ units: 2 }), 'the queue is whole');
    again.release();
  });

  test.run();
}
