// The bytes that go out on one connection, in order. At most one send is open at a time. There are two kinds:
//
//   few bytes    are copied into a send buffer, and go out by a SEND. Responses of one turn are gathered in its buffer
//                while it is still in the window. Later bytes gather in a second buffer
//   many bytes   are lent: a SENDMSG names up to LENT_PIECES Uint8Arrays, and the kernel reads them where they lie
//
//   reserve() --> [ current: staged, or in the kernel ] [ next: gathering ] <-- [ queue: bytes ] <-- enqueue()
//                 [ lent:    staged, or in the kernel ] <----------------------/
//
// A send takes what the socket has room for, at once (MSG_DONTWAIT). So the kernel reads lent bytes only during the
// enter that submits them, and no JavaScript runs meanwhile. If the socket is full, the rest waits for room (watchRoom)
// without a send buffer. So a buffer is held from the moment when it is filled until the turn after the enter that
// submits it. A peer that does not read keeps none from others. A queue that finds no buffer free waits for one, in
// order: behind queues whose sockets have room.
//
// Next: byte-queue.ts.

import { ByteQueue } from '../base/byte-queue.js';
import type { LongText } from '../base/long-text.js';
import { Errno, POLLERR, POLLHUP, POLLOUT } from '../core/kernel.js';
import { LENT_PIECES, type LentBytes } from '../hosts/host.js';
import { Operation } from './operation.js';
import { sendLent, sendNow, watchRoom } from './ops.js';
import type { Shard } from './shard.js';

/** More bytes than these are lent. Copying fewer is cheaper (RATIONALE.md, "Lent bytes"). */
export const COPIED_BYTES = 4096;
/** Bytes that one send takes of lent ones at most, so that no socket keeps the shard for long. */
export const LENT_BYTES = 2_097_152;
const WORTH_A_SEND = POLLOUT | POLLERR | POLLHUP;

export class SendQueue {
  /** Bytes that the kernel has taken, of all that was ever queued. */
  sentBytes = 0;
  /** The peer does not read fast enough: the socket was full, and something has been waiting since. */
  isBehind = false;

  private readonly shard: Shard;
  private readonly file: number;
  private readonly bufferBytes: number;
  private readonly sending: Operation;
  private readonly room: Operation; // the poll for it: open from the first full socket until nothing waits
  private isFull = false; // the socket: the next SEND waits for room
  private waitsForBuffer = false;
  private current = 0; // the open SEND's buffer
  private used = 0; // bytes of it that are filled
  private next = 0;
  private nextUsed = 0;
  private readonly lent: Uint8Array[] = []; // behind current, before next and queue
  private readonly lentSizes: number[] = []; // of its pieces, which have none any more if they are detached
  private lentBytes = 0; // of them, not out yet
  private lentSkip = 0; // bytes of the first one that are out
  private lending = 0; // of them, in the open SENDMSG
  private shown: LentBytes[number]; // what the table has of them
  private readonly queue = new ByteQueue();
  private urgent = false; // a caller waits until all is out
  private broken = false;

  /** Events with these tags are for onSent() and onRoom(). */
  constructor(shard: Shard, file: number, owner: number, tag: number, roomTag: number) {
    this.shard = shard;
    this.file = file;
    this.bufferBytes = shard.header.sendBufferBytes;
    this.sending = new Operation(shard, owner, tag);
    this.room = new Operation(shard, owner, roomTag);
  }

  /** Whether all is out. Without a free send buffer bytes may wait though no SEND is open. */
  get isIdle(): boolean {
    return !this.sending.isOpen && !this.room.isOpen && this.queue.bytes === 0 && this.lentBytes === 0;
  }

  /** Bytes that are not out yet. */
  get backlogBytes(): number {
    return this.used + this.lentBytes + this.nextUsed + this.queue.bytes;
  }

  /**
   * An address where exactly `bytes` must be written at once, or 0: then enqueue() them. `body`: more than
   * COPIED_BYTES, which go out behind them as by enqueue(); with 0, enqueue() these, too.
   */
  reserve(bytes: number, body?: Uint8Array): number {
    if (this.broken || bytes > this.bufferBytes || this.queue.bytes !== 0 || this.lentBytes !== this.lending) return 0;
    if (!this.sending.isOpen) {
      if (body !== undefined && !hasFixedLength(body)) return 0;
      const buffer = this.shard.sendBuffers.take();
      if (buffer === 0) return 0;
      if (body !== undefined) this.addLent(body);
      this.stage(buffer, bytes);
      return buffer;
    }
    if (body !== undefined) return 0;
    if (this.next === 0) {
      const at = this.used;
      if (this.lending === 0 && at + bytes <= this.bufferBytes && this.sending.extend(bytes)) {
        this.used = at + bytes;
        return this.current + at;
      }
      this.next = this.shard.sendBuffers.take();
      if (this.next === 0) return 0;
    }
    const at = this.nextUsed;
    if (at + bytes > this.bufferBytes) return 0;
    this.shard.hurry();
    this.nextUsed = at + bytes;
    return this.next + at;
  }

