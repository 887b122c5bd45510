// === The fields that decide how a message is framed ===
//
// A complete and well-formed field line comes in. If it is one of the five that matter to the connection, its meaning
// goes into the flags. All others are left to the application. Requests are smuggled where two servers in a row can
// read a message differently (RFC 9112 11.2). So ambiguous lines are refused: two lengths (even equal ones), a list of
// lengths, a length and a coding, a coding in HTTP/1.0, two hosts.
//
// Next: body.ts.

import { COLON, HTAB, isDigit, isToken, lower4, lower8, SP } from './chars';
import { BAD_REQUEST, Connection, EXPECTATION_FAILED, Flag, NOT_IMPLEMENTED } from './connection';
import { isAuthority, isPlainAuthority } from './target';

const LENGTH_MAX: u64 = 0x1fffffffffffff; // 2^53 - 1, what a double holds exactly

function isSpace(byte: u32): bool {
  assert(byte < 256);
  return byte == SP || byte == HTAB;
}

/** Where the spaces at `start` end. A comma or a CR is at `end`, or the byte before it is no space. */
function skipSpace(start: usize, end: usize): usize {
  while (isSpace(load<u8>(start))) start++;
  assert(start <= end);
  return start;
}

function trimSpace(start: usize, end: usize): usize {
  assert(start <= end);
  while (end > start && isSpace(load<u8>(end - 1))) end--;
  return end;
}

function isChunked(start: usize, end: usize): bool {
  assert(start <= end);
  return end - start == 7 && (lower8(start) & 0xffffffffffffff) == 0x64656b6e756863;
}

function isKeepAlive(start: usize, end: usize): bool {
  assert(start <= end);
  return end - start == 10 && lower8(start) == 0x696c612d7065656b && (load<u16>(start + 8) | 0x2020) == 0x6576;
}

function isClose(start: usize, end: usize): bool {
  assert(start <= end);
  return end - start == 5 && (lower8(start) & 0xffffffffff) == 0x65736f6c63;
}

function isUpgrade(start: usize, end: usize): bool {
  assert(start <= end);
  return end - start == 7 && (lower8(start) & 0xffffffffffffff) == 0x65646172677075;
}

function isContinue(start: usize, end: usize): bool {
  assert(start <= end);
  return end - start == 12 && lower8(start) == 0x746e6f632d303031 && lower4(start + 8) == 0x65756e69;
}

function host(c: Connection, start: usize, end: usize): i32 {
  assert(start <= end);
  if ((c.flags & Flag.HAS_HOST) != 0) return BAD_REQUEST;
  c.flags |= Flag.HAS_HOST;
  if (isPlainAuthority(start, end)) return 0;
  c.flags |= Flag.ODD_HOST;
  return isAuthority(start, end, false) ? 0 : BAD_REQUEST;
}

function expect(c: Connection, start: usize, end: usize): i32 {
  assert(start <= end);
  if (!isContinue(start, end)) return EXPECTATION_FAILED;
  if ((c.flags & Flag.HTTP_1_0) == 0) c.flags |= Flag.EXPECT_CONTINUE; // RFC 9110 10.1.1: ignored in 1.0
  return 0;
}

/** A list of options; those that are unknown or empty are passed over (RFC 9110 5.6.1). */
function connection(c: Connection, start: usize, end: usize): i32 {
  assert(start <= end);
  if (isKeepAlive(start, end)) {
    c.flags |= Flag.KEEP_ALIVE; // nearly always that and nothing else
    return 0;
  }
  let member = start;
  while (member < end) {
    let stop = member;
    while (stop < end && load<u8>(stop) != 0x2c) stop++;
    assert(stop <= end);
    const from = skipSpace(member, stop);
    const to = trimSpace(from, stop);
    if (isKeepAlive(from, to)) c.flags |= Flag.KEEP_ALIVE;
    else if (isClose(from, to)) c.flags |= Flag.CLOSE;
    else if (isUpgrade(from, to)) c.flags |= Flag.UPGRADE;
    member = stop + 1;
  }
  return 0;
}

function contentLength(c: Connection, start: usize, end: usize): i32 {
  assert(start <= end);
  if ((c.flags & (Flag.HAS_LENGTH | Flag.CHUNKED)) != 0 || start == end) return BAD_REQUEST;
  let value: u64 = 0;
  for (let at = start; at < end; at++) {
    const byte: u32 = load<u8>(at);
    if (!isDigit(byte)) return BAD_REQUEST;
    value = value * 10 + (byte - 0x30);
    if (value > LENGTH_MAX) return BAD_REQUEST;
  }
  c.contentLength = <f64>value;
  c.flags |= Flag.HAS_LENGTH;
  return 0;
}

function transferEncoding(c: Connection, start: usize, end: usize): i32 {
  assert(start <= end);
  if ((c.flags & (Flag.HAS_LENGTH | Flag.CHUNKED | Flag.HTTP_1_0)) != 0) return BAD_REQUEST;
  if (!isChunked(start, end)) return endsInChunked(start, end) ? NOT_IMPLEMENTED : BAD_REQUEST;
  c.flags |= Flag.CHUNKED;
  return 0;
}

/**
 * Whether a list of codings ends in "chunked", and has it nowhere else: then others are before it, which are not known
 * here. Without it the end of the body is unknown (RFC 9112 6.3).
 */
function endsInChunked(start: usize, end: usize): bool {
  assert(start <= end);
  let member = start;
  while (member < end) {
    let stop = member;
    while (stop < end && load<u8>(stop) != 0x2c) stop++;
    const from = skipSpace(member, stop);
    const to = trimSpace(from, stop);
    if (isChunked(from, to)) return stop == end;
    if (!isToken(load<u8>(from))) return false; // a comma, if the member is empty: the list has no space at its end
    member = stop + 1;
  }
  return false;
}

/** Takes in the field with the name [name, name + nameBytes) and the raw value [start, end). Returns 0 or a status. */
export function applyField(c: Connection, name: usize, nameBytes: usize, start: usize, end: usize): i32 {
  assert(nameBytes != 0);
  assert(start <= end);
  assert(load<u8>(name + nameBytes) == COLON);
  const from = skipSpace(start, end);
  const to = trimSpace(from, end);
  assert(from <= to);
  assert(to <= end);
  switch (<u32>nameBytes) {
    case 4: {
      if (lower4(name) == 0x74736f68) return host(c, from, to);
      return 0;
    }
    case 6: {
      if (lower4(name) == 0x65707865 && (load<u16>(name + 4) | 0x2020) == 0x7463) return expect(c, from, to);
      return 0;
    }
    case 10: {
      const isName = lower8(name) == 0x697463656e6e6f63 && (load<u16>(name + 8) | 0x2020) == 0x6e6f;
      return isName ? connection(c, from, to) : 0;
    }
    case 14: {
      const isName = lower8(name) == 0x2d746e65746e6f63 && lower8(name + 6) == 0x6874676e656c2d74;
      return isName ? contentLength(c, from, to) : 0;
    }
    case 17: {
      const isName =
        lower8(name) == 0x726566736e617274 &&
        lower8(name + 8) == 0x6e69646f636e652d &&
        (load<u8>(name + 16) | 0x20) == 0x67;
      return isName ? transferEncoding(c, from, to) : 0;
    }
    default:
      return 0;
  }
}
