// `request.body` beside a stream of the platform that pulls from the same kind of body. The same steps on both have the
// same results, or errors of the same class, in the same order.
//
// Next: request-byob.test.js, readers that bring their own memory.

import { isDisturbed, Readable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forSeeds } from '../support/seeds.js';
import { happens, isLazy, settle } from './body-steps.js';

const canForbidClones = 'Deno' in globalThis || process.getBuiltinModule('node:worker_threads').markAsUncloneable;
const text = (bytes) => Buffer.from(bytes).toString('latin1');

/** The platform's stream of a body, as a server without a stream of its own would make it. */
function platformStream(body) {
  return new ReadableStream(
    { pull: (controller) => body.give(controller), cancel: () => body.cancel() },
    { highWaterMark: 0 },
  );
}

function shown(value) {
  if (value === undefined || value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  if (value instanceof Error) return `${value.constructor.name} ${value.message === 'broken' ? 'broken' : ''}`;
  if (ArrayBuffer.isView(value)) return `bytes ${text(value).replaceAll(' ', '')}`;
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value === 'object' && 'done' in value) return { done: value.done, value: shown(value.value) };
  if (typeof value === 'string') return value;
  return value.constructor.name;
}

const STEPS = {
  'chunks that wait, then the end': async ({ body, stream, push, watch }) => {
    push('a');
    body.end();
    const reader = stream.getReader();
    watch('closed', () => reader.closed);
    for (let i = 0; i < 3; i++) {
      watch('read', () => reader.read());
      await settle();
    }
    watch('cancel', () => reader.cancel());
  },
  'reads that wait, in order': async ({ body, stream, push, watch }) => {
    const reader = stream.getReader();
    for (const name of ['1', '2', '3', '4']) watch(name, () => reader.read());
    push('a');
    await settle();
    push('b');
    await settle();
    watch('closed', () => reader.closed);
    body.end();
    await settle();
  },
  'the lock': async ({ stream, watch }) => {
    watch('locked', () => stream.locked);
    const reader = stream.getReader();
    watch('locked', () => stream.locked);
    for (const name of ['getReader', 'tee', 'values', 'pipeThrough', 'pipeTo', 'cancel']) {
      const args = { pipeThrough: [new TransformStream()], pipeTo: [new WritableStream()] }[name] ?? [];
      watch(name, () => stream[name](...args));
      await settle();
    }
    watch('Response', () => new Response(stream));
    watch('a second reader', () => new ReadableStreamDefaultReader(stream));
    reader.releaseLock();
    watch('locked', () => stream.locked);
    watch('getReader', () => stream.getReader());
  },
  'releaseLock() with reads that wait': async ({ stream, push, watch }) => {
    const reader = stream.getReader();
    watch('closed', () => reader.closed);
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    await settle();
    reader.releaseLock();
    reader.releaseLock();
    await settle();
    watch('read', () => reader.read());
    watch('cancel', () => reader.cancel());
    watch('closed', () => reader.closed);
    push('a');
    const next = stream.getReader();
    watch('next', () => next.read());
  },
  'closed: the same promise, and another one after a release': async ({ body, stream, watch, note }) => {
    const reader = stream.getReader();
    const { closed } = reader;
    note('same', closed === reader.closed);
    body.end();
    watch('read', () => reader.read());
    await settle();
    note('same', closed === reader.closed);
    reader.releaseLock();
    note('same', closed === reader.closed);
    watch('first', () => closed);
    watch('second', () => reader.closed);
    const late = stream.getReader();
    watch('late', () => late.closed);
    late.releaseLock();
    watch('released', () => late.closed);
  },
  'a body that breaks off': async ({ body, stream, push, watch }) => {
    push('a');
    body.fail(new Error('broken'));
    const reader = stream.getReader();
    watch('closed', () => reader.closed);
    watch('1', () => reader.read());
    await settle();
    watch('2', () => reader.read());
    await settle();
    watch('3', () => reader.read());
    watch('cancel', () => reader.cancel());
    reader.releaseLock();
    watch('again', () => stream.cancel());
    watch('closed', () => stream.getReader().closed);
  },
  'a body that breaks off while reads wait': async ({ body, stream, watch }) => {
    const reader = stream.getReader();
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    watch('closed', () => reader.closed);
    await settle();
    body.fail(new Error('broken'));
  },
  'cancel() of a stream': async ({ body, stream, push, watch }) => {
    push('a');
    watch('cancel', () => stream.cancel('enough'));
    await settle();
    push('b');
    body.end();
    const reader = stream.getReader();
    watch('read', () => reader.read());
    watch('closed', () => reader.closed);
    watch('again', () => reader.cancel());
  },
  'cancel() of a reader whose reads wait': async ({ stream, watch }) => {
    const reader = stream.getReader();
    watch('closed', () => reader.closed);
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    await settle();
    watch('cancel', () => reader.cancel());
    watch('3', () => reader.read());
    await settle();
    watch('locked', () => stream.locked);
  },
  'the response is out': async ({ body, stream, push, watch }) => {
    const reader = stream.getReader();
    push('a');
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    await settle();
    body.discard();
    await settle();
    watch('3', () => reader.read());
  },
  'for await': async ({ body, stream, push, note }) => {
    push('a');
    setImmediate(() => {
      push('b');
      setImmediate(() => body.end());
    });
    for await (const chunk of stream) note('chunk', chunk);
    note('locked', stream.locked);
    for await (const chunk of stream) note('chunk', chunk);
  },
  'for await of a body that breaks off': async ({ body, stream, push, note }) => {
    push('a');
    body.fail(new Error('broken'));
    try {
      for await (const chunk of stream) note('chunk', chunk);
    } catch (error) {
      note('loop', error);
    }
    note('locked', stream.locked);
  },
  'for await that is left': async ({ stream, push, watch, note }) => {
    for (const options of [{ preventCancel: true }, { preventCancel: false }, undefined]) {
      push('a');
      for await (const chunk of stream.values(options)) {
        note('chunk', chunk);
        break;
      }
      note('locked', stream.locked);
    }
    watch('read', () => stream.getReader().read());
  },
  'an iterator whose calls overlap': async ({ body, stream, push, watch, note }) => {
    const iterator = stream.values();
    for (const name of ['1', '2', '3']) watch(name, () => iterator.next());
    push('a');
    await settle();
    body.end();
    await settle();
    watch('4', () => iterator.next());
    watch('return', () => iterator.return('value'));
    await settle();
    note('itself', iterator[Symbol.asyncIterator]() === iterator);
  },
  'an iterator: return() behind a next() that waits, then more': async ({ stream, push, watch, note }) => {
    const iterator = stream[Symbol.asyncIterator]();
    watch('1', () => iterator.next());
    watch('return', () => iterator.return('value'));
    watch('2', () => iterator.next());
    note('locked', stream.locked);
    push('a');
    await settle();
    note('locked', stream.locked);
    watch('3', () => iterator.next());
    watch('return', () => iterator.return());
  },
  'an iterator that fails': async ({ body, stream, watch, note }) => {
    const iterator = stream.values();
    watch('1', () => iterator.next());
    watch('2', () => iterator.next());
    await settle();
    body.fail(new Error('broken'));
    await settle();
    watch('3', () => iterator.next());
    note('locked', stream.locked);
  },
  'wrong options': async ({ stream, watch }) => {
    for (const options of [5, 'byob', { mode: 'x' }, { mode: null }, () => {}]) {
      watch('getReader', () => stream.getReader(options));
      watch('locked', () => stream.locked);
    }
    watch('values', () => stream.values(5));
  },
  'options that say nothing': async ({ stream, push, watch }) => {
    for (const options of [null, {}, { mode: undefined }]) {
      const reader = stream.getReader(options);
      push('a');
      watch('read', () => reader.read());
      await settle();
      reader.releaseLock();
    }
    watch('values', () => typeof stream.values(null).next);
  },
  'what it is': async ({ stream, note }) => {
    note('stream', stream instanceof ReadableStream && stream.constructor === ReadableStream);
    note('tag', String(stream));
    note('values', stream.values === stream[Symbol.asyncIterator]);
    const reader = stream.getReader();
    note('reader', reader instanceof ReadableStreamDefaultReader && reader.constructor === ReadableStreamDefaultReader);
    note('tag', String(reader));
    reader.releaseLock();
    const parent = (object) => Object.getPrototypeOf(Object.getPrototypeOf(object));
    const AsyncIteratorPrototype = parent(Object.getPrototypeOf((async function* () {})()));
    note('iterator', Object.prototype.isPrototypeOf.call(AsyncIteratorPrototype, stream.values()));
  },
  "functions of the platform's classes": async ({ body, stream, push, watch }) => {
    const reader = ReadableStream.prototype.getReader.call(stream);
    push('a');
    watch('read', () => ReadableStreamDefaultReader.prototype.read.call(reader));
    await settle();
    watch('locked', () => Object.getOwnPropertyDescriptor(ReadableStream.prototype, 'locked').get.call(stream));
    body.end();
  },
  "functions of the platform's classes, of our reader": async ({ body, stream, push, watch }) => {
    const reader = stream.getReader();
    push('a');
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    await settle();
    watch('3', () => ReadableStreamDefaultReader.prototype.read.call(reader));
    push('b');
    await settle();
    push('c');
    await settle();
    body.end();
    await settle();
    reader.releaseLock();
    watch('read', () => ReadableStreamDefaultReader.prototype.read.call(reader));
    watch('closed', () => reader.closed);
  },
  'tee()': async ({ body, stream, push, watch, note }) => {
    push('a');
    const [one, two] = stream.tee();
    note('locked', stream.locked);
    const readers = [one.getReader(), two.getReader()];
    for (const reader of readers) watch('read', () => reader.read());
    await settle();
    push('b');
    for (const reader of readers) watch('read', () => reader.read());
    await settle();
    body.end();
    for (const reader of readers) watch('read', () => reader.read());
  },
  'tee() when a part was read': async ({ body, stream, push, watch }) => {
    push('a');
    const reader = stream.getReader();
    watch('read', () => reader.read());
    await settle();
    reader.releaseLock();
    push('b');
    body.end();
    const [one, two] = stream.tee();
    watch('one', () => new Response(one).text());
    watch('two', () => new Response(two).text());
  },
  'pipeThrough() and pipeTo()': async ({ body, stream, push, note }) => {
    push('a');
    setTimeout(() => {
      push('b');
      body.end();
    }, 5);
    const written = [];
    await stream
      .pipeThrough(new TransformStream())
      .pipeTo(new WritableStream({ write: (chunk) => void written.push(text(chunk)) }));
    note('written', written);
    note('locked', stream.locked);
  },
  'a Response of it': async ({ body, stream, push, watch, note }) => {
    push('a');
    setTimeout(() => {
      push('b');
      body.end();
    }, 5);
    const response = new Response(stream);
    note('same', response.body === stream);
    await watch('text', () => response.text());
    note('used', response.bodyUsed);
    watch('again', () => response.text());
  },
  'a Response of one of which a part was read': async ({ stream, push, watch }) => {
    push('a');
    const reader = stream.getReader();
    watch('read', () => reader.read());
    await settle();
    reader.releaseLock();
    watch('Response', () => new Response(stream));
    watch('disturbed', () => isDisturbed(stream));
  },
  'is it disturbed': async ({ body, stream, push, watch }) => {
    watch('disturbed', () => isDisturbed(stream));
    push('a');
    body.end();
    for await (const _chunk of stream);
    watch('disturbed', () => isDisturbed(stream));
    watch('read', () => stream.getReader().read());
  },
  'what the platform makes of one that has ended, failed or was cancelled': async ({ body, stream, push, watch }) => {
    push('a');
    watch('cancel', () => stream.cancel());
    await settle();
    body.end();
    watch('disturbed', () => isDisturbed(stream));
    watch('tee', () => stream.tee());
  },
  'Readable.fromWeb()': async ({ body, stream, push, note }) => {
    push('a');
    setTimeout(() => {
      push('b');
      body.end();
    }, 5);
    const parts = [];
    for await (const part of Readable.fromWeb(stream)) parts.push(text(part));
    note('parts', parts);
  },
  'the platform takes over a reader whose reads wait, and the end': async ({ body, stream, push, watch }) => {
    const reader = stream.getReader();
    watch('closed', () => reader.closed);
    watch('1', () => reader.read());
    watch('2', () => reader.read());
    await settle();
    watch('disturbed', () => isDisturbed(stream));
    push('a');
    await settle();
    watch('locked', () => stream.locked);
    watch('tee', () => stream.tee());
    body.end();
    await settle();
    watch('3', () => reader.read());
    await settle();
    reader.releaseLock();
    watch('locked', () => stream.locked);
    watch('4', () => stream.getReader().read());
  },
  'the platform takes over an iterator': async ({ body, stream, push, watch, note }) => {
    const iterator = stream.values();
    watch('1', () => iterator.next());
    await settle();
    watch('disturbed', () => isDisturbed(stream));
    push('a');
    await settle();
    watch('2', () => iterator.next());
    watch('3', () => iterator.next());
    body.end();
    await settle();
    note('locked', stream.locked);
    watch('4', () => iterator.next());
  },
  'the platform takes over an iterator that is left': async ({ stream, push, watch, note }) => {
    const iterator = stream.values();
    push('a');
    watch('1', () => iterator.next());
    await settle();
    watch('disturbed', () => isDisturbed(stream));
    watch('return', () => iterator.return('value'));
    await settle();
    note('locked', stream.locked);
    watch('read', () => stream.getReader().read());
  },
  'structuredClone() without a transfer': async ({ stream, watch, note }) => {
    if (canForbidClones) watch('clone', () => structuredClone(stream));
    else note('skipped', 'this Node clones an empty object');
  },
};

