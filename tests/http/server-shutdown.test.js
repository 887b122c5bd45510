// deadline: 180 s
// The end of a server: in order, by signal, and in a hurry. Whatever happens, the process ends.

import { fileURLToPath } from 'node:url';
import { Runtime } from 'featherstar';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { ask, Client, get, until } from '../support/http.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const ECHO = [CLI, 'serve', fileURLToPath(new URL('../../examples/http-echo/app.js', import.meta.url))];
const EXIT = fileURLToPath(new URL('../support/exit-server.js', import.meta.url));
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Keeps `count` connections busy with pipelined requests until they end. Returns a counter of answers. */
async function hammer(port, count) {
  const traffic = { answers: 0, done: undefined };
  const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
  const drive = async (client, i) => {
    while (client.ending === undefined) {
      client.write(get(i % 2 ? '/later' : '/').repeat(10));
      for (let n = 0; n < 10; n++) await client.response();
      traffic.answers += 10;
    }
  };
  const ends = clients.map((client, i) => drive(client, i).catch(() => client.destroy())); // the end is what is tested
  traffic.done = Promise.all(ends);
  return traffic;
}

for (const host of hosts()) {
  const test = suite(`shutdown (${host})`);
  const env = { FEATHERSTAR_HOST: host };

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`http-echo: ${signal} drains and ends with 0`, async () => {
      const program = new Program(ECHO, { ...env, FEATHERSTAR_SHARDS: '2', PORT: '0' });
      const [, url] = await program.line(/^featherstar listening on (http:\S+) · 2 shards · host (uring|portable.*)\n/);
      const { port } = new URL(url);
      const idle = [];
      for (let i = 0; i < 50; i++) idle.push(await Client.open(Number(port)));
      await Promise.all(idle.map((client) => client.ask(get())));
      const slow = await Client.open(Number(port));
      const head = 'POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\n';
      assert.is((await slow.ask(head)).status, 100); // the handler waits for the body
      await slow.write('slow but');
      program.kill(signal);
      await Promise.all(idle.map((client) => client.rest()));
      for (const client of idle) client.destroy();
      await slow.write(' answered');
      const answer = await slow.response();
      assert.is(answer.text, 'slow but answered');
      await slow.rest();
      slow.destroy();
      assert.is(await program.ended(), 0);
      assert.is(program.stdout.split('\n').length, 2, program.stdout);
      assert.is(program.stderr, '');
    });
  }

  test('http-echo ends within 5 s though a client never closes and a request never ends', async () => {
    const program = new Program(ECHO, { ...env, FEATHERSTAR_SHARDS: '2', PORT: '0' });
    const [, url] = await program.line(/listening on (http:\S+)/);
    const { port } = new URL(url);
    const stuck = await Client.open(Number(port));
    await stuck.write('POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabc');
    const idle = await Client.open(Number(port));
    await idle.ask(get());
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
    stuck.destroy();
    idle.destroy();
  });

  for (const [how, code] of [
    ['exit', 7],
    ['exit-shard', 0],
    ['throw', 1],
    ['terminate', 0],
  ]) {
    test(`${how} in the middle of traffic never hangs`, async () => {
      for (let round = 0; round < 3; round++) {
        const program = new Program([EXIT, how], env);
        const [, port] = await program.line(/^port (\d+)\n/);
        const traffic = await hammer(Number(port), 20);
        await until(() => traffic.answers > 500, 'traffic');
        program.say('end');
        assert.is(await program.ended(15_000), code, program.stderr);
        await traffic.done;
        if (how === 'exit-shard') assert.match(program.stdout, /FEATHERSTAR_PEER_DOWN/);
        if (how === 'terminate') assert.match(program.stdout, /terminated 1/);
        if (how === 'throw') assert.match(program.stderr, /nobody catches this/);
      }
    });
  }

  // --- close() in this process ---------------------------------------------------------------------------------------

  test('serve() without a runtime brings its own, and close() ends it', async () => {
    for (let i = 0; i < 3; i++) {
      const server = await serve({ fetch: () => new FeatherResponse('own'), hostname: '127.0.0.1' });
      assert.is((await ask(server.port, get())).text, 'own');
      await Promise.all([server.close(), server.close()]);
      await server.close();
    }
  });

  test('close() answers what runs, refuses what is new, and ends', async () => {
    const runtime = await Runtime.start({ shards: 1, host });
    const base = holdings();
    let running = 0;
    let go;
    const gate = new Promise((resolve) => {
      go = resolve;
    });
    const fetch = async (request) => {
      running++;
      if (request.path === '/wait') await gate;
      return new FeatherResponse(request.path);
    };
    const server = await serve({ fetch, hostname: '127.0.0.1' });
    const idle = await Client.open(server.port);
    await idle.ask(get('/idle'));
    const waiting = await Client.open(server.port);
    waiting.write(get('/wait') + get('/behind'));
    await until(() => running === 2, 'the handler runs');
    let isClosed = false;
    const closed = server.close().then(() => {
      isClosed = true;
    });
    await idle.rest();
    assert.not(isClosed);
    assert.is((await rejection(Client.open(server.port))).code, 'ECONNREFUSED');
    go();
    const answer = await waiting.response();
    assert.equal([answer.text, answer.headers.connection], ['/wait', 'close']);
    assert.is((await waiting.rest()).length, 0);
    idle.destroy();
    waiting.destroy();
    await closed;
    assert.is(server.stats.connections, 0);
    await back(base);
    await runtime.close();
  });

  test('close(timeoutMs) does not wait for ever', async () => {
    const runtime = await Runtime.start({ shards: 1, host });
    const base = holdings();
    let signal;
    const fetch = (request) => {
      signal = request.signal;
      return new Promise(() => {}); // never answers
    };
    const server = await serve({ fetch, hostname: '127.0.0.1' });
    const client = await Client.open(server.port);
    client.write(get());
    await until(() => signal !== undefined, 'the handler runs');
    await server.close({ timeoutMs: 50 });
    assert.ok(signal.aborted);
    await client.rest();
    client.destroy();
    await back(base);
    await runtime.close();
  });

  test('runtime.close() drains its servers, also when close() runs already', async () => {
    const runtime = await Runtime.start({ shards: 1, host });
    const fetch = () => later(100).then(() => new FeatherResponse('drained'));
    const server = await serve({ fetch, hostname: '127.0.0.1' });
    const client = await Client.open(server.port);
    const answer = client.ask(get());
    await until(() => server.stats.requests === 1, 'the handler runs');
    const closing = server.close();
    await runtime.close();
    assert.is((await answer).text, 'drained');
    await closing;
    client.destroy();
  });

  test('await using', async () => {
    const server = await serve({ fetch: () => new FeatherResponse('x'), hostname: '127.0.0.1' });
    await server[Symbol.asyncDispose]();
    assert.is((await rejection(Client.open(server.port))).code, 'ECONNREFUSED');
  });

  test.run();
}
