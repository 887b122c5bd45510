// Response and Headers of featherstar beside the platform's: the same operations on both have the same results, or
// throw errors of the same class.
//
// Next: response-body.test.js, the streams of bodies; globals.test.js, where ours take the place of the global ones.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytes, chunks, compare, FeatherHeaders, read, shown, THEIRS } from './compare-classes.js';

const form = () => {
  const data = new FormData();
  data.set('a', 'b');
  return data;
};

const BODIES = {
  nothing: () => undefined,
  null: () => null,
  '': () => '',
  text: () => 'ä€😀',
  'a byte order mark': () => '\ufeffx',
  'a lone surrogate': () => 'a\ud800b',
  json: () => '{"a":[1]}',
  number: () => 5,
  object: () => ({ a: 1 }),
  array: () => ['a', 'b'],
  symbol: () => Symbol('a'),
  Uint8Array: () => bytes('bytes'),
  'an empty Uint8Array': () => new Uint8Array(0),
  'a part of a buffer': () => Buffer.from('__part__').subarray(2, 6),
  Uint16Array: () => new Uint16Array([0x6161, 0x6262]),
  DataView: () => new DataView(bytes('0123').buffer, 1, 2),
  ArrayBuffer: () => bytes('buffer').buffer,
  'bytes that are no UTF-8': () => Uint8Array.of(0xef, 0xbb, 0xbf, 0xff, 0x41),
  Blob: () => new Blob(['blob'], { type: 'Text/CSS;Charset=x' }),
  'a Blob without a type': () => new Blob(['blob']),
  URLSearchParams: () => new URLSearchParams({ a: 'b c', d: 'ä' }),
  String: () => new String('object'),
  stream: () => chunks(bytes('a'), bytes('b')),
  'an empty stream': () => chunks(),
  'a stream of text': () => chunks('text'),
  'a stream that fails': () => new ReadableStream({ pull: () => Promise.reject(new RangeError('broken')) }),
  'a locked stream': () => {
    const stream = chunks(bytes('a'));
    stream.getReader();
    return stream;
  },
  'a stream that was read': async () => {
    const stream = chunks(bytes('a'), bytes('b'));
    const reader = stream.getReader();
    await reader.read();
    reader.releaseLock();
    return stream;
  },
  'a generator': () =>
    (async function* () {
      yield bytes('a');
      yield bytes('b');
    })(),
};

const READS = {
  text: (response) => response.text(),
  json: (response) => response.json(),
  arrayBuffer: (response) => response.arrayBuffer(),
  blob: (response) => response.blob(),
  formData: (response) => response.formData(),
  ...(Response.prototype.bytes && { bytes: (response) => response.bytes() }),
  stream: async (response) => response.body && read(response.body),
};

for (const [name, body] of Object.entries(BODIES)) {
  test(`a body: ${name}`, async () => {
    const cases = {
      made: async ({ Response }) => new Response(await body()),
      'the same stream each time': async ({ Response }) => {
        const response = new Response(await body());
        const { body: stream, headers } = response;
        return response.body === stream && response.headers === headers;
      },
      twice: async ({ Response }) => {
        const given = await body();
        const first = new Response(given);
        return [await first.text(), await new Response(given).text()];
      },
    };
    for (const [how, reads] of Object.entries(READS)) {
      const make = async ({ Response }, init) => new Response(await body(), init);
      const typed = { headers: { 'content-type': 'Text/X; Charset=UTF-8' } };
      Object.assign(cases, {
        [how]: async (classes) => reads(await make(classes)),
        [`${how} with a type`]: async (classes) => reads(await make(classes, typed)),
        [`${how} without a type`]: async (classes) => {
          const response = await make(classes);
          response.headers.delete('content-type');
          return reads(response);
        },
        [`${how} twice`]: async (classes) => {
          const response = await make(classes);
          await reads(response).catch(() => undefined);
          return [response.bodyUsed, await outcomeOf(() => reads(response), classes), response.body?.locked];
        },
        [`${how} after a look at the body`]: async (classes) => {
          const response = await make(classes);
          const { body: seen } = response;
          const value = shown(await reads(response));
          return [value, seen === response.body, response.bodyUsed, seen?.locked];
        },
        [`${how} of a clone, and of the original`]: async (classes) => {
          const response = await make(classes, { status: 201, statusText: 'S', headers: { a: 'b' } });
          const copy = response.clone();
          const both = [shown(copy), shown(response), copy.body !== response.body || copy.body === null];
          return [both, await reads(copy), copy.bodyUsed, response.bodyUsed, await reads(response)];
        },
        [`${how} of a clone after a look at the body`]: async (classes) => {
          const response = await make(classes);
          const { body: seen } = response;
          const copy = response.clone();
          return [seen?.locked, await reads(response), await reads(copy)];
        },
        [`${how}, then clone`]: async (classes) => {
          const response = await make(classes);
          await reads(response);
          return response.clone();
        },
        [`${how} of a body that was passed on`]: async (classes) => {
          const response = await make(classes, { status: 201, headers: { a: 'b' } });
          const next = new classes.Response(response.body, response);
          return [shown(next), response.body === next.body, await reads(next), response.bodyUsed];
        },
        [`${how} of what was passed on to the platform`]: async (classes) => {
          const response = await make(classes, { status: 201, headers: { a: 'b' } });
          return [await reads(new THEIRS.Response(response.body, response)), response.bodyUsed];
        },
        [`${how} while a reader holds it`]: async (classes) => {
          const response = await make(classes);
          response.body?.getReader();
          return [response.bodyUsed, await outcomeOf(() => reads(response), classes), response.bodyUsed];
        },
      });
    }
    await compare(cases);
  });
}

