// === What is known about one connection's current request ===
//
// 64 bytes for each connection, one cache line. The parser fills it in while the head arrives, the body decoder while
// the body arrives. JavaScript reads it through a Uint32Array (and a Float64Array for contentLength).
//
//    +0 state, lineBytes   u16 each: where the parser is; bytes seen of what has a limit of its own
//    +4 flags              u32, Flag below
//    +8 methodId           u32, Method below; 0 = read it from [methodStart, methodEnd)
//   +12 methodStart        u32, not 0 if empty lines came first
//   +16 methodEnd          u32
//   +20 targetStart        u32
//   +24 targetEnd          u32
//   +28 pathEnd            u32, the first '?' of the target, or targetEnd
//   +32 headersStart       u32
//   +36 headerCount        u32, each `name ":" OWS value OWS CRLF`, from headersStart on
//   +40 progress           u64, in the head: offset of the first unfinished line; in the body: bytes still to come
//                         of it or of the chunk
//   +48 contentLength      f64, 0 unless HAS_LENGTH
//   +56 dataStart          u32, after http_body(): relative to the `ptr` of that call
//   +60 dataBytes          u32
//
// Offsets are relative to the `ptr` of the http_parse() that answered more than 0. Zeroed memory is a connection that
// waits for its first request.
//
// Next: parser.ts.

import { CONNECTION_BYTES } from '../layout';

@unmanaged
export class Connection {
  state: u16;
  lineBytes: u16;
  flags: u32;
  methodId: u32;
  methodStart: u32;
  methodEnd: u32;
  targetStart: u32;
  targetEnd: u32;
  pathEnd: u32;
  headersStart: u32;
  headerCount: u32;
  progress: u64;
  contentLength: f64;
  dataStart: u32;
  dataBytes: u32;
}

export enum State {
  REQUEST_LINE = 0,
  HEADERS = 1,
  // the body: everything from here on belongs to http_body()
  LENGTH = 2,
  SIZE_FIRST = 3,
  SIZE = 4,
  SIZE_SPACE = 5,
  EXTENSION_FIRST = 6,
  EXTENSION_NAME = 7,
  EXTENSION_NAME_SPACE = 8,
  EXTENSION_VALUE_FIRST = 9,
  EXTENSION_VALUE = 10,
  EXTENSION_QUOTED = 11,
  EXTENSION_ESCAPE = 12,
  EXTENSION_END = 13,
  SIZE_LF = 14,
  DATA = 15,
  DATA_CR = 16,
  DATA_LF = 17,
  TRAILER_START = 18,
  TRAILER_NAME = 19,
  TRAILER_VALUE = 20,
  TRAILER_LF = 21,
  LAST_LF = 22,
  DONE = 23,
  FAILED = 24, // refused; progress is -status
}

export enum Flag {
  KEEP_ALIVE = 1, // the connection may serve another request after this one
  CHUNKED = 2, // Transfer-Encoding: chunked
  HAS_LENGTH = 4, // Content-Length was given, perhaps 0
  EXPECT_CONTINUE = 8, // the client waits for 100 Continue; never set in HTTP/1.0
  HTTP_1_0 = 16,
  UPGRADE = 32, // Connection lists "upgrade"
  CLOSE = 64, // Connection lists "close"; wins against "keep-alive"
  HAS_HOST = 128,
  DONE = 256, // the body is complete, or there is none
  ODD_TARGET = 512, // the URL standard may write it otherwise
  ODD_HOST = 1024, // only a URL parser can say whether the host is one, and how it is written
}

export enum Method {
  OTHER = 0,
  GET = 1,
  HEAD = 2,
  POST = 3,
  PUT = 4,
  DELETE = 5,
  CONNECT = 6,
  OPTIONS = 7,
  TRACE = 8,
  PATCH = 9,
}

// A negative answer is an HTTP status.
export const BAD_REQUEST: i32 = -400;
export const TARGET_TOO_LONG: i32 = -414;
export const EXPECTATION_FAILED: i32 = -417;
export const HEAD_TOO_LARGE: i32 = -431;
export const NOT_IMPLEMENTED: i32 = -501;
export const VERSION_NOT_SUPPORTED: i32 = -505;

/** Makes the connection ready for its next request. */
export function http_reset(conn: usize): void {
  assert((conn & 15) == 0);
  assert(conn != 0);
  const zero = i64x2.splat(0);
  for (let at: usize = 0; at < CONNECTION_BYTES; at += 16) v128.store(conn + at, zero);
}
