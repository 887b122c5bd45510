// Programs for search.test.js, by the query: `search-programs.js?kind=sound`.

import { existsSync, writeFileSync } from 'node:fs';
import { sleep } from 'featherstar';
import { always, note, reachable, simulate, sometimes } from 'featherstar/testing';
import { remember } from './library-with-state.js';

const kind = new URL(import.meta.url).searchParams.get('kind');

/** Adds to a counter in two tasks; `isSound`: nothing comes between the read and the write. */
const counter = (isSound) => async () => {
  let count = 0;
  const add = async () => {
    if (!isSound) {
      const before = count;
      await sleep(Math.random() * 3);
      count = before;
    }
    count++;
    note(`the count is ${count}`);
  };
  await Promise.all([add(), sleep(1 + Math.random() * 9).then(add)]);
  sometimes(Math.random() < 0.5, 'the coin shows heads');
  sometimes(false, 'the impossible');
  if (count !== 2) throw new Error(`an update is lost: the count is ${count}`);
};

const withProperty = (name, descriptor) => Object.defineProperty(new Error('odd'), name, descriptor);
const thrower = () => {
  throw new Error('cannot be read');
};

/** Values whose message or stack cannot be read, or is no text. */
const ODD_VALUES = [
  () => undefined,
  () => Symbol('odd'),
  () => Object.create(null),
  () => new Proxy({}, { get: thrower, getPrototypeOf: thrower }),
  () => withProperty('message', { get: thrower }),
  () => withProperty('message', { value: 42 }),
  () => withProperty('message', { value: undefined }),
  () => withProperty('stack', { value: { at: 1 } }),
  () => new Error('x'.repeat(10_000_000)),
];

const PROGRAMS = {
  sound: (seed) => simulate({ seed }, counter(true)),
  unsound: (seed) => simulate({ seed }, counter(false)),
  /** Fails when its library has seen five worlds. */
  'kept state': (seed) =>
    simulate({ seed }, async () => {
      if (remember() === 5) throw new Error('the library has seen too much');
    }),
  /** Each run fails. */
  'always wrong': (seed) =>
    simulate({ seed }, async () => {
      await sleep(Math.random());
      throw new Error('wrong');
    }),
  /** Ends its process, but only the first time. */
  'ends once': (seed) => {
    const path = new URL(import.meta.url).searchParams.get('mark');
    if (!existsSync(path)) {
      writeFileSync(path, '');
      process.kill(process.pid, 'SIGKILL');
    }
    return simulate({ seed }, () => {});
  },
  /** Seed 3 never ends. */
  endless: (seed) =>
    simulate({ seed, stallMs: 500 }, async () => {
      async function runaway() {
        for (;;) await undefined;
      }
      if (seed === 3) await runaway();
    }),
  /** Its property is broken with other details each time. */
  details: (seed) =>
    simulate({ seed }, async () => {
      const letter = 'abcdef'[Math.floor(Math.random() * 6)];
      await sleep(1);
      always(letter < 'c', 'the letter is small', letter);
    }),
  /** Fails only with resets. */
  'not under resets': (seed) =>
    simulate({ seed }, async (world) => {
      reachable('the program');
      note(`reset ${world.seed}`);
    }),
  /** Fails when six rare steps up have come before a step down. Each level is a state that it tells. */
  stairs: (seed) =>
    simulate({ seed }, async () => {
      let level = 0;
      for (let step = 0; step < 40; step++) {
        await sleep(1);
        if (Math.random() < 0.05) level++;
        else if (Math.random() < 0.15) level = Math.max(0, level - 1);
        for (let lower = 1; lower <= level; lower++) reachable(`level ${lower}`);
        if (level < 6) continue;
        for (let later = 0; later < 20; later++) await sleep(1);
        throw new Error('the top is reached');
      }
    }),
  'odd values': async (seed) => {
    const value = ODD_VALUES[seed % ODD_VALUES.length]();
    await simulate({ seed }, async () => {
      if (seed > ODD_VALUES.length) throw value;
    });
    throw value;
  },
  'no simulation': () => {},
  'not awaited': (seed) => {
    simulate({ seed }, counter(false)).catch(() => {});
  },
  'rejects outside': async (seed) => {
    await simulate({ seed }, counter(true));
    void Promise.reject(new Error('lost outside'));
  },
  microtask: (seed) =>
    simulate({ seed }, () => {
      queueMicrotask(() => {
        throw new Error('lost in a microtask');
      });
    }),
  exits: async (seed) => {
    await simulate({ seed }, counter(true));
    process.exit(0);
  },
  'never ends': () => new Promise(() => {}),
  /** Goes on for long, in real time. */
  long: (seed) =>
    simulate({ seed }, async () => {
      for (let turn = 0; turn < 20_000; turn++) await sleep(1);
    }),
};

export default PROGRAMS[kind];
