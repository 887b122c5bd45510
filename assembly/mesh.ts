// === The mesh: calls between shards ===
//
// One ring (spsc.ts) for each ordered pair of shards; messages are requests and replies. Both sides keep a call slot:
//
//   caller                                                    callee
//   callBegin()  take a slot and a credit
//   callSend()   REQUEST ---- ring caller>callee ---->        take a slot, tell the host: ReadyKind.REQUEST
//                                                             ... the host runs the function ...
//   ReadyKind.REPLY <-------- ring callee>caller ---- REPLY   callReply()  the slot is free
//   callFree()   the host has read it: slot and credit are free
//
//   message, 64 bytes: written by the sender into its call slot, copied to the ring, and from there to the peer's slot
//     +0 kind u8 | +1 status u8 | +2 method u16 | +4 caller's slot | +8 its generation
//     +12 payload bytes | +16 payload address in the sender's arena, or 0: it lies inline
//     +24 .. +63  40 bytes inline
//
// Backpressure without deadlock. A shard may have `creditCount` calls open at one peer; the table has room for all of
// them from all peers, so a request that has arrived can always be taken in. Taking in never needs room to send: a
// reply that finds the ring full waits on a list of its peer. So every shard always drains its rings, so every ring
// always gets room, also with one slot per ring, also when shards call each other in a circle. What waits for credit
// waits in the caller's host.
//
// A message that waits for room is sent on the next turn in which there is some: the producer leaves `waiting` in the
// ring, and the consumer, when it gives slots back, sets the producer's dirty bit (spsc.ts, park.ts).
//
// Next: park.ts.

import { FULL, NO_CREDIT, OK, PEER_DOWN, RANGE, STALE } from './check';
import { arenaPeerDown, arenaRelease, arenaSend } from './arena';
import { CALL_BYTES, callSlots, control, header, MESH, MoreWork, PEER_BYTES, ReadyKind } from './layout';
import { ShardState, shardBase, shardIndex, SLOT_BYTES, stateAddress } from './layout';
import { List, push, shift } from './list';
import { pushReady, readyRoom, ringDoorbell } from './op';
import { nudge, putDirty, takeDirty } from './park';
import { slabGive, slabInit, slabLive, slabTake, slabUsed } from './slab';
import { available, claim, publish, release, stage, take, waitForRoom } from './spsc';
import { counters } from './stats';

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const BATCH: u32 = 16; // messages written before they are published in mid-turn

// states of a call slot
const OPENED: u32 = 1; // ours; not sent, or not answered
const ABANDONED: u32 = 2; // ours; nobody waits, but the credit is out until the reply comes
const ANSWERED: u32 = 3; // ours; the host is to read the reply
const INBOUND: u32 = 4; // a peer's

@unmanaged
class Message {
  kind: u8;
  status: u8;
  method: u16;
  caller: u32;
  generation: u32;
  payloadBytes: u32;
  payload: u32;
}

@unmanaged
class Call {
  generation: u32;
  next: u32;
  prev: u32;
  state: u32;
  peer: u32;
  owner: u32;
}

const MESSAGE: usize = 32; // of 64 bytes, in a call slot

@unmanaged
class Peer {
  head: u32; // calls whose message waits for room: List, in place
  tail: u32;
  open: u32; // credits that are out
  starved: u32; // 1: a call was refused for want of credit
  unpublished: u32; // messages written to the ring since the last publish
}

let touched: u64 = 0; // peers with unpublished messages
let waiting: u64 = 0; // peers with a list of messages that found no room

function calls(): usize {
  return shardBase() + header().callsOffset;
}

function callAt(index: u32): Call {
  return changetype<Call>(calls() + index * CALL_BYTES);
}

function messageOf(index: u32): Message {
  return changetype<Message>(calls() + index * CALL_BYTES + MESSAGE);
}

function peerAt(peer: u32): Peer {
  return changetype<Peer>(shardBase() + header().peersOffset + peer * PEER_BYTES);
}

function ringOf(from: u32, to: u32): usize {
  return MESH + (from * header().shardCount + to) * header().ringBytes;
}

export function meshInit(): void {
  touched = 0;
  waiting = 0;
  slabInit(calls(), CALL_BYTES, callSlots());
}

