// Writes the frames of a server: unmasked, each message in one frame.
//
//   FIN opcode | length, 7 bits or 2 or 8 bytes | payload
//
// A small frame is written straight into a send buffer. Of a large one, the payload is lent (shard/send-queue.ts).
//
// Next: connection.ts.

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
