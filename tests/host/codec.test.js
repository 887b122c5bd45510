// The format of values between shards: what is written is read again, whatever it is, at any address.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LARGE_BYTES, LONG, VIEWS } from '../../dist/host/calls/codec.js';
import { Decoder } from '../../dist/host/calls/decoder.js';
import { Encoder } from '../../dist/host/calls/encoder.js';
import { FULL, forSeeds } from '../support/seeds.js';

const MAX_BYTES = 1 << 20;
const memory = Buffer.from(new SharedArrayBuffer(MAX_BYTES * 2));
const encoder = new Encoder(MAX_BYTES);
const none = () => assert.unreachable('there is neither signal nor reference');
const decoder = new Decoder(memory, none, none);

/** What a value is at the other side, and how many bytes it took. Around it lies what must not be read. */
function across(value, at = 40, how = 'value') {
  const length = encoder[how](value);
  memory.fill(0xee, at, at + length + 64);
  encoder.copyTo(memory, at);
  assert.ok(memory.subarray(at + length, at + length + 64).every((byte) => byte === 0xee));
  const answer = decoder[how](at);
  memory.fill(0xdd, at, at + length); // nothing that was read may refer to it
  return { answer, length };
}

function same(value, how) {
  const { answer } = across(value, 40, how);
  assert.equal(answer, value);
}

// --- random values --------------------------------------------------------------------------------------------------

const pick = (random, list) => list[random(list.length)];

function anyNumber(random) {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setUint32(0, random(2 ** 32));
  bits.setUint32(4, random(2 ** 32));
  const edges = [0, -0, 1, -1, 127, 128, -128, -129, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), -(2 ** 31) - 1, 2 ** 53, 0.5];
  return pick(random, [...edges, Infinity, -Infinity, 5e-324, random(2 ** 32) - 2 ** 31, bits.getFloat64(0) || 0]);
}

function anyString(random) {
  const length = pick(random, [0, 1, 23, 24, 25, 100, LONG - 1, LONG, LONG + 1, random(2000)]);
  const top = pick(random, [128, 256, 0xd800, 0x10000]); // the last: also halves of pairs
  let text = '';
  for (let i = 0; i < length; i++) text += String.fromCharCode(random(top));
  return text;
}

function anyBigint(random) {
  let value = 0n;
  for (let i = random(8); i > 0; i--) value = (value << 29n) | BigInt(random(2 ** 29));
  return random(2) ? value : -value;
}

function anyView(random) {
  const bytes = Uint8Array.from({ length: 8 * random(40) }, () => random(256));
  const type = pick(random, [Uint8Array, ...VIEWS]);
  if (type === ArrayBuffer) return bytes.buffer;
  const floats = type === Float32Array || type === Float64Array;
  return floats ? type.from(bytes) : new type(bytes.buffer); // random floats would compare by their NaN
}

const list = (random, depth) => Array.from({ length: pick(random, [0, 1, 2, 5]) }, () => anyValue(random, depth + 1));

function anyObject(random, depth) {
  const keys = Array.from({ length: random(5) }, () => pick(random, ['a', 'length', '', anyString(random)]));
  return Object.fromEntries(keys.map((key) => [key, anyValue(random, depth + 1)]));
}

function anyValue(random, depth) {
  const scalars = [undefined, null, true, false, anyNumber(random), anyString(random), anyBigint(random)];
  if (depth > 4 || random(3) === 0) return pick(random, scalars);
  return pick(random, [
    () => list(random, depth),
    () => anyObject(random, depth),
    () => new Map(list(random, depth).map((value) => [anyString(random), value])),
    () => new Set(list(random, depth)),
    () => anyView(random),
    () => new Date(random(2 ** 32) * 1000),
    () => new RegExp(pick(random, ['a+', '/', '\\n', '(?:)', 'ü']), pick(random, ['', 'g', 'gimsuy'])),
  ])();
}

test('random values arrive as they are', () => {
  forSeeds(FULL ? 3000 : 300, (random) => {
    for (let i = 0; i < 10; i++) {
      const value = anyValue(random, 0);
      const at = 8 + random(64);
      const { answer, length } = across(value, at);
      assert.equal(answer, value);
      assert.is(across(answer, at).length, length, 'what was read is written as before');
      if (typeof value === 'number') assert.ok(Object.is(answer, value), String(value));
      if (ArrayBuffer.isView(value)) assert.is(answer.constructor, value.constructor);
    }
    same(list(random, 0), 'args');
  });
});

// --- one by one -----------------------------------------------------------------------------------------------------

test('numbers, each by its own bits', () => {
  for (let power = 0; power < 64; power++) {
    for (const off of [-1, 0, 1, 0.5]) {
      for (const value of [2 ** power + off, -(2 ** power) + off]) assert.ok(Object.is(across(value).answer, value));
    }
  }
  for (const value of [0, -0, NaN, Infinity]) assert.ok(Object.is(across(value).answer, value));
});

