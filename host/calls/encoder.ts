// Writes values in the format of codec.ts into a buffer of its own. When the length is known, call.ts copies the bytes
// from there into shared memory. Large bytes that come last, as they mostly do, go there straight from where they are.

import { partsOf } from '../base/error-parts.js';
import { textOf } from '../base/errors.js';
import { codecError, copyBytes, DEPTH_MAX, LARGE_BYTES, LONG, Tag, VIEWS } from './codec.js';
import { SharedBytes } from './shared-bytes.js';

const SHORT = 24; // up to here a loop beats a call into C++
const SCALAR_BYTES = 16; // more than a tag and its number, or a head with its length, take
const FIRST_BYTES = 4096;

/** The result of an encoding is valid until the next encoding. */
export class Encoder {
  /** The signals of the arguments that were encoded last; their numbers begin with `firstSignal`. */
  signals: AbortSignal[] | undefined;
  firstSignal = 0;
  /** The bytes by reference in what was encoded last. */
  moves: SharedBytes[] | undefined;
  readonly #maxBytes: number;
  readonly #tooLarge: typeof tooLarge;
  #buffer = Buffer.alloc(FIRST_BYTES);
  #words = new Int32Array(this.#buffer.buffer);
  #view = new DataView(this.#buffer.buffer);
  #at = 0; // the length so far
  #tail: Uint8Array | undefined; // the end of it: large bytes, which are not in the buffer
  #isBusy = false;
  #takesSignals = false;
  #nextSignal = 1;

  /** `maxBytes`: nothing longer could be sent. `onTooLarge` makes the error that says so. */
  constructor(maxBytes: number, onTooLarge = tooLarge) {
    this.#maxBytes = maxBytes;
    this.#tooLarge = onTooLarge;
  }

  /** The encoded bytes, word by word, if they are fewer than LARGE_BYTES. */
  get words(): Int32Array {
    return this.#words;
  }

  /** Copies what was encoded into shared memory. */
  copyTo(target: Buffer, at: number): void {
    const tail = this.#tail;
    const head = this.#at - (tail?.length ?? 0);
    copyBytes(target, at, this.#buffer.subarray(0, head));
    if (tail !== undefined) copyBytes(target, at + head, tail);
  }

  /** A copy of what was encoded, for when it has to wait. */
  copy(): Uint8Array {
    this.#settle();
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }

  /** Encodes one value. Returns its length. */
  value(value: unknown): number {
    this.#begin(false);
    try {
      this.#value(value, 0);
    } finally {
      this.#isBusy = false;
    }
    return this.#at;
  }

  /** Encodes the arguments of a call. Returns the length. */
  args(args: readonly unknown[]): number {
    this.#begin(true);
    this.signals = undefined;
    try {
      this.#length(args.length);
      for (let i = 0; i < args.length; i++) this.#value(args[i], 0);
    } finally {
      this.#isBusy = false;
    }
    return this.#at;
  }

  /** Puts back what was encoded before and had to wait. */
  restore(bytes: Uint8Array): void {
    this.#at = 0;
    this.#tail = undefined;
    this.#room(bytes.length);
    this.#buffer.set(bytes);
    this.#at = bytes.length;
  }

  #begin(takesSignals: boolean): void {
    if (this.#isBusy) throw codecError('a getter of a value that is being sent made a call of its own');
    this.#isBusy = true;
    this.moves = undefined;
    this.#takesSignals = takesSignals;
    this.#at = 0;
    this.#tail = undefined;
  }

  /** Something follows the tail: then it is none. */
  #settle(): void {
    const tail = this.#tail;
    if (tail === undefined) return;
    this.#tail = undefined;
    this.#at -= tail.length;
    this.#room(tail.length);
    this.#buffer.set(tail, this.#at);
    this.#at += tail.length;
  }

