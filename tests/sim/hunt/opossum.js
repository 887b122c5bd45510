// opossum, a circuit breaker: calls fail, take too long, or succeed; the breaker warms up, opens, and is shut down.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { default: CircuitBreaker } = await hunted('opossum');
const RESET_MS = 100;

function breakerOf(action) {
  return new CircuitBreaker(action, {
    timeout: 40,
    resetTimeout: RESET_MS,
    rollingCountTimeout: 1000,
    allowWarmUp: Math.random() < 0.3,
    capacity: pick([1, 2, undefined]),
    coalesce: Math.random() < 0.3,
    coalesceResetOn: ['error', 'timeout'],
    coalesceTTL: 50_000,
  });
}

export default (seed) =>
  simulate({ seed }, async (world) => {
    let failing = 0.6;
    let calls = 0;
    const breaker = breakerOf(async () => {
      calls++;
      await sleep(pick([1, 20, 60]));
      if (Math.random() < failing) throw new Error('refused');
      return 'reply';
    });
    for (const name of ['open', 'halfOpen', 'close', 'shutdown']) breaker.on(name, () => note(name));
    const client = async () => {
      for (let round = 0; round < 6; round++) {
        await sleep(below(60));
        if (Math.random() < 0.05 && !breaker.isShutdown) breaker.open();
        await breaker.fire().catch(({ code, message }) => note(`fire() rejects: ${code ?? message}`));
      }
    };
    const isShutDown = Math.random() < 0.3;
    const clients = Promise.all([client(), client(), client()]);
    if (isShutDown) {
      await sleep(below(300));
      breaker.shutdown();
      await world.within(10_000, 'all calls', clients);
      const before = calls;
      await breaker.fire().catch(({ code, message }) => note(`fire() rejects: ${code ?? message}`));
      always(calls === before, 'after shutdown() no call reaches the action');
      return;
    }
    await world.within(10_000, 'all calls', clients);
    // The service is well again.
    failing = 0;
    let isWell = false;
    for (let round = 0; round < 20 && !isWell; round++) {
      await sleep(2 * RESET_MS);
      isWell = await breaker.fire().then(
        () => true,
        () => false,
      );
    }
    sometimes(isWell, 'the breaker lets calls through again');
    always(isWell, 'when the service is well, the breaker closes', breaker.toJSON().state);
  });
