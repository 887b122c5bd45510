// What names files: directories that were granted, and the five operations in them. What the gate refuses, what the
// kernel refuses because the gate told it to, and that what is let through does work, on files and nowhere else.
//
// A folder of each test's own:   in/file  in/sub/deep  in/to-file  in/to-out  in/absolute  in/up   out/secret
//
// Next: fuzz.test.js.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  admitted,
  CQE_SKIP_SUCCESS,
  closeAll,
  ERRNO,
  FIXED_FILE,
  OP,
  obstacle,
  openFiles,
  Rig,
  refused,
} from './rig.js';

const { EPERM, ENOENT, EBADF, EFAULT, EEXIST, EXDEV, ENOTDIR, EISDIR, EINVAL, EMFILE, ENODEV } = ERRNO;
const { ENAMETOOLONG, ENOTEMPTY, ELOOP } = ERRNO;
const O = { WRONLY: 1, RDWR: 2, CREAT: 0o100, EXCL: 0o200, TRUNC: 0o1000, APPEND: 0o2000, NONBLOCK: 0o4000 };
const O_DIRECTORY = 0o200000;
const O_NOFOLLOW = 0o400000;
const HOW = 24; // bytes of struct open_how
const ALLOC = 0xffffffff;
const DIRECTORIES = 64;
const PATH_MAX = 1023;
const AT_REMOVEDIR = 0x200;
const RENAME_NOREPLACE = 1;
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;
const ALL_PATHS = ['OPENAT2', 'STATX', 'RENAMEAT', 'UNLINKAT', 'MKDIRAT'];