  /**
   * Sends bytes of any length, behind everything else. They must not change any more. `moreFollows`: the caller
   * enqueues others at once, which may go out with these.
   */
  enqueue(bytes: Uint8Array, moreFollows = false): void {
    if (this.broken || bytes.length === 0) return;
    const piece = hasFixedLength(bytes) ? bytes : bytes.slice();
    if (this.extendLent(piece)) return;
    this.queue.push(piece);
    if (this.isFull || moreFollows) return;
    if (this.sending.isOpen) this.shard.hurry();
    else this.advance();
  }

  /** Sends a text behind everything else. Each send takes one piece of it, so no more waits encoded. */
  enqueueText(text: LongText): void {
    if (this.broken) return;
    this.queue.pushText(text);
    if (this.isFull) return;
    if (this.sending.isOpen) this.shard.hurry();
    else this.advance();
  }

  /** Sends a copy of bytes at once, where the host can and nothing is before them. Returns how many. */
  sendAtOnce(bytes: Uint8Array): number {
    const { host } = this.shard;
    if (host.sendAtOnce === undefined || this.broken || !this.isIdle) return 0;
    const sent = host.sendAtOnce(this.file, bytes);
    this.sentBytes += sent;
    return sent;
  }

  /** A caller waits until all is out: this SEND, and those that follow it. */
  hurry(): void {
    this.urgent = true;
    this.shard.hurry();
  }

  /** The SEND's event. False: the connection is broken. */
  onSent(result: number): boolean {
    this.sending.ended();
    const sent = Math.max(result, 0);
    this.sentBytes += sent;
    if (this.broken || (result <= 0 && result !== Errno.EAGAIN)) {
      this.end();
      return false;
    }
    const whole = this.used + this.lending;
    const copied = Math.min(sent, this.used);
    if (this.lending !== 0) this.onLentSent(sent - copied);
    if (sent < whole) this.waitForRoom(copied);
    else {
      if (this.current !== 0) this.shard.sendBuffers.give(this.current);
      this.current = 0;
      this.used = 0;
      this.advance();
    }
    return true;
  }

  /** An event of the poll for room. False: the connection is broken. */
  onRoom(result: number, flags: number): boolean {
    this.room.ended(flags);
    if (this.broken || (result < 0 && result !== Errno.ECANCELED)) return false;
    if (!this.isFull) return true;
    if (result > 0 && (result & WORTH_A_SEND) !== 0) {
      this.isFull = false;
      this.advance();
    } else if (!this.room.isOpen) watchRoom(this.room, this.file); // cancelled, and then the socket was full again
    return true;
  }

  /** Whether it waits for room in the socket. */
  get waitsForRoom(): boolean {
    return this.isFull;
  }

  /**
   * Sends at once what there is room for. The poll reports room only when a third of the kernel's buffer is free, which
   * can be a mebibyte. A slow peer takes less than that for minutes.
   */
  tryRoom(): void {
    if (!this.isFull) return;
    this.isFull = false;
    this.advance();
  }

  /** Nothing more is sent, and lent bytes are not read any more. Send buffers come back with the kernel's event. */
  break(): void {
    this.broken = true;
    this.queue.clear();
    this.hideLent(); // a send of them that is still staged fails
    if (this.sending.isOpen) this.sending.cancel();
    else this.end();
    this.room.cancel();
  }

  private end(): void {
    this.giveBack();
    this.hideLent();
    this.dropLent();
  }

  private giveBack(): void {
    if (this.current !== 0) this.shard.sendBuffers.give(this.current);
    if (this.next !== 0) this.shard.sendBuffers.give(this.next);
    this.current = 0;
    this.next = 0;
    this.used = 0;
    this.nextUsed = 0;
  }

  /** The socket is full: it took `sent` bytes of the current buffer. The rest of both buffers is copied out of them. */
  private waitForRoom(sent: number): void {
    const { current, next, used, nextUsed, queue } = this;
    if (nextUsed !== 0) queue.unshift(this.copy(next, nextUsed));
    if (sent < used) {
      const rest = this.copy(current + sent, used - sent);
      if (this.lentBytes === 0) queue.unshift(rest);
      else {
        this.lent.unshift(rest);
        this.lentSizes.unshift(rest.length);
        this.lentBytes += rest.length;
      }
    }
    this.isFull = true;
    this.isBehind = true;
    if (!this.room.isOpen) watchRoom(this.room, this.file);
    this.giveBack();
  }

