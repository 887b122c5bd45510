// core: debug
// Loops without an end are noticed, and their place is told: a turn that waits for time, a loop of microtasks, a loop
// without anything. So is a program in which only timers happen.

import { spawn } from 'node:child_process';
import { runtime, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const module = new URL('./module.js', import.meta.url);

test('a turn that waits for time to pass ends with an error, also if the program catches it', async () => {
  const waits = {
    'Date.now()': () => {
      const until = Date.now() + 3_600_000;
      while (Date.now() < until);
    },
    'new Date()': () => {
      const until = Date.now() + 3_600_000;
      while (new Date() < until);
    },
    'performance.now()': () => {
      const until = performance.now() + 3_600_000;
      while (performance.now() < until);
    },
    caught: () => {
      try {
        while (Date.now() > 0);
      } catch {
        // a loop that ignores what its clock throws
      }
    },
  };
  for (const [name, wait] of Object.entries(waits)) {
    const error = await rejection(simulate({ seed: 1, shards: 2 }, (world) => world.on(1, wait)));
    assert.match(
      error.message,
      /^seed 1: a turn of shard 1 has read the clock 1000000 times, or called node:fs 50000 times, and does not end/,
      name,
    );
    assert.match(error.cause.stack, /endless\.test\.js/, name);
  }
});

test('a turn that waits a moment ends', async () => {
  const { virtualMs } = await simulate({ seed: 1 }, async () => {
    const until = Date.now() + 20;
    while (Date.now() < until);
    await sleep(1);
    for (let i = 0; i < 10; i++) {
      for (let j = 0; j < 900_000; j++) performance.now(); // of one turn each
      await sleep(1);
    }
  });
  assert.ok(virtualMs > 20);
});

/** Simulates a loop in a process of its own, which a watching thread ends. */
function runLoop(loop) {
  const program = `
    import { simulate } from 'featherstar/testing';
    async function runaway() { for (;;) await undefined; }
    function spin() { for (let i = 0; ; i++) if (i < 0) return; }
    await simulate({ seed: 7, stallMs: 500 }, async () => { await ${loop}(); });`;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: import.meta.dirname });
    let text = '';
    child.stderr.on('data', (part) => {
      text += part;
    });
    child.on('close', (code, signal) => resolve({ code, signal, text }));
  });
}

if (isNode) {
  for (const [loop, where] of [
    ['runaway', /at runaway \(/],
    ['spin', /at spin \(/],
  ]) {
    test(`a turn that never ends ends the process, and is named: ${loop}`, async () => {
      const { code, signal, text } = await runLoop(loop);
      assert.is.not(code, 0);
      assert.is(signal, 'SIGKILL');
      assert.match(text, /seed 7: a turn of shard 0 has not ended within 500 ms/);
      assert.match(text, where);
    });
  }
}

test('a deadlock is noticed while timers are pending', async () => {
  const error = await rejection(
    simulate({ seed: 1, shards: 2, module }, async () => {
      setInterval(() => {}, 100);
      await runtime().on(1).never();
    }),
  );
  assert.match(error.message, /nothing but timers has happened for 3600000 ms, .*1 x never\(\) sent to shard 1/s);
});

test('a program that only sleeps, and is done one day, is none', async () => {
  await simulate({ seed: 1, maxMs: 1e9 }, async () => {
    for (let i = 0; i < 100; i++) await sleep(3_600_000);
  });
});

test.run();
