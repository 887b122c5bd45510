// The watch over calls that wait for each other (host/calls/standstill.ts). What it looks for cannot be, so it is shown
// a mutant: credit is held until the reply, as it was once. Without the watch these calls would wait for ever.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { makeMutant } from '../sim/live/mutants.js';
import { warnings } from '../support/hosts.js';
import { within } from '../support/http.js';

const CREDITS = 256;
const MODULE = 'tests/support/nested-module.js';

const test = suite('calls that wait for each other (portable)');

test('a mutant in which they do: a warning, a typed error, and others are answered again', async () => {
  const root = makeMutant('credit-until-reply', 'dist/mutants/deadlock', MODULE);
  const { Runtime } = await import(`${root}/dist/host/index.js`);
  const module = new URL(`file://${root}/${MODULE}`);
  const here = await within(Runtime.start({ host: 'portable', module, shards: 2 }), 'start');
  try {
    let ends;
    const seen = await warnings(1, async () => {
      const all = [0, 1].map((shard) => here.on(shard).callBack(2 * CREDITS));
      const innocent = here.on(1).echo('innocent');
      ends = await within(Promise.allSettled([...all, innocent]), 'all of them', 60_000);
    });
    assert.match(seen[0], /begun no call of shard \d for 3 s, though it was idle/);
    const codes = ends.slice(0, 2).map(({ reason }) => reason?.code);
    assert.ok(codes.includes('FEATHERSTAR_DEADLOCK'), codes.join());
    assert.is(await within(here.on(1).echo('after'), 'an echo'), 'after');
  } finally {
    await within(here.close({ timeoutMs: 100 }), 'close');
  }
});

test.run();
