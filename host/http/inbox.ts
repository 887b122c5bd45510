// What has come in on one connection, until somebody looks at it.
//
// Received bytes lie in a buffer of the kernel's pool. They are looked at in place. Bytes that must wait (a handler
// runs) are left there until the next turn begins, so a handler that answers at once costs no copy; then they are
// copied out and the buffer goes back.
//
//   received --> [ held: a buffer, rest of it ] --> [ waiting: copies, in order ]
//                carry: the beginning of a head that is not complete
//
// A head that arrives in pieces is put together in `carry`, which doubles as it fills. The parser goes on at the last
// line that it has not finished, so only that line is shown to it again, in scratch memory: a head that comes byte by
// byte is neither copied nor parsed from its start for each byte.
//
// Beyond HIGH_WATER_BYTES nothing more is received: the client's TCP window fills, and it waits.

import { ByteQueue } from '../base/byte-queue.js';
import type { StreamTransport } from '../shard/stream-transport.js';
import { HIGH_WATER_BYTES } from './body.js';
import type { HttpConnection } from './connection.js';
import type { ServerShard } from './server.js';

const NOTHING = Buffer.alloc(0);
const CARRY_BYTES = 512; // at first

export class Inbox {
  private readonly server: ServerShard;
  private readonly connection: HttpConnection;
  private readonly transport: StreamTransport;
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

  constructor(server: ServerShard, connection: HttpConnection, transport: StreamTransport) {
    this.server = server;
    this.connection = connection;
    this.transport = transport;
  }

  /** Whether more bytes are welcome. */
  get mayReceive(): boolean {
    return this.waiting.bytes <= HIGH_WATER_BYTES && !this.connection.bodyIsFull;
  }

  /** Whether bytes are here that nobody has looked at. */
  get waits(): boolean {
    return this.held >= 0 || this.waiting.bytes !== 0;
  }

  get hasPartialHead(): boolean {
    return this.carryBytes !== 0;
  }

  /** Bytes have come, into a receive buffer. */
  onBuffer(buffer: number, bytes: number): void {
    const { shard } = this.server;
    const ptr = shard.base + shard.header.recvOffset + buffer * shard.header.recvBufferBytes;
    const end = ptr + bytes;
    if (this.waits || this.feeding) {
      this.waiting.push(this.copy(ptr, end));
      shard.core.recycle(buffer);
      if (!this.mayReceive) this.transport.pause();
      return;
    }
    this.cachedEnd = 0;
    const at = this.feed(ptr, end);
    if (at === end || this.connection.isOver) shard.core.recycle(buffer);
    else {
      this.held = buffer;
      this.heldAt = at;
      this.heldEnd = end;
      this.server.holding(this.connection);
    }
    if (this.connection.bodyIsFull) this.transport.pause();
  }

  private copy(ptr: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - ptr); // of its own: the kernel gets the buffer back
    bytes.set(this.server.shard.bytes.subarray(ptr, end));
    return bytes;
  }

  /** The next turn begins: what still waits in a buffer is copied out. */
  unhold(): void {
    if (this.held < 0) return;
    this.waiting.unshift(this.copy(this.heldAt, this.heldEnd));
    this.dropHeld();
  }

  private dropHeld(): void {
    this.server.shard.core.recycle(this.held);
    this.held = -1;
    this.cachedEnd = 0;
  }

  // --- looking at it -------------------------------------------------------------------------------------------------

  /** Lets the connection look at [ptr, end) as far as it will. Answers where it stopped. */
  private feed(ptr: number, end: number): number {
    this.feeding = true;
    let at = ptr;
    while (at < end && this.connection.mayFeed) {
      if (this.carryBytes !== 0) at = this.feedCarried(at, end);
      else {
        const taken = this.connection.feed(at, end);
        if (taken === 0) {
          this.addToCarry(at, end);
          this.connection.onPartialHead();
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
    this.server.shard.bytes.copy(this.carry, this.carryBytes, at, end);
    this.carryBytes = whole;
  }

  /**
   * A head that began before. Scratch memory stands for all of it, but only what the parser has not finished is there.
   * Answers where it stopped in [at, end).
   */
  private feedCarried(at: number, end: number): number {
    const { bytes } = this.server.shard;
    const scratch = this.server.headScratch;
    const before = this.carryBytes;
    this.addToCarry(at, end);
    const from = this.connection.parsedBytes;
    this.carry.copy(bytes, scratch + from, from, this.carryBytes);
    this.cachedEnd = 0; // scratch held something else before
    const taken = this.connection.feed(scratch, scratch + this.carryBytes);
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
    if (this.feeding || this.connection.isOver) return;
    if (this.held >= 0 && this.connection.mayFeed) {
      this.heldAt = this.feed(this.heldAt, this.heldEnd);
      if (this.held >= 0 && this.heldAt === this.heldEnd) this.dropHeld();
    }
    while (this.held < 0 && this.waiting.bytes !== 0 && this.connection.mayFeed) this.feedWaiting();
    if (this.connection.isOver) return;
    if (this.transport.peerEnded && !this.waits) this.connection.onInputEnd();
    else this.transport.receive();
  }

  private feedWaiting(): void {
    const piece = this.waiting.first as Uint8Array;
    const ptr = this.server.pieceScratch;
    this.server.shard.bytes.set(piece, ptr);
    this.cachedEnd = 0;
    const taken = this.feed(ptr, ptr + piece.length) - ptr;
    this.cachedEnd = 0;
    if (this.connection.isOver) return;
    this.waiting.shift();
    if (taken < piece.length) this.waiting.unshift(piece.subarray(taken));
  }

  /**
   * The text of a head of `headBytes` at `at`. If more heads may follow up to `end`, all of it is made text at once:
   * one call into C++ for a whole buffer of pipelined requests.
   */
  text(at: number, end: number, headBytes: number): { text: string; start: number } {
    if (this.carryBytes !== 0) return { text: this.carry.latin1Slice(0, headBytes), start: 0 };
    if (at >= this.cachedPtr && at + headBytes <= this.cachedEnd)
      return { text: this.cached, start: at - this.cachedPtr };
    const text = this.server.shard.latin1(at, end);
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
