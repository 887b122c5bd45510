// Mounts beneath a directory that was granted, and file systems that store no files: /proc/self/mem is all memory of
// this process. Mounting takes root; who is not, is told what was left out.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openFiles } from '../support/descriptors.js';
import { hosts, rejection } from '../support/hosts.js';

const PSEUDO = ['/proc', '/proc/self', '/proc/self/task', '/proc/sys/kernel', '/sys', '/sys/kernel', '/dev/pts'];

const codeOf = async (promise) => {
  const { code, errnoName } = await rejection(promise);
  return errnoName ?? code;
};

const mounts = [];
const folders = [];
process.on('exit', () => {
  for (const at of mounts) spawnSync('umount', ['-l', at]);
  for (const folder of folders) rmSync(folder, { recursive: true });
});

/** Mounts for as long as this process lives; why not, or undefined. */
function mount(...args) {
  const { status, stderr, error } = spawnSync('mount', args);
  if (status !== 0) return String(error ?? stderr).trim();
  mounts.push(args.at(-1));
  return undefined;
}

for (const host of hosts()) {
  const test = suite(`files and mounts (${host})`);
  let runtime;
  let base;
  let dir;

  test.before(async () => {
    runtime = await Runtime.start({ shards: 1, host });
    base = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-mounts-')));
    folders.push(base);
    dir = await openDirectory(base);
  });
  test.after(() => runtime.close());

  if (process.platform === 'linux') {
    test('/proc/self/mem is out of reach, whatever was granted', async () => {
      const files = openFiles();
      for (const path of PSEUDO.filter((each) => existsSync(each))) {
        const error = await rejection(openDirectory(path));
        assert.is(error.code, 'FEATHERSTAR_OPTION', path);
        assert.match(error.message, /procfs, sysfs and their like are not granted/);
      }
      assert.is(openFiles(), files);
      const all = await openDirectory('/');
      for (const path of ['proc/self/mem', `proc/${process.pid}/mem`, 'proc/self/environ', 'sys/kernel/notes']) {
        for (const flags of ['r', 'r+']) assert.is(await codeOf(all.open(path, { flags })), 'EXDEV', path);
      }
      assert.is(await codeOf(all.readText('proc/self/environ')), 'EXDEV');
      assert.is(await codeOf(all.openDirectory('proc')), 'EXDEV');
      for (const path of ['proc', 'proc/self', 'sys']) {
        assert.is(await codeOf(all.openDirectory(path, { crossMounts: true })), 'FEATHERSTAR_OPTION', path);
      }
      assert.is((await all.stat('proc')).kind, 'directory');
      await all.close();
      symlinkSync('/proc/self/mem', join(base, 'mem'));
      symlinkSync('/proc/self', join(base, 'self'));
      for (const path of ['mem', 'self/mem']) assert.is(await codeOf(dir.open(path, { flags: 'r+' })), 'EXDEV', path);
    });
  }

  test('bad input', async () => {
    mkdirSync(join(base, 'sub'));
    assert.is(await codeOf(dir.openDirectory('sub', { crossMounts: 1 })), 'FEATHERSTAR_OPTION');
    assert.is(await codeOf(dir.openDirectory('sub', { crossmounts: true })), 'FEATHERSTAR_OPTION');
    for (const crossMounts of [true, false, undefined]) await (await dir.openDirectory('sub', { crossMounts })).close();
    assert.is(await codeOf(dir.openDirectory('..', { crossMounts: true })), 'EXDEV');
  });

  test('a mount beneath is opened when it is asked for, and not before', async () => {
    const at = join(base, 'mnt');
    mkdirSync(at);
    const reason = mount('-t', 'tmpfs', '-o', 'size=1m', 'none', at);
    if (reason !== undefined) {
      console.log(`# skipped: a mount beneath a directory: ${reason}`);
      return;
    }
    writeFileSync(join(at, 'file'), 'there');
    mkdirSync(join(at, 'deep'));
    symlinkSync('mnt/file', join(base, 'link'));
    for (const path of ['mnt/file', 'mnt/../mnt/file', 'link', 'mnt/new']) {
      for (const flags of ['r', 'w', 'a+']) {
        if (path !== 'mnt/new' || flags !== 'r') assert.is(await codeOf(dir.open(path, { flags })), 'EXDEV', path);
      }
    }
    assert.equal([readFileSync(join(at, 'file'), 'utf8'), existsSync(join(at, 'new'))], ['there', false]);
    const refused = await rejection(dir.stat('mnt/file'));
    assert.is(refused.errnoName, 'EXDEV');
    assert.match(refused.message, /crossMounts/);
    for (const path of ['mnt', 'mnt/deep']) assert.is(await codeOf(dir.openDirectory(path)), 'EXDEV', path);
    assert.is(await codeOf(dir.replaceFile('mnt/file', 'x')), 'EXDEV');
    assert.is((await dir.stat('mnt')).kind, 'directory');
    const mounted = await dir.openDirectory('mnt', { crossMounts: true });
    assert.is(await mounted.readText('file'), 'there');
    await mounted.replaceFile('deep/made', 'by the shard');
    assert.is(await mounted.readText('deep/made'), 'by the shard');
    assert.is(await codeOf(mounted.open('../link')), 'EXDEV');
    await mounted.close();
    const deep = await dir.openDirectory('mnt/deep', { crossMounts: true });
    assert.equal(
      (await deep.list()).map(({ name }) => name),
      ['made'],
    );
    await deep.close();
  });

  test('procfs that is mounted anywhere, and a bind mount of one of its files', async () => {
    const [at, file] = [join(base, 'p'), join(base, 'm')];
    mkdirSync(at);
    writeFileSync(file, '');
    const reason = mount('-t', 'proc', 'proc', at) ?? mount('--bind', `/proc/${process.pid}/mem`, file);
    if (reason !== undefined) {
      console.log(`# skipped: procfs beneath a directory: ${reason}`);
      return;
    }
    for (const path of ['p/self/mem', 'm']) assert.is(await codeOf(dir.open(path, { flags: 'r+' })), 'EXDEV', path);
    assert.is(await codeOf(dir.openDirectory('p', { crossMounts: true })), 'FEATHERSTAR_OPTION');
    assert.is(await codeOf(openDirectory(at)), 'FEATHERSTAR_OPTION');
  });

  test.run();
}
