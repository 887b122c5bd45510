// Values between shards: JSON-like ones, bytes, and what JSON leaves out (undefined, NaN, bigint, Date, Map, Set,
// Error). Written straight into shared memory, so there is no structured clone and no message port.
//
//   value   tag u8, then: I32 4 bytes | F64 8 | LATIN1, UTF8, BYTES length u32 + bytes | ARRAY count u32 + values
//           OBJECT count u32 + (key as LATIN1 or UTF8, value)...
//
// All numbers are little-endian, as in Wasm.

import { type ErrorCode, type ErrorDetails, FeatherstarError } from './errors.js';

const UNDEFINED = 0;
const NULL = 1;
const TRUE = 2;
const FALSE = 3;
const I32 = 4;
const F64 = 5;
const LATIN1 = 6;
const UTF8 = 7;
const BYTES = 8;
const ARRAY = 9;
const OBJECT = 10;
const BIGINT = 11;
const DATE = 12;
const MAP = 13;
const SET = 14;
const ERROR = 15;

const DEPTH_MAX = 64;
const SHORT = 24; // up to here a loop beats a call into C++

/** Writes values into a buffer of its own, which grows; the result is valid until the next encode. */
export class Encoder {
  #buffer = Buffer.alloc(4096);
  #view = new DataView(this.#buffer.buffer);
  #at = 0;

  get bytes(): Buffer {
    return this.#buffer;
  }

  /** Encodes one value. Answers its length; it lies in `bytes`. */
  encode(value: unknown): number {
    this.#at = 0;
    this.#value(value, 0);
    return this.#at;
  }

  #room(bytes: number): void {
    const wanted = this.#at + bytes;
    if (wanted <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(wanted, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }

  #tag(tag: number): void {
    this.#room(9);
    this.#buffer[this.#at++] = tag;
  }

  #u32(value: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  #value(value: unknown, depth: number): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#string(value);
    else if (typeof value === 'boolean') this.#tag(value ? TRUE : FALSE);
    else if (value === undefined) this.#tag(UNDEFINED);
    else if (value === null) this.#tag(NULL);
    else if (typeof value === 'object') this.#object(value, depth + 1);
    else if (typeof value === 'bigint') {
      this.#tag(BIGINT);
      this.#string(value.toString());
    } else throw new FeatherstarError('FEATHERSTAR_CODEC', `a ${typeof value} cannot be sent to another shard`);
  }

  #number(value: number): void {
    if (value === (value | 0) && !Object.is(value, -0)) {
      this.#tag(I32);
      this.#view.setInt32(this.#at, value, true);
      this.#at += 4;
    } else {
      this.#tag(F64);
      this.#view.setFloat64(this.#at, value, true);
      this.#at += 8;
    }
  }

  #string(value: string): void {
    const length = value.length;
    if (length <= SHORT && this.#shortString(value, length)) return;
    const bytes = Buffer.byteLength(value, 'utf8');
    const latin1 = bytes === length; // plain ASCII: the same in both, and latin1 is read faster
    this.#tag(latin1 ? LATIN1 : UTF8);
    this.#u32(bytes);
    this.#room(bytes);
    if (latin1) this.#buffer.latin1Write(value, this.#at, bytes);
    else this.#buffer.utf8Write(value, this.#at, bytes);
    this.#at += bytes;
  }

  /** False if a character does not fit a byte; then nothing counts as written. */
  #shortString(value: string, length: number): boolean {
    this.#room(5 + length);
    const buffer = this.#buffer;
    const start = this.#at;
    buffer[start] = LATIN1;
    this.#view.setUint32(start + 1, length, true);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 255) return false;
      buffer[start + 5 + i] = code;
    }
    this.#at = start + 5 + length;
    return true;
  }

  #object(value: object, depth: number): void {
    if (depth > DEPTH_MAX) {
      throw new FeatherstarError('FEATHERSTAR_CODEC', `a value nested more than ${DEPTH_MAX} deep (a cycle?)`);
    }
    if (Array.isArray(value)) this.#items(ARRAY, value.length, value, depth);
    else if (value instanceof Uint8Array) this.#blob(value);
    else if (value instanceof ArrayBuffer) this.#blob(new Uint8Array(value));
    else if (value instanceof Map) this.#items(MAP, value.size * 2, [...value].flat(), depth);
    else if (value instanceof Set) this.#items(SET, value.size, value, depth);
    else if (value instanceof Error) this.#items(ERROR, 5, errorParts(value), depth);
    else if (value instanceof Date) {
      this.#tag(DATE);
      this.#number(value.getTime());
    } else this.#plain(value, depth);
  }

  #plain(value: object, depth: number): void {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      const name = value.constructor?.name ?? 'object';
      throw new FeatherstarError('FEATHERSTAR_CODEC', `a ${name} cannot be sent to another shard; send plain data`);
    }
    const keys = Object.keys(value);
    this.#tag(OBJECT);
    this.#u32(keys.length);
    for (const key of keys) {
      this.#string(key);
      this.#value((value as Record<string, unknown>)[key], depth);
    }
  }

  #items(tag: number, count: number, items: Iterable<unknown>, depth: number): void {
    this.#tag(tag);
    this.#u32(count);
    for (const item of items) this.#value(item, depth);
  }

  #blob(bytes: Uint8Array): void {
    this.#tag(BYTES);
    this.#u32(bytes.length);
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}

