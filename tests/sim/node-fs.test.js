// node:fs of a simulated program does what the real one does, on the simulated disk, with that disk's faults.
//
// The flow: a list of operations -> on a folder of the real disk, and in a world -> the same results and error codes.
// In a world they run at once, with callbacks, and with promises.
//
// Next: npm-files.test.js, libraries of npm that keep files.

import fs, { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { sleep } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { SimDisk, simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const OPERATIONS = 600;
const NAMES = ['a', 'b', 'c', 'd', 'd/a', 'd/b', 'e', 'e/f', 'e/f/a', 'none/a', 'a/a'];
const require = createRequire(import.meta.url);
process.umask(0o022); // that of the simulation

/** A stream of numbers that both disks see. */
function draws(seed) {
  let state = seed;
  return (count) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % count;
  };
}

const shapeOf = (stats) => [stats.isFile(), stats.isDirectory(), stats.isFile() ? stats.size : 0, stats.mode];

/** Random operations, each as the name of a function, its arguments, and what of its result can be compared. */
function plan(seed, root) {
  const below = draws(seed);
  const name = () => join(root, NAMES[below(NAMES.length)]);
  const text = () => String.fromCharCode(97 + below(26)).repeat(below(3000));
  const kinds = [
    () => ['writeFile', [name(), text()]],
    () => ['writeFile', [name(), text(), { flag: ['wx', 'a', 'r+', 'w'][below(4)], mode: 0o600 }]],
    () => ['appendFile', [name(), text()]],
    () => ['readFile', [name(), 'utf8'], String],
    () => ['mkdir', [name()]],
    () => ['mkdir', [name(), { recursive: true }], (made) => made?.slice(root.length)],
    () => ['rmdir', [name()]],
    () => ['unlink', [name()]],
    () => ['rm', [join(root, NAMES[below(4)]), { recursive: below(2) === 0, force: below(2) === 0 }]],
    () => ['rename', [name(), name()]],
    () => ['copyFile', [name(), name(), below(2) * fs.constants.COPYFILE_EXCL]],
    () => ['truncate', [name(), below(4000)]],
    () => ['access', [name()]],
    () => ['stat', [name()], shapeOf],
    () => ['lstat', [name()], shapeOf],
    () => ['readdir', [root], String],
    () => ['readdir', [name(), { recursive: true }], (names) => names.sort().join()],
    () => ['readdir', [name(), { withFileTypes: true }], (all) => all.map((each) => [each.name, each.isFile()])],
    () => ['realpath', [`${name()}/../${NAMES[below(3)]}`], (path) => path.slice(root.length)],
    () => ['utimes', [name(), 1000, 2000]],
    () => ['chmod', [name(), 0o644]],
    () => ['readlink', [name()]],
  ];
  return Array.from({ length: OPERATIONS }, () => kinds[below(kinds.length)]());
}

/** Versions of Node name the system call of these differently. And they differ in `rm()` of a path below a file. */
const WITHOUT_SYSCALL = ['rm', 'realpath', 'mkdir'];

const faces = {
  'at once': async (name, args) => fs[`${name}Sync`](...args),
  'with callbacks': (name, args) => promisify(fs[name])(...args),
  'with promises': (name, args) => fs.promises[name](...args),
};

async function outcomes(operations, face) {
  const seen = [];
  for (const [name, args, look = () => undefined] of operations) {
    const failed = ({ code, syscall }) => [code, WITHOUT_SYSCALL.includes(name) ? '' : syscall];
    seen.push(await face(name, args).then(look, failed));
  }
  return seen;
}

for (const [how, face] of Object.entries(faces)) {
  test(`random operations, ${how}: the same results as on the real disk`, async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const root = mkdtempSync(join(tmpdir(), 'featherstar-node-fs-'));
      const real = await outcomes(plan(seed, root), face);
      rmSync(root, { recursive: true });
      const { value } = await simulate({ seed }, async () => {
        fs.mkdirSync('/root');
        return outcomes(plan(seed, '/root'), face);
      });
      const operations = plan(seed, '/root');
      for (const [i, each] of real.entries())
        assert.equal(value[i], each, `seed ${seed}: ${operations[i].slice(0, 2)}`);
    }
  });
}

