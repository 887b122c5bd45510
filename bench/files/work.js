// Operations on files: `node work.js HOW WHAT DEPTH COUNT FOLDER` does COUNT of them, DEPTH at any time, twice, and
// prints what the second time cost: `WHAT.DEPTH ns` of CPU time of all threads of the process for one of them, and
// `WHAT.DEPTH.wall ns`.
//
//   HOW   ours: featherstar/fs; node: node:fs/promises; sync: node:fs, one after another, whatever DEPTH says
//   WHAT  read-4k, read-1m  a random block of `big`
//         write-4k          the same block is written
//         small-file        one of the files `small.N` is opened, read to its end and closed
//         append-sync       512 bytes are appended to a file of the worker's own and synced (data only)
//         replace           a file of the worker's own gets a new content, with nothing lost at a crash
//
// Next: ../baseline/files.c, the same in C.

import * as fs from 'node:fs';
import * as promises from 'node:fs/promises';
import { join } from 'node:path';
import { BIG_BYTES, SMALL_FILES } from '../files.js';

const [how, what, depthText, countText, folder] = process.argv.slice(2);
const [depth, count] = [Number(depthText), Number(countText)];
const blockBytes = what === 'read-1m' ? 1 << 20 : 4096;
const line = new Uint8Array(512);
const draw = (below) => Math.floor(Math.random() * below);
const position = () => draw(BIG_BYTES / blockBytes) * blockBytes;
const path = (name) => join(folder, name);

/** Its meaning for each of them: `open()` a worker, which answers its operation. */
const ours = async () => {
  const { openDirectory } = await import('featherstar/fs');
  const dir = await openDirectory(folder);
  const big = await dir.open('big', { flags: 'r+' });
  const read = () => {
    const bytes = new Uint8Array(blockBytes);
    return () => big.read(bytes, { position: position() });
  };
  return {
    'read-4k': read,
    'read-1m': read,
    'write-4k': () => {
      const bytes = new Uint8Array(blockBytes);
      return () => big.write(bytes, { position: position() });
    },
    'small-file': () => () => dir.readFile(`small.${draw(SMALL_FILES)}`),
    'append-sync': async (worker) => {
      const log = await dir.open(`log.${worker}`, { flags: 'a' });
      return async () => {
        await log.write(line);
        await log.sync({ dataOnly: true });
      };
    },
    replace: (worker) => () => dir.replaceFile(`state.${worker}`, line),
  };
};

const node = async () => {
  const big = await promises.open(path('big'), 'r+');
  const directory = await promises.open(folder);
  const read = () => {
    const bytes = new Uint8Array(blockBytes);
    return () => big.read(bytes, 0, blockBytes, position());
  };
  return {
    'read-4k': read,
    'read-1m': read,
    'write-4k': () => {
      const bytes = new Uint8Array(blockBytes);
      return () => big.write(bytes, 0, blockBytes, position());
    },
    'small-file': () => () => promises.readFile(path(`small.${draw(SMALL_FILES)}`)),
    'append-sync': async (worker) => {
      const log = await promises.open(path(`log.${worker}`), 'a');
      return async () => {
        await log.write(line);
        await log.datasync();
      };
    },
    replace: (worker) => async () => {
      const file = await promises.open(path(`.state.${worker}`), 'w');
      await file.write(line);
      await file.sync();
      await file.close();
      await promises.rename(path(`.state.${worker}`), path(`state.${worker}`));
      await directory.sync();
    },
  };
};

const sync = () => {
  const big = fs.openSync(path('big'), 'r+');
  const read = () => {
    const bytes = new Uint8Array(blockBytes);
    return () => fs.readSync(big, bytes, 0, blockBytes, position());
  };
  return {
    'read-4k': read,
    'read-1m': read,
    'write-4k': () => {
      const bytes = new Uint8Array(blockBytes);
      return () => fs.writeSync(big, bytes, 0, blockBytes, position());
    },
    'small-file': () => () => fs.readFileSync(path(`small.${draw(SMALL_FILES)}`)),
    'append-sync': (worker) => {
      const log = fs.openSync(path(`log.${worker}`), 'a');
      return () => {
        fs.writeSync(log, line);
        fs.fdatasyncSync(log);
      };
    },
  };
};

async function main() {
  const open = (await { ours, node, sync }[how]())[what];
  const operations = await Promise.all(Array.from({ length: depth }, (_, worker) => open(worker)));
  const work = async () => {
    let left = count;
    const run = async (operation) => {
      while (left-- > 0) await operation();
    };
    await Promise.all(operations.map(run));
  };
  await work();
  const [start, used] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(used);
  const wallNs = (performance.now() - start) * 1e6;
  process.stdout.write(`${what}.${depth} ${((user + system) * 1e3) / count}\n`);
  process.stdout.write(`${what}.${depth}.wall ${wallNs / count}\n`);
}

if (how === 'ours') {
  const { blockOn } = await import('featherstar');
  await blockOn(main);
} else {
  await main();
}
process.exit(0);
