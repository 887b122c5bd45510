// The shard module of tests/api/runtime.test.js: what shards are asked to do.

import { isMainThread } from 'node:worker_threads';
import { runtime } from 'featherstar';
import { loadAddon } from '../../dist/host/hosts/uring.js';

/** The processors that this thread may run on. */
export const affinity = () => loadAddon().affinity();

export const notAFunction = 5;

export const echo = (value) => value;
export const self = () => runtime().self;
export const add = (...numbers) => numbers.reduce((sum, n) => sum + n, 0);
export const where = () => ({ self: runtime().self, shardCount: runtime().shardCount, isMainThread });

export function kindOf(value) {
  if (value === null) return 'null';
  return typeof value === 'object' ? value.constructor.name : typeof value;
}

class OwnError extends Error {
  name = 'OwnError';
  code = 'OWN_CODE';
}

export function fail(how) {
  if (how === 'type') throw new TypeError('not this type');
  if (how === 'text') throw 'just text';
  if (how === 'mute') throw { toString: null };
  if (how === 'function') throw () => {};
  if (how === 'system') {
    const error = new Error('no');
    throw Object.assign(error, { code: 'EPERM', errno: -1, syscall: 'open' });
  }
  throw new OwnError(`failed ${how}`);
}

export async function failLater(how) {
  await undefined;
  fail(how);
}

export const answerFunction = () => () => {};
export const answerBytes = (length) => new Uint8Array(length).fill(7);
export const later = (ms, value) => new Promise((resolve) => setTimeout(resolve, ms, value));
const held = [];
export const untilLetGo = () => new Promise((resolve) => held.push(resolve));
export const letGo = () => held.splice(0).forEach((resolve) => void resolve());
export const never = () => new Promise(() => {});
export const exit = () => process.exit(0);
export const stall = () => {
  for (;;);
};

const seen = [];
export const note = (value) => {
  seen.push(value);
};
export const notes = () => seen.splice(0);

/** Calls the other shard, which calls back, `depth` times. */
export async function bounce(peer, depth) {
  if (depth === 0) return 0;
  return (
    1 +
    (await runtime()
      .on(peer)
      .bounce(runtime().self, depth - 1))
  );
}

/** `count` calls to `peer` at once; returns how many were right. */
export async function flood(peer, count) {
  const calls = Array.from({ length: count }, (_, i) => runtime().on(peer).echo(i));
  return (await Promise.all(calls)).filter((value, i) => value === i).length;
}

/** What a call to `peer` ends with: its value, or its error's code. */
export const outcome = (peer, name, ...args) =>
  runtime()
    .on(peer)
    [name](...args)
    .catch((error) => error.code);

export function throwUncaught() {
  setImmediate(() => {
    throw new Error('nobody catches this');
  });
}

export const onClose = () => void runtime().onClose(() => later(20));
export const onCloseFails = () =>
  void runtime().onClose(() => {
    throw new Error('onClose of the module failed');
  });

/** A handler of a promise that no code waits for, in this shard only. */
export function ignoreRejections() {
  process.on('unhandledRejection', () => {});
}