/** Reads and writes at positions and at the cursor. Returns what it saw. */
async function useDescriptors(root) {
  const path = join(root, 'file');
  const seen = [];
  const fd = fs.openSync(path, 'w+');
  seen.push(fs.writeSync(fd, 'hello world'), fs.writeSync(fd, Buffer.from('HELLO'), 0, 4, 2), fs.writeSync(fd, '!'));
  const into = Buffer.alloc(6);
  seen.push(fs.readSync(fd, into, { position: 3 }), into.toString(), fs.readSync(fd, into), fs.fstatSync(fd).size);
  const { bytesRead, buffer } = await promisify(fs.read)(fd, Buffer.alloc(4), 1, 3, 0);
  seen.push(bytesRead, buffer.toString('latin1', 1), (await promisify(fs.write)(fd, 'é', 0, 'latin1')).bytesWritten);
  seen.push(fs.readvSync(fd, [Buffer.alloc(3), Buffer.alloc(20)], 0), fs.writevSync(fd, [Buffer.from('1'), into]));
  fs.ftruncateSync(fd, 5);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  seen.push(fs.readFileSync(path).toString('hex'));
  seen.push(await promisify(fs.close)(999).catch((error) => [error.code, error.syscall, error.errno]));
  await using(path, 'a+', async (handle) => {
    await handle.appendFile('more');
    await handle.write(Buffer.from('x'), { position: 0 }); // it is appended all the same
    seen.push(String(await handle.readFile()), (await handle.stat()).size, (await handle.readv([into], 0)).bytesRead);
    await handle.truncate(3);
    await handle.datasync();
  });
  const closed = await fs.promises.open(path);
  await closed.close();
  seen.push((await rejection(closed.read(into))).code, closed.fd);
  const [bad, missing] = [() => fs.readFileSync(path, { flag: 'z' }), () => fs.statSync(join(root, 'none'))];
  for (const run of [bad, missing, () => fs.readFileSync(5.5), () => fs.existsSync(7), () => fs.readFile(path)]) {
    seen.push(
      await rejection((async () => run())()).then(
        (error) => error.code,
        () => 'none',
      ),
    );
  }
  seen.push(fs.statSync(join(root, 'none'), { throwIfNoEntry: false }), fs.existsSync(path));
  await fs.promises.writeFile(
    path,
    (function* () {
      yield* ['a', 'b'];
    })(),
  );
  const { size, mtimeNs } = fs.statSync(path, { bigint: true });
  seen.push(fs.readFileSync(path, 'utf8'), size, typeof mtimeNs);
  fs.utimesSync(path, new Date(5000), 7);
  seen.push(fs.statSync(path).mtimeMs, fs.statSync(path).atime.getTime());
  return seen;
}

async function using(path, flags, run) {
  const handle = await fs.promises.open(path, flags);
  try {
    await run(handle);
  } finally {
    await handle.close();
  }
}

/** Streams, lines, and directories that are listed one name at a time. */
async function useStreams(root) {
  const [from, to] = [join(root, 'from'), join(root, 'to')];
  const seen = [];
  fs.writeFileSync(from, 'one\ntwo\r\nthree\n'.repeat(2000));
  await pipeline(fs.createReadStream(from, { highWaterMark: 1000, start: 4 }), fs.createWriteStream(to));
  seen.push(fs.statSync(to).size, fs.readFileSync(to, 'utf8') === fs.readFileSync(from, 'utf8').slice(4));
  await pipeline(['tail'], fs.createWriteStream(to, { flags: 'r+', start: 2 }));
  seen.push(fs.readFileSync(to, 'utf8').slice(0, 8));
  const lines = [];
  await using(from, 'r', async (handle) => {
    for await (const line of handle.readLines()) lines.push(line);
  });
  seen.push(lines.length, lines.slice(0, 3));
  const missing = fs.createReadStream(join(root, 'none'));
  seen.push((await rejection(missing.toArray())).code);
  const names = [];
  for await (const entry of await fs.promises.opendir(root)) names.push([entry.name, entry.isFile()]);
  const directory = fs.opendirSync(root);
  seen.push(names.sort(), directory.readSync() !== null);
  directory.closeSync();
  seen.push((await rejection((async () => directory.readSync())())).code);
  const signal = AbortSignal.abort();
  seen.push((await rejection(fs.promises.readFile(from, { signal }))).name);
  return seen;
}

