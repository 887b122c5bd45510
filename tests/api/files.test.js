// featherstar/fs: the same directory seen through a shard and through node:fs.

import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFiles } from '../support/descriptors.js';
import { back, holdings, hosts, rejection } from '../support/hosts.js';
import { until } from '../support/http.js';

const FILES_MODULE = new URL('../support/files-module.js', import.meta.url);

function pattern(length, seed = 0) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16) + seed) & 0xff;
  return bytes;
}

async function errnoOf(promise) {
  const error = await rejection(promise);
  assert.is(error.code, 'FEATHERSTAR_SYSTEM', String(error));
  return error.errnoName;
}

for (const host of hosts()) {
  const test = suite(`files (${host})`);
  let runtime;
  let base;
  let root;
  let dir;

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    const all = await Promise.all(Array.from({ length: 64 }, () => openDirectory(tmpdir())));
    for (const one of all) await one.close(); // uring keeps their numbers (host/native/directory.c)
    base = holdings();
  });
  test.before.each(async () => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-files-')));
    dir = await openDirectory(root);
  });
  test.after.each(async () => {
    await dir.close();
    rmSync(root, { recursive: true });
  });
  test.after(() => runtime.close());

  /** A test that leaves no operation, buffer or descriptor behind. */
  const check = (name, run) =>
    test(name, async () => {
      const files = openFiles();
      await run();
      await back(base);
      await until(() => openFiles() <= files, 'the descriptors are closed');
    });
  const path = (name) => join(root, name);

  // --- contents ------------------------------------------------------------------------------------------------------

  check('stream(): any part, beyond the end, and its end', async () => {
    const data = pattern(200_000);
    await dir.writeFile('data', data);
    const file = await dir.open('data');
    const read = async (options) => Buffer.from(await new Response(file.stream(options)).arrayBuffer());
    for (const [start, end] of [
      [0, undefined],
      [0, 0],
      [5, 6],
      [65_535, 65_537],
      [100_000, 200_000],
      [0, 65_536],
      [0, 300_000],
      [200_000, 200_001],
    ]) {
      assert.ok((await read({ start, end })).equals(data.subarray(start, end)), `${start} to ${end}`);
    }
    assert.is(await file.read(Buffer.alloc(4)), 4); // the cursor has stayed
    const reader = file.stream().getReader();
    await reader.read();
    await reader.cancel();
    const late = file.stream();
    await file.close();
    assert.is((await rejection(late.getReader().read())).code, 'FEATHERSTAR_CLOSED');
    for (const bad of [{ start: -1 }, { end: 1.5 }, { x: 1 }]) {
      assert.throws(
        () => file.stream(bad),
        ({ code }) => code === 'FEATHERSTAR_OPTION',
      );
    }
    assert.throws(
      () => file.stream(),
      ({ code }) => code === 'FEATHERSTAR_CLOSED',
    );
  });

  for (const bytes of [0, 1, 4096, 4097, 65_536, 65_537, 1_000_003]) {
    check(`${bytes} bytes there and back`, async () => {
      const data = pattern(bytes);
      await dir.writeFile('data', data);
      assert.ok(readFileSync(path('data')).equals(data), 'on the disk');
      assert.ok(Buffer.from(await dir.readFile('data')).equals(data), 'read');
    });
  }

  check('text', async () => {
    await dir.writeFile('text', 'Grüße, 🪶');
    assert.is(await dir.readText('text'), 'Grüße, 🪶');
  });

  check('positions, and the cursor of those who give none', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    await file.write('0123456789');
    await file.write('AB', { position: 4 });
    await file.write('xyz');
    assert.is(readFileSync(path('f'), 'utf8'), '0123AB6789xyz');
    const into = new Uint8Array(4);
    assert.is(await file.read(into, { position: 2 }), 4);
    assert.is(Buffer.from(into).toString(), '23AB');
    assert.is(await file.read(into, { position: 11 }), 2, 'to the end');
    assert.is(await file.read(into, { position: 13 }), 0, 'at the end');
    assert.is(await file.read(into), 0, 'the cursor is behind what was written');
    await file.close();
  });

  check('reads and writes without a position come in the order of asking', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    await Promise.all(Array.from({ length: 50 }, (_, i) => file.write(`${i},`)));
    assert.is(readFileSync(path('f'), 'utf8'), Array.from({ length: 50 }, (_, i) => `${i},`).join(''));
    await file.close();
    const again = await dir.open('f');
    const parts = Array.from({ length: 5 }, () => new Uint8Array(4));
    await Promise.all(parts.map((part) => again.read(part)));
    assert.is(Buffer.concat(parts).toString(), '0,1,2,3,4,5,6,7,8,9,');
    await again.close();
  });

  check('a sparse position beyond 4 GiB', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    const position = 2 ** 32 + 12_345;
    await file.write('far', { position });
    assert.is(statSync(path('f')).size, position + 3);
    const into = new Uint8Array(3);
    assert.is(await file.read(into, { position }), 3);
    assert.is(Buffer.from(into).toString(), 'far');
    await file.close();
  });

  check('appending is behind the end, whoever else writes', async () => {
    await dir.writeFile('log', 'first\n');
    const [a, b] = await Promise.all([dir.open('log', { flags: 'a' }), dir.open('log', { flags: 'a' })]);
    for (let i = 0; i < 10; i++) {
      await a.write(`a${i}\n`);
      await b.write(`b${i}\n`);
    }
    await Promise.all([a.close(), b.close()]);
    const lines = readFileSync(path('log'), 'utf8').trimEnd().split('\n');
    assert.equal(lines, ['first', ...Array.from({ length: 20 }, (_, i) => `${i % 2 ? 'b' : 'a'}${i >> 1}`)]);
  });

  check('iterating gives all of it', async () => {
    const data = pattern(200_001);
    writeFileSync(path('f'), data);
    const file = await dir.open('f');
    const pieces = [];
    for await (const piece of file) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(data));
    await file.close();
  });

  check('truncate cuts and grows', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    await file.write('0123456789');
    await file.truncate(4);
    assert.is(readFileSync(path('f'), 'utf8'), '0123');
    await file.truncate(6);
    assert.equal([...readFileSync(path('f'))], [48, 49, 50, 51, 0, 0]);
    await file.close();
  });

  check('longer than a file system takes', async () => {
    const file = await dir.open('f', { flags: 'w' });
    for (const size of [2 ** 52, Number.MAX_SAFE_INTEGER]) {
      assert.is(await errnoOf(file.truncate(size)), 'EFBIG');
      assert.is(await errnoOf(file.write('x', { position: size })), 'EFBIG');
    }
    await file.close();
  });

  check('sync, of content and of everything', async () => {
    const file = await dir.open('f', { flags: 'w' });
    await file.write('kept');
    await file.sync();
    await file.sync({ dataOnly: true });
    await file.close();
    await dir.sync();
  });

  // --- names ---------------------------------------------------------------------------------------------------------

  check('flags do what they do in Node', async () => {
    assert.is(await errnoOf(dir.open('none')), 'ENOENT');
    assert.is(await errnoOf(dir.open('none', { flags: 'r+' })), 'ENOENT');
    await (await dir.open('made', { flags: 'wx', mode: 0o600 })).close();
    assert.is(statSync(path('made')).mode & 0o777, 0o600);
    assert.is(await errnoOf(dir.open('made', { flags: 'wx' })), 'EEXIST');
    await dir.writeFile('made', 'long content');
    await dir.writeFile('made', 'short');
    assert.is(await dir.readText('made'), 'short');
    const reader = await dir.open('made');
    assert.is(await errnoOf(reader.write('x')), 'EBADF');
    await reader.close();
    assert.is(await errnoOf(dir.open('.', { flags: 'w' })), 'EISDIR');
  });

  check('stat, makeDirectory, list, rename, remove', async () => {
    await dir.makeDirectory('a');
    await dir.makeDirectory('a/b');
    await dir.writeFile('a/b/f', pattern(1234));
    symlinkSync('b/f', path('a/link'));
    const stat = await dir.stat('a/b/f');
    assert.is(stat.kind, 'file');
    assert.is(stat.size, 1234);
    assert.is(stat.mode, statSync(path('a/b/f')).mode & 0o7777);
    assert.is(Math.floor(stat.mtimeMs), Math.floor(statSync(path('a/b/f')).mtimeMs));
    assert.is(stat.inode, statSync(path('a/b/f')).ino);
    assert.is((await dir.stat('a/b')).kind, 'directory');
    assert.is((await dir.stat('a/link')).kind, 'link');
    const a = await dir.openDirectory('a');
    const entries = (await a.list()).sort((x, y) => (x.name < y.name ? -1 : 1));
    assert.equal(entries, [
      { name: 'b', kind: 'directory' },
      { name: 'link', kind: 'link' },
    ]);
    await dir.rename('a/b/f', 'g');
    assert.not(existsSync(path('a/b/f')));
    assert.is(statSync(path('g')).size, 1234);
    await dir.writeFile('h', 'other');
    assert.is(await errnoOf(dir.rename('g', 'h', { replace: false })), 'EEXIST');
    await dir.rename('g', 'h');
    assert.is(statSync(path('h')).size, 1234);
    await dir.rename('h', 'inside', { into: a });
    assert.ok(existsSync(path('a/inside')));
    assert.is(await errnoOf(dir.remove('a', { directory: true })), 'ENOTEMPTY');
    assert.is(await errnoOf(dir.remove('none')), 'ENOENT');
    await dir.makeDirectory('empty');
    assert.is(await errnoOf(dir.remove('empty')), 'EISDIR');
    await dir.remove('empty', { directory: true });
    for (const name of ['a/inside', 'a/link']) await dir.remove(name);
    await dir.remove('a/b', { directory: true });
    await a.close();
    await dir.remove('a', { directory: true });
    assert.equal(readdirSync(root), []);
  });

  check('replace: false leaves alone what is there, also what comes at the same time', async () => {
    for (let i = 0; i < 20; i++) {
      const names = ['a', 'b', 'c'];
      for (const name of names) writeFileSync(path(name), name);
      const renames = names.map((name) => dir.rename(name, 'to', { replace: false }));
      const all = await Promise.allSettled(renames);
      const won = names.filter((_, n) => all[n].status === 'fulfilled');
      assert.is(won.length, 1);
      for (const { reason } of all) if (reason !== undefined) assert.is(reason.errnoName, 'EEXIST');
      assert.is(readFileSync(path('to'), 'utf8'), won[0]);
      assert.equal(readdirSync(root).sort(), [...names.filter((name) => name !== won[0]), 'to']);
      rmSync(path('to'));
    }
    rmSync(path('a'), { force: true });
    mkdirSync(path('a'));
    symlinkSync('none', path('link'));
    assert.is(await errnoOf(dir.rename('a', 'link', { replace: false })), 'EEXIST');
    await dir.rename('a', 'moved', { replace: false });
    await dir.rename('link', 'other', { replace: false });
    assert.is((await dir.stat('moved')).kind, 'directory');
    assert.is((await dir.stat('other')).kind, 'link');
    assert.is(await errnoOf(dir.rename('none', 'x', { replace: false })), 'ENOENT');
    assert.is(await errnoOf(dir.rename('moved', 'moved', { replace: false })), 'EEXIST');
  });

  check('what is made twice', async () => {
    await dir.makeDirectory('a');
    assert.is(await errnoOf(dir.makeDirectory('a')), 'EEXIST');
    assert.is(await errnoOf(dir.stat('a/b/c')), 'ENOENT');
    await dir.writeFile('f', 'x');
    assert.is(await errnoOf(dir.stat('f/c')), 'ENOTDIR');
    assert.is(await errnoOf(openDirectory(path('f'))), 'ENOTDIR');
    assert.is(await errnoOf(openDirectory(path('none'))), 'ENOENT');
  });

  check('.. leads where it leads, links and all, and nothing is a directory that is none', async () => {
    mkdirSync(path('sub/deep'), { recursive: true });
    symlinkSync('sub/deep', path('link'));
    writeFileSync(path('f'), 'upper');
    writeFileSync(path('sub/f'), 'lower');
    assert.is(await dir.readText('link/../f'), 'lower');
    assert.is((await dir.stat('link/../f')).size, 5);
    assert.is(await dir.readText('sub/../f'), 'upper');
    await dir.writeFile('link/../made', 'x');
    assert.equal(readdirSync(path('sub')).sort(), ['deep', 'f', 'made']);
    const sub = await dir.openDirectory('link/..');
    assert.is(await sub.readText('f'), 'lower');
    await sub.close();
    assert.is(await errnoOf(dir.open('none/../f')), 'ENOENT');
    assert.is(await errnoOf(dir.open('f/../f')), 'ENOTDIR');
    assert.is(await errnoOf(dir.open('f/.')), 'ENOTDIR');
    assert.is(await errnoOf(dir.openDirectory('none/..')), 'ENOENT');
    assert.is(await errnoOf(dir.stat('none/../f')), 'ENOENT');
  });

  check('times before 1970', async () => {
    writeFileSync(path('f'), 'x');
    for (const ms of [-500, -1000, -315_619_199_877]) {
      utimesSync(path('f'), new Date(ms), new Date(ms));
      assert.is((await dir.stat('f')).mtimeMs, ms);
    }
  });

  check('replaceFile leaves the old content or the new one, and nothing beside it', async () => {
    await dir.writeFile('state', 'old');
    const reader = await dir.open('state');
    await dir.replaceFile('state', pattern(100_000));
    assert.ok(readFileSync(path('state')).equals(pattern(100_000)));
    const into = new Uint8Array(3);
    await reader.read(into);
    assert.is(Buffer.from(into).toString(), 'old', 'who had it open still has the old one');
    await reader.close();
    await dir.replaceFile('new', 'made', { mode: 0o600 });
    assert.equal(readdirSync(root).sort(), ['new', 'state']);
    const controller = new AbortController();
    const replacing = dir.replaceFile('state', pattern(3_000_000), { signal: controller.signal });
    queueMicrotask(() => controller.abort(new Error('enough')));
    assert.is((await rejection(replacing)).message, 'enough');
    await until(() => readdirSync(root).length === 2, 'the temporary file is removed');
    assert.ok(readFileSync(path('state')).equals(pattern(100_000)));
  });

  // --- the way out ---------------------------------------------------------------------------------------------------

  check('no path leads out of the directory', async () => {
    mkdirSync(path('inner'));
    writeFileSync(path('secret'), 'secret');
    symlinkSync('../secret', path('inner/up'));
    symlinkSync('/etc', path('inner/etc'));
    symlinkSync('..', path('inner/parent'));
    const inner = await dir.openDirectory('inner');
    for (const way of ['../secret', '/etc/passwd', 'up', 'etc/passwd', 'parent/secret', 'x/../../secret']) {
      const errno = await errnoOf(inner.open(way));
      assert.ok(['EXDEV', 'ENOENT'].includes(errno) && (errno === 'EXDEV' || way.startsWith('x/')), `${way}: ${errno}`);
    }
    assert.is(await errnoOf(inner.open('../made', { flags: 'w' })), 'EXDEV');
    assert.is(await errnoOf(inner.open('parent/made', { flags: 'w' })), 'EXDEV');
    assert.is(await errnoOf(inner.stat('parent/secret')), 'EXDEV');
    assert.is(await errnoOf(inner.remove('../secret')), 'EXDEV');
    assert.is(await errnoOf(inner.rename('parent/secret', 'mine')), 'EXDEV');
    assert.is(await errnoOf(inner.makeDirectory('etc/made')), 'EXDEV');
    assert.is(await errnoOf(inner.openDirectory('..')), 'EXDEV');
    assert.is(await errnoOf(inner.openDirectory('parent')), 'EXDEV');
    assert.equal(readdirSync(root).sort(), ['inner', 'secret']);
    await inner.close();
  });

  // --- bad input and limits ------------------------------------------------------------------------------------------

  check('writeFile looks at what it is given before it cuts the file', async () => {
    await dir.writeFile('f', 'content', { flags: undefined });
    assert.is((await rejection(dir.writeFile('f', 5))).code, 'FEATHERSTAR_OPTION');
    assert.is(readFileSync(path('f'), 'utf8'), 'content');
  });

  check('bad arguments', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    const wrong = [
      () => openDirectory(''),
      () => openDirectory('a\0b'),
      () => dir.open(''),
      () => dir.open(5),
      () => dir.open('a/', { flags: 'w' }),
      () => dir.open('a'.repeat(1024)),
      () => dir.open('a', { flags: 'q' }),
      () => dir.open('a', { flags: 'toString' }),
      () => dir.open('a', { flags: 'w', mode: 0o7777 }),
      () => dir.stat('.'),
      () => dir.stat('a/..'),
      () => dir.remove('/'),
      () => dir.rename('a', 'b', { into: {} }),
      () => dir.readFile('f', { maxBytes: -1 }),
      () => file.read('no'),
      () => file.read(new Uint8Array(1), { position: -1 }),
      () => file.write(5),
      () => file.write('x', { position: 0.5 }),
      () => file.truncate(-1),
    ];
    for (const run of wrong) assert.is((await rejection(run())).code, 'FEATHERSTAR_OPTION', String(run));
    await file.close();
  });

  check('errors have their own names', async () => {
    if (process.platform !== 'linux') return;
    const server = createServer().listen(path('socket'));
    await once(server, 'listening');
    assert.is(await errnoOf(dir.open('socket')), 'ENXIO');
    assert.is((await dir.stat('socket')).kind, 'other');
    server.close();
    await once(server, 'close');
  });

  check('a file that is longer than one wants', async () => {
    writeFileSync(path('f'), pattern(10_000));
    assert.is((await dir.readFile('f', { maxBytes: 10_000 })).length, 10_000);
    assert.is(await errnoOf(dir.readFile('f', { maxBytes: 9_999 })), 'EFBIG');
  });

  check('64 directories and no more', async () => {
    const more = [];
    while (more.length < 63) more.push(await dir.openDirectory('.'));
    assert.is(await errnoOf(dir.openDirectory('.')), 'EMFILE');
    assert.is(await errnoOf(dir.stat('a/b')), 'EMFILE', 'the way to a/b takes one, too');
    await more.pop().close();
    await more[5].close();
    more[5] = await dir.openDirectory('.');
    assert.equal(await more[5].list(), []);
    for (const one of more) await one.close();
  });

  check('closed handles', async () => {
    const file = await dir.open('f', { flags: 'w+' });
    const writing = file.write(pattern(10_000));
    const closing = file.close();
    assert.ok(file.isClosed);
    await writing.catch((error) => assert.is(error.code, 'FEATHERSTAR_CLOSED'));
    await closing;
    await file.close();
    for (const bytes of [0, 1]) {
      assert.is((await rejection(file.read(new Uint8Array(bytes)))).code, 'FEATHERSTAR_CLOSED');
      assert.is((await rejection(file.write('x'.repeat(bytes), { position: 0 }))).code, 'FEATHERSTAR_CLOSED');
    }
    const other = await dir.openDirectory('.');
    await other.close();
    await other.close();
    for (const run of [() => other.open('f'), () => other.list(), () => other.stat('f'), () => other.sync()]) {
      assert.is((await rejection(run())).code, 'FEATHERSTAR_CLOSED');
    }
  });

  check('many at once', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `f${i}`);
    await Promise.all(names.map((name, i) => dir.writeFile(name, pattern(5000, i))));
    const all = await Promise.all(names.map((name) => dir.readFile(name)));
    for (const [i, bytes] of all.entries()) assert.ok(Buffer.from(bytes).equals(pattern(5000, i)), names[i]);
  });

  check('an abort at each stage leaves nothing', async () => {
    writeFileSync(path('f'), pattern(500_000));
    const file = await dir.open('f', { flags: 'r+' });
    const asks = {
      open: (signal) => dir.open('f', { signal }),
      make: (signal) => dir.open('new', { flags: 'w', signal }),
      stat: (signal) => dir.stat('f', { signal }),
      list: (signal) => dir.list({ signal }),
      sync: (signal) => dir.sync({ signal }),
      rename: (signal) => dir.rename('f', 'f', { signal }),
      remove: (signal) => dir.remove('none', { signal }),
      makeDirectory: (signal) => dir.makeDirectory('d', { signal }),
      read: (signal) => file.read(new Uint8Array(300_000), { position: 0, signal }),
      readOn: (signal) => file.read(new Uint8Array(10), { signal }),
      write: (signal) => file.write(pattern(300_000), { position: 0, signal }),
      fsync: (signal) => file.sync({ signal }),
      truncate: (signal) => file.truncate(400_000, { signal }),
      readFile: (signal) => dir.readFile('f', { signal }),
    };
    const stages = [
      (abort) => abort(),
      (abort) => queueMicrotask(abort),
      (abort) => setImmediate(abort),
      (abort) => setTimeout(abort, 1),
    ];
    for (const [name, ask] of Object.entries(asks)) {
      const aborted = await rejection(ask(AbortSignal.abort(new Error('before'))));
      assert.is(aborted.message, 'before', name);
      for (const stage of stages) {
        const controller = new AbortController();
        const asked = ask(controller.signal);
        stage(() => controller.abort(new Error('during')));
        try {
          const result = await asked;
          if (typeof result?.close === 'function') await result.close();
        } catch (error) {
          const isEcho = error.message === 'during' || ['ENOENT', 'EEXIST'].includes(error.errnoName);
          assert.ok(isEcho, `${name}: ${error}`);
        }
      }
      await back(base);
    }
    await file.close();
  });

  test.run();

  // --- several shards ------------------------------------------------------------------------------------------------

  for (const shards of [1, 2, 4]) {
    const several = suite(`files on several shards (${host}, ${shards} shards)`);
    let folder;
    several.before(() => {
      folder = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-files-')));
    });
    several.after(() => rmSync(folder, { recursive: true }));

    several('each shard has handles of its own', async () => {
      const own = await Runtime.start({ shards, host, module: FILES_MODULE });
      const calls = Array.from({ length: shards }, (_, shard) => own.on(shard).append(folder, 25));
      await Promise.all(calls);
      const lines = readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n');
      for (let shard = 0; shard < shards; shard++) {
        const ofShard = lines.filter((line) => line.startsWith(`${shard}:`));
        assert.equal(
          ofShard,
          Array.from({ length: 25 }, (_, i) => `${shard}:${i}`),
        );
      }
      await own.close();
    });

    several('a runtime that closes ends what is open', async () => {
      const own = await Runtime.start({ shards, host, module: FILES_MODULE });
      const files = openFiles();
      const here = await openDirectory(folder);
      const file = await here.open('big', { flags: 'w' });
      const writing = file.write(pattern(8_000_000)).then(
        () => 'written',
        (error) => error.code,
      );
      await own.close();
      assert.ok(['written', 'FEATHERSTAR_CLOSED', 'FEATHERSTAR_SYSTEM'].includes(await writing));
      await file.close();
      for (const run of [() => here.list(), () => here.stat('big'), () => here.openDirectory('.')]) {
        assert.is((await rejection(run())).code, 'FEATHERSTAR_CLOSED');
      }
      await here.close();
      await until(() => openFiles() <= files, 'the descriptors are closed');
    });
    several.run();
  }
}
