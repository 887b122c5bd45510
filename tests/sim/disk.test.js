// core: debug
// The simulated disk: against a naive model, full, failing, and after the power has failed.

import { openDirectory } from 'featherstar/fs';
import { SimDisk, simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const OPERATIONS = 100_000;
const NAMES = ['a', 'b', 'c', 'd/a', 'd/b', 'e/a'];

const draw = (count) => Math.floor(Math.random() * count);
const text = (length) => String.fromCharCode(97 + draw(26)).repeat(length);

/** Does one operation on the disk and on a Map from paths to text. Both fail, or both answer the same. */
const operations = {
  async write(dir, model) {
    const [name, data] = [NAMES[draw(6)], text(draw(3000))];
    await dir.writeFile(name, data);
    model.set(name, data);
  },
  async replace(dir, model) {
    const [name, data] = [NAMES[draw(6)], text(draw(3000))];
    await dir.replaceFile(name, data);
    model.set(name, data);
  },
  async patch(dir, model) {
    const [name, at, data] = [NAMES[draw(6)], draw(5000), text(1 + draw(500))];
    const outcome = await dir.open(name, { flags: 'r+' }).catch((error) => error.errnoName);
    if (!model.has(name)) return assert.is(outcome, 'ENOENT');
    await outcome.write(data, { position: at });
    await outcome.close();
    const before = model.get(name).padEnd(at, '\0');
    model.set(name, before.slice(0, at) + data + before.slice(at + data.length));
  },
  async append(dir, model) {
    const [name, data] = [NAMES[draw(6)], text(draw(300))];
    const file = await dir.open(name, { flags: 'a' });
    await file.write(data);
    await file.close();
    model.set(name, (model.get(name) ?? '') + data);
  },
  async truncate(dir, model) {
    const [name, size] = [NAMES[draw(6)], draw(4000)];
    if (!model.has(name)) return;
    const file = await dir.open(name, { flags: 'r+' });
    await file.truncate(size);
    await file.close();
    model.set(name, model.get(name).slice(0, size).padEnd(size, '\0'));
  },
  async rename(dir, model) {
    const [from, to] = [NAMES[draw(6)], NAMES[draw(6)]];
    const outcome = await dir.rename(from, to).catch((error) => error.errnoName);
    if (!model.has(from)) return assert.is(outcome, 'ENOENT');
    const data = model.get(from);
    model.delete(from);
    model.set(to, data);
  },
  async remove(dir, model) {
    const name = NAMES[draw(6)];
    const outcome = await dir.remove(name).catch((error) => error.errnoName);
    assert.is(outcome, model.delete(name) ? undefined : 'ENOENT');
  },
  async read(dir, model) {
    const name = NAMES[draw(6)];
    const outcome = await dir.readText(name).catch((error) => error.errnoName);
    assert.ok(outcome === (model.get(name) ?? 'ENOENT'), name);
  },
  async stat(dir, model) {
    const name = NAMES[draw(6)];
    const outcome = await dir.stat(name).catch((error) => error.errnoName);
    assert.equal(outcome.size ?? outcome, model.get(name)?.length ?? 'ENOENT');
  },
  async list(dir, model) {
    const names = (await dir.list()).filter(({ kind }) => kind === 'file').map(({ name }) => name);
    assert.equal(names.sort(), [...model.keys()].filter((name) => !name.includes('/')).sort());
  },
  sync: (dir) => dir.sync(),
};

test(`${OPERATIONS} operations against a model`, async () => {
  const kinds = Object.values(operations);
  const { value } = await simulate({ seed: 1, faults: { partial: 0.2 }, maxMs: 1e9 }, async () => {
    const dir = await openDirectory('/');
    const model = new Map();
    await dir.makeDirectory('d');
    await dir.makeDirectory('e');
    for (let i = 0; i < OPERATIONS; i++) await kinds[draw(kinds.length)](dir, model);
    return model.size;
  });
  assert.ok(value > 0);
});

test('what is refused is refused as by a kernel', async () => {
  const errno = async (promise) => (await rejection(promise)).errnoName;
  await simulate({ seed: 1 }, async () => {
    const root = await openDirectory('/');
    await root.makeDirectory('d');
    await root.writeFile('f', 'x');
    const dir = await root.openDirectory('d');
    assert.is(await errno(openDirectory('/none')), 'ENOENT');
    assert.is(await errno(openDirectory('/f')), 'ENOTDIR');
    assert.is(await errno(root.open('none')), 'ENOENT');
    assert.is(await errno(root.open('f', { flags: 'wx' })), 'EEXIST');
    assert.is(await errno(root.open('d', { flags: 'w' })), 'EISDIR');
    assert.is(await errno(root.readFile('d')), 'EISDIR');
    assert.is(await errno(root.open('f/x')), 'ENOTDIR');
    assert.is(await errno(root.open('n'.repeat(256), { flags: 'w' })), 'ENAMETOOLONG');
    assert.is(await errno(dir.open('../f')), 'EXDEV');
    assert.is(await errno(dir.open('/f')), 'EXDEV');
    assert.is(await errno(dir.openDirectory('..')), 'EXDEV');
    assert.is(await errno(root.makeDirectory('d')), 'EEXIST');
    assert.is(await errno(root.remove('d')), 'EISDIR');
    assert.is(await errno(root.remove('f', { directory: true })), 'ENOTDIR');
    assert.is(await errno(root.rename('f', 'd')), 'EISDIR');
    assert.is(await errno(root.rename('d', 'f')), 'ENOTDIR');
    assert.is(await errno(root.rename('d', 'd/e')), 'EINVAL');
    assert.is(await errno(root.rename('f', 'g', { into: dir }).then(() => root.rename('f', 'x'))), 'ENOENT');
    assert.is(await errno(root.remove('d', { directory: true })), 'ENOTEMPTY');
    const reader = await dir.open('g');
    assert.is(await errno(reader.write('x')), 'EBADF');
    await dir.remove('g');
    assert.is(await reader.read(new Uint8Array(9)), 1, 'who has it open still has it');
    await reader.close();
  });
});

test('a full disk', async () => {
  const disk = new SimDisk({ capacityBytes: 10_000 });
  await simulate({ seed: 1, disk }, async () => {
    const dir = await openDirectory('/');
    await dir.writeFile('a', 'a'.repeat(6000));
    assert.is((await rejection(dir.replaceFile('a', 'b'.repeat(6000)))).errnoName, 'ENOSPC');
    assert.is(await dir.readText('a'), 'a'.repeat(6000));
    assert.equal((await dir.list()).length, 1, 'the temporary file is removed');
    await dir.remove('a');
    await dir.writeFile('b', 'b'.repeat(10_000));
    await dir.rename('b', 'moved');
    assert.is((await rejection(dir.writeFile('c', 'c'))).errnoName, 'ENOSPC');
  });
  assert.throws(() => new SimDisk({ capacityBytes: -1 }), /capacityBytes/);
  assert.match((await rejection(simulate({ seed: 1, disk: {} }, () => {}))).message, /disk must be a SimDisk/);
});

/** Writes, loses power in the middle, and reads what is left: how often each outcome was seen. */
async function crashes(write, read, seeds = 300) {
  const seen = {};
  for (let seed = 1; seed <= seeds; seed++) {
    const disk = new SimDisk();
    await simulate({ seed, disk }, async () => (await openDirectory('/')).replaceFile('f', 'old'));
    const { crashed, value } = await simulate({ seed, disk }, async (world) => {
      await write(await openDirectory('/'), world);
      await world.crash();
    });
    assert.ok(crashed);
    assert.is(value, undefined);
    const after = await simulate({ seed, disk }, async () => read(await openDirectory('/')));
    assert.not(after.crashed);
    seen[after.value] = (seen[after.value] ?? 0) + 1;
  }
  return seen;
}

const content = (dir) => dir.readText('f').catch((error) => error.errnoName);

test('after a crash: what was synced is there, and what was not may be', async () => {
  const synced = await crashes(async (dir) => {
    const file = await dir.open('f', { flags: 'w' });
    await file.write('new');
    await file.sync();
  }, content);
  assert.equal(synced, { new: 300 });
  const unsynced = await crashes((dir) => dir.writeFile('f', 'new'), content);
  assert.equal(Object.keys(unsynced).sort(), ['', 'new', 'old'].sort(), 'lost, kept, or cut off and then lost');
});

test('after a crash: a rename is kept or lost, until its directory is synced', async () => {
  const make = async (dir) => {
    const file = await dir.open('g', { flags: 'w' });
    await file.write('new');
    await file.sync();
    await file.close();
    await dir.rename('g', 'f');
  };
  assert.equal(Object.keys(await crashes(make, content)).sort(), ['new', 'old']);
  const kept = await crashes(async (dir) => {
    await make(dir);
    await dir.sync();
  }, content);
  assert.equal(kept, { new: 300 });
  const careless = await crashes(async (dir) => {
    await dir.writeFile('g', 'new');
    await dir.rename('g', 'f');
    await dir.sync();
  }, content);
  assert.equal(Object.keys(careless).sort(), ['', 'new'], 'the name is there, and the content may not be');
});

test('after a crash: a long write is there in part, by sectors', async () => {
  const data = 'x'.repeat(4096);
  const seen = await crashes(
    async (dir) => {
      const file = await dir.open('long', { flags: 'w' });
      await dir.sync();
      await file.write(data);
    },
    async (dir) => {
      const text = await dir.readText('long');
      assert.ok(text.length % 512 === 0);
      for (let at = 0; at < text.length; at += 512) assert.is(new Set(text.slice(at, at + 512)).size, 1);
      return text === data ? 'all' : text === '' ? 'nothing' : 'a part';
    },
  );
  assert.equal(Object.keys(seen).sort(), ['a part', 'all', 'nothing']);
});

test('a sync that fails has lost what it was for', async () => {
  let lost = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const disk = new SimDisk();
    await simulate({ seed, disk }, async () => (await openDirectory('/')).replaceFile('f', 'old'));
    await simulate({ seed, disk, faults: { errno: 0.2 } }, async (world) => {
      const dir = await openDirectory('/').catch(() => undefined);
      const file = await dir?.open('f', { flags: 'r+' }).catch(() => undefined);
      await file?.write('new').catch(() => undefined);
      const isFirst = await file?.sync().then(
        () => true,
        () => false,
      );
      await file?.sync().catch(() => undefined); // and again, as if that helped
      world.note(`synced at once: ${isFirst}`);
      await world.crash();
    });
    const { value } = await simulate({ seed, disk }, async () => content(await openDirectory('/')));
    assert.ok(['old', 'new'].includes(value), value);
    if (value === 'old') lost++;
  }
  assert.ok(lost > 0 && lost < 200, `${lost}`);
});

