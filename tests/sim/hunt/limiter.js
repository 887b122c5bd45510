// limiter: callers in the queue, and one that does not wait, remove tokens at random times.

import { setTimeout as sleep } from 'node:timers/promises';
import { always, note, simulate, sometimes } from 'featherstar/testing';
import { below, hunted, pick } from './hunted.js';

const { RateLimiter } = await hunted('limiter');
const INTERVAL_MS = 1000;

export default (seed) =>
  simulate({ seed }, async (world) => {
    const tokens = 2 + below(4);
    const limiter = new RateLimiter({ tokensPerInterval: tokens, interval: INTERVAL_MS });
    let startMs = limiter.curIntervalStart;
    let used = 0;
    let asked = 0;
    let served = 0;
    const take = (count) => {
      if (limiter.curIntervalStart !== startMs) [startMs, used] = [limiter.curIntervalStart, 0];
      used += count;
      note(`${count} tokens, ${used} of ${tokens} in this interval`);
      sometimes(used === tokens, 'an interval is used up');
      always(used <= tokens, 'an interval has at most tokensPerInterval', { used, tokens });
    };
    const caller = async () => {
      for (let i = 0; i < 5; i++) {
        const count = 1 + below(tokens);
        if (Math.random() < 0.3) {
          if (limiter.tryRemoveTokens(count)) take(count);
        } else {
          const number = asked++;
          await limiter.removeTokens(count);
          always(number === served++, 'waiting calls are served in order', { number, served });
          take(count);
        }
        await sleep(pick([0, 10, 400, 2000]));
      }
    };
    await world.within(300_000, 'all calls', Promise.all([caller(), caller(), caller()]));
  });
