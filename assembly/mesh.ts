// === The mesh: messages between shards ===
//
// A call is two messages, a request and its reply. There is one ring (spsc.ts) for each ordered pair of shards. A host
// writes a message at header.outgoingOffset and calls post(); the peer's host finds it in its inbox:
//
//   caller's host                                                          callee's host
//   post(REQUEST) ------ ring caller>callee ------> ReadyKind.MAIL: begins the function
//                        <----- begun + 1 --------- flush(): the credit is back
//                                                   ... the function runs, as long as it likes ...
//   ReadyKind.MAIL <---- ring callee>caller ------- post(REPLY)
//
//   message, 64 bytes: written by the sender's host, copied to the ring, and from there into the peer's inbox
//     +0 kind u8 | +1 status u8 | +2 method u16 | +4 caller's slot | +8 number of the call
//     +12 payload bytes | +16 payload address in the sender's arena, or 0: it lies inline
//     +24 .. +63  40 bytes inline
//
// Bounds. A ring has ringSlots messages. A host holds the requests that it cannot begin yet. Of both together, at most
// creditCount are requests: a credit goes out with a request and comes back when its function has begun. The arena has
// arenaBytes. A message without a slot, a credit or room in the arena stays in the sender's host, in order. That is the
// backpressure. Calls in progress are not bounded here: they cost the core nothing (limits.callSlots).
//
// Why nothing waits for ever. Suppose credit were held until the reply. Then a function that calls back waits for the
// credit of its own caller. With 256 such calls on each side, all of them wait for ever. So no resource of this file
// is held while a function runs:
//   - Taking in needs only the ready ring, and the host drains that in each turn. So every ring is emptied by every
//     turn of its consumer, and every slot comes back.
//   - The host begins a request as it drains it, or holds it until its module is loaded, which needs replies but no
//     credit of ours. So every credit comes back.
//   - The host copies a payload as it drains its message. So every block of the arena comes back.
// Each of the three needs one turn of the peer and nothing else. The peer takes that turn: mail has set its dirty bit,
// so it does not sleep (park.ts). How many calls are in progress, how deep and in which direction, plays no part in
// this.
//
// How a refused sender learns of room. post() returns a code and remembers the peer. flushMesh() sets `waiting` in the
// ring and looks once more. The consumer moves head and begun, and then looks at `waiting`, and sets our dirty bit
// (spsc.ts). Our next turn looks again, and tells the host with a ROOM entry as soon as there is room.
//
// Next: park.ts.

import { FULL, NO_CREDIT, OK, PEER_DOWN, RANGE } from './check';
import { arenaFits, arenaHolders, arenaPeerDown, arenaSend, arenaTake } from './arena';
import { control, header, INLINE_BYTES, MESH, MESSAGE_BYTES, MoreWork, ReadyKind } from './layout';
import { ShardState, shardBase, shardIndex, stateAddress } from './layout';
import { pushReady, readyRoom, ringDoorbell } from './op';
import { nudge, putDirty, takeDirty } from './park';
import { available, claim, countBegun, giveCredit, hasCredit, publish, release } from './spsc';
import { setWaiting, stage, take, takeCredit, takeWaiting } from './spsc';
import { counters } from './stats';

const REQUEST: u32 = 1; // needs a credit
const BATCH: u32 = 16; // messages written before they are published in mid-turn

@unmanaged
export class Message {
  kind: u8;
  status: u8;
  method: u16;
  caller: u32;
  number: u32;
  payloadBytes: u32;
  payload: u32;
}

// Sets of peers, a bit each.
let touched: u64 = 0; // have messages that are not published yet
let owed: u64 = 0; // we took messages of theirs since the last flush(): they may wait for room, credit or the arena
let wantRoom: u64 = 0; // post() was refused for want of a slot
let wantCredit: u64 = 0; // post() was refused for want of credit
let wantArena: u32 = 0; // bytes for which the arena had no room; 0 = none wait

function bit(peer: u32): u64 {
  assert(peer < header().shardCount);
  return (<u64>1) << peer;
}

function ringOf(from: u32, to: u32): usize {
  assert(from != to);
  assert(from < header().shardCount);
  assert(to < header().shardCount);
  return MESH + (from * header().shardCount + to) * header().ringBytes;
}

