// The body of a request between a connection that pushes and a handler that reads. bytes() makes one array, which grows
// with what has come. A stream gets pieces as they came. Both end rightly, whatever happens.
//
// Next: server-uploads.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RequestBody } from '../../dist/host/http/body.js';
import { forSeeds } from '../support/seeds.js';
import { pattern } from './server-rig.js';

const HIGH_WATER = 65_536;

function open(length = 0) {
  const told = [];
  const source = { onFirstRead: () => told.push('first read'), onDrain: () => told.push('drain') };
  return { body: new RequestBody(source, length), told };
}

/** Pushes `bytes`, as they lie in a larger array that changes afterwards. */
function push(body, bytes) {
  const around = Buffer.alloc(bytes.length + 2, 0xee);
  around.set(bytes, 1);
  body.push(around, 1, 1 + bytes.length, false);
  around.fill(0xdd);
}

/** Receives up to `bytes` of `rest` into a target of the body's. Returns how many. */
function receiveInto(body, rest, bytes) {
  const target = body.takeTarget(rest.length);
  assert.ok(target.length > 0 && target.length <= rest.length, `a target of ${target.length} for ${rest.length}`);
  const count = Math.min(bytes, target.length);
  target.set(rest.subarray(0, count));
  body.push(target, 0, count, true);
  return count;
}

function checkOwn(bytes, expected) {
  assert.is(bytes.constructor, Uint8Array);
  assert.is(bytes.buffer.byteLength, expected.length, 'it has its buffer to itself');
  assert.ok(expected.equals(bytes));
}

test('text() rejects if a string cannot be so long', async () => {
  const tooLong = new Error('Cannot create a string longer than 0x1fffffe8 characters');
  const source = Buffer.from('text');
  source.toString = () => {
    throw tooLong;
  };
  const { body } = open(source.length);
  const text = body.text();
  body.push(source, 0, source.length, true);
  body.end();
  assert.is(await text.catch((error) => error), tooLong);
});

test('bytes(): any cut, any length, known or not, asked for before, in the middle or at the end', async () => {
  await forSeeds(3, async (random) => {
    for (let i = 0; i < 60; i++) {
      const expected = pattern(1 + random(1 << (1 + random(18))));
      const { body, told } = open(random(2) === 0 ? expected.length : 0);
      const most = 1 + random(1 << (1 + random(17)));
      const asksAt = random(3) === 0 ? 0 : random(expected.length + 1);
      let asked;
      for (let at = 0; at < expected.length; ) {
        if (asked === undefined && at >= asksAt) asked = body.bytes();
        const end = Math.min(expected.length, at + 1 + random(most));
        push(body, expected.subarray(at, end));
        at = end;
      }
      body.end();
      checkOwn(await (asked ?? body.bytes()), expected);
      assert.is(told[0], 'first read');
    }
  });
});

test('targets: any cut, some bytes pushed, read from the beginning, the middle or the end, in both ways', async () => {
  await forSeeds(3, async (random) => {
    for (let i = 0; i < 100; i++) {
      const expected = pattern(1 + random(1 << (1 + random(19))));
      const { body } = open(expected.length);
      const most = 1 + random(1 << (1 + random(18)));
      const asksAt = random(3) === 0 ? 0 : random(expected.length + 1);
      const isStream = random(2) === 0;
      const read = async () => {
        if (!isStream) return body.bytes();
        const parts = [];
        for await (const part of body.stream) {
          if (part.length > 4096) assert.is(part.length, part.buffer.byteLength, 'a chunk has its buffer to itself');
          parts.push(part);
        }
        return Buffer.concat(parts);
      };
      let asked;
      for (let at = 0; at < expected.length; ) {
        if (asked === undefined && at >= asksAt) asked = read();
        if (random(4) === 0) await undefined;
        const bytes = Math.min(expected.length - at, 1 + random(most));
        if (random(3) !== 0) at += receiveInto(body, expected.subarray(at), bytes);
        else {
          push(body, expected.subarray(at, at + bytes));
          at += bytes;
        }
      }
      body.end();
      const got = await (asked ?? read());
      assert.ok(expected.equals(got), `${expected.length} bytes`);
      if (!isStream) checkOwn(got, expected);
    }
  });
});

