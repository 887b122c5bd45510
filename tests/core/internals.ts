// The core with its insides turned out, for tests alone: slabs, lists and rings as exports.

// biome-ignore lint/style/useImportType: AssemblyScript knows no type imports
import { List, push, remove, shift } from '../../assembly/list';

export { arenaFits, arenaHolders, arenaPeerDown, arenaSend, arenaTake } from '../../assembly/arena';
export { activate } from '../../assembly/group';
export { isToken } from '../../assembly/http/chars';
export { applyField } from '../../assembly/http/fields';
export { isTarget } from '../../assembly/http/target';
export * from '../../assembly/index';
export { nudge } from '../../assembly/park';
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
export { unmask } from '../../assembly/websocket/mask';

export function pushAt(list: usize, table: usize, stride: u32, index: u32): void {
  push(changetype<List>(list), table, stride, index);
}

export function removeAt(list: usize, table: usize, stride: u32, index: u32): void {
  remove(changetype<List>(list), table, stride, index);
}

export function shiftAt(list: usize, table: usize, stride: u32): u32 {
  return shift(changetype<List>(list), table, stride);
}
