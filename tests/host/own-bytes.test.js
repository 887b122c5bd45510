// Short-lived arrays of bytes are freed by scavenges, in time: V8 need not collect its whole heap for them.
//
// Next: portable.test.js.

import { execFileSync } from 'node:child_process';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { paceScavenges, received, receiveTarget, uninitialized } from '../../dist/host/base/own-bytes.js';

const OWN_BYTES = new URL('../../dist/host/base/own-bytes.js', import.meta.url).href;
const BYTES = 65_536;
const IN_USE = 16;

/** How many collections there are while `make()` makes `count` arrays, of which a few are in use at any time. */
async function collections(count, make) {
  const counts = { scavenges: 0, wholes: 0 };
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries()) {
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) counts.scavenges++;
      else if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) counts.wholes++;
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  const used = [];
  for (let i = 0; i < count; i++) {
    used[i % IN_USE] = make();
    if (i % 8 === 0) await nextTurn();
  }
  await nextTurn();
  observer.disconnect();
  return counts;
}

test("a target that came full is its reader's; one that did not is used again, and its reader has a copy", () => {
  const full = receiveTarget(BYTES);
  assert.is(received(full, BYTES), full);
  const target = receiveTarget(BYTES);
  assert.is.not(target, full);
  target.fill(1);
  const few = received(target, 10);
  assert.is(few.buffer.byteLength, 10);
  assert.is(receiveTarget(BYTES), target, 'it is warm in the cache');
  target.fill(2);
  assert.equal([...few], Array(10).fill(1));
  received(target, 10);
  assert.is(receiveTarget(BYTES / 2).length, BYTES / 2, 'of another size: a new one');
  assert.is(receiveTarget(BYTES), target);
});

test('48 MiB of arrays are enough for scavenges, before V8 counts them as too many', async () => {
  for (const make of [() => uninitialized(BYTES), () => paceScavenges(BYTES)]) {
    const { scavenges } = await collections(768, make);
    assert.ok(scavenges >= 2, `${scavenges} scavenges`);
  }
});

test('where V8 has made its space for new objects large, there is more garbage', () => {
  const program = `import v8 from 'node:v8';
    import { paceScavenges } from '${OWN_BYTES}';
    const used = () => v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_used_size;
    for (let i = 0; i < 512; i++) paceScavenges(65536); // it asks V8 meanwhile
    let garbage = 0;
    for (let i = 0; i < 128; i++) {
      const before = used();
      paceScavenges(65536);
      garbage += Math.max(0, used() - before);
    }
    console.log(garbage);`;
  const garbage = (mebibytes) => {
    const flags = [`--min-semi-space-size=${mebibytes}`, `--max-semi-space-size=${mebibytes}`];
    return Number(execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program]));
  };
  const ratio = garbage(32) / garbage(8);
  assert.ok(ratio > 3 && ratio < 5, `${ratio} times as much`);
});

// Node 20 passes without the garbage, too.
test('a gibibyte of arrays is freed by scavenges, not by collections of the whole heap', async () => {
  const program = Array.from({ length: 300_000 }, (_, i) => ({ i })); // V8 is lenient with heaps up to 8 MiB
  const { wholes } = await collections(16_384, () => uninitialized(BYTES));
  assert.ok(wholes <= 4, `${wholes} collections of the whole heap`);
  assert.is(program.length, 300_000);
});

test.run();
