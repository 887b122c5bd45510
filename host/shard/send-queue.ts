// The bytes that go out on one connection, in order. At most one SEND is open at a time. Responses of one turn are
// gathered in its buffer while it is still in the window. Later bytes gather in a second buffer. More than a buffer
// waits as bytes on the JavaScript side.
//
//   reserve() --> [ current: staged or in the kernel ] [ next: gathering ] [ queue: bytes ]
//
// A SEND takes what the socket has room for, at once (MSG_DONTWAIT). If the socket is full, the rest goes back into the
// queue, in front, and the queue waits for room (watchRoom) without a send buffer. So a buffer is held from the moment
// when it is filled until the turn after the enter that submits it. A peer that does not read keeps none from others. A
// queue that finds no buffer free waits for one, in order: behind queues whose sockets have room.
//
// Next: byte-queue.ts.

import { ByteQueue } from '../base/byte-queue.js';
import { Errno, POLLERR, POLLHUP, POLLOUT } from '../core/kernel.js';
import { Operation } from './operation.js';
import { sendNow, watchRoom } from './ops.js';
import type { Shard } from './shard.js';

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
    return !this.sending.isOpen && !this.room.isOpen && this.queue.bytes === 0;
  }

  /** Bytes that are not out yet. */
  get backlogBytes(): number {
    return this.used + this.nextUsed + this.queue.bytes;
  }

  /** An address where exactly `bytes` must be written at once, or 0: then enqueue() them. */
  reserve(bytes: number): number {
    if (this.broken || bytes > this.bufferBytes || this.queue.bytes !== 0) return 0;
    if (!this.sending.isOpen) {
      const buffer = this.shard.sendBuffers.take();
      if (buffer === 0) return 0;
      this.stage(buffer, bytes);
      return buffer;
    }
    if (this.next === 0) {
      const at = this.used;
      if (at + bytes <= this.bufferBytes && this.sending.extend(bytes)) {
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

  /** Sends bytes of any length, behind everything else. They must not change any more. */
  enqueue(bytes: Uint8Array): void {
    if (this.broken || bytes.length === 0) return;
    this.queue.push(bytes);
    if (this.isFull) return;
    if (this.sending.isOpen) this.shard.hurry();
    else this.advance();
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
      this.giveBack();
      return false;
    }
    if (sent < this.used) {
      this.waitForRoom(sent);
      return true;
    }
    this.shard.sendBuffers.give(this.current);
    this.current = 0;
    this.used = 0;
    this.advance();
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

  /** Nothing more is sent. Buffers in the kernel's hands come back with its event. */
  break(): void {
    this.broken = true;
    this.queue.clear();
    if (this.sending.isOpen) this.sending.cancel();
    else this.giveBack();
    this.room.cancel();
  }

  private giveBack(): void {
    if (this.current !== 0) this.shard.sendBuffers.give(this.current);
    if (this.next !== 0) this.shard.sendBuffers.give(this.next);
    this.current = 0;
    this.next = 0;
    this.used = 0;
    this.nextUsed = 0;
  }

  /** The socket took `sent` bytes of the current buffer and is full. The rest of both buffers goes into the queue. */
  private waitForRoom(sent: number): void {
    const { shard, current, next, used, nextUsed } = this;
    const rest = new Uint8Array(used - sent + nextUsed);
    rest.set(shard.bytes.subarray(current + sent, current + used));
    if (nextUsed !== 0) rest.set(shard.bytes.subarray(next, next + nextUsed), used - sent);
    this.queue.unshift(rest);
    this.isFull = true;
    this.isBehind = true;
    if (!this.room.isOpen) watchRoom(this.room, this.file);
    this.giveBack();
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

  private stage(buffer: number, bytes: number): void {
    this.current = buffer;
    this.used = bytes;
    sendNow(this.sending, this.file, buffer, bytes);
    if (this.urgent || this.isBehind || this.queue.bytes !== 0) this.shard.hurry();
  }
}
