// === One shard: a turn ===
//
// `turn()` handles all that has arrived, stages what is to go out, and returns. It never waits. The host calls it when
// wantsTurn() is true, and may sleep when trySleep() is (park.ts).
//
//   1 completions   window > op.ts > ready ring
//   2 mail          rings of peers whose dirty bit is set > mesh.ts > ready ring
//   3 timers        wheel.ts > ready ring
//   4 publish       messages to peers; then the deadline of the next turn
//
// Then the host drains the ready ring, calls flush(), and asks task.ts for tasks. ARCHITECTURE.md has the whole round.

import { arenaInit } from './arena';
import { groupsInit } from './group';
import { bind, control, header, MoreWork, ReadyKind, ShardState, shardIndex, stateAddress } from './layout';
import { flushMesh, takeMail } from './mesh';
import { opsInit, pushReady, readyRoom, settleQuiet, takeCompletions } from './op';
import { counters } from './stats';
import { tasksInit } from './task';
import { expire, insert, nextDeadlineNs, nextDue, TICK_NS, timerAt, wheelInit } from './wheel';

/** Makes this instance shard `shard`. Its block of memory is zero, and header and clock are set. */
export function boot(shard: u32, nowNs: f64): void {
  assert(shard < header().shardCount);
  assert(nowNs >= 0);
  assert(load<u32>(stateAddress(shard)) != ShardState.RUNNING);
  bind(shard);
  assert(control().submitCount == 0);
  assert(control().readyTail == control().readyHead);
  control().nowNs = nowNs;
  control().nextDeadlineNs = Infinity;
  opsInit();
  wheelInit(nowNs);
  tasksInit();
  groupsInit();
  arenaInit();
  atomic.store<u32>(stateAddress(shard), ShardState.RUNNING);
}

/** Stops this shard: peers that call it get PEER_DOWN from now on. */
export function stop(): void {
  assert(load<u32>(stateAddress(shardIndex())) == ShardState.RUNNING);
  atomic.store<u32>(stateAddress(shardIndex()), ShardState.STOPPED);
}

function fireTimers(nowNs: f64): void {
  assert(nowNs >= 0);
  for (;;) {
    const index = nextDue(nowNs);
    if (index == 0) return;
    if (readyRoom() == 0) {
      control().moreWork |= MoreWork.BLOCKED;
      return;
    }
    const timer = timerAt(index);
    assert(<f64>timer.tick * TICK_NS <= nowNs + TICK_NS);
    pushReady(ReadyKind.TIMER | (timer.kind << 8), timer.owner, 0, 0);
    expire(index);
    counters().timersFired++;
  }
}

/** Takes one turn. Returns the number of entries in the ready ring. */
export function turn(): u32 {
  assert(control().completionCount <= header().cqeSlots);
  assert(control().readyTail - control().readyHead <= header().readySlots);
  const c = control();
  counters().turns++;
  c.moreWork &= ~MoreWork.BLOCKED;
  if (readyRoom() >= c.completionCount) {
    const all = c.submitOnly == 0 && c.completionCount < header().cqeSlots; // else some are still in the kernel's ring
    takeCompletions();
    settleQuiet(all);
    c.submitOnly = 0;
  } else {
    c.submitOnly = 1; // the host has not drained the ready ring (a handler threw): keep the window as it is
    c.moreWork |= MoreWork.BLOCKED;
  }
  takeMail();
  fireTimers(c.nowNs);
  flushMesh();
  c.nextDeadlineNs = nextDeadlineNs();
  assert(c.nextDeadlineNs >= 0);
  return c.readyTail - c.readyHead;
}

/** Arms a timer. Returns its slot, or FULL, RANGE; see wheel.ts. */
export function armTimer(deadlineNs: f64, kind: u32, owner: u32): i32 {
  assert(control().nextDeadlineNs >= 0);
  const index = insert(deadlineNs, kind, owner);
  const c = control();
  if (index > 0 && deadlineNs < c.nextDeadlineNs) c.nextDeadlineNs = deadlineNs; // the host may be about to sleep
  return index;
}
