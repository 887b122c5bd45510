// cockatiel: a bulkhead with a queue; calls are cancelled while they wait.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { bulkhead, BulkheadRejectedError } = await hunted('cockatiel');
const SLOTS = 1;
const QUEUE = 2;

export default (seed) =>
  simulate({ seed }, async (world) => {
    const policy = bulkhead(SLOTS, QUEUE);
    let running = 0;
    const call = async (name) => {
      const controller = new AbortController();
      const isCancelled = Math.random() < 0.3;
      let hasBegun = false;
      let roomMs = 0;
      const check = setInterval(() => {
        roomMs = !hasBegun && running < SLOTS ? roomMs + 5 : 0;
        always(roomMs < 50, 'an accepted call begins when a slot is free', name);
      }, 5);
      if (isCancelled) setTimeout(() => controller.abort(), below(40));
      const isAccepted = policy.executionSlots > 0 || policy.queueSlots > 0;
      const run = async () => {
        hasBegun = true;
        running++;
        always(running <= SLOTS, 'no more calls run than there are slots');
        await sleep(pick([1, 5, 20]));
        running--;
      };
      try {
        await policy.execute(run, controller.signal);
      } catch (error) {
        note(`${name}: ${error.message}`);
        const isRejected = error instanceof BulkheadRejectedError;
        sometimes(isRejected, 'the queue is full');
        always(!(isRejected && isAccepted), 'an accepted call is not rejected later', name);
      }
      clearInterval(check);
    };
    const client = async (name) => {
      for (let round = 0; round < 4; round++) {
        await sleep(pick([0, 5, 30, 300]));
        await world.within(10_000, `call ${name}`, call(`${name}${round}`));
      }
    };
    await Promise.all(['a', 'b', 'c', 'd'].map(client));
  });
