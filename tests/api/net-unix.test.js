// Unix sockets: listen({ path }), connect({ path }), serve({ path }); who owns the file, and what becomes of it. On
// several shards one of them listens, and spread() gives its connections to all, in turn.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime, sleep } from 'featherstar';
import { serve } from 'featherstar/http';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, oneShardSuite, rejection } from '../support/hosts.js';
import { Client, until, within } from '../support/http.js';

const MODULE = new URL('../support/handover-module.js', import.meta.url);
const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);
const text = async (socket) => Buffer.from(await within(socket.read(), 'bytes')).toString();

const folder = mkdtempSync(join(tmpdir(), 'featherstar-unix-'));
process.on('exit', () => rmSync(folder, { recursive: true }));
let count = 0;
const newPath = () => join(folder, `s${count++}`);

/** A socket's file that nobody listens at, as a server that is killed leaves it. */
function leaveBehind(path) {
  const script = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))`;
  spawnSync(process.execPath, ['-e', script, path]);
  assert.ok(statSync(path).isSocket());
}

for (const host of hosts()) {
  const { check, run } = oneShardSuite('unix sockets', host);

  check(
    '64 paths are connected to at the same time, any number of connects to each, and aborts give them back',
    async () => {
      const outcome = (promise) => promise.then(String, ({ code, errnoName }) => errnoName ?? code);
      const none = newPath();
      for (const round of [0, 1, 2]) {
        const signal = round === 1 ? AbortSignal.abort() : undefined;
        const paths = Array.from({ length: 65 }, (_, i) => `${none}-${i}`);
        const outcomes = await Promise.all(paths.map((path) => outcome(connect({ path, signal }))));
        if (round === 1) continue;
        assert.equal(outcomes.slice(0, 64), new Array(64).fill('ENOENT'));
        assert.is(outcomes[64], 'FEATHERSTAR_FULL');
      }
      const same = await Promise.all(Array.from({ length: 200 }, () => outcome(connect({ path: none }))));
      assert.equal(new Set(same), new Set(['ENOENT']));
      const controllers = Array.from({ length: 64 }, () => new AbortController());
      const aborted = controllers.map(({ signal }, i) => outcome(connect({ path: `${none}-${i}`, signal })));
      for (const controller of controllers) controller.abort();
      await Promise.all(aborted);
      await sleep(20);
      assert.is(await outcome(connect({ path: none })), 'ENOENT');
    },
  );

  check('bytes both ways, half-closed; the file is there, and goes with the listener', async () => {
    const path = newPath();
    const listener = await listen({ path });
    assert.is(listener.path, path);
    assert.is(listener.port, 0);
    assert.ok(statSync(path).isSocket());
    const accepted = listener.accept();
    const socket = await connect({ path });
    const other = await within(accepted, 'accept');
    await socket.write('there');
    assert.is(await text(other), 'there');
    await socket.end();
    assert.is(await within(other.read(), 'the end'), null);
    await other.write('and back');
    assert.is(await text(socket), 'and back');
    other.close();
    assert.is(await within(socket.read(), 'the end'), null);
    socket.close();
    listener.close();
    await until(() => !existsSync(path), 'the file is gone');
  });

  check('the same by hostname, with one of Node at each end', async () => {
    const path = newPath();
    const listener = await listen({ hostname: `unix:${path}` });
    const accepted = listener.accept();
    const client = await Client.open({ path });
    await client.write('from Node');
    const socket = await accepted;
    assert.is(await text(socket), 'from Node');
    socket.close();
    await client.rest();
    client.destroy();
    listener.close();
    await until(() => !existsSync(path), 'the file is gone');
    const server = createServer((one) => one.end('Node says'));
    await new Promise((resolve) => server.listen(path, resolve));
    const visitor = await connect({ path });
    assert.is(await text(visitor), 'Node says');
    visitor.close();
    await new Promise((resolve) => server.close(resolve));
  });

  check('somebody listens there: EADDRINUSE, and they go on', async () => {
    const path = newPath();
    const listener = await listen({ path });
    for (let i = 0; i < 3; i++) {
      const error = await rejection(listen({ path }));
      assert.equal([error.code, error.errnoName], ['FEATHERSTAR_SYSTEM', 'EADDRINUSE']);
      assert.ok(error.message.includes(path), error.message);
      (await within(listener.accept(), 'who asked whether anybody is there')).close();
    }
    const accepted = listener.accept();
    const socket = await connect({ path });
    (await accepted).close();
    socket.close();
    listener.close();
    await until(() => !existsSync(path), 'the file is gone');
  });

  check('a file that a dead server has left is taken over; what is no socket is not', async () => {
    const path = newPath();
    leaveBehind(path);
    assert.is((await rejection(connect({ path }))).errnoName, 'ECONNREFUSED');
    const listener = await listen({ path });
    const accepted = listener.accept();
    const socket = await connect({ path });
    (await within(accepted, 'accept')).close();
    socket.close();
    listener.close();
    await until(() => !existsSync(path), 'the file is gone');
    writeFileSync(path, 'precious');
    assert.is((await rejection(listen({ path }))).errnoName, 'EADDRINUSE');
    assert.is(statSync(path).size, 8);
    rmSync(path);
    assert.is((await rejection(connect({ path }))).errnoName, 'ENOENT');
    assert.is((await rejection(listen({ path: join(folder, 'no', 'folder') }))).code, 'FEATHERSTAR_SYSTEM');
  });

  check('closed and listened to again at once, 20 times; a file of somebody else is left alone', async () => {
    const path = newPath();
    for (let i = 0; i < 20; i++) {
      const listener = await listen({ path });
      listener.close();
      listener.close();
    }
    const last = await listen({ path });
    const accepted = last.accept();
    const socket = await connect({ path });
    (await within(accepted, 'accept')).close();
    socket.close();
    if (host === 'uring') {
      // Node removes the file by its name, whosever it is by then
      rmSync(path);
      writeFileSync(path, 'not the socket');
      last.close();
      await sleep(5);
      assert.is(statSync(path).size, 14);
      rmSync(path);
    } else last.close();
    await until(() => !existsSync(path), 'the file is gone');
  });

  check('paths: 107 bytes are fine, more, none and NUL are not; nor is a path with a port', async (base) => {
    const longest = join(folder, 'x'.repeat(107 - folder.length - 1));
    assert.is(Buffer.byteLength(longest), 107);
    const listener = await listen({ path: longest });
    const accepted = listener.accept();
    const socket = await connect({ path: longest });
    (await accepted).close();
    socket.close();
    listener.close();
    await until(() => !existsSync(longest), 'the file is gone');
    await back(base);
    const wrong = [`${longest}x`, '', 'a\0b', '\0abstract', 5, null, 'ü'.repeat(54), 'unix:/x'].map((path) => ({
      path,
    }));
    wrong.push({ path: newPath(), hostname: '127.0.0.1' }, { path: newPath(), port: 80 }, { hostname: 'unix:' });
    for (const options of wrong) {
      for (const begin of [listen, connect, (o) => serve({ ...o, fetch: () => new Response('') })]) {
        assert.is((await rejection(begin(options))).code, 'FEATHERSTAR_OPTION', JSON.stringify(options));
      }
    }
  });

  check('serve({ path }) answers requests, and removes its file', async () => {
    const path = newPath();
    const server = await serve({ path, fetch: (one) => new Response(`hello from ${new URL(one.url).pathname}`) });
    assert.is(server.url, `unix:${path}`);
    const body = await new Promise((resolve, reject) => {
      const asked = request({ socketPath: path, path: '/here', agent: false }, async (response) => {
        let all = '';
        for await (const bytes of response) all += bytes;
        resolve(all);
      });
      asked.on('error', reject).end();
    });
    assert.is(body, 'hello from /here');
    await server.close();
    await until(() => !existsSync(path), 'the file is gone');
  });

  check('an abort before it begins, and of accepting and connecting', async (base) => {
    const path = newPath();
    const reason = new Error('own reason');
    assert.is(await rejection(connect({ path, signal: AbortSignal.abort(reason) })), reason);
    const listener = await listen({ path, backlog: 1 });
    const files = openFiles();
    const controller = new AbortController();
    const accepting = rejection(listener.accept({ signal: controller.signal }));
    await sleep(2);
    controller.abort(reason);
    assert.is(await within(accepting, 'accept'), reason);
    for (let i = 0; i < 20; i++) {
      const one = new AbortController();
      const connecting = connect({ path, signal: one.signal }).then(
        (socket) => socket.close(),
        (error) => error,
      );
      for (let step = 0; step < i % 5; step++) await new Promise(setImmediate);
      one.abort(reason);
      const what = await within(connecting, 'connect');
      assert.ok(what === reason || what === undefined, what);
    }
    listener.close();
    await back(base);
    await until(() => openFiles() <= files, 'no descriptor is left');
  });

  run();

  for (const shards of [1, 2, 4]) {
    const test = suite(`unix sockets on several shards (${host}, ${shards} shards)`);

    test('spread() gives each shard as many connections', async () => {
      const path = newPath();
      const runtime = await within(Runtime.start({ host, shards, module: MODULE }), 'start');
      try {
        const listener = await listen({ path });
        const base = holdings();
        const controller = new AbortController();
        const wrong = await rejection(listener.spread('nothing'));
        assert.is(wrong.code, 'FEATHERSTAR_MODULE');
        const spreading = listener.spread('serve', ['hi'], { signal: controller.signal });
        const counts = new Array(shards).fill(0);
        const clients = [];
        for (let i = 0; i < 12 * shards; i++) clients.push(await Client.open({ path }));
        for (const client of clients) {
          const greeting = (await client.take('hi@0\n'.length)).toString();
          counts[Number(greeting[3])]++;
          await client.write('echo');
          client.end();
          assert.is((await client.rest()).toString(), 'echo');
          client.destroy();
        }
        assert.equal(counts, new Array(shards).fill(12));
        await until(() => JSON.stringify(holdings()) === JSON.stringify(base), 'nothing is held');
        const reason = new Error('no more');
        controller.abort(reason);
        assert.is(await rejection(spreading), reason);
        const again = listener.spread('serve', ['hi']);
        listener.close();
        await within(again, 'it ends with its listener');
      } finally {
        await within(runtime.close(), 'close');
      }
      await until(() => !existsSync(path), 'the file is gone');
    });

    test('the file goes with the runtime', async () => {
      const path = newPath();
      const runtime = await within(Runtime.start({ host, shards, module: MODULE }), 'start');
      await listen({ path });
      assert.ok(existsSync(path));
      await within(runtime.close(), 'close');
      await until(() => !existsSync(path), 'the file is gone');
    });

    test.run();
  }
}
