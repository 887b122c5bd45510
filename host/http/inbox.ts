// The bytes that have come in on one connection and were not read yet.
//
// Received bytes lie in a buffer of the kernel's pool. They are looked at in place. Bytes that must wait (a handler
// runs) are left there until the next turn begins, so a handler that responds at once costs no copy. Then they are
// copied out and the buffer goes back.
//
//   received --> [ held: a buffer, rest of it ] --> [ waiting: copies, in order ]
//                carry: the beginning of a head that is not complete
//
// A head that arrives in pieces is put together in `carry`, which doubles as it fills. The parser goes on at the last
// line that it has not finished, so only that line is shown to it again, in scratch memory. So a head that comes byte
// by byte is not copied or parsed from its start for each byte.
//
// Beyond HIGH_WATER_BYTES nothing more is received: the client's TCP window fills, and it waits.

import { ByteQueue } from '../base/byte-queue.js';
import type { Shard } from '../shard/shard.js';
import { MARKED_HEAD_BYTES } from '../shard/stall.js';
import type { Transport } from '../shard/transport.js';
import { HIGH_WATER_BYTES } from './body.js';

const NOTHING = Buffer.alloc(0);
const CARRY_BYTES = 512; // at first
const PIECE_BYTES = 4096; // of what comes at once; it has to fit into Scratch.pieceScratch

/** Where bytes are put to be parsed: linear memory that all connections of a server share. */
export interface Scratch {
  /** For a head that comes in pieces. */
  readonly headScratch: number;
  /** For bytes that have waited. */
  readonly pieceScratch: number;
}

/** The reader of the bytes. */
export interface InboxUser {
  /** Whether it takes bytes at the moment. */
  readonly mayFeed: boolean;
  /** Whether it is over: no bytes are looked at any more. */
  readonly isOver: boolean;
  /** Whether it has enough of a body for now. */
  readonly bodyIsFull: boolean;
  /** Bytes of an incomplete head that it will not look at again. */
  readonly parsedBytes: number;
  /** Looks at bytes in [at, end). Returns how many it took; 0: a head that is not complete. */
  feed(at: number, end: number): number;
  /** Looks at bytes that are not in linear memory. Returns how many it took; 0: they have to be there. */
  feedBytes(bytes: Uint8Array): number;
  /** A head has begun that is not complete. */
  onPartialHead(): void;
  /** The peer has sent its last byte, and all that came before has been looked at. */
  onInputEnd(): void;
  /** Bytes lie in a buffer of the transport: unhold() has to be called when the next turn begins. */
  onHold(): void;
}

export class Inbox {
  private readonly shard: Shard;
  private readonly scratch: Scratch;
  private readonly user: InboxUser;
  private readonly transport: Transport;
  private carry: Buffer = NOTHING;
  private carryBytes = 0; // of which this many are filled
  private readonly waiting = new ByteQueue();
  private held = -1;
  private heldAt = 0;
  private heldEnd = 0;
  private feeding = false;
  private cached = ''; // text of [cachedPtr, cachedEnd), a buffer that holds several heads
  private cachedPtr = 0;
  private cachedEnd = 0;

  constructor(shard: Shard, scratch: Scratch, user: InboxUser, transport: Transport) {
    this.shard = shard;
    this.scratch = scratch;
    this.user = user;
    this.transport = transport;
  }

  /** Whether more bytes are welcome. */
  get mayReceive(): boolean {
    return this.waiting.bytes <= HIGH_WATER_BYTES && !this.user.bodyIsFull;
  }

  /** Whether bytes are here that were not read yet. */
  get waits(): boolean {
    return this.held >= 0 || this.waiting.bytes !== 0;
  }

  get hasPartialHead(): boolean {
    return this.carryBytes !== 0;
  }

  /** Bytes have come, into a buffer of the transport. */
  onBuffer(ptr: number, end: number, buffer: number): void {
    if (this.waits || this.feeding) {
      this.waiting.push(this.shard.copyOut(ptr, end));
      this.transport.release(buffer);
      if (!this.mayReceive) this.transport.pause();
      return;
    }
    this.cachedEnd = 0;
    const at = this.feed(ptr, end);
    if (at === end || this.user.isOver) this.transport.release(buffer);
    else {
      this.held = buffer;
      this.heldAt = at;
      this.heldEnd = end;
      this.user.onHold();
    }
    if (this.user.bodyIsFull) this.transport.pause();
  }

  /** Bytes have come, which are this inbox's own. */
  onBytes(bytes: Uint8Array): void {
    this.waiting.push(bytes);
    this.resume();
    if (!this.user.isOver && !this.mayReceive) this.transport.pause();
  }

