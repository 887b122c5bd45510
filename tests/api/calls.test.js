// Calls between shards: signals that cross, errors, other values than JSON's, and backpressure to the last slot.
// Starting, closing and dying shards are in runtime.test.js, the format itself in tests/host/codec.test.js.

import { getEventListeners } from 'node:events';
import { Runtime, submitTo } from 'featherstar';
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
          await within(use(here, here.shard(shards - 1)), 'the test');
          await back(base);
          if (here.shardCount > 1) await until(async () => (await leftSignals(here)) === 0, 'no signal is left');
        } finally {
          await within(here.close(), 'close');
        }
      });
    }
  };
  const leftSignals = async (here) => {
    const live = Array.from({ length: here.shardCount }, (_, i) => here.shard(i).call('givenSignals'));
    const settled = await Promise.allSettled(live);
    return settled.reduce((sum, { value = 0 }) => sum + value, 0);
  };

  // --- signals -------------------------------------------------------------------------------------------------------

  for (const name of ['untilAborted', 'untilAbortedIn']) {
    check(`an abort ends the call at once, and reaches ${name}()`, [1, 2, 4], {}, async (_, peer) => {
      await peer.call('ended'); // shard 0's module is the one of the tests before
      for (const reason of [new RangeError('enough'), { code: 7 }, undefined]) {
        const control = new AbortController();
        const { signal } = control;
        const call = peer.call(name, name === 'untilAborted' ? signal : { signal });
        await until(async () => (await peer.call('waiting')) === 1, 'it waits');
        control.abort(reason);
        assert.is(await rejection(call), signal.reason);
        assert.is(listeners(signal), 0);
        await until(async () => (await peer.call('waiting')) === 0, 'it has ended');
        const [seen] = await peer.call('ended');
        if (reason instanceof Error) assert.equal([seen.name, seen.message], ['RangeError', 'enough']);
        else if (reason === undefined) assert.is(seen.name, 'AbortError');
        else assert.equal(seen, reason);
      }
    });
  }

  check('a signal that has aborted already: nothing runs', [1, 2], {}, async (_, peer) => {
    const signal = AbortSignal.abort(new Error('before'));
    const begun = await peer.call('begun');
    assert.is(await rejection(peer.call('untilAborted', signal)), signal.reason);
    assert.is(await rejection(peer.submit('untilAborted', [new AbortController().signal], { signal })), signal.reason);
    await peer.call('nothing');
    assert.is(await peer.call('begun'), begun);
    assert.is(listeners(signal), 0);
  });

  check('a call that waits for credit leaves the line when it is aborted', [2], { creditCount: 1 }, async (_, peer) => {
    const spin = peer.call('spin', 100); // until it returns, that shard begins nothing else
    const controls = Array.from({ length: 50 }, () => new AbortController());
    const calls = controls.map(({ signal }) => rejection(peer.call('untilAborted', signal)));
    const after = peer.call('echo', 'after');
    for (const [i, control] of [...controls.entries()].reverse()) control.abort(i);
    assert.equal(await Promise.all(calls), [...controls.keys()]);
    await spin;
    assert.is(await after, 'after');
    assert.is(await peer.call('begun'), 0);
  });

  check('an abort gets through with one slot and one credit', [2, 4], TIGHT, async (_, peer) => {
    for (let i = 0; i < 20; i++) {
      const control = new AbortController();
      const call = rejection(peer.call('untilAborted', control.signal));
      const next = peer.call('echo', i);
      setImmediate(() => control.abort(i));
      assert.is(await call, i);
      assert.is(await next, i);
    }
    assert.is((await peer.call('ended')).length, await peer.call('begun'));
  });

  check('a thousand aborts at once', [2], { ringSlots: 2 }, async (_, peer) => {
    const shared = new AbortController();
    const controls = Array.from({ length: 1000 }, (_, i) => (i % 5 === 0 ? shared : new AbortController()));
    const calls = controls.map(({ signal }) => rejection(peer.call('untilAborted', signal)));
    await until(async () => (await peer.call('waiting')) === 1000, 'all have begun');
    for (const control of controls) control.abort('now');
    assert.equal(new Set(await Promise.all(calls)), new Set(['now']));
    await until(async () => (await peer.call('waiting')) === 0, 'all have ended');
    assert.equal([...new Set(await peer.call('ended'))], ['now']);
    assert.is(listeners(shared.signal), 0);
  });

  check('a late abort, and one of a signal that was kept, do nothing', [2], {}, async (_, peer) => {
    const control = new AbortController();
    const { signal } = control;
    assert.equal(await peer.call('signalsNow', signal, signal, { deep: signal }.deep), Array(3).fill([true, false]));
    await peer.call('keep', signal);
    assert.is(listeners(signal), 0);
    control.abort();
    assert.is(await peer.call('keptAborted'), false);
  });

  check('a reason that cannot be sent', [2], { arenaBytes: 4096 }, async (_, peer) => {
    for (const reason of [() => 1, new (class Own {})(), 'x'.repeat(10_000), new AbortController().signal]) {
      const control = new AbortController();
      const call = rejection(peer.call('untilAborted', control.signal));
      await until(async () => (await peer.call('waiting')) === 1, 'it waits');
      control.abort(reason);
      assert.is(await call, reason);
      await until(async () => (await peer.call('waiting')) === 0, 'it has ended');
      assert.is((await peer.call('ended'))[0].code, 'FEATHERSTAR_ABORTED');
    }
    assert.is((await rejection(peer.call('answerSignal'))).code, 'FEATHERSTAR_CODEC');
  });

  check('the functions that a dead shard called are told', [4], {}, async (here) => {
    const rest = here.shard(1);
    await here.shard(2).call('leave', 1);
    await until(async () => (await rest.call('waiting')) === 1, 'it waits');
    await rejection(here.shard(2).call('exit'));
    await until(async () => (await rest.call('waiting')) === 0, 'it has ended');
    assert.is((await rest.call('ended'))[0].code, 'FEATHERSTAR_PEER_DOWN');
  });

  check('submitTo: signal and time-out end the call, not the function', [1, 2, 4], {}, async (here, peer) => {
    assert.is(await submitTo(peer.index, 'echo', ['by function'], { timeoutMs: 60_000 }), 'by function');
    assert.is(await peer.submit('echo', ['by handle']), 'by handle');
    const control = new AbortController();
    const { signal } = control;
    const call = rejection(submitTo(peer.index, 'held', [], { signal, timeoutMs: 60_000 }));
    await peer.call('nothing');
    control.abort('own reason');
    assert.is(await call, 'own reason');
    await peer.call('letGo');
    assert.is(listeners(signal), 0);
    const late = await rejection(peer.submit('held', [], { timeoutMs: 5 }));
    assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
    await peer.call('letGo');
    const other = new AbortController();
    assert.is(await peer.submit('echo', [1], { signal: other.signal }), 1);
    assert.is(listeners(other.signal), 0);
    for (const options of [{ signal: 5 }, { timeoutMs: -1 }, { timeoutMs: NaN }, { timeoutMs: '5' }]) {
      assert.is((await rejection(peer.submit('echo', [1], options))).code, 'FEATHERSTAR_OPTION');
    }
    for (const shard of [-1, here.shardCount, 0.5, '0']) {
      assert.is((await rejection(submitTo(shard, 'echo', [1]))).code, 'FEATHERSTAR_OPTION');
    }
    assert.is((await rejection(submitTo(peer.index, 'absent', []))).code, 'FEATHERSTAR_MODULE');
  });

  // --- errors and results --------------------------------------------------------------------------------------------

  check('errors keep their causes and kinds', [2], {}, async (here, peer) => {
    const outer = await rejection(peer.call('failWithCause'));
    assert.ok(outer instanceof TypeError && outer.cause instanceof Error && outer.cause.cause instanceof RangeError);
    assert.equal([outer.message, outer.cause.message, outer.cause.cause.message], ['outer', 'inner', 'deepest']);
    assert.is(outer.cause.cause.code, 'DEEP');
    assert.match(outer.stack, /failWithCause[\s\S]*called from/);
    const ways = {
      async theCaller() {
        await peer.call('failWithCause');
      },
      async theSubmitter() {
        await peer.submit('failWithCause', [], { timeoutMs: 60_000 });
      },
      async theOneOfMany() {
        await Promise.all([peer.call('self'), peer.call('failWithCause')]);
      },
      async theBroadcaster() {
        await here.broadcast('failWithCause');
      },
      async theThrower() {
        await peer.call('throwText');
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
    const many = await rejection(peer.call('failWithMany'));
    assert.ok(many instanceof AggregateError);
    assert.equal(
      many.errors.map((error) => error?.message ?? error),
      ['one', 'two', 'three'],
    );
    assert.ok(many.errors[2] instanceof SyntaxError);
    const odd = await rejection(peer.call('failStrangely'));
    assert.equal([odd.message, odd.cause], ['odd', '() => 1']);
    const dom = await rejection(peer.call('failWithDom'));
    assert.ok(dom instanceof DOMException);
    assert.equal([dom.name, dom.message], ['NotAllowedError', 'not now']);
  });

  check('results that can be awaited are', [1, 2], {}, async (_, peer) => {
    assert.is(await peer.call('task', 'of a task'), 'of a task');
  });

  check('a getter that makes a call of its own', [2], {}, async (_, peer) => {
    const inner = [];
    const value = {
      get sly() {
        inner.push(rejection(peer.call('echo', 1)));
        return 2;
      },
    };
    assert.equal(await peer.call('echo', value), { sly: 2 });
    assert.is((await inner[0]).code, 'FEATHERSTAR_CODEC');
    const fails = {
      get sly() {
        throw new Error('the getter');
      },
    };
    assert.is((await rejection(peer.call('echo', fails))).message, 'the getter');
    assert.is(await peer.call('echo', 'goes on'), 'goes on');
  });

  // --- all shards ----------------------------------------------------------------------------------------------------

  check('invokeOnAll, mapReduce, broadcast', [1, 2, 4], {}, async (here) => {
    const all = Array.from({ length: here.shardCount }, (_, i) => i);
    assert.equal(await here.invokeOnAll('self'), all);
    assert.equal(await here.mapReduce('self', [], (list, one) => [...list, one], []), all);
    assert.is(await here.broadcast('mark', 2), undefined);
    assert.equal(
      await here.invokeOnAll('marked'),
      all.map((shard) => (shard === 0 ? 0 : 2)),
    );
    const control = new AbortController();
    const waiting = rejection(here.invokeOnAll('untilAborted', control.signal));
    await until(async () => (await here.invokeOnAll('waiting')).every((n) => n === 1), 'all wait');
    control.abort('all of you');
    assert.is(await waiting, 'all of you');
    await until(async () => (await here.invokeOnAll('waiting')).every((n) => n === 0), 'none waits');
    if (here.shardCount > 1) assert.is((await rejection(here.broadcast('failWithCause'))).message, 'outer');
  });

  check('invokeOnAll, mapReduce, broadcast with a signal and a time', [1, 2, 4], {}, async (here) => {
    const all = Array.from({ length: here.shardCount }, (_, i) => i);
    const control = new AbortController();
    const { signal } = control;
    const options = { signal, timeoutMs: 60_000 };
    assert.equal(await here.invokeOnAll({ name: 'self', ...options }), all);
    assert.equal(await here.invokeOnAll({ name: 'self' }), all);
    assert.equal(await here.mapReduce({ name: 'self', ...options }, [], (list, one) => [...list, one], []), all);
    await here.broadcast({ name: 'mark', ...options }, 3);
    assert.is(listeners(signal), 0);

    const kinds = [
      (way) => here.invokeOnAll({ name: 'heldBy', ...way }, 0),
      (way) => here.mapReduce({ name: 'heldBy', ...way }, [0], (sum) => sum, 0),
      (way) => here.broadcast({ name: 'heldBy', ...way }, 0),
    ];
    for (const ask of here.shardCount === 1 ? kinds.slice(0, 2) : kinds) {
      const waiting = ask(options);
      const late = await rejection(ask({ timeoutMs: 5 }));
      assert.is(late.code, 'FEATHERSTAR_TIMEOUT');
      const isBroadcast = ask === kinds[2];
      const others = all.filter((shard) => !isBroadcast || shard !== 0).join(', ');
      const [shards, have] = others.includes(',') ? ['shards', 'have'] : ['shard', 'has'];
      assert.is(late.message, `${shards} ${others} ${have} not answered within 5 ms`);
      await here.invokeOnAll('release');
      await within(waiting, 'the one that has time');
    }
    const waiting = rejection(here.invokeOnAll({ name: 'heldBy', signal }, 0));
    control.abort('all of you');
    assert.is(await waiting, 'all of you');
    assert.is(await rejection(here.invokeOnAll({ name: 'self', signal })), 'all of you');
    await here.invokeOnAll('release');
    const wrong = [
      { name: 'self', signal: 5 },
      { name: 'self', timeoutMs: -1 },
      { name: 'self', timeout: 5 },
      {},
      null,
    ];
    for (const target of wrong) assert.is((await rejection(here.invokeOnAll(target))).code, 'FEATHERSTAR_OPTION');
    assert.is((await rejection(here.invokeOnAll({ name: 'noSuchFunction' }))).code, 'FEATHERSTAR_MODULE');
  });

  // --- backpressure --------------------------------------------------------------------------------------------------

  for (const limits of [{}, TIGHT, { ...TIGHT, arenaBytes: 4096 }]) {
    const text = JSON.stringify(limits);
    check(`every shard floods every shard, also itself ${text}`, [1, 2, 4], limits, async (here) => {
      const floods = [];
      for (let from = 0; from < here.shardCount; from++) {
        for (let to = 0; to < here.shardCount; to++) floods.push(here.shard(from).call('flood', to, 100, to * 500));
      }
      assert.equal(new Set(await Promise.all(floods)), new Set([100]));
    });
  }

  check('round the shards and back, one call inside the other', [1, 2, 4], { ringSlots: 1 }, async (_, peer) => {
    const rounds = await Promise.all(Array.from({ length: 10 }, () => peer.call('around', 40)));
    assert.equal(new Set(rounds), new Set([40]));
  });

  check('a hundred thousand calls at once', [2], {}, async (here, peer) => {
    let sum = 0;
    const calls = Array.from({ length: 100_000 }, (_, i) => peer.call('echo', i).then((value) => (sum += value)));
    await Promise.all(calls);
    assert.is(sum, (100_000 * 99_999) / 2);
    assert.ok(here.stats()[0].creditRefused > 0);
  });

  check(
    'a shard that takes no turns has no more requests than credits',
    [2],
    { creditCount: 8 },
    async (here, peer) => {
      const spin = peer.call('spin', 100);
      const calls = Array.from({ length: 200 }, (_, i) => peer.call('echo', i));
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
