// deadline: 180 s
// Shards and calls between them, through the public surface.

import { Worker } from 'node:worker_threads';
import { blockOn, FeatherstarError, Runtime, runtime, sleep, spawn } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MODULE = new URL('../support/shard-module.js', import.meta.url);
const url = (name) => new URL(`../support/${name}`, import.meta.url);

for (const host of hosts()) {
  const test = suite(`runtime (${host})`);

  /** Runs `use` on a runtime of its own, which is closed in any case, in time. */
  const check = (name, options, use) =>
    test(name, async () => {
      const here = await within(Runtime.start({ host, module: MODULE, ...options }), 'start');
      try {
        await use(here);
      } finally {
        await within(here.close(), 'close');
      }
    });

  // --- starting and closing ------------------------------------------------------------------------------------------

  for (const shards of [1, 2, 4]) {
    check(`start and close, ${shards} shards`, { shards }, async (here) => {
      assert.equal([here.shardCount, here.self, here.hostName], [shards, 0, host]);
      assert.is(runtime(), here);
      const wanted = Array.from({ length: shards }, (_, i) => ({ self: i, shardCount: shards, isMainThread: i === 0 }));
      assert.equal(await here.onAll().where(), wanted);
      assert.is(
        (await here.onAll().self()).reduce((sum, self) => sum + self, 0),
        (shards * (shards - 1)) / 2,
      );
    });
  }

  test('runtimes one after the other, with and without a module; nested ones are refused', async () => {
    for (let i = 0; i < 3; i++) {
      const here = await Runtime.start({ host, shards: 2 });
      assert.is((await rejection(Runtime.start({ host, shards: 1 }))).code, 'FEATHERSTAR_STATE');
      assert.is((await rejection(blockOn(() => 1))).code, 'FEATHERSTAR_STATE');
      assert.is(here.on(1).echo, undefined);
      await Promise.all([here.close(), here.close()]);
      await here.close();
      assert.throws(
        () => runtime(),
        (error) => error.code === 'FEATHERSTAR_NO_SHARD',
      );
      assert.throws(
        () => spawn(() => 1),
        (error) => error.code === 'FEATHERSTAR_NO_SHARD',
      );
    }
  });

  test('a call to a shard that has not begun yet is kept for it', async () => {
    const post = Worker.prototype.postMessage;
    let begun = 0;
    Worker.prototype.postMessage = function (message, transfer) {
      const isLate = message.featherstar?.type === 'peers' && ++begun === 2;
      setTimeout(() => post.call(this, message, transfer), isLate ? 200 : 0);
    };
    try {
      const here = await within(Runtime.start({ host, shards: 3, module: url('early-module.js') }), 'start');
      try {
        assert.is(await within(here.on(1).answered(), 'the call'), 3);
      } finally {
        await within(here.close({ timeoutMs: 100 }), 'close');
      }
    } finally {
      Worker.prototype.postMessage = post;
    }
  });

  test('blockOn answers the result, passes the error on, and ends in both cases', async () => {
    const own = new Error('own');
    assert.is(await blockOn(() => sleep(1).then(() => 42), { host }), 42);
    assert.is(await rejection(blockOn(() => Promise.reject(own), { host })), own);
    assert.is(
      await rejection(
        blockOn(
          () => {
            throw own;
          },
          { host },
        ),
      ),
      own,
    );
    assert.is(await blockOn(() => runtime().shardCount, { host }), 1);
  });

  test('options that are wrong are refused', async () => {
    const wrong = [
      ...[0, -1, 1.5, 65, '2', NaN, null].map((shards) => ({ shards })),
      { shards: 1, module: 5 },
      { shards: 1, idlePollUs: -1 },
      { shards: 1, idlePollUs: '100' },
      { shards: 1, taskQuotaUs: NaN },
      { shards: 1, limits: { ringSlot: 1 } },
      { shards: 1, limits: { ringSlots: 3 } },
      { shards: 1, limits: { ringSlots: 0 } },
      { shards: 1, limits: { opSlots: 1.5 } },
      { shards: 1, limits: { arenaBytes: 1000 } },
      { shards: 1, limits: { cqeSlots: 4096 } },
      { shards: 64, limits: { arenaBytes: 1 << 30 } },
    ];
    for (const options of wrong) {
      const error = await rejection(Runtime.start({ host, ...options }));
      assert.is(error.code, 'FEATHERSTAR_OPTION', `${JSON.stringify(options)}: ${error.stack}`);
      assert.ok(FeatherstarError.is(error));
    }
  });

  test('a module that cannot be loaded', async () => {
    const missing = await rejection(Runtime.start({ host, shards: 2, module: url('no-such-module.js') }));
    assert.is(missing.code, 'FEATHERSTAR_MODULE');
    assert.match(missing.message, /no-such-module\.js/);
    const early = await rejection(Runtime.start({ host, shards: 3, module: url('early-death-module.js') }));
    assert.is(early.message, 'a shard exited with code 3 at start');
    const throwing = await rejection(Runtime.start({ host, shards: 2, module: url('throws-in-worker.js') }));
    assert.match(throwing.message, /not in a worker/);
    const module = `data:text/javascript,
      import { isMainThread } from 'node:worker_threads';
      if (!isMainThread) {
        setTimeout(() => { throw new RangeError('not caught'); });
        await new Promise(() => {});
      }`;
    const uncaught = await rejection(Runtime.start({ host, shards: 2, module }));
    assert.equal([uncaught.code, uncaught.cause.message], ['FEATHERSTAR_MODULE', 'not caught']);
    const again = await Runtime.start({ host, shards: 1, module: url('throws-in-worker.js') });
    assert.is(await again.on(0).works(), true);
    await again.close();
  });

  // --- values --------------------------------------------------------------------------------------------------------

  check('values of every kind arrive as they are', { shards: 2 }, async (here) => {
    const values = [
      undefined,
      null,
      true,
      false,
      0,
      -0,
      1,
      -1,
      2 ** 31 - 1,
      -(2 ** 31),
      2 ** 31,
      0.5,
      -1e300,
      NaN,
      Infinity,
      -Infinity,
      Number.MAX_SAFE_INTEGER,
      '',
      'ascii',
      'latin1: äöü',
      'wide: 世界 🌍',
      'x'.repeat(23),
      'x'.repeat(24),
      'ä'.repeat(25),
      'a\0b',
      '🌍'.repeat(5000),
      0n,
      -1n,
      2n ** 200n,
      new Date(0),
      new Date(1.7e12),
      [],
      [1, 'two', [3]],
      {},
      { a: 1, ключ: { b: [null] } },
      new Map(),
      new Map([
        ['a', 1],
        [2, { b: [1, 2] }],
        ['list', [1, 2]],
      ]),
      new Set(),
      new Set([1, 'a', [2]]),
      new Uint8Array(0),
      new Uint8Array([1, 2, 255]),
      new Uint8Array(100_000).fill(9),
      Object.assign(Object.create(null), { bare: 1 }),
    ];
    for (const value of values) {
      const answer = await here.on(1).echo(value);
      assert.equal(
        answer,
        value !== null && typeof value === 'object' && !Object.getPrototypeOf(value) ? { ...value } : value,
      );
      if (typeof value === 'number') assert.ok(Object.is(answer, value), String(value));
    }
    const kinds = [Buffer.from('x'), new ArrayBuffer(3), new Date(), new Map(), new Set(), [], {}, 1n, null];
    const names = ['Uint8Array', 'ArrayBuffer', 'Date', 'Map', 'Set', 'Array', 'Object', 'bigint', 'null'];
    for (const [i, value] of kinds.entries()) assert.is(await here.on(1).kindOf(value), names[i]);
    assert.ok(Number.isNaN((await here.on(1).echo(new Date(NaN))).getTime()));
    assert.equal(await here.on(1).echo(new Array(2)), [undefined, undefined]); // holes are filled
    const proto = await here.on(1).echo(JSON.parse('{"__proto__": {"polluted": 1}}'));
    assert.is({}.polluted, undefined);
    assert.ok(Object.hasOwn(proto, '__proto__'));
    assert.is(await here.on(1).add(1, 2, 3), 6);
    assert.is(await here.on(1).echo(), undefined);
  });

  check('values that cannot be sent are refused, in both directions', { shards: 2 }, async (here) => {
    const cycle = {};
    cycle.self = cycle;
    const wrong = [
      () => 1,
      Symbol('x'),
      cycle,
      new (class Own {})(),
      new WeakMap(),
      Object(1),
      new SharedArrayBuffer(1),
      new URL('a:b'),
    ];
    for (const value of wrong) {
      assert.is((await rejection(here.on(1).echo(value))).code, 'FEATHERSTAR_CODEC');
      assert.is((await rejection(here.on(1).echo([{ value }]))).code, 'FEATHERSTAR_CODEC');
    }
    assert.is((await rejection(here.on(1).answerFunction())).code, 'FEATHERSTAR_CODEC');
    const thrown = await rejection(here.on(1).fail('function')); // it was thrown: its text is sent instead
    assert.is(thrown.code, 'FEATHERSTAR_REMOTE');
    assert.match(thrown.message, /^the called function threw /);
    assert.is(await here.on(1).echo('goes on'), 'goes on');
  });

  check('large values; one that does not fit the arena is refused', { shards: 2 }, async (here) => {
    const large = new Uint8Array(1024 * 1024).map((_, i) => i * 7);
    const copies = await Promise.all(Array.from({ length: 20 }, () => here.on(1).echo(large)));
    for (const copy of copies) assert.ok(Buffer.from(copy.buffer).equals(Buffer.from(large.buffer)));
    for (let length = 20; length < 60; length++) {
      assert.is(await here.on(1).echo('y'.repeat(length)), 'y'.repeat(length));
    }
    assert.is((await rejection(here.on(1).echo(new Uint8Array(5_000_000)))).code, 'FEATHERSTAR_CODEC');
    assert.is((await rejection(here.on(1).answerBytes(5_000_000))).code, 'FEATHERSTAR_CODEC');
    assert.is((await here.on(1).answerBytes(4_000_000)).length, 4_000_000);
    await until(() => holdings().calls === 0, 'all calls are over');
  });

  // --- errors --------------------------------------------------------------------------------------------------------

  check('errors of the called function keep name, message, code and stack', { shards: 2 }, async (here) => {
    for (const name of ['fail', 'failLater']) {
      for (const peer of [0, 1]) {
        const own = await rejection(here.on(peer)[name]('so'));
        assert.equal([own.name, own.message, own.code], ['OwnError', 'failed so', 'OWN_CODE']);
        assert.match(own.stack, /shard-module\.js/);
      }
      const type = await rejection(here.on(1)[name]('type'));
      assert.equal([type.name, type.message, type instanceof Error], ['TypeError', 'not this type', true]);
      assert.match(type.stack, /on another shard; called from/);
      const text = await rejection(here.on(1)[name]('text'));
      assert.equal([text.code, text.cause], ['FEATHERSTAR_REMOTE', 'just text']);
      const mute = await rejection(here.on(1)[name]('mute')); // its text is none, and asking for it throws
      assert.equal([mute.code, mute.cause], ['FEATHERSTAR_REMOTE', { toString: null }]);
      const system = await rejection(here.on(1)[name]('system'));
      assert.equal([system.code, system.errno, system.syscall], ['EPERM', -1, 'open']);
    }
    const passed = await here.on(1).echo(new RangeError('as a value'));
    assert.equal([passed.name, passed.message], ['RangeError', 'as a value']);
  });

  check('functions and shards that are not there', { shards: 2 }, async (here) => {
    for (const name of ['nothing', 'notAFunction', 'then', '']) {
      for (const peer of [0, 1]) {
        assert.is(here.on(peer)[name], undefined);
      }
    }
    for (const index of [-1, 2, 0.5, '0x', undefined]) {
      assert.throws(
        () => here.on(index),
        (error) => error.code === 'FEATHERSTAR_OPTION',
      );
    }
    assert.is((await rejection(here.onAll().fail('all'))).code, 'OWN_CODE');
    assert.is((await rejection(here.onAll().with({ timeoutMs: 60_000 }).fail('all'))).code, 'OWN_CODE');
  });

  // --- many calls ----------------------------------------------------------------------------------------------------

  check('5000 calls at once: all complete, in the order of calling', { shards: 2 }, async (here) => {
    const base = holdings();
    const order = Array.from({ length: 5000 }, (_, i) => i);
    const values = await Promise.all(order.map((i) => here.on(1).echo(i)));
    assert.equal(values, order);
    await Promise.all(order.map((i) => here.on(1).note(i)));
    assert.equal(await here.on(1).notes(), order);
    const mixed = order.slice(0, 2000).map((i) => here.on(1).note(i % 3 ? i : [i, 'z'.repeat(i * 2)]));
    await Promise.all(mixed);
    const notes = await here.on(1).notes();
    assert.equal(
      notes.map((value) => (Array.isArray(value) ? value[0] : value)),
      order.slice(0, 2000),
    );
    assert.is(holdings().calls, base.calls);
  });

  check(
    'a call that waits sends its arguments as they were',
    { shards: 2, limits: { creditCount: 1 } },
    async (here) => {
      const argument = { n: 0 };
      const calls = [];
      for (let i = 0; i < 20; i++) {
        argument.n = i;
        calls.push(here.on(1).echo(argument));
      }
      assert.equal(
        (await Promise.all(calls)).map(({ n }) => n),
        Array.from({ length: 20 }, (_, i) => i),
      );
    },
  );

  const tight = { ringSlots: 1, creditCount: 1 };
  check(
    'shards that call each other through rings of one slot and one credit',
    { shards: 2, limits: tight },
    async (here) => {
      const both = [here.on(0).flood(1, 300), here.on(1).flood(0, 300)];
      assert.equal(await within(Promise.all(both), 'both floods'), [300, 300]);
    },
  );

  check('calls that call back', { shards: 2 }, async (here) => {
    const chains = Array.from({ length: 20 }, () => here.on(1).bounce(0, 10));
    assert.equal(new Set(await within(Promise.all(chains), 'the chains')), new Set([10]));
  });

  check('every shard floods every other', { shards: 4, limits: { creditCount: 4, ringSlots: 2 } }, async (here) => {
    const floods = [];
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) floods.push(here.on(from).flood(to, 200));
    }
    assert.equal(new Set(await within(Promise.all(floods), 'the floods')), new Set([200]));
  });

  // --- shards that fail ----------------------------------------------------------------------------------------------

  check('a shard that ends: its callers are told, others go on', { shards: 4 }, async (here) => {
    const waiting = Array.from({ length: 400 }, () => rejection(here.on(1).never()));
    const other = here.on(2).outcome(1, 'never');
    await here.on(3).echo(0);
    const dying = rejection(here.on(1).exit());
    waiting.push(dying);
    here.on(3).outcome(1, 'exit');
    const errors = await within(Promise.all(waiting), 'the callers are told');
    assert.equal(new Set(errors.map((error) => error.code)), new Set(['FEATHERSTAR_PEER_DOWN']));
    assert.is(await within(other, 'the other caller is told'), 'FEATHERSTAR_PEER_DOWN');
    assert.is((await rejection(here.on(1).echo(1))).code, 'FEATHERSTAR_PEER_DOWN');
    assert.is(await here.on(3).outcome(1, 'echo', 1), 'FEATHERSTAR_PEER_DOWN');
    assert.is(await here.on(2).flood(3, 500), 500);
    assert.is((await rejection(here.onAll().self())).code, 'FEATHERSTAR_PEER_DOWN');
  });

  check('a shard that dies of an error that nobody catches', { shards: 2 }, async (here) => {
    const warnings = [];
    const onWarning = (warning) => warnings.push(warning.message);
    process.on('warning', onWarning);
    const call = rejection(here.on(1).never());
    await here.on(1).throwUncaught();
    assert.is((await within(call, 'the caller is told')).code, 'FEATHERSTAR_PEER_DOWN');
    await until(() => warnings.length > 0, 'the warning');
    process.off('warning', onWarning);
    assert.match(warnings[0], /shard 1 died: nobody catches this/);
  });

  check(
    'what a shard answered before it died arrives, also if its end is heard of first',
    { shards: 2 },
    async (here) => {
      await here.on(1).self();
      const unanswered = rejection(here.on(1).never());
      const answered = here.on(1).throwUncaught();
      await new Promise(setImmediate); // both calls are out
      const end = performance.now() + 300;
      while (performance.now() < end); // now its answer and its end wait for this thread
      await within(answered, 'the answer');
      assert.is((await within(unanswered, 'the caller is told')).code, 'FEATHERSTAR_PEER_DOWN');
    },
  );

  check('a function that throws does not end its shard', { shards: 2 }, async (here) => {
    const failures = Array.from({ length: 500 }, (_, i) => rejection(here.on(1)[i % 2 ? 'fail' : 'failLater'](i)));
    assert.equal(new Set((await Promise.all(failures)).map((error) => error.code)), new Set(['OWN_CODE']));
    assert.is(await here.on(1).self(), 1);
  });

  test('close() ends a shard that does not stop by itself, and rejects the calls that wait for it', async () => {
    const here = await Runtime.start({ host, shards: 2, module: MODULE });
    const call = rejection(here.on(1).stall());
    await sleep(20);
    await within(here.close(), 'close');
    assert.is((await call).code, 'FEATHERSTAR_PEER_DOWN');
  });

  test('close() runs what onClose() registered, and passes its failure on', async () => {
    const here = await Runtime.start({ host, shards: 2, module: MODULE });
    const order = [];
    here.onClose(() => order.push('first'));
    here.onClose(async () => {
      order.push('last');
      throw new Error('onClose failed');
    });
    await here.onAll().onClose();
    const error = await rejection(within(here.close(), 'close'));
    assert.is(error.message, 'onClose failed');
    assert.equal(order, ['last', 'first']);
    const again = await Runtime.start({ host, shards: 1 }); // all is well after it
    await again.close();
  });

  // --- stats ---------------------------------------------------------------------------------------------------------

  check('stats count turns and calls; nothing is left behind', { shards: 2 }, async (here) => {
    const base = holdings();
    const before = [here.stats(0), here.stats(1)];
    for (let i = 0; i < 50; i++) await here.on(1).echo(i);
    const after = [here.stats(0), here.stats(1)];
    for (const shard of [0, 1]) {
      assert.ok(after[shard].turns > before[shard].turns);
      for (const [name, value] of Object.entries(after[shard])) {
        assert.ok(Number.isInteger(value) && value >= 0, `${name}: ${value}`);
      }
    }
    await back(base);
    for (const shard of [-1, 2]) {
      assert.throws(
        () => here.stats(shard),
        (error) => error.code === 'FEATHERSTAR_OPTION',
        String(shard),
      );
    }
  });

  test.run();
}