  /** The next turn begins: what still waits in a buffer is copied out. */
  unhold(): void {
    if (this.held < 0) return;
    this.waiting.unshift(this.shard.copyOut(this.heldAt, this.heldEnd));
    this.dropHeld();
  }

  private dropHeld(): void {
    this.transport.release(this.held);
    this.held = -1;
    this.cachedEnd = 0;
  }

  // --- looking at it -------------------------------------------------------------------------------------------------

  /** Lets the connection look at [ptr, end) as far as it will. Returns where it stopped. */
  private feed(ptr: number, end: number): number {
    this.feeding = true;
    let at = ptr;
    while (at < end && this.user.mayFeed) {
      if (this.carryBytes !== 0) at = this.feedCarried(at, end);
      else {
        const taken = this.user.feed(at, end);
        if (taken === 0) {
          this.addToCarry(at, end);
          this.user.onPartialHead();
          at = end;
        } else at += taken;
      }
    }
    this.feeding = false;
    return at;
  }

  private addToCarry(at: number, end: number): void {
    const whole = this.carryBytes + end - at;
    if (whole > this.carry.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(CARRY_BYTES, 2 * whole));
      this.carry.copy(larger, 0, 0, this.carryBytes);
      this.carry = larger;
    }
    this.shard.bytes.copy(this.carry, this.carryBytes, at, end);
    this.carryBytes = whole;
  }

  /**
   * A head that began before. Scratch memory stands for all of it, but only what the parser has not finished is there,
   * and the beginning: a warning about a handler that does not yield reads the first line there. Returns where it
   * stopped in [at, end).
   */
  private feedCarried(at: number, end: number): number {
    const { bytes } = this.shard;
    const scratch = this.scratch.headScratch;
    const before = this.carryBytes;
    this.addToCarry(at, end);
    const from = this.user.parsedBytes;
    this.carry.copy(bytes, scratch, 0, Math.min(from, MARKED_HEAD_BYTES));
    this.carry.copy(bytes, scratch + from, from, this.carryBytes);
    this.cachedEnd = 0; // scratch held something else before
    const taken = this.user.feed(scratch, scratch + this.carryBytes);
    if (taken === 0) return end;
    this.dropCarry();
    return at + taken - before;
  }

  private dropCarry(): void {
    this.carry = NOTHING;
    this.carryBytes = 0;
  }

  /** The connection can go on: lets it look at what waits, and receives again if that was held up. */
  resume(): void {
    if (this.feeding || this.user.isOver) return;
    if (this.held >= 0 && this.user.mayFeed) {
      this.heldAt = this.feed(this.heldAt, this.heldEnd);
      if (this.held >= 0 && this.heldAt === this.heldEnd) this.dropHeld();
    }
    while (this.held < 0 && this.waiting.bytes !== 0 && this.user.mayFeed) this.feedWaiting();
    if (this.user.isOver) return;
    if (this.transport.peerEnded && !this.waits) this.user.onInputEnd();
    else this.transport.receive();
  }

  private feedWaiting(): void {
    const first = this.waiting.first as Uint8Array;
    this.feeding = true;
    const taken = this.user.feedBytes(first) || this.feedInScratch(first.subarray(0, PIECE_BYTES));
    this.feeding = false;
    if (this.user.isOver) return;
    this.waiting.shift();
    this.waiting.unshift(first.subarray(taken));
  }

  private feedInScratch(piece: Uint8Array): number {
    const ptr = this.scratch.pieceScratch;
    this.shard.bytes.set(piece, ptr);
    this.cachedEnd = 0;
    const taken = this.feed(ptr, ptr + piece.length) - ptr;
    this.cachedEnd = 0;
    return taken;
  }

  /**
   * The text of a head of `headBytes` at `at`. If more heads may follow up to `end`, all of it is made text at once.
   * That is one call into C++ for a whole buffer of pipelined requests.
   */
  text(at: number, end: number, headBytes: number): { text: string; start: number } {
    if (this.carryBytes !== 0) return { text: this.carry.latin1Slice(0, headBytes), start: 0 };
    if (at >= this.cachedPtr && at + headBytes <= this.cachedEnd)
      return { text: this.cached, start: at - this.cachedPtr };
    const text = this.shard.latin1(at, end);
    if (at + headBytes < end) {
      this.cached = text;
      this.cachedPtr = at;
      this.cachedEnd = end;
    }
    return { text, start: 0 };
  }

  /** No message comes any more: gives back and forgets what waits. */
  discard(): void {
    if (this.held >= 0) this.dropHeld();
    this.waiting.clear();
    this.dropCarry();
  }
}
