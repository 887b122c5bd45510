// connect() of featherstar/net: a client of this shard on one side, a server of Node's or of the shard's on the other.

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Runtime, sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Socket } from '../../dist/host/net/socket.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MEBIBYTE = 1024 * 1024;
const text = async (socket) => Buffer.from(await within(socket.read(), 'bytes')).toString();

/** A server of Node's; `use` gets its port and its connections. */
async function withServer(options, use) {
  const connections = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => connections.push(socket));
  await new Promise((resolve) => server.listen(options, resolve));
  try {
    return await use(server.address().port, connections);
  } finally {
    for (const socket of connections) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

const openFiles = () => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0);

for (const host of hosts()) {
  const test = suite(`connect (${host})`);
  let runtime;
  let base;

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    await sleep(5);
    base = holdings();
  });
  test.after(() => runtime.close());

  const check = (name, run) =>
    test(name, async () => {
      await run();
      await back(base);
    });

  check('to this machine, by address, by name, over IPv6 and a path', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-connect-'));
    const path = join(folder, 'socket');
    const wheres = [
      ['127.0.0.1', { host: '127.0.0.1', port: 0 }],
      ['localhost', { host: 'localhost', port: 0 }],
      [undefined, { host: '127.0.0.1', port: 0 }],
      ['::1', { host: '::1', port: 0 }],
      ['0:0:0:0:0:0:0:1', { host: '::1', port: 0 }],
      ['::ffff:127.0.0.1', { host: '127.0.0.1', port: 0 }],
      [`unix:${path}`, { path }],
    ];
    for (const [hostname, options] of wheres) {
      try {
        await withServer(options, async (port, connections) => {
          const socket = await connect({ hostname, port });
          assert.instance(socket, Socket);
          assert.not(socket.isProxy);
          await until(() => connections.length === 1, 'accepted');
          connections[0].write('from the server');
          assert.is(await text(socket), 'from the server');
          await socket.write('from the client');
          const got = await new Promise((resolve) => connections[0].once('data', resolve));
          assert.is(got.toString(), 'from the client');
          await socket.end();
          await new Promise((resolve) => connections[0].once('end', resolve).resume());
          connections[0].end();
          assert.is(await socket.read(), null);
          socket.close();
        });
      } catch (error) {
        if (options.host !== '::1' || !/EADDRNOTAVAIL|EAFNOSUPPORT/.test(error.stack)) throw error;
        console.log('# skipped: IPv6: this machine has none');
      }
    }
    rmSync(folder, { recursive: true });
  });

  check('to a listener of its own shard, many at once, bytes both ways', async () => {
    const listener = await listen({ hostname: '127.0.0.1' });
    const serving = (async () => {
      for await (const socket of listener) {
        void (async () => {
          for await (const bytes of socket) await socket.write(bytes);
          await socket.end();
          socket.close();
        })();
      }
    })();
    const bytes = Buffer.alloc(MEBIBYTE, 'featherstar ');
    await within(
      Promise.all(
        Array.from({ length: 40 }, async () => {
          const socket = await connect({ port: listener.port });
          const writing = (async () => {
            for (let at = 0; at < bytes.length; at += 65_536) await socket.write(bytes.subarray(at, at + 65_536));
            await socket.end();
          })();
          const runs = [];
          for await (const run of socket) runs.push(run);
          await writing;
          socket.close();
          assert.ok(Buffer.concat(runs).equals(bytes));
        }),
      ),
      'all are echoed',
    );
    listener.close();
    await serving;
  });

  check('who is not there', async () => {
    const refused = await withServer({ host: '127.0.0.1', port: 0 }, (port) => port);
    const error = await rejection(connect({ port: refused }));
    assert.equal([error.code, error.errnoName, error.syscall], ['FEATHERSTAR_SYSTEM', 'ECONNREFUSED', 'connect']);
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${refused}`));
    const missing = await rejection(connect({ hostname: 'unix:/no/such/socket' }));
    assert.equal([missing.code, missing.errnoName], ['FEATHERSTAR_SYSTEM', 'ENOENT']);
    const nobody = await rejection(connect({ hostname: 'no-such-name.invalid', port: 1 }));
    assert.equal(
      [nobody.code, nobody.syscall, nobody.errnoName],
      ['FEATHERSTAR_DNS', 'getaddrinfo', nobody.cause.code],
    );
    assert.match(nobody.message, /^hostname no-such-name\.invalid cannot be resolved: E(NOTFOUND|AI_AGAIN): /);
    const files = openFiles();
    for (let i = 0; i < 100; i++) await rejection(connect({ port: refused }));
    await back(base);
    await until(() => openFiles() <= files, 'no descriptor is left');
  });

  check('options that are wrong', async () => {
    const wrong = [
      null,
      5,
      {},
      { port: 0 },
      ...[-1, 65_536, 0.5, '80', NaN, null].map((port) => ({ port })),
      ...['', 5, null].map((hostname) => ({ hostname, port: 1 })),
      { hostname: 'unix:' },
      { hostname: `unix:/${'x'.repeat(107)}` },
      { hostname: 'unix:/a\0b' },
      { hostname: 'fe80::1%no-number', port: 1 },
    ];
    for (const options of wrong) {
      assert.is((await rejection(connect(options))).code, 'FEATHERSTAR_OPTION', JSON.stringify(options));
    }
  });

  check('an abort, before and at each stage', async () => {
    const reason = new Error('own reason');
    const signal = AbortSignal.abort(reason);
    assert.is(await rejection(connect({ port: 1, signal })), reason);
    await withServer({ host: '127.0.0.1', port: 0 }, async (port, connections) => {
      const files = openFiles();
      let aborted = 0;
      for (let stage = 0; stage < 60; stage++) {
        const controller = new AbortController();
        const attempt = connect({ hostname: 'localhost', port, signal: controller.signal });
        const ended = attempt.then(
          (socket) => socket.close(),
          (error) => {
            assert.is(error, reason);
            aborted++;
          },
        );
        for (let i = 0; i < stage % 20; i++) await (stage < 20 ? undefined : new Promise(setImmediate));
        controller.abort(reason);
        await within(ended, 'the attempt');
      }
      assert.ok(aborted > 0);
      await back(base);
      for (const socket of connections) socket.destroy();
      await until(() => openFiles() <= files, 'no descriptor is left');
    });
  });

  check('an abort while the kernel connects', async () => {
    // A server that has a backlog of 1 and takes nobody: the kernel drops who comes then, and they try on and on.
    const script = `const { workerData, parentPort } = require('node:worker_threads');
      const server = require('node:net').createServer().listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
        parentPort.postMessage(server.address().port);
        Atomics.wait(workerData, 0, 0);
        server.close();
        process.exit();
      });`;
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(script, { eval: true, workerData: gate });
    const port = await new Promise((resolve) => worker.once('message', resolve));
    const files = openFiles();
    const controller = new AbortController();
    const outcomes = [];
    const attempts = Array.from({ length: 8 }, () =>
      connect({ port, signal: controller.signal }).then(
        (socket) => {
          outcomes.push('connected');
          socket.close();
        },
        (error) => outcomes.push(error.message),
      ),
    );
    await until(() => outcomes.length > 0, 'the first are connected');
    await sleep(20);
    const waiting = attempts.length - outcomes.length;
    assert.ok(waiting > 0, 'others wait');
    controller.abort(new Error('given up'));
    await within(Promise.all(attempts), 'the attempts');
    assert.is(outcomes.filter((outcome) => outcome === 'given up').length, waiting);
    await back(base);
    await until(() => openFiles() <= files, 'no descriptor is left');
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    await new Promise((resolve) => worker.once('exit', resolve));
  });

  check('reads, writes and accepts can be aborted, and leave no listener behind', async () => {
    await withServer({ host: '127.0.0.1', port: 0 }, async (port) => {
      const socket = await connect({ port });
      const reason = new Error('own reason');
      const controller = new AbortController();
      const full = rejection(socket.write(new Uint8Array(64 * MEBIBYTE), { signal: controller.signal }));
      const reading = rejection(socket.read({ signal: controller.signal }));
      const listener = await listen({ hostname: '127.0.0.1' });
      const accepting = rejection(listener.accept({ signal: controller.signal }));
      await sleep(5);
      controller.abort(reason);
      assert.equal(await within(Promise.all([full, reading, accepting]), 'all'), [reason, reason, reason]);
      assert.is(await rejection(listener.accept({ signal: controller.signal })), reason);
      listener.close();
      socket.close();
    });
  });

  test.run();
}
