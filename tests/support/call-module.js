// The shard module of tests/api/calls.test.js: functions that take signals, fail in every way, and call back.

import { allocate, FeatherstarError, runtime, spawn } from 'featherstar';
import { sharedBlocks } from '../../dist/host/shard/block-pool.js';
import { currentShard } from '../../dist/host/shard/shard.js';

export const echo = (...values) => (values.length === 1 ? values[0] : values);
export const self = () => runtime().self;
export const homeOf = (key) => runtime().homeOf(key);
export const nothing = () => {};

const withThen = (descriptor) => Object.defineProperty({}, 'then', descriptor);
const fail = (text) => {
  throw new Error(text);
};
const thenables = {
  getter: withThen({ get: () => fail('no then') }),
  throws: withThen({ value: () => fail('then has failed') }),
  twice: withThen({
    value(resolve, reject) {
      resolve('once');
      resolve('twice');
      reject(new Error('thrice'));
    },
  }),
  prototype: Object.create(Promise.prototype), // no promise, but it has the methods of one
  borrowed: withThen({ value: Promise.prototype.then }),
  proxy: new Proxy(Promise.resolve(1), {}),
  constructor: Object.defineProperty(Promise.resolve(1), 'constructor', { get: () => fail('no constructor') }),
};
/** An object with a `then` that does what no promise does. */
export const thenable = (kind) => thenables[kind];
export const throwLong = (length, isPlain) => {
  throw isPlain ? 'x'.repeat(length) : new Error('x'.repeat(length));
};
/** An error of ours, changed to what cannot be sent, and so is its text or code. */
export const throwChanged = (kind) => {
  const error = Object.assign(new FeatherstarError('FEATHERSTAR_STATE', 'changed'), { cause: () => 1 });
  const changes = {
    nothing: {},
    text: { message: { value: Symbol('text') } },
    noText: { message: { get: () => fail('no text') } },
    code: { code: { value: 'x'.repeat(5_000_000) } },
    noCode: { code: { get: () => fail('no code') } },
  };
  throw Object.defineProperties(error, changes[kind]);
};

let waits = 0;
let started = 0;
const endings = [];

/** Waits for its signal. The reason of its abort is kept for ended(). */
export function untilAborted(signal) {
  waits++;
  started++;
  return new Promise((_, reject) => {
    const onAbort = () => {
      waits--;
      endings.push(signal.reason);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export const untilAbortedIn = ({ signal }) => untilAborted(signal);
export const waiting = () => waits;
export const ended = () => endings.splice(0);
export const begun = () => started;

/** A signal that is kept beyond its call. */
let kept;
export const keep = (signal) => {
  kept = signal;
};
export const keptAborted = () => kept.aborted;

/** Which of them are aborted; the reasons of those. */
export const signalsNow = (...signals) => signals.map((signal) => [signal instanceof AbortSignal, signal.aborted]);
export const answerSignal = () => new AbortController().signal;
export const givenSignals = () => currentShard().calls.givenSignals;

let open;
/** Ends when letGo() is called. */
export const held = () => new Promise((resolve) => (open = resolve));
export const letGo = () => open();

let holders = [];
/** Ends on `shard` (0: on every one) when release() is called there, and elsewhere at once. */
export const heldBy = (shard) =>
  shard === 0 || shard === runtime().self ? new Promise((resolve) => holders.push(resolve)) : undefined;
export const release = () => {
  for (const resolve of holders) resolve();
  holders = [];
};

export const exit = () => process.exit(0);

/** Calls `peer` with a signal, and does not wait for it. */
export function leave(peer) {
  runtime()
    .on(peer)
    .untilAborted(new AbortController().signal)
    .catch(() => undefined);
}

export function failWithCause() {
  const deepest = Object.assign(new RangeError('deepest'), { code: 'DEEP' });
  throw new TypeError('outer', { cause: new Error('inner', { cause: deepest }) });
}
export const throwText = () => {
  throw 'just text';
};
export function failWithMany() {
  throw new AggregateError([new Error('one'), 'two', new SyntaxError('three')], 'all of them');
}
export function failStrangely() {
  throw new Error('odd', { cause: () => 1 });
}
/** Throws a value whose every property throws. */
export function failUnreadably() {
  const { proxy, revoke } = Proxy.revocable(new Error('gone'), {});
  revoke();
  throw proxy;
}
export function failWithDom() {
  throw new DOMException('not now', 'NotAllowedError');
}

/** Something that can be awaited, but is no promise. */
export const task = (value) => spawn(() => value);

/** Goes round the shards, one call inside the other. */
export async function around(hops) {
  const { self: here, shardCount } = runtime();
  return hops === 0
    ? 0
    : 1 +
        (await runtime()
          .on((here + 1) % shardCount)
          .around(hops - 1));
}

/** `count` calls to `peer`, with results of `bytes`; returns how many were right. */
export async function flood(peer, count, bytes) {
  const value = 'f'.repeat(bytes);
  const calls = Array.from({ length: count }, (_, i) => runtime().on(peer).echo(i, value));
  return (await Promise.all(calls)).filter(([n, text], i) => n === i && text === value).length;
}

/** Keeps its shard from everything else for so long. */
export function spin(ms) {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

let marks = 0;
export const mark = (by) => {
  marks += by;
};
export const marked = () => marks;

// --- bytes by reference ---------------------------------------------------------------------------------------------

export const blocks = () => sharedBlocks(currentShard());

/** Adds one to each byte, in place; returns their sum. */
export function increment(shared) {
  let sum = 0;
  const { bytes } = shared;
  for (let i = 0; i < bytes.length; i++) sum += ++bytes[i];
  return sum;
}
export const incremented = (shared) => {
  increment(shared);
  return { shared };
};
export async function refuse(shared) {
  await undefined;
  throw new Error(`not ${shared.length}`);
}

const shelf = [];
export const shelve = (shared) => void shelf.push(shared.keep());
export const unshelve = () => shelf.pop();
export const clearShelf = () => {
  for (const shared of shelf.splice(0)) shared.dispose();
};
export function make(length, byte) {
  const shared = allocate(length);
  shared.bytes.fill(byte);
  return shared;
}
export const makeSlowly = (length, ms) => new Promise((resolve) => setTimeout(() => resolve(make(length, 1)), ms));
/** On to the next shard, until it is where it is to be. */
export async function passOn(shared, hops) {
  const { self: here, shardCount } = runtime();
  if (hops === 0) return increment(shared);
  return runtime()
    .on((here + 1) % shardCount)
    .passOn(shared, hops - 1);
}

/** A slip: a view that forgets byteOffset, and is filled from end to end. */
export function scribble(value) {
  const shared = allocate(64);
  new Float64Array(shared.bytes.buffer).fill(value);
  shared.dispose();
}
/** Blocks can still be had, and are each their own. */
export function blocksWork() {
  const all = Array.from({ length: 8 }, (_, i) => make(5000, i));
  const wrong = all.filter((shared, i) => !shared.bytes.every((byte) => byte === i)).length;
  for (const shared of all) shared.dispose();
  return wrong;
}
