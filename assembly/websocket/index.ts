// === WebSocket (RFC 6455), as far as the core knows it ===
//
// Frames in, unmasked data and offsets out. It has no I/O and no state but Frames: 64 bytes for each connection, which
// are those of its HTTP parser, for a connection that was upgraded has no more requests.
//
// Next: frames.ts.

export { ws_parse, ws_reset } from './frames';
