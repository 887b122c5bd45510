// === The head of a request ===
//
// Bytes of a request come in, from its first byte on; out come offsets and flags in a Connection. Nothing is copied and
// nothing is kept but what connection.ts draws. If the head is not complete, the same bytes come again with more behind
// them, perhaps at another address. The parser goes on at the last line that it has not finished. So a head that drips
// in costs the sum of its lines, not their square.
//
// Invariants. The result depends on the bytes alone, not on how they were cut. Every test is made in the order of the
// bytes, as soon as its bytes are there. So a TLS hello is refused at its first byte, and a head that breaks two rules
// gets the status of the earlier one. Bytes behind `len` may be read, 16 of them at most, but never decide anything. So
// [ptr, ptr + len + 16) must lie inside memory, and receive buffers are never the last thing there.
//
// It is stricter than RFC 9112 where a server may choose: no bare LF, no folded lines, no spaces that the grammar
// lacks. There is one Content-Length, and one Transfer-Encoding.
//
// Next: chars.ts.

import {
  COLON,
  CR,
  CRLF,
  isDigit,
  LF,
  plainTargetStops,
  queryMarks,
  SP,
  targetStops,
  tokenStops,
  valueStops,
} from './chars';
import {
  BAD_REQUEST,
  Connection,
  Flag,
  HEAD_TOO_LARGE,
  Method,
  NOT_IMPLEMENTED,
  State,
  TARGET_TOO_LONG,
  VERSION_NOT_SUPPORTED,
} from './connection';
import { applyField } from './fields';
import { isTarget } from './target';

const METHOD_BYTES_MAX: usize = 24;
const VERSION_BYTES: u32 = 8;
const HTTP_1_1: u64 = 0x312e312f50545448; // "HTTP/1.1"
const HTTP_1_0: u64 = 0x302e312f50545448;
const GET_SP: u32 = 0x20544547; // "GET "

let headBytesMax: u32 = 16384;
let headerCountMax: u32 = 100;
let targetBytesMax: u32 = 8192;

/** Sets the limits of this shard. headBytes counts empty lines in front and the empty line behind; below 2^31. */
export function http_limits(headBytes: u32, headerCount: u32, targetBytes: u32): void {
  assert(<i32>headBytes > 0);
  assert(targetBytes != 0);
  headBytesMax = headBytes;
  headerCountMax = headerCount;
  targetBytesMax = targetBytes;
}

/**
 * Parses the head that begins at `ptr`. Returns the bytes that it takes, or 0 if it is not complete, or -status; after
 * that only http_reset() may follow.
 */
export function http_parse(conn: usize, ptr: usize, len: u32): i32 {
  assert(conn != 0);
  assert(ptr != 0);
  assert(changetype<Connection>(conn).state < <u16>State.LENGTH);
  assert(changetype<Connection>(conn).progress <= len);
  const c = changetype<Connection>(conn);
  const end = ptr + min(len, headBytesMax);
  if (c.state == State.REQUEST_LINE) {
    const status = requestLine(c, ptr, end);
    if (status < 0) return status;
    if (status == 0) return len >= headBytesMax ? HEAD_TOO_LARGE : 0;
  }
  const status = headers(c, ptr, end);
  return status == 0 && len >= headBytesMax ? HEAD_TOO_LARGE : status;
}

