// Listeners and servers that were closed: the runtime forgets them, however many there were.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { serve } from 'featherstar/http';
import { listen } from 'featherstar/net';
import * as assert from 'uvu/assert';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until } from '../support/http.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');
const HERE = { hostname: '127.0.0.1' };
const OPENERS = {
  'listen()': () => listen(HERE),
  'serve()': () => serve({ ...HERE, fetch: () => new Response('here') }),
};

for (const host of hosts()) {
  const { check, run } = oneShardSuite('closed', host);
  for (const [name, open] of Object.entries(OPENERS)) {
    check(`${name}: what was closed is collected`, async () => {
      const closed = [];
      for (let i = 0; i < 5; i++) {
        const opened = await open();
        closed.push(new WeakRef(opened));
        await opened.close();
      }
      const left = () => {
        collect();
        const early = closed.slice(0, -1); // the last one may be in a register
        return early.filter((ref) => ref.deref() !== undefined).length;
      };
      await until(() => left() === 0, 'all are collected').catch(() => undefined);
      assert.is(left(), 0);
    });
  }
  run();
}
