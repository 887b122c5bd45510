// === The payload of a close frame ===
//
// A code in two bytes, then a reason in UTF-8, or nothing at all. RFC 6455 7.4 and its registry at IANA say which codes
// may be sent.

import { INVALID_DATA, PROTOCOL_ERROR } from './frames';
import { utf8Next } from './utf8';

const NO_STATUS: u32 = 1005; // stands for a close frame without a code, and is never sent

function maySend(code: u32): bool {
  assert(code <= <u32>u16.MAX_VALUE);
  assert(NO_STATUS == 1005);
  if (code < 1000 || code >= 5000) return false;
  if (code >= 3000) return true;
  return code <= 1014 && (code < 1004 || code > 1006);
}

/** Checks a whole payload. Returns its code, 1005 if it has none. Negative: -code, with which the connection fails. */
export function ws_close_code(ptr: usize, len: u32): i32 {
  assert(ptr != 0 || len == 0);
  assert(len <= 125);
  if (len == 0) return NO_STATUS;
  if (len == 1) return -(<i32>PROTOCOL_ERROR);
  const code = bswap<u16>(load<u16>(ptr));
  if (!maySend(code)) return -(<i32>PROTOCOL_ERROR);
  return utf8Next(0, ptr + 2, ptr + len) == 0 ? <i32>code : -(<i32>INVALID_DATA);
}