  #room(bytes: number): void {
    if (this.#tail !== undefined) this.#settle();
    const wanted = this.#at + bytes;
    if (wanted > this.#buffer.length) this.#grow(wanted);
  }

  #grow(wanted: number): void {
    if (wanted > this.#maxBytes + FIRST_BYTES) throw this.#tooLarge(wanted, this.#maxBytes);
    const larger = Buffer.alloc(Math.max(wanted + (-wanted & 3), this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
    this.#words = new Int32Array(larger.buffer);
    this.#view = new DataView(larger.buffer);
  }

  #tag(tag: number): void {
    this.#room(SCALAR_BYTES);
    this.#buffer[this.#at++] = tag;
  }

  #u32(value: number): void {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  #length(value: number): void {
    this.#room(SCALAR_BYTES);
    if (value < LONG) this.#buffer[this.#at++] = value;
    else {
      this.#buffer[this.#at++] = LONG;
      this.#u32(value);
    }
  }

  #value(value: unknown, depth: number): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#string(value);
    else if (typeof value === 'boolean') this.#tag(value ? Tag.TRUE : Tag.FALSE);
    else if (value === undefined) this.#tag(Tag.UNDEFINED);
    else if (value === null) this.#tag(Tag.NULL);
    else if (typeof value === 'object') this.#object(value, depth + 1);
    else if (typeof value === 'bigint') {
      this.#tag(value < 0n ? Tag.NEGATIVE : Tag.BIGINT);
      this.#string(`0x${(value < 0n ? -value : value).toString(16)}`);
    } else throw codecError(`a ${typeof value} cannot be sent to another shard`);
  }