test('text() by targets: many bodies at a time, some of which break off, in arrays used again', async () => {
  await forSeeds(3, async (random) => {
    const open10 = Array.from({ length: 10 }, () => undefined);
    for (let i = 0; i < 300; i++) {
      const at = random(10);
      const one = open10[at];
      if (one === undefined) {
        const expected = Buffer.alloc(1 + random(70_000), `${i} `);
        const { body } = open(expected.length);
        open10[at] = { body, expected, count: 0, text: body.text().catch(({ message }) => message) };
      } else if (random(8) === 0) {
        one.body.fail(new Error('broken'));
        one.body.end();
        assert.is(await one.text, 'broken');
        open10[at] = undefined;
      } else {
        one.count += receiveInto(one.body, one.expected.subarray(one.count), 1 + random(70_000));
        if (one.count < one.expected.length) continue;
        one.body.end();
        one.body.end(); // gives nothing back twice
        assert.ok((await one.text) === one.expected.toString(), 'the text');
        open10[at] = undefined;
      }
    }
  });
});

test('a target was given, and then bytes() is called, the body is dropped, or it breaks off', async () => {
  const expected = pattern(30_000);
  for (const [end, outcome] of Object.entries({ asked: expected, discarded: 'FEATHERSTAR_BODY', failed: 'broken' })) {
    for (const asksBefore of [true, false]) {
      const { body } = open(expected.length);
      let asked = asksBefore ? body.bytes() : undefined;
      const target = body.takeTarget(expected.length);
      asked ??= body.bytes();
      target.set(expected);
      if (end === 'discarded') body.discard();
      if (end === 'failed') body.fail(new Error('broken'));
      body.push(target, 0, expected.length, true);
      if (end === 'asked') body.end();
      const got = await asked.catch(({ code, message }) => code ?? message);
      if (end === 'asked') checkOwn(got, outcome);
      else assert.is(got, outcome);
    }
  }
});

test('a peer that sends little by little makes no large array for each piece', async () => {
  const { body } = open(2 ** 33);
  const parts = [];
  const expected = pattern(200);
  const read = (async () => {
    for await (const part of body.stream) parts.push(part);
  })();
  const targets = new Set();
  for (let at = 0; at < 200; at++) {
    const target = body.takeTarget(2 ** 33 - at);
    targets.add(target);
    target[0] = expected[at];
    body.push(target, 0, 1, true);
    await new Promise(setImmediate);
  }
  assert.ok(expected.equals(Buffer.concat(parts)));
  assert.ok(targets.size <= 4, `${targets.size} targets for 200 pieces`);
  assert.ok(
    parts.every(({ buffer }) => buffer.byteLength === 1),
    'no piece keeps a target',
  );
  body.fail(new Error('gone'));
  assert.is(await read.catch(({ message }) => message), 'gone');
});

test('text(): as TextDecoder decodes the bytes, whatever they are and however they come', async () => {
  const PARTS = ['a', 'é', '€', '😀', '\ufeff', '\r\n'].map((text) => Buffer.from(text));
  const WRONG = [
    [0x80],
    [0xc3],
    [0xe2, 0x82],
    [0xf0, 0x9f, 0x98],
    [0xed, 0xa0, 0x80],
    [0xc0, 0x80],
    [0xff],
    [0xf5, 0x80],
  ];
  await forSeeds(3, async (random) => {
    for (let i = 0; i < 300; i++) {
      const some = Array.from({ length: 1 + random(20) }, () =>
        random(4) === 0 ? Buffer.from(WRONG[random(WRONG.length)]) : PARTS[random(PARTS.length)],
      );
      const bytes = Buffer.concat(some);
      const { body } = open(random(3) === 0 ? 0 : bytes.length);
      const cut = random(2) === 0 ? bytes.length : random(bytes.length + 1);
      const asksLate = random(3) === 0;
      const early = asksLate ? undefined : body.text();
      if (cut !== 0) push(body, bytes.subarray(0, cut));
      if (cut !== bytes.length) push(body, bytes.subarray(cut));
      body.end();
      assert.is(await (early ?? body.text()), new TextDecoder().decode(bytes), bytes.toString('hex'));
    }
  });
});

test('text() that was asked for: a body that breaks off, and a second reader', async () => {
  const { body } = open(10);
  const asked = body.text();
  assert.is(await body.text().catch(({ code }) => code), 'FEATHERSTAR_BODY');
  assert.is(await body.bytes().catch(({ code }) => code), 'FEATHERSTAR_BODY');
  push(body, pattern(9));
  body.fail(new Error('gone'));
  assert.is(await asked.catch(({ message }) => message), 'gone');
});

test('a client that states a length and sends little makes no array of that length', async () => {
  const { body } = open(2 ** 33);
  const before = process.memoryUsage().arrayBuffers;
  const asked = body.bytes();
  assert.is(process.memoryUsage().arrayBuffers - before, 0, 'nothing for nothing');
  push(body, pattern(10));
  const few = process.memoryUsage().arrayBuffers - before;
  assert.ok(few <= 70_000, `${few} bytes for 10`);
  push(body, pattern(100_000));
  const many = process.memoryUsage().arrayBuffers - before;
  assert.ok(many <= 17 * 100_010 + 300_000, `${many} bytes for 100,010`);
  body.fail(new Error('gone'));
  assert.is(await asked.catch(({ message }) => message), 'gone');
});

