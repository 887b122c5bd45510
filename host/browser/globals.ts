// Node's globals that the shard's code uses and a page does not have, in the smallest form that serves: Buffer's
// methods on bytes, process.nextTick, setImmediate. Only in the workers of featherstar's own; the page's globals stay
// its own.
//
// Must be imported before anything else of the host.

import { Queue } from '../base/queue.js';

const decoder = new TextDecoder('utf-8', { ignoreBOM: true }); // Buffer keeps U+FEFF
const latin1 = new TextDecoder('latin1');
const encoder = new TextEncoder();

/** The part of Buffer that the host uses on bytes that it owns or shares. */
class PageBuffer extends Uint8Array {
  /** A copy that is not shared: TextDecoder takes no other. */
  #copy(start: number, end: number): Uint8Array {
    return new Uint8Array(this.subarray(start, end));
  }

  copy(target: Uint8Array, targetStart = 0, start = 0, end = this.length): number {
    target.set(this.subarray(start, end), targetStart);
    return end - start;
  }

  /** Buffer's takes bytes, too, and repeats them (codec.ts, copyBytes: once is enough). */
  override fill(value: number | Uint8Array, start = 0, end = this.length): this {
    if (typeof value === 'number') return super.fill(value, start, end);
    this.set(value.subarray(0, end - start), start);
    return this;
  }

  // windows-1252 is what the web calls latin1: it differs in 0x80-0x9f, so those are made by hand.
  latin1Slice(start = 0, end = this.length): string {
    const bytes = this.#copy(start, end);
    if (bytes.every((byte) => byte < 0x80)) return latin1.decode(bytes);
    return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  }

  ucs2Slice(start = 0, end = this.length): string {
    const units = new Uint16Array(this.#copy(start, end).buffer);
    let text = '';
    for (let at = 0; at < units.length; at += 4096) text += String.fromCharCode(...units.subarray(at, at + 4096));
    return text;
  }

  latin1Write(text: string, at: number, length: number): number {
    for (let i = 0; i < length; i++) this[at + i] = text.charCodeAt(i);
    return length;
  }

  ucs2Write(text: string, at: number, length: number): number {
    for (let i = 0; i < length >> 1; i++) {
      const unit = text.charCodeAt(i);
      this[at + 2 * i] = unit & 0xff;
      this[at + 2 * i + 1] = unit >>> 8;
    }
    return length;
  }

  /** UTF-8; whole characters only, as many as fit. By way of a copy: encodeInto() takes no shared memory. */
  write(text: string, at = 0): number {
    const room = new Uint8Array(this.length - at);
    const { written } = encoder.encodeInto(text, room);
    this.set(room.subarray(0, written), at);
    return written;
  }

  override toString(): string {
    return decoder.decode(this.#copy(0, this.length));
  }
}

function bytesOf(source: ArrayBufferLike | ArrayLike<number> | string, at = 0, length?: number): PageBuffer {
  if (typeof source === 'string') return bytesOf(encoder.encode(source));
  if (source instanceof ArrayBuffer || source instanceof SharedArrayBuffer) {
    return new PageBuffer(source as ArrayBuffer, at, length);
  }
  const copy = new PageBuffer((source as ArrayLike<number>).length);
  copy.set(source as ArrayLike<number>);
  return copy;
}

Object.defineProperties(PageBuffer, {
  from: { value: bytesOf },
  alloc: { value: (length: number) => new PageBuffer(length) },
  byteLength: { value: (text: string) => encoder.encode(text).length },
});

const soon = new Queue<() => void>();
let bell: MessagePort | undefined;

function openBell(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    for (let count = soon.length; count > 0; count--) (soon.shift() as () => void)();
  };
  return port2;
}

/** With a turn of the event loop, without setTimeout's 4 ms. */
export function runSoon(run: () => void): void {
  soon.push(run);
  bell ??= openBell();
  bell.postMessage(0);
}

const process = {
  /** All microtasks have run by then: that is what it is asked for (steps.ts). */
  nextTick: (run: (...args: unknown[]) => void, ...args: unknown[]) => runSoon(() => run(...args)),
  emitWarning: (text: string, name: string) => console.warn(`${name}: ${text}`),
  /** Until the page has said when it began (worker.ts). */
  hrtime: (): [number, number] => {
    const ms = performance.now();
    return [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];
  },
  versions: {},
  env: {},
};

const scope = globalThis as Record<string, unknown>;
scope.Buffer ??= PageBuffer;
scope.process ??= process;
scope.setImmediate ??= (run: (...args: unknown[]) => void, ...args: unknown[]) => runSoon(() => run(...args));