function errorParts(error: Error): unknown[] {
  const { code, errno, syscall, errnoName } = error as Partial<FeatherstarError>;
  const ofSystem = typeof errno === 'number' ? { errno, syscall: String(syscall), errnoName } : undefined;
  return [error.name, error.message, error.stack, typeof code === 'string' ? code : undefined, ofSystem];
}

/** Reads one value out of shared memory. Nothing that it answers refers to that memory. */
export class Decoder {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  decode(at: number): unknown {
    this.#at = at;
    return this.#value();
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  #value(): unknown {
    const tag = this.#bytes[this.#at++];
    switch (tag) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case TRUE:
        return true;
      case FALSE:
        return false;
      case I32:
        this.#at += 4;
        return this.#view.getInt32(this.#at - 4, true);
      case F64:
        this.#at += 8;
        return this.#view.getFloat64(this.#at - 8, true);
      case LATIN1:
      case UTF8:
        return this.#text(tag);
      case BYTES:
        return this.#blob();
      default:
        return this.#composite(tag);
    }
  }

  #composite(tag: number): unknown {
    switch (tag) {
      case BIGINT:
        return BigInt(this.#value() as string);
      case DATE:
        return new Date(this.#value() as number);
      case ARRAY:
        return this.#items();
      case SET:
        return new Set(this.#items());
      case MAP:
        return this.#map();
      case ERROR:
        return this.#error();
      case OBJECT:
        return this.#object();
      default:
        throw new FeatherstarError('FEATHERSTAR_INTERNAL', `a message holds the unknown tag ${tag}`);
    }
  }

  #text(tag: number): string {
    const length = this.#u32();
    const start = this.#at;
    this.#at += length;
    if (tag === UTF8) return this.#bytes.utf8Slice(start, start + length);
    return this.#bytes.latin1Slice(start, start + length);
  }

  #blob(): Uint8Array {
    const length = this.#u32();
    const copy = new Uint8Array(length); // of its own: users may transfer it or keep it
    copy.set(this.#bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return copy;
  }

  #items(): unknown[] {
    const count = this.#u32();
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) items.push(this.#value());
    return items;
  }

  #map(): Map<unknown, unknown> {
    const flat = this.#items();
    const map = new Map();
    for (let i = 0; i < flat.length; i += 2) map.set(flat[i], flat[i + 1]);
    return map;
  }

  #object(): Record<string, unknown> {
    const count = this.#u32();
    const object: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = this.#value() as string;
      const value = this.#value();
      if (key === '__proto__') Object.defineProperty(object, key, { value, enumerable: true, writable: true });
      else object[key] = value;
    }
    return object;
  }

  #error(): Error {
    const [name, message, stack, code, ofSystem] = this.#items() as ErrorParts;
    const isOurs = name === 'FeatherstarError';
    const error = isOurs ? new FeatherstarError(code as ErrorCode, message, ofSystem) : new Error(message);
    error.name = name;
    if (stack !== undefined) error.stack = `${stack}\n    --- on another shard; called from:${localFrames(error)}`;
    return isOurs ? error : Object.assign(error, code === undefined ? {} : { code }, ofSystem);
  }
}

type ErrorParts = [
  name: string,
  message: string,
  stack: string | undefined,
  code: string | undefined,
  ofSystem: ErrorDetails | undefined,
];

function localFrames(error: Error): string {
  const stack = error.stack ?? '';
  const first = stack.indexOf('\n    at ');
  return first < 0 ? '' : stack.slice(first);
}

declare global {
  // Node's Buffer has these; @types/node leaves them out. They take offsets, not views, and make no objects.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
    utf8Write(text: string, offset: number, length: number): number;
  }
}
