// featherstar/fs where it is tight: many operations at once, tables and pools that are full, aborts and closes in the
// middle. Nothing may be left behind by any of it, neither in the shard nor in the directory.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allocate, Runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFiles } from '../support/descriptors.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until } from '../support/http.js';

const DIRECTORIES = 64;

/** Waits that are longer and longer: microtasks, then rounds of the loop, then milliseconds. */
function stages() {
  const microtasks = [0, 1, 2, 3, 5, 8, 12, 17, 25, 40].map((count) => async () => {
    for (let i = 0; i < count; i++) await undefined;
  });
  const rounds = [1, 2, 3, 4, 5, 6, 8, 10, 14].map((count) => async () => {
    for (let i = 0; i < count; i++) await new Promise(setImmediate);
  });
  return [...microtasks, ...rounds, () => new Promise((resolve) => setTimeout(resolve, 1))];
}

async function outcomes(promises) {
  const all = await Promise.allSettled(promises);
  return all.map(({ status, reason }) => (status === 'fulfilled' ? 'done' : (reason.errnoName ?? reason.message)));
}

const counts = (list) => Object.fromEntries([...new Set(list)].map((x) => [x, list.filter((y) => y === x).length]));

for (const host of hosts()) {
  const test = suite(`files, where it is tight (${host})`);
  let root;
  test.before.each(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-limits-')));
  });
  test.after.each(() => rmSync(root, { recursive: true }));
  const path = (name) => join(root, name);

  /** A test on a runtime of its own. */
  const check = (name, options, run) =>
    test(name, async () => {
      const files = openFiles();
      const runtime = await Runtime.start({ shards: 1, host, ...options });
      try {
        const base = holdings();
        const dir = await openDirectory(root);
        await run(dir, base);
        await dir.close();
        await back(base);
      } finally {
        await runtime.close();
      }
      await until(() => openFiles() <= files, 'the descriptors are closed');
    });

  // --- replaceFile ---------------------------------------------------------------------------------------------------

  const OLD = 'old'.repeat(40_000);
  const NEW = 'new'.repeat(50_000);

  /** Nothing beside the file, and it is whole. */
  async function isWhole(what) {
    await until(() => readdirSync(root).length === 1, `${what}: nothing lies beside it`);
    const text = readFileSync(path('state'), 'utf8');
    assert.ok(text === OLD || text === NEW, `${what}: ${text.length} bytes`);
    return text === NEW;
  }

  check('replaceFile that is aborted, at any time, leaves one whole file', {}, async (dir, base) => {
    for (const [i, stage] of stages().entries()) {
      writeFileSync(path('state'), OLD);
      const controller = new AbortController();
      const replacing = outcomes([dir.replaceFile('state', NEW, { signal: controller.signal })]);
      await stage();
      controller.abort(new Error('enough'));
      const [outcome] = await replacing;
      assert.ok(['enough', 'done'].includes(outcome), outcome);
      const isNew = await isWhole(`stage ${i}`);
      if (outcome === 'done') assert.ok(isNew);
      await back({ ...base });
    }
  });

  check('replaceFile goes on when its directory is closed', {}, async (dir, base) => {
    for (const [i, stage] of stages().entries()) {
      writeFileSync(path('state'), OLD);
      const other = await dir.openDirectory('.');
      const replacing = outcomes([other.replaceFile('state', NEW)]);
      await stage();
      await other.close();
      const [outcome] = await replacing;
      assert.is(outcome, 'done');
      assert.ok(await isWhole(`stage ${i}`));
      assert.is((await rejection(other.replaceFile('state', OLD))).code, 'FEATHERSTAR_CLOSED');
      await back(base);
    }
  });

  // --- writes in order -----------------------------------------------------------------------------------------------

  check('a write that was aborted does not come over the next one, or behind it', {}, async (dir) => {
    const long = Buffer.alloc(65_536, 'a');
    for (let round = 0; round < 15; round++) {
      for (const stage of stages()) {
        for (const flags of ['w', 'a']) {
          writeFileSync(path('f'), '');
          const file = await dir.open('f', { flags });
          const controller = new AbortController();
          const first = outcomes([file.write(long, { signal: controller.signal })]);
          await stage();
          controller.abort(new Error('enough'));
          await Promise.all([first, file.write('next')]);
          await file.close();
          const text = readFileSync(path('f'), 'latin1');
          assert.ok(text.endsWith('next') || (flags === 'w' && text.startsWith('next')), flags);
        }
      }
    }
  });

  // --- the table of directories --------------------------------------------------------------------------------------

  check('more paths with slashes at once than there are directories', {}, async (dir) => {
    for (const name of ['a', 'b']) mkdirSync(path(name));
    for (let i = 0; i < 150; i++) writeFileSync(path(`a/${i}`), String(i));
    const numbers = Array.from({ length: 150 }, (_, i) => i);
    assert.equal(counts(await outcomes(numbers.map((i) => dir.stat(`a/${i}`)))), { done: 150 });
    assert.equal(counts(await outcomes(numbers.map((i) => dir.rename(`a/${i}`, `b/${i}`)))), { done: 150 });
    assert.equal(counts(await outcomes(numbers.map((i) => dir.replaceFile(`b/${i}`, 'x')))), { done: 150 });
    assert.equal(counts(await outcomes(numbers.map((i) => dir.stat(`a/${i}`)))), { ENOENT: 150 });
    assert.equal(counts(await outcomes(numbers.map((i) => dir.stat(`none/${i}`)))), { ENOENT: 150 });
    assert.is(readdirSync(path('b')).length, 150);
  });

  check('with one place left they go one by one, and what needs two is EMFILE', {}, async (dir) => {
    for (const name of ['a', 'b']) mkdirSync(path(name));
    writeFileSync(path('a/f'), 'x');
    const others = [];
    while (others.length < DIRECTORIES - 2) others.push(await dir.openDirectory('.'));
    const stats = Array.from({ length: 20 }, () => dir.stat('a/f'));
    const all = outcomes([...stats, dir.rename('a/f', 'b/f'), dir.stat('a/f'), dir.rename('a/f', 'g')]);
    assert.equal(await all, [...new Array(20).fill('done'), 'EMFILE', 'done', 'done']);
    await others.pop().close();
    await dir.rename('g', 'a/f');
    await dir.rename('a/f', 'b/f');
    for (const one of others) await one.close();
    assert.equal(readdirSync(path('b')), ['f']);
  });

  check('an abort ends the wait for a place', {}, async (dir) => {
    mkdirSync(path('a'));
    writeFileSync(path('a/f'), 'x');
    const others = [];
    while (others.length < DIRECTORIES - 2) others.push(await dir.openDirectory('.'));
    const controller = new AbortController();
    const { signal } = controller;
    const asked = Array.from({ length: 40 }, (_, i) => dir.stat('a/f', i % 2 ? { signal } : {}));
    const all = outcomes(asked);
    controller.abort(new Error('enough'));
    assert.equal(counts(await all), { done: 20, enough: 20 });
    for (const one of others) await one.close();
  });

  // --- slots and pools -----------------------------------------------------------------------------------------------

  check('file slots', { limits: { connectionSlots: 20 } }, async (dir) => {
    writeFileSync(path('f'), 'content');
    const before = openFiles();
    const open = await Promise.allSettled(Array.from({ length: 10 }, () => dir.open('f')));
    const files = open.flatMap(({ value }) => value ?? []);
    assert.is(files.length, 4);
    for (const { reason } of open) if (reason !== undefined) assert.is(reason.errnoName, 'ENFILE');
    assert.is((await rejection(dir.readFile('f'))).errnoName, 'ENFILE');
    await until(() => openFiles() <= before + (host === 'uring' ? 0 : 4), 'what found no slot is closed');
    await files.pop().close();
    assert.is(await dir.readText('f'), 'content');
    for (const file of files) await file.close();
  });

  check('operations', { limits: { opSlots: 16 } }, async (dir) => {
    writeFileSync(path('f'), 'content');
    const all = await Promise.allSettled(Array.from({ length: 40 }, () => dir.stat('f')));
    const refused = all.filter(({ status }) => status === 'rejected');
    assert.ok(refused.length > 0 && refused.length < 40, `${refused.length} were refused`);
    for (const { reason } of refused) assert.is(reason.code, 'FEATHERSTAR_FULL', String(reason));
    assert.is((await dir.stat('f')).size, 7);
  });

  check(
    'send buffers: they are waited for, in order, or until an abort',
    { limits: { sendBufferCount: 2 } },
    async (dir) => {
      writeFileSync(path('f'), 'content');
      const controller = new AbortController();
      const { signal } = controller;
      const all = outcomes(Array.from({ length: 40 }, (_, i) => dir.stat('f', i % 4 === 3 ? { signal } : {})));
      controller.abort(new Error('enough'));
      assert.equal(counts(await all), { done: 30, enough: 10 });
    },
  );

  check('shared bytes: larger pieces become small ones', { sharedBytes: 8192 }, async (dir) => {
    const data = Buffer.alloc(300_000, 'pieces of what was written. ');
    await dir.writeFile('f', data);
    assert.ok(readFileSync(path('f')).equals(data));
    assert.ok(Buffer.from(await dir.readFile('f')).equals(data));
  });

  const small = { sharedBytes: 4096, limits: { sendBufferBytes: 1024 } };
  check('no room for a path is FEATHERSTAR_FULL, and nothing is written over', small, async (dir) => {
    writeFileSync(path('f'), 'content');
    const blocks = [];
    const full = await rejection(
      (async () => {
        for (;;) blocks.push(allocate(4000));
      })(),
    );
    assert.is(full.code, 'FEATHERSTAR_FULL');
    assert.is((await rejection(dir.stat('f'))).code, 'FEATHERSTAR_FULL');
    assert.is((await rejection(dir.open('f'))).code, 'FEATHERSTAR_FULL');
    for (const block of blocks) block.dispose();
    assert.is(await dir.readText('f'), 'content');
  });

  // --- what users do -------------------------------------------------------------------------------------------------

  check('an array that is given away while it is read into', {}, async (dir) => {
    writeFileSync(path('f'), 'content');
    const file = await dir.open('f');
    const into = new Uint8Array(7);
    const reading = file.read(into, { position: 0 });
    for (let i = 0; i < 5; i++) await undefined;
    structuredClone(into, { transfer: [into.buffer] });
    assert.instance(await rejection(reading), TypeError);
    assert.is(await file.read(new Uint8Array(7), { position: 0 }), 7);
    await file.close();
  });

  check('an abort is told at once, also while the host is at work', {}, async (dir, base) => {
    writeFileSync(path('f'), 'content');
    for (const ask of [(signal) => dir.sync({ signal }), (signal) => dir.readFile('f', { signal })]) {
      for (const stage of stages()) {
        const controller = new AbortController();
        const asked = outcomes([ask(controller.signal)]);
        await stage();
        const before = holdings().operations;
        controller.abort(new Error('enough'));
        for (let i = 0; i < 20; i++) await undefined;
        const settled = await Promise.race([asked, ['pending']]);
        assert.ok(['done', 'enough'].includes(settled[0]), `${settled}, ${before} operations`);
        await back({ ...base });
      }
    }
  });

  check('a pipe without a writer holds up nobody, and an abort ends it', {}, async (dir) => {
    if (process.platform === 'win32') return;
    execFileSync('mkfifo', [path('p')]);
    writeFileSync(path('f'), 'content');
    const controller = new AbortController();
    const { signal } = controller;
    const reads = Array.from({ length: 8 }, () => dir.readFile('p', { signal }));
    const all = outcomes(reads);
    for (let i = 0; i < 20; i++) assert.is(await dir.readText('f'), 'content');
    controller.abort(new Error('enough'));
    for (const outcome of await all) assert.is(outcome, host === 'uring' ? 'enough' : 'ESPIPE');
  });

  test.run();
}
