// Sends a shard's messages to its peers, and keeps the messages that cannot be sent yet. Each wait ends, because it
// needs only one turn of the peer: assembly/mesh.ts has the argument.
//
//   request, reply, abort --fits--> the message at header.outgoingOffset --core.post()--> ring
//                         --no credit, no room in the ring, no room in the arena--> the peer's lines here
//   ReadyKind.ROOM --> the peer's lines are tried again
//
// A peer has two lines: requests, which need a credit, and control messages (replies and aborts), which do not. Each is
// sent in order. When there is room they take turns, so neither can keep the other waiting for ever.
//
// A payload that finds no room in the arena puts its peer into `arenaLine`. Until the first peer there has been served,
// no other takes from the arena. Otherwise many small payloads could keep a large one out for ever.
//
// Next: call.ts, which fills this and is told of what arrives.

import { Code } from '../base/errors.js';
import { INLINE_BYTES, MESSAGE_INLINE, Message } from '../core/layout.js';
import type { Shard } from '../shard/shard.js';
import type { Encoder } from './encoder.js';
import type { OpenCall } from './open-calls.js';

/** Kinds of a message (assembly/mesh.ts). */
export const Kind = { REQUEST: 1, REPLY: 2, ABORT: 3 } as const;

/** Words of a message. */
export const Word = {
  HEAD: Message.kind >> 2,
  CALLER: Message.caller >> 2,
  NUMBER: Message.number >> 2,
  BYTES: Message.payloadBytes >> 2,
  PAYLOAD: Message.payload >> 2,
  INLINE: MESSAGE_INLINE >> 2,
} as const;

/** A call that is not sent yet. */
export class WaitingCall {
  next: WaitingCall | undefined;
  prev: WaitingCall | undefined;

  /** `bytes`: the arguments as they were when it was called. */
  constructor(
    readonly call: OpenCall,
    readonly bytes: Uint8Array,
  ) {}
}

/** A reply or an abort that is not sent yet. */
class ControlMessage {
  next: ControlMessage | undefined;

  constructor(
    readonly head: number,
    readonly caller: number,
    readonly number: number,
    readonly bytes: Uint8Array,
  ) {}
}

/** Linked, because a call that is aborted leaves from the middle, and a hundred thousand may wait. */
class Lines {
  firstCall: WaitingCall | undefined;
  lastCall: WaitingCall | undefined;
  firstControl: ControlMessage | undefined;
  lastControl: ControlMessage | undefined;

  get isEmpty(): boolean {
    return this.firstCall === undefined && this.firstControl === undefined;
  }
}

export class Outbox {
  readonly #shard: Shard;
  readonly #encoder: Encoder;
  readonly #lines: Lines[];
  readonly #onWait: () => void;
  readonly #outgoing: number; // word of the message to be sent
  #arenaLine: number[] = []; // peers, in the order in which the arena refused them
  #isRefused = false; // the arena had no room for the last payload that was tried

  /** The message is what `encoder` holds at that moment. `onWait`: something was refused, and waits. */
  constructor(shard: Shard, shardCount: number, encoder: Encoder, onWait: () => void) {
    this.#shard = shard;
    this.#onWait = onWait;
    this.#encoder = encoder;
    this.#outgoing = (shard.base + shard.header.outgoingOffset) >>> 2;
    this.#lines = Array.from({ length: shardCount }, () => new Lines());
  }

