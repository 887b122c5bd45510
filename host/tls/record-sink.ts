// The outgoing bytes of a connection over TLS: they are encrypted into the sink of the transport below.
//
//   reserve(), few bytes --> [ staged: a send buffer ] --\
//   many bytes           --> [ pieces ] -----------------> encrypted behind the JavaScript that runs now --> below
//
// Bytes that are queued in one go share records. Encrypted bytes are copied into a send buffer if they are few. If they
// are many, they are in an array of their own, which is lent to the kernel. Pieces wait while the transport below has
// more than AHEAD_BYTES that are not out. So a client that does not read costs the memory of one copy.
//
// Next: record-transport.ts.

import { type LongText, shiftBytes } from '../base/long-text.js';
import { copyTo, ownCopy, uninitialized } from '../base/own-bytes.js';
import { Queue } from '../base/queue.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import type { ByteSink } from '../shard/transport.js';
import type { RecordConnection } from './record-engine.js';

const AHEAD_BYTES = 262_144; // encrypted, and not out
const PART_BYTES = 65_536; // encrypted into one array
const PART_PIECES = 16;

export class RecordSink implements ByteSink {
  #queuedBytes = 0;
  #writtenBytes = 0; // the transport below has them
  #lastSentBytes = 0;
  #isBroken = false;
  #isScheduled = false;
  #onWritten: (() => void) | undefined; // all is queued: called when it is encrypted
  #staged = 0; // the address of a send buffer, behind the pieces
  #stagedBytes = 0; // of it that are filled
  readonly #pieces = new Queue<Uint8Array | LongText>();
  readonly #shard: Shard;
  readonly #connection: RecordConnection;
  readonly #below: ByteSink;
  readonly #onBroken: () => void;
  readonly #flush = () => {
    this.#isScheduled = false;
    this.advance();
  };

  /** `onBroken`: the program has detached bytes that were not sent yet, or OpenSSL has failed. */
  constructor(shard: Shard, connection: RecordConnection, below: ByteSink, onBroken: () => void) {
    this.#shard = shard;
    this.#connection = connection;
    this.#below = below;
    this.#onBroken = onBroken;
  }

  get isIdle(): boolean {
    return (this.#queuedBytes === this.#writtenBytes || this.#isBroken) && this.#below.isIdle;
  }

  get backlogBytes(): number {
    return this.#queuedBytes - this.#writtenBytes + this.#below.backlogBytes;
  }

  /** Of the plain bytes. Bytes that wait below are encrypted, and somewhat more than they are. */
  get sentBytes(): number {
    this.#lastSentBytes = Math.max(this.#lastSentBytes, this.#writtenBytes - this.#below.backlogBytes);
    return this.#lastSentBytes;
  }

  /** A body is always enqueued. */
  reserve(bytes: number, body?: Uint8Array): number {
    const { sendBuffers, header } = this.#shard;
    if (this.#isBroken || body !== undefined || bytes > header.sendBufferBytes) return 0;
    if (this.#stagedBytes + bytes > header.sendBufferBytes) this.#unstage();
    if (this.#staged === 0) this.#staged = sendBuffers.take();
    if (this.#staged === 0) return 0;
    const at = this.#staged + this.#stagedBytes;
    this.#stagedBytes += bytes;
    this.#queuedBytes += bytes;
    this.#schedule();
    return at;
  }

  enqueue(bytes: Uint8Array): void {
    const { length } = bytes;
    if (this.#isBroken || length === 0) return;
    const at = length <= COPIED_BYTES ? this.reserve(length) : 0;
    if (at !== 0) {
      copyTo(this.#shard.bytes, at, bytes, 0, length);
      return;
    }
    this.#push(bytes);
  }

  enqueueText(text: LongText): void {
    if (!this.#isBroken) this.#push(text);
  }

  #push(piece: Uint8Array | LongText): void {
    this.#unstage();
    this.#pieces.push(piece);
    this.#queuedBytes += piece.length;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#flush);
  }

  /** The staged bytes become a piece, and the send buffer goes back. */
  #unstage(): void {
    if (this.#staged === 0) return;
    this.#pieces.push(ownCopy(this.#shard.bytes, this.#staged, this.#staged + this.#stagedBytes));
    this.#giveBack();
  }

  #giveBack(): void {
    this.#shard.sendBuffers.give(this.#staged);
    this.#staged = 0;
    this.#stagedBytes = 0;
  }

  /** Encrypts what is queued, as far as the transport below is not behind. */
  advance(): void {
    if (this.#isBroken) return;
    if (this.#pieces.length === 0) this.#encryptStaged();
    else {
      this.#unstage();
      while (this.#pieces.length !== 0 && this.#below.backlogBytes < AHEAD_BYTES) this.#encryptPart();
      if (this.#pieces.length !== 0) this.#below.hurry(); // onSent() goes on
    }
    if (this.#onWritten === undefined || this.#queuedBytes !== this.#writtenBytes) return;
    this.#onWritten();
    this.#onWritten = undefined;
  }

  #encryptStaged(): void {
    const bytes = this.#stagedBytes;
    if (bytes === 0) return;
    const count = this.#connection.send(this.#shard.bytes, this.#staged, this.#staged + bytes);
    this.#giveBack();
    if (count < 0) this.#onBroken();
    else {
      this.#writtenBytes += bytes;
      this.sendOutput(count);
    }
  }

  /** Sends the first bytes of the engine's output. */
  sendOutput(count: number): void {
    if (count === 0) return;
    const { output } = this.#connection;
    const at = this.#below.reserve(count);
    if (at !== 0) copyTo(this.#shard.bytes, at, output, 0, count);
    else this.#below.enqueue(ownCopy(output, 0, count));
  }

  #encryptPart(): void {
    const parts = this.#takePart();
    const plainBytes = parts.reduce((sum, { length }) => sum + length, 0);
    const encrypted = uninitialized(this.#connection.encryptedBytes(plainBytes, parts.length));
    let used = 0;
    for (const part of parts) {
      const count = part.length === 0 ? -1 : this.#connection.send(part, 0, part.length, encrypted.subarray(used));
      if (count < 0) {
        this.#onBroken();
        return;
      }
      used += count;
    }
    this.#writtenBytes += plainBytes;
    this.#below.enqueue(encrypted.subarray(0, used));
  }

  #takePart(): Uint8Array[] {
    const parts: Uint8Array[] = [];
    let room = PART_BYTES;
    while (room > 0 && parts.length < PART_PIECES) {
      const piece = shiftBytes(this.#pieces);
      if (piece === undefined) break;
      if (piece.length > room) this.#pieces.unshift(piece.subarray(room));
      parts.push(piece.length > room ? piece.subarray(0, room) : piece);
      room -= piece.length;
    }
    return parts;
  }

  /** Calls back when all that is queued is encrypted. */
  whenWritten(callback: () => void): void {
    this.#onWritten = callback;
    this.advance();
  }

  hurry(): void {
    this.#below.hurry();
  }

  /** Nothing more goes out. */
  break(): void {
    if (this.#staged !== 0) this.#giveBack();
    this.#isBroken = true;
    this.#pieces.clear();
  }
}
