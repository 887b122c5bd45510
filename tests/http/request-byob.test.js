// BYOB readers of `request.body` (`getReader({ mode: 'byob' })`) beside those of a byte stream of the platform. Then a
// random one: no byte is lost or moved, however the body comes, and whatever its readers bring.
//
// Next: server-uploads.test.js, over sockets.

import { isDisturbed } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RequestBody } from '../../dist/host/http/body.js';
import { forSeeds } from '../support/seeds.js';
import { happens, isLazy, settle } from './body-steps.js';
import { pattern } from './server-rig.js';

const hasMin = Number.parseInt(process.versions.node, 10) >= 22;
const byob = { mode: 'byob' };

function openBody(length = 0) {
  const told = [];
  const body = new RequestBody({ onFirstRead() {}, onDrain: () => told.push('drain') }, length);
  return { body, told };
}

/** The platform's byte stream of a body. */
function platformStream(body) {
  return new ReadableStream({
    type: 'bytes',
    pull: (controller) =>
      body.give({
        enqueue: (run) => controller.enqueue(new Uint8Array(run)),
        close: () => {
          controller.close();
          controller.byobRequest?.respond(0);
        },
        error: (reason) => controller.error(reason),
      }),
    cancel: () => body.cancel(),
  });
}

function shown(value) {
  if (value instanceof DOMException) return `DOMException ${value.name}`;
  if (value instanceof Error) return value.constructor.name;
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    const text = Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
    return `${value.constructor.name} "${text}" at ${byteOffset} of ${buffer.byteLength}`;
  }
  if (value !== null && typeof value === 'object' && 'done' in value) return [value.done, shown(value.value)];
  return value;
}

const around = (text) => Buffer.from(new ArrayBuffer(16)).fill('_').fill(text, 4, 12);
const viewOf = (text) => new Uint8Array(around(text).buffer, 4, 8);