export function openCalls(): u32 {
  return slabUsed(calls());
}

// --- sending --------------------------------------------------------------------------------------------------------

function copyMessage(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  v128.store(to, v128.load(from, 48), 48);
}

/** Writes a call's message into the ring. False if the ring is full. */
function tryWrite(peer: u32, index: u32): bool {
  const ring = ringOf(shardIndex(), peer);
  const slot = claim(ring, header().ringSlots);
  if (slot == 0) return false;
  copyMessage(slot, changetype<usize>(messageOf(index)));
  stage(ring);
  touched |= (<u64>1) << peer;
  const p = peerAt(peer);
  if (messageOf(index).kind == REPLY) {
    counters().repliesSent++;
    slabGive(calls(), CALL_BYTES, index);
  } else counters().requestsSent++;
  if (++p.unpublished == BATCH) show(peer);
  return true;
}

/** Publishes what was written for a peer, and wakes it if it sleeps. */
function show(peer: u32): void {
  touched &= ~((<u64>1) << peer);
  peerAt(peer).unpublished = 0;
  publish(ringOf(shardIndex(), peer));
  if (nudge(peer)) ringDoorbell(peer);
}

function post(peer: u32, index: u32): void {
  if (messageOf(index).payload != 0) arenaSend(messageOf(index).payload, peer);
  if (peerAt(peer).head != 0 || !tryWrite(peer, index)) {
    push(changetype<List>(changetype<usize>(peerAt(peer))), calls(), CALL_BYTES, index);
    waiting |= (<u64>1) << peer;
    counters().ringFull++;
  }
  control().moreWork |= MoreWork.MAIL; // so that the next turn comes at once, if this one has ended
}

/** Sends what waited for room, until the ring is full again. */
function retry(peer: u32): void {
  const list = changetype<List>(changetype<usize>(peerAt(peer)));
  const ring = ringOf(shardIndex(), peer);
  while (list.head != 0) {
    if (claim(ring, header().ringSlots) == 0) {
      show(peer); // the consumer can only make room if it sees what is there
      if (!waitForRoom(ring, header().ringSlots)) return;
    } else tryWrite(peer, shift(list, calls(), CALL_BYTES)); // off the list first: a written reply's slot is given back
  }
  waiting &= ~((<u64>1) << peer);
}

/** The end of a turn, and whenever the host is about to wait: everything written becomes visible. */
export function flushMesh(): void {
  for (let rest = waiting; rest != 0; rest &= rest - 1) retry(<u32>ctz<u64>(rest));
  for (let rest = touched; rest != 0; rest &= rest - 1) show(<u32>ctz<u64>(rest));
  control().moreWork &= ~MoreWork.MAIL;
}

// --- receiving ------------------------------------------------------------------------------------------------------

/** Takes all mail of the peers that have set their bit. */
export function takeMail(): void {
  let dirty = takeDirty();
  let again: u64 = 0;
  for (; dirty != 0; dirty &= dirty - 1) {
    const peer = <u32>ctz<u64>(dirty);
    if (!drain(peer)) again |= (<u64>1) << peer;
    // The bit may also mean room in our own ring to that peer; flushMesh() tries it at the end of this turn.
  }
  putDirty(again);
}

/** Empties the ring from one peer. False if it had to stop because the ready ring is full. */
function drain(peer: u32): bool {
  const ring = ringOf(peer, shardIndex());
  const slots = header().ringSlots;
  let taken: u32 = 0;
  let all = true;
  for (;;) {
    const slot = available(ring, slots);
    if (slot == 0) break;
    if (readyRoom() == 0) {
      all = false;
      break;
    }
    if (changetype<Message>(slot).kind == REQUEST) receiveRequest(peer, slot);
    else receiveReply(changetype<Message>(slot));
    take(ring);
    taken++;
  }
  if (taken != 0 && release(ring) && nudge(peer)) ringDoorbell(peer);
  return all;
}

function receiveRequest(peer: u32, slot: usize): void {
  const index = slabTake(calls(), CALL_BYTES); // there is one: callSlots() counts every credit of every peer
  const call = callAt(index);
  call.state = INBOUND;
  call.peer = peer;
  copyMessage(changetype<usize>(messageOf(index)), slot);
  counters().requestsReceived++;
  pushReady(ReadyKind.REQUEST, index, 0, 0);
}