test('options', async () => {
  const statuses = [199, 200, 204, 299, 599, 600, 0, 100, 101, 103, -1, NaN, 200.7, '201', 65_736, null, undefined, {}];
  const texts = ['', 'Fine', 'ä\t', 'a\r\nb', '€', '\x7f', 5, null, undefined, Symbol('a')];
  const headers = [
    undefined,
    null,
    {},
    { a: 5 },
    [],
    [['a', 'b']],
    [['a']],
    [['a', 'b', 'c']],
    'a',
    5,
    new Map([['a', 'b']]),
  ];
  const cases = {};
  for (const status of statuses) {
    cases[`status ${String(status)}`] = ({ Response }) => new Response(null, { status });
    cases[`status ${String(status)} with a body`] = ({ Response }) => new Response('x', { status });
    cases[`redirect ${String(status)}`] = ({ Response }) => Response.redirect('http://a/b', status);
  }
  for (const status of [204, 205, 304])
    for (const body of ['', chunks(), new Blob([])])
      cases[`${status} ${body}`] = ({ Response }) => new Response(body, { status });
  for (const statusText of texts)
    cases[`text ${String(statusText)}`] = ({ Response }) => new Response('', { statusText });
  for (const each of headers) cases[`headers ${String(each)}`] = ({ Response }) => new Response('', { headers: each });
  for (const options of [null, undefined, {}, 5, '', 'x', true, () => {}, Symbol('a')])
    cases[`options ${String(options)}`] = ({ Response }) => new Response('x', options);
  Object.assign(cases, {
    'called without new': ({ Response }) => Response('x'),
    'getters, once each': ({ Response }) => {
      const asked = [];
      const get = (name, value) => ({ enumerable: true, get: () => asked.push(name) && value });
      const all = {
        status: get('status', 201),
        headers: get('headers', { a: 'b' }),
        statusText: get('statusText', 's'),
      };
      return [shown(new Response('x', Object.defineProperties({}, all))), asked.sort()];
    },
    'changed afterwards': ({ Response }) => {
      const given = { a: 'b' };
      const response = new Response('x', { headers: given });
      given.a = 'c';
      return response;
    },
    'headers of another response': ({ Response }) => {
      const first = new Response('x', { headers: { a: 'b' } });
      const second = new Response('y', { headers: first.headers });
      first.headers.set('a', 'c');
      return [shown(first), shown(second)];
    },
    error: ({ Response }) => Response.error(),
    'error, cloned': ({ Response }) => Response.error().clone(),
    'error, changed': ({ Response }) => Response.error().headers.set('a', 'b'),
    redirect: ({ Response }) => Response.redirect('http://a'),
    'redirect to a URL object': ({ Response }) => Response.redirect(new URL('http://a/b c'), 308),
    'redirect to a part of a URL': ({ Response }) => Response.redirect('/b'),
    'redirect, changed': ({ Response }) => Response.redirect('http://a').headers.append('a', 'b'),
    'redirect to nothing': ({ Response }) => Response.redirect(),
    json: ({ Response }) => Response.json({ a: 'ä' }),
    'json, read': ({ Response }) => Response.json({ a: 'ä' }).json(),
    'json with options': ({ Response }) => Response.json(1, { status: 201, headers: { a: 'b' } }),
    'json with a type': ({ Response }) => Response.json(1, { headers: { 'Content-Type': 'a/b' } }),
    'json with a status that has no body': ({ Response }) => Response.json(1, { status: 204 }),
    'json of nothing': ({ Response }) => Response.json(undefined),
    'json of a function': ({ Response }) => Response.json(() => {}),
    'json of a cycle': ({ Response }) => {
      const cycle = {};
      cycle.cycle = cycle;
      return Response.json(cycle);
    },
    'form data, read': async ({ Response }) => new Response(form()).formData(),
    'form data, its type': ({ Response }) =>
      /^multipart\/form-data; ?boundary=\S+$/.test(new Response(form()).headers.get('content-type')),
    'form data, encoded': ({ Response }) => new Response(new URLSearchParams({ a: 'b c' })).formData(),
    'a URLSearchParams that changes': async ({ Response }) => {
      const params = new URLSearchParams({ a: 'b' });
      const response = new Response(params);
      params.set('a', 'c');
      return response.text();
    },
  });
  await compare(cases);
});

