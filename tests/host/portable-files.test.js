// Files of the portable host, submission by submission: the same rules as tests/native/paths.test.js has for the real
// gate, with the same codes, but what is cancelled, which node:fs cannot.

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
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Control } from '../../dist/host/core/layout.js';
import { openFiles } from '../support/descriptors.js';
import { until } from '../support/http.js';
import { closeAll, LIMITS, OP, QUIET, Rig } from './portable-rig.js';

const OPS = { OPENAT2: 28, STATX: 21, RENAMEAT: 35, UNLINKAT: 36, MKDIRAT: 37 };
const READ = 22;
const WRITE = 23;
const FSYNC = 3;
const FTRUNCATE = 55;
const [EPERM, ENOENT, EBADF, EFAULT, EEXIST, EXDEV, EINVAL] = [-1, -2, -9, -14, -17, -18, -22];
const [ENOTDIR, ENFILE, EMFILE, ENAMETOOLONG, ENOTEMPTY, ELOOP, EOPNOTSUPP] = [-20, -23, -24, -36, -39, -40, -95];
const O = { WRONLY: 1, RDWR: 2, CREAT: 0o100, EXCL: 0o200, TRUNC: 0o1000, APPEND: 0o2000 };
const ALLOC = 0xffffffff;
const HOW = 24;
const PATH_MAX = 1023;
const DIRECTORIES = 64;
const FIRST_SLOT = 16;
const HIGH = 0x80000000;

let folder;
let before;

function makeFolder() {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'featherstar-portable-')));
  mkdirSync(join(folder, 'in/sub'), { recursive: true });
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'in/file'), 'content');
  writeFileSync(join(folder, 'in/sub/deep'), 'deep');
  writeFileSync(join(folder, 'out/secret'), 'secret');
  symlinkSync('file', join(folder, 'in/to-file'));
  symlinkSync('../out/secret', join(folder, 'in/to-out'));
  symlinkSync('../out/made', join(folder, 'in/to-nothing'));
  symlinkSync('..', join(folder, 'in/up'));
}

/**
 * A test that gets a rig, and the index of in/ in its table. Afterwards what is outside is as it was, and nothing stays
 * open. (No after.each hook: one of uvu's that throws ends the whole suite.)
 */
function it(what, run) {
  test(what, async () => {
    before = openFiles();
    makeFolder();
    try {
      const rig = new Rig();
      rig.data = rig.sendAt(0); // 64 KiB for the tests' own
      await run(rig, rig.host.directories.open(join(folder, 'in')));
      assert.equal(readdirSync(join(folder, 'out')), ['secret']);
      assert.is(readFileSync(join(folder, 'out/secret'), 'utf8'), 'secret');
    } finally {
      closeAll();
      rmSync(folder, { recursive: true });
    }
    await until(() => openFiles() === before, 'nothing stays open');
  });
}

function put(rig, path, at = rig.data) {
  rig.bytes.write(`${path}\0`, at);
  return at;
}

function opening(rig, directory, path, { flags = 0, mode = 0, resolve = 0 } = {}) {
  const off = rig.data + 4096;
  [flags, mode, resolve].forEach((value, i) => {
    rig.bytes.writeBigUInt64LE(BigInt(value), off + 8 * i);
  });
  return { flags: 0, fd: directory, addr: put(rig, path), off, len: HOW, fileIndex: ALLOC };
}

function right(rig, directory, name, path) {
  if (name === 'OPENAT2') return opening(rig, directory, path);
  const fields = { flags: 0, fd: directory, addr: put(rig, path) };
  if (name === 'STATX') return { ...fields, len: 0x7ff, off: rig.data + 8192 };
  if (name === 'RENAMEAT') return { ...fields, len: directory, off: put(rig, 'other', rig.data + 2048) };
  return fields;
}

const refusedCount = (rig) => rig.u32[Control.refusedCount >> 2];

async function refused(rig, opcode, fields, expected, what = '') {
  const count = refusedCount(rig);
  assert.is(await rig.run(opcode, fields), expected, `opcode ${opcode} ${what}: ${JSON.stringify(fields)}`);
  assert.is(refusedCount(rig), count + 1, `opcode ${opcode} ${what}: not refused by the gate`);
}

async function admitted(rig, opcode, fields, expected, what = '') {
  const count = refusedCount(rig);
  assert.is(await rig.run(opcode, fields), expected, `opcode ${opcode} ${what}`);
  assert.is(refusedCount(rig), count, `opcode ${opcode} ${what} was refused`);
}

