// Choices: recorded, repeated, and set to other values; --stop-at; what a seed of a search draws.

import { Worker } from 'node:worker_threads';
import { sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BENIGN, drawSwarm } from '../../dist/host/sim/draw.js';
import { runProgram } from '../../dist/host/sim/runs.js';
import { keepOnly } from '../../dist/host/sim/shrink.js';

const draws = [];
const program = (seed) =>
  simulate({ seed, shards: 3 }, async (world) => {
    draws.length = 0;
    await Promise.all([1, 2].map((shard) => world.on(shard, () => sleep(2 * Math.random()))));
    for (let i = 0; i < 5; i++) draws.push(Math.random());
  });
const hashOf = ({ worlds }) => worlds.map(({ trace }) => trace.hash).join();

test('a run under a session is the run without one; its choices repeat it, by index and by key', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { traceHash } = await program(seed);
    const recorded = await runProgram(program, { seed, isRecorded: true });
    assert.is(hashOf(recorded), traceHash);
    const { records, count } = recorded.choices;
    assert.is(records.length, count);
    const words = records.map(({ word }) => word);
    const byIndex = await runProgram(program, { seed: seed + 1, decide: (index) => words[index] });
    assert.is(hashOf(byIndex), traceHash); // another seed with all choices of this one
    const kept = new Map(records.map(({ key, word }) => [key, word]));
    assert.is(kept.size, count); // no key is used twice
    assert.is(hashOf(await runProgram(program, { seed, decide: keepOnly(kept) })), traceHash);
  }
});

test('a choice that is set to another value has it, and all others are the seed’s', async () => {
  const { choices } = await runProgram(program, { seed: 1, isRecorded: true });
  const before = [...draws];
  const chosen = choices.records.filter(({ what }) => what === 'Math.random() of shard 0').at(-2);
  await runProgram(program, { seed: 1, decide: (index, own) => (index === chosen.index ? 2 ** 31 : own) });
  assert.is(Math.abs(draws[3] - 0.5) < 1e-6, true);
  assert.equal([...draws.slice(0, 3), draws[4]], [...before.slice(0, 3), before[4]]);
});

test('with all choices at 0 the world is the simplest: no time on the wire, no fault, Math.random() is 0', async () => {
  const faults = { spurious: 0.5, freeze: 0.5 };
  const calm = (seed) =>
    simulate({ seed, faults }, async () => {
      draws.push(Math.random());
      await sleep(5);
    });
  draws.length = 0;
  const { failure, choices } = await runProgram(calm, { seed: 1, decide: () => 0, isRecorded: true });
  assert.is(failure, undefined);
  assert.is(draws[0], 0);
  const faultsThatStruck = choices.records.filter(({ what, value }) => what.startsWith('fault') && value !== false);
  assert.equal(faultsThatStruck, []);
});

test('a swarm: each seed draws some of the faults, up to the most that is given', () => {
  const seen = new Map();
  for (let seed = 1; seed <= 200; seed++) {
    const { faults, limits } = drawSwarm(seed, { faults: BENIGN, limits: true });
    assert.equal(drawSwarm(seed, { faults: BENIGN, limits: true }).faults, faults);
    for (const [name, value] of Object.entries(faults)) {
      assert.ok(value <= BENIGN[name], name);
      seen.set(name, (seen.get(name) ?? 0) + 1);
    }
    seen.set('limits', (seen.get('limits') ?? 0) + (Object.keys(limits).length > 0 ? 1 : 0));
  }
  for (const name of Object.keys(BENIGN)) assert.ok(seen.get(name) > 40 && seen.get(name) < 160, name);
  assert.ok(seen.get('limits') > 100);
  assert.equal(drawSwarm(1, {}), { faults: {}, limits: {} });
});

test('a run under a swarm has its faults, and repeats', async () => {
  const swarm = { faults: { spurious: 1 } };
  let differs = 0;
  for (let seed = 1; seed <= 10; seed++) {
    const plain = hashOf(await runProgram(program, { seed }));
    const swarmed = hashOf(await runProgram(program, { seed, swarm }));
    assert.is(hashOf(await runProgram(program, { seed, swarm })), swarmed);
    if (swarmed !== plain) differs++;
  }
  assert.ok(differs > 1 && differs < 10, `${differs} of 10 differ`);
});

if (!('bun' in process.versions) && !('deno' in process.versions)) {
  test('stopAt: a debugger stops before that event, and the run goes on as it would', async () => {
    // A thread of its own debugs this one.
    const debuggerThread = new Worker(
      `const { parentPort } = require('node:worker_threads');
       const session = new (require('node:inspector').Session)();
       session.connectToMainThread();
       session.on('Debugger.paused', ({ params: { callFrames: [{ functionName }, { callFrameId }] } }) => {
         const expression = 'this.count';
         session.post('Debugger.evaluateOnCallFrame', { callFrameId, expression }, (error, { result }) => {
           parentPort.postMessage({ functionName, count: result.value });
           session.post('Debugger.resume');
         });
       });
       session.post('Debugger.enable', () => parentPort.postMessage('ready'));
       setInterval(() => {}, 1000);`,
      { eval: true },
    );
    const told = [];
    debuggerThread.on('message', (message) => told.push(message));
    while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    const plain = await runProgram(program, { seed: 1 });
    const stopped = await runProgram(program, { seed: 1, stopAt: 20 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await debuggerThread.terminate();
    assert.is(hashOf(stopped), hashOf(plain));
    assert.equal(told.slice(1), [{ functionName: 'stopBeforeEvent', count: 20 }]);
  });
}

test.run();
