// Calls between shards: signals that cross, errors, other values than JSON's, and backpressure to the last slot.
// Starting, closing and dying shards are in runtime.test.js, the format itself in tests/host/codec.test.js.

import { getEventListeners } from 'node:events';
import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until, within } from '../support/http.js';

const MODULE = new URL('../support/call-module.js', import.meta.url);
const TIGHT = { ringSlots: 1, creditCount: 1 };
const listeners = (signal) => getEventListeners(signal, 'abort').length;

for (const host of hosts()) {
  const test = suite(`calls (${host})`);

  /** Runs `use` on runtimes of these sizes; at the end the shards hold what they held, and no signal is left. */
  const check = (name, sizes, limits, use) => {
    for (const shards of sizes) {
      test(`${name}, ${shards} shards`, async () => {
        const here = await within(Runtime.start({ host, module: MODULE, shards, limits }), 'start');
        const base = holdings();
        try {
          await within(use(here, here.on(shards - 1)), 'the test');
          await back(base);
          if (here.shardCount > 1) await until(async () => (await leftSignals(here)) === 0, 'no signal is left');
        } finally {
          await within(here.close(), 'close');
        }
      });
    }
  };
  const leftSignals = async (here) => {
    const live = Array.from({ length: here.shardCount }, (_, i) => here.on(i).givenSignals());
    const settled = await Promise.allSettled(live);
    return settled.reduce((sum, { value = 0 }) => sum + value, 0);
  };

  check('only the number of a shard names it, also when it was asked for before', [1, 2], {}, async (here) => {
    for (let shard = 0; shard < here.shardCount; shard++) here.on(shard);
    for (const wrong of ['0', '', -1, 0.5, here.shardCount, NaN, 'length', 'push', undefined, null, [0], 0n]) {
      const error = await rejection(async () => here.on(wrong));
      assert.is(error.code, 'FEATHERSTAR_OPTION', `${String(wrong)}: ${error.stack}`);
    }
  });

  // --- signals -------------------------------------------------------------------------------------------------------

  for (const name of ['untilAborted', 'untilAbortedIn']) {
    check(`an abort ends the call at once, and reaches ${name}()`, [1, 2, 4], {}, async (_, peer) => {
      await peer.ended(); // shard 0's module is the one of the tests before
      for (const reason of [new RangeError('enough'), { code: 7 }, undefined]) {
        const control = new AbortController();
        const { signal } = control;
        const call = peer[name](name === 'untilAborted' ? signal : { signal });
        await until(async () => (await peer.waiting()) === 1, 'it waits');
        control.abort(reason);
        assert.is(await rejection(call), signal.reason);
        assert.is(listeners(signal), 0);
        await until(async () => (await peer.waiting()) === 0, 'it has ended');
        const [seen] = await peer.ended();
        if (reason instanceof Error) assert.equal([seen.name, seen.message], ['RangeError', 'enough']);
        else if (reason === undefined) assert.is(seen.name, 'AbortError');
        else assert.equal(seen, reason);
      }
    });
  }

  check('a signal that has aborted already: nothing runs', [1, 2], {}, async (_, peer) => {
    const signal = AbortSignal.abort(new Error('before'));
    const begun = await peer.begun();
    assert.is(await rejection(peer.untilAborted(signal)), signal.reason);
    assert.is(await rejection(peer.with({ signal }).untilAborted(new AbortController().signal)), signal.reason);
    await peer.nothing();
    assert.is(await peer.begun(), begun);
    assert.is(listeners(signal), 0);
  });

  check('a call that waits for credit leaves the line when it is aborted', [2], { creditCount: 1 }, async (_, peer) => {
    const spin = peer.spin(100); // until it returns, that shard begins nothing else
    const controls = Array.from({ length: 50 }, () => new AbortController());
    const calls = controls.map(({ signal }) => rejection(peer.untilAborted(signal)));
    const after = peer.echo('after');
    for (const [i, control] of [...controls.entries()].reverse()) control.abort(i);
    assert.equal(await Promise.all(calls), [...controls.keys()]);
    await spin;
    assert.is(await after, 'after');
    assert.is(await peer.begun(), 0);
  });

  check('an abort gets through with one slot and one credit', [2, 4], TIGHT, async (_, peer) => {
    for (let i = 0; i < 20; i++) {
      const control = new AbortController();
      const call = rejection(peer.untilAborted(control.signal));
      const next = peer.echo(i);
      setImmediate(() => control.abort(i));
      assert.is(await call, i);
      assert.is(await next, i);
    }
    assert.is((await peer.ended()).length, await peer.begun());
  });

  check('a thousand aborts at once', [2], { ringSlots: 2 }, async (_, peer) => {
    const shared = new AbortController();
    const controls = Array.from({ length: 1000 }, (_, i) => (i % 5 === 0 ? shared : new AbortController()));
    const calls = controls.map(({ signal }) => rejection(peer.untilAborted(signal)));
    await until(async () => (await peer.waiting()) === 1000, 'all have begun');
    for (const control of controls) control.abort('now');
    assert.equal(new Set(await Promise.all(calls)), new Set(['now']));
    await until(async () => (await peer.waiting()) === 0, 'all have ended');
    assert.equal([...new Set(await peer.ended())], ['now']);
    assert.is(listeners(shared.signal), 0);
  });

  check('a late abort, and one of a signal that was kept, do nothing', [2], {}, async (_, peer) => {
    const control = new AbortController();
    const { signal } = control;
    assert.equal(await peer.signalsNow(signal, signal, { deep: signal }.deep), Array(3).fill([true, false]));
    await peer.keep(signal);
    assert.is(listeners(signal), 0);
    control.abort();
    assert.is(await peer.keptAborted(), false);
  });

  check('a reason that cannot be sent', [2], { arenaBytes: 4096 }, async (_, peer) => {
    for (const reason of [() => 1, new (class Own {})(), 'x'.repeat(10_000), new AbortController().signal]) {
      const control = new AbortController();
      const call = rejection(peer.untilAborted(control.signal));
      await until(async () => (await peer.waiting()) === 1, 'it waits');
      control.abort(reason);
      assert.is(await call, reason);
      await until(async () => (await peer.waiting()) === 0, 'it has ended');
      assert.is((await peer.ended())[0].code, 'FEATHERSTAR_ABORTED');
    }
    assert.is((await rejection(peer.answerSignal())).code, 'FEATHERSTAR_CODEC');
  });

  check('the functions that a dead shard called are told', [4], {}, async (here) => {
    const rest = here.on(1);
    await here.on(2).leave(1);
    await until(async () => (await rest.waiting()) === 1, 'it waits');
    await rejection(here.on(2).exit());
    await until(async () => (await rest.waiting()) === 0, 'it has ended');
    assert.is((await rest.ended())[0].code, 'FEATHERSTAR_PEER_DOWN');
  });

  check('with(): signal and time-out end the call, not the function', [1, 2, 4], {}, async (here, peer) => {
    assert.is(await peer.with({ timeoutMs: 60_000 }).echo('in time'), 'in time');
    const control = new AbortController();
    const { signal } = control;
    const call = rejection(peer.with({ signal }).with({ timeoutMs: 60_000 }).held());
    await peer.nothing();
    control.abort('own reason');
    assert.is(await call, 'own reason');
    await peer.letGo();
    assert.is(listeners(signal), 0);
    const late = await rejection(peer.with({ timeoutMs: 5 }).held());
    assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
    await peer.letGo();
    const other = new AbortController();
    assert.is(await peer.with({ signal: other.signal }).echo(1), 1);
    assert.is(listeners(other.signal), 0);
    const wrong = [
      { signal: 5 },
      { timeoutMs: -1 },
      { timeoutMs: NaN },
      { timeoutMs: '5' },
      { timeout: 5 },
      null,
      undefined,
    ];
    for (const options of wrong) {
      for (const target of [peer, here.onAll()]) {
        assert.is((await rejection(() => target.with(options))).code, 'FEATHERSTAR_OPTION');
      }
    }
    for (const shard of [-1, here.shardCount, 0.5, 'x']) {
      assert.is((await rejection(() => here.on(shard))).code, 'FEATHERSTAR_OPTION');
    }
    assert.is(peer.absent, undefined);
  });

  // --- errors and results --------------------------------------------------------------------------------------------

  check('errors keep their causes and kinds', [2], {}, async (here, peer) => {
    const outer = await rejection(peer.failWithCause());
    assert.ok(outer instanceof TypeError && outer.cause instanceof Error && outer.cause.cause instanceof RangeError);
    assert.equal([outer.message, outer.cause.message, outer.cause.cause.message], ['outer', 'inner', 'deepest']);
    assert.is(outer.cause.cause.code, 'DEEP');
    assert.match(outer.stack, /failWithCause[\s\S]*called from/);
    const ways = {
      async theCaller() {
        await peer.failWithCause();
      },
      async theSubmitter() {
        await peer.with({ timeoutMs: 60_000 }).failWithCause();
      },
      async theOneOfMany() {
        await Promise.all([peer.self(), peer.failWithCause()]);
      },
      async theBroadcaster() {
        await here.onOthers().failWithCause();
      },
      async theThrower() {
        await peer.throwText();
      },
    };
    for (const [name, run] of Object.entries(ways)) {
      const { stack } = await rejection(run());
      const [remote, local] = stack.split('\n    --- on another shard; called from:\n');
      if (name !== 'theThrower') assert.match(remote, /failWithCause.*call-module\.js/);
      assert.match(local, new RegExp(`^    at async (.*\\n    at async )*.*${name}.*calls\\.test\\.js:\\d+`), stack);
      assert.not.match(local, /decoder\.js|onReply/, stack);
    }
    assert.equal(Object.keys(outer), []);
    const many = await rejection(peer.failWithMany());
    assert.ok(many instanceof AggregateError);
    assert.equal(
      many.errors.map((error) => error?.message ?? error),
      ['one', 'two', 'three'],
    );
    assert.ok(many.errors[2] instanceof SyntaxError);
    const odd = await rejection(peer.failStrangely());
    assert.equal([odd.message, odd.cause], ['odd', '() => 1']);
    const unreadable = await rejection(peer.failUnreadably());
    assert.is(unreadable.code, 'FEATHERSTAR_REMOTE');
    assert.is(unreadable.message, 'the called function threw a value without a text');
    const dom = await rejection(peer.failWithDom());
    assert.ok(dom instanceof DOMException);
    assert.equal([dom.name, dom.message], ['NotAllowedError', 'not now']);
  });

  check('results that can be awaited are', [1, 2], {}, async (_, peer) => {
    assert.is(await peer.task('of a task'), 'of a task');
  });

  check('a then() that does what no promise does costs no shard', [1, 2], {}, async (here, peer) => {
    assert.is((await rejection(peer.thenable('getter'))).message, 'no then');
    assert.is((await rejection(peer.thenable('throws'))).message, 'then has failed');
    assert.is(await peer.thenable('twice'), 'once');
    for (const kind of ['prototype', 'borrowed', 'proxy'])
      assert.instance(await rejection(peer.thenable(kind)), TypeError, kind);
    assert.is((await rejection(peer.thenable('constructor'))).message, 'no constructor');
    await until(() => here.stats().every(({ openCalls }) => openCalls === 0), 'each call has ended once');
  });

  for (const limits of [{}, { arenaBytes: 4096 }, { arenaBytes: 16 }]) {
    const text = JSON.stringify(limits);
    check(`a text of an error that is longer than the arena is cut ${text}`, [2], limits, async (_, peer) => {
      const arenaBytes = limits.arenaBytes ?? 4_194_304;
      for (const length of [arenaBytes - 100, arenaBytes / 2, arenaBytes + 5000, 3 * arenaBytes]) {
        for (const isPlain of [false, true]) {
          const error = await rejection(peer.throwLong(Math.max(0, length), isPlain));
          assert.instance(error, Error);
          if (arenaBytes === 16) continue; // no text has room
          assert.match(error.message, /x{1000}/);
        }
      }
      assert.is(await peer.echo(1), 1); // the shard lives
    });
  }

  check('an error of ours that the program has changed costs no shard', [2], {}, async (_, peer) => {
    for (const kind of ['nothing', 'text', 'noText', 'code', 'noCode']) {
      const error = await rejection(peer.throwChanged(kind));
      const code = kind === 'nothing' ? 'FEATHERSTAR_STATE' : 'FEATHERSTAR_REMOTE';
      assert.is(error.code, code, kind);
    }
    assert.is(await peer.echo(1), 1); // the shard lives
  });

  check('bytes that are elsewhere are refused', [2], {}, async (_, peer) => {
    const moved = new Uint8Array(8);
    const { buffer } = moved;
    structuredClone(buffer, { transfer: [buffer] });
    for (const value of [moved, buffer, [moved], new Map([[1, moved]])]) {
      assert.is((await rejection(peer.echo(value))).code, 'FEATHERSTAR_CODEC');
    }
    assert.equal(await peer.echo([new Uint8Array(0), new ArrayBuffer(0), new Float64Array(0)]), [
      new Uint8Array(0),
      new ArrayBuffer(0),
      new Float64Array(0),
    ]);
  });

  check('a getter that makes a call of its own', [2], {}, async (_, peer) => {
    const inner = [];
    const value = {
      get sly() {
        inner.push(rejection(peer.echo(1)));
        return 2;
      },
    };
    assert.equal(await peer.echo(value), { sly: 2 });
    assert.is((await inner[0]).code, 'FEATHERSTAR_CODEC');
    const fails = {
      get sly() {
        throw new Error('the getter');
      },
    };
    assert.is((await rejection(peer.echo(fails))).message, 'the getter');
    assert.is(await peer.echo('goes on'), 'goes on');
  });

  // --- all shards ----------------------------------------------------------------------------------------------------

  check('onAll, onOthers', [1, 2, 4], {}, async (here) => {
    const all = Array.from({ length: here.shardCount }, (_, i) => i);
    assert.equal(await here.onAll().self(), all);
    assert.equal(await here.onOthers().mark(2), Array(here.shardCount - 1).fill(undefined));
    assert.equal(
      await here.onAll().marked(),
      all.map((shard) => (shard === 0 ? 0 : 2)),
    );
    const control = new AbortController();
    const waiting = rejection(here.onAll().untilAborted(control.signal));
    await until(async () => (await here.onAll().waiting()).every((n) => n === 1), 'all wait');
    control.abort('all of you');
    assert.is(await waiting, 'all of you');
    await until(async () => (await here.onAll().waiting()).every((n) => n === 0), 'none waits');
    if (here.shardCount > 1) assert.is((await rejection(here.onOthers().failWithCause())).message, 'outer');
  });

  check('onAll, onOthers with a signal and a time', [1, 2, 4], {}, async (here) => {
    const all = Array.from({ length: here.shardCount }, (_, i) => i);
    const control = new AbortController();
    const { signal } = control;
    const options = { signal, timeoutMs: 60_000 };
    assert.equal(await here.onAll().with(options).self(), all);
    assert.equal(await here.onAll().with({}).self(), all);
    await here.onOthers().with(options).mark(3);
    assert.is(listeners(signal), 0);

    const kinds = [() => here.onAll(), () => here.onOthers()];
    for (const kind of here.shardCount === 1 ? kinds.slice(0, 1) : kinds) {
      const waiting = kind().with(options).heldBy(0);
      const late = await rejection(kind().with({ timeoutMs: 5 }).heldBy(0));
      assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
      const others = all.filter((shard) => kind === kinds[0] || shard !== 0).join(', ');
      const [shards, have] = others.includes(',') ? ['shards', 'have'] : ['shard', 'has'];
      assert.is(late.message, `${shards} ${others} ${have} not answered within 5 ms`);
      await here.onAll().release();
      await within(waiting, 'the one that has time');
    }
    const waiting = rejection(here.onAll().with({ signal }).heldBy(0));
    control.abort('all of you');
    assert.is(await waiting, 'all of you');
    assert.is(await rejection(here.onAll().with({ signal }).self()), 'all of you');
    await here.onAll().release();
    assert.is(here.onAll().absent, undefined);
  });

  check('homeOf() is the same on every shard', [1, 2, 4], {}, async (here) => {
    for (const key of ['key', 'grün', new Uint8Array([1, 2])]) {
      const home = here.homeOf(key);
      assert.ok(home >= 0 && home < here.shardCount);
      assert.equal(new Set(await here.onAll().homeOf(key)), new Set([home]));
    }
  });

  // --- backpressure --------------------------------------------------------------------------------------------------

  for (const limits of [{}, TIGHT, { ...TIGHT, arenaBytes: 4096 }]) {
    const text = JSON.stringify(limits);
    check(`every shard floods every shard, also itself ${text}`, [1, 2, 4], limits, async (here) => {
      const floods = [];
      for (let from = 0; from < here.shardCount; from++) {
        for (let to = 0; to < here.shardCount; to++) floods.push(here.on(from).flood(to, 100, to * 500));
      }
      assert.equal(new Set(await Promise.all(floods)), new Set([100]));
    });
  }

  check('round the shards and back, one call inside the other', [1, 2, 4], { ringSlots: 1 }, async (_, peer) => {
    const rounds = await Promise.all(Array.from({ length: 10 }, () => peer.around(40)));
    assert.equal(new Set(rounds), new Set([40]));
  });

  check('a hundred thousand calls at once', [2], {}, async (here, peer) => {
    let sum = 0;
    const calls = Array.from({ length: 100_000 }, (_, i) => peer.echo(i).then((value) => (sum += value)));
    await Promise.all(calls);
    assert.is(sum, (100_000 * 99_999) / 2);
    assert.ok(here.stats()[0].creditRefused > 0);
  });

  check(
    'a shard that takes no turns has no more requests than credits',
    [2],
    { creditCount: 8 },
    async (here, peer) => {
      const spin = peer.spin(100);
      const calls = Array.from({ length: 200 }, (_, i) => peer.echo(i));
      let isOver = false;
      const all = Promise.all([spin, ...calls]).finally(() => {
        isOver = true;
      });
      while (!isOver) {
        const [own, other] = here.stats();
        assert.ok(own.requestsSent - other.requestsReceived <= 8);
        await new Promise(setImmediate);
      }
      assert.equal((await all).slice(1), [...Array(200).keys()]);
      assert.ok(here.stats()[0].creditRefused > 0);
    },
  );

  test.run();
}
