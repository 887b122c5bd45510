// === The frames of one WebSocket connection ===
//
//   bytes --> [ head, 2 to 14 bytes ] [ payload ] [ head ] [ payload ] ...
//                 |                       \--> unmasked where it lies; text is checked: dataStart, dataBytes, event
//                 \--> kept in `head` if it comes in parts
//
// One ws_parse() takes the rest of a head and as much as is here of its payload, of one frame. So a payload is handed
// out as it comes, and a message in a hundred frames costs no memory here.
//
// All that RFC 6455 says of frames is checked: reserved bits, opcodes, masks, the form of lengths, control frames, the
// order of fragments. So is the limit of a message. The first frame that breaks a rule fails the connection, with a
// close code. The host checks whether text is UTF-8, when a message is complete: engines have a fast function for that.
// The core says whether a text has bytes that are not ASCII (WIDE).
//
// Next: mask.ts.

import { CONNECTION_BYTES } from '../layout';
import { unmask } from './mask';

@unmanaged
export class Frames {
  state: u8; // State
  headBytes: u8; // so many bytes are in `head`
  message: u8; // the message under way: its opcode, COMPRESSED, WIDE; 0 = none
  flags: u32; // Flag, as ws_reset() was told
  frame: u32; // the current frame: the opcode if it is a control frame, and FIN
  event: u32; // what the last ws_parse() has found, Event; 0 = nothing yet
  mask: u32; // of the payload byte that comes next, and of the three behind it
  left: u32; // bytes of the payload still to come; FAILED: the close code
  messageBytes: u32; // of the message, with the whole current frame
  maxBytes: u32; // that a message may have
  dataStart: u32; // relative to the `ptr` of the last ws_parse()
  dataBytes: u32;
  head: u64; // the beginning of a head
  headRest: u64;
}

export enum State {
  HEAD = 0,
  PAYLOAD = 1,
  FAILED = 2,
}

export enum Flag {
  MASKED = 1, // the peer masks its frames, as clients do, and must
  DEFLATE = 2, // permessage-deflate was negotiated
}

// The lowest four bits are the opcode of the message or of the control frame.
export enum Event {
  TEXT = 1,
  BINARY = 2,
  CLOSE = 8,
  PING = 9,
  PONG = 10,
  OPCODE = 15,
  COMPRESSED = 16, // the message is
  WIDE = 32, // a text that is not all ASCII so far
  FIN = 64, // the last frame of its message
  END = 128, // the last bytes of its frame
}

export const PROTOCOL_ERROR: u32 = 1002;
export const TOO_LARGE: u32 = 1009;

const FIRST_FIN: u32 = 0x80;
const FIRST_RSV1: u32 = 0x40;
const FIRST_RSV: u32 = 0x70;
const CONTROL: u32 = 8;
const CONTROL_BYTES_MAX: u64 = 125;
const LENGTH_16: u32 = 126;
const LENGTH_64: u32 = 127;

/** Makes the memory that of a connection on which no frame has come. `flags`: Flag. */
export function ws_reset(conn: usize, flags: u32, maxBytes: u32): void {
  assert((conn & 15) == 0);
  assert(conn != 0);
  const zero = i64x2.splat(0);
  for (let at: usize = 0; at < CONNECTION_BYTES; at += 16) v128.store(conn + at, zero);
  const f = changetype<Frames>(conn);
  f.flags = flags;
  f.maxBytes = maxBytes;
}

/**
 * Takes what is left of one frame's head, and what is here of its payload. Returns the bytes taken. `event` says what
 * they are, and is 0 if more is needed first. Negative: -code, the close code with which the connection fails.
 */
export function ws_parse(conn: usize, ptr: usize, len: u32): i32 {
  assert(conn != 0);
  assert(ptr != 0 || len == 0);
  assert(len <= <u32>i32.MAX_VALUE);
  assert(changetype<Frames>(conn).state <= <u8>State.FAILED);
  const f = changetype<Frames>(conn);
  f.event = 0;
  if (f.state == State.FAILED) return -(<i32>f.left);
  const end = ptr + len;
  let at = ptr;
  if (f.state == State.HEAD) {
    at = takeHead(f, ptr, end);
    if (at == 0) return -(<i32>f.left);
    if (f.state == State.HEAD) return <i32>(at - ptr);
  }
  const bytes = min(f.left, <u32>(end - at));
  if (bytes == 0 && f.left != 0) return <i32>(at - ptr);
  f.dataStart = <u32>(at - ptr);
  f.dataBytes = bytes;
  f.left -= bytes;
  takePayload(f, at, bytes);
  return <i32>(at - ptr + bytes);
}

function fail(f: Frames, code: u32): u32 {
  assert(code >= PROTOCOL_ERROR);
  assert(f.state != <u8>State.FAILED);
  f.state = <u8>State.FAILED;
  f.left = code;
  f.event = 0;
  return code;
}