test('a later sync does not bring back what a failed one has lost', async () => {
  let retried = 0;
  const worked = (promise) =>
    promise.then(
      () => true,
      () => false,
    );
  for (let seed = 1; seed <= 400; seed++) {
    const disk = new SimDisk();
    let isRetried = false;
    await simulate({ seed, disk }, async () => (await openDirectory('/')).replaceFile('f', 'old'));
    await simulate({ seed, disk, faults: { errno: 0.2 } }, async (world) => {
      const dir = await openDirectory('/').catch(() => undefined);
      const file = await dir?.open('f', { flags: 'r+' }).catch(() => undefined);
      const isWritten = file !== undefined && (await worked(file.write('new')));
      isRetried = isWritten && !(await worked(file.sync())) && (await worked(file.sync()));
      await world.crash();
    });
    if (!isRetried) continue;
    retried++;
    assert.is((await simulate({ seed, disk }, async () => content(await openDirectory('/')))).value, 'old');
  }
  assert.ok(retried > 10, `${retried}`);
});

test('after a crash: an old rename that is synced late does not undo what was synced since', async () => {
  for (const isLate of [true, false]) {
    const seen = await crashes(
      async (root) => {
        for (const name of ['a', 'b']) await root.makeDirectory(name);
        await root.sync();
        const [a, b] = [await root.openDirectory('a'), await root.openDirectory('b')];
        await a.replaceFile('f', 'one');
        await a.rename('f', 'g', { into: b });
        await a.replaceFile('f', 'two');
        if (isLate) await b.sync();
      },
      async (root) => `${await root.readText('a/f')} ${await root.readText('b/g')}`,
      100,
    );
    assert.equal(seen, { 'two one': 100 });
  }
});

