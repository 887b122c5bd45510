// A long text on its way out: it becomes UTF-8 piece by piece, as pieces are taken. Many responses may have one text.
// If their clients do not read, each holds the bytes of one piece, and the text is there once.
//
// Next: byte-queue.ts.

import { uninitialized } from './own-bytes.js';
import type { Queue } from './queue.js';

/** Characters of a text that is encoded in pieces, and bytes of a piece. */
export const TEXT_PIECE_BYTES = 65_536;
const encoder = new TextEncoder();

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

export class LongText {
  /** Bytes of UTF-8 that were not taken yet. */
  length: number;
  readonly #text: string;
  #at = 0; // the first character that was not taken

  constructor(text: string) {
    this.#text = text;
    this.length = Buffer.byteLength(text);
  }

  /** The next bytes, which are the caller's. */
  next(): Uint8Array {
    const text = this.#text;
    const from = this.#at;
    let end = Math.min(from + TEXT_PIECE_BYTES, text.length);
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--; // both halves go together
    const piece = uninitialized(Math.min(TEXT_PIECE_BYTES, this.length));
    const { read, written } = encoder.encodeInto(text.slice(from, end), piece);
    this.#at = from + read;
    this.length -= written;
    return written === piece.length ? piece : piece.subarray(0, written);
  }
}

/** Takes the next bytes of a queue, in which texts may be. A text stays in front until all of it was taken. */
export function shiftBytes(queue: Queue<Uint8Array | LongText>): Uint8Array | undefined {
  const first = queue.shift();
  if (!(first instanceof LongText)) return first;
  const piece = first.next();
  if (first.length !== 0) queue.unshift(first);
  return piece;
}