/** Paths of unusual shapes, arguments of callbacks, and signals that were aborted before. */
async function useEdges(root) {
  const path = join(root, 'file');
  fs.writeFileSync(new TextEncoder().encode(path), 'content');
  const seen = [fs.readFileSync(Buffer.from(path), 'utf8'), Buffer.isBuffer(fs.realpathSync(root, 'buffer'))];
  const signal = AbortSignal.abort();
  for (const name of ['writeFile', 'appendFile']) {
    seen.push((await rejection(fs.promises[name](path, 'x', { signal }))).name);
  }
  seen.push(await new Promise((resolve) => fs.writeFile(path, 'x', { signal }, ({ name }) => resolve(name))));
  seen.push(fs.readFileSync(path, 'utf8'));
  const long = `${path}/${'x/'.repeat(3000)}`;
  for (const odd of ['file/', 'file/.', 'none/.', 'none/../file', long.slice(root.length)]) {
    const full = `${root}/${odd}`;
    const look = (at) => fs.lstatSync(at, { throwIfNoEntry: false });
    for (const run of [fs.readFileSync, fs.accessSync, fs.readdirSync, look, fs.truncateSync]) {
      const error = await rejection((async () => run(full))()).catch(() => undefined);
      seen.push([odd.length, error?.code, error?.syscall]);
    }
  }
  fs.mkdirSync(`${root}/made/`);
  const moves = [() => fs.writeFileSync(`${root}/none/`, ''), () => fs.renameSync(path, `${root}/none/`)];
  moves.push(
    () => fs.writeSync(fs.openSync(root), 'x'),
    () => fs.rmdirSync(`${root}/made/`),
  );
  moves.push(
    () => fs.mkdtempSync(`${root}/none/x`),
    () => fs.opendirSync(`${root}/none`),
  );
  for (const move of moves) {
    const error = await rejection((async () => move())()).catch(() => undefined);
    seen.push([error?.code, error?.syscall]);
  }
  const counted = (name, ...args) => new Promise((resolve) => fs[name](...args, (...told) => resolve(told.length)));
  seen.push(await counted('mkdir', `${root}/d`), await counted('rename', path, `${root}/e`));
  seen.push(await counted('stat', root), await counted('unlink', `${root}/e`));
  return seen;
}

for (const use of [useDescriptors, useStreams, useEdges]) {
  test(`${use.name}: the same results as on the real disk, also if reads and writes take parts`, async () => {
    const root = mkdtempSync(join(tmpdir(), 'featherstar-node-fs-'));
    const real = await use(root);
    rmSync(root, { recursive: true });
    const home = async () => {
      fs.mkdirSync('/root');
      return use('/root');
    };
    const first = await simulate({ seed: 1 }, home);
    assert.equal(first.value, real);
    assert.is((await simulate({ seed: 1 }, home)).traceHash, first.traceHash);
    if (use === useStreams) assert.equal((await simulate({ seed: 2, faults: { partial: 0.3 } }, home)).value, real);
  });
}

test('node:fs and featherstar/fs see the same files; each machine has its own, and its own clock', async () => {
  const { value } = await simulate({ seed: 1, shards: 3, hosts: { a: [0, 1], b: [2] } }, async (world) => {
    world.host('b').setClock({ offsetMs: 3_600_000 });
    fs.writeFileSync('/x', 'from a');
    const text = await (await openDirectory('/')).readText('x');
    const seen = await Promise.all([1, 2].map((shard) => world.on(shard, () => fs.existsSync('/x'))));
    const hour = await world.on(2, () => {
      fs.writeFileSync('/y', '');
      return fs.statSync('/y').mtime.getUTCHours();
    });
    return [text, seen, hour, fs.statSync('/x').mtime.getUTCHours(), process.cwd(), fs.realpathSync('x')];
  });
  assert.equal(value, ['from a', [true, false], 1, 0, '/', '/x']);
});