function ringTo(peer: u32): usize {
  return ringOf(shardIndex(), peer);
}

function ringFrom(peer: u32): usize {
  return ringOf(peer, shardIndex());
}

/** Whether a payload lies in this shard's arena. Only asserts call this. */
function isOwn(payload: usize): bool {
  const start = shardBase() + header().arenaOffset;
  return payload > start && payload < start + header().arenaBytes;
}

function copyMessage(to: usize, from: usize): void {
  assert(((to | from) & 15) == 0);
  assert(to != from);
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
}

// --- sending --------------------------------------------------------------------------------------------------------

/** Whether a message of this kind may go now: OK; FULL, NO_CREDIT: a ROOM entry will follow; PEER_DOWN; RANGE. */
export function mayPost(peer: u32, kind: u32): i32 {
  if (peer >= header().shardCount || peer == shardIndex()) return RANGE;
  if (atomic.load<u32>(stateAddress(peer)) != ShardState.RUNNING) return PEER_DOWN;
  const ring = ringTo(peer);
  const credit = kind != REQUEST || hasCredit(ring, header().creditCount);
  if (credit && claim(ring, header().ringSlots) != 0) return OK;
  control().moreWork |= MoreWork.MAIL; // flushMesh() must run before this shard sleeps
  if (credit) {
    counters().ringFull++;
    wantRoom |= bit(peer);
    return FULL;
  }
  counters().creditRefused++;
  wantCredit |= bit(peer);
  return NO_CREDIT;
}

/** Sends the message that the host has written at header.outgoingOffset. Results as of mayPost(). */
export function post(peer: u32): i32 {
  const at = shardBase() + header().outgoingOffset;
  const message = changetype<Message>(at);
  const kind = <u32>message.kind;
  assert(message.payload != 0 || message.payloadBytes <= INLINE_BYTES);
  assert(message.payload == 0 || isOwn(message.payload));
  const may = mayPost(peer, kind);
  if (may != OK) return may;
  const ring = ringTo(peer);
  assert(claim(ring, header().ringSlots) != 0);
  copyMessage(claim(ring, header().ringSlots), at);
  const unpublished = stage(ring);
  if (message.payload != 0) arenaSend(message.payload, peer);
  if (kind == REQUEST) {
    takeCredit(ring);
    counters().requestsSent++;
  } else counters().repliesSent++;
  touched |= bit(peer);
  if (unpublished == BATCH) show(peer);
  control().moreWork |= MoreWork.MAIL; // so that the next turn comes at once, if this one has ended
  return OK;
}

/** Room for a payload: its address, or 0; then a ROOM entry with our own index will follow. */
export function payloadTake(bytes: u32): usize {
  const at = arenaTake(bytes);
  if (at != 0) return at;
  if (wantArena == 0 || bytes < wantArena) wantArena = bytes;
  control().moreWork |= MoreWork.MAIL;
  return 0;
}

function wake(peer: u32): void {
  assert(peer != shardIndex());
  if (nudge(peer)) ringDoorbell(peer);
}

/** Publishes what was written for a peer, and wakes it if it sleeps. */
function show(peer: u32): void {
  assert((touched & bit(peer)) != 0);
  touched &= ~bit(peer);
  publish(ringTo(peer));
  wake(peer);
}

function mayGo(peer: u32): bool {
  const ring = ringTo(peer);
  if (claim(ring, header().ringSlots) == 0) return false;
  return (wantRoom & bit(peer)) != 0 || hasCredit(ring, header().creditCount);
}

/** If a peer has room now, tells the host. If not, asks the peer to wake us when it has. */
function tellRoom(peer: u32): void {
  assert(((wantRoom | wantCredit) & bit(peer)) != 0);
  if (!mayGo(peer)) {
    setWaiting(ringTo(peer)); // and then look again: the peer may have made room in between
    if (!mayGo(peer)) return;
  }
  if (!pushRoom(peer)) return;
  wantRoom &= ~bit(peer);
  wantCredit &= ~bit(peer);
}

