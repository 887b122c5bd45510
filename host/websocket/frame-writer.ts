// Writes frames, each message in one frame. Those of a server are not masked, those of a client are.
//
//   FIN opcode | length, 7 bits or 2 or 8 bytes | of a client: 4 bytes of mask | payload
//
// A small frame is written straight into a send buffer. Of a server's large one, the payload is lent
// (shard/send-queue.ts). A client's is copied, as the mask changes each byte. The program's bytes stay as they are.
//
// Next: connection.ts.

import { perShard } from '../shard/per-shard.js';
import { COPIED_BYTES } from '../shard/send-queue.js';
import type { Shard } from '../shard/shard.js';
import type { ByteSink } from '../shard/transport.js';

export const OPCODE_TEXT = 1;
export const OPCODE_BINARY = 2;
export const OPCODE_CLOSE = 8;
export const OPCODE_PING = 9;
export const OPCODE_PONG = 10;

/** Of a head's first byte: the message is compressed. */
export const COMPRESSED_BIT = 64;

const FIN = 128;
const SHORT_TEXT = 64; // up to here a loop beats two calls into C++

/** Length of the head of a frame with so many bytes. */
function headBytes(bytes: number): number {
  if (bytes < 126) return 2;
  return bytes < 65_536 ? 4 : 10;
}

/** Writes a head at `at`. `first`: the opcode, with bits of extensions. Returns where the payload begins. */
function writeFrameHead(target: Buffer, at: number, first: number, bytes: number): number {
  target[at] = FIN | first;
  if (bytes < 126) {
    target[at + 1] = bytes;
    return at + 2;
  }
  if (bytes < 65_536) {
    target[at + 1] = 126;
    target[at + 2] = bytes >>> 8;
    target[at + 3] = bytes;
    return at + 4;
  }
  target[at + 1] = 127;
  target.writeUInt32BE(Math.floor(bytes / 0x1_0000_0000), at + 2);
  target.writeUInt32BE(bytes >>> 0, at + 6);
  return at + 10;
}

function isShortAscii(text: string): boolean {
  if (text.length > SHORT_TEXT) return false;
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

/** A whole frame, to be sent to many. */
export function wholeFrame(first: number, payload: string | Uint8Array): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  const frame = Buffer.allocUnsafeSlow(headBytes(bytes) + bytes);
  const at = writeFrameHead(frame, 0, first, bytes);
  if (typeof payload === 'string') frame.write(payload, at, bytes, 'utf8');
  else frame.set(payload, at);
  return frame;
}

/** Sends a frame of text. Returns its bytes. */
export function sendTextFrame(shard: Shard, out: ByteSink, text: string): number {
  const isShort = isShortAscii(text);
  const bytes = isShort ? text.length : Buffer.byteLength(text);
  const total = headBytes(bytes) + bytes;
  const at = total <= COPIED_BYTES ? out.reserve(total) : 0;
  if (at === 0) {
    out.enqueue(wholeFrame(OPCODE_TEXT, text));
    return total;
  }
  const target = shard.bytes;
  const start = writeFrameHead(target, at, OPCODE_TEXT, bytes);
  if (isShort) for (let i = 0; i < bytes; i++) target[start + i] = text.charCodeAt(i);
  else target.write(text, start, bytes, 'utf8');
  return total;
}

/** Sends a frame of bytes, which must not change until they are out. Returns its bytes. */
export function sendBytesFrame(shard: Shard, out: ByteSink, first: number, payload: Uint8Array): number {
  const bytes = payload.length;
  const head = headBytes(bytes);
  const isLent = bytes > COPIED_BYTES;
  const at = isLent ? out.reserve(head, payload) : out.reserve(head + bytes);
  if (at !== 0) {
    const start = writeFrameHead(shard.bytes, at, first, bytes);
    if (!isLent) shard.bytes.set(payload, start);
  } else if (isLent) {
    const separate = Buffer.allocUnsafe(head);
    writeFrameHead(separate, 0, first, bytes);
    out.enqueue(separate, true);
    out.enqueue(payload);
  } else out.enqueue(wholeFrame(first, payload));
  return head + bytes;
}

/** Sends a frame that wholeFrame() has made. */
export function sendFrame(shard: Shard, out: ByteSink, frame: Buffer): void {
  const at = frame.length <= COPIED_BYTES ? out.reserve(frame.length) : 0;
  if (at === 0) out.enqueue(frame);
  else shard.bytes.set(frame, at);
}

// --- of a client -----------------------------------------------------------------------------------------------------

const MASK_BIT = 128; // of the second byte
const MASK_BYTES = 4;
const POOL_BYTES = 512; // masks to be used, drawn at once
const WORDS_WORTH = 64; // bytes from which on a DataView costs less than it saves

/** Masks that no script can foresee (RFC 6455 10.3). Each shard draws its own, so a simulated run can be repeated. */
class Masks {
  static readonly of = perShard(() => new Masks());

  readonly #pool = new Uint8Array(POOL_BYTES);
  #used = POOL_BYTES;

  /** Writes one. */
  next(target: Uint8Array, at: number): void {
    if (this.#used === POOL_BYTES) {
      crypto.getRandomValues(this.#pool);
      this.#used = 0;
    }
    for (let i = 0; i < MASK_BYTES; i++) target[at + i] = this.#pool[this.#used + i] as number;
    this.#used += MASK_BYTES;
  }
}

/** Masks the bytes in [from, end), by the mask in front of them. */
function mask(target: Uint8Array, from: number, end: number): void {
  let at = from;
  if (end - from >= WORDS_WORTH) {
    const view = new DataView(target.buffer, target.byteOffset); // words at any address
    const word = view.getInt32(from - MASK_BYTES, true);
    for (; end - at >= 4; at += 4) view.setInt32(at, view.getInt32(at, true) ^ word, true);
  }
  for (; at < end; at++) (target[at] as number) ^= target[from - MASK_BYTES + ((at - from) & 3)] as number;
}

function writeMaskedFrame(
  shard: Shard,
  target: Buffer,
  at: number,
  first: number,
  payload: string | Uint8Array,
  bytes: number,
): void {
  const start = writeFrameHead(target, at, first, bytes) + MASK_BYTES;
  (target[at + 1] as number) |= MASK_BIT;
  Masks.of(shard).next(target, start - MASK_BYTES);
  if (typeof payload === 'string') target.write(payload, start, bytes, 'utf8');
  else target.set(payload, start);
  mask(target, start, start + bytes);
}

/** Sends a masked frame. Returns its bytes. */
export function sendMaskedFrame(shard: Shard, out: ByteSink, first: number, payload: string | Uint8Array): number {
  const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  const total = headBytes(bytes) + MASK_BYTES + bytes;
  const at = total <= COPIED_BYTES ? out.reserve(total) : 0;
  if (at !== 0) {
    writeMaskedFrame(shard, shard.bytes, at, first, payload, bytes);
    return total;
  }
  const frame = Buffer.allocUnsafeSlow(total);
  writeMaskedFrame(shard, frame, 0, first, payload, bytes);
  out.enqueue(frame);
  return total;
}
