// The core with its insides turned out, for tests alone: slabs, lists and rings as exports, and Wasm tasks to spawn.
//
// A task's `arg` is the address of a script of five words, which a test writes:
//   +0 runs so far | +4 what to answer | +8 how often to wake itself while it runs | +12 ns by which the clock goes on
//   +16 its own generation
//
// References to functions are static data (at the bottom of memory, which nothing uses), so this module is no model for
// the core's own files.

import { control } from '../../assembly/layout';
// biome-ignore lint/style/useImportType: AssemblyScript knows no type imports
import { List, push, remove, shift } from '../../assembly/list';
import { wake } from '../../assembly/task';

export * from '../../assembly/index';
export { slabGive, slabInit, slabLive, slabTake, slabUsed } from '../../assembly/slab';
export {
  available,
  claim,
  countBegun,
  giveCredit,
  hasCredit,
  publish,
  release,
  setWaiting,
  stage,
  take,
  takeCredit,
  takeWaiting,
} from '../../assembly/spsc';

export function pushAt(list: usize, table: usize, stride: u32, index: u32): void {
  push(changetype<List>(list), table, stride, index);
}

export function removeAt(list: usize, table: usize, stride: u32, index: u32): void {
  remove(changetype<List>(list), table, stride, index);
}

export function shiftAt(list: usize, table: usize, stride: u32): u32 {
  return shift(changetype<List>(list), table, stride);
}

function scripted(arg: u32, index: u32): u32 {
  store<u32>(arg, load<u32>(arg) + 1);
  const generation = load<u32>(arg + 16);
  for (let i: u32 = 0; i < load<u32>(arg + 8); i++) wake(index, generation);
  control().nowNs += <f64>load<u32>(arg + 12);
  return load<u32>(arg + 4);
}

/** The table index of the scripted task. */
export function scriptedIndex(): u32 {
  return scripted.index;
}
