// === Scheduling groups: who runs next ===
//
// Start-time fair queueing in its simplest form, as in Seastar and Linux's CFS. Each group has shares and a virtual
// runtime, which grows by the time it ran, divided by its shares. The group with the least runs next. Two groups with
// shares 1 and 3 that always have work get the processor 1 : 3; one alone gets all of it.
//
// The core has no clock of its own. The host writes control.nowNs before it asks for the next task. Then the time since
// the last task is charged to the group of that task.
//
// Next: task.ts.

import { OK, RANGE } from './check';
import { GROUP_BYTES, GROUPS_MAX, header, shardBase } from './layout';
import { List } from './list';

export const SHARES_MAX: u32 = 1000;
const SHARES_DEFAULT: u32 = 100;
const NONE: u32 = GROUPS_MAX;

@unmanaged
export class Group {
  head: u32; // ready tasks: List, in place
  tail: u32;
  shares: u32;
  vruntime: f64; // ns / shares
}

let readyMask: u32 = 0; // groups with ready tasks
let running: u32 = NONE; // the group of the task that runs
let chargedNs: f64 = 0; // when it began
let floor: f64 = 0; // virtual runtime of the group that ran last: a group that was idle starts from here

export function groupAt(group: u32): Group {
  assert(group < GROUPS_MAX);
  return changetype<Group>(shardBase() + header().groupsOffset + group * GROUP_BYTES);
}

export function groupList(group: u32): List {
  return changetype<List>(changetype<usize>(groupAt(group)));
}

export function groupsInit(): void {
  assert(readyMask == 0);
  assert(running == NONE);
  for (let i: u32 = 0; i < GROUPS_MAX; i++) groupAt(i).shares = SHARES_DEFAULT;
}

/** Sets a group's shares, 1 to 1000. */
export function setShares(group: u32, shares: u32): i32 {
  if (group >= GROUPS_MAX || shares == 0 || shares > SHARES_MAX) return RANGE;
  groupAt(group).shares = shares;
  return OK;
}

/** The group has a ready task. If it had none, it starts from `floor`: idle time is not saved up. */
export function activate(group: u32): void {
  assert(group < GROUPS_MAX);
  assert(groupAt(group).head != 0);
  assert(groupAt(group).shares != 0);
  readyMask |= 1 << group;
  const g = groupAt(group);
  if (g.vruntime < floor) g.vruntime = floor;
}

export function deactivate(group: u32): void {
  assert((readyMask & (1 << group)) != 0);
  assert(groupAt(group).head == 0);
  readyMask &= ~(1 << group);
}

export function anyReady(): bool {
  return readyMask != 0;
}

/** The ready group with the least virtual runtime. The caller has seen that one is ready. */
export function leastServed(): u32 {
  assert(readyMask != 0);
  assert(readyMask >> GROUPS_MAX == 0);
  let best = ctz<u32>(readyMask);
  for (let rest = readyMask & (readyMask - 1); rest != 0; rest &= rest - 1) {
    const group = ctz<u32>(rest);
    if (groupAt(group).vruntime < groupAt(best).vruntime) best = group;
  }
  floor = groupAt(best).vruntime;
  assert(groupAt(best).head != 0);
  return best;
}

/** A task of this group runs from now on. */
export function noteRun(group: u32): void {
  assert(group < GROUPS_MAX);
  assert(running == NONE);
  running = group;
}

/** The task that ran, if one did, has ended: charges its time to its group. */
export function charge(nowNs: f64): void {
  if (running != NONE) {
    const g = groupAt(running);
    assert(g.shares != 0);
    assert(g.vruntime >= 0);
    g.vruntime += max<f64>(nowNs - chargedNs, 1) / g.shares;
    running = NONE;
  }
  chargedNs = nowNs;
}
