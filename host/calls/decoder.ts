// Reads values in the format of codec.ts out of shared memory. No value that it returns refers to that memory.

import { type ErrorParts, errorOf } from '../base/error-parts.js';
import { FeatherstarError } from '../base/errors.js';
import { copyBytes, LARGE_BYTES, LONG, Tag, VIEWS } from './codec.js';
import type { SharedBytes } from './shared-bytes.js';

export class Decoder {
  /** The numbers of the signals in the arguments that were decoded last. */
  signals: number[] | undefined;
  /** The bytes by reference that came with it. */
  arrived: SharedBytes[] | undefined;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #openSignal: (id: number) => AbortSignal;
  readonly #openBytes: (block: number, length: number) => SharedBytes;
  #at = 0;

  /** `openSignal` makes the AbortSignal that stands for a caller's, `openBytes` the handle of bytes by reference. */
  constructor(
    bytes: Buffer,
    openSignal: (id: number) => AbortSignal,
    openBytes: (block: number, length: number) => SharedBytes,
  ) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#openSignal = openSignal;
    this.#openBytes = openBytes;
  }

  value(at: number): unknown {
    this.#at = at;
    this.arrived = undefined;
    return this.#value();
  }

  /** The position behind what was decoded last. */
  get end(): number {
    return this.#at;
  }

  args(at: number): unknown[] {
    this.#at = at;
    this.signals = undefined;
    this.arrived = undefined;
    return this.#items();
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  #length(): number {
    const length = this.#bytes[this.#at++] as number;
    return length === LONG ? this.#u32() : length;
  }

  #value(): unknown {
    const tag = this.#bytes[this.#at++] as number;
    switch (tag) {
      case Tag.UNDEFINED:
        return undefined;
      case Tag.NULL:
        return null;
      case Tag.TRUE:
        return true;
      case Tag.FALSE:
        return false;
      case Tag.I8:
        return ((this.#bytes[this.#at++] as number) << 24) >> 24;
      case Tag.I32:
        this.#at += 4;
        return this.#view.getInt32(this.#at - 4, true);
      case Tag.F64:
        this.#at += 8;
        return this.#view.getFloat64(this.#at - 8, true);
      case Tag.LATIN1:
        return this.#latin1();
      case Tag.UTF16:
        return this.#utf16();
      case Tag.BYTES:
        return this.#blob();
      case Tag.ARRAY:
        return this.#items();
      case Tag.OBJECT:
        return this.#object();
      default:
        return this.#special(tag);
    }
  }

  #special(tag: number): unknown {
    switch (tag) {
      case Tag.VIEW:
        return this.#viewOf();
      case Tag.BIGINT:
        return BigInt(this.#value() as string);
      case Tag.NEGATIVE:
        return -BigInt(this.#value() as string);
      case Tag.DATE:
        return new Date(this.#value() as number);
      case Tag.SET:
        return new Set(this.#items());
      case Tag.MAP:
        return this.#map();
      case Tag.REGEXP:
        return new RegExp(this.#value() as string, this.#value() as string);
      case Tag.ERROR:
      case Tag.DOM_EXCEPTION:
        return this.#error(tag);
      case Tag.SHARED:
        return this.#shared();
      case Tag.SIGNAL:
        return this.#signal();
      default:
        throw new FeatherstarError('FEATHERSTAR_INTERNAL', `a message holds the unknown tag ${tag}`);
    }
  }

  #latin1(): string {
    const length = this.#length();
    const start = this.#at;
    this.#at += length;
    return this.#bytes.latin1Slice(start, start + length);
  }

  #utf16(): string {
    const length = this.#length() * 2;
    const start = this.#at;
    this.#at += length;
    return this.#bytes.ucs2Slice(start, start + length);
  }

  #blob(): Uint8Array<ArrayBuffer> {
    const length = this.#length();
    if (this.#at + length > this.#bytes.length) throw new RangeError(`${length} bytes are more than there are`);
    const copy = new Uint8Array(length); // of its own: users may transfer it or keep it
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    if (length < LARGE_BYTES) copy.set(bytes);
    else copyBytes(Buffer.from(copy.buffer), 0, bytes);
    this.#at += length;
    return copy;
  }

  #viewOf(): unknown {
    const type = VIEWS[this.#bytes[this.#at++] as number];
    const { buffer } = this.#blob();
    return type === ArrayBuffer ? buffer : new (type as typeof Int8Array)(buffer);
  }

  #items(): unknown[] {
    const count = this.#length();
    if (count === 0) return [];
    const items: unknown[] = [this.#value()]; // an empty one would make room for 17 with the first push
    for (let i = 1; i < count; i++) items.push(this.#value());
    return items;
  }

  #map(): Map<unknown, unknown> {
    const count = this.#length();
    const map = new Map<unknown, unknown>();
    for (let i = 0; i < count; i++) {
      const key = this.#value();
      map.set(key, this.#value());
    }
    return map;
  }

  #object(): Record<string, unknown> {
    const count = this.#length();
    const object: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = this.#value() as string;
      const value = this.#value();
      if (key === '__proto__') {
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      } else object[key] = value;
    }
    return object;
  }

  #signal(): AbortSignal {
    const id = this.#u32();
    this.signals ??= [];
    this.signals.push(id);
    return this.#openSignal(id);
  }

  #shared(): SharedBytes {
    const block = this.#u32();
    const bytes = this.#openBytes(block, this.#u32());
    this.arrived ??= [];
    this.arrived.push(bytes);
    return bytes;
  }

  #error(tag: number): Error {
    const name = this.#value() as string;
    const message = this.#value() as string;
    const stack = this.#value() as string | undefined;
    const code = this.#value() as string | number | undefined;
    const system = this.#value() as Pick<ErrorParts, 'errno' | 'syscall' | 'errnoName'> | undefined;
    const hasCause = this.#value() as boolean;
    const cause = hasCause ? this.#value() : undefined;
    const errors = this.#value() ? (this.#value() as unknown[]) : undefined;
    const { errno, syscall, errnoName } = system ?? {};
    const isDomException = tag === Tag.DOM_EXCEPTION;
    return errorOf({ name, message, stack, code, errno, syscall, errnoName, isDomException, hasCause, cause, errors });
  }
}
