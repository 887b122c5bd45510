// A ReadableStream of bytes that are all here. Middleware often asks for `response.body` and seldom reads it, and a
// real stream costs as much as the rest of a small response. So a real one is made only when a function of the platform
// touches this one.
//
//   open  --a function of the platform touches it--> real: the platform's stream does all the work
//   open or real, nothing read  --take()--> taken: locked for ever, as after getReader()
//
// This works where the platform keeps the state of a stream under symbols (platform.ts#forwardSymbols): on Node and
// Deno. Elsewhere the stream is real from the beginning.

import { doNothing, forwardSymbols } from './platform.js';

/** A body that is here as a whole. */
export type RawBody = string | Uint8Array;

export type ByteStream = ReadableStream<Uint8Array>;

const encoder = new TextEncoder();

class BodyStream {
  readonly #raw: RawBody;
  #real: ByteStream | undefined;
  #isTaken = false;
  #isTouched = false; // a byte of the real stream was read, or it was cancelled

  constructor(raw: RawBody) {
    this.#raw = raw;
  }

  static is(value: object): value is BodyStream {
    return #raw in value;
  }

  /** The body, if nothing of it was read and no reader holds it. */
  get raw(): RawBody | undefined {
    if (this.#isTaken || this.#isTouched || this.#real?.locked) return undefined;
    return this.#raw;
  }

  get isUsed(): boolean {
    return this.#isTaken || this.#isTouched;
  }

  take(): void {
    this.#isTaken = true;
    if (this.#real !== undefined) lock(this.#real);
  }

  get real(): ByteStream {
    if (this.#real === undefined) {
      this.#real = realStream(this.#raw, () => {
        this.#isTouched = true;
      });
      if (this.#isTaken) lock(this.#real);
    }
    return this.#real;
  }
}

function lock(stream: ByteStream): void {
  stream.getReader().cancel().catch(doNothing); // of a source that does nothing then
}

function realStream(raw: RawBody, onTouch: () => void): ByteStream {
  return new ReadableStream({
    type: 'bytes',
    pull: (controller) => {
      onTouch();
      const bytes = typeof raw === 'string' ? encoder.encode(raw) : new Uint8Array(raw); // a copy: it is transferred
      if (bytes.length !== 0) controller.enqueue(bytes);
      controller.close();
      controller.byobRequest?.respond(0);
    },
    cancel: onTouch,
  }) as ByteStream;
}

const blank = realStream('', doNothing);
const isLazy = forwardSymbols(BodyStream.prototype, blank, (stream) => (stream as BodyStream).real);
Reflect.deleteProperty(BodyStream.prototype, 'constructor'); // the platform's shows
Object.setPrototypeOf(BodyStream.prototype, ReadableStream.prototype);

/** A stream of `raw`, which is not read yet. */
export function bodyStream(raw: RawBody): ByteStream {
  return isLazy ? (new BodyStream(raw) as unknown as ByteStream) : realStream(raw, doNothing);
}

/** The body behind a stream of bodyStream(), if nothing of it was read and no reader holds it. */
export function rawBody(stream: object): RawBody | undefined {
  return BodyStream.is(stream) ? stream.raw : undefined;
}

/** Locks a stream of bodyStream() for ever: its body is taken. */
export function takeStream(stream: ReadableStream<Uint8Array>): void {
  if (BodyStream.is(stream)) stream.take();
}

/** A stream whose body was taken before it was made. */
export function takenStream(): ReadableStream<Uint8Array> {
  const stream = bodyStream('');
  if (BodyStream.is(stream)) (stream as BodyStream).take();
  else lock(stream);
  return stream;
}

/** Whether a stream of bodyStream() was read or taken; undefined for other streams. */
export function isStreamUsed(stream: object): boolean | undefined {
  return BodyStream.is(stream) ? stream.isUsed : undefined;
}
