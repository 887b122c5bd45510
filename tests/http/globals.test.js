// A server puts its own classes in the place of the global Response, Request, Headers and fetch. A program sees no
// difference but the speed, and has the platform's back when its last server has closed.
//
// Next: web-classes.test.js.

import { inspect } from 'node:util';
import { Response as OwnResponse, serve } from 'featherstar/http';
import { simulate } from 'featherstar/testing';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ask, get, post } from '../support/http.js';

const NAMES = ['Response', 'Request', 'Headers', 'fetch'];
const platform = Object.fromEntries(NAMES.map((name) => [name, globalThis[name]]));
const descriptors = () => NAMES.map((name) => Object.getOwnPropertyDescriptor(globalThis, name));
const constructors = () => NAMES.slice(0, 3).map((name) => platform[name].prototype.constructor);
const before = [descriptors(), constructors()];

const test = suite('globals');
let handler;
let server;

async function serveOne(options = {}) {
  return serve({ hostname: '127.0.0.1', fetch: (...args) => handler(...args), ...options });
}

const textOf = async (request, options) => (await ask(server.port, request, options)).text;

/** A test with a server. When it has closed, the globals are as before. */
function check(name, run) {
  test(name, async () => {
    server = await serveOne({ onError: (error) => console.error(error) });
    try {
      await run();
    } finally {
      await server.close();
    }
    assert.equal([descriptors(), constructors()], before, 'the platform has its own back');
  });
}

check('the globals are ours while a server is open, and the platform is not to be seen', () => {
  assert.is(Response, OwnResponse);
  for (const [i, name] of NAMES.entries()) {
    const ours = globalThis[name];
    const { value, get: getter, set, ...attributes } = Object.getOwnPropertyDescriptor(globalThis, name);
    assert.is(attributes.enumerable, before[0][i].enumerable);
    assert.is.not(ours, platform[name], name);
    assert.equal([ours.name, ours.length, typeof ours], [platform[name].name, platform[name].length, 'function']);
    if (name === 'fetch') continue;
    const object = name === 'Request' ? new Request('http://a/') : new ours();
    assert.ok(object instanceof ours && object instanceof platform[name], name);
    assert.is(Object.getPrototypeOf(object), ours.prototype, name);
    assert.is(object.constructor, ours, name);
    assert.is(`${object}`, `[object ${name}]`);
    const theirs = name === 'Request' ? new platform.Request('http://a/') : new platform[name]();
    assert.ok(theirs instanceof ours, name);
    assert.is(theirs.constructor, ours, name);
    class Sub extends ours {}
    const sub = name === 'Request' ? new Sub('http://a/') : new Sub();
    assert.ok(sub instanceof Sub && sub instanceof ours && !(object instanceof Sub), name);
    assert.throws(() => ours(), TypeError);
  }
});

check('a response of fetch() is a Response in all respects', async () => {
  handler = () => new Response('hello', { status: 201, headers: { 'x-a': 'b' } });
  const answer = await fetch(server.url);
  assert.ok(answer instanceof Response && answer instanceof platform.Response);
  assert.is(Object.getPrototypeOf(answer), Response.prototype);
  assert.equal([answer.status, answer.ok, answer.url, answer.type], [201, true, server.url, 'basic']);
  assert.ok(answer.headers instanceof Headers);
  assert.is(answer.headers.get('X-A'), 'b');
  assert.throws(() => answer.headers.set('a', 'b'), TypeError);
  assert.is(Buffer.from(await answer.clone().bytes()).toString(), 'hello');
  assert.is(await new Response(answer.body, answer).text(), 'hello');
  assert.ok(answer.bodyUsed);
  await assert.rejects?.(() => answer.text());
  const early = await platform.fetch(server.url);
  assert.ok(early instanceof Response);
  assert.is(await early.text(), 'hello');
});

