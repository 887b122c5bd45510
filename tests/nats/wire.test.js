// The payloads of calls through NATS: what was encoded comes out again, and nothing else gets in.

import { allocate, blockOn, FeatherstarError } from 'featherstar';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeAbort, decodeReply, decodeRequest, WireEncoder } from '../../dist/host/nats/wire.js';
import { forSeeds } from '../support/seeds.js';

const MUTANTS = 40_000;
const encoder = new WireEncoder();
const noSignal = () => {
  throw new Error('a signal was opened');
};
const isCodec = (error) => error.code === 'FEATHERSTAR_CODEC';
const bytes = (text) => new TextEncoder().encode(text);
const VALUES = [
  ...[undefined, null, true, -0, 1.5, 2 ** 40, 'text', 'ü€😀\ud800', 12345678901234567890n, -5n],
  ...[new Date(5), /a+/gi, new Map([[{ a: 1 }, [2]]]), new Set(['x']), new Uint8Array([1, 2]), new Float64Array([0.5])],
  ...[{ nested: [{ deep: 'x'.repeat(300) }] }, new Uint8Array(20_000).fill(9)],
];

test('values arrive as they were sent', () => {
  const { args, timeoutMs, signals } = decodeRequest(encoder.request(VALUES, 250), noSignal);
  assert.equal(args, VALUES);
  assert.is(timeoutMs, 250);
  assert.equal(signals, []);
  assert.equal(decodeReply(encoder.reply(true, VALUES)), { isResult: true, value: VALUES });
  const { isResult, value } = decodeReply(encoder.reply(false, new FeatherstarError('FEATHERSTAR_BUSY', 'no')));
  assert.equal([isResult, value.code, value.message], [false, 'FEATHERSTAR_BUSY', 'no']);
  assert.equal(decodeAbort(encoder.abort('inbox.1', [7], 'why')), { inbox: 'inbox.1', signals: [7], reason: 'why' });
});

test('a server that takes only tiny messages is refused', () => {
  for (const bytes of [0, 512, 2047]) {
    assert.throws(
      () => new WireEncoder(bytes),
      (error) => error.code === 'FEATHERSTAR_OPTION',
    );
  }
  const tiny = new WireEncoder(2048);
  const error = Object.assign(new FeatherstarError('FEATHERSTAR_CODEC', 'x'.repeat(250)), { stack: 'x'.repeat(250) });
  assert.is(decodeReply(tiny.reply(false, error)).value.code, 'FEATHERSTAR_CODEC');
});

test('signals are numbered', () => {
  const control = new AbortController();
  const payload = encoder.request([control.signal, { signal: control.signal }], 1);
  const { firstSignal } = encoder;
  assert.equal(encoder.signals, [control.signal, control.signal]);
  const opened = [];
  const { signals } = decodeRequest(payload, (id) => {
    opened.push(id);
    return control.signal;
  });
  assert.equal(signals, [firstSignal, firstSignal + 1]);
  assert.equal(opened, [firstSignal, firstSignal + 1]);
  assert.throws(() => encoder.reply(true, control.signal), isCodec);
});

test('what cannot leave the process is refused', async () => {
  for (const value of [() => 1, Symbol('x'), new WeakMap(), new SharedArrayBuffer(8)]) {
    assert.throws(() => encoder.request([value], 1), isCodec);
  }
  assert.throws(() => encoder.request([new Uint8Array(1_048_576)], 1), /does not fit a message: at most 1047552/);
  assert.throws(() => encoder.request(['x'.repeat(1_048_576)], 1), isCodec);
  await blockOn(() => {
    const shared = allocate(100);
    assert.throws(() => encoder.request([shared], 1), /cannot leave their process/);
    shared.dispose();
  });
});

test('JSON is taken, too', () => {
  const args = (text) => decodeRequest(bytes(text), noSignal).args;
  assert.equal(args(''), []);
  assert.equal(args(' [1, "two"]'), [1, 'two']);
  assert.equal(args('{"a":1}'), [{ a: 1 }]);
  assert.equal(args('"x"'), ['x']);
  assert.is(Object.getPrototypeOf(args('[{"__proto__":{"x":1}}]')[0]), Object.prototype);
  for (const text of ['[1,', 'hello', '\xff', '[1] 2']) assert.throws(() => args(text), isCodec);
  assert.throws(() => decodeRequest(Uint8Array.of(0x5b, 0xff, 0x5d), noSignal), isCodec);
  assert.is(encoder.jsonReply(undefined), 'null');
  assert.is(encoder.jsonReply({ a: [1] }), '{"a":[1]}');
  for (const value of [5n, 'x'.repeat(1_048_576)]) assert.throws(() => encoder.jsonReply(value), isCodec);
});

test('hostile payloads: a length without its bytes, a depth, a kind, a signal, shared bytes', () => {
  const request = (...value) => Uint8Array.of(3, 4, 1, 4, 100, 11, 1, ...value);
  const refused = (data) => assert.throws(() => decodeRequest(data, noSignal), isCodec);
  assert.equal(decodeRequest(request(4, 5), noSignal).args, [5]);
  const GIGABYTES = [255, 255, 255, 255, 255];
  for (const tag of [7, 8, 9, 11, 12, 15, 16]) refused(request(tag, ...GIGABYTES));
  refused(request(10, 2, ...GIGABYTES)); // a view
  refused(request(10, 99, 0)); // a view of no known kind
  refused(request(10, 6, 3, 1, 2, 3)); // an Int32Array of 3 bytes
  refused(request(13, 7, 1, 0x7a)); // a bigint of letters
  refused(request(17, 7, 1, 0x28, 7, 0)); // the regular expression /(/
  refused(request(20, 1, 0, 0, 0)); // a signal, which cannot be opened here
  refused(request(22, 0, 0, 0, 0, 4, 0, 0, 0)); // shared bytes
  refused(request(99));
  refused(request()); // cut off
  refused(request(4, 5, 0)); // one byte too many
  refused(Uint8Array.of(3, 4, 2, 4, 100, 11, 0)); // another version
  refused(Uint8Array.of(2, 2, 0)); // a reply
  const deep = new Uint8Array(900_000).fill(1);
  for (let i = 0; i < deep.length; i += 2) deep[i] = 11;
  deep.set([3, 4, 1, 4, 100]);
  refused(deep);
  for (const decode of [decodeReply, decodeAbort]) {
    for (const data of [new Uint8Array(0), Uint8Array.of(1), request(4, 5), bytes('{}')]) {
      assert.throws(() => decode(data), isCodec);
    }
  }
});

test('mutants of requests are read or refused, and take no more memory than their bytes allow', () => {
  const originals = [...VALUES, new TypeError('x', { cause: VALUES.slice(0, 8) })].map((value) =>
    encoder.request([value, value], 5),
  );
  let read = 0;
  forSeeds(MUTANTS, (random) => {
    const mutant = originals[random(originals.length)].slice(0, 2000);
    for (let changes = 1 + random(3); changes > 0; changes--) mutant[random(mutant.length)] = random(256);
    const data = random(4) === 0 ? mutant.subarray(0, random(mutant.length)) : mutant;
    try {
      decodeRequest(data, () => AbortSignal.abort());
      read++;
    } catch (error) {
      assert.ok(isCodec(error), error.stack);
    }
  });
  assert.ok(read > MUTANTS / 100 && read < MUTANTS, `${read}`);
});

test.run();
