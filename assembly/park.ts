// === Sleeping and waking ===
//
// Two words per shard, each on a line of its own (layout.ts, Control):
//
//   sleeping   0 awake | 1 asleep, or about to be | 2 asleep, and a doorbell is on its way
//   dirty      bit i: shard i has put mail into our ring, or made room in a ring that we found full
//
//   sender                                  receiver
//   S1  publish tail (or head)              R1  sleeping = 1
//   S2  dirty |= my bit                     R2  look at dirty; if it is not 0: sleeping = 0, take a turn
//   S3  look at sleeping; if it is 1:       R3  sleep in the kernel
//       make it 2 and ring the doorbell     R4  sleeping = 0, take a turn
//
// Why no wake-up is lost. All accesses to `sleeping` and `dirty` are sequentially consistent: one order for both sides.
// If S2 comes before R2, the receiver sees the bit and does not sleep. Otherwise R1, R2, S2, S3 come in this order,
// and the sender rings. It may ring between R2 and R3: the doorbell is a completion, and an enter that finds a
// completion does not sleep.
// This is Dekker's argument. With release and acquire alone both sides could read the old values.
//
// The receiver takes the bit first and reads the ring after that. So if S2 finds the bit set, the receiver has yet to
// read the ring, and the sender may skip the read-modify-write. Of several senders only the one that turns 1 into 2
// rings.
//
// Hosts (turn.ts, pump.ts) call wantsTurn(), trySleep() and awake(). In C they are in host/native/park.h. Tests
// (tests/interleave) run both through every order of steps, and with store buffers. Next: op.ts.

import { Control, control, header, shardBaseOf, shardIndex, SHARDS_MAX } from './layout';
import { counters } from './stats';

const SLEEPING: usize = 128; // offsetof<Control>('sleeping')
const DIRTY: usize = 192; // offsetof<Control>('dirty')

/** Tells a peer that there is something for it. True if it sleeps and the caller must ring its doorbell. */
export function nudge(peer: u32): bool {
  assert(peer != shardIndex());
  assert(offsetof<Control>('sleeping') == SLEEPING);
  const at = shardBaseOf(peer);
  const bit = (<u64>1) << shardIndex();
  if ((atomic.load<u64>(at + DIRTY) & bit) == 0) atomic.or<u64>(at + DIRTY, bit); // pairs with takeDirty()
  if (atomic.load<u32>(at + SLEEPING) != 1) return false; // pairs with trySleep()
  if (atomic.cmpxchg<u32>(at + SLEEPING, 1, 2) != 1) return false;
  counters().doorbells++;
  return true;
}

/** The peers that have something for us; their bits are taken. */
export function takeDirty(): u64 {
  assert(offsetof<Control>('dirty') == DIRTY);
  const at = changetype<usize>(control()) + DIRTY;
  return atomic.load<u64>(at) == 0 ? 0 : atomic.xchg<u64>(at, 0); // pairs with nudge()
}

/** Sets the bits of peers whose mail could not all be taken, so that the next turn looks again. */
export function putDirty(mask: u64): void {
  assert(mask >> header().shardCount == 0 || header().shardCount == SHARDS_MAX);
  assert((mask & ((<u64>1) << shardIndex())) == 0);
  if (mask != 0) atomic.or<u64>(changetype<usize>(control()) + DIRTY, mask);
}

function isDirty(): bool {
  return atomic.load<u64>(changetype<usize>(control()) + DIRTY) != 0;
}

/** Only looks: a bit that is taken between "I sleep" and sleeping would be lost. */
function hasWork(): bool {
  const c = control();
  assert(c.completionCount <= header().cqeSlots);
  assert(c.readyTail - c.readyHead <= header().readySlots);
  return c.completionCount != 0 || c.moreWork != 0 || c.readyTail != c.readyHead || isDirty();
}

/** Whether the host should call turn() now. */
export function wantsTurn(): bool {
  assert(control().nextDeadlineNs >= 0);
  assert(control().nowNs >= 0);
  return control().nowNs >= control().nextDeadlineNs || hasWork();
}

/** R1 and R2. True: the host may sleep, and calls awake() afterwards. `busy`: it has work that only it can see. */
export function trySleep(busy: bool): bool {
  if (busy || hasWork()) return false; // not R2: it only spares peers a doorbell
  const at = changetype<usize>(control()) + SLEEPING;
  atomic.store<u32>(at, 1);
  if (!isDirty()) return true;
  atomic.store<u32>(at, 0);
  return false;
}

export function awake(): void {
  atomic.store<u32>(changetype<usize>(control()) + SLEEPING, 0);
}