const STEPS = {
  'views: those that wait, and bytes that wait': async ({ body, stream, push, watch, note }) => {
    const reader = stream.getReader(byob);
    note('locked', stream.locked);
    note('reader', reader instanceof ReadableStreamBYOBReader && reader.constructor === ReadableStreamBYOBReader);
    note('tag', String(reader));
    const view = viewOf('....');
    watch('1', () => reader.read(view));
    note('detached', view.buffer.byteLength);
    watch('2', () => reader.read(viewOf('....')));
    await settle();
    push('abc');
    await settle();
    push('defg');
    await settle();
    push('0123456789');
    watch('3', () => reader.read(viewOf('....')));
    await settle();
    watch('4', () => reader.read(viewOf('....')));
    await settle();
    watch('5', () => reader.read(viewOf('....')));
    watch('closed', () => reader.closed);
    await settle();
    body.end();
    await settle();
    watch('6', () => reader.read(viewOf('....')));
  },
  'releaseLock() while reads wait': async ({ stream, push, watch, note }) => {
    const reader = stream.getReader(byob);
    watch('closed', () => reader.closed);
    watch('1', () => reader.read(viewOf('....')));
    watch('2', () => reader.read(viewOf('....')));
    await settle();
    reader.releaseLock();
    await settle();
    note('locked', stream.locked);
    const view = viewOf('....');
    watch('3', () => reader.read(view));
    watch('cancel', () => reader.cancel());
    push('abc');
    const next = stream.getReader();
    watch('next', () => next.read());
    await settle();
    next.releaseLock();
    push('def');
    watch('byob', () => stream.getReader(byob).read(viewOf('....')));
  },
  'cancel() while reads wait': async ({ stream, push, watch }) => {
    const reader = stream.getReader(byob);
    watch('closed', () => reader.closed);
    watch('1', () => reader.read(viewOf('....')));
    watch('2', () => reader.read(viewOf('....')));
    await settle();
    watch('cancel', () => reader.cancel('enough'));
    await settle();
    push('abc');
    watch('3', () => reader.read(viewOf('....')));
  },
  'a body that breaks off': async ({ body, stream, watch, note }) => {
    const reader = stream.getReader(byob);
    watch('closed', () => reader.closed);
    watch('1', () => reader.read(viewOf('....')));
    watch('2', () => reader.read(viewOf('....')));
    await settle();
    body.fail(new Error('broken'));
    await settle();
    const view = viewOf('....');
    watch('3', () => reader.read(view));
    note('not detached', view.buffer.byteLength);
    await settle();
    watch('cancel', () => reader.cancel());
  },
  'the lock': async ({ stream, watch }) => {
    const reader = stream.getReader(byob);
    for (const options of [byob, undefined]) watch('getReader', () => stream.getReader(options));
    for (const name of ['tee', 'values', 'cancel']) watch(name, () => stream[name]());
    watch('a second reader', () => new ReadableStreamBYOBReader(stream));
    await settle();
    reader.releaseLock();
    watch('values', () => typeof stream.values().next);
  },
  'views that cannot be read into': async ({ stream, push, watch }) => {
    const reader = stream.getReader(byob);
    const detached = viewOf('....');
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    for (const view of [undefined, null, 'view', {}, new ArrayBuffer(8), new Uint8Array(0), detached]) {
      watch('read', () => reader.read(view));
      await settle();
    }
    if (hasMin) watch('shared', () => reader.read(shared));
    await settle();
    const { buffer } = new WebAssembly.Memory({ initial: 1 });
    watch('of WebAssembly', () => reader.read(new Uint8Array(buffer)));
    await settle();
    push('abc');
    watch('good', () => reader.read(viewOf('....')));
  },
  'memory that cannot be detached, at first': async ({ stream, push, watch }) => {
    const reader = stream.getReader(byob);
    const { buffer } = new WebAssembly.Memory({ initial: 1 });
    watch('of WebAssembly', () => reader.read(new Uint8Array(buffer)));
    await settle();
    push('abc');
    watch('good', () => reader.read(viewOf('....')));
  },
  'views of other kinds': async ({ stream, push, watch }) => {
    const reader = stream.getReader(byob);
    push('abcdefgh');
    watch('Uint16Array', () => reader.read(new Uint16Array(4)));
    await settle();
    push('abc');
    watch('DataView', () => reader.read(new DataView(around('....').buffer, 4, 8)));
    await settle();
    push('abc');
    watch('Int8Array', () => reader.read(new Int8Array(8)));
    await settle();
    push('abc');
    watch('Uint8Array', () => reader.read(viewOf('....')));
  },
  'the platform takes over while reads wait': async ({ body, stream, push, watch, note }) => {
    const reader = stream.getReader(byob);
    watch('closed', () => reader.closed);
    watch('1', () => reader.read(viewOf('....')));
    watch('2', () => reader.read(viewOf('....')));
    await settle();
    watch('disturbed', () => isDisturbed(stream));
    push('abc');
    await settle();
    watch('3', () => ReadableStreamBYOBReader.prototype.read.call(reader, viewOf('....')));
    push('def');
    await settle();
    push('ghi');
    await settle();
    body.end();
    watch('4', () => reader.read(viewOf('....')));
    await settle();
    reader.releaseLock();
    watch('5', () => reader.read(viewOf('....')));
    note('locked', stream.locked);
    watch('byob', () => stream.getReader(byob).read(viewOf('....')));
  },
  'tee() behind a BYOB reader': async ({ body, stream, push, watch, note }) => {
    const reader = stream.getReader(byob);
    push('abc');
    watch('1', () => reader.read(viewOf('....')));
    await settle();
    reader.releaseLock();
    const [one, two] = stream.tee();
    note('one', one.getReader(byob) instanceof ReadableStreamBYOBReader);
    push('def');
    body.end();
    watch('two', () => new Response(two).text());
  },
};