test('small calls fit into a message of 40 bytes', () => {
  assert.is(encoder.args([]), 1);
  assert.is(encoder.args([1]), 3);
  assert.is(encoder.args(['key', 1000]), 11);
  assert.ok(encoder.args([{ id: 100_000, name: 'feather', ok: true }]) <= 40);
  assert.is(encoder.args(['x'.repeat(37)]), 40);
});

test('holes, keys and prototypes', () => {
  assert.equal(across(new Array(2)).answer, [undefined, undefined]);
  const bare = Object.assign(Object.create(null), { a: 1 });
  assert.equal(across(bare).answer, { a: 1 });
  const { answer } = across(JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}'));
  assert.is({}.polluted, undefined);
  assert.equal(Object.keys(answer), ['__proto__', 'constructor']);
  assert.equal(across({ [Symbol('left out')]: 1, b: 2 }).answer, { b: 2 });
  class Many extends Array {}
  assert.is(across(Many.from([1])).answer.constructor, Array);
});

test('views keep their part of a larger buffer', () => {
  const buffer = Uint8Array.from({ length: 64 }, (_, i) => i).buffer;
  for (const type of VIEWS.filter((one) => one !== ArrayBuffer)) {
    const view = type === DataView ? new DataView(buffer, 8, 16) : new type(buffer, 8, 2);
    const { answer } = across(view);
    assert.is(answer.constructor, type);
    assert.is(answer.byteLength, answer.buffer.byteLength);
    assert.equal(Buffer.from(answer.buffer), Buffer.from(buffer, 8, view.byteLength));
  }
  const shared = new Int16Array(new SharedArrayBuffer(4)).fill(5);
  assert.equal(across(shared).answer, new Int16Array([5, 5]));
  assert.is(across(Buffer.from('text')).answer.constructor, Uint8Array);
});

test('what cannot be sent is refused, and the next value is not harmed', () => {
  const cycle = [];
  cycle.push(cycle);
  let deep = 1;
  for (let i = 0; i < 65; i++) deep = [deep];
  const wrong = [() => 1, Symbol('x'), cycle, deep, new WeakMap(), Object(1), Object('x'), new URL('a:b')];
  wrong.push(new (class Own {})(), Promise.resolve(), new SharedArrayBuffer(1), new AbortController().signal);
  for (const value of wrong) {
    for (const at of [value, [1, value], { a: { value } }, new Map([[value, 1]]), new Set([value])]) {
      assert.throws(
        () => encoder.value(at),
        (error) => error.code === 'FEATHERSTAR_CODEC',
      );
      same({ after: 1 });
    }
  }
  same(deep[0]);
});

test('what is larger than the arena is refused before it is all there', () => {
  const small = new Encoder(4096);
  const doubled = { list: [] };
  for (let i = 0, list = doubled.list; i < 40; i++) list = doubled.list = [list, list]; // 2^40 values, if one went on
  for (const value of ['x'.repeat(10_000), new Uint8Array(10_000), doubled]) {
    assert.throws(
      () => small.value(value),
      (error) => error.code === 'FEATHERSTAR_CODEC' && /arenaBytes/.test(error.message),
    );
  }
});

test('large bytes arrive, wherever they lie, also if they had to wait', () => {
  const bytes = (length) => Uint8Array.from({ length }, (_, i) => (i * 7) % 251);
  const unsendable = Object.assign(new Error('x'), { cause: [bytes(9000), () => 1] });
  for (const length of [LARGE_BYTES - 1, LARGE_BYTES, LARGE_BYTES + 1, 100_000]) {
    const large = bytes(length);
    for (const value of [
      large,
      [large],
      [large, 1],
      { a: large, b: large },
      [[large], new Int32Array(5000).fill(-2)],
    ]) {
      same(value);
      assert.is(encoder.value(value), across(value).length);
      encoder.value(value);
      const waited = encoder.copy();
      encoder.value('in between');
      encoder.restore(waited);
      assert.equal(encoder.copy(), waited);
      encoder.copyTo(memory, 41);
      assert.equal(decoder.value(41), value);
    }
    same([large, 'after', large], 'args');
  }
  assert.is(across(unsendable).answer.cause, String(unsendable.cause));
});

test('errors keep what they have', () => {
  const cause = Object.assign(new Error('why'), { code: 'WHY', errno: -1, syscall: 'open' });
  const { answer } = across(new EvalError('what', { cause }));
  assert.ok(answer instanceof EvalError);
  assert.equal([answer.cause.code, answer.cause.errno, answer.cause.syscall], ['WHY', -1, 'open']);
  assert.not('cause' in across(new Error('none')).answer);
  assert.ok('cause' in across(new Error('undefined', { cause: undefined })).answer);
  const own = new (class OwnError extends TypeError {
    name = 'OwnError';
  })('own');
  assert.equal([across(own).answer.name, across(own).answer instanceof Error], ['OwnError', true]);
  const chain = new Error('0');
  for (let i = 1, last = chain; i < 200; i++, last = last.cause) last.cause = new Error(String(i));
  assert.is(across(chain).answer.cause.cause.message, '2'); // the end of a long chain is text
  const circle = new Error('circle');
  circle.cause = circle;
  assert.is(across(circle).answer.cause.message, 'circle');
});

test.run();
