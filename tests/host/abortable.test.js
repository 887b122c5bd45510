// The wait that can end early, without any shard: it ends once, with its own reason, and leaves nothing on the signal.

import { getEventListeners } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Abortable, abortable, useTimeouts } from '../../dist/host/base/abortable.js';
import { FeatherstarError } from '../../dist/host/base/errors.js';
import { rejection } from '../support/hosts.js';

const test = suite('abortable');
const SHARED = 1000; // waits on one signal
const never = new Promise(() => {});

/** Timers that fire when the test says so. */
const timers = new Set();
useTimeouts((timeoutMs, onTimeout) => {
  if (timeoutMs === 666) throw new FeatherstarError('FEATHERSTAR_FULL', 'all timers are in use');
  const fire = () => {
    timers.delete(fire);
    onTimeout();
  };
  timers.add(fire);
  return { cancel: () => timers.delete(fire) };
});

const listeners = (signal) => getEventListeners(signal, 'abort').length;

test('without a signal and without a timeout it is the promise itself', async () => {
  const work = Promise.resolve(1);
  assert.is(abortable(work, {}), work);
  assert.is(await abortable((resolve) => resolve(2), {}), 2);
});

test('a thousand waits on one signal are one listener, and none when they have ended', async () => {
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on('warning', onWarning);
  const { signal } = new AbortController();
  const resolves = [];
  const waits = Array.from({ length: SHARED }, () => abortable((resolve) => void resolves.push(resolve), { signal }));
  assert.is(listeners(signal), 1);
  for (const resolve of resolves) resolve('done');
  assert.is(listeners(signal), 0);
  assert.is((await Promise.all(waits)).length, SHARED);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', onWarning);
  assert.equal(warnings, []);
});

test('an abort rejects with the reason itself, and takes the wait back once', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let takenBack = 0;
  const reason = { why: 'enough' };
  const begin = () => () => void takenBack++;
  const waits = [abortable(begin, { signal }), abortable(never, { signal })];
  const ends = Promise.allSettled(waits);
  controller.abort(reason);
  assert.equal(
    (await ends).map((end) => end.reason === reason),
    [true, true],
  );
  assert.is(takenBack, 1);
  assert.is(listeners(signal), 0);
  await assert.is(await rejection(abortable(begin, { signal })), reason, 'aborted before: not begun');
  assert.is(takenBack, 1);
});

test('a timeout rejects with FEATHERSTAR_TIMEOUT, and what ends first stops the timer', async () => {
  const controller = new AbortController();
  const late = abortable(never, { timeoutMs: 5, signal: controller.signal });
  assert.is(timers.size, 1);
  for (const fire of timers) fire();
  const error = await rejection(late);
  assert.equal([error.code, error.message], ['FEATHERSTAR_TIMEOUT', 'it took longer than 5 ms']);
  assert.is(listeners(controller.signal), 0);

  assert.is(await abortable(Promise.resolve(1), { timeoutMs: 5 }), 1);
  assert.is(timers.size, 0);
  const aborted = abortable(never, { timeoutMs: 5, signal: controller.signal });
  controller.abort('first');
  assert.is(await rejection(aborted), 'first');
  assert.is(timers.size, 0);
});

test('a wait that cannot begin leaves nothing', async () => {
  const { signal } = new AbortController();
  const fail = () => {
    throw new RangeError('no');
  };
  assert.instance(await rejection(abortable(fail, { signal, timeoutMs: 5 })), RangeError);
  assert.is((await rejection(abortable(never, { signal, timeoutMs: 666 }))).code, 'FEATHERSTAR_FULL');
  assert.is(listeners(signal), 0);
  assert.is(timers.size, 0);
});

test('a wait that aborts its own signal while it begins is taken back', async () => {
  const controller = new AbortController();
  let takenBack = 0;
  const begin = () => {
    controller.abort('myself');
    return () => void takenBack++;
  };
  assert.is(await rejection(abortable(begin, { signal: controller.signal })), 'myself');
  assert.is(takenBack, 1);
});

test('what a promise comes to after an abort is dropped, also an error', async () => {
  let fail;
  const work = new Promise((_, reject) => {
    fail = reject;
  });
  const controller = new AbortController();
  const wait = abortable(work, { signal: controller.signal });
  controller.abort('over');
  assert.is(await rejection(wait), 'over');
  assert.is(await rejection(abortable(Promise.reject(new Error('late')), { signal: controller.signal })), 'over');
  fail(new Error('late')); // an unhandled rejection would end this process
  await new Promise((resolve) => setImmediate(resolve));
});

test('an object can wait without a closure, and is told which signal it was', () => {
  class Wait extends Abortable {
    told = [];
    onAbort(reason, signal) {
      this.told.push([reason, signal]);
    }
  }
  const controller = new AbortController();
  const [wait, other] = [new Wait(), new Wait()];
  wait.arm({ signal: controller.signal, timeoutMs: 5 });
  other.arm({ signal: controller.signal });
  other.disarm();
  controller.abort('over');
  for (const fire of timers) fire();
  assert.equal(wait.told, [['over', controller.signal]]);
  assert.equal(other.told, []);
});

test.run();
