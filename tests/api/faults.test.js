// What goes wrong, and what stays well: shards that die, modules that throw, tables that are full.
//
// In each test something breaks, the error has a code, the rest goes on, everything is given back, and close() ends.

import { Runtime, sleep, spawn, yieldNow } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, get, until, within } from '../support/http.js';

const module = new URL('../support/life-module.js', import.meta.url);

for (const host of hosts()) {
  const test = suite(`faults (${host})`);
  let started;
  const start = async (shards, options) => {
    started = await within(Runtime.start({ host, shards, module, ...options }), 'start');
    return started;
  };
  test.after.each(() => started?.close({ timeoutMs: 0 })); // of a test that failed
  const close = (here) => within(here.close(), 'close');

  // --- shards that die -----------------------------------------------------------------------------------------------

  async function withWarnings(use) {
    const warnings = [];
    const onWarning = ({ message }) => warnings.push(message);
    process.on('warning', onWarning);
    try {
      await use(warnings);
    } finally {
      process.off('warning', onWarning);
    }
  }

  for (const shards of [2, 4]) {
    for (const how of ['exit', 'throwInTimer', 'throwInTimeout', 'throwInMicrotask', 'rejectAlone']) {
      test(`${shards} shards: one dies by ${how}; its callers are told, the others serve, close() ends`, async () => {
        await withWarnings(async (warnings) => {
          const here = await start(shards);
          const ports = await here.onAll().serveHttp();
          const waiting = rejection(here.on(1).never());
          await here.on(1).self();
          here
            .on(1)
            [how]()
            .catch(() => undefined); // it may be told or not: the shard dies of it
          assert.is((await within(waiting, 'the caller is told')).code, 'FEATHERSTAR_PEER_DOWN');
          assert.is((await rejection(here.on(1).self())).code, 'FEATHERSTAR_PEER_DOWN');
          for (let i = 0; i < shards; i++) {
            if (i === 1) continue;
            assert.is(await here.on(i).echo(i), i);
            const client = await Client.open(ports[i]);
            assert.is((await client.ask(get())).text, `shard ${i}`);
            client.destroy();
          }
          if (shards > 2) assert.is(await here.on(2).outcome(1, 'echo'), 'FEATHERSTAR_PEER_DOWN');
          if (how !== 'exit') {
            await until(() => warnings.length !== 0, 'the warning');
            assert.match(warnings[0], /^shard 1 died: nobody catches this/);
          }
          const report = await close(here);
          assert.equal(
            report.shards.map(({ how }) => how),
            Array.from({ length: shards }, (_, i) => (i === 1 ? 'died' : 'stopped')),
          );
        });
      });
    }

    test(`${shards} shards: a module that throws as it loads, on the last one or on the first`, async () => {
      for (const bad of [0, shards - 1]) {
        const throwing = new URL(`../support/throws-on-load.js?shard=${bad}`, import.meta.url);
        const error = await rejection(within(Runtime.start({ host, shards, module: throwing }), 'start'));
        assert.is(error.code, 'FEATHERSTAR_MODULE');
        assert.match(error.message, new RegExp(`shard ${bad} does not load`));
      }
      const here = await start(shards);
      assert.is(await here.on(shards - 1).echo(1), 1);
      await close(here);
    });

    test(`${shards} shards: a handler and a hook that throw kill nobody`, async () => {
      await withWarnings(async (warnings) => {
        const here = await start(shards);
        assert.is((await rejection(here.on(1).throwHere())).message, 'thrown in a handler');
        await here.on(1).hookThrows();
        assert.is(await here.on(1).self(), 1);
        const report = await close(here);
        assert.ok(report.shards.every(({ how }) => how === 'stopped'));
        await until(() => warnings.length !== 0, 'the warning');
        assert.match(warnings[0], /^onClose failed on shard 1: Error: this hook fails/);
      });
    });
  }

  // --- tables that are full ------------------------------------------------------------------------------------------

  /** Runs `use` on one shard with tiny tables. What it takes has to come back, and close() finds nothing. */
  const full = (name, limits, use) =>
    test(name, async () => {
      const here = await start(1, { limits });
      try {
        const base = holdings();
        await use(here);
        await back(base);
      } finally {
        const { shards } = await close(here);
        const left = { openOperations: 0, pendingTimers: 0, liveTasks: 0, openCalls: 0, sendBuffersUsed: 0 };
        assert.equal(shards, [{ how: 'stopped', left }]);
      }
    });

  const codesOf = (results) => results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code);

  full('timers', { timerSlots: 8 }, async () => {
    for (let round = 0; round < 3; round++) {
      const sleeps = await Promise.allSettled(Array.from({ length: 20 }, () => sleep(5)));
      assert.equal(codesOf(sleeps), new Array(12).fill('FEATHERSTAR_FULL'));
    }
  });

  full('tasks', { taskSlots: 8 }, async () => {
    for (let round = 0; round < 3; round++) {
      const tasks = Array.from({ length: 20 }, (_, i) => {
        try {
          return spawn(() => i);
        } catch (error) {
          return Promise.reject(error);
        }
      });
      const results = await Promise.allSettled(tasks);
      assert.equal(codesOf(results), new Array(12).fill('FEATHERSTAR_FULL'));
    }
    await yieldNow();
  });

  full(
    'operations: sockets that find none fail, the listener goes on when there are some',
    { opSlots: 4 },
    async () => {
      const listener = await listen({ hostname: '127.0.0.1' });
      const codes = [];
      const sockets = [];
      const accepting = (async () => {
        for (;;) {
          const socket = await listener.accept().catch((error) => error);
          if (socket === null) return;
          if (socket instanceof Error) {
            codes.push(socket.code);
            await sleep(5);
            continue;
          }
          sockets.push(socket);
          socket.read().catch((error) => {
            codes.push(error.code);
            socket.close();
          });
        }
      })();
      const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open(listener.port)));
      await until(() => codes.length >= 6, 'those that found no slot');
      assert.ok(sockets.length >= 3);
      for (const client of clients) client.destroy();
      for (const socket of sockets) socket.close();
      await until(() => holdings().operations <= 1, 'the operations are over');
      const before = sockets.length;
      const again = await Client.open(listener.port);
      await until(() => sockets.length === before + 1, 'one more is accepted');
      again.destroy();
      sockets.at(-1).close();
      listener.close();
      await accepting;
      assert.equal(
        [...new Set(codes)].filter((code) => code !== 'FEATHERSTAR_CLOSED'),
        ['FEATHERSTAR_FULL'],
      );
    },
  );

  /** Opens `count` connections at once. Those that the server keeps are answered; the others are closed. */
  async function crowd(port, count) {
    const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
    const asked = await Promise.allSettled(clients.map((client) => client.ask(get())));
    for (const client of clients) client.destroy();
    return asked.filter(({ status, value }) => status === 'fulfilled' && value.text === 'well').length;
  }

  for (const [what, limits, few] of [
    ['operations', { opSlots: 6 }, true],
    ['timers', { timerSlots: 3 }, true],
    ['send buffers', { sendBufferCount: 1 }, false],
    ['receive buffers', { recvBufferCount: 1 }, false],
    ['submissions', { sqeSlots: 1, cqeSlots: 2, readySlots: 4 }, false],
    ['completions', { cqeSlots: 1 }, false],
  ]) {
    full(`HTTP with hardly any ${what}`, limits, async () => {
      const base = holdings();
      const server = await serve({ hostname: '127.0.0.1', fetch: () => new Response('well'), onError: () => {} });
      for (let round = 0; round < 2; round++) {
        const served = crowd(server.port, few ? 12 : 2);
        const well = await within(served, 'the crowd');
        assert.ok(few ? well < 12 : well === 2, `${well} were served`);
        await until(() => server.stats.connections === 0, 'the crowd has gone');
        await until(() => holdings().operations <= base.operations + 1, 'its operations are over');
        await until(async () => (await crowd(server.port, 1)) === 1, 'one alone is served');
      }
      await server.close();
    });
  }

  full(
    'HTTP with hardly any file slots: uring drops one client for each try, the others wait',
    {
      connectionSlots: 18,
    },
    async () => {
      const server = await serve({ hostname: '127.0.0.1', fetch: () => new Response('well'), onError: () => {} });
      const clients = await Promise.all(Array.from({ length: 8 }, () => Client.open(server.port)));
      const ends = clients.map(async (client) => {
        const answer = await client.ask(get()).catch(() => undefined);
        client.destroy(); // makes room for the next one
        return answer?.text;
      });
      const texts = await within(Promise.all(ends), 'each is served or dropped');
      const served = texts.filter((text) => text === 'well').length;
      assert.ok(served >= 2 && (host === 'uring' || served === 8), `${served} were served`);
      await until(async () => (await crowd(server.port, 1)) === 1, 'one alone is served');
      await server.close();
    },
  );

  for (const shards of [2, 4]) {
    test(`${shards} shards: arena, credits and rings: calls wait, all arrive, and the memory comes back`, async () => {
      const limits = { arenaBytes: 65_536, creditCount: 2, ringSlots: 1 };
      const here = await start(shards, { limits });
      const base = holdings();
      const text = 'x'.repeat(20_000);
      const calls = Array.from({ length: 60 }, (_, i) => here.on(i % shards).echo(text + i));
      const answers = await within(Promise.all(calls), 'the calls');
      assert.ok(answers.every((answer, i) => answer === text + i));
      assert.is((await rejection(here.on(1).echo('x'.repeat(70_000)))).code, 'FEATHERSTAR_CODEC');
      await back(base);
      await close(here);
    });
  }

  test.run();
}
