// === Request targets and hosts ===
//
// Validates the name of the resource. A request target has four forms (RFC 9112 3.2). The authority is `uri-host [":"
// port]` in the absolute form, in CONNECT and in the Host field. Bytes have passed targetStops() or valueStops() before
// they come here, and the byte behind is there too: a space, a tab, a CR, '/' or '?'. None of these belongs to a name,
// so the search for the end of a name needs no other bound.
//
// A host that is valid by RFC 3986 may be invalid by the URL standard. That reads 0x7f.1 as an address, and xn-- as
// Punycode. The function isPlainAuthority() is true for hosts that certainly are, and are written as that standard
// writes them. For all others a URL parser has to decide.
//
// An authority is a reg-name (percent signs are not decoded), or hex digits, colons and dots in brackets. An IPv4
// address is a reg-name by its bytes. A userinfo is refused: RFC 9110 4.2.4 calls it an error here.
//
// Next: fields.ts.

import { COLON, CR, digits, dots, HTAB, isDigit, lower4, plainHostStops, regNameStops, SP } from './chars';
import { Method } from './connection';

const PORT_MAX: u32 = 65535;
const DEFAULT_PORT: i32 = 80;
const PORT_DIGITS_MAX: usize = 5;
const ADDRESS_BYTES_MAX: usize = 45; // the longest text of an IPv6 address

/** Whether the byte behind a host ends any search for its end. Only asserts ask. */
function isBound(end: usize): bool {
  const byte: u32 = load<u8>(end);
  return byte == SP || byte == HTAB || byte == CR || byte == 0x2f || byte == 0x3f;
}

function isInAddress(byte: u32): bool {
  assert(byte < 256);
  return isDigit(byte) || (byte | 0x20) - 0x61 < 6 || byte == COLON || byte == 0x2e;
}

/** Where an IPv6 address in brackets ends, behind the bracket; `start` if it is not one. */
function addressEnd(start: usize, end: usize): usize {
  assert(start < end);
  assert(load<u8>(start) == 0x5b);
  let at = start + 1;
  while (isInAddress(load<u8>(at))) at++;
  assert(at <= end);
  const bytes = at - start - 1;
  if (load<u8>(at) != 0x5d || bytes < 2 || bytes > ADDRESS_BYTES_MAX) return start;
  return at + 1;
}

/** The number in [start, end), or -1. No digits at all are port 0, which stands for the default. */
function port(start: usize, end: usize): i32 {
  assert(start <= end);
  if (end - start > PORT_DIGITS_MAX) return -1;
  let value: u32 = 0;
  for (let at = start; at < end; at++) {
    const byte: u32 = load<u8>(at);
    if (!isDigit(byte)) return -1;
    value = value * 10 + (byte - 0x30);
  }
  return value > PORT_MAX ? -1 : <i32>value;
}

/** Whether [start, end) is a host with an optional port; with `needPort`, one with a port above 0. */
export function isAuthority(start: usize, end: usize, needPort: bool): bool {
  assert(start <= end);
  assert(isBound(end));
  let at = start;
  if (load<u8>(start) == 0x5b) {
    at = addressEnd(start, end);
  } else {
    let stops = regNameStops(at);
    while (stops == 0) {
      at += 16;
      stops = regNameStops(at);
    }
    at += ctz(stops);
    assert(at <= end);
  }
  if (at == start) return false; // RFC 9110 4.2.1: no host, or none that is valid
  if (at == end) return !needPort;
  if (load<u8>(at) != COLON) return false;
  const number = port(at + 1, end);
  return needPort ? number > 0 : number >= 0;
}

/** Whether digits are a number up to 255 without a zero in front. */
function isOctet(at: usize, bytes: u32): bool {
  assert(at != 0);
  if (bytes - 1 > 2) return false; // none, or too many
  const first: u32 = load<u8>(at);
  if (bytes == 1) return true;
  if (bytes == 2) return first != 0x30;
  const digits = (first << 16) | ((<u32>load<u8>(at + 1)) << 8) | load<u8>(at + 2);
  return first != 0x30 && digits <= 0x323535;
}

/** Whether [start, end) is four numbers up to 255 with dots between them and no zeros in front. */
function isQuad(start: usize, end: usize): bool {
  assert(start <= end);
  const bytes = <u32>(end - start);
  assert(bytes != 0);
  // The masks see 16 bytes. A longer text is refused: if it has three dots, one of its numbers is too long.
  const inside: u32 = (1 << bytes) - 1;
  const first = dots(start) & inside;
  if (((digits(start) | first) & inside) != inside || popcnt(first) != 3) return false;
  const second = first & (first - 1);
  const third = second & (second - 1);
  const at = ctz(first);
  const next = ctz(second);
  const last = ctz(third);
  return (
    isOctet(start, at) &&
    isOctet(start + at + 1, next - at - 1) &&
    isOctet(start + next + 1, last - next - 1) &&
    isOctet(start + last + 1, bytes - last - 1)
  );
}

/** Whether [start, end) is a host with an optional port exactly as the URL standard writes it, and not an odd one. */
export function isPlainAuthority(start: usize, end: usize): bool {
  assert(start <= end);
  assert(isBound(end));
  let at = start;
  let label = start; // the last one
  let stops: u32 = 0;
  while (stops == 0) {
    stops = plainHostStops(at);
    const marks = dots(at) & (stops - 1) & ~stops;
    if (marks != 0) label = at + 32 - clz(marks);
    at += stops == 0 ? 16 : ctz(stops);
  }
  assert(at <= end);
  assert(label >= start);
  if (label == at) return false; // nothing, or a dot at its end
  if (isDigit(load<u8>(label)) && !isQuad(start, at)) return false; // 1.2.3.4.5, 0x7f.1, 08
  if (at == end) return true;
  if (load<u8>(at) != COLON || load<u8>(at + 1) == 0x30) return false;
  const number = port(at + 1, end);
  return number > 0 && number != DEFAULT_PORT;
}

/** Whether [start, end) is an http or https URI with a host. The space at `end` is in no scheme. */
function isAbsolute(start: usize, end: usize): bool {
  assert(start < end);
  assert(load<u8>(end) == SP);
  if (lower4(start) != 0x70747468) return false; // "http"
  let at = start + 4;
  if ((load<u8>(at) | 0x20) == 0x73) at++; // "s"
  if ((load<u32>(at) & 0xffffff) != 0x2f2f3a) return false; // "://"
  at += 3;
  let stop = at;
  while (stop < end && load<u8>(stop) != 0x2f && load<u8>(stop) != 0x3f) stop++; // up to '/' or '?'
  return isAuthority(at, stop, false);
}

/** Whether the target [start, end), which is not empty, has a form that the method may use. */
export function isTarget(methodId: u32, start: usize, end: usize): bool {
  assert(start < end);
  assert(load<u8>(end) == SP);
  if (methodId == Method.CONNECT) return isAuthority(start, end, true);
  const first = load<u8>(start);
  if (first == 0x2f) return true; // origin-form
  if (first == 0x2a) return methodId == Method.OPTIONS && end - start == 1; // asterisk-form
  return isAbsolute(start, end);
}