/** How long a head is whose second byte is this. */
function headLength(second: u32): u32 {
  assert(second < 256);
  const length = second & 127;
  const more: u32 = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
  return 2 + more + ((second >> 7) << 2);
}

/** Takes bytes of a head. Returns where it stopped; 0: the frame is refused. */
function takeHead(f: Frames, at: usize, end: usize): usize {
  assert(f.state == <u8>State.HEAD);
  assert(at <= end);
  let head = at;
  if (f.headBytes == 0 && end - at >= 2 && end - at >= headLength(load<u8>(at + 1))) {
    at += headLength(load<u8>(at + 1));
  } else {
    head = changetype<usize>(f) + offsetof<Frames>('head');
    let isWhole = false;
    while (at < end && !isWhole) {
      store<u8>(head + f.headBytes, load<u8>(at));
      f.headBytes++;
      at++;
      isWhole = f.headBytes == headLength(load<u8>(head + 1)); // which is 2 at least
    }
    if (!isWhole) return at;
    f.headBytes = 0;
  }
  const code = begin(f, head);
  if (code == 0) return at;
  fail(f, code);
  return 0;
}

/** Begins the frame whose head lies there. Returns 0 or a close code. */
function begin(f: Frames, head: usize): u32 {
  assert(f.state == <u8>State.HEAD);
  assert(head != 0);
  const first: u32 = load<u8>(head);
  const second: u32 = load<u8>(head + 1);
  let at = head + 2;
  let length: u64 = second & 127;
  if (length == LENGTH_16) {
    length = bswap<u16>(load<u16>(at));
    if (length < LENGTH_16) return PROTOCOL_ERROR;
    at += 2;
  } else if (length == LENGTH_64) {
    length = bswap<u64>(load<u64>(at));
    if (length <= u16.MAX_VALUE || load<u8>(at) > 127) return PROTOCOL_ERROR;
    at += 8;
  }
  const isMasked = second >> 7;
  if (isMasked != (f.flags & Flag.MASKED)) return PROTOCOL_ERROR;
  f.mask = isMasked != 0 ? load<u32>(at) : 0;
  f.state = <u8>State.PAYLOAD;
  return (first & CONTROL) != 0 ? beginControl(f, first, length) : beginData(f, first, length);
}

function beginControl(f: Frames, first: u32, length: u64): u32 {
  assert((first & CONTROL) != 0);
  assert(f.state == <u8>State.PAYLOAD);
  const opcode = first & Event.OPCODE;
  if ((first & (FIRST_RSV | FIRST_FIN)) != FIRST_FIN) return PROTOCOL_ERROR;
  if (opcode > <u32>Event.PONG || length > CONTROL_BYTES_MAX) return PROTOCOL_ERROR;
  f.frame = opcode | Event.FIN;
  f.left = <u32>length;
  return 0;
}

function beginData(f: Frames, first: u32, length: u64): u32 {
  assert((first & CONTROL) == 0);
  assert(f.state == <u8>State.PAYLOAD);
  const opcode = first & Event.OPCODE;
  let rsv = first & FIRST_RSV;
  if (opcode == 0) {
    if (f.message == 0) return PROTOCOL_ERROR;
  } else {
    if (f.message != 0 || opcode > <u32>Event.BINARY) return PROTOCOL_ERROR;
    f.message = <u8>opcode;
    f.messageBytes = 0;
    if (rsv == FIRST_RSV1 && (f.flags & Flag.DEFLATE) != 0) {
      f.message |= <u8>Event.COMPRESSED;
      rsv = 0;
    }
  }
  if (rsv != 0) return PROTOCOL_ERROR;
  if (length > f.maxBytes - f.messageBytes) return TOO_LARGE;
  f.messageBytes += <u32>length;
  f.frame = (first & FIRST_FIN) != 0 ? Event.FIN : 0;
  f.left = <u32>length;
  return 0;
}

/** Unmasks bytes of the payload, and says what they are. */
function takePayload(f: Frames, at: usize, bytes: u32): void {
  assert(f.state == <u8>State.PAYLOAD);
  assert(f.messageBytes <= f.maxBytes);
  const isControl = (f.frame & CONTROL) != 0;
  const isText = !isControl && (f.message & (Event.OPCODE | Event.COMPRESSED)) == Event.TEXT;
  const isWide = unmask(at, bytes, f.mask);
  f.mask = rotr<u32>(f.mask, bytes << 3);
  if (isText && isWide) f.message |= <u8>Event.WIDE;
  f.event = f.frame | (isControl ? 0 : f.message);
  if (f.left != 0) return;
  f.event |= Event.END;
  f.state = <u8>State.HEAD;
  if (!isControl && (f.frame & Event.FIN) != 0) f.message = 0;
}
