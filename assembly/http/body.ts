// === The body of a request ===
//
// The bytes behind a head come in pieces of any size. The decoder returns the data of a piece as one run, as a place
// inside the piece. If the data of several chunks is in the piece, it is moved together there, over the framing
// between. So the caller's work depends on the number of pieces, and not on that of chunks, which the client chooses.
// It keeps its whole state in the Connection and takes the framing of chunks one byte at a time. So it cannot matter
// where a piece ends. The data between is never read.
//
//   1 CRLF a CRLF 2 CRLF bc CRLF ...   -->   1 CRLF a b c ...
//          ^                                        ^---^ dataStart, dataBytes
//
//   5;name=value CRLF   SIZE_FIRST SIZE SIZE_SPACE EXTENSION_... SIZE_LF
//   hello CRLF          DATA DATA_CR DATA_LF
//   0 CRLF              a size of 0 is the last chunk
//   name: value CRLF    TRAILER_START TRAILER_NAME TRAILER_VALUE TRAILER_LF
//   CRLF                TRAILER_START LAST_LF DONE
//
// Limits: a size of 16 digits and below 2^53, 256 bytes of extension for each chunk, 8 KiB of trailers. Extensions and
// trailers are only checked here: a malformed one is refused, for another server may find the end of its line
// elsewhere. The host finds the trailers by lineBytes, which counts them (host/http/trailers.ts). Bare LF is refused
// everywhere.
//
// Next: response.ts.

import { RANGE } from '../check';
import { COLON, CR, HTAB, isDigit, isToken, isValue, LF, SP } from './chars';
import { BAD_REQUEST, Connection, Flag, HEAD_TOO_LARGE, State } from './connection';

const SIZE_DIGITS_MAX: u16 = 16;
const EXTENSION_BYTES_MAX: u16 = 256;
const TRAILER_BYTES_MAX: u16 = 8192;
const SEMICOLON: u32 = 0x3b;
const EQUALS: u32 = 0x3d;
const QUOTE: u32 = 0x22;
const BACKSLASH: u32 = 0x5c;
const SIZE_LIMIT: u64 = 1 << 49; // one more digit would make 2^53 of it

/**
 * Decodes on until the body is done or the input is used up. Returns the bytes consumed, which it may have overwritten;
 * 0 means that more input is needed, or, with Flag.DONE, none. Negative: -status, or RANGE if no head was parsed
 * before. If data comes before what must be refused, the data is handed out first, and the next call refuses.
 */
export function http_body(conn: usize, ptr: usize, len: u32): i32 {
  assert(conn != 0);
  assert(ptr != 0 || len == 0);
  assert(changetype<Connection>(conn).state <= <u16>State.FAILED);
  const c = changetype<Connection>(conn);
  c.dataStart = 0;
  c.dataBytes = 0;
  if (<i32>c.state < State.LENGTH) return RANGE;
  if (c.state == State.FAILED) return <i32>c.progress;
  const end = ptr + min(len, <u32>i32.MAX_VALUE);
  let at = ptr;
  while (at < end && c.state != State.DONE) {
    if (c.state == State.LENGTH || c.state == State.DATA) {
      at = data(c, ptr, at, end);
      continue;
    }
    const status = framing(c, load<u8>(at));
    assert(status <= 0);
    if (status < 0) {
      c.state = <u16>State.FAILED;
      c.progress = <u64>status;
      return c.dataBytes == 0 ? status : <i32>(at - ptr);
    }
    at++;
  }
  return <i32>(at - ptr);
}

/** Adds what is here of the body or chunk to the run. Returns where it ends. */
function data(c: Connection, ptr: usize, at: usize, end: usize): usize {
  assert(at < end);
  assert(ptr <= at);
  assert(c.progress != 0);
  assert(c.state == State.LENGTH || c.state == State.DATA);
  assert(ptr + c.dataStart + c.dataBytes <= at);
  const bytes = <usize>min(<u64>(end - at), c.progress);
  const to = ptr + c.dataStart + c.dataBytes;
  if (c.dataBytes == 0) c.dataStart = <u32>(at - ptr);
  else if (bytes == 1) store<u8>(to, load<u8>(at));
  else memory.copy(to, at, bytes);
  c.dataBytes += <u32>bytes;
  c.progress -= bytes;
  if (c.progress == 0) {
    if (c.state == State.DATA) c.state = <u16>State.DATA_CR;
    else done(c);
  }
  return at + bytes;
}

function done(c: Connection): i32 {
  assert(c.progress == 0 || c.state != State.LENGTH);
  c.state = <u16>State.DONE;
  c.flags |= Flag.DONE;
  return 0;
}

/** Goes on to a state. A tail call in spirit: its 0 is the answer of framing(). */
function go(c: Connection, state: u16): i32 {
  assert(state > <u16>State.LENGTH);
  assert(state < <u16>State.DONE);
  c.state = state;
  return 0;
}