/** Parses the request line, and empty lines before it. Returns 1 when it is complete, 0 if not, or -status. */
function requestLine(c: Connection, ptr: usize, end: usize): i32 {
  assert(ptr <= end);
  assert(c.state == State.REQUEST_LINE);
  assert(c.headerCount == 0);
  let at = ptr + <usize>c.progress;
  while (at < end && load<u8>(at) == CR) {
    if (at + 1 == end) return 0;
    if (load<u8>(at + 1) != LF) return BAD_REQUEST;
    at += 2;
    c.progress = at - ptr;
  }
  if (at == end) return 0;

  let methodEnd = at + 3;
  let methodId: u32 = Method.GET;
  if (at + 4 > end || load<u32>(at) != GET_SP) {
    const status = methodBytes(at, end);
    if (status <= 0) return status;
    methodEnd = at + status;
    methodId = methodOf(at, status);
  }

  const target = methodEnd + 1;
  let stop = target;
  let query = usize.MAX_VALUE;
  let isPlain = true;
  while (stop < end) {
    const stops = isPlain ? plainTargetStops(stop) : targetStops(stop);
    const marks = queryMarks(stop);
    if (marks != 0 && query == usize.MAX_VALUE) query = stop + ctz(marks);
    stop += stops == 0 ? 16 : ctz(stops);
    if (stops == 0) continue;
    if (!isPlain || load<u8>(stop) == SP) break;
    isPlain = false; // on from here, with all that may be in a target
  }
  stop = min(stop, end);
  if (stop - target > targetBytesMax) return TARGET_TOO_LONG;
  if (stop == end) return 0;
  assert(stop < end);
  assert(stop >= target);
  if (load<u8>(stop) != SP || stop == target || !isTarget(methodId, target, stop)) return BAD_REQUEST;

  const status = versionFlags(stop + 1, end);
  if (status <= 0) return status;
  assert(methodEnd > at);
  assert(stop > target);
  c.flags = status | oddTarget(target, isPlain);
  c.methodId = methodId;
  c.methodStart = <u32>(at - ptr);
  c.methodEnd = <u32>(methodEnd - ptr);
  c.targetStart = <u32>(target - ptr);
  c.targetEnd = <u32>(stop - ptr);
  c.pathEnd = <u32>(min(query, stop) - ptr);
  c.headersStart = c.targetEnd + 11; // SP, version, CRLF
  c.progress = c.headersStart;
  c.state = <u16>State.HEADERS;
  return 1;
}

/** The part that a URL parser must check before this target can be a URL. */
function oddTarget(at: usize, isPlain: bool): u32 {
  assert(load<u8>(at) > SP);
  const first = load<u8>(at);
  if (first == 0x2f) return isPlain ? 0 : Flag.ODD_TARGET;
  return first == 0x2a ? Flag.ODD_TARGET : Flag.ODD_TARGET | Flag.ODD_HOST; // absolute-form has a host of its own
}

/** The length of the method at `at` if a space follows, 0 if it is not complete, or -status. */
function methodBytes(at: usize, end: usize): i32 {
  assert(at < end);
  let stops = tokenStops(at);
  let bytes: usize = ctz(stops); // 32 if there are none
  if (stops == 0 && at + 16 < end) {
    stops = tokenStops(at + 16);
    bytes = 16 + ctz(stops);
  }
  bytes = min(bytes, end - at);
  if (bytes > METHOD_BYTES_MAX) return NOT_IMPLEMENTED; // RFC 9112 3: longer than any method known here
  if (at + bytes == end) return 0;
  if (load<u8>(at + bytes) != SP || bytes == 0) return BAD_REQUEST;
  return <i32>bytes;
}

/** All methods but GET, told apart by case (RFC 9110 9.1). A space follows, so reading on to it is safe. */
function methodOf(at: usize, bytes: u32): u32 {
  assert(load<u8>(at + bytes) == SP);
  assert(bytes != 0);
  const head = load<u32>(at);
  const tail: u32 = load<u32>(at + bytes - 3); // the last three and the space
  switch (bytes) {
    case 3:
      return head == 0x20545550 ? Method.PUT : Method.OTHER;
    case 4:
      return head == 0x54534f50 ? Method.POST : head == 0x44414548 ? Method.HEAD : Method.OTHER;
    case 5: {
      if (head == 0x43544150 && tail == 0x20484354) return Method.PATCH;
      return head == 0x43415254 && tail == 0x20454341 ? Method.TRACE : Method.OTHER;
    }
    case 6:
      return head == 0x454c4544 && tail == 0x20455445 ? Method.DELETE : Method.OTHER;
    case 7: {
      if (head == 0x4954504f && tail == 0x20534e4f) return Method.OPTIONS;
      return head == 0x4e4e4f43 && tail == 0x20544345 ? Method.CONNECT : Method.OTHER;
    }
    default:
      return Method.OTHER;
  }
}

