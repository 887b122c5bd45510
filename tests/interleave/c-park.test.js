// deadline: 300 s
// The receiver's half of the sleep protocol in C (host/native/park.h) makes the accesses that the core's exports make.
// No order of its steps loses a wake-up, and its mutants are caught. Skipped, aloud, where there is no C compiler.
//
// Next: park.c.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeMemory } from '../../dist/host/core/core.js';
import { Control } from '../../dist/host/core/layout.js';
import { SMALL } from '../support/core.js';
import { hasCompiler } from './c-build.js';
import { CPark, compilePark } from './c-park.js';
import { BOUNDS, copyOf, nameOf } from './main.js';
import { Access } from './transform.js';
import { isHeld, mutantIsCaught, mutantsOf } from './verdicts.js';

const it = hasCompiler() ? test : test.skip;
if (!hasCompiler()) console.log('# skipped: park.h: no C compiler');

/** A control block, the core over it, and park.h over it. Both report each atomic access, before they make it. */
function bench() {
  const { memory, header } = makeMemory(1, SMALL);
  const base = header.shardsOffset;
  const u32 = new Uint32Array(memory.buffer);
  let onAccess = () => {};
  const point = (address, offset, access) => {
    if ((access & Access.ATOMIC) !== 0) onAccess((address >>> 0) + offset, access);
    return address;
  };
  const imports = { env: { memory }, uring: { enter() {} }, wasi: { 'thread-spawn': () => -1 }, inter: { point } };
  const core = new WebAssembly.Instance(copyOf().module, imports).exports;
  core.boot(0, 1e9);
  const park = new CPark(compilePark('park'));
  const bytes = new Uint8Array(memory.buffer);
  const runC = (name) => {
    const log = new Int32Array(8);
    for (let logged = 0; ; logged++) {
      const stop = park.run(name, bytes, base, log, logged);
      if (stop.result !== undefined) return stop.result;
      onAccess(stop.at, stop.access);
      if ((stop.access & Access.STORE) !== 0) u32[stop.at >>> 2] = stop.value;
      else log[logged] = u32[stop.at >>> 2];
    }
  };
  // Sets the words of `state`; before access i, dirty becomes dirty[i]. Returns all that a caller or a peer sees.
  const run = (call, { dirty, isDue, ...state }) => {
    new Float64Array(memory.buffer)[(base + Control.nowNs) >>> 3] = isDue ? Number.POSITIVE_INFINITY : 1e9;
    for (const [name, value] of Object.entries(state)) u32[(base + Control[name]) >>> 2] = value;
    u32[(base + Control.sleeping) >>> 2] = 0;
    const seen = [];
    onAccess = (at, access) => {
      u32[(base + Control.dirty) >>> 2] = dirty[seen.length] ?? 0;
      seen.push([at - base, access, u32[(base + Control.sleeping) >>> 2]]);
    };
    const result = call() ?? 0;
    onAccess = () => {};
    return { result, seen, sleeping: u32[(base + Control.sleeping) >>> 2] };
  };
  return { core, runC, run };
}

it('the functions of park.h make the accesses of the exports of the core, for all that they can read', () => {
  const { core, runC, run } = bench();
  let asleep = 0;
  let total = 0;
  for (let bits = 0; bits < 128; bits++) {
    const [completionCount, moreWork, readyTail, isDue, ...dirty] = Array.from(
      { length: 7 },
      (_, i) => (bits >> i) & 1,
    );
    const state = { completionCount, moreWork, readyTail, isDue, dirty };
    for (const [name, ...args] of [['wantsTurn'], ['trySleep', 0], ['awake']]) {
      const expected = run(() => core[name](...args), state);
      const inC = run(() => runC(name), state);
      assert.equal(inC, expected, `${name} ${JSON.stringify(state)}`);
      total += expected.seen.length;
      if (name === 'trySleep') asleep += expected.result;
    }
  }
  assert.ok(asleep > 0 && total > 100, `${asleep} ${total}`);
});

const isHere = ([name, , , , park]) => name !== 'host' && park === 'c';

for (const bound of BOUNDS.filter(isHere)) it(`every interleaving: ${nameOf(bound)}`, () => isHeld(bound));

for (const mutant of mutantsOf(isHere)) it(`mutant ${mutant} is caught`, () => mutantIsCaught(mutant));

test.run();