/** Takes one byte between runs of data. Returns 0 or a status. */
function framing(c: Connection, byte: u32): i32 {
  assert(byte < 256);
  assert(c.state != <u16>State.DATA);
  assert(c.state > <u16>State.LENGTH);
  assert(c.state < <u16>State.DONE);
  switch (<u32>c.state) {
    case State.SIZE_FIRST:
    case State.SIZE:
    case State.SIZE_SPACE:
      return sizeLine(c, byte);
    case State.SIZE_LF: {
      c.lineBytes = 0;
      if (byte != LF) return BAD_REQUEST;
      return go(c, <u16>(c.progress == 0 ? State.TRAILER_START : State.DATA));
    }
    case State.DATA_CR:
      return byte == CR ? go(c, <u16>State.DATA_LF) : BAD_REQUEST;
    case State.DATA_LF:
      return byte == LF ? go(c, <u16>State.SIZE_FIRST) : BAD_REQUEST;
    case State.LAST_LF:
      return byte == LF ? done(c) : BAD_REQUEST;
    default:
      return c.state < <u16>State.SIZE_LF ? extension(c, byte) : trailerLine(c, byte);
  }
}

/** The value of a hex digit, or -1. */
function hexValue(byte: u32): i32 {
  assert(byte < 256);
  if (isDigit(byte)) return byte - 0x30;
  const letter = (byte | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : -1;
}

function sizeLine(c: Connection, byte: u32): i32 {
  assert(c.state == State.SIZE_FIRST || c.state == State.SIZE || c.state == State.SIZE_SPACE);
  assert(c.lineBytes <= EXTENSION_BYTES_MAX);
  const state = c.state;
  if (state == State.SIZE_FIRST || state == State.SIZE) {
    const digit = hexValue(byte);
    if (digit >= 0) {
      if (c.progress >= SIZE_LIMIT || c.lineBytes == SIZE_DIGITS_MAX) return BAD_REQUEST;
      c.progress = (c.progress << 4) | digit;
      c.lineBytes++;
      return go(c, <u16>State.SIZE);
    }
    if (state == State.SIZE_FIRST) return BAD_REQUEST;
    c.lineBytes = 0; // from here on it counts the extension
  }
  return extension(c, byte);
}

/** Behind the size: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 7.1.1. */
function extension(c: Connection, byte: u32): i32 {
  assert(c.state < <u16>State.SIZE_LF);
  assert(c.lineBytes <= EXTENSION_BYTES_MAX);
  const state = <u32>c.state;
  if (byte == CR) {
    const mayEnd =
      state == State.SIZE ||
      state == State.EXTENSION_NAME ||
      state == State.EXTENSION_VALUE ||
      state == State.EXTENSION_END;
    return mayEnd ? go(c, <u16>State.SIZE_LF) : BAD_REQUEST;
  }
  if (c.lineBytes++ == EXTENSION_BYTES_MAX) return HEAD_TOO_LARGE;
  const isSpace = byte == SP || byte == HTAB;
  switch (state) {
    case State.EXTENSION_FIRST: {
      if (isSpace) return 0;
      return isToken(byte) ? go(c, <u16>State.EXTENSION_NAME) : BAD_REQUEST;
    }
    case State.EXTENSION_NAME:
    case State.EXTENSION_NAME_SPACE: {
      if (isSpace) return go(c, <u16>State.EXTENSION_NAME_SPACE);
      if (state == State.EXTENSION_NAME && isToken(byte)) return 0;
      if (byte == EQUALS) return go(c, <u16>State.EXTENSION_VALUE_FIRST);
      break;
    }
    case State.EXTENSION_VALUE_FIRST: {
      if (isSpace) return 0;
      if (byte == QUOTE) return go(c, <u16>State.EXTENSION_QUOTED);
      return isToken(byte) ? go(c, <u16>State.EXTENSION_VALUE) : BAD_REQUEST;
    }
    case State.EXTENSION_QUOTED: {
      if (byte == QUOTE) return go(c, <u16>State.EXTENSION_END);
      if (byte == BACKSLASH) return go(c, <u16>State.EXTENSION_ESCAPE);
      return isValue(byte) ? 0 : BAD_REQUEST;
    }
    case State.EXTENSION_ESCAPE:
      return isValue(byte) ? go(c, <u16>State.EXTENSION_QUOTED) : BAD_REQUEST;
    default: {
      if (state == State.EXTENSION_VALUE && isToken(byte)) return 0;
      if (isSpace) return go(c, <u16>State.SIZE_SPACE);
    }
  }
  return byte == SEMICOLON ? go(c, <u16>State.EXTENSION_FIRST) : BAD_REQUEST;
}

function trailerLine(c: Connection, byte: u32): i32 {
  assert(c.state >= <u16>State.TRAILER_START);
  assert(c.state <= <u16>State.TRAILER_LF);
  assert(c.lineBytes <= TRAILER_BYTES_MAX);
  const state = c.state;
  if (state == State.TRAILER_START && byte == CR) return go(c, <u16>State.LAST_LF);
  if (c.lineBytes++ == TRAILER_BYTES_MAX) return HEAD_TOO_LARGE;
  if (state == State.TRAILER_VALUE) {
    if (byte == CR) return go(c, <u16>State.TRAILER_LF);
    return isValue(byte) ? 0 : BAD_REQUEST;
  }
  if (state == State.TRAILER_LF) return byte == LF ? go(c, <u16>State.TRAILER_START) : BAD_REQUEST;
  if (byte == COLON && state == State.TRAILER_NAME) return go(c, <u16>State.TRAILER_VALUE);
  return isToken(byte) ? go(c, <u16>State.TRAILER_NAME) : BAD_REQUEST;
}
