// The stream of a body that is all here, for `response.body`. Middleware often asks for the stream and seldom reads it,
// and a stream of the platform costs more than the rest of a small response. So the state of the stream is made when a
// reader is, and the bytes at the first read.
//
//   open  --a reader, cancel(), a function of the platform--> read: body-reads.ts has the state
//   open, nothing read  --take()--> taken: locked for ever, as after getReader()
//
// Next: lazy-stream.ts.

import { RequestBody } from './body.js';
import { type BodyHolder, BodyReads, type ByteStream } from './body-reads.js';
import { lazyStream, sourceOf } from './lazy-stream.js';
import { doNothing } from './platform.js';

/** A body that is here as a whole. */
export type RawBody = string | Uint8Array;

const encoder = new TextEncoder();

/** It has taken a body as a whole, and never lets go of the stream. */
const TAKER: BodyHolder = { hasViews: false, onClose: doNothing, onError: doNothing, onReal: doNothing };

class WholeBody {
  readonly #raw: RawBody;
  #reads: BodyReads | undefined;
  #isTaken = false;

  constructor(raw: RawBody) {
    this.#raw = raw;
  }

  /** The body, if nothing of it was read and no reader holds it. */
  get raw(): RawBody | undefined {
    if (this.isUsed || this.isLocked) return undefined;
    return this.#raw;
  }

  get isUsed(): boolean {
    return this.#isTaken || this.#reads?.isUsed === true;
  }

  get isLocked(): boolean {
    return this.#isTaken || this.#reads?.isLocked === true;
  }

  take(): void {
    this.#isTaken = true;
    if (this.#reads !== undefined) lockForEver(this.#reads);
  }

  get reads(): BodyReads {
    if (this.#reads === undefined) {
      this.#reads = new BodyReads(bodyOf(this.#raw), true);
      if (this.#isTaken) lockForEver(this.#reads);
    }
    return this.#reads;
  }
}

function lockForEver(reads: BodyReads): void {
  const { made } = reads;
  if (made === undefined) {
    reads.cancel(undefined).catch(doNothing);
    reads.lock(TAKER);
  } else made.getReader().cancel().catch(doNothing); // of a source that does nothing then
}

/** The bytes come at the first read. They are a copy: the reader may write to them. */
function bodyOf(raw: RawBody): RequestBody {
  const onFirstRead = (): void => {
    const bytes = typeof raw === 'string' ? encoder.encode(raw) : new Uint8Array(raw);
    body.push(bytes, 0, bytes.length, true);
    body.end();
  };
  const body = new RequestBody({ onFirstRead, onDrain: doNothing }, 0);
  return body;
}

/** A stream of `raw`, which is not read yet. */
export function bodyStream(raw: RawBody): ByteStream {
  return lazyStream(new WholeBody(raw));
}

function wholeBody(stream: object): WholeBody | undefined {
  const source = sourceOf(stream);
  return source instanceof WholeBody ? source : undefined;
}

/** The body behind a stream of bodyStream(), if nothing of it was read and no reader holds it. */
export function rawBody(stream: object): RawBody | undefined {
  return wholeBody(stream)?.raw;
}

/** Locks a stream of bodyStream() for ever: its body is taken. */
export function takeStream(stream: ReadableStream<Uint8Array>): void {
  wholeBody(stream)?.take();
}

/** A stream whose body was taken before it was made. */
export function takenStream(): ReadableStream<Uint8Array> {
  const stream = bodyStream('');
  const whole = wholeBody(stream);
  if (whole === undefined) stream.getReader().cancel().catch(doNothing);
  else whole.take();
  return stream;
}

/** Whether a stream of bodyStream() was read or taken; undefined for other streams. */
export function isStreamUsed(stream: object): boolean | undefined {
  return wholeBody(stream)?.isUsed;
}
