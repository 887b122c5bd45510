// `response.body` of a body that is all here, beside the platform's.
//
// Next: request-stream.test.js, the same streams of bodies that are received.

import { Response as FeatherResponse } from 'featherstar/http';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isLazy } from './body-steps.js';
import { bytes, compare, read, shown } from './compare-classes.js';

test('a body can be read by all that reads streams', async () => {
  const uses = {
    reader: async (stream) => (await stream.getReader().read()).value,
    'reader to the end': async (stream) => {
      const reader = stream.getReader();
      return [shown((await reader.read()).value), (await reader.read()).done, await reader.closed];
    },
    byob: async (stream) => (await stream.getReader({ mode: 'byob' }).read(new Uint8Array(3))).value,
    'byob to the end': async (stream) => {
      const reader = stream.getReader({ mode: 'byob' });
      const first = await reader.read(new Uint8Array(100));
      return [shown(first.value), (await reader.read(new Uint8Array(1))).done];
    },
    tee: async (stream) => (await Promise.all(stream.tee().map(read))).join(),
    pipeThrough: async (stream) => read(stream.pipeThrough(new TransformStream())),
    pipeTo: async (stream) => stream.pipeTo(new WritableStream()),
    cancel: async (stream) => [await stream.cancel(), stream.locked],
    locked: async (stream) => stream.locked,
    'async iteration': read,
    'closed behind the last chunk': async (stream) => {
      const reader = stream.getReader();
      await reader.read();
      return [await reader.closed, (await reader.read()).done];
    },
    'closed behind the last byte of a view': async (stream) => {
      const reader = stream.getReader({ mode: 'byob' });
      await reader.read(new Uint8Array(100));
      return reader.closed;
    },
    'a read behind a read': async (stream) => {
      const reader = stream.getReader();
      return (await Promise.all([reader.read(), reader.read()])).map(({ done, value }) => [done, shown(value)]);
    },
    'two views': async (stream) => {
      const reader = stream.getReader({ mode: 'byob' });
      const reads = await Promise.all([reader.read(new Uint8Array(4)), reader.read(new Uint8Array(100))]);
      return reads.map(({ done, value }) => [done, shown(value)]);
    },
    'locked in a loop': async (stream) => {
      const seen = [];
      for await (const part of stream) seen.push(shown(part), stream.locked);
      return [...seen, stream.locked];
    },
    'a loop that is left': async (stream) => {
      for await (const part of stream) if (part) break;
      return [stream.locked, await read(stream)];
    },
    'an iterator that keeps the stream': async (stream) => {
      for await (const part of stream.values({ preventCancel: true })) if (part) break;
      return [stream.locked, await read(stream)];
    },
    'a reader that cancels': async (stream) => {
      const reader = stream.getReader();
      return [await reader.cancel('enough'), await reader.closed, (await reader.read()).done];
    },
    'a reader that was released': async (stream) => {
      stream.getReader().releaseLock();
      return [stream.locked, await read(stream)];
    },
    'tee of what was read': async (stream) => {
      const reader = stream.getReader({ mode: 'byob' });
      await reader.read(new Uint8Array(4));
      reader.releaseLock();
      return (await Promise.all(stream.tee().map(read))).join();
    },
    'bytes that the reader changes': async (stream) => {
      const { value } = await stream.getReader().read();
      return value?.fill(0).length;
    },
    tag: async (stream) => [`${stream}`, stream.constructor === ReadableStream, stream instanceof ReadableStream],
  };
  for (const [name, body] of Object.entries({ text: 'some text', bytes: bytes('some bytes'), empty: '' })) {
    for (const [how, use] of Object.entries(uses)) {
      await compare({
        [`${name}: ${how}`]: async ({ Response }) => {
          const response = new Response(body);
          return [shown(await use(response.body)), response.bodyUsed];
        },
      });
    }
  }
});

if ('Deno' in globalThis) console.log('# skipped: bodyUsed behind pipeTo(): Deno tells of it at the first pull');
else {
  test('a body that a function of the platform reads is used at once', async () => {
    await compare({
      pipeTo: async ({ Response }) => {
        const response = new Response('some text');
        const piped = response.body.pipeTo(new WritableStream());
        const { bodyUsed } = response;
        await piped;
        return [bodyUsed, response.bodyUsed];
      },
      pipeThrough: ({ Response }) => {
        const response = new Response('some text');
        response.body.pipeThrough(new TransformStream());
        return [response.bodyUsed, response.body.locked];
      },
      tee: async ({ Response }) => {
        const response = new Response('some text');
        const [left] = response.body.tee();
        return [response.bodyUsed, await read(left), response.bodyUsed];
      },
    });
  });
}

test('the bytes of a text are made at the first read', async () => {
  if (!isLazy) return; // Bun: its streams are real
  const { encode } = TextEncoder.prototype;
  let made = 0;
  TextEncoder.prototype.encode = function (...args) {
    made++;
    return encode.apply(this, args);
  };
  try {
    const response = new FeatherResponse('some text');
    const { body } = response;
    assert.not(body.locked);
    for (const options of [undefined, { mode: 'byob' }]) body.getReader(options).releaseLock();
    body.values({ preventCancel: true }).return();
    assert.is(await new FeatherResponse(response.clone().body).text(), 'some text');
    for (const use of [(stream) => stream.cancel(), (stream) => stream.getReader().cancel()])
      await use(new FeatherResponse('some text').body);
    const [left, right] = new FeatherResponse('some text').body.tee();
    await Promise.all([left.cancel(), right.cancel()]);
    assert.is(await response.text(), 'some text');
    assert.ok(body.locked);
    assert.is(made, 0);
    const other = new FeatherResponse('some text').body;
    assert.equal((await other.getReader().read()).value, bytes('some text'));
    assert.is(made, 2); // with bytes() of this test
  } finally {
    TextEncoder.prototype.encode = encode;
  }
});

test('a response and its clone have bytes of their own', async () => {
  const given = bytes('some bytes');
  await compare({
    bytes: async ({ Response }) => {
      const response = new Response(given);
      const { value } = await response.clone().body.getReader().read();
      value.fill(0);
      return [response.bodyUsed, await response.text(), shown(given)];
    },
  });
});

test('a body that is all here is read without a stream of the platform', async () => {
  if (!isLazy) return;
  let made = 0;
  const { ReadableStream: Platform } = globalThis;
  globalThis.ReadableStream = new Proxy(Platform, {
    construct(...args) {
      made++;
      return Reflect.construct(...args);
    },
  });
  try {
    for (const body of ['some text', bytes('some bytes'), '']) {
      const response = new FeatherResponse(body);
      const reader = response.clone().body.getReader();
      while (!(await reader.read()).done);
      for await (const _part of new FeatherResponse(body).body);
      await response.body.cancel();
    }
    assert.is(made, 0);
    new FeatherResponse('text').body.tee();
    assert.is(made, 1);
  } finally {
    globalThis.ReadableStream = Platform;
  }
});

test.run();
