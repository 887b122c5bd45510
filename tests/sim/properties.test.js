// core: debug
// always, sometimes, reachable, unreachable, buggify, note, invariants: in a world, from any shard; and nothing
// outside.

import { sleep } from 'featherstar';
import { always, buggify, note, reachable, simulate, sometimes, unreachable } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const onShard1 = (run) => (world) => world.on(1, run);
const failureOf = (program, faults) => rejection(simulate({ seed: 1, shards: 2, faults }, program));

test('outside of a simulation nothing happens', () => {
  always(false, 'never checked');
  unreachable('never reached');
  sometimes(true, 'never counted');
  reachable('never counted');
  note('never noted');
  for (let i = 0; i < 100; i++) assert.is(buggify('never'), false);
});

test('always: false fails the simulation, also if the program catches it', async () => {
  const program = onShard1(async () => {
    always(true, 'fine');
    try {
      always(1 > 2, 'one is more than two', { one: 1 });
    } catch {
      await sleep(1);
    }
  });
  const error = await failureOf(program);
  assert.is(error.message, 'seed 1: always("one is more than two") does not hold: {"one":1}');
  await simulate(
    { seed: 1, shards: 2 },
    onShard1(() => always(true, 'one is more than two')),
  );
});

test('always: a promise is no boolean', async () => {
  const program = () => always(sleep(1), 'slept');
  assert.match((await failureOf(program)).message, /always\("slept"\) must get a boolean, got a promise: await it$/);
});

test('unreachable: fails the simulation when it is reached', async () => {
  const error = await failureOf(onShard1(() => unreachable('the end of the world', 'today')));
  assert.is(error.message, 'seed 1: unreachable("the end of the world") was reached: today');
});

test('sometimes and reachable are counted', async () => {
  const program = async (world) => {
    sometimes(false, 'never');
    for (let i = 0; i < 3; i++) await world.on(i % 2, () => sometimes(i > 0, 'mostly'));
    reachable('here');
  };
  const { sometimes: counts } = await simulate({ seed: 1, shards: 2 }, program);
  assert.equal(counts, { never: 0, mostly: 2, here: 1 });
});

test('buggify: a seed switches a name on or off; a name that is on is true in a share of the cases', async () => {
  const countOf = async (seed, share, faults) =>
    (
      await simulate({ seed, faults }, async () => {
        let count = 0;
        for (let i = 0; i < 100; i++) if (buggify('small batch', share)) count++;
        return count;
      })
    ).value;
  const counts = [];
  for (let seed = 1; seed <= 40; seed++) counts.push(await countOf(seed, 0.25));
  const on = counts.filter((count) => count > 0);
  assert.ok(on.length > 2 && on.length < 25, `on in ${on.length} of 40 worlds`);
  assert.ok(on.every((count) => count > 5 && count < 60));
  assert.is(await countOf(1, 1, { buggify: 1 }), 100);
  for (let seed = 1; seed <= 20; seed++) assert.is(await countOf(seed, 1, { buggify: 0 }), 0);
});

test('note: a line of any shard in the trace, and in its hash', async () => {
  const run = (text) =>
    simulate(
      { seed: 1, shards: 2 },
      onShard1(() => note(text)),
    ).then(({ traceHash }) => traceHash);
  assert.is(await run('the vote is for n1'), await run('the vote is for n1'));
  assert.is.not(await run('the vote is for n1'), await run('the vote is for n2'));
  const program = onShard1(() => {
    note('the vote is for n1');
    throw new Error('after the note');
  });
  assert.match((await failureOf(program)).trace.join('\n'), /shard 1 {2}notes: the vote is for n1/);
});

test('an invariant is checked after each turn', async () => {
  const program = async (world) => {
    let [a, b] = [1, 1];
    world.invariant('a is b', () => a === b);
    a = 2;
    b = 2;
    await sleep(1); // both have changed within a turn
    await world.on(1, async () => {
      a = 3;
      await sleep(1);
      b = 3;
    });
  };
  assert.is((await failureOf(program)).message, 'seed 1: invariant "a is b" does not hold');
  const throwing = (world) => {
    world.invariant('never', () => {
      throw new Error('broken at 5');
    });
  };
  assert.is((await failureOf(throwing)).message, 'seed 1: broken at 5');
  const late = (world) => world.invariant('async', async () => false);
  assert.match((await failureOf(late)).message, /invariant "async" must be a boolean, at once, got/);
  await simulate({ seed: 1 }, async (world) => {
    world.invariant('true', () => true);
    await sleep(1);
  });
});

test.run();