/** Like tellRoom(), for the arena: any peer that has not read a block of it can make room. */
function tellArena(): void {
  assert(wantArena != 0);
  if (!arenaFits(wantArena)) {
    for (let rest = arenaHolders(); rest != 0; rest &= rest - 1) setWaiting(ringTo(<u32>ctz<u64>(rest)));
    if (!arenaFits(wantArena)) return;
  }
  if (pushRoom(shardIndex())) wantArena = 0;
}

function pushRoom(peer: u32): bool {
  assert(peer < header().shardCount);
  if (readyRoom() == 0) {
    control().moreWork |= MoreWork.BLOCKED; // the host does not drain: the next turn tells it
    return false;
  }
  pushReady(ReadyKind.ROOM, peer, 0, 0);
  return true;
}

/** Publishes all messages that were written, and looks for room for those that were refused. */
export function flushMesh(): void {
  for (let rest = touched; rest != 0; rest &= rest - 1) show(<u32>ctz<u64>(rest));
  for (let rest = wantRoom | wantCredit; rest != 0; rest &= rest - 1) tellRoom(<u32>ctz<u64>(rest));
  if (wantArena != 0) tellArena();
  assert(touched == 0);
  control().moreWork &= ~MoreWork.MAIL;
}

/**
 * Publishes messages and gives credit back. The host calls it at the end of a turn, and when it is about to wait. If it
 * has drained the ready ring, it has begun or held each request and copied each payload. So peers get back all that
 * they may wait for.
 */
export function flush(): void {
  const isDrained = control().readyHead == control().readyTail;
  flushMesh(); // first, as a peer may wait for a reply
  if (!isDrained) return;
  for (; owed != 0; owed &= owed - 1) {
    const peer = <u32>ctz<u64>(owed);
    assert(peer < header().shardCount);
    giveCredit(ringFrom(peer));
    if (takeWaiting(ringFrom(peer))) wake(peer);
  }
}

// --- receiving ------------------------------------------------------------------------------------------------------

/** Takes all mail of the peers that have set their bit. */
export function takeMail(): void {
  let dirty = takeDirty();
  let again: u64 = 0;
  for (; dirty != 0; dirty &= dirty - 1) {
    const peer = <u32>ctz<u64>(dirty);
    assert(peer < header().shardCount);
    if (!drain(peer)) again |= bit(peer);
    // The bit may also mean room in our own ring to that peer: flushMesh() looks at the end of this turn.
  }
  putDirty(again);
}

/** Empties the ring from one peer. False if it had to stop because the ready ring is full. */
function drain(peer: u32): bool {
  const ring = ringFrom(peer);
  let all = true;
  let taken: u32 = 0;
  for (; ; taken++) {
    const slot = available(ring, header().ringSlots);
    if (slot == 0) break;
    if (readyRoom() == 0) {
      all = false;
      break;
    }
    const entry = control().readyTail & (header().readySlots - 1);
    copyMessage(shardBase() + header().inboxOffset + entry * MESSAGE_BYTES, slot);
    assert(changetype<Message>(slot).kind != 0);
    if (changetype<Message>(slot).kind == REQUEST) {
      countBegun(ring, 1); // true when the host has drained; flush() publishes it
      counters().requestsReceived++;
    } else counters().repliesReceived++;
    pushReady(ReadyKind.MAIL, peer, 0, 0);
    take(ring);
  }
  if (taken != 0) {
    release(ring);
    owed |= bit(peer);
  }
  return all;
}

/** The host has drained a request that it cannot begin yet, and keeps a copy: its credit stays out. */
export function holdRequest(peer: u32): void {
  assert((owed & bit(peer)) != 0);
  countBegun(ringFrom(peer), -1);
}

/** The host begins a request that it held. */
export function beginRequest(peer: u32): void {
  assert(peer != shardIndex());
  countBegun(ringFrom(peer), 1);
  owed |= bit(peer);
  control().moreWork |= MoreWork.MAIL;
}

/** That shard has stopped and will read no more. Forgets what waits for it, and takes its blocks of the arena back. */
export function peerDown(peer: u32): void {
  assert(peer != shardIndex());
  assert(load<u32>(stateAddress(peer)) != ShardState.RUNNING);
  const others = ~bit(peer);
  touched &= others;
  owed &= others;
  wantRoom &= others;
  wantCredit &= others;
  arenaPeerDown(peer);
  control().moreWork |= MoreWork.MAIL; // the arena may have room now
}