if (hasMin) {
  STEPS.min = async ({ body, stream, push, watch }) => {
    const reader = stream.getReader(byob);
    for (const min of [0, -1, 9, Number.NaN]) watch(`min ${min}`, () => reader.read(viewOf('....'), { min }));
    await settle();
    watch('8', () => reader.read(viewOf('....'), { min: 8 }));
    for (const text of ['abc', 'def', 'gh']) {
      push(text);
      await settle();
    }
    push('abc');
    watch('4', () => reader.read(viewOf('....'), { min: 4 }));
    await settle();
    push('def');
    await settle();
    watch('5', () => reader.read(viewOf('....'), { min: 5 }));
    push('abc');
    await settle();
    body.end();
    await settle();
    watch('3', () => reader.read(viewOf('....'), { min: 3 }));
  };
  STEPS['min, and then a release'] = async ({ stream, push, watch }) => {
    const reader = stream.getReader(byob);
    watch('5', () => reader.read(viewOf('....'), { min: 5 }));
    push('abc');
    await settle();
    reader.releaseLock();
    const next = stream.getReader();
    watch('next', () => next.read());
    await settle();
    push('def');
    watch('next', () => next.read());
  };
}

for (const [name, steps] of Object.entries(STEPS)) {
  test(name, async () => {
    if (!isLazy) return; // Bun: the stream has no BYOB readers
    assert.equal(await happens((body) => body.stream, steps, shown), await happens(platformStream, steps, shown));
  });
}

test('a Buffer comes back as a Buffer, on every platform', async () => {
  if (!isLazy) return;
  const { body } = openBody();
  const reader = body.stream.getReader(byob);
  body.push(Buffer.from('abc'), 0, 3, true);
  const { value } = await reader.read(Buffer.from(new ArrayBuffer(8)));
  assert.ok(Buffer.isBuffer(value));
  assert.is(value.toString(), 'abc');
});

test('a body that ends in the middle of an element fails the read, not the connection', async () => {
  if (!isLazy) return;
  const { body } = openBody();
  const reader = body.stream.getReader(byob);
  const read = reader.read(new Uint16Array(4)).catch((error) => error);
  await settle();
  body.push(Buffer.from('a'), 0, 1, true);
  await settle();
  body.end();
  assert.instance(await read, TypeError);
  assert.instance(await reader.closed.catch((error) => error), TypeError);
});

test("memory of Node's pool for Buffers is not taken from it", async () => {
  if (!isLazy) return;
  const { body } = openBody();
  const reader = body.stream.getReader(byob);
  const pooled = Buffer.allocUnsafe(10);
  assert.ok(pooled.buffer.byteLength > 10);
  assert.instance(await reader.read(pooled).catch((error) => error), TypeError);
  assert.is(Buffer.allocUnsafe(10).length, 10);
});

test('a large body goes straight into the view, and nothing is received until there is one', async () => {
  if (!isLazy) return;
  const { body, told } = openBody(1_000_000);
  const reader = body.stream.getReader(byob);
  assert.is(body.takeTarget(1_000_000), null, 'wait');
  const read = reader.read(new Uint8Array(70_000));
  assert.equal(told, ['drain']);
  const target = body.takeTarget(1_000_000);
  assert.is(target.length, 70_000);
  target[0] = 7;
  body.push(target, 0, 1, true);
  const { value } = await read;
  assert.equal([value.length, value[0], value.buffer.byteLength], [1, 7, 70_000]);
  assert.is(value.buffer, target.buffer, 'no copy');
  const next = reader.read(new Uint8Array(value.buffer));
  assert.is(body.takeTarget(20_000).length, 20_000, 'not more than the rest');
  reader.releaseLock();
  await next.catch(() => {});
  assert.is.not(body.takeTarget(20_000), null);
});

test('a small view: bytes come in a larger array', async () => {
  if (!isLazy) return;
  const { body } = openBody(1_000_000);
  const reader = body.stream.getReader(byob);
  const read = reader.read(new Uint8Array(10));
  const target = body.takeTarget(1_000_000);
  assert.is(target.length, 65_536);
  target.set([1, 2, 3]);
  body.push(target, 0, 65_536, true);
  assert.is((await read).value.length, 10);
  assert.is((await reader.read(new Uint8Array(100_000))).value.length, 65_526);
});

