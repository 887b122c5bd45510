// A queue of bytes: what waits to be sent, to be looked at, or to be read by a handler.
//
//   pieces:  [ 4,096 bytes ] [ 70,000 bytes ] [ joined: 300 bytes, room for 724 ]  <-- push() of 20 bytes goes in here
//
// A peer chooses how its bytes are cut. Bytes that come one at a time must not cost an object each, so small pieces are
// joined. Two neighbours that push() has added are together always longer than JOINED_BYTES. So 64 KiB are 33 pieces at
// most, if no text is among them. Large pieces are queued as they are, without a copy. A joined piece doubles as it
// fills, so each byte is copied about twice at most.
//
// Next: send-queue.ts.

import { LongText, shiftBytes } from './long-text.js';
import { Queue } from './queue.js';

/** Pieces that are not longer together are joined. */
export const JOINED_BYTES = 4096;
const FIRST_JOINED_BYTES = 256;

export class ByteQueue {
  readonly #pieces = new Queue<Uint8Array | LongText>();
  #tail: Uint8Array | undefined; // the last piece; undefined: the queue is empty, or ends with a text
  #tailBytes = 0; // of which this many are filled; the rest is room, and only a joined piece has some
  #bytes = 0;

  /** How many bytes are in the queue. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds bytes at the end. The array belongs to the queue from here on: it must not change any more. */
  push(bytes: Uint8Array): void {
    const count = bytes.length;
    if (count === 0) return;
    this.#bytes += count;
    if (this.#tail === undefined) this.#setTail(bytes);
    else if (this.#tailBytes + count > JOINED_BYTES) {
      this.#pieces.push(this.#filled());
      this.#setTail(bytes);
    } else {
      if (this.#tailBytes + count > this.#tail.length) this.#grow(count);
      this.#tail.set(bytes, this.#tailBytes);
      this.#tailBytes += count;
    }
  }

  /** Adds the bytes of a text at the end. They are made when they are taken. */
  pushText(text: LongText): void {
    this.#bytes += text.length;
    if (this.#tail !== undefined) this.#pieces.push(this.#filled());
    this.#tail = undefined;
    this.#pieces.push(text);
  }

  /** Puts bytes in front of all others. The array belongs to the queue from here on. */
  unshift(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#tail === undefined && this.#pieces.length === 0) this.#setTail(bytes);
    else this.#pieces.unshift(bytes);
  }

  /** The first piece, which stays in the queue; undefined if the queue is empty. Not for a queue with texts. */
  get first(): Uint8Array | undefined {
    return (this.#pieces.first as Uint8Array | undefined) ?? (this.#tail && this.#filled());
  }

  /** Whether the next piece would be a part of a text, and has to be made. */
  get beginsWithText(): boolean {
    return this.#pieces.first instanceof LongText;
  }

  /** Takes the first piece; undefined if the queue is empty. */
  shift(): Uint8Array | undefined {
    let piece = shiftBytes(this.#pieces);
    if (piece === undefined && this.#tail !== undefined) {
      piece = this.#filled();
      this.#tail = undefined;
    }
    this.#bytes -= piece?.length ?? 0;
    return piece;
  }

  /** Moves up to `room` bytes to `target`, from `at` on. Returns how many. */
  moveTo(target: Uint8Array, at: number, room: number): number {
    let moved = 0;
    while (moved < room) {
      const piece = this.shift();
      if (piece === undefined) break;
      const count = Math.min(piece.length, room - moved);
      target.set(count === piece.length ? piece : piece.subarray(0, count), at + moved);
      if (count < piece.length) this.unshift(piece.subarray(count));
      moved += count;
    }
    return moved;
  }

  /** Takes all bytes as one array that has its whole buffer to itself. */
  takeAll(): Uint8Array {
    if (this.#tail !== undefined && this.#pieces.length === 0) {
      const only = this.shift() as Uint8Array;
      return only.length === only.buffer.byteLength ? only : new Uint8Array(only);
    }
    const whole = new Uint8Array(this.#bytes);
    this.moveTo(whole, 0, whole.length);
    return whole;
  }

  clear(): void {
    this.#pieces.clear();
    this.#tail = undefined;
    this.#bytes = 0;
  }

  #setTail(bytes: Uint8Array): void {
    this.#tail = bytes;
    this.#tailBytes = bytes.length;
  }

  /** The last piece, without its room. */
  #filled(): Uint8Array {
    const tail = this.#tail as Uint8Array;
    return this.#tailBytes === tail.length ? tail : tail.subarray(0, this.#tailBytes);
  }

  /** Puts a longer piece, with room for `count` bytes more, in the last one's place. */
  #grow(count: number): void {
    const size = Math.max(FIRST_JOINED_BYTES, 2 * (this.#tailBytes + count));
    const larger = new Uint8Array(Math.min(size, JOINED_BYTES));
    larger.set(this.#filled());
    this.#tail = larger;
  }
}
