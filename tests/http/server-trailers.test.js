// Trailers both ways: in every piece, malformed, forbidden, late and too long; and what they do to the next request.

import { request as nodeRequest } from 'node:http';
import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { Client, until } from '../support/http.js';
import { later, ServerRig, stream } from './server-rig.js';

const POST = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const BODY = '5\r\nhello\r\n';
const NEXT = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';
const TRAILERS_MAX = 8192;

const FORBIDDEN = [
  ...['Connection', 'Content-Length', 'Host', 'Keep-Alive', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade'],
  ...['Content-Encoding', 'Content-Range', 'Content-Type'],
  ...['Authorization', 'Cookie', 'Proxy-Authorization', 'Set-Cookie', 'WWW-Authenticate'],
  ...['Cache-Control', 'Expect', 'If-Match', 'If-None-Match', 'Max-Forwards', 'Range'],
  ...['Age', 'Date', 'Expires', 'Location', 'Retry-After', 'Vary', 'Forwarded', 'X-Forwarded-For'],
];

for (const host of hosts()) {
  const rig = new ServerRig('trailers', host);

  /** Responds with what it got: the body, the trailers, and the path. */
  const echo = async (request) => {
    const text = await request.text();
    return Response.json([request.path, text, [...(await request.trailers)]]);
  };

  async function asked(pieces) {
    rig.handler = echo;
    const client = await Client.open(rig.server.port);
    for (const piece of pieces) {
      await client.write(piece);
      if (pieces.length > 1) await later(0);
    }
    const answers = [JSON.parse((await client.response()).text), JSON.parse((await client.response()).text)];
    client.destroy();
    return answers;
  }

  rig.check('of a request: whole, and in two pieces, wherever they part', async () => {
    const head = POST.length + BODY.length;
    const message = `${POST}${BODY}0\r\nX-Sum: 12\r\nx-sum: \t3 4 \r\nEmpty:\r\n\r\n${NEXT}`;
    const expected = [
      [
        '/',
        'hello',
        [
          ['empty', ''],
          ['x-sum', '12, 3 4'],
        ],
      ],
      ['/next', '', []],
    ];
    assert.equal(await asked([message]), expected);
    for (let at = head - 3; at < message.length - NEXT.length + 3; at++)
      assert.equal(await asked([message.slice(0, at), message.slice(at)]), expected, `parted at ${at}`);
    assert.equal(await asked([message.slice(0, head), ...message.slice(head)]), expected, 'byte by byte');
  });

  rig.check('there are none: no body, a body with a length, chunks without', async () => {
    const length = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello';
    assert.equal(await asked([length + NEXT]), [
      ['/', 'hello', []],
      ['/next', '', []],
    ]);
    assert.equal(await asked([`${POST}${BODY}0\r\n\r\n${NEXT}`]), [
      ['/', 'hello', []],
      ['/next', '', []],
    ]);
    assert.equal(await asked([`${POST}${BODY}0\r\nA: b\r\n\r\n${length}`]), [
      ['/', 'hello', [['a', 'b']]],
      ['/', 'hello', []],
    ]);
  });

  rig.check('fields that belong before a body are left out, and change nothing', async () => {
    const lines = FORBIDDEN.map((name) => `${name}: 7\r\n`).join('');
    const smuggled = `${lines}Connection: close\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n`;
    const expected = [
      ['/', 'hello', [['x-a', 'b']]],
      ['/next', '', []],
    ];
    assert.equal(await asked([`${POST}${BODY}0\r\n${smuggled}\r\n${NEXT}`]), expected);
    assert.equal(
      await asked([`${POST}${BODY}0\r\n${smuggled.toUpperCase()}\r\n${NEXT}`]),
      expected.with(0, ['/', 'hello', [['x-a', 'B']]]),
    );
  });

  rig.check('the headers of the request are as they were', async () => {
    rig.handler = async (request) => {
      await request.bytes();
      await request.trailers;
      return Response.json([...request.headers]);
    };
    const client = await Client.open(rig.server.port);
    const { text } = await client.ask(`${POST}${BODY}0\r\nX-A: b\r\nHost: evil\r\n\r\n`);
    assert.equal(JSON.parse(text), [
      ['host', 'a'],
      ['transfer-encoding', 'chunked'],
    ]);
    client.destroy();
  });

  rig.check('as many as the limit allows, and one byte more', async () => {
    const failed = [];
    rig.handler = async (request) => {
      try {
        await request.bytes();
        return new Response(`${(await request.trailers).get('x').length}`);
      } catch (error) {
        failed.push(error.code, (await request.trailers.catch((other) => other)) === error);
        throw error;
      }
    };
    const fit = `X: ${'y'.repeat(TRAILERS_MAX - 5)}\r\n`;
    const client = await Client.open(rig.server.port);
    assert.is((await client.ask(`${POST}${BODY}0\r\n${fit}\r\n`)).text, `${TRAILERS_MAX - 5}`);
    assert.is((await client.ask(`${POST}${BODY}0\r\n${fit}Z: 1\r\n\r\n`)).status, 431);
    client.destroy();
    assert.equal(failed, ['FEATHERSTAR_BODY', true]);
  });

  rig.check('malformed ones are refused', async () => {
    rig.handler = echo;
    for (const bad of [
      'X: y\n\n',
      'X\r\n\r\n',
      'X : y\r\n\r\n',
      ': y\r\n\r\n',
      'X: y\r\n z\r\n\r\n',
      'X: \0\r\n\r\n',
      'X: y\r\r\n',
    ]) {
      const client = await Client.open(rig.server.port);
      assert.is((await client.ask(`${POST}${BODY}0\r\n${bad}${NEXT}`)).status, 400, JSON.stringify(bad));
      assert.is((await client.rest()).length, 0, JSON.stringify(bad));
      client.destroy();
    }
  });

  rig.check('a client that leaves in the middle', async () => {
    const seen = [];
    rig.handler = async (request) => {
      const whole = request.trailers;
      seen.push(await request.text().catch((error) => error.code), await whole.catch((error) => error.code));
      return new Response('x');
    };
    const client = await Client.open(rig.server.port);
    await client.write(`${POST}${BODY}0\r\nX: `);
    await later(5);
    client.destroy();
    await until(() => seen.length === 2, 'the handler has learnt it');
    assert.equal(seen, ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED']);
  });

  rig.check('ones that come too slowly', async () => {
    const server = await serve({ hostname: '127.0.0.1', fetch: echo, limits: { requestTimeoutMs: 100 } });
    const client = await Client.open(server.port);
    await client.write(`${POST}${BODY}0\r\n`);
    for (const byte of 'X: yyyyyyyyyyyy') {
      await client.write(byte);
      await later(10);
    }
    assert.is((await client.response()).status, 408);
    client.destroy();
    await server.close();
  });

  rig.check(
    'a response that does not wait for the body: the rest is received, and the next request is served',
    async () => {
      const late = [];
      rig.handler = (request) => {
        if (request.method === 'POST') late.push(request.trailers.catch((error) => error.code));
        return new Response('at once');
      };
      const client = await Client.open(rig.server.port);
      const length = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n';
      assert.is((await client.ask(length)).text, 'at once');
      await client.write('hello');
      assert.is((await client.ask(NEXT)).text, 'at once');
      client.destroy();
      assert.equal(await Promise.all(late), ['FEATHERSTAR_BODY']);
    },
  );

  // --- of a response -------------------------------------------------------------------------------------------------

  /** All that the server sends to one request. */
  async function raw(handler, request = NEXT) {
    rig.handler = handler;
    const client = await Client.open(rig.server.port);
    await client.write(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    const text = (await client.rest()).latin1Slice();
    client.destroy();
    return text;
  }

  rig.check('of a response: behind the last chunk, when the stream has ended', async () => {
    const order = [];
    for (const make of [() => ({ 'X-Sum': '1' }), async () => new Headers([['x-sum', '1']]), () => [['x-sum', '1']]]) {
      for (const pauseMs of [undefined, 2]) {
        const text = await raw((_, info) => {
          const isSent = info.sendTrailers(() => {
            order.push('made');
            return make();
          });
          assert.is(isSent, true);
          assert.is(order.length, 0);
          return new Response(stream(['ab', 'c'], pauseMs), { headers: { Trailer: 'x-sum' } });
        });
        assert.match(text, /\r\nTrailer: x-sum\r\n/i);
        assert.match(text, /\r\nTransfer-Encoding: chunked\r\n/);
        assert.ok(text.endsWith('\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: 1\r\n\r\n'), text);
        assert.equal(order.splice(0), ['made']);
      }
    }
    const platform = await raw((_, info) => {
      info.sendTrailers(() => ({ 'x-sum': '2', a: 'b' }));
      return new globalThis.Response(stream(['ab']));
    });
    assert.ok(platform.endsWith('\r\n\r\n2\r\nab\r\n0\r\na: b\r\nx-sum: 2\r\n\r\n'), platform);
    const empty = await raw((_, info) => {
      info.sendTrailers(() => ({}));
      return new Response(stream([]));
    });
    assert.ok(empty.endsWith('\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'), empty);
  });

  rig.check('node:http reads them, and the connection goes on', async () => {
    rig.handler = async (request, info) => {
      const { length } = await request.text();
      const sum = (await request.trailers).get('x-sum');
      info.sendTrailers(() => ({ 'x-sum': `${sum} ${length}` }));
      return new Response(stream(['ab', 'cd'], 1));
    };
    const client = await Client.open(rig.server.port);
    for (let i = 0; i < 2; i++) {
      const found = await new Promise((resolve, reject) => {
        const options = { port: rig.server.port, method: 'POST', headers: { trailer: 'x-sum' } };
        const asking = nodeRequest(options, (response) => {
          let text = '';
          response.on('data', (chunk) => {
            text += chunk;
          });
          response.on('end', () => resolve([text, response.trailers]));
        });
        asking.on('error', reject);
        asking.write('hello');
        asking.addTrailers({ 'x-sum': 'ours' });
        asking.end();
      });
      assert.equal(found, ['abcd', { 'x-sum': 'ours 5' }]);
    }
    client.destroy();
  });

  rig.check(
    'clients that get none: HTTP/1.0, HEAD; bodies that have none: whole ones, and those with a length',
    async () => {
      const told = [];
      const make = () => {
        told.push('made');
        return { 'x-sum': '1' };
      };
      const handler = (body, headers) => (_, info) => {
        told.push(info.sendTrailers(make));
        return new Response(body(), { headers });
      };
      const old = await raw(
        handler(() => stream(['ab'], 1)),
        'GET / HTTP/1.0\r\n\r\n',
      );
      assert.ok(old.endsWith('\r\n\r\nab'), old);
      assert.not.match(old, /transfer-encoding|x-sum/i);
      const head = await raw(
        handler(() => stream(['ab'], 1)),
        'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      );
      assert.ok(head.endsWith('\r\n\r\n'), head);
      assert.equal(told.splice(0), [false, false]);
      assert.ok((await raw(handler(() => 'ab'))).endsWith('\r\n\r\nab'));
      assert.ok((await raw(handler(() => stream(['ab'], 1), { 'content-length': '2' }))).endsWith('\r\n\r\nab'));
      assert.equal(told, [true, true]);
    },
  );

  rig.check('it is too late once the response has begun, and when it is over', async () => {
    const told = [];
    let info;
    const text = await raw((_, its) => {
      info = its;
      return new Response(
        (async function* () {
          yield 'ab';
          await later(5);
          told.push(info.sendTrailers(() => ({ 'x-sum': '1' })));
        })(),
      );
    });
    assert.ok(text.endsWith('\r\n0\r\n\r\n'), text);
    assert.is(
      info.sendTrailers(() => ({})),
      false,
    );
    assert.equal(told, [false]);
  });

  rig.check('a function that fails, or makes what no trailer can be, breaks the response off', async () => {
    const failure = new Error('mine');
    const bad = {
      mine: () => {
        throw failure;
      },
      rejects: async () => {
        throw failure;
      },
      split: () => ({ 'x-a': 'b\r\nX-B: c' }),
      ...Object.fromEntries(FORBIDDEN.map((name) => [name, () => ({ [name]: '1' })])),
    };
    for (const [name, make] of Object.entries(bad)) {
      const text = await raw((_, info) => {
        info.sendTrailers(make);
        return new Response(stream(['ab'], 1));
      });
      assert.ok(text.endsWith('\r\n\r\n2\r\nab\r\n'), `${name}: ${text}`);
      const [error, ...others] = rig.errors.splice(0);
      assert.is(others.length, 0);
      if (name === 'mine' || name === 'rejects') assert.is(error, failure);
      else if (name === 'split') assert.instance(error, TypeError);
      else assert.match(error.message, new RegExp(`trailer ${name.toLowerCase()}: `));
    }
    rig.handler = (_, info) => {
      assert.throws(() => info.sendTrailers({ 'x-a': 'b' }), /make must be a function/);
      return new Response('x');
    };
    const client = await Client.open(rig.server.port);
    await client.ask(NEXT);
    client.destroy();
  });

  rig.check('a client that leaves: before the end of the stream, and while they are made', async () => {
    for (const isMaking of [false, true]) {
      const told = [];
      let goOn;
      const hasLeft = new Promise((resolve) => {
        goOn = resolve;
      });
      rig.handler = (request, info) => {
        request.signal.addEventListener('abort', () => told.push('aborted'));
        info.sendTrailers(async () => {
          told.push('made');
          await hasLeft;
          return { a: 'b' };
        });
        const body = async function* () {
          yield 'ab';
          if (!isMaking) await hasLeft;
          yield 'cd';
        };
        return new Response(body());
      };
      const client = await Client.open(rig.server.port);
      await client.write(NEXT);
      await until(() => client.received > 0 && (!isMaking || told.includes('made')), 'it has begun');
      client.reset();
      await until(() => told.includes('aborted'), 'the handler has learnt it');
      goOn();
      await later(20);
      assert.is(told.includes('made'), isMaking);
    }
  });

  rig.run();
}