test('what was synced outlives a power failure; a file that was only renamed may be empty', async () => {
  const found = new Set();
  for (let seed = 1; seed <= 40; seed++) {
    const disk = new SimDisk();
    await simulate({ seed, disk }, async (world) => {
      const fd = fs.openSync('/synced', 'w');
      fs.writeSync(fd, 'safe');
      fs.fsyncSync(fd);
      const root = fs.openSync('/', 'r');
      fs.fsyncSync(root);
      await fs.promises.writeFile('/new', 'x'.repeat(100));
      await fs.promises.rename('/new', '/renamed');
      fs.fsyncSync(root);
      await world.crash();
    });
    const { value } = await simulate({ seed, disk }, () => [
      fs.readFileSync('/synced', 'utf8'),
      fs.readFileSync('/renamed').length,
    ]);
    assert.is(value[0], 'safe');
    found.add(value[1]);
  }
  assert.equal([...found].sort(), [0, 100]);
});

/** Writes, syncs and renames in the turn in which the power fails. */
function writeOn(crash) {
  fs.writeFileSync('/before', 'kept', { flush: true });
  const root = fs.openSync('/');
  fs.fsyncSync(root);
  crash();
  fs.writeFileSync('/after', 'lost', { flush: true });
  fs.writeFileSync('/before', 'lost', { flush: true });
  fs.renameSync('/before', '/moved');
  fs.fsyncSync(root);
  fs.promises.mkdir('/later').catch(() => {});
}

test('what a turn writes after its power has failed is lost', async () => {
  const look = () => [fs.readdirSync('/').join(), fs.readFileSync('/before', 'utf8')];
  for (let seed = 1; seed <= 10; seed++) {
    const disk = new SimDisk();
    await simulate({ seed, disk }, (world) => writeOn(() => void world.crash()));
    assert.equal((await simulate({ seed, disk }, look)).value, ['before', 'kept']);
    const { value } = await simulate({ seed, hosts: { db: {} } }, async (world) => {
      const db = world.host('db');
      await rejection(db.on(0, () => writeOn(() => db.crash())));
      await sleep(100);
      await db.restart();
      return db.on(0, look);
    });
    assert.equal(value, ['before', 'kept']);
  }
});

test('a full disk, errors and rot strike node:fs, too', async () => {
  const full = await simulate({ seed: 1, disk: new SimDisk({ capacityBytes: 1000 }) }, async () => {
    const error = await rejection(fs.promises.writeFile('/x', 'x'.repeat(2000)));
    fs.unlinkSync('/x');
    fs.writeFileSync('/y', 'y'.repeat(1000)); // what was written of /x is free again
    return [error.code, error.syscall];
  });
  assert.equal(full.value, ['ENOSPC', 'write']);
  const codes = new Set();
  for (let seed = 1; seed <= 30; seed++) {
    const { value } = await simulate({ seed, faults: { errno: 0.2 } }, async () => {
      const attempt = async () => {
        fs.writeFileSync('/x', 'x');
        return String(await fs.promises.readFile('/x'));
      };
      return attempt().catch((error) => error.code);
    });
    codes.add(value);
  }
  for (const code of ['x', 'EIO', 'ENOMEM', 'EMFILE']) assert.ok(codes.has(code), `${code} in ${[...codes]}`);
  const rotted = await simulate({ seed: 1, faults: { bitRot: 1 } }, () => {
    fs.writeFileSync('/x', 'x');
    return fs.readFileSync('/x', 'utf8') === 'x';
  });
  assert.is(rotted.value, false);
});