test('a reader that waits for nothing holds up no one: it is released, cancelled, or another reads', async () => {
  if (!isLazy) return;
  for (const end of ['releaseLock', 'cancel']) {
    const { body, told } = openBody(1_000_000);
    const reader = body.stream.getReader(byob);
    assert.is(body.takeTarget(1_000_000), null);
    await reader[end]();
    assert.equal(told, ['drain'], end);
  }
  const { body, told } = openBody(1_000_000);
  body.stream.getReader(byob);
  assert.is(body.takeTarget(1_000_000), null);
  const whole = body.bytes();
  assert.equal(told, ['drain']);
  assert.is.not(body.takeTarget(1_000_000), null);
  body.fail(new Error('broken'));
  assert.is(await whole.catch(({ message }) => message), 'broken');
});

/** Everything that a program does with a body in one random run; the bytes that it got, in order. */
async function readRandomly(stream, random, touches) {
  const parts = [];
  let buffer = new ArrayBuffer(1 + random(100_000));
  for (;;) {
    const reader = stream.getReader(random(4) === 0 ? undefined : byob);
    for (let count = 1 + random(6); count > 0; count--) {
      let result;
      if (reader instanceof ReadableStreamBYOBReader) {
        const offset = random(buffer.byteLength);
        const view = new Uint8Array(buffer, offset, 1 + random(buffer.byteLength - offset));
        const min = hasMin && random(3) === 0 ? 1 + random(view.length) : undefined;
        const read = reader.read(view, min && { min });
        assert.is(buffer.byteLength, 0, 'the buffer is transferred');
        if (touches && random(30) === 0) isDisturbed(stream);
        if (random(8) === 0) {
          await settle();
          reader.releaseLock();
          result = await read.catch(() => undefined);
          buffer = result?.value.buffer ?? new ArrayBuffer(1 + random(100_000));
          if (result !== undefined) parts.push(Buffer.from(result.value));
          if (result?.done) return Buffer.concat(parts);
          break;
        }
        result = await read;
        buffer = result.value.buffer;
        if (result.value.length !== 0) parts.push(Buffer.from(result.value));
        if (min !== undefined && !result.done) assert.ok(result.value.length >= min);
      } else {
        result = await reader.read();
        if (result.value !== undefined) parts.push(Buffer.from(result.value));
      }
      if (result.done) return Buffer.concat(parts);
      if (random(5) === 0) await settle();
    }
    reader.releaseLock();
  }
}

test('any cut, any views, any readers: every byte, in order', async () => {
  if (!isLazy) return;
  const runs = [];
  forSeeds(150, (random, seed) => runs.push({ random, seed }));
  for (const { random, seed } of runs) {
    const expected = pattern(1 + random(1 << (1 + random(20))));
    const { body } = openBody(random(3) === 0 ? 0 : expected.length);
    const reading = readRandomly(body.stream, random, seed % 3 === 0);
    let at = 0;
    while (at < expected.length) {
      const rest = expected.subarray(at);
      const kind = random(3);
      const target = kind === 0 ? body.takeTarget(rest.length) : null;
      if (target !== null) {
        if (random(3) === 0) await settle(); // what its reader does meanwhile
        const bytes = Math.min(target.length, 1 + random(1 << (1 + random(18))));
        target.set(rest.subarray(0, bytes));
        if (random(3) === 0) await settle();
        body.push(target, 0, bytes, true);
        at += bytes;
      } else if (kind === 1 || random(4) === 0) {
        const bytes = Math.min(rest.length, 1 + random(1 << (1 + random(18))));
        const copy = Buffer.concat([rest.subarray(0, bytes), Buffer.alloc(2)]);
        const isOwn = random(2) === 0;
        body.push(copy, 0, bytes, isOwn);
        if (!isOwn) copy.fill(0xdd);
        at += bytes;
      }
      if (random(3) === 0) await settle();
    }
    body.end();
    const got = await reading;
    assert.ok(expected.equals(got), `FEATHERSTAR_SEED=${seed} repeats this: ${got.length} of ${expected.length} bytes`);
  }
});

test.run();