test('after a crash: what was moved out of a directory that is removed has a name, old or new', async () => {
  const seen = await crashes(
    async (root) => {
      await root.makeDirectory('d');
      await root.sync();
      const dir = await root.openDirectory('d');
      await dir.replaceFile('g', 'moved');
      await dir.rename('g', 'h', { into: root });
      await root.remove('d', { directory: true });
    },
    async (root) => {
      const names = (await root.list()).map(({ name }) => name).sort();
      return names.includes('d') ? `${names} ${await root.readText('d/g').catch(() => 'empty')}` : `${names}`;
    },
  );
  assert.equal(Object.keys(seen).sort(), ['d,f moved', 'd,f,h empty', 'f,h']);
});

test('after a crash: directories that were moved about are each in one place', async () => {
  const seen = await crashes(
    async (root) => {
      for (const name of ['a', 'b']) {
        await root.makeDirectory(name);
        await root.sync();
        const dir = await root.openDirectory(name);
        await dir.replaceFile('data', name);
        await dir.close();
      }
      const b = await root.openDirectory('b');
      await root.rename('a', 'a', { into: b });
      await b.rename('a', 'a', { into: root });
      const a = await root.openDirectory('a');
      await root.rename('b', 'b', { into: a });
    },
    async (root) => {
      const data = ['a', 'b', 'a/b', 'b/a'].map((path) => root.readText(`${path}/data`).catch(() => '-'));
      return (await Promise.all(data)).join('');
    },
  );
  assert.equal(Object.keys(seen).sort(), ['-b-a', 'a-b-', 'ab--'], 'a and b, one in the other, or the other way round');
});