/** The flags that the version and its CRLF at `at` stand for, 0 if they are not complete, or -status. */
function versionFlags(at: usize, end: usize): i32 {
  assert(at <= end);
  if (at + VERSION_BYTES + 2 <= end && load<u64>(at) == HTTP_1_1 && load<u16>(at + VERSION_BYTES) == CRLF) {
    return Flag.KEEP_ALIVE;
  }
  const known = <u32>min(end - at, VERSION_BYTES);
  for (let i: u32 = 0; i < known; i++) {
    const byte: u32 = load<u8>(at + i);
    const isRight = i == 5 || i == 7 ? isDigit(byte) : byte == <u32>((HTTP_1_1 >> (i << 3)) & 0xff);
    if (!isRight) return BAD_REQUEST;
  }
  if (known < VERSION_BYTES) return 0;
  const version = load<u64>(at);
  if (version != HTTP_1_1 && version != HTTP_1_0) return VERSION_NOT_SUPPORTED;
  const line = lineEnd(at + VERSION_BYTES, end);
  assert(line <= 0 || version == HTTP_1_0);
  return line <= 0 ? line : Flag.HTTP_1_0; // 1.1 with its CRLF has returned above
}

/** 1 if a CRLF is at `at`, 0 if it may yet become one, or -status. */
function lineEnd(at: usize, end: usize): i32 {
  if (at + 2 <= end && load<u16>(at) == CRLF) return 1;
  if (at >= end) return 0;
  return at + 1 == end && load<u8>(at) == CR ? 0 : BAD_REQUEST;
}

/** Parses field lines up to the empty one. Returns the bytes of the head, 0 if it is not complete, or -status. */
function headers(c: Connection, ptr: usize, end: usize): i32 {
  assert(c.state == State.HEADERS);
  assert(ptr <= end);
  let line = ptr + <usize>c.progress;
  let count = c.headerCount;
  let status: i32 = 0;
  while (line < end) {
    if (load<u8>(line) == CR) {
      status = lineEnd(line, end);
      if (status > 0) {
        c.headerCount = count;
        return finish(c, <u32>(line + 2 - ptr));
      }
      break;
    }
    if (count == headerCountMax) return HEAD_TOO_LARGE;

    let at = line;
    let stops = tokenStops(at);
    while (stops == 0) {
      at += 16;
      if (at >= end) break;
      stops = tokenStops(at);
    }
    at += ctz(stops); // 32, and so behind the end, if the name goes on there
    if (at >= end) break;
    if (load<u8>(at) != COLON || at == line) return BAD_REQUEST;

    const colon = at++;
    stops = valueStops(at);
    while (stops == 0) {
      at += 16;
      if (at >= end) break;
      stops = valueStops(at);
    }
    at += ctz(stops);
    status = lineEnd(at, end);
    if (status <= 0) break;
    assert(colon > line);
    assert(at < end);
    status = applyField(c, line, colon - line, colon + 1, at);
    if (status < 0) break;
    line = at + 2;
    count++;
  }
  c.progress = line - ptr;
  c.headerCount = count;
  return status;
}

/** Draws the conclusions from a complete head. */
function finish(c: Connection, headBytes: u32): i32 {
  assert(c.state == State.HEADERS);
  assert(c.contentLength >= 0);
  assert((c.flags & Flag.CHUNKED) == 0 || (c.flags & Flag.HAS_LENGTH) == 0);
  let flags = c.flags;
  if ((flags & (Flag.HAS_HOST | Flag.HTTP_1_0)) == 0) return BAD_REQUEST; // RFC 9112 3.2
  if ((flags & Flag.CLOSE) != 0) flags &= ~Flag.KEEP_ALIVE;
  c.progress = 0;
  if ((flags & Flag.CHUNKED) != 0) {
    c.state = <u16>State.SIZE_FIRST;
  } else if (c.contentLength > 0) {
    c.state = <u16>State.LENGTH;
    c.progress = <u64>c.contentLength;
  } else {
    c.state = <u16>State.DONE;
    flags |= Flag.DONE;
  }
  c.flags = flags;
  return <i32>headBytes;
}
