// === Tasks ===
//
// To the core a task is one number, its owner: the host's name for a function that is to run. Each scheduling group has
// a queue of them. The core returns an owner when its turn has come, and the host calls the function. After its first
// `await` the function is a continuation of a promise. The core knows nothing of that.
//
//           spawnHost()                next()
//   FREE ----------------> queued ----------------> FREE, and the host runs the function
//
// Next: arena.ts.

import { FULL, RANGE } from './check';
import { activate, anyReady, charge, deactivate, groupList, leastServed, noteRun } from './group';
import { control, GROUPS_MAX, header, MoreWork, shardBase, TASK_BYTES } from './layout';
import { push, shift } from './list';
import { slabGive, slabInit, slabTake } from './slab';
import { counters } from './stats';

@unmanaged
class Task {
  generation: u32;
  next: u32;
  prev: u32;
  owner: u32; // the host's word, not 0
}

let quotaEndNs: f64 = 0; // when the run of tasks ends

function tasks(): usize {
  return shardBase() + header().tasksOffset;
}

export function tasksInit(): void {
  assert(TASK_BYTES >= offsetof<Task>());
  slabInit(tasks(), TASK_BYTES, header().taskSlots);
}

/** Queues a task; next() returns `owner` when its turn has come. Returns its slot, or FULL, RANGE. */
export function spawnHost(group: u32, owner: u32): i32 {
  assert(owner != 0);
  if (group >= GROUPS_MAX) return RANGE;
  const index = slabTake(tasks(), TASK_BYTES);
  if (index == 0) return FULL;
  changetype<Task>(tasks() + index * TASK_BYTES).owner = owner;
  push(groupList(group), tasks(), TASK_BYTES, index);
  activate(group);
  control().moreWork |= MoreWork.TASKS;
  assert(groupList(group).tail == index);
  return <i32>index;
}

/** The host has drained the ready ring and runs tasks now: begins a run that may last until the quota is used up. */
export function first(): u32 {
  assert(control().quotaNs >= 0);
  quotaEndNs = control().nowNs + control().quotaNs;
  return next();
}

/**
 * Returns the owner of the task that runs now; 0 when no task is ready or the quota is used up (control.moreWork says
 * which). The host writes control.nowNs before each call.
 */
export function next(): u32 {
  assert(control().nowNs >= 0);
  const c = control();
  charge(c.nowNs); // now, so that time in which no task runs is not charged to any group
  if (!anyReady()) {
    c.moreWork &= ~MoreWork.TASKS;
    return 0;
  }
  if (c.nowNs >= quotaEndNs) return 0;
  const group = leastServed();
  const index = shift(groupList(group), tasks(), TASK_BYTES);
  assert(index != 0);
  if (groupList(group).head == 0) deactivate(group);
  noteRun(group);
  counters().tasksRun++;
  const owner = changetype<Task>(tasks() + index * TASK_BYTES).owner;
  assert(owner != 0);
  slabGive(tasks(), TASK_BYTES, index);
  return owner;
}