  #number(value: number): void {
    this.#room(SCALAR_BYTES);
    const at = this.#at;
    const integer = value | 0;
    if (value !== integer || (integer === 0 && Object.is(value, -0))) {
      this.#buffer[at] = Tag.F64;
      this.#view.setFloat64(at + 1, value, true);
      this.#at = at + 9;
    } else if (integer === (integer << 24) >> 24) {
      this.#buffer[at] = Tag.I8;
      this.#buffer[at + 1] = integer;
      this.#at = at + 2;
    } else {
      this.#buffer[at] = Tag.I32;
      this.#view.setInt32(at + 1, integer, true);
      this.#at = at + 5;
    }
  }

  #string(value: string): void {
    const length = value.length;
    if (length <= SHORT && this.#shortString(value, length)) return;
    const latin1 = Buffer.byteLength(value, 'utf8') === length; // plain ASCII
    const bytes = latin1 ? length : length * 2; // the code units as they are: also those of half a pair
    this.#tag(latin1 ? Tag.LATIN1 : Tag.UTF16);
    this.#length(length);
    this.#room(bytes);
    if (latin1) this.#buffer.latin1Write(value, this.#at, bytes);
    else this.#buffer.ucs2Write(value, this.#at, bytes);
    this.#at += bytes;
  }

  /** False if a character does not fit a byte; then nothing counts as written. */
  #shortString(value: string, length: number): boolean {
    this.#room(SCALAR_BYTES + SHORT);
    const buffer = this.#buffer;
    const start = this.#at;
    buffer[start] = Tag.LATIN1;
    buffer[start + 1] = length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 255) return false;
      buffer[start + 2 + i] = code;
    }
    this.#at = start + 2 + length;
    return true;
  }

  #object(value: object, depth: number): void {
    if (depth > DEPTH_MAX) throw codecError(`a value nested more than ${DEPTH_MAX} deep (a cycle?)`);
    const prototype = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) this.#plain(value, depth);
    else if (Array.isArray(value)) {
      this.#tag(Tag.ARRAY);
      this.#length(value.length);
      for (let i = 0; i < value.length; i++) this.#value(value[i], depth);
    } else if (value instanceof Uint8Array && !(value instanceof Uint8ClampedArray)) {
      this.#tag(Tag.BYTES);
      this.#blob(value);
    } else if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) this.#viewOf(value);
    else this.#special(value, depth);
  }

  #special(value: object, depth: number): void {
    if (value instanceof Map) {
      this.#tag(Tag.MAP);
      this.#length(value.size);
      for (const [key, item] of value) {
        this.#value(key, depth);
        this.#value(item, depth);
      }
    } else if (value instanceof Set) {
      this.#tag(Tag.SET);
      this.#length(value.size);
      for (const item of value) this.#value(item, depth);
    } else if (value instanceof Error) this.#error(value, depth);
    else if (value instanceof Date) {
      this.#tag(Tag.DATE);
      this.#number(value.getTime());
    } else if (value instanceof RegExp) {
      this.#tag(Tag.REGEXP);
      this.#string(value.source);
      this.#string(value.flags);
    } else if (value instanceof AbortSignal) this.#signal(value);
    else if (value instanceof SharedBytes) this.#shared(value);
    else {
      const name = value.constructor?.name || 'nameless object';
      throw codecError(`a ${name} cannot be sent to another shard; send plain data`);
    }
  }

  #plain(value: object, depth: number): void {
    const keys = Object.keys(value);
    this.#tag(Tag.OBJECT);
    this.#length(keys.length);
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      this.#string(key);
      this.#value((value as Record<string, unknown>)[key], depth);
    }
  }

  #viewOf(value: ArrayBufferView | ArrayBuffer): void {
    const kind = VIEWS.findIndex((type) => value instanceof type);
    if (kind < 0) throw codecError(`a ${value.constructor.name} cannot be sent to another shard`);
    this.#tag(Tag.VIEW);
    this.#buffer[this.#at++] = kind;
    if (value.byteLength === 0) checkAttached(value);
    if (value instanceof ArrayBuffer) this.#blob(new Uint8Array(value));
    else this.#blob(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }

  #blob(bytes: Uint8Array): void {
    if (bytes.length === 0) checkAttached(bytes);
    this.#length(bytes.length);
    if (bytes.length >= LARGE_BYTES) {
      if (this.#at + bytes.length > this.#maxBytes) throw this.#tooLarge(this.#at + bytes.length, this.#maxBytes);
      this.#tail = bytes;
    } else {
      this.#room(bytes.length);
      this.#buffer.set(bytes, this.#at);
    }
    this.#at += bytes.length;
  }

  #signal(signal: AbortSignal): void {
    if (!this.#takesSignals) throw codecError('an AbortSignal can be an argument of a call, not a result');
    if (this.signals === undefined) {
      this.signals = [];
      this.firstSignal = this.#nextSignal;
    }
    this.signals.push(signal);
    this.#tag(Tag.SIGNAL);
    this.#u32(this.#nextSignal);
    this.#nextSignal = (this.#nextSignal + 1) >>> 0;
  }

  #shared(bytes: SharedBytes): void {
    const { block } = bytes; // throws if it is gone
    if (this.moves?.includes(bytes)) throw codecError('the same shared bytes are there twice');
    this.moves ??= [];
    this.moves.push(bytes);
    this.#tag(Tag.SHARED);
    this.#u32(block);
    this.#u32(bytes.length);
  }

  #error(error: Error, depth: number): void {
    const parts = partsOf(error);
    this.#tag(parts.isDomException ? Tag.DOM_EXCEPTION : Tag.ERROR);
    this.#string(parts.name);
    this.#string(parts.message);
    this.#value(parts.stack, depth);
    this.#value(parts.code, depth);
    const { errno, syscall, errnoName } = parts;
    if (errno !== undefined) this.#plain({ errno, syscall, errnoName }, depth);
    else this.#tag(Tag.UNDEFINED);
    this.#part(parts.hasCause, parts.cause, depth);
    this.#part(parts.errors !== undefined, parts.errors, depth);
  }

  /** A cause is worth less than the error that it explains: one that cannot be sent arrives as its text. */
  #part(isThere: boolean, value: unknown, depth: number): void {
    this.#tag(isThere ? Tag.TRUE : Tag.FALSE);
    if (!isThere) return;
    const start = this.#at;
    try {
      this.#value(value, depth);
    } catch {
      this.#at = start;
      this.#tail = undefined;
      this.#string(textOf(value));
    }
  }
}

/** Throws if the bytes are elsewhere. Node 20 has no `buffer.detached`, so an array over them says it. */
function checkAttached(bytes: ArrayBufferView | ArrayBuffer): void {
  try {
    const isView = ArrayBuffer.isView(bytes);
    new Uint8Array(isView ? bytes.buffer : bytes, isView ? bytes.byteOffset : 0);
  } catch {
    throw codecError('bytes that were transferred, or cut off, cannot be sent to another shard');
  }
}

export function tooLarge(length: number, maxBytes: number): Error {
  return codecError(`a value of ${length} bytes does not fit the arena: at most ${maxBytes} (limits.arenaBytes)`);
}
