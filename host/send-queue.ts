// What goes out on one connection, in order. At most one SEND is open at a time. Answers of one turn are gathered in
// its buffer while it is still in the window; what comes later gathers in a second buffer, and what is larger than a
// buffer waits as bytes on the JavaScript side.
//
//   reserve() --> [ current: staged or in the kernel ] [ next: gathering ] [ queue: Uint8Array, ... ]

import { send, sendNow } from './ops.js';
import type { Shard } from './shard.js';

const EAGAIN = -11;

export class SendQueue {
  private readonly shard: Shard;
  private readonly file: number;
  private readonly owner: number;
  private readonly tag: number;
  private readonly bufferBytes: number;
  private op = 0; // slot of the open SEND, 0 = none
  private generation = 0;
  private current = 0; // its buffer
  private sent = 0; // bytes of it that are out
  private used = 0; // bytes of it that are filled
  private next = 0;
  private nextUsed = 0;
  private queue: Uint8Array[] = [];
  private queuedBytes = 0;
  private urgent = false; // somebody waits until all is out
  private broken = false;

  constructor(shard: Shard, file: number, owner: number, tag: number) {
    this.shard = shard;
    this.file = file;
    this.owner = owner;
    this.tag = tag;
    this.bufferBytes = shard.header.sendBufferBytes;
  }

  /** Whether all is out. Without a free send buffer bytes may wait though no SEND is open. */
  get isIdle(): boolean {
    return this.op === 0 && this.queuedBytes === 0;
  }

  /** Bytes that are not out yet. */
  get backlogBytes(): number {
    return this.used - this.sent + this.nextUsed + this.queuedBytes;
  }

  /** An address where exactly `bytes` must be written at once, or 0: then enqueue() them. */
  reserve(bytes: number): number {
    if (this.broken || bytes > this.bufferBytes || this.queuedBytes !== 0) return 0;
    if (this.op === 0) {
      const buffer = this.shard.takeSendBuffer();
      if (buffer === 0) return 0;
      this.stage(buffer, bytes);
      return buffer;
    }
    if (this.next === 0) {
      const at = this.used;
      if (at + bytes <= this.bufferBytes && this.shard.core.extend(this.op, this.generation, bytes) === 0) {
        this.used = at + bytes;
        return this.current + at;
      }
      this.next = this.shard.takeSendBuffer();
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
    this.queuedBytes += bytes.length;
    if (this.op === 0) this.advance();
    else this.shard.hurry();
  }

  /** Somebody waits until all is out: this SEND, and those that follow it. */
  hurry(): void {
    this.urgent = true;
    this.shard.hurry();
  }

  /** The SEND's event. False: the connection is broken. */
  onSent(result: number): boolean {
    this.op = 0;
    if (this.broken || (result <= 0 && result !== EAGAIN)) {
      this.giveBack();
      return false;
    }
    if (result > 0) this.sent += result;
    if (this.sent < this.used) {
      this.stageRest(); // the socket is full: the kernel goes on when there is room
      return true;
    }
    this.shard.giveSendBuffer(this.current);
    this.current = 0;
    this.used = 0;
    this.sent = 0;
    this.advance();
    return true;
  }

  /** Nothing more is sent. Buffers in the kernel's hands come back with its event. */
  break(): void {
    this.broken = true;
    this.queue = [];
    this.queuedBytes = 0;
    if (this.op === 0) this.giveBack();
    else this.shard.cancelOp(this.op, this.generation);
  }

  private giveBack(): void {
    if (this.current !== 0) this.shard.giveSendBuffer(this.current);
    if (this.next !== 0) this.shard.giveSendBuffer(this.next);
    this.current = 0;
    this.next = 0;
    this.used = 0;
    this.sent = 0;
    this.nextUsed = 0;
  }

  /** With no SEND open: stages what is next. */
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
      this.shard.giveSendBuffer(buffer);
    }
    if (this.queuedBytes === 0) {
      this.urgent = false;
      return;
    }
    const buffer = this.shard.takeSendBuffer();
    if (buffer === 0) {
      this.shard.whenSendBufferFree(() => {
        if (this.op === 0 && !this.broken) this.advance();
      });
      return;
    }
    this.stage(buffer, this.fill(buffer));
  }

  /** Moves queued bytes into a buffer. Answers how many. */
  private fill(buffer: number): number {
    let at = 0;
    while (at < this.bufferBytes && this.queue.length !== 0) {
      const head = this.queue[0];
      const room = this.bufferBytes - at;
      const part = head.length <= room ? head : head.subarray(0, room);
      this.shard.bytes.set(part, buffer + at);
      at += part.length;
      if (part === head) this.queue.shift();
      else this.queue[0] = head.subarray(room);
    }
    this.queuedBytes -= at;
    return at;
  }

  private stage(buffer: number, bytes: number): void {
    this.current = buffer;
    this.used = bytes;
    this.sent = 0;
    this.op = sendNow(this.shard, this.file, buffer, bytes, this.owner, this.tag);
    this.generation = this.shard.opGeneration(this.op);
    if (this.urgent || this.queuedBytes !== 0) this.shard.hurry();
  }

  private stageRest(): void {
    const at = this.current + this.sent;
    this.op = send(this.shard, this.file, at, this.used - this.sent, this.owner, this.tag);
    this.generation = this.shard.opGeneration(this.op);
  }
}
