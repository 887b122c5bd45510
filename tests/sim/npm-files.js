// Unmodified libraries of npm that keep files, in a simulated world. Each program does its work until the power fails,
// and is then started again on the same disk.
//
//   write(path, saved) --> power failure --> read(path): what was saved, and what is there now
//   node tests/sim/npm-files.js NAME SEED --> one line of JSON
//
// Next: npm-files.test.js.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import { sleep } from 'featherstar';
import { SimDisk, simulate } from 'featherstar/testing';
import { Low } from 'lowdb';
import { JSONFile } from 'lowdb/node';

const require = createRequire(import.meta.url);
const writeFileAtomic = require('write-file-atomic');
const lockfile = require('proper-lockfile');
const Datastore = require('@seald-io/nedb');

const ROUNDS = 6;
const CRASH_MS = 100; // at the latest

async function makeHome() {
  fs.mkdirSync('/data', { recursive: true });
  for (const path of ['/data', '/']) {
    const directory = await fs.promises.open(path, 'r');
    await directory.sync();
    await directory.close();
  }
}

const lowdb = async (path) => {
  const db = new Low(new JSONFile(path), { count: 0 });
  await db.read();
  return db;
};

const nedb = async (filename) => {
  const db = new Datastore({ filename });
  await db.loadDatabaseAsync();
  return db;
};

/** Writes by each library, and reads after the power failure. A number below `saved` is a loss. */
export const libraries = {
  lowdb: {
    async write(path, saved) {
      const db = await lowdb(path);
      for (let i = 1; i <= ROUNDS; i++) {
        await db.update((data) => Object.assign(data, { count: i, text: 'x'.repeat(1000) }));
        saved.count = i;
      }
    },
    read: async (path) => (await lowdb(path)).data.count,
  },
  'write-file-atomic': {
    async write(path, saved) {
      for (let i = 1; i <= ROUNDS; i++) {
        await writeFileAtomic(path, JSON.stringify({ count: i, text: 'x'.repeat(1000) }));
        saved.count = i;
      }
    },
    read: async (path) => JSON.parse(fs.readFileSync(path, 'utf8')).count,
  },
  nedb: {
    async write(path, saved) {
      const db = await nedb(path);
      for (let i = 1; i <= ROUNDS; i++) {
        await db.insertAsync({ _id: `${i}`, text: 'x'.repeat(500) });
        if (i % 2 === 0) {
          await db.compactDatafileAsync();
          saved.count = i;
        }
      }
    },
    read: async (path) => (await nedb(path)).countAsync({}),
  },
};

/** Runs until the power fails at a moment that the seed draws, and from there. `found` is a text if reading fails. */
export async function runLibrary(name, seed, faults = {}) {
  const { write, read } = libraries[name];
  const path = `/data/${seed}`; // write-file-atomic keeps a queue for each path, from one world to the next
  const disk = new SimDisk();
  const saved = { count: 0 };
  const first = await simulate({ seed, disk, faults }, async (world) => {
    await makeHome();
    void sleep(Math.random() * CRASH_MS).then(() => world.crash());
    await write(path, saved);
    await sleep(CRASH_MS);
  });
  const second = await simulate({ seed, disk }, () => read(path).catch(({ message }) => message));
  return { saved: saved.count, found: second.value, traceHashes: [first.traceHash, second.traceHash] };
}

/** Two shards of one machine want the same lock, again and again. Returns how many held it at most. */
export const lockProgram = async (world) => {
  const file = '/data/file';
  fs.mkdirSync('/data');
  fs.writeFileSync(file, '');
  let holders = 0;
  let most = 0;
  const work = async () => {
    for (let i = 0; i < ROUNDS; i++) {
      const retries = { retries: 100, minTimeout: 1, maxTimeout: 20 };
      const release = await lockfile.lock(file, { retries, stale: 5000 });
      most = Math.max(most, ++holders);
      await sleep(Math.random() * 5);
      holders--;
      await release();
    }
  };
  await Promise.all([world.on(0, work), world.on(1, work)]);
  return most;
};

export const programs = {
  ...Object.fromEntries(Object.keys(libraries).map((name) => [name, (seed) => runLibrary(name, seed)])),
  'proper-lockfile': async (seed) => {
    const { value, traceHash } = await simulate({ seed, shards: 2 }, lockProgram);
    return { found: value, traceHashes: [traceHash] };
  },
};

const [name, seed] = process.argv.slice(2);
if (name in programs) console.log(JSON.stringify(await programs[name](Number(seed))));