check('console.log() shows what is in an object', () => {
  const response = new Response('x', { status: 201, headers: { 'X-A': 'b' } });
  assert.match(inspect(response), /^Response \{\s+status: 201,[\s\S]* 'x-a': 'b'[\s\S]* bodyUsed: false/);
  assert.is(inspect(new Headers({ 'X-A': 'b' })), "Headers { 'x-a': 'b' }");
  for (const object of [Response, Headers, Response.prototype, Headers.prototype])
    assert.type(inspect(object), 'string');
});

check('fetch() and Request take what the program makes', async () => {
  handler = async (request) => {
    const { method, headers, url } = request;
    return Response.json([method, url.slice(server.url.length - 1), headers.get('x-a'), await request.text()]);
  };
  const headers = new Headers({ 'X-A': 'b' });
  const sent = { method: 'POST', headers, body: 'text' };
  const expected = ['POST', '/', 'b', 'text'];
  assert.equal(await (await fetch(server.url, sent)).json(), expected);
  assert.equal(await (await fetch(new Request(server.url, sent))).json(), expected);
  assert.equal(await (await fetch(new Request(new Request(server.url, sent)))).json(), expected);
  assert.equal(await (await platform.fetch(new Request(server.url, sent))).json(), expected);
  const error = await fetch('nonsense').catch((failure) => failure);
  assert.ok(error instanceof TypeError);
  assert.throws(() => new Request(), TypeError);
  assert.throws(() => new Request('http://a/', { method: 'a b' }), TypeError);
});

const CHUNKED =
  'POST /x?y HTTP/1.1\r\nHost: test\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n';

check('new Request(request, init) takes the body along, or has another one', async () => {
  const shown = async (request) => {
    const { method, url, headers } = request;
    return JSON.stringify([method, url, headers.get('x-a'), await request.text()]);
  };
  const makes = {
    alone: [(request) => new Request(request), ['POST', 'http://test/x?y', 'b', 'abcde']],
    method: [(request) => new Request(request, { method: 'PUT' }), ['PUT', 'http://test/x?y', 'b', 'abcde']],
    headers: [
      (request) => new Request(request, { headers: { 'x-a': 'c' } }),
      ['POST', 'http://test/x?y', 'c', 'abcde'],
    ],
    body: [(request) => new Request(request, { body: 'new' }), ['POST', 'http://test/x?y', 'b', 'new']],
    url: [
      (request) => new Request('http://other/', request),
      ['POST', 'http://other/', 'b', 'abcde'],
      { duplex: 'half' },
    ],
    constructor: [(request) => new request.constructor(request), ['POST', 'http://test/x?y', 'b', 'abcde']],
    twice: [(request) => new Request(new Request(request)), ['POST', 'http://test/x?y', 'b', 'abcde']],
    clone: [(request) => new Request(request.clone()), ['POST', 'http://test/x?y', 'b', 'abcde']],
  };
  for (const [name, [make, expected]] of Object.entries(makes)) {
    handler = async (request) => new Response(await shown(make(request)));
    for (const sent of [CHUNKED, post('/x?y', 'abcde', 'X-A: b\r\n')])
      assert.equal(JSON.parse(await textOf(sent)), expected, name);
  }
});

check('a request whose body is taken by another one is used', async () => {
  handler = async (request) => {
    const other = new Request(request);
    const used = request.bodyUsed;
    const text = await other.text();
    const again = await new Promise((resolve) => resolve(new Request(request))).catch((error) => error.name);
    return Response.json([used, text, request.bodyUsed, again]);
  };
  assert.equal(JSON.parse(await textOf(CHUNKED)), [true, 'abcde', true, 'TypeError']);
});

check(
  "a limit of the body, as Hono's bodyLimit() does it: the body is read by a stream in a request of its own",
  async () => {
    handler = async (request) => {
      const reader = request.body.getReader();
      let bytes = 0;
      const counted = new ReadableStream({
        async pull(controller) {
          const { value, done } = await reader.read();
          bytes += value?.length ?? 0;
          if (bytes > 5) controller.error(new RangeError('too much'));
          else if (done) controller.close();
          else controller.enqueue(value);
        },
      });
      const limited = new Request(request, { body: counted, duplex: 'half' });
      return limited.text().then(
        (text) => new Response(text),
        (error) => new Response(error.message, { status: 413 }),
      );
    };
    assert.is(await textOf(CHUNKED), 'abcde');
    const answer = await ask(server.port, CHUNKED.replace('0\r\n\r\n', '1\r\nf\r\n0\r\n\r\n'));
    assert.equal([answer.status, answer.text], [413, 'too much']);
  },
);

check('fetch(request) passes a request on', async () => {
  const target = await serve({
    hostname: '127.0.0.1',
    fetch: async (request) => new Response(`${request.method} ${request.header('x-a')} ${await request.text()}`),
  });
  handler = (request) => fetch(new Request(target.url, request));
  const proxied = await ask(server.port, CHUNKED);
  assert.equal([proxied.status, proxied.text], [200, 'POST b abcde']);
  handler = (request) => (request.path === '/loop' ? new Response(`looped ${request.header('x-a')}`) : fetch(request));
  const host = server.url.slice('http://'.length, -1);
  assert.is(await textOf(`GET /loop HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 'looped undefined');
  handler = (request) => (request.header('x-b') ? new Response('looped') : fetch(request, { headers: { 'x-b': 'c' } }));
  assert.is(await textOf(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), 'looped');
  await target.close();
});

check('header() and headers take names in any case, and know only spaces and tabs as white space', async () => {
  handler = (request) => {
    const first = [request.header('Content-Type'), request.header('content-type'), request.header('X-A')];
    const { headers } = request;
    const second = [request.header('Content-Type'), headers.get('CONTENT-TYPE'), headers.get('x-a')];
    return Response.json([first, second, [...headers.keys()], headers === request.headers, headers instanceof Headers]);
  };
  const lines = 'Content-TYPE:\t a/b \t\r\nX-A: \xa0v\xa0\r\n';
  const [first, second, keys, ...rest] = JSON.parse(await textOf(Buffer.from(get('/', lines), 'latin1')));
  assert.equal(first, ['a/b', 'a/b', '\xa0v\xa0']);
  assert.equal(second, first);
  assert.equal(keys, ['content-type', 'host', 'x-a']);
  assert.equal(rest, [true, true]);
});

check(
  "the platform's come back with the last server, and a program that replaces them itself keeps its own",
  async () => {
    const second = await serveOne();
    await second.close();
    assert.is(Response, OwnResponse, 'one server is open');
    class Mine {}
    const { fetch: ours } = globalThis;
    globalThis.Response = Mine;
    await server.close();
    assert.is(globalThis.Response, Mine);
    assert.is(Headers, platform.Headers);
    const third = await serveOne();
    assert.is(globalThis.Response, Mine);
    await third.close();
    Object.defineProperty(globalThis, 'Response', before[0][0]);
    handler = () => new Response('kept');
    const fourth = await serveOne();
    assert.is(await (await ours(fourth.url)).text(), 'kept'); // a function that was kept goes on
    await fourth.close();
  },
);

check('replaceGlobals: false leaves the globals alone, and all else works', async () => {
  await server.close();
  server = await serveOne({ replaceGlobals: false });
  assert.equal([descriptors(), constructors()], before);
  handler = async (request) => new OwnResponse(await request.clone().text());
  assert.is(await textOf(CHUNKED), 'abcde');
});

check('a simulated shard that dies leaves no globals behind', async () => {
  await server.close();
  await simulate({ seed: 1 }, async () => {
    await serve({ fetch: () => new Response('x') });
  });
  server = await serveOne();
});

test.run();
