// deadline: 300 s
// A sample of `npm run mutate`: about one of 80 mutants of the core, each of which is killed, or excused with a reason.
//
// Next: excused.txt.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isSampled, mutate, readExcuses } from './main.js';
import { build, select } from './schemata.js';

const SHARE = 80;

test('a sample of mutants: each is killed or excused', async () => {
  const { killed, survived } = await mutate({ isKept: false, isWanted: (mutant) => isSampled(mutant, SHARE) });
  assert.equal(
    survived.map(({ name, file, line }) => `${file}:${line}: ${name}`),
    [],
    'write a test, or excuse it in excused.txt',
  );
  assert.ok(killed > 10, `${killed}`);
});

test('every excuse names a mutant, and gives a reason', async () => {
  const { mutants } = await build();
  const names = new Set(mutants.map(({ name }) => name));
  assert.is(names.size, mutants.length, 'no two have one name');
  for (const [name, reason] of readExcuses()) {
    assert.ok(names.has(name), `no such mutant: ${name}`);
    assert.ok(reason.length > 20, name);
  }
});

test('a mutant differs from the core, and number 0 is none', async () => {
  const { mutants, bytes } = await build();
  const ends = (number) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
    const imports = { env: { memory }, uring: { enter() {} }, wasi: { 'thread-spawn': () => -1 } };
    return new WebAssembly.Instance(new WebAssembly.Module(select(bytes, number)), imports).exports;
  };
  const number = 1 + mutants.findIndex(({ name }) => name.startsWith('http/chars/isDigit '));
  assert.ok(number > 0);
  assert.equal([ends(0).isToken(0x61), ends(number).mutant.value], [1, number]);
});

test('an excuse is read with all names above it', () => {
  const text = '// a comment\n\na b #1\na c #1\n  the same,\n  in two lines\nd #1\n  another\n';
  assert.equal(
    [...readExcuses(text)],
    [
      ['a b #1', 'the same, in two lines'],
      ['a c #1', 'the same, in two lines'],
      ['d #1', 'another'],
    ],
  );
});

test.run();
