// ref() and unref() of the runtime, its servers and its sockets: what keeps a process alive, and what does not.

import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts } from '../support/hosts.js';

const PROGRAM = fileURLToPath(new URL('../support/ref-program.js', import.meta.url));
const LONG_MS = 300; // a process that ends by itself has ended by then, mostly
const IS_NODE = process.versions.bun === undefined && !('Deno' in globalThis);
if (!IS_NODE) console.log('# skipped: ref() and unref(): they have an effect on Node only');

const CASES = {
  ends: [
    'nothing',
    'a runtime that is closed',
    "a server that is unref'd",
    'a server that is closed',
    "a server on another shard that is unref'd later",
    "a socket that is unref'd, with a timeout",
    'a socket whose peer ends',
  ],
  stays: [
    'a runtime',
    'a runtime that is ref again',
    'an http server',
    "a server that was unref'd before, and is ref again",
    'a server on another shard',
    'a handshake with a server that is closed',
    'a socket',
  ],
};

for (const host of IS_NODE ? hosts() : []) {
  const test = suite(`what keeps a process alive (${host})`);

  for (const what of CASES.ends) {
    test(`it ends: ${what}`, async () => {
      const program = new Program([PROGRAM, what], { FEATHERSTAR_HOST: host });
      assert.is(await program.ended(20_000), 0, program.stderr);
      assert.is(program.stdout, 'waits\nend\n');
    });
  }

  for (const what of CASES.stays) {
    test(`it stays: ${what}`, async () => {
      const program = new Program([PROGRAM, what], { FEATHERSTAR_HOST: host });
      await program.line(/waits/);
      await delay(LONG_MS);
      assert.is(program.stdout, 'waits\n');
      program.kill('SIGKILL');
      await program.ended();
    });
  }

  test.run();
}