/**
 * What each name was, oldest first, as text or undefined, each with the change that made it so. A change is certain
 * when all directories that it touches were synced: then the name is what it was then, or became since.
 */
class Names {
  #changes = [];
  #history = new Map();

  get(path) {
    return this.#history.get(path)?.at(-1).data;
  }

  change(edits) {
    const change = { open: new Set(edits.map(([path]) => folderOf(path))) };
    this.#changes.push(change);
    for (const [path, data] of edits) {
      const history = this.#history.get(path) ?? [{ data: undefined, change: { open: new Set() } }];
      this.#history.set(path, [...history, { data, change }]);
    }
  }

  sync(folder) {
    for (const { open } of this.#changes) open.delete(folder);
  }

  possible(path) {
    const history = this.#history.get(path) ?? [{ data: undefined, change: { open: new Set() } }];
    return history.slice(history.findLastIndex(({ change }) => change.open.size === 0)).map(({ data }) => data);
  }
}

const folderOf = (path) => path.slice(0, path.lastIndexOf('/') + 1);
const FOLDERS = ['', 'd/', 'e/'];
const PATHS = FOLDERS.flatMap((folder) => ['a', 'b', 'c'].map((name) => folder + name));

test('after a crash: names are what a model holds possible, and nothing that was moved is gone', async () => {
  let uncertain = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const disk = new SimDisk();
    const names = new Names();
    const lasting = new Set(); // texts that had a name on the disk, and were only moved
    await simulate({ seed, disk }, async (world) => {
      const root = await openDirectory('/');
      for (const name of ['d', 'e']) await root.makeDirectory(name);
      await root.sync();
      const folders = { '': root, 'd/': await root.openDirectory('d'), 'e/': await root.openDirectory('e') };
      for (let i = 0; i < 60; i++) {
        const [path, other, kind] = [PATHS[draw(9)], PATHS[draw(9)], draw(4)];
        const [before, over] = [names.get(path), names.get(other)];
        if (kind === 0) {
          await folders[folderOf(path)].sync();
          names.sync(folderOf(path));
          for (const at of PATHS) {
            const possible = names.possible(at);
            if (possible.length === 1 && possible[0] !== undefined) lasting.add(possible[0]);
          }
        } else if (before === undefined) {
          const file = await root.open(path, { flags: 'wx' });
          await file.write(`${i}`);
          await file.sync();
          await file.close();
          names.change([[path, `${i}`]]);
        } else if (kind === 1) {
          await root.remove(path);
          names.change([[path, undefined]]);
          lasting.delete(before);
        } else if (path !== other) {
          await root.rename(path, other);
          names.change([
            [path, undefined],
            [other, before],
          ]);
          lasting.delete(over);
        }
      }
      await world.crash();
    });
    const { value: found } = await simulate({ seed, disk }, async () => {
      const root = await openDirectory('/');
      return Promise.all(PATHS.map((path) => root.readText(path).catch(() => undefined)));
    });
    PATHS.forEach((path, i) => {
      const possible = names.possible(path);
      assert.ok(possible.includes(found[i]), `seed ${seed}: ${path} is ${found[i]}, not one of ${possible}`);
      if (possible.length > 1) uncertain++;
    });
    for (const text of lasting) assert.ok(found.includes(text), `seed ${seed}: ${text} is gone`);
    const texts = found.filter((text) => text !== undefined);
    assert.is(new Set(texts).size, texts.length, `seed ${seed}: two names for one file: ${texts}`);
  }
  assert.ok(uncertain > 400, `${uncertain}`);
});

