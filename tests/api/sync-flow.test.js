// Channel and Pipe: every scenario inside every shard.

import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { scenarios } from '../support/flow-module.js';
import { hosts } from '../support/hosts.js';
import { within } from '../support/http.js';

const module = new URL('../support/flow-module.js', import.meta.url);

for (const host of hosts()) {
  for (const shards of [1, 2, 4]) {
    const test = suite(`flow (${host}, ${shards} shards)`);
    let runtime;
    test.before(async () => {
      runtime = await Runtime.start({ host, shards, module });
    });
    test.after(() => runtime.close());
    for (const name of Object.keys(scenarios)) {
      test(name, async () => {
        const runs = Array.from({ length: shards }, (_, i) => runtime.on(i).run(name));
        await within(Promise.allSettled(runs), name); // all: the next one counts timers, and none may be this one's
        assert.equal(await Promise.all(runs), Array(shards).fill('ran'));
      });
    }
    test.run();
  }
}