// --- directories -----------------------------------------------------------------------------------------------------

it('directories: 64, beneath their parents, and unknown ones are EBADF', async (rig, directory) => {
  const { directories } = rig.host;
  for (const path of ['..', '/', 'up', 'up/in', 'sub/../..', 'sub/../../in', join(folder, 'in/sub')]) {
    const errno = directories.open(path, directory);
    // A link that leads out and comes back is followed (docs/fs.md).
    if (path === 'up/in') directories.close(errno);
    else assert.is(errno, EXDEV, path);
  }
  assert.is(directories.open('file', directory), ENOTDIR);
  assert.is(directories.open('none', directory), ENOENT);
  assert.is(directories.open('sub', 5), EBADF);
  for (const name of Object.keys(OPS)) {
    for (const fd of [1, 63, 64, -1, -100, 0x7fffffff]) {
      await refused(rig, OPS[name], { ...right(rig, directory, name, 'file'), fd }, EBADF, name);
    }
  }
  await refused(rig, OPS.RENAMEAT, { ...right(rig, directory, 'RENAMEAT', 'file'), len: 9 }, EBADF);
  for (let i = 1; i < DIRECTORIES; i++) assert.is(directories.open('sub', directory), i);
  assert.is(directories.open('sub', directory), EMFILE);
  directories.close(9);
  assert.is(directories.open('sub', directory), 9);
  directories.close(directory);
  await refused(rig, OPS.STATX, right(rig, directory, 'STATX', 'file'), EBADF, 'closed');
});

it('where a path lies: inside memory, with its end, and not too long', async (rig, directory) => {
  const end = rig.memoryBytes;
  for (const [name, opcode] of Object.entries(OPS)) {
    const fields = right(rig, directory, name, 'file');
    for (const addr of [end, end + 1, 0xffffffff]) await refused(rig, opcode, { ...fields, addr }, EFAULT, name);
    await refused(rig, opcode, { ...fields, addrHigh: 1 }, EFAULT, name);
    rig.bytes.fill(97, end - 2000, end);
    await refused(rig, opcode, { ...fields, addr: end - PATH_MAX }, EFAULT, `${name}: without an end`);
    await refused(rig, opcode, { ...fields, addr: end - PATH_MAX - 1 }, ENAMETOOLONG, name);
    rig.bytes[end - 1] = 0;
    await refused(rig, opcode, { ...fields, addr: end - 1 }, ENOENT, `${name}: empty`);
    await admitted(rig, opcode, { ...fields, addr: put(rig, 'x'.repeat(300), rig.data + 12_288) }, ENAMETOOLONG, name);
  }
});

it('a name is one name: what could lead elsewhere is EPERM', async (rig, directory) => {
  for (const path of ['.', '..', '/', 'sub/deep', 'sub/', '../out/secret', 'up/out/secret', './file']) {
    for (const [name, opcode] of Object.entries(OPS).slice(1)) {
      await refused(rig, opcode, right(rig, directory, name, path), EPERM, path);
    }
    const fields = { ...right(rig, directory, 'RENAMEAT', 'file'), off: put(rig, path, rig.data + 2048) };
    await refused(rig, OPS.RENAMEAT, fields, EPERM, `to ${path}`);
  }
});

it('open: nothing leads out, and nothing was opened', async (rig, directory) => {
  for (const path of [
    '..',
    '/',
    '../out/secret',
    'sub/../../out/secret',
    '/etc/passwd',
    'to-out',
    'up',
    'up/out/secret',
  ]) {
    for (const flags of [0, O.RDWR | O.CREAT, O.WRONLY | O.CREAT | O.TRUNC]) {
      await admitted(rig, OPS.OPENAT2, opening(rig, directory, path, { flags }), EXDEV, path);
    }
  }
  await admitted(rig, OPS.OPENAT2, opening(rig, directory, 'up/new', { flags: O.WRONLY | O.CREAT }), EXDEV);
  await admitted(rig, OPS.OPENAT2, opening(rig, directory, 'to-nothing', { flags: O.WRONLY | O.CREAT }), ELOOP);
  await admitted(rig, OPS.OPENAT2, opening(rig, directory, 'to-nothing'), ENOENT);
  assert.equal(readdirSync(folder).sort(), ['in', 'out']);
  assert.is(openFiles(), before);
  assert.is(await rig.run(OPS.OPENAT2, opening(rig, directory, 'to-file')), FIRST_SLOT);
});

// --- fields ----------------------------------------------------------------------------------------------------------