for (const [name, steps] of Object.entries(STEPS)) {
  test(name, async () => {
    const ours = await happens((body) => body.stream, steps, shown);
    assert.equal(ours, await happens(platformStream, steps, shown));
    assert.ok(ours.length > 0);
  });
}

/** One step of a program, drawn by a seed. */
function randomStep(random, count) {
  const kinds = ['push', 'push', 'read', 'read', 'getReader', 'release', 'values', 'next', 'next', 'return'];
  const rare = ['cancel', 'cancelReader', 'end', 'fail', 'discard', 'closed', 'touch', 'tee'];
  const kind = random(4) === 0 ? rare[random(rare.length)] : kinds[random(kinds.length)];
  return { kind, count, times: 1 + random(3), keeps: random(2) === 0 };
}

/** Not while the call before waits: Node and the standard disagree about that. */
function callIterator(watch, state, name) {
  if (state.isCalling || state.iterator === undefined) return;
  state.isCalling = true;
  const end = () => {
    state.isCalling = false;
  };
  watch(name, () => state.iterator[name]('value'))?.then(end, end);
}

const RUN = {
  push: ({ push }, { count }) => push(`<${count}>`.padEnd(5000)), // longer than those that a queue joins
  read: ({ watch, state }, { times }) => {
    for (let i = 0; i < times; i++) watch(`read ${i}`, () => state.reader?.read());
  },
  getReader: ({ watch, stream, state }) => {
    watch('getReader', () => {
      state.reader = stream.getReader();
      return 'a reader';
    });
  },
  release: ({ watch, state }) => watch('release', () => state.reader?.releaseLock()),
  values: ({ watch, stream, state }, { keeps }) => {
    watch('values', () => {
      state.iterator = stream.values({ preventCancel: keeps });
      return 'an iterator';
    });
  },
  next: ({ watch, state }) => callIterator(watch, state, 'next'),
  return: ({ watch, state }) => callIterator(watch, state, 'return'),
  cancel: ({ watch, stream }) => watch('cancel', () => stream.cancel('reason')),
  cancelReader: ({ watch, state }) => watch('cancel', () => state.reader?.cancel('reason')),
  end: ({ body }) => body.end(),
  fail: ({ body }) => body.fail(new Error('broken')),
  discard: ({ body }) => body.discard(),
  closed: ({ watch, state }, { count }) => watch(`closed ${count}`, () => state.reader?.closed),
  touch: ({ watch, stream }) => watch('disturbed', () => isDisturbed(stream)),
  tee: ({ watch, stream }) => watch('tee', () => stream.tee().length),
};

