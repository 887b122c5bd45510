// === Intrusive lists ===
//
// A list links slots of a table by index: nothing is allocated to be on a list. Index 0 means none, so slot 0 of
// every table is never handed out. Each slot that can be linked begins with the words of Link:
//
//   +0  generation   slab.ts
//   +4  next         index of the next slot, 0 = this is the last
//   +8  prev         index of the slot before, 0 = this is the first
//
// Next: slab.ts.

@unmanaged
export class Link {
  generation: u32;
  next: u32;
  prev: u32;
}

/** Both ends of a list; zeroed memory is an empty one. */
@unmanaged
export class List {
  head: u32;
  tail: u32;
}

function link(table: usize, stride: u32, index: u32): Link {
  assert(table != 0);
  assert(index != 0);
  return changetype<Link>(table + index * stride);
}

/** Whether a slot is on this list: its neighbours, or the list's ends, lead to it. Only asserts call this. */
function isOn(list: List, table: usize, stride: u32, index: u32): bool {
  const slot = link(table, stride, index);
  const before = slot.prev != 0 ? link(table, stride, slot.prev).next : list.head;
  const behind = slot.next != 0 ? link(table, stride, slot.next).prev : list.tail;
  return before == index && behind == index;
}

/** Appends a slot that is on no list. O(1). */
export function push(list: List, table: usize, stride: u32, index: u32): void {
  assert(!isOn(list, table, stride, index));
  assert((list.head == 0) == (list.tail == 0));
  const slot = link(table, stride, index);
  const tail = list.tail; // in a local: to a compiler, any store below may change what is in memory
  slot.next = 0;
  slot.prev = tail;
  list.tail = index;
  if (tail != 0) link(table, stride, tail).next = index;
  else list.head = index;
}

/** Takes a slot out of the list it is on. O(1). */
export function remove(list: List, table: usize, stride: u32, index: u32): void {
  assert(isOn(list, table, stride, index));
  const slot = link(table, stride, index);
  const next = slot.next;
  const prev = slot.prev;
  if (prev != 0) link(table, stride, prev).next = next;
  else list.head = next;
  if (next != 0) link(table, stride, next).prev = prev;
  else list.tail = prev;
}

/** Takes the first slot off, or returns 0 for an empty list. */
export function shift(list: List, table: usize, stride: u32): u32 {
  assert((list.head == 0) == (list.tail == 0));
  const index = list.head;
  if (index != 0) remove(list, table, stride, index);
  return index;
}