  /**
   * The message that has waited longest for a peer. It is left out if it waits for room in the arena, which any peer
   * may hold.
   */
  first(peer: number): WaitingCall | ControlMessage | undefined {
    if (this.#arenaLine.includes(peer)) return undefined;
    const lines = this.#lines[peer] as Lines;
    return lines.firstControl ?? lines.firstCall;
  }

  /** The calls that wait for a peer. */
  waitingAt(peer: number): OpenCall[] {
    const calls: OpenCall[] = [];
    const { firstCall } = this.#lines[peer] as Lines;
    for (let each = firstCall; each !== undefined; each = each.next) calls.push(each.call);
    return calls;
  }

  /** Sends a request, or keeps it until it can be sent. False: that peer does not run. */
  request(call: OpenCall, length: number): boolean {
    const lines = this.#lines[call.peer] as Lines;
    if (lines.isEmpty) {
      const result = this.#post(call.peer, Kind.REQUEST | (call.method << 16), call.slot, call.number, length);
      if (result === Code.OK) return sent(call);
      if (result === Code.PEER_DOWN) return false;
    }
    const waiting = new WaitingCall(call, this.#encoder.copy());
    call.waiting = waiting;
    waiting.prev = lines.lastCall;
    if (lines.lastCall === undefined) lines.firstCall = waiting;
    else lines.lastCall.next = waiting;
    lines.lastCall = waiting;
    this.#onWait();
    return true;
  }

  /**
   * Sends a reply or an abort, or keeps it. If the peer does not run, the message is dropped: no caller waits for it
   * there.
   */
  control(peer: number, head: number, caller: number, number: number, length: number): void {
    const lines = this.#lines[peer] as Lines;
    if (lines.firstControl === undefined) {
      const result = this.#post(peer, head, caller, number, length);
      if (result === Code.OK || result === Code.PEER_DOWN) return;
    }
    const control = new ControlMessage(head, caller, number, this.#encoder.copy());
    if (lines.lastControl === undefined) lines.firstControl = control;
    else lines.lastControl.next = control;
    lines.lastControl = control;
    this.#onWait();
  }

  /** Something may go that was refused. `peer`: whose ring has room; this shard itself: the arena has. */
  onRoom(peer: number): void {
    if (peer !== this.#shard.index) this.#flush(peer);
    this.#flushArena();
  }

  /** A call that waits was aborted: the peer has not heard of it. */
  remove(call: OpenCall): void {
    this.#unlink(call);
    if (this.#arenaLine.length !== 0) this.#flushArena(); // it may have been what the others wait behind
  }

  /** That peer is gone: nothing waits for it any more. */
  forget(peer: number): void {
    const lines = this.#lines[peer] as Lines;
    while (lines.firstCall !== undefined) this.#unlink(lines.firstCall.call);
    lines.firstControl = undefined;
    lines.lastControl = undefined;
    this.#arenaLine = this.#arenaLine.filter((each) => each !== peer);
    this.#flushArena();
  }

  #unlink(call: OpenCall): void {
    const lines = this.#lines[call.peer] as Lines;
    const { prev, next } = call.waiting as WaitingCall;
    if (prev === undefined) lines.firstCall = next;
    else prev.next = next;
    if (next === undefined) lines.lastCall = prev;
    else next.prev = prev;
    call.waiting = undefined;
  }

  /** Sends what waits for a peer, as far as it goes. */
  #flush(peer: number): void {
    const lines = this.#lines[peer] as Lines;
    for (;;) {
      const sentControl = lines.firstControl !== undefined && this.#sendControl(peer, lines, lines.firstControl);
      const sentCall = lines.firstCall !== undefined && this.#sendCall(lines.firstCall);
      if (!sentControl && !sentCall) return;
    }
  }

  #sendControl(peer: number, lines: Lines, { head, caller, number, bytes, next }: ControlMessage): boolean {
    this.#encoder.restore(bytes);
    const result = this.#post(peer, head, caller, number, bytes.length);
    if (result !== Code.OK) return false; // a peer that does not run: forget() comes
    lines.firstControl = next;
    if (next === undefined) lines.lastControl = undefined;
    return true;
  }

  #sendCall({ call, bytes }: WaitingCall): boolean {
    this.#encoder.restore(bytes);
    const head = Kind.REQUEST | (call.method << 16);
    if (this.#post(call.peer, head, call.slot, call.number, bytes.length) !== Code.OK) return false;
    this.#unlink(call);
    return sent(call);
  }

  #flushArena(): void {
    while (this.#arenaLine.length !== 0) {
      const peer = this.#arenaLine[0] as number;
      this.#isRefused = false;
      this.#flush(peer);
      if (this.#isRefused) return;
      this.#arenaLine.shift(); // it waits for something else now, or for nothing
    }
  }

  /** Sends the message that the encoder holds: OK, or why not (assembly/mesh.ts#mayPost). */
  #post(peer: number, head: number, caller: number, number: number, length: number): number {
    const { words, core, host } = this.#shard;
    const at = this.#outgoing;
    let payload = 0;
    host.poke(); // it is published, or the refusal is looked at again, at the end of a turn
    if (length <= INLINE_BYTES) {
      const from = this.#encoder.words;
      const count = (length + 3) >> 2;
      for (let i = 0; i < count; i++) words[at + Word.INLINE + i] = from[i] as number;
    } else {
      const result = core.mayPost(peer, head & 0xff);
      if (result !== Code.OK) return result;
      payload = this.#payload(peer, length);
      if (payload === 0) return Code.FULL;
    }
    words[at + Word.HEAD] = head;
    words[at + Word.CALLER] = caller;
    words[at + Word.NUMBER] = number;
    words[at + Word.BYTES] = length;
    words[at + Word.PAYLOAD] = payload;
    return core.post(peer);
  }

  /** Copies what the encoder holds into the arena. Returns its address, or 0: the peer is in `arenaLine` then. */
  #payload(peer: number, length: number): number {
    const { core, bytes } = this.#shard;
    const isNext = this.#arenaLine.length === 0 || this.#arenaLine[0] === peer;
    const payload = isNext ? core.payloadTake(length) >>> 0 : 0; // an address: Wasm's i32 reads as signed
    this.#isRefused = payload === 0;
    if (payload !== 0) this.#encoder.copyTo(bytes, payload);
    else if (!this.#arenaLine.includes(peer)) this.#arenaLine.push(peer);
    return payload;
  }
}

/** From now on the peer has what the call moves. */
function sent(call: OpenCall): true {
  if (call.watch !== undefined) call.watch.ifNotSent = undefined;
  return true;
}
