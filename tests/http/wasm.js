// assembly/http in a module of its own, and how JavaScript reads a Connection.
//
// place() surrounds every input with poison: what lies before and behind it changes from call to call, so an answer
// that depended on a byte outside would not be the same twice.

import { buildWasm } from '../support/asc.js';

export const CONN = 1024;
export const INPUT = 65536;
export const OUT = 4096;
export const CONNECTION_BYTES = 64;

export const KEEP_ALIVE = 1;
export const CHUNKED = 2;
export const HAS_LENGTH = 4;
export const EXPECT_CONTINUE = 8;
export const HTTP_1_0 = 16;
export const UPGRADE = 32;
export const CLOSE = 64;
export const HAS_HOST = 128;
export const DONE = 256;
export const ODD_TARGET = 512;
export const ODD_HOST = 1024;

export const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];
export const DEFAULT_LIMITS = { headBytes: 16384, headerCount: 100, targetBytes: 8192 };

const POISONS = ['\r\n\r\n', ' HTTP/1.1\r\n\r\n', ': a', 'xxxx', '\0\0', '0\n'].map((text) => {
  const bytes = new Uint8Array(48);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i % text.length);
  return bytes;
});

export const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
export const wasmModule = buildWasm('assembly/http/index.ts', 'dist/test-http.wasm');
const others = { uring: { enter() {} }, wasi: { 'thread-spawn': () => -1 } }; // a mutant is a module of the whole core
export const core = new WebAssembly.Instance(wasmModule, { env: { memory }, ...others }).exports;
export const u8 = new Uint8Array(memory.buffer);
const u32 = new Uint32Array(memory.buffer, CONN, 16);
const f64 = new Float64Array(memory.buffer, CONN, 8);
let turn = 0;

/** Puts `text` (one byte a character) into memory with poison around it, and answers where. */
export function place(text) {
  turn++;
  const at = INPUT + (turn % 61); // any alignment
  for (let i = 0; i < text.length; i++) u8[at + i] = text.charCodeAt(i);
  u8.set(POISONS[turn % POISONS.length], at + text.length);
  u8.set(POISONS[(turn + 1) % POISONS.length], at - 48);
  return at;
}

/** The bytes there, as a string. */
export function textAt(at, bytes) {
  return Buffer.from(u8.subarray(at, at + bytes)).latin1Slice();
}

export function setLimits(limits = DEFAULT_LIMITS) {
  core.http_limits(limits.headBytes, limits.headerCount, limits.targetBytes);
}

export function flags() {
  return u32[1];
}

export function dataStart() {
  return u32[14];
}

export function dataBytes() {
  return u32[15];
}

/** What the last http_parse() left behind, if it answered `result`. */
export function outcome(result) {
  if (result <= 0) return { result };
  return {
    result,
    flags: u32[1],
    methodId: u32[2],
    methodStart: u32[3],
    methodEnd: u32[4],
    targetStart: u32[5],
    targetEnd: u32[6],
    pathEnd: u32[7],
    headersStart: u32[8],
    headerCount: u32[9],
    contentLength: f64[6],
  };
}

/** Parses `text` as it arrives in pieces that end at the given places. A refusal stops it, as it would a server. */
export function parse(text, ends = [text.length]) {
  core.http_reset(CONN);
  let result = 0;
  for (const end of ends) {
    const piece = end === text.length ? text : text.slice(0, end);
    result = core.http_parse(CONN, place(piece), piece.length);
    if (result !== 0) break;
  }
  return outcome(result);
}

/**
 * Decodes the body of a request whose head was parsed just now. Answers { status, body, consumed }: status 0 when the
 * pieces ran out, 1 when the body is complete, or what http_body() refused with.
 */
export function decode(pieces) {
  let body = '';
  let consumed = 0;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      const rest = piece.slice(at);
      const start = place(rest);
      const bytes = core.http_body(CONN, start, rest.length);
      const left = rest.slice(Math.max(bytes, 0));
      if (textAt(start + rest.length - left.length, left.length) !== left)
        throw new Error(`http_body() wrote over what it did not take of ${JSON.stringify(rest)}`);
      if (bytes < 0) return { status: bytes, body, consumed };
      if (dataStart() + dataBytes() > bytes) throw new Error('the run of data is not within what was taken');
      body += textAt(start + dataStart(), dataBytes());
      at += bytes;
      consumed += bytes;
      if (flags() & DONE) return { status: 1, body, consumed };
      if (bytes === 0) throw new Error(`http_body() took nothing of ${JSON.stringify(rest)} and is not done`);
    }
  }
  return { status: flags() & DONE ? 1 : 0, body, consumed };
}
