// What a handler gets beside its request: the client's address, the server, and waitUntil().

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Response, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { ask, Client, get, within } from '../support/http.js';
import { later, ServerRig, stream } from './server-rig.js';

const HERE = '127.0.0.1';

/** A client whose port is known. */
async function open(port) {
  const socket = connect({ port, host: HERE, allowHalfOpen: true });
  await within(new Promise((resolve) => socket.once('connect', resolve)), 'connect');
  return [new Client(socket), socket.localPort];
}

for (const host of hosts()) {
  const rig = new ServerRig('info', host);

  rig.check('the address of the client, in every form', async () => {
    const [client, port] = await open(rig.server.port);
    rig.handler = (request, info, context) => {
      assert.is(context, info);
      const { remote, remoteAddr } = info;
      return Response.json({
        remote,
        remoteAddr,
        bun: info.requestIP(request),
        server: info.server.requestIP(request),
        ip: request.ip,
        clone: info.server.requestIP(request.clone()),
        other: rig.server === info.server,
      });
    };
    for (let i = 0; i < 2; i++) {
      const bun = { address: HERE, family: 'IPv4', port };
      assert.equal(JSON.parse((await client.ask(get())).text), {
        remote: { hostname: HERE, port },
        remoteAddr: { transport: 'tcp', hostname: HERE, port },
        bun,
        server: bun,
        ip: HERE,
        clone: null,
        other: true,
      });
    }
    client.destroy();
  });

  rig.check('the address is there behind the response, if it was asked for before', async () => {
    const infos = [];
    rig.handler = (_request, info) => {
      infos.push(info);
      if (infos.length === 1) void info.remote;
      return new Response('');
    };
    const [first, port] = await open(rig.server.port);
    await first.ask(get());
    first.destroy();
    const [second] = await open(rig.server.port);
    await second.ask(get());
    second.destroy();
    await later(30);
    assert.equal(infos[0].remote, { hostname: HERE, port });
    assert.is(infos[1].remote, undefined);
    assert.equal(infos[1].remoteAddr, { transport: 'unix', path: '' });
    assert.is(infos[1].requestIP(), null);
  });

  rig.check('a client that has left while its request is handled', async () => {
    let seen;
    rig.handler = async (request, info) => {
      await new Promise((resolve) => request.signal.addEventListener('abort', resolve));
      seen = info.remote?.hostname;
      return new Response('');
    };
    const client = await Client.open(rig.server.port);
    await client.write(get());
    await later(20);
    client.end();
    await client.rest();
    client.destroy();
    assert.is(seen, HERE);
  });

  rig.check('a Unix socket has no address', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-info-'));
    const path = join(folder, 'socket');
    const server = await serve({
      path,
      fetch: (request, info) => Response.json([info.remote ?? 0, request.ip ?? 0, info.requestIP()]),
    });
    assert.equal(JSON.parse((await ask({ path }, get())).text), [0, 0, null]);
    await server.close();
    rmSync(folder, { recursive: true });
  });

  rig.check('waitUntil(): close() waits for work behind the response, and for work that this begins', async () => {
    const order = [];
    const errors = [];
    const server = await serve({
      hostname: HERE,
      onError: (error) => errors.push(error.message),
      fetch: (_request, info) => {
        const more = later(30).then(() => order.push('second'));
        info.waitUntil(later(30).then(() => info.waitUntil(more.then(() => order.push('first')))));
        info.waitUntil(Promise.reject(new Error('of the background')));
        return new Response('now');
      },
    });
    assert.is((await ask(server.port, get())).text, 'now');
    assert.equal(order, []);
    await server.close();
    assert.equal(order, ['second', 'first']);
    assert.equal(errors, ['of the background']);
  });

  rig.check('waitUntil(): not longer than close() may take', async () => {
    const server = await serve({
      hostname: HERE,
      fetch: (_request, info) => {
        info.waitUntil(new Promise(() => {}));
        return new Response('now');
      },
    });
    await ask(server.port, get());
    const before = performance.now();
    await server.close({ timeoutMs: 100 });
    const tookMs = performance.now() - before;
    assert.ok(tookMs >= 95 && tookMs < 3000, `${tookMs} ms`);
  });

  rig.check('a stream may ask while it is sent', async () => {
    const { text } = await rig.answerOf((_request, info) => {
      const body = stream(['a', 'b'], 5);
      return new Response(body, { headers: { 'x-ip': info.remote.hostname } });
    });
    assert.is(text, 'ab');
  });

  rig.check('103 Early Hints: before the response, once it has not begun, and not to HTTP/1.0', async () => {
    let info;
    const sent = [];
    rig.handler = (_request, given) => {
      info = given;
      sent.push(info.informational(103, { link: '</a.css>; rel=preload' }));
      sent.push(
        info.informational(199, [
          ['x-a', 'b'],
          ['x-a', 'c'],
        ]),
        info.informational(102),
      );
      return new Response('body');
    };
    const client = await Client.open(rig.server.port);
    for (let i = 0; i < 2; i++) {
      await client.write(get());
      const early = await client.response();
      assert.equal(
        [early.status, early.statusText, early.headers],
        [103, 'Early Hints', { link: '</a.css>; rel=preload' }],
      );
      const own = await client.response();
      assert.equal([own.status, own.statusText, own.headers], [199, 'Unknown', { 'x-a': 'b, c' }]);
      assert.is((await client.response()).status, 102);
      assert.is((await client.response()).text, 'body');
    }
    assert.is(info.informational(103), false, 'the request is over');
    client.destroy();
    assert.equal(sent.splice(0), new Array(6).fill(true));
    assert.is((await ask(rig.server.port, 'GET / HTTP/1.0\r\n\r\n')).status, 200);
    assert.equal(sent, [false, false, false]);
  });

  rig.check('informational responses that are wrong, and those behind a stream that has begun', async () => {
    const wrong = [
      [100],
      [101],
      [200],
      [99],
      [102.5],
      ['103'],
      [103, { 'content-length': '0' }],
      [103, { 'Transfer-Encoding': 'chunked' }],
      [103, { connection: 'close' }],
      [103, { 'x-a': 'a\r\nb: c' }],
      [103, { 'a b': 'c' }],
      [103, { 'x-a': '\u0100' }],
    ];
    const { text } = await rig.answerOf((_request, info) =>
      Response.json(
        wrong.map(([status, headers]) => {
          try {
            info.informational(status, headers);
            return 'it was taken';
          } catch (error) {
            return error.code === 'FEATHERSTAR_OPTION' || error instanceof TypeError;
          }
        }),
      ),
    );
    assert.equal(
      JSON.parse(text),
      wrong.map(() => true),
    );
    const late = [];
    const answer = await rig.answerOf((_request, info) => {
      setTimeout(() => late.push(info.informational(103)), 15);
      return new Response(stream(['a', 'b', 'c'], 10));
    });
    assert.is(answer.text, 'abc');
    assert.equal(late, [false]);
  });

  rig.run();
}