const test = suite('paths');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: paths: ${reason}`);
  test.skip(reason, () => {});
}
let folder;

function makeFolder() {
  folder = mkdtempSync(join(tmpdir(), 'featherstar-paths-'));
  mkdirSync(join(folder, 'in/sub'), { recursive: true });
  mkdirSync(join(folder, 'out'));
  writeFileSync(join(folder, 'in/file'), 'content');
  writeFileSync(join(folder, 'in/sub/deep'), 'deep');
  writeFileSync(join(folder, 'out/secret'), 'secret');
  symlinkSync('file', join(folder, 'in/to-file'));
  symlinkSync('../out/secret', join(folder, 'in/to-out'));
  symlinkSync(join(folder, 'in/file'), join(folder, 'in/absolute'));
  symlinkSync('..', join(folder, 'in/up'));
}

/**
 * A test that gets a rig, and the index of in/ in its table. Afterwards what is outside is as it was, and nothing stays
 * open. (No after.each hook: one of uvu's that throws ends the whole suite.)
 */
function it(what, run) {
  if (reason !== undefined) return;
  test(what, () => {
    const before = openFiles();
    makeFolder();
    try {
      const rig = new Rig();
      run(rig, rig.ring.openDirectory(join(folder, 'in'), -1, 0));
      assert.equal(readdirSync(join(folder, 'out')), ['secret']);
      assert.is(readFileSync(join(folder, 'out/secret'), 'utf8'), 'secret');
    } finally {
      closeAll();
      rmSync(folder, { recursive: true });
    }
    assert.is(openFiles(), before, 'nothing stays open');
  });
}

/** Writes a path, with its end. Returns where. */
function put(rig, path, at = rig.freeAt) {
  rig.put(`${path}\0`, at);
  return at;
}

/** The fields of an OPENAT2. */
function opening(rig, directory, path, { flags = 0, mode = 0, resolve = 0 } = {}) {
  const off = rig.freeAt + 4096;
  [flags, mode, resolve].forEach((value, i) => {
    rig.view.setBigUint64(off + 8 * i, BigInt(value), true);
  });
  return { fd: directory, addr: put(rig, path), off, len: HOW, fileIndex: ALLOC };
}

/** What each operation wants: all of it right. */
function right(rig, directory, name, path) {
  const addr = put(rig, path);
  if (name === 'OPENAT2') return opening(rig, directory, path);
  if (name === 'STATX') return { fd: directory, addr, len: STATX_BASIC_STATS, off: rig.freeAt + 8192 };
  if (name === 'RENAMEAT') return { fd: directory, addr, len: directory, off: put(rig, 'other', rig.freeAt + 2048) };
  return { fd: directory, addr };
}

function open(rig, directory, path, how) {
  return rig.run(OP.OPENAT2, opening(rig, directory, path, how));
}

// --- the table -------------------------------------------------------------------------------------------------------

it('a directory that was not granted is EBADF, whatever its number', (rig, directory) => {
  const plain = rig.ring.directoryFd(directory);
  assert.is(directory, 0);
  for (const name of ALL_PATHS) {
    for (const fd of [1, DIRECTORIES - 1, DIRECTORIES, -1, -100, 0x7fffffff, -0x80000000, plain]) {
      refused(rig, OP[name], { ...right(rig, directory, name, 'file'), fd }, EBADF, name);
      refused(rig, OP[name], { ...right(rig, directory, name, 'file'), fd, flags: FIXED_FILE }, EBADF, name);
    }
  }
  for (const len of [1, DIRECTORIES, plain, 0xffffffff, 0xffffff9c]) {
    refused(rig, OP.RENAMEAT, { ...right(rig, directory, 'RENAMEAT', 'file'), len }, EBADF, 'the other directory');
  }
  assert.ok(existsSync(join(folder, 'in/file')));
});

it('64 directories, then EMFILE; a place that was given back is taken again', (rig) => {
  for (let i = 1; i < DIRECTORIES; i++) assert.is(rig.ring.openDirectory(folder, -1, 0), i);
  assert.is(rig.ring.openDirectory(folder, -1, 0), EMFILE);
  assert.is(rig.ring.openDirectory('in', 5, 0), EMFILE);
  assert.is(rig.ring.closeDirectory(7), 0);
  assert.is(rig.ring.openDirectory('in', 5, 0), 7);
  assert.is(open(rig, 7, 'file'), rig.options.grantSlots);
});

it('a directory beneath another one: nothing leads out', (rig, directory) => {
  const { ring } = rig;
  for (const path of ['..', '/', '/etc', 'up', 'up/in', 'sub/../..', 'sub/../../in', join(folder, 'in/sub')]) {
    assert.is(ring.openDirectory(path, directory, 0), EXDEV, path);
  }
  assert.is(ring.openDirectory('file', directory, 0), ENOTDIR);
  assert.is(ring.openDirectory('none', directory, 0), ENOENT);
  assert.is(ring.openDirectory('', directory, 0), ENOENT);
  assert.is(ring.openDirectory('', -1, 0), ENOENT);
  assert.is(ring.openDirectory('sub\0/..', directory, 0), EINVAL);
  assert.is(ring.openDirectory('x'.repeat(5000), -1, 0), ENAMETOOLONG);
  for (const parent of [1, 63, 64, 0x7fffffff]) assert.is(ring.openDirectory('sub', parent, 0), EBADF, `${parent}`);
  const sub = ring.openDirectory('sub/../sub/.', directory, 0);
  assert.is(sub, 1);
  assert.ok(open(rig, sub, 'deep') >= 0);
  assert.is(open(rig, sub, '../file'), EXDEV, 'its own border, not the one of its parent');
  assert.throws(() => ring.openDirectory(1, -1, 0), /not a string/);
  assert.throws(() => ring.openDirectory('x', 'y', 0), /not a number/);
});

it('procfs, sysfs and their like are not granted, and no mount is crossed to them', (rig, directory) => {
  const { ring } = rig;
  const files = openFiles();
  for (const path of ['/proc', '/proc/self', '/proc/self/fd', '/proc/sys', '/sys', '/sys/kernel', '/dev/pts']) {
    if (existsSync(path)) assert.is(ring.openDirectory(path, -1, 0), ENODEV, path);
  }
  assert.is(openFiles(), files);
  const all = ring.openDirectory('/', -1, 0);
  for (const path of ['proc', 'proc/self', 'sys', 'proc/self/../../etc']) {
    assert.is(ring.openDirectory(path, all, 0), EXDEV, path);
  }
  for (const path of ['proc', 'proc/self', 'sys']) assert.is(ring.openDirectory(path, all, 1), ENODEV, path);
  assert.is(ring.openDirectory('proc/self/root', all, 1), ELOOP, 'a link that is none');
  const memory = Buffer.from('a buffer outside of linear memory');
  for (const path of ['proc/self/mem', 'proc/self/../self/mem', `proc/${process.pid}/mem`, 'sys/kernel/notes']) {
    for (const flags of [0, O.RDWR]) assert.is(open(rig, all, path, flags), EXDEV, path);
  }
  symlinkSync('/proc/self/mem', join(folder, 'in/mem'));
  assert.is(open(rig, directory, 'mem', O.RDWR), EXDEV);
  rmSync(join(folder, 'in/mem'));
  assert.is(`${memory}`, 'a buffer outside of linear memory');
});

it('closed: EBADF, and its number stays with the table', (rig, directory) => {
  const { ring } = rig;
  const number = ring.directoryFd(directory);
  const link = `/proc/self/fd/${number}`;
  assert.is(readlinkSync(link), join(folder, 'in'));
  assert.is(ring.closeDirectory(directory), 0);
  assert.is(ring.closeDirectory(directory), EBADF);
  assert.is(ring.directoryFd(directory), EBADF);
  for (const index of [1, 64, -1, 0x7fffffff]) assert.is(ring.closeDirectory(index), EBADF);
  for (const name of ALL_PATHS) refused(rig, OP[name], right(rig, directory, name, 'file'), EBADF, name);
  assert.throws(() => statSync(join(link, 'file')), /ENOTDIR/, 'no directory lies behind the number any more');
  assert.is(ring.openDirectory(join(folder, 'in/sub'), -1, 0), directory);
  assert.is(ring.directoryFd(directory), number);
  assert.is(readlinkSync(link), join(folder, 'in/sub'));
});

it('a directory is closed also by a process that has no descriptor left', (_, directory) => {
  assert.is(directory, 0);
  const script = `
    import { openSync } from 'node:fs';
    import { Rig } from ${JSON.stringify(new URL('rig.js', import.meta.url).href)};
    const { ring } = new Rig();
    const results = [ring.openDirectory('/', -1, 0), ring.openDirectory('/', -1, 0)];
    try { for (;;) openSync('/dev/null'); } catch (error) { results.push(error.code); }
    results.push(ring.openDirectory('/', -1, 0), ring.closeDirectory(0), ring.closeDirectory(1));
    ring.close();
    console.log(JSON.stringify(results));`;
  const limited = ['-c', 'ulimit -n 100 && exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync('sh', limited, { encoding: 'utf8', timeout: 20_000 });
  assert.is(stdout.trim(), JSON.stringify([0, 1, 'EMFILE', EMFILE, 0, 0]), stderr);
});

it('closed while an operation runs in it: done, or ENOTDIR, and nowhere else', (rig) => {
  let late = 0;
  for (let round = 0; round < 300; round++) {
    const directory = rig.ring.openDirectory(join(folder, 'in'), -1, 0);
    writeFileSync(join(folder, 'in/victim'), '');
    writeFileSync(join(folder, 'victim'), ''); // what a number that was given away would lead to
    const user = rig.stage(OP.UNLINKAT, { fd: directory, addr: put(rig, 'victim') });
    rig.enter(); // the kernel does it in a thread of its own
    rig.ring.closeDirectory(directory);
    const result = rig.completion(user).result;
    assert.ok(result === 0 || result === ENOTDIR, `${result}`);
    assert.is(existsSync(join(folder, 'in/victim')), result !== 0);
    assert.ok(existsSync(join(folder, 'victim')));
    if (result !== 0) late++;
  }
  if (late === 0) console.log('# never: no operation came late enough to find its directory closed');
});

// --- paths and names -------------------------------------------------------------------------------------------------

it('where a path lies: inside memory, with its end, and not too long', (rig, directory) => {
  const end = rig.bytes.length;
  const outside = [end, end + 1, 2 ** 32, 2 ** 47, 1n << 63n, (1n << 64n) - 1n, (1n << 64n) - 8n];
  const limit = rig.freeAt + 16_384;
  for (const name of ALL_PATHS) {
    const fields = { ...right(rig, directory, name, 'file') };
    for (const addr of outside) refused(rig, OP[name], { ...fields, addr }, EFAULT, name);
    rig.bytes.fill(97, end - 2000, end);
    refused(rig, OP[name], { ...fields, addr: end - 3 }, EFAULT, `${name}: without an end`);
    refused(rig, OP[name], { ...fields, addr: end - PATH_MAX }, EFAULT, `${name}: without an end`);
    refused(rig, OP[name], { ...fields, addr: end - PATH_MAX - 1 }, ENAMETOOLONG, name);
    rig.bytes[end - 1] = 0;
    refused(rig, OP[name], { ...fields, addr: end - 1 }, ENOENT, `${name}: empty`);
    refused(rig, OP[name], { ...fields, addr: put(rig, 'x'.repeat(PATH_MAX + 1), limit) }, ENAMETOOLONG, name);
    // The longest one the kernel judges: a name may have 255.
    admitted(rig, OP[name], { ...fields, addr: put(rig, 'x'.repeat(PATH_MAX), limit) }, ENAMETOOLONG, name);
  }
  const fields = right(rig, directory, 'RENAMEAT', 'file');
  for (const off of outside) refused(rig, OP.RENAMEAT, { ...fields, off }, EFAULT, 'the other name');
  refused(rig, OP.RENAMEAT, { ...fields, off: end - 1 }, ENOENT, 'the other name');
  assert.is(open(rig, directory, `${'./'.repeat((PATH_MAX - 5) / 2)}file`), rig.options.grantSlots);
});

it('a name is one name: what could lead elsewhere is EPERM', (rig, directory) => {
  const bad = [
    '.',
    '..',
    '/',
    'sub/deep',
    'sub/',
    '/file',
    '../out/secret',
    'up/out/secret',
    './file',
    join(folder, 'x'),
  ];
  for (const path of bad) {
    for (const name of ALL_PATHS.slice(1)) refused(rig, OP[name], right(rig, directory, name, path), EPERM, path);
    const fields = { ...right(rig, directory, 'RENAMEAT', 'file'), off: put(rig, path, rig.freeAt + 2048) };
    refused(rig, OP.RENAMEAT, fields, EPERM, `to ${path}`);
  }
  for (const path of ['...', '..x', '.x', 'a\\b'])
    admitted(rig, OP.STATX, right(rig, directory, 'STATX', path), ENOENT);
});

it('open: nothing leads out, and nothing was opened', (rig, directory) => {
  const files = openFiles();
  const out = ['..', '/', '../out/secret', 'sub/../../out/secret', '/etc/passwd', join(folder, 'in/file')];
  const links = ['to-out', 'absolute', 'up', 'up/in/file', 'up/out/secret', 'sub/../up'];
  for (const path of [...out, ...links]) {
    for (const flags of [0, O.WRONLY, O.RDWR | O.CREAT, O.WRONLY | O.CREAT | O.TRUNC]) {
      admitted(rig, OP.OPENAT2, opening(rig, directory, path, { flags }), EXDEV, path);
    }
  }
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'up/new', { flags: O.WRONLY | O.CREAT | O.EXCL }), EXDEV);
  admitted(rig, OP.OPENAT2, opening(rig, directory, '../new', { flags: O.WRONLY | O.CREAT | O.EXCL }), EXDEV);
  assert.equal(readdirSync(folder).sort(), ['in', 'out']);
  symlinkSync(`/proc/self/fd/${rig.ring.directoryFd(directory)}`, join(folder, 'in/magic'));
  symlinkSync('loop', join(folder, 'in/loop'));
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'magic/file'), EXDEV);
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'loop'), ELOOP);
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'to-file', { flags: O_NOFOLLOW }), ELOOP);
  assert.is(openFiles(), files);
  // A link that stays inside is a path like any other.
  assert.is(rig.run(OP.OPENAT2, opening(rig, directory, 'to-file')), rig.options.grantSlots);
  assert.is(openFiles(), files, 'a file slot is no descriptor');
});

// --- fields ----------------------------------------------------------------------------------------------------------

it('open_how: flags on the list, permission bits, and no word about how paths are resolved', (rig, directory) => {
  const allowed = 3 | O.CREAT | O.EXCL | O.TRUNC | O.APPEND | O.NONBLOCK | O_DIRECTORY | O_NOFOLLOW;
  for (let bit = 0; bit < 64; bit++) {
    const value = 1n << BigInt(bit);
    const what = `bit ${bit}`;
    if (!(BigInt(allowed) & value)) {
      refused(rig, OP.OPENAT2, opening(rig, directory, 'file', { flags: value }), EINVAL, what);
    }
    const create = { flags: O.WRONLY | O.CREAT };
    if (bit >= 9) refused(rig, OP.OPENAT2, opening(rig, directory, 'x', { ...create, mode: value }), EINVAL, what);
    refused(rig, OP.OPENAT2, opening(rig, directory, 'file', { resolve: value }), EINVAL, what);
  }
  const path = join(folder, 'in/sub/none');
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'sub/none', { mode: 0o600 }), EINVAL); // the kernel: for CREAT only
  assert.not.ok(existsSync(path));
  assert.ok(open(rig, directory, 'sub/none', { flags: O.WRONLY | O.CREAT | O.EXCL, mode: 0o640 }) >= 0);
  assert.is(statSync(path).mode & 0o777, 0o640 & ~process.umask());
  admitted(rig, OP.OPENAT2, opening(rig, directory, 'sub/none', { flags: O.WRONLY | O.CREAT | O.EXCL }), EEXIST);
});

it('OPENAT2: a slot that the kernel picks, told to somebody; its own length; inside memory', (rig, directory) => {
  const fields = opening(rig, directory, 'file');
  for (const fileIndex of [0, 1, 5, 33, 0x7fffffff, 0xfffffffe]) {
    refused(rig, OP.OPENAT2, { ...fields, fileIndex }, EINVAL, 'a slot of its choice, or a descriptor');
  }
  refused(rig, OP.OPENAT2, { ...fields, flags: CQE_SKIP_SUCCESS }, EINVAL, 'silent');
  for (const len of [0, 8, 16, 23, 25, 32, 4096, 0xffffffff]) refused(rig, OP.OPENAT2, { ...fields, len }, EINVAL);
  const end = BigInt(rig.bytes.length);
  for (const off of [end - 23n, end, 1n << 32n, 1n << 47n, 1n << 63n, (1n << 64n) - 24n, (1n << 64n) - 1n]) {
    refused(rig, OP.OPENAT2, { ...fields, off }, EFAULT, 'open_how');
  }
  rig.bytes.fill(0, rig.bytes.length - HOW);
  const slot = rig.run(OP.OPENAT2, { ...fields, off: end - BigInt(HOW) });
  assert.is(slot, rig.options.grantSlots);
});

it('STATX writes 256 bytes, all of them inside, and follows no link', (rig, directory) => {
  const fields = right(rig, directory, 'STATX', 'file');
  const end = BigInt(rig.bytes.length);
  for (const off of [end - 255n, end, 1n << 32n, 1n << 47n, 1n << 63n, (1n << 64n) - 256n, (1n << 64n) - 1n]) {
    refused(rig, OP.STATX, { ...fields, off }, EFAULT, 'the buffer');
  }
  for (let bit = 0; bit < 32; bit++) refused(rig, OP.STATX, { ...fields, opFlags: (1 << bit) >>> 0 }, EINVAL, 'flags');
  const at = rig.bytes.length - STATX_BYTES;
  admitted(rig, OP.STATX, { ...fields, off: at }, 0);
  const sizeAt = (buffer) => Number(rig.view.getBigUint64(buffer + 40, true));
  const modeAt = (buffer) => rig.view.getUint16(buffer + 28, true) & 0o170000;
  assert.equal([sizeAt(at), modeAt(at)], [7, 0o100000]);
  admitted(rig, OP.STATX, { ...right(rig, directory, 'STATX', 'to-out'), off: at }, 0);
  assert.equal([sizeAt(at), modeAt(at)], ['../out/secret'.length, 0o120000]);
  admitted(rig, OP.STATX, { ...right(rig, directory, 'STATX', 'sub'), off: at }, 0);
  assert.is(modeAt(at), 0o040000);
});

it('fields that an operation does not use', (rig, directory) => {
  const unused = {
    OPENAT2: { ioprio: 16, opFlags: 32 },
    STATX: { ioprio: 16, fileIndex: 32 },
    RENAMEAT: { ioprio: 16, opFlags: 32, fileIndex: 32 },
    UNLINKAT: { ioprio: 16, opFlags: 32, fileIndex: 32, off: 64, len: 32 },
    MKDIRAT: { ioprio: 16, opFlags: 32, fileIndex: 32, off: 64, len: 32 },
  };
  const allowed = (name, field, value) =>
    (name === 'RENAMEAT' && field === 'opFlags' && value === BigInt(RENAME_NOREPLACE)) ||
    (name === 'UNLINKAT' && field === 'opFlags' && value === BigInt(AT_REMOVEDIR)) ||
    (name === 'MKDIRAT' && field === 'len' && value <= 0o777n);
  for (const [name, fields] of Object.entries(unused)) {
    for (const [field, bits] of Object.entries(fields)) {
      for (let bit = 0; bit < bits; bit++) {
        const value = 1n << BigInt(bit);
        if (allowed(name, field, value)) continue;
        const word = bits === 64 ? value : Number(value);
        refused(
          rig,
          OP[name],
          { ...right(rig, directory, name, 'sub'), [field]: word },
          EINVAL,
          `${name} ${field} ${bit}`,
        );
      }
    }
  }
  assert.ok(existsSync(join(folder, 'in/sub/deep')));
});

// --- what they do ----------------------------------------------------------------------------------------------------

it('write, read, truncate, append, close, by slot', (rig, directory) => {
  const path = join(folder, 'in/sub/new');
  const slot = open(rig, directory, 'sub/new', { flags: O.RDWR | O.CREAT, mode: 0o600 });
  admitted(rig, OP.WRITE, { fd: slot, ...rig.put('0123456789') }, 10);
  admitted(rig, OP.WRITE, { fd: slot, ...rig.put('ab'), off: 4 }, 2);
  assert.is(readFileSync(path, 'utf8'), '0123ab6789');
  admitted(rig, OP.READ, { fd: slot, addr: rig.freeAt, len: 100, off: 3 }, 7);
  assert.is(rig.text(rig.freeAt, 7), '3ab6789');
  admitted(rig, OP.READ, { fd: slot, addr: rig.freeAt, len: 100, off: 10 }, 0);
  admitted(rig, OP.FSYNC, { fd: slot }, 0);
  admitted(rig, OP.FSYNC, { fd: slot, opFlags: 1 }, 0);
  const truncated = rig.run(OP.FTRUNCATE, { fd: slot, off: 4 });
  if (truncated === EINVAL) console.log('# skipped: FTRUNCATE: this kernel has none (6.9)');
  else assert.equal([truncated, readFileSync(path, 'utf8')], [0, '0123']);
  const before = statSync(path).size;
  const appending = open(rig, directory, 'sub/new', { flags: O.WRONLY | O.APPEND });
  admitted(rig, OP.WRITE, { fd: appending, ...rig.put('end'), off: 0 }, 3); // wherever it says
  assert.is(readFileSync(path, 'utf8').slice(before), 'end');
  admitted(rig, OP.READ, { fd: appending, addr: rig.freeAt, len: 1 }, EBADF);
  const reading = open(rig, directory, 'sub/new');
  admitted(rig, OP.WRITE, { fd: reading, ...rig.put('no') }, EBADF);
  for (const file of [slot, appending, reading]) admitted(rig, OP.CLOSE, { fileIndex: file + 1 }, 0);
  admitted(rig, OP.FTRUNCATE, { fd: slot }, EBADF);
});

it('a slot with a directory in it is no way to name what is in there', (rig, directory) => {
  const slot = open(rig, directory, 'sub', { flags: O_DIRECTORY });
  admitted(rig, OP.FSYNC, { fd: slot }, 0);
  admitted(rig, OP.READ, { fd: slot, addr: rig.freeAt, len: 1 }, EISDIR);
  for (const name of ALL_PATHS) {
    refused(rig, OP[name], { ...right(rig, directory, name, 'deep'), fd: slot }, EBADF, name);
    refused(rig, OP[name], { ...right(rig, directory, name, 'deep'), fd: slot, flags: FIXED_FILE }, EBADF, name);
  }
});

it('make, rename, remove: within a directory, and from one to another', (rig, directory) => {
  const at = (path) => join(folder, 'in', path);
  const sub = rig.ring.openDirectory('sub', directory, 0);
  const rename = (from, to, fields) => {
    const addr = put(rig, from);
    return { fd: directory, len: directory, addr, off: put(rig, to, rig.freeAt + 2048), ...fields };
  };
  admitted(rig, OP.MKDIRAT, { fd: directory, addr: put(rig, 'made'), len: 0o750 }, 0);
  assert.is(statSync(at('made')).mode & 0o777, 0o750 & ~process.umask());
  admitted(rig, OP.MKDIRAT, { fd: directory, addr: put(rig, 'made'), len: 0o750 }, EEXIST);
  admitted(rig, OP.RENAMEAT, rename('file', 'renamed'), 0);
  admitted(rig, OP.RENAMEAT, rename('renamed', 'deep', { len: sub, opFlags: RENAME_NOREPLACE }), EEXIST);
  admitted(rig, OP.RENAMEAT, rename('renamed', 'deep', { len: sub }), 0);
  assert.equal([existsSync(at('renamed')), readFileSync(at('sub/deep'), 'utf8')], [false, 'content']);
  admitted(rig, OP.UNLINKAT, { fd: directory, addr: put(rig, 'sub') }, EISDIR);
  admitted(rig, OP.UNLINKAT, { fd: directory, addr: put(rig, 'sub'), opFlags: AT_REMOVEDIR }, ENOTEMPTY);
  admitted(rig, OP.UNLINKAT, { fd: sub, addr: put(rig, 'deep'), opFlags: AT_REMOVEDIR }, ENOTDIR);
  admitted(rig, OP.UNLINKAT, { fd: sub, addr: put(rig, 'deep') }, 0);
  admitted(rig, OP.UNLINKAT, { fd: directory, addr: put(rig, 'sub'), opFlags: AT_REMOVEDIR }, 0);
  admitted(rig, OP.UNLINKAT, { fd: directory, addr: put(rig, 'up') }, 0); // the link, not where it leads
  admitted(rig, OP.UNLINKAT, { fd: directory, addr: put(rig, 'none') }, ENOENT);
  assert.equal(readdirSync(at('')).sort(), ['absolute', 'made', 'to-file', 'to-out']);
});

it('as many files as there are slots, then ENFILE, and none is left open', (rig, directory) => {
  const { fileSlots } = rig.ring;
  for (let slot = rig.options.grantSlots; slot < fileSlots; slot++) assert.is(open(rig, directory, 'file'), slot);
  assert.is(open(rig, directory, 'file'), ERRNO.ENFILE);
  admitted(rig, OP.CLOSE, { fileIndex: fileSlots }, 0);
  assert.is(open(rig, directory, 'file'), fileSlots - 1);
});

it('what is staged has a copy of its path: it may be written over at once', (rig, directory) => {
  const addr = rig.freeAt;
  const users = ['file', 'sub/deep', 'to-file'].map((path) => rig.stage(OP.OPENAT2, opening(rig, directory, path)));
  // All three share the place of the path, so the window holds three times the last one.
  for (const user of users) assert.ok(rig.completion(user).result >= 0);
  const user = rig.stage(OP.OPENAT2, opening(rig, directory, 'sub/deep'));
  rig.enter();
  rig.bytes.fill(0xff, addr, addr + 8192);
  const slot = rig.completion(user).result;
  admitted(rig, OP.READ, { fd: slot, addr, len: 10 }, 4);
  assert.is(rig.text(addr, 4), 'deep');
});

test.run();