test('a value of a header is checked, whatever the last ones of this name were', () => {
  const headers = new FeatherHeaders();
  const bad = (value) => {
    assert.throws(() => headers.set('x-seen', value), /header value/, JSON.stringify(value));
    assert.throws(() => headers.append('x-seen', value), /header value/, JSON.stringify(value));
  };
  for (const value of [' same\t', ' same\t', 'same', 'same', '', 'other', 'é', '1', '2', '3', '3', 'x'.repeat(300)]) {
    headers.set('x-seen', value);
    assert.is(headers.get('x-seen'), value.trim());
    assert.is(new FeatherHeaders({ 'x-seen': value }).get('X-Seen'), value.trim());
    for (const other of ['sa\ne', `a${value}\r\nb`, `${value}\0`, 'sa\u0101e', '\u0100']) bad(other);
  }
});

test('headers', async () => {
  const inits = {
    nothing: undefined,
    null: null,
    text: 'a',
    number: 5,
    record: { A: '1', b: '2', a: '3' },
    'numbers as values': { a: 1, b: null, c: undefined, d: [1, 2] },
    pairs: [
      ['B', '1'],
      ['a', '2'],
      ['b', '3'],
    ],
    'pairs that are no arrays': [new Set(['a', 'b'])],
    'a pair of one': [['a']],
    'a pair of three': [['a', 'b', 'c']],
    'a pair of text': ['ab'],
    'a pair of numbers': [[1, 2]],
    'not iterable': { [Symbol.iterator]: 5 },
    'a symbol as a name': { [Symbol('a')]: 'b' },
    'a symbol as a value': { a: Symbol('b') },
    'the empty name': { '': 'a' },
    'a name with a space': { 'a b': 'c' },
    'a name that is no ASCII': { ä: 'c' },
    'a name beyond Latin-1': { '€': 'c' },
    'space around': { a: ' \t\r\n b \t\r\n ' },
    'a no-break space': { a: '\xa0b\xa0' },
    'a control character': { a: 'b\x01\x7fc' },
    'a tab': { a: 'b\tc' },
    'a line feed': { a: 'b\nc' },
    'a carriage return': { a: 'b\rc' },
    NUL: { a: 'b\0c' },
    'Latin-1': { a: 'ä\xff' },
    'beyond Latin-1': { a: '€' },
    cookies: [
      ['set-cookie', 'a=1'],
      ['b', 'c'],
      ['Set-Cookie', 'b=2'],
    ],
    'no own member': Object.create({ a: 'b' }),
    'a map': new Map([['a', 'b']]),
    "the platform's": new Headers([
      ['set-cookie', 'a'],
      ['set-cookie', 'b'],
      ['a', 'b'],
    ]),
    ours: new FeatherHeaders([
      ['set-cookie', 'a'],
      ['set-cookie', 'b'],
      ['a', 'b'],
    ]),
  };
  const cases = {};
  for (const [name, init] of Object.entries(inits)) cases[name] = ({ Headers }) => [...new Headers(init)];
  const on =
    (run) =>
    ({ Headers }) => {
      const headers = new Headers([
        ['b', '1'],
        ['A', '2'],
        ['a', '3'],
        ['set-cookie', 'x'],
        ['Set-Cookie', 'y'],
      ]);
      return [run(headers, Headers), [...headers]];
    };
  const changes = {
    get: (h) => ['a', 'A', 'b', 'c', 'set-cookie'].map((name) => h.get(name)),
    has: (h) => ['a', 'A', 'c'].map((name) => h.has(name)),
    getSetCookie: (h) => h.getSetCookie(),
    'set one': (h) => h.set('A', ' 5 '),
    'set a new one': (h) => h.set('0', 'x'),
    append: (h) => h.append('B', 'x'),
    'append a number': (h) => h.append('B', 5),
    delete: (h) => h.delete('A'),
    'delete nothing': (h) => h.delete('x'),
    'set cookies': (h) => h.set('set-cookie', 'z'),
    'a bad name': (h) => h.set('a b', 'c'),
    'a bad name, asked for': (h) => h.get('a b'),
    'a bad name, deleted': (h) => h.delete(''),
    'a bad value': (h) => h.append('a', 'b\nc'),
    'an argument is missing': (h) => h.append('a'),
    'no argument': (h) => h.get(),
    'no argument to has': (h) => h.has(),
    'no argument to delete': (h) => h.delete(),
    'undefined as a value': (h) => h.set('a', undefined),
    forEach: (h) => {
      const seen = [];
      h.forEach(
        function (value, name, headers) {
          seen.push(this.x, value, name, headers === h);
        },
        { x: 1 },
      );
      return seen;
    },
    'forEach of nothing': (h) => h.forEach(),
    keys: (h) => [...h.keys()],
    values: (h) => [...h.values()],
    'an iterator': (h) => {
      const iterator = h.entries();
      const prototype = Object.getPrototypeOf(iterator);
      const { enumerable, configurable, writable } = Object.getOwnPropertyDescriptor(prototype, 'next');
      return [`${iterator}`, iterator[Symbol.iterator]() === iterator, enumerable, configurable, writable];
    },
    'entries is the iterator': (_, Headers) => Headers.prototype.entries === Headers.prototype[Symbol.iterator],
    'changed in a loop': (h) => {
      const seen = [];
      for (const [name] of h) {
        seen.push(name);
        if (name === 'a') h.delete('b');
        if (name === 'set-cookie') h.append('z', '1');
        if (seen.length > 20) break;
      }
      return seen;
    },
    "a pair is the caller's": (h) => {
      for (const pair of h) pair[1] = 'changed';
    },
    'with an iterator of its own': (h, Headers) => {
      h[Symbol.iterator] = () => [['x', 'y']][Symbol.iterator]();
      return [...new Headers(h)];
    },
    'a copy': (h, Headers) => {
      const copy = new Headers(h);
      h.set('a', 'x');
      return [...copy];
    },
    'on another object': (_, Headers) => Headers.prototype.get.call({}, 'a'),
    tag: (h) => `${h}`,
  };
  for (const [name, run] of Object.entries(changes)) cases[`change: ${name}`] = on(run);
  await compare(cases);
});