it('fields of the five', async (rig, directory) => {
  const open = opening(rig, directory, 'file');
  for (const fileIndex of [0, 1, 33]) await refused(rig, OPS.OPENAT2, { ...open, fileIndex }, EINVAL, 'a slot');
  for (const len of [0, 23, 25]) await refused(rig, OPS.OPENAT2, { ...open, len }, EINVAL, 'open_how');
  await refused(rig, OPS.OPENAT2, { ...open, flags: QUIET }, EINVAL, 'silent');
  await refused(rig, OPS.OPENAT2, { ...open, off: rig.memoryBytes - 23 }, EFAULT, 'open_how');
  for (const [name, opcode] of Object.entries(OPS)) {
    const fields = right(rig, directory, name, 'sub');
    await refused(rig, opcode, { ...fields, ioprio: 1 }, EINVAL, name);
    await refused(rig, opcode, { ...fields, opFlags: 2 }, EINVAL, name);
    if (name !== 'OPENAT2') await refused(rig, opcode, { ...fields, fileIndex: 1 }, EINVAL, name);
  }
  for (const bit of [0o200000000, 0o10000000, 0o2000000, 1 << 30]) {
    await refused(rig, OPS.OPENAT2, opening(rig, directory, 'file', { flags: bit }), EINVAL, `flag ${bit}`);
  }
  for (const how of [{ flags: 1n << 40n }, { mode: 0o1000 }, { resolve: 1 }, { resolve: 8 }]) {
    await refused(rig, OPS.OPENAT2, opening(rig, directory, 'file', how), EINVAL, 'open_how');
  }
  const stat = right(rig, directory, 'STATX', 'file');
  await refused(rig, OPS.STATX, { ...stat, off: rig.memoryBytes - 255 }, EFAULT, 'the buffer');
  const last = rig.memoryBytes - 256;
  await admitted(rig, OPS.STATX, { ...stat, off: last }, 0);
  assert.is(Number(rig.bytes.readBigUInt64LE(last + 40)), 7);
  await refused(rig, OPS.MKDIRAT, { ...right(rig, directory, 'MKDIRAT', 'x'), len: 0o1000 }, EINVAL);
  await refused(rig, OPS.UNLINKAT, { ...right(rig, directory, 'UNLINKAT', 'sub'), len: 1 }, EINVAL);
});

it('fields of READ, WRITE, FSYNC and FTRUNCATE: no position throws', async (rig, directory) => {
  const fd = await rig.run(OPS.OPENAT2, opening(rig, directory, 'file', { flags: O.RDWR }));
  const at = rig.data;
  for (const opcode of [READ, WRITE]) {
    for (const [off, offHigh] of [
      [0, HIGH],
      [0xffffffff, 0xffffffff],
      [0, 0x200000],
      [1, 0x7fffffff],
    ]) {
      const result = await rig.run(opcode, { fd, addr: at, len: 1, off, offHigh });
      assert.is(result, EINVAL, `${opcode} at ${offHigh}:${off}`);
    }
    await refused(rig, opcode, { fd, addr: rig.memoryBytes - 1, len: 2 }, EFAULT);
    await refused(rig, opcode, { fd, addr: at, len: 1, opFlags: 1 }, EINVAL);
    await refused(rig, opcode, { fd, addr: at, len: 1, ioprio: 1 }, EINVAL);
    await admitted(rig, opcode, { fd, addr: at, len: 0 }, 0);
  }
  assert.is(await rig.run(FTRUNCATE, { fd, offHigh: HIGH }), EINVAL);
  assert.is(await rig.run(FTRUNCATE, { fd, offHigh: 0x7fffffff }), EINVAL);
  await refused(rig, FTRUNCATE, { fd, len: 1 }, EINVAL);
  await refused(rig, FSYNC, { fd, opFlags: 2 }, EINVAL);
  assert.is(readFileSync(join(folder, 'in/file'), 'utf8'), 'content');
});

// --- what they do ----------------------------------------------------------------------------------------------------