test('calls overlap: another shard runs between two steps of one', async () => {
  const sizes = new Set();
  for (let seed = 1; seed <= 30; seed++) {
    const { value } = await simulate({ seed }, async () => {
      fs.writeFileSync('/x', 'old');
      const writing = fs.promises.writeFile('/x', 'new');
      await sleep(Math.random() * 3);
      const text = fs.readFileSync('/x', 'utf8');
      await writing;
      return text;
    });
    sizes.add(value);
  }
  assert.equal([...sizes].sort(), ['', 'new', 'old']);
});

test('descriptors end with their shard, and the room of removed files is free then', async () => {
  const disk = new SimDisk({ capacityBytes: 1000 });
  const { value } = await simulate({ seed: 1, shards: 2, disk }, async (world) => {
    await world.on(1, () => {
      fs.openSync('/x', 'w');
      fs.writeFileSync('/x', 'x'.repeat(1000));
      fs.unlinkSync('/x'); // it is open, so its bytes stay
    });
    const before = await rejection(fs.promises.writeFile('/y', 'y'));
    world.kill(1);
    await sleep(100);
    fs.writeFileSync('/y', 'y'.repeat(1000));
    return [before.code, fs.openSync('/y', 'r')];
  });
  assert.equal(value, ['ENOSPC', 3]);
});

test('the date goes on in the next world of a disk: no file is of the future', async () => {
  const disk = new SimDisk();
  const write = async () => {
    await sleep(60_000.5);
    fs.writeFileSync('/file', String(Date.now()));
    return [Date.now(), performance.timeOrigin];
  };
  const first = await simulate({ seed: 1, disk }, write);
  const failed = await rejection(simulate({ seed: 1, disk }, () => sleep(1000).then(() => fs.readFileSync('/none'))));
  assert.is(failed.cause.code, 'ENOENT');
  const look = () => [
    Date.now(),
    fs.statSync('/file').mtimeMs,
    Number(fs.readFileSync('/file')),
    performance.timeOrigin,
  ];
  const [now, changed, written, origin] = (await simulate({ seed: 1, disk }, look)).value;
  assert.ok(changed > first.value[1] + 60_000 && changed < now - 1000, `${changed}, ${now}`);
  assert.ok(written <= now - 1000 && origin <= now && origin > first.value[0]);
  assert.is((await simulate({ seed: 1 }, write)).value[1], Date.UTC(2026, 0, 1));
});

test('listeners of the process go with their world: at its exit they would see the real disk', async () => {
  const counts = () => process.eventNames().map((name) => [name, process.listenerCount(name)]);
  const before = counts();
  const adders = ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener'];
  const add = () => {
    for (const name of adders) process[name]('exit', () => fs.rmSync('/of-the-world', { force: true }));
    process.once('SIGHUP', () => {});
    return process.listenerCount('exit');
  };
  const { value } = await simulate({ seed: 1 }, add);
  assert.is(value, adders.length + (Object.fromEntries(before).exit ?? 0));
  assert.equal(counts(), before);
  await rejection(
    simulate({ seed: 1 }, () => {
      add();
      throw new Error('failed');
    }),
  );
  assert.equal(counts(), before);
});

test('a loop that waits for a file ends with an error that says so', async () => {
  const program = () => {
    while (!fs.existsSync('/never'));
  };
  const error = await rejection(simulate({ seed: 1, maxMs: 1e9 }, program));
  assert.match(error.message, /or called node:fs 50000 times, and does not end/);
});

test('a file of the real disk is not there, and the error says where it looked', async () => {
  const program = () => fs.readFileSync(new URL(import.meta.url));
  const error = await rejection(simulate({ seed: 1 }, program));
  assert.is(error.cause.code, 'ENOENT');
  assert.match(error.message, /on the disk of the simulation\. .+ read or import a real file before simulate\(\)/);
  const imported = await rejection(simulate({ seed: 1 }, () => import('./library-with-state.js?world')));
  assert.match(imported.message, /read or import a real file before simulate\(\)/);
  const loaded = await simulate({ seed: 1 }, () => {
    const path = require.resolve('../../package.json');
    delete require.cache[path];
    return require(path).name;
  });
  assert.is(loaded.value, 'featherstar');
});

test.run();