test('any steps in any order', async () => {
  const seeds = [];
  forSeeds(300, (random, seed) => seeds.push({ random, seed }));
  for (const { random, seed } of seeds) {
    const list = Array.from({ length: 1 + random(25) }, (_, count) => randomStep(random, count));
    const steps = async (context) => {
      context.state = {};
      for (const step of list) {
        context.note('step', step.kind);
        RUN[step.kind](context, step);
        await settle();
        context.note('locked', context.stream.locked);
      }
    };
    const ours = await happens((body) => body.stream, steps, shown);
    assert.equal(ours, await happens(platformStream, steps, shown), `FEATHERSTAR_SEED=${seed} repeats this`);
  }
});

test('no stream of the platform is made while only readers and iterators are asked', async () => {
  if (!isLazy) return; // Bun
  const Platform = globalThis.ReadableStream;
  globalThis.ReadableStream = class {
    constructor() {
      throw new Error('a stream of the platform was made');
    }
  };
  try {
    const log = await happens(
      (body) => body.stream,
      async ({ body, stream, push, note }) => {
        push('a');
        const reader = stream.getReader();
        note('1 read', await reader.read());
        reader.releaseLock();
        push('b');
        body.end();
        for await (const chunk of stream) note('2 chunk', chunk);
        await stream.cancel();
        note('3 locked', stream.locked);
      },
      shown,
    );
    assert.equal(log, ['1 read: {"done":false,"value":"bytes a"}', '2 chunk: "bytes b"', '3 locked: false']);
  } finally {
    globalThis.ReadableStream = Platform;
  }
});

test.run();
