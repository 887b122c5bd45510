// host/core/kernel.ts against others that have the same numbers: the core, and the system that the tests run on.

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as all from '../../dist/host/core/kernel.js';

const kernel = { ...all };
const CORE = readFileSync(new URL('../../assembly/op.ts', import.meta.url), 'utf8');

test('the core has the same opcodes and flags', () => {
  const found = [...CORE.matchAll(/^const IO(?:RING_|)(OP_\w+|SQE_\w+): u32 = (\d+);$/gm)];
  assert.ok(found.length >= 4, `${found.length}`);
  for (const [, name, value] of found) assert.is(kernel[name], Number(value), name);
});

test('errnos are those of Linux', () => {
  if (process.platform !== 'linux') return;
  for (const [name, value] of Object.entries(kernel.Errno)) assert.is(value, -constants.errno[name], name);
});

test('no two operations have one number', () => {
  const opcodes = Object.entries(kernel).filter(([name]) => name.startsWith('OP_'));
  assert.is(new Set(opcodes.map(([, opcode]) => opcode)).size, opcodes.length);
});

test.run();
