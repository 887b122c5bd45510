// proper-lockfile: three processes of a machine take turns with one lock; the one that has it first is killed.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, fileOf, hunted } from './hunted.js';

await hunted('proper-lockfile');
const require = createRequire(import.meta.url);
const PROCESSES = [0, 1, 2, 3];

/** A module of its own for each process, as its table of locks is. */
function instance() {
  const file = fileOf('proper-lockfile');
  for (const path of Object.keys(require.cache)) if (/proper-lockfile/.test(path)) delete require.cache[path];
  return require(file);
}

const libraries = PROCESSES.map(instance);
const STALE_MS = 2000; // the least

export default (seed) =>
  simulate({ seed, shards: PROCESSES.length, faults: { diskUs: 3000 } }, async (world) => {
    const owners = new Set();
    const ownFs = Object.create(fs); // the library keeps there what it learns of the disk
    const lock = async (process) => {
      const onCompromised = () => owners.delete(process);
      const options = { realpath: false, stale: STALE_MS, onCompromised, fs: ownFs };
      const release = await libraries[process].lock('/file', options);
      always(owners.size === 0, 'a lock has one owner', `${process}, ${[...owners]}`);
      owners.add(process);
      note(`process ${process} has the lock`);
      return release;
    };
    await world.on(1, () => lock(1));
    await sleep(below(1000));
    world.kill(1);
    owners.clear();
    const worker = async (process) => {
      for (let round = 0; round < 3; ) {
        await sleep(100 + below(100));
        const release = await lock(process).catch((error) => note(`process ${process}: ${error.code}`));
        if (release === undefined) continue;
        sometimes(true, 'a stale lock is taken over');
        round++;
        await sleep(below(50));
        owners.delete(process);
        await release().catch((error) => note(`process ${process} releases: ${error.code}`));
      }
    };
    await Promise.all([2, 3].map((process) => world.on(process, () => worker(process))).concat(worker(0)));
  });
