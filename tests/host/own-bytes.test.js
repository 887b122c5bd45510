// Short-lived arrays of bytes are freed by scavenges, in time: V8 need not collect its whole heap for them.
//
// Next: portable.test.js.

import { execFileSync } from 'node:child_process';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { received, receiveTarget, uninitialized } from '../../dist/host/base/own-bytes.js';
import { paceScavenges } from '../../dist/host/base/scavenges.js';

const SCAVENGES = new URL('../../dist/host/base/scavenges.js', import.meta.url).href;
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

/** Paces 224 MiB of arrays in a process whose space for new objects has `mebibytes`, and tells what that brought. */
function paced(mebibytes, moreFlags = [], before = '') {
  const program = `import v8 from 'node:v8';
    import vm from 'node:vm';
    import { constants, PerformanceObserver } from 'node:perf_hooks';
    import { setImmediate as nextTurn } from 'node:timers/promises';
    import { paceScavenges } from '${SCAVENGES}';
    const used = () => v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_used_size;
    const garbageOf = (pieces) => {
      let garbage = 0;
      for (let i = 0; i < pieces; i++) {
        const before = used();
        paceScavenges(${BYTES});
        garbage += Math.max(0, used() - before);
      }
      return garbage;
    };
    const { runInNewContext } = vm;
    ${before};
    let scavenges = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) scavenges++;
    });
    observer.observe({ entryTypes: ['gc'] });
    for (let i = 0; i < 1024; i++) paceScavenges(${BYTES}); // it asks V8 meanwhile
    const garbage = garbageOf(128);
    for (let i = 0; i < 2560; i++) paceScavenges(${BYTES});
    for (let i = 0; i < 5; i++) await nextTurn(); // then the observer has been told
    console.log(JSON.stringify({ garbage, scavenges, gc: typeof runInNewContext('globalThis.gc') }));
    process.exit();`;
  const flags = [`--min-semi-space-size=${mebibytes}`, `--max-semi-space-size=${mebibytes}`, ...moreFlags];
  return JSON.parse(execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program]));
}

test('where V8 has made its space for new objects larger, there is more garbage', () => {
  const ratio = paced(8).garbage / paced(4).garbage;
  assert.ok(ratio > 1.5 && ratio < 2.5, `${ratio} times as much`);
});

test('where that space is large, V8 is asked for scavenges, and no garbage is made', () => {
  for (const [flags, gc] of [
    [[], 'undefined'],
    [['--expose-gc'], 'function'],
  ]) {
    const result = paced(32, flags);
    assert.ok(result.garbage < 1_000_000, `${result.garbage} bytes of garbage`);
    assert.ok(result.scavenges >= 20 && result.scavenges <= 50, `${result.scavenges} scavenges`);
    assert.is(result.gc, gc, 'the flag is as it was');
  }
});

test('where gc() cannot be had, garbage is made', () => {
  for (const name of ['vm.runInNewContext', 'v8.setFlagsFromString']) {
    const result = paced(32, [], `${name} = () => { throw new Error('refused'); }`);
    assert.ok(result.garbage > 10_000_000, `${result.garbage} bytes of garbage`);
    assert.ok(result.scavenges >= 2, `${result.scavenges} scavenges`);
    assert.is(result.gc, 'undefined');
  }
});

// Node 20 passes without the garbage, too.
test('a gibibyte of arrays is freed by scavenges, not by collections of the whole heap', async () => {
  const program = Array.from({ length: 300_000 }, (_, i) => ({ i })); // V8 is lenient with heaps up to 8 MiB
  const { wholes } = await collections(16_384, () => uninitialized(BYTES));
  assert.ok(wholes <= 4, `${wholes} collections of the whole heap`);
  assert.is(program.length, 300_000);
});

test.run();