test('what the classes look like', async () => {
  const describe = (object, names) =>
    names.map((name) => {
      const descriptor = Object.getOwnPropertyDescriptor(object, name);
      const { value, get, set, ...rest } = descriptor ?? {};
      return [name, rest, typeof value, value?.name, value?.length, get?.name, set];
    });
  const cases = {};
  for (const name of ['Response', 'Headers']) {
    const own = (object) =>
      Object.getOwnPropertyNames(object).filter((each) => each !== 'arguments' && each !== 'caller');
    const statics = own(THEIRS[name]).filter((each) => each !== 'prototype');
    const members = own(THEIRS[name].prototype).filter((each) => each !== 'constructor');
    cases[`${name}: statics`] = (classes) => describe(classes[name], statics);
    cases[`${name}: members`] = (classes) => describe(classes[name].prototype, members);
    cases[`${name}: an object`] = (classes) => {
      const object = new classes[name]();
      const all = [];
      for (const each in object) all.push(each);
      return [
        Object.keys(object),
        all.sort(),
        `${object}`,
        object.constructor === classes[name],
        JSON.stringify(object),
      ];
    };
    cases[`${name}: a subclass`] = (classes) => {
      class Sub extends classes[name] {
        extra = 1;
        get own() {
          return 'own';
        }
      }
      const object = new Sub();
      return [object.own, object.extra, object instanceof Sub, new classes[name]() instanceof Sub, `${object}`];
    };
    cases[`${name}: instances`] = (classes) => [
      new classes[name]() instanceof THEIRS[name],
      new THEIRS[name]() instanceof classes[name],
      {} instanceof classes[name],
      null instanceof classes[name],
    ];
  }
  cases['a getter on another object'] = ({ Response }) => Response.prototype.status;
  cases['a method on another object'] = ({ Response }) => Response.prototype.text.call({});
  cases['members for an object of the platform'] = async ({ Response }) => {
    const theirs = new THEIRS.Response('x', { status: 201 });
    const status = Object.getOwnPropertyDescriptor(Response.prototype, 'status').get.call(theirs);
    return [status, await Response.prototype.text.call(theirs), theirs.bodyUsed];
  };
  await compare(cases);
});

test('Response is used where the platform wants one', async () => {
  const wasm = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
  await compare({
    compileStreaming: async ({ Response }) => {
      const type = { headers: { 'content-type': 'application/wasm' } };
      return `${await WebAssembly.compileStreaming(new Response(wasm, type))}`;
    },
    'compileStreaming of a wrong type': async ({ Response }) => WebAssembly.compileStreaming(new Response(wasm)),
    'headers for the platform': ({ Headers }) => [...new THEIRS.Headers(new Headers({ A: 'b' }))],
    'headers of a request': ({ Headers }) => [...new Request('http://a', { headers: new Headers({ A: 'b' }) }).headers],
    'a response as options': ({ Response }) =>
      new THEIRS.Response('x', new Response('', { status: 201, headers: { a: 'b' } })),
  });
});

test.run();