function receiveReply(message: Message): void {
  const index = message.caller;
  if (!slabLive(calls(), CALL_BYTES, index, message.generation)) {
    counters().staleReplies++;
    if (message.payload != 0) arenaRelease(message.payload);
    return;
  }
  const call = callAt(index);
  copyMessage(changetype<usize>(messageOf(index)), changetype<usize>(message));
  counters().repliesReceived++;
  pushReady(ReadyKind.REPLY, index, <i32>(call.state == ABANDONED), 0); // the host frees the payload in any case
  call.state = ANSWERED; // and its credit stays out until callFree(): else more slots could be taken than there are
}

// --- for the host ---------------------------------------------------------------------------------------------------

/** Takes a call slot and a credit. The payload may then be written at slot + 32 + 24. FULL, NO_CREDIT, PEER_DOWN. */
export function callBegin(peer: u32): i32 {
  if (peer >= header().shardCount || peer == shardIndex()) return RANGE;
  if (!isRunning(peer)) return PEER_DOWN;
  const p = peerAt(peer);
  if (p.open >= header().creditCount) {
    p.starved = 1;
    counters().creditRefused++;
    return NO_CREDIT;
  }
  const index = slabTake(calls(), CALL_BYTES);
  if (index == 0) return FULL;
  p.open++;
  control().openCalls++;
  const call = callAt(index);
  call.state = OPENED;
  call.peer = peer;
  return <i32>index;
}

/** Sends the request whose payload was written. `payload`: address in our arena, or 0 for inline. */
export function callSend(index: u32, method: u32, payloadBytes: u32, payload: u32): void {
  const message = messageOf(index);
  message.kind = REQUEST;
  message.status = 0;
  message.method = <u16>method;
  message.caller = index;
  message.generation = callAt(index).generation;
  message.payloadBytes = payloadBytes;
  message.payload = payload;
  post(callAt(index).peer, index);
}

function isRunning(peer: u32): bool {
  return atomic.load<u32>(stateAddress(peer)) == ShardState.RUNNING;
}

/** Answers a peer's call. The slot is the core's again, also if the peer is down. */
export function callReply(index: u32, status: u32, payloadBytes: u32, payload: u32): i32 {
  if (callAt(index).state != INBOUND) return STALE;
  const message = messageOf(index); // caller and generation stay as they came
  message.kind = REPLY;
  message.status = <u8>status;
  message.payloadBytes = payloadBytes;
  message.payload = payload;
  callAt(index).state = 0; // a second reply is STALE
  if (isRunning(callAt(index).peer)) {
    post(callAt(index).peer, index);
    return OK;
  }
  if (payload != 0) arenaRelease(payload);
  slabGive(calls(), CALL_BYTES, index);
  return PEER_DOWN;
}

/** Nobody waits for the reply any more; the slot and its credit come back when it arrives. */
export function callAbandon(index: u32): void {
  if (callAt(index).state == OPENED) callAt(index).state = ABANDONED;
}

/** Frees an answered call, or one whose peer is down. */
export function callFree(index: u32): i32 {
  const call = callAt(index);
  if (call.state == INBOUND || call.state == 0) return STALE;
  const p = peerAt(call.peer);
  p.open--;
  control().openCalls--;
  if (p.starved != 0 && call.state == ANSWERED && readyRoom() != 0) {
    // there is room: the host has taken the REPLY
    p.starved = 0;
    pushReady(ReadyKind.CREDIT, call.peer, 0, 0);
  }
  call.state = 0;
  slabGive(calls(), CALL_BYTES, index);
  return OK;
}

/** That shard is gone: what was sent to it is dropped. The host then frees its calls one by one. */
export function peerDown(peer: u32): void {
  const list = changetype<List>(changetype<usize>(peerAt(peer)));
  for (let index = shift(list, calls(), CALL_BYTES); index != 0; index = shift(list, calls(), CALL_BYTES)) {
    if (messageOf(index).kind == REPLY) slabGive(calls(), CALL_BYTES, index);
  }
  waiting &= ~((<u64>1) << peer);
  arenaPeerDown(peer);
}