test('a body that is a little longer than the array may grow at first gets one array, not two', async () => {
  const expected = pattern(1_048_576);
  const { body } = open(expected.length);
  const sizes = [];
  const { allocUnsafeSlow } = Buffer;
  Buffer.allocUnsafeSlow = (bytes) => {
    sizes.push(bytes);
    return allocUnsafeSlow(bytes);
  };
  try {
    const asked = body.bytes();
    for (let at = 0; at < expected.length; at += 65_400) {
      push(body, expected.subarray(at, at + 65_400)); // a large receive buffer, without the head of the request
    }
    body.end();
    checkOwn(await asked, expected);
  } finally {
    Buffer.allocUnsafeSlow = allocUnsafeSlow;
  }
  assert.equal(sizes, [expected.length]);
});

test('backpressure: what no reader takes fills the body; bytes() and a stream drain it', async () => {
  for (const length of [0, 400_000]) {
    const { body, told } = open(length);
    push(body, pattern(HIGH_WATER));
    assert.is(body.isFull, false);
    push(body, pattern(1));
    assert.is(body.isFull, true);
    const asked = body.bytes();
    assert.equal([body.isFull, told], [false, ['first read', 'drain']]);
    push(body, pattern(400_000 - HIGH_WATER - 1));
    assert.is(body.isFull, false, 'bytes() takes all');
    body.end();
    assert.is((await asked).length, 400_000);
  }
  const { body, told } = open();
  const reader = body.stream.getReader();
  for (let i = 0; i < 3; i++) push(body, pattern(HIGH_WATER));
  assert.is(body.isFull, true);
  assert.is((await reader.read()).value.length, HIGH_WATER);
  assert.equal([body.isFull, told], [true, ['first read']]);
  await reader.read();
  assert.equal([body.isFull, told], [false, ['first read', 'drain']]);
});

test('a stream gets pieces as they come, in the order of its reads, and its own bytes', async () => {
  const { body } = open();
  const reader = body.stream.getReader();
  const expected = pattern(70_000);
  const first = reader.read();
  push(body, expected);
  checkOwn((await first).value, expected);
  const second = reader.read();
  await new Promise(setImmediate); // the stream waits for bytes
  const kept = Uint8Array.of(1, 2, 3);
  body.push(kept, 1, 3, true);
  const { value } = await second;
  assert.equal([...value], [2, 3]);
  assert.is(value.buffer, kept.buffer, 'what belongs to the body is not copied');
  const reads = [reader.read(), reader.read()];
  push(body, expected);
  push(body, Buffer.from('end'));
  const [third, fourth] = await Promise.all(reads);
  checkOwn(third.value, expected);
  assert.is(Buffer.from(fourth.value).toString(), 'end');
  const last = reader.read();
  body.end();
  assert.is((await last).done, true);
});

test('a body that breaks off: a stream gets what came and then the error, bytes() the error alone', async () => {
  const error = new Error('broken');
  const streamed = open(100).body;
  const reader = streamed.stream.getReader();
  push(streamed, pattern(5));
  streamed.fail(error);
  assert.is((await reader.read()).value.length, 5);
  assert.is(await reader.read().catch((reason) => reason), error);

  const waiting = open(100).body;
  const pending = waiting.stream.getReader().read();
  waiting.fail(error);
  assert.is(await pending.catch((reason) => reason), error);

  for (const asksFirst of [true, false]) {
    const { body } = open(100);
    let asked = asksFirst ? body.bytes() : undefined;
    push(body, pattern(5));
    body.fail(error);
    body.end(); // comes too late
    asked ??= body.bytes();
    assert.is(await asked.catch((reason) => reason), error);
  }
});

test('the response is out: bytes() that waits rejects, and what comes later is dropped', async () => {
  const { body } = open(100_000);
  const asked = body.bytes();
  push(body, pattern(10));
  body.discard();
  push(body, pattern(99_990));
  body.end();
  assert.is(await asked.catch(({ code }) => code), 'FEATHERSTAR_BODY');
});

test('one reader only', async () => {
  const code = (promise) => promise.catch((error) => error.code);
  const whole = open(3).body;
  const asked = whole.bytes();
  assert.is(await code(whole.bytes()), 'FEATHERSTAR_BODY');
  assert.is(await code(whole.stream.getReader().read()), 'FEATHERSTAR_BODY');
  push(whole, pattern(3));
  whole.end();
  assert.is((await asked).length, 3);
});

test.run();