it('write, read, truncate, append, close, by slot', async (rig, directory) => {
  const path = join(folder, 'in/sub/new');
  const fd = await rig.run(OPS.OPENAT2, opening(rig, directory, 'sub/new', { flags: O.RDWR | O.CREAT, mode: 0o600 }));
  assert.is(statSync(path).mode & 0o777, 0o600);
  const write = (text, sqe) => {
    rig.bytes.write(text, rig.data);
    return rig.run(WRITE, { fd, addr: rig.data, len: text.length, ...sqe });
  };
  assert.is(await write('0123456789'), 10);
  assert.is(await write('ab', { off: 4 }), 2);
  assert.is(await rig.run(READ, { fd, addr: rig.data, len: 100, off: 3 }), 7);
  assert.is(rig.bytes.toString('utf8', rig.data, rig.data + 7), '3ab6789');
  for (const opFlags of [0, 1]) await admitted(rig, FSYNC, { fd, opFlags }, 0);
  await admitted(rig, FTRUNCATE, { fd, off: 4 }, 0);
  const appending = await rig.run(OPS.OPENAT2, opening(rig, directory, 'sub/new', { flags: O.WRONLY | O.APPEND }));
  assert.is(await write('end', { fd: appending, off: 0 }), 3);
  assert.is(readFileSync(path, 'utf8'), '0123end');
  await admitted(rig, READ, { fd: appending, addr: rig.data, len: 1 }, EBADF);
  for (const opcode of [OP.SEND, OP.RECV]) assert.ok((await rig.run(opcode, { fd, addr: rig.data, len: 1 })) < 0);
  await refused(rig, OP.POLL, { fd }, EOPNOTSUPP);
  for (const slot of [fd, appending]) await admitted(rig, OP.CLOSE, { flags: 0, fileIndex: slot + 1 }, 0);
  await admitted(rig, READ, { fd, addr: rig.data, len: 1 }, EBADF);
});

it('make, rename, remove', async (rig, directory) => {
  const sub = rig.host.directories.open('sub', directory);
  const rename = (from, to, fields) => {
    const addr = put(rig, from);
    return { flags: 0, fd: directory, len: directory, addr, off: put(rig, to, rig.data + 2048), ...fields };
  };
  const remove = (fd, name, opFlags = 0) => ({ flags: 0, fd, addr: put(rig, name), opFlags });
  await admitted(rig, OPS.MKDIRAT, { flags: 0, fd: directory, addr: put(rig, 'made'), len: 0o700 }, 0);
  await admitted(rig, OPS.RENAMEAT, rename('file', 'deep', { len: sub, opFlags: 1 }), EEXIST);
  await admitted(rig, OPS.RENAMEAT, rename('file', 'deep', { len: sub }), 0);
  await admitted(rig, OPS.RENAMEAT, rename('made', 'other', { opFlags: 1 }), 0);
  await admitted(rig, OPS.UNLINKAT, remove(directory, 'sub', 0x200), ENOTEMPTY);
  await admitted(rig, OPS.UNLINKAT, remove(sub, 'deep', 0x200), ENOTDIR);
  await admitted(rig, OPS.UNLINKAT, remove(sub, 'deep'), 0);
  await admitted(rig, OPS.UNLINKAT, remove(directory, 'up'), 0);
  await admitted(rig, OPS.UNLINKAT, remove(directory, 'none'), ENOENT);
  assert.equal(readdirSync(join(folder, 'in')).sort(), ['other', 'sub', 'to-file', 'to-nothing', 'to-out']);
});

it('as many files as there are slots, then ENFILE, and none is left open', async (rig, directory) => {
  const slots = LIMITS.connectionSlots - FIRST_SLOT;
  for (let i = 0; i < slots; i++)
    assert.is(await rig.run(OPS.OPENAT2, opening(rig, directory, 'file')), FIRST_SLOT + i);
  await admitted(rig, OPS.OPENAT2, opening(rig, directory, 'file'), ENFILE);
  await until(() => openFiles() === before + slots, 'the one too many is closed');
});

it('a cancellation changes nothing, and a close of the host ends it', async (rig, directory) => {
  const user = rig.stage(OPS.MKDIRAT, right(rig, directory, 'MKDIRAT', 'made'));
  const cancel = rig.stage(OP.CANCEL, { flags: 0, addr: user });
  assert.is((await rig.completion(user)).result, 0, 'done, and told so');
  await rig.completion(cancel);
  assert.ok(existsSync(join(folder, 'in/made')));
  // Whenever it closes: what was being opened is closed as well (the end of the test looks).
  for (let rounds = 0; rounds < 8; rounds++) {
    const other = new Rig();
    other.data = other.sendAt(0);
    const root = other.host.directories.open(folder);
    other.stage(OPS.OPENAT2, opening(other, root, 'in/file'));
    other.host.enter();
    for (let i = 0; i < rounds; i++) await new Promise(setImmediate);
    other.host.close();
  }
});

test.run();
