// Calls that call back, round and without an end: none waits for ever, and an innocent call is always answered. What
// makes it so is told in assembly/mesh.ts; what bounds it is limits.callSlots.

import { Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { Client, within } from '../support/http.js';

const MODULE = new URL('../support/nested-module.js', import.meta.url);
const SLOW_LOAD = new URL('../support/slow-load-module.js', import.meta.url);
const CREDITS = 256; // limits.creditCount: with that many calls at once they waited for each other once
const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const TINY = { creditCount: 1, ringSlots: 1, sqeSlots: 2, cqeSlots: 4, readySlots: 8, arenaBytes: 4096 };

for (const host of hosts()) {
  const test = suite(`calls that call (${host})`);

  /** Runs `use` on a runtime; the shards hold then what they held, and each still answers. */
  const check = (name, shards, limits, use, module = MODULE) => {
    test(`${name}, ${shards} shards`, async () => {
      const here = await within(Runtime.start({ host, module, shards, limits }), 'start');
      const base = holdings();
      try {
        await within(use(here), 'the test', 60_000);
        for (let i = 0; i < shards; i++) assert.is(await within(here.on(i).echo(i), 'an echo'), i);
        await back(base);
        for (const { openCalls } of here.stats()) assert.is(openCalls, 0);
      } finally {
        await within(here.close(), 'close');
      }
    });
  };

  for (const [shards, count] of [
    [2, CREDITS],
    [2, 2000],
    [3, 300],
    [4, 300],
  ]) {
    check(`${count} calls from each to the next, each makes a call back`, shards, {}, async (here) => {
      const all = Array.from({ length: shards }, (_, i) => here.on(i).callBack(count));
      const innocent = here.on(1).echo('innocent');
      assert.equal(await Promise.all(all), Array(shards).fill(count));
      assert.is(await innocent, 'innocent');
    });
  }

  for (const isLate of [false, true]) {
    check(`${CREDITS} times 0>1>0>1 from one side, ${isLate ? 'late' : 'at once'}`, 2, {}, async (here) => {
      const all = Array.from({ length: CREDITS }, () => here.on(1).around(3, isLate));
      assert.equal(new Set(await Promise.all(all)), new Set([3]));
    });
  }

  check('10,000 roots, six calls deep, two credits', 4, { creditCount: 2 }, async (here) => {
    const all = Array.from({ length: 10_000 }, (_, i) => here.on(1).around(6, i % 2 === 0));
    assert.equal(new Set(await Promise.all(all)), new Set([6]));
  });

  check('a chain far deeper than there are credits', 2, { creditCount: 1 }, async (here) => {
    assert.is(await here.on(1).around(500, false), 500);
  });

  for (const limits of [{}, TINY]) {
    for (const length of [1, 1000]) {
      check(`trees of calls, ${length} bytes each, ${JSON.stringify(limits)}`, 3, limits, async (here) => {
        const all = Array.from({ length: 20 }, () => here.on(1).tree(5, 'x'.repeat(length)));
        assert.equal(new Set(await Promise.all(all)), new Set([32 * length]));
      });
    }
  }

  for (const arenaBytes of [16, 64, 512]) {
    check(
      `errors that do not fit the arena reject all the same, ${arenaBytes} bytes`,
      2,
      { arenaBytes },
      async (here) => {
        for (let i = 0; i < 3; i++) {
          assert.ok((await rejection(here.on(1).fail())) instanceof Error);
          assert.is((await rejection(here.on(1).echo('x'.repeat(600)))).code, 'FEATHERSTAR_CODEC');
          assert.ok((await rejection(here.on(1).long())) instanceof Error);
          const control = new AbortController();
          const call = rejection(here.on(1).held(control.signal));
          control.abort(new Error('a reason'));
          assert.is((await call).message, 'a reason');
        }
        await here.on(1).release();
      },
    );
  }

  check('calls that nobody answers do not keep others waiting', 2, {}, async (here) => {
    const held = Array.from({ length: 4 * CREDITS }, () => here.on(1).held());
    assert.is(await here.on(1).echo(1), 1);
    await here.on(1).release();
    await Promise.all(held);
  });

  for (const name of ['forever', 'foreverHere']) {
    check(`a recursion without an end: ${name}()`, 2, { callSlots: 500 }, async (here) => {
      const error = await rejection(here.on(1)[name]());
      assert.is(error.code, 'FEATHERSTAR_FULL');
      assert.match(error.message, /callSlots/);
      assert.ok(error.stack.length < 10_000, 'the stack does not grow with each shard that it passes');
    });
  }

  check('limits.callSlots: one more is refused, until one has ended', 2, { callSlots: 3 }, async (here) => {
    for (const shard of [1, 0]) {
      const held = Array.from({ length: 2 }, () => here.on(shard).held());
      const release = here.on(shard).echo(1);
      assert.is((await rejection(here.on(shard).echo(1))).code, 'FEATHERSTAR_FULL');
      await release;
      await here.on(shard).release();
      await Promise.all(held);
    }
  });

  check(
    'calls to a shard that still loads hold up no calls to others',
    3,
    { ...TINY, creditCount: 4 },
    async (here) => {
      const order = await here.on(1).order();
      assert.equal(order, [0, ...Array(50).fill(2)]);
    },
    SLOW_LOAD,
  );

  test('an HTTP handler that calls a peer that calls back: 700 clients, and one when they have left', async () => {
    const here = await within(Runtime.start({ host, module: MODULE, shards: 2 }), 'start');
    try {
      const server = await serve({
        port: 0,
        fetch: async () => new Response(String(await here.on(1).back(0))),
      });
      const { port } = server;
      const clients = await Promise.all(Array.from({ length: 700 }, () => Client.open(port)));
      for (let round = 0; round < 3; round++) {
        for (const client of clients) client.write(REQUEST);
        for (const client of clients) assert.is((await client.response()).body.toString(), '1');
      }
      for (const client of clients) client.destroy();
      const last = await Client.open(port);
      last.write(REQUEST);
      assert.is((await last.response()).body.toString(), '1');
      last.destroy();
    } finally {
      await within(here.close(), 'close');
    }
  });

  test.run();
}
