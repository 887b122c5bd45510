// The turn of hosts without a kernel: in which order it asks the core, and what it does with the answers. The order is
// the one that tests/interleave/scenario.js explores as `core`.
//
// Next: portable.test.js.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEFAULT_LIMITS, makeMemory } from '../../dist/host/core/core.js';
import { Control } from '../../dist/host/core/layout.js';
import { PortableWindow } from '../../dist/host/hosts/portable-window.js';
import { HostTurn } from '../../dist/host/hosts/turn.js';

/** A turn over a core that says what it is told to, and a list of what was called. */
function rig(says) {
  const { memory, blocks, header } = makeMemory(1, DEFAULT_LIMITS);
  const windows = { memory, blocks, header, base: header.shardsOffset, shard: 0 };
  const window = new PortableWindow(windows, () => {});
  const calls = [];
  const control = new Int32Array(memory.buffer, windows.base, 128);
  const turn = new HostTurn(
    windows,
    window,
    (count) => calls.push(`take ${count}`),
    () => {
      calls.push('clock');
      return 7e9;
    },
  );
  const core = {
    awake: () => void calls.push('awake'),
    wantsTurn() {
      calls.push('wantsTurn');
      return says.wantsTurn;
    },
    trySleep(isBusy) {
      calls.push(`trySleep ${isBusy}`);
      return says.trySleep;
    },
  };
  turn.start(() => calls.push('turn'), core);
  return { turn, calls, control, window, clock: new Float64Array(memory.buffer, windows.base, 64) };
}

test('begin(): awake, enter, then the turn, if the core wants one', () => {
  for (const wantsTurn of [0, 1]) {
    const { turn, calls, control, clock } = rig({ wantsTurn });
    control[Control.submitCount >> 2] = 3;
    assert.is(turn.begin(), 0);
    assert.equal(calls, ['awake', 'take 3', 'clock', 'wantsTurn', ...(wantsTurn ? ['turn'] : [])]);
    assert.equal([control[Control.submitCount >> 2], clock[Control.nowNs >> 3]], [0, 7e9]);
  }
});

test('settle(): enters if something is staged, then asks whether it may sleep, and counts sleeps', () => {
  for (const trySleep of [0, 1]) {
    const { turn, calls, control, clock } = rig({ trySleep });
    assert.is(turn.settle(), trySleep === 1);
    assert.equal(calls, ['trySleep 0']);
    control[Control.submitCount >> 2] = 1;
    assert.is(turn.settle(), trySleep === 1);
    assert.equal(calls.slice(1), ['take 1', 'clock', 'trySleep 0']);
    assert.is(clock[Control.sleepCount >> 3], 2 * trySleep);
  }
});

test('settle() tells the core of completions that are not in the window yet', () => {
  const { turn, calls, window } = rig({ trySleep: 0 });
  window.post(1, 0, 0, 0);
  assert.not(turn.settle());
  assert.equal(calls, ['trySleep 1']);
});

test.run();
