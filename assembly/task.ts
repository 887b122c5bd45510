// === Tasks ===
//
// Two kinds share the ready lists. A Wasm task is a function (a table index, the same in every instance) and a word of
// state; it is polled until it says that it is done. A JavaScript task is the owner's word alone: when its turn comes,
// the word goes to the host, which runs the function behind it, and the slot is free.
//
//            spawn()        next()                function answers DONE
//   FREE -----------> READY ------> RUNNING -------------------------------> FREE
//                       ^ wake()      | answers IDLE
//                       +---- IDLE <--+        wake() while RUNNING: READY again, so no wake-up is lost
//
// Waking a task twice queues it once.
//
// Next: arena.ts.

import { FULL, OK, RANGE, STALE } from './check';
import { activate, anyReady, charge, deactivate, groupList, leastServed, noteRun, startCharging } from './group';
import { control, GROUPS_MAX, header, MoreWork, shardBase, TASK_BYTES } from './layout';
import { push, shift } from './list';
import { slabGive, slabInit, slabLive, slabTake, slabUsed } from './slab';
import { counters } from './stats';

export const IDLE: u32 = 0;
const READY: u32 = 1;
const RUNNING: u32 = 2;
const WOKEN: u32 = 3; // RUNNING, and to be READY afterwards

export const POLL_IDLE: u32 = 0; // a Wasm task's answers
export const POLL_DONE: u32 = 1;
export const POLL_AGAIN: u32 = 2;

const NO_FUNCTION: u32 = 0xffffffff;
const RUNS_PER_CLOCK: u32 = 64; // Wasm tasks run between two looks at the quota

@unmanaged
class Task {
  generation: u32;
  next: u32;
  prev: u32;
  state: u32;
  group: u32;
  fn: u32; // table index, or NO_FUNCTION
  arg: u32; // Wasm: its state; JavaScript: the owner's word
}

function tasks(): usize {
  return shardBase() + header().tasksOffset;
}

function taskAt(index: u32): Task {
  return changetype<Task>(tasks() + index * TASK_BYTES);
}

export function tasksInit(): void {
  slabInit(tasks(), TASK_BYTES, header().taskSlots);
}

export function liveTasks(): u32 {
  return slabUsed(tasks());
}

function makeReady(index: u32): void {
  const task = taskAt(index);
  task.state = READY;
  push(groupList(task.group), tasks(), TASK_BYTES, index);
  activate(task.group);
  control().moreWork |= MoreWork.TASKS;
}

function spawn(group: u32, fn: u32, arg: u32): i32 {
  if (group >= GROUPS_MAX) return RANGE;
  const index = slabTake(tasks(), TASK_BYTES);
  if (index == 0) return FULL;
  const task = taskAt(index);
  task.group = group;
  task.fn = fn;
  task.arg = arg;
  makeReady(index);
  return <i32>index;
}

/** Starts a Wasm task: `fn(arg, taskIndex)` is polled until it answers POLL_DONE. Answers its slot, or FULL, RANGE. */
export function spawnWasm(group: u32, fn: u32, arg: u32): i32 {
  return spawn(group, fn, arg);
}

/** Queues a JavaScript task; next() answers `owner` when its turn comes. */
export function spawnHost(group: u32, owner: u32): i32 {
  return spawn(group, NO_FUNCTION, owner);
}

/** Makes an idle Wasm task ready. */
export function wake(index: u32, generation: u32): i32 {
  if (!slabLive(tasks(), TASK_BYTES, index, generation)) return STALE;
  const state = taskAt(index).state;
  if (state == IDLE) makeReady(index);
  else if (state == RUNNING) taskAt(index).state = WOKEN;
  return OK;
}

/** Takes a JavaScript task off the queue before its turn has come. RANGE for a Wasm task: only it can end itself. */
export function dropTask(index: u32, generation: u32): i32 {
  if (!slabLive(tasks(), TASK_BYTES, index, generation)) return STALE;
  if (taskAt(index).fn != NO_FUNCTION) return RANGE;
  taskAt(index).arg = 0; // the slot stays in the list and is skipped: owner 0 is nobody
  return OK;
}

let quotaEndNs: f64 = 0;

/** Begins a run of tasks that may last until the quota is used up. */
export function beginRun(nowNs: f64): void {
  startCharging(nowNs);
  quotaEndNs = nowNs + control().quotaNs;
}

/**
 * Runs Wasm tasks until a JavaScript task is next, and answers its owner; 0 when no task is ready or the quota is used
 * up (control.moreWork says which). The host writes control.nowNs before each call.
 */
export function next(): u32 {
  const c = control();
  charge(c.nowNs);
  for (let steps: u32 = 0; anyReady(); steps++) {
    if (c.nowNs >= quotaEndNs || steps == RUNS_PER_CLOCK) return 0;
    const group = leastServed();
    const index = shift(groupList(group), tasks(), TASK_BYTES);
    if (groupList(group).head == 0) deactivate(group);
    noteRun(group);
    counters().tasksRun++;
    const task = taskAt(index);
    if (task.fn != NO_FUNCTION) {
      poll(index, task);
      continue;
    }
    const owner = task.arg;
    slabGive(tasks(), TASK_BYTES, index);
    if (owner != 0) return owner;
  }
  charge(c.nowNs); // before time passes that is nobody's
  c.moreWork &= ~MoreWork.TASKS;
  return 0;
}

function poll(index: u32, task: Task): void {
  task.state = RUNNING;
  const answer = call_indirect<u32>(task.fn, task.arg, index);
  if (answer == POLL_DONE) slabGive(tasks(), TASK_BYTES, index);
  else if (answer == POLL_AGAIN || task.state == WOKEN) makeReady(index);
  else task.state = IDLE;
}
