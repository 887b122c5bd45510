// async-mutex: a semaphore with weights; acquires time out, and are cancelled.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { Semaphore, withTimeout } = await hunted('async-mutex');
const SLOTS = 3;

export default (seed) =>
  simulate({ seed }, async (world) => {
    const semaphore = new Semaphore(SLOTS);
    const limited = withTimeout(semaphore, 30);
    let used = 0;
    let waiting = 0;
    const client = async (name) => {
      for (let round = 0; round < 4; round++) {
        await sleep(pick([1, 5, 200]));
        const weight = 1 + below(SLOTS);
        const isLimited = Math.random() < 0.5;
        let roomMs = 0;
        const check = setInterval(() => {
          roomMs = waiting === 1 && used + weight <= SLOTS ? roomMs + 10 : 0;
          always(
            roomMs < 50,
            'the only one who waits gets free slots',
            `${name} waits for ${weight}, ${used} are used`,
          );
        }, 10);
        waiting++;
        let release;
        try {
          [, release] = await (isLimited ? limited : semaphore).acquire(weight);
        } catch (error) {
          note(`${name}: ${error.message}`);
        }
        waiting--;
        clearInterval(check);
        if (release === undefined) continue;
        used += weight;
        always(used <= SLOTS, 'no more slots are used than there are');
        sometimes(used === SLOTS, 'all slots are used');
        await sleep(pick([5, 20, 100, 500]));
        used -= weight;
        release();
        if (Math.random() < 0.1) semaphore.cancel();
      }
    };
    const watcher = async () => {
      for (let round = 0; round < 6; round++) {
        await sleep(below(100));
        const weight = 1 + below(SLOTS);
        let roomMs = 0;
        const check = setInterval(() => {
          roomMs = waiting === 0 && used + weight <= SLOTS ? roomMs + 10 : 0;
          always(roomMs < 50, 'waitForUnlock() resolves when there is room', `${used} are used`);
        }, 10);
        await semaphore.waitForUnlock(weight);
        clearInterval(check);
      }
    };
    await world.within(60_000, 'all', Promise.all([...['a', 'b', 'c'].map(client), watcher()]));
    always(semaphore.getValue() === SLOTS, 'all slots are free in the end', semaphore.getValue());
  });
