// core: debug
// Loops without an end are noticed, and their place is told: a turn that waits for time, a loop of microtasks, a loop
// without anything. So is a program in which only timers happen.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runtime, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const module = new URL('./module.js', import.meta.url);
const directory = mkdtempSync(join(tmpdir(), 'featherstar-endless-'));
let modules = 0;
test.after(() => rmSync(directory, { recursive: true }));

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

/** Simulates a loop in a process of its own, which a watching thread ends. `options`: more of them. */
function runLoop(loop, options = '') {
  const program = `
    import { simulate } from 'featherstar/testing';
    async function runaway() { for (;;) await undefined; }
    function spin() { for (let i = 0; ; i++) if (i < 0) return; }
    await simulate({ seed: 7, stallMs: 500${options} }, async () => { await ${loop}(); });`;
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

/** The URL of a module with this text. */
function moduleOf(text) {
  const path = join(directory, `${modules++}.mjs`);
  writeFileSync(path, text);
  return pathToFileURL(path);
}

test('a shard module may wait for the world at its top level', async () => {
  const waiting = moduleOf(`
    import { sleep } from '${import.meta.resolve('featherstar')}';
    const start = Date.now();
    await sleep(60_000);
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    const tookMs = Date.now() - start;
    export const took = () => tookMs;`);
  const program = () => Promise.all([0, 1].map((shard) => runtime().on(shard).took()));
  const first = await simulate({ seed: 1, shards: 2, module: waiting }, program);
  for (const tookMs of first.value) assert.ok(tookMs >= 120_000 && tookMs < 120_100, `${tookMs} ms`);
  const again = await simulate({ seed: 1, shards: 2, module: waiting }, program);
  if (isNode) assert.is(again.traceHash, first.traceHash);
});

test('a shard module may wait for both worlds at its top level', async () => {
  const waiting = moduleOf(`
    import { sleep } from '${import.meta.resolve('featherstar')}';
    import { readFile } from 'node:fs';
    const read = new Promise((resolve) => readFile(new URL(import.meta.url), 'utf8', (_, text) => resolve(text)));
    await sleep(1);
    const text = await read;
    export const size = () => text.length;`);
  const { value } = await simulate({ seed: 1, module: waiting }, () => runtime().on(0).size());
  assert.ok(value > 0);
});

// Deno itself ends a process with an error, if a module is never loaded.
const notOnDeno = 'deno' in process.versions ? test.skip : test;
notOnDeno('a shard module that is never loaded is named', async () => {
  for (const first of ['', `import { sleep } from '${import.meta.resolve('featherstar')}'; await sleep(1);`]) {
    const stuck = moduleOf(`${first} await new Promise(() => {});`);
    const error = await rejection(simulate({ seed: 1, shards: 2, module: stuck, stallMs: 300 }, () => {}));
    assert.match(
      error.message,
      /^seed 1: the shard module file:.*\d\.mjs is not loaded after 0\.3 s: its top level waits/,
    );
  }
});

if (isNode) {
  test('a shard module with a loop at its top level is named', async () => {
    const stuck = moduleOf('for (let i = 0; ; i++) if (i < 0) break;');
    const { signal, text } = await runLoop('spin', `, module: '${stuck}'`);
    assert.is(signal, 'SIGKILL');
    assert.match(text, /the top level of the shard module file:.*\d\.mjs has not ended within 500 ms/);
  });
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