test('after a crash: nothing is open, and the room is that of what is left', async () => {
  const disk = new SimDisk({ capacityBytes: 10_000 });
  await simulate({ seed: 1, disk }, async (world) => {
    const dir = await openDirectory('/');
    for (const name of ['kept', 'gone']) {
      await dir.replaceFile(name, 'x'.repeat(4000));
      await dir.open(name);
    }
    await dir.remove('gone');
    await dir.sync();
    await world.crash();
  });
  await simulate({ seed: 1, disk }, async () => {
    const dir = await openDirectory('/');
    assert.is((await rejection(dir.writeFile('more', 'x'.repeat(6001)))).errnoName, 'ENOSPC');
    await dir.remove('kept');
    await dir.writeFile('more', 'x'.repeat(10_000));
  });
});

test('nothing is made in a directory that was removed', async () => {
  await simulate({ seed: 1 }, async () => {
    const root = await openDirectory('/');
    await root.makeDirectory('d');
    await root.writeFile('f', 'x');
    const dir = await root.openDirectory('d');
    await root.remove('d', { directory: true });
    const tries = [dir.writeFile('g', 'x'), dir.makeDirectory('g'), root.rename('f', 'g', { into: dir })];
    for (const promise of tries) assert.is((await rejection(promise)).errnoName, 'ENOENT');
  });
});

test('each machine has a disk of its own', async () => {
  const { value } = await simulate({ seed: 1, shards: 2, hosts: { a: [0], b: [1] } }, async (world) => {
    await (await openDirectory('/')).writeFile('f', 'a');
    return world.on(1, async () => (await openDirectory('/')).list());
  });
  assert.equal(value, []);
});

test.run();
