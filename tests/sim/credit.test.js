// core: debug
// Credit comes back, whatever becomes of the calls that took it: here, when they are aborted and their peer dies before
// it has begun them. tests/mutate has no mutant for this: the rings of a dead peer are the host's to clear.
//
// Next: failures.test.js.

import { runtime, sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const module = new URL('./module.js', import.meta.url);
const SEEDS = 20;

for (const isAborted of [true, false]) {
  for (const creditCount of [1, 3]) {
    test(`${creditCount} credits of ${isAborted ? 'aborted' : 'open'} calls outlive their peer`, async () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const { value } = await simulate({ seed, shards: 2, module, limits: { creditCount } }, async (world) => {
          await runtime().on(1).add(1);
          world.freeze(1, 60_000); // takes no mail, so it begins no call
          const controller = new AbortController();
          const given = isAborted ? { signal: controller.signal } : {};
          const open = Array.from({ length: creditCount + 2 }, () => runtime().on(1).with(given).add(1));
          const ended = Promise.allSettled(open);
          await sleep(5);
          if (isAborted) controller.abort();
          world.kill(1);
          await world.restart(1);
          const call = () => runtime().on(1).with({ timeoutMs: 5000 }).add(1);
          const again = Array.from({ length: creditCount + 2 }, call);
          return [
            (await ended).map(({ reason }) => (isAborted ? reason.name : reason.code)),
            (await Promise.all(again)).at(-1),
          ];
        });
        const why = isAborted ? 'AbortError' : 'FEATHERSTAR_PEER_DOWN';
        assert.equal(value, [Array.from({ length: creditCount + 2 }, () => why), creditCount + 2]);
      }
    });
  }
}

test.run();