  private copy(at: number, bytes: number): Uint8Array {
    return new Uint8Array(this.shard.bytes.subarray(at, at + bytes));
  }

  /** With nothing open: stages what is next. */
  private advance(): void {
    if (this.next !== 0) {
      const buffer = this.next;
      const bytes = this.nextUsed;
      this.next = 0;
      this.nextUsed = 0;
      if (bytes !== 0) {
        this.stage(buffer, bytes);
        return;
      }
      this.shard.sendBuffers.give(buffer);
    }
    if (this.lentBytes !== 0 || this.queue.bytes > COPIED_BYTES) {
      this.lend();
      return;
    }
    if (this.queue.bytes === 0) {
      this.urgent = false;
      if (this.isBehind) this.catchUp();
      return;
    }
    const buffer = this.shard.sendBuffers.take();
    if (buffer === 0) this.waitForBuffer();
    else this.stage(buffer, this.queue.moveTo(this.shard.bytes, buffer, this.bufferBytes));
  }

  /** All is out that had to wait. */
  private catchUp(): void {
    this.isBehind = false;
    this.room.cancel();
  }

  private waitForBuffer(): void {
    if (this.waitsForBuffer) return;
    this.waitsForBuffer = true;
    this.shard.sendBuffers.whenFree(() => {
      this.waitsForBuffer = false;
      if (!this.sending.isOpen && !this.isFull && !this.broken) this.advance();
    });
  }

  /** Stages a send of `bytes` in a buffer, and of lent bytes, if there are any. */
  private stage(buffer: number, bytes: number): void {
    this.current = buffer;
    this.used = bytes;
    if (this.lentBytes === 0) sendNow(this.sending, this.file, buffer, bytes);
    else {
      const { lent } = this;
      this.lending = Math.min(this.lentBytes, LENT_BYTES);
      this.show(lent.length === 1 ? lent[0] : lent);
      sendLent(this.sending, this.file, buffer, bytes, this.lentSkip, bytes + this.lending);
    }
    if (this.urgent || this.isBehind || this.queue.bytes !== 0 || this.lentBytes !== this.lending) this.shard.hurry();
  }

  // --- lent bytes ----------------------------------------------------------------------------------------------------

  /** Sends what is left of the bytes lent last, and more of the queue. */
  private lend(): void {
    while (this.lent.length < LENT_PIECES && this.lentBytes < LENT_BYTES) {
      if (this.lentBytes !== 0 && this.queue.beginsWithText) break;
      const piece = this.queue.shift();
      if (piece === undefined) break;
      this.addLent(piece);
    }
    this.stage(0, 0);
  }

  private addLent(piece: Uint8Array): void {
    this.lent.push(piece);
    this.lentSizes.push(piece.length);
    this.lentBytes += piece.length;
  }

  /** Whether a piece fits into the send of lent bytes that is still in the window. */
  private extendLent(piece: Uint8Array): boolean {
    const { lent, lending } = this;
    if (lending === 0 || this.lentBytes !== lending || this.next !== 0 || this.queue.bytes !== 0) return false;
    if (lent.length >= LENT_PIECES - 1 || lending + piece.length > LENT_BYTES) return false; // one for waitForRoom()
    if (!this.sending.extend(piece.length)) return false;
    this.addLent(piece);
    this.lending += piece.length;
    this.show(lent);
    return true;
  }

  /** The kernel has taken `sent` of the bytes that were lent to it, and reads them no more. */
  private onLentSent(sent: number): void {
    const { lent, lentSizes } = this;
    this.hideLent();
    this.lentBytes -= sent;
    if (this.lentBytes === 0) {
      this.dropLent();
      return;
    }
    this.lentSkip += sent;
    while (this.lentSkip >= (lentSizes[0] as number)) {
      this.lentSkip -= lentSizes.shift() as number;
      lent.shift();
    }
  }

  private dropLent(): void {
    const { lent, lentSizes } = this;
    while (lent.length !== 0) {
      lent.pop(); // `length = 0` would be a call into C++, and lose the room that the array has
      lentSizes.pop();
    }
    this.lentBytes = 0;
    this.lentSkip = 0;
  }

  private show(lent: LentBytes[number]): void {
    this.shown = lent;
    this.shard.lent[this.file] = lent;
  }

  private hideLent(): void {
    const { shard, file } = this;
    this.lending = 0;
    if (shard.lent[file] === this.shown) shard.lent[file] = undefined; // else it is the next connection's in this slot
    this.shown = undefined;
  }
}

/** Whether its bytes stay where they are until it is detached. A resizable buffer may shrink below them. */
export function hasFixedLength(bytes: Uint8Array): boolean {
  return (bytes.buffer as { resizable?: boolean }).resizable !== true;
}
