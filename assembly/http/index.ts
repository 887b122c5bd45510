// === HTTP/1.1, as far as the core knows it ===
//
// Heads and bodies of requests in, offsets out; heads of responses out. It has no I/O, no allocation and no state but
// the Connection and the limits. So it runs the same under every host, and in a test without one.
//
// Next: connection.ts.

export { http_body } from './body';
export { http_reset } from './connection';
export { http_limits, http_parse } from './parser';
export { http_date, http_head } from './response';
