// The simulator gives the results of a Linux kernel, for each of these seeds; and so does the kernel here.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Runtime } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { CASES as STREAMS } from './kernel.js';
import { CASES as ADDRESSES } from './kernel-addresses.js';

const SEEDS = 20;
const CASES = [...STREAMS, ...ADDRESSES];

for (const { name, limits, expected, run } of CASES) {
  test(`sim: ${name}`, async () => {
    const seen = new Set();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { value } = await simulate({ seed, limits }, () => run({ folder: '/', path: (file) => `/${file}` }));
      seen.add(value);
    }
    assert.equal([...seen].sort(), [...expected].sort());
  });
}

if (hosts().includes('uring')) {
  for (const { name, limits, expected, run } of CASES) {
    test(`uring: ${name}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'featherstar-kernel-'));
      const runtime = await Runtime.start({ shards: 1, host: 'uring', limits });
      try {
        const value = await run({ folder, path: (file) => join(folder, file) });
        assert.ok(expected.includes(value), `${value}, not ${expected.join(' or ')}`);
      } finally {
        await runtime.close();
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }
}

test.run();
