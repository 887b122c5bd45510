// assembly/websocket in a module of its own, and how JavaScript reads what it finds.
//
// The bytes before and behind the input change from call to call. A result that depended on one of them would not
// be the same twice. A write there is an error at once.

import { buildWasm } from '../support/asc.js';

const CONN = 1024;
const INPUT = 65_536;
const AROUND = 48;

export const MASKED = 1;
export const DEFLATE = 2;
export const EVENT = { OPCODE: 15, COMPRESSED: 16, WIDE: 32, FIN: 64, END: 128 };

const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
const wasmModule = buildWasm('assembly/websocket/index.ts', 'dist/test-websocket.wasm');
const others = { uring: { enter() {} }, wasi: { 'thread-spawn': () => -1 } }; // a mutant is a module of the whole core
export const core = new WebAssembly.Instance(wasmModule, { env: { memory }, ...others }).exports;
const u8 = new Uint8Array(memory.buffer);
const u32 = new Uint32Array(memory.buffer, CONN, 16);
const EVENT_WORD = 3;
const DATA_START_WORD = 8;
const DATA_BYTES_WORD = 9;
let turn = 0;

/** Calls `look(address)` with `bytes` there. The bytes around them must not change. Returns the result. */
export function withBytes(bytes, look) {
  turn++;
  const at = INPUT + (turn % 61); // any alignment
  const poison = (turn * 37) & 255;
  u8.fill(poison, at - AROUND, at + bytes.length + AROUND);
  u8.set(bytes, at);
  const result = look(at);
  const isPoison = (byte) => byte === poison;
  const end = at + bytes.length;
  const neighbours = [u8.subarray(CONN - 64, CONN), u8.subarray(CONN + 64, CONN + 128)];
  if (!neighbours.every((around) => around.every((byte) => byte === 0xa5)))
    throw new Error('the core wrote to the state of another connection');
  if (!u8.subarray(at - AROUND, at).every(isPoison) || !u8.subarray(end, end + AROUND).every(isPoison))
    throw new Error('the core wrote to bytes that are not its own');
  return result;
}

/** The memory of a connection that was something else before. */
export function reset(flags = MASKED, maxBytes = 1_000_000) {
  u8.fill(0xa5, CONN - 64, CONN + 128);
  core.ws_reset(CONN, flags, maxBytes);
}

/** One call: { taken, event, data }. */
export function parseOnce(bytes) {
  return withBytes(bytes, (at) => {
    const taken = core.ws_parse(CONN, at, bytes.length);
    const event = u32[EVENT_WORD];
    const start = at + u32[DATA_START_WORD];
    const data = event === 0 ? undefined : Buffer.from(u8.slice(start, start + u32[DATA_BYTES_WORD]));
    if (event !== 0 && start + data.length !== at + taken) throw new Error('what was taken ends with the data');
    return { taken, event, data };
  });
}

/** Parses pieces. Returns the messages and control frames, [opcode, hex, flags], and the code of a failure, or 0. */
export function parse(pieces) {
  const found = [];
  const open = [[], []]; // data, control
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const { taken, event, data } = parseOnce(piece.subarray(at));
      if (taken < 0) return { found, code: -taken };
      at += taken;
      if (event === 0) continue;
      const parts = open[(event & 8) >> 3];
      parts.push(data);
      const isWhole = (event & (EVENT.FIN | EVENT.END)) === (EVENT.FIN | EVENT.END);
      if (!isWhole) continue;
      found.push([event & EVENT.OPCODE, Buffer.concat(parts.splice(0)).toString('hex'), event & 0x30]);
    }
  }
  return { found, code: 0 };
}
