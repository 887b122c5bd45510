// `request.body` and `response.body`: a ReadableStream, its readers and its iterator, over the reads of body-reads.ts.
// These objects are instances of the platform's classes. When a function of the platform touches one, it finds an
// object of the platform (platform.ts).
//
// So these uses need no stream of the platform:
//
//   for await (const chunk of request.body)        getReader().read()         getReader({ mode: 'byob' }).read(view)
//   cancel()   locked   releaseLock()   closed
//
// Everything else does: tee(), pipeTo(), pipeThrough(), a Request or a Response with this body, views that are no
// Uint8Array. Then a stream of the platform is made, which goes on where ours stands. If a BYOB reader was asked for
// before, the platform's is a byte stream. Where the platform keeps no state under symbols (Bun), the stream of a body
// is the platform's from the beginning.
//
// Middleware often asks for `response.body` and seldom reads it. So the stream of a body that is all here has its reads
// made when they are needed.
//
// Next: body-stream.ts, response bodies that are all here; body.ts, request bodies.

import {
  type BodyHolder,
  type BodyRead,
  type BodyReads,
  type ByteStream,
  type PlatformReader,
  streamStateError,
} from './body-reads.js';
import { doNothing, forwardSymbols } from './platform.js';

/** The promise `closed` of a reader. */
class ClosedPromise {
  readonly promise: Promise<undefined>;
  isSettled = false;
  #resolve: ((value: undefined) => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(doNothing); // a program need not look at it
  }

  resolve(): void {
    this.isSettled = true;
    this.#resolve?.(undefined);
  }

  reject(reason: unknown): void {
    this.isSettled = true;
    this.#reject?.(reason);
  }

  follow(other: Promise<unknown>): void {
    other.then(
      () => this.resolve(),
      (reason) => this.reject(reason),
    );
  }
}

function releasedError(): TypeError {
  return streamStateError('The reader is not attached to a stream');
}

function releasedReader(hasViews: boolean): object {
  const stream = new ReadableStream({ type: 'bytes' });
  const reader = hasViews ? stream.getReader({ mode: 'byob' }) : stream.getReader();
  reader.releaseLock();
  return reader;
}

/** The common part of both readers. */
class ReaderLock implements BodyHolder {
  readonly hasViews: boolean;
  #reads: BodyReads | undefined; // undefined: it was released
  #closed: ClosedPromise | undefined; // made when it is asked for
  #real: PlatformReader | undefined;

  constructor(reads: BodyReads, hasViews: boolean) {
    this.hasViews = hasViews;
    reads.lock(this);
    this.#reads = reads;
  }

  /** A reader of the platform. */
  get real(): object {
    if (this.#reads?.real === undefined) this.#real ??= releasedReader(this.hasViews) as PlatformReader;
    return this.#real as PlatformReader;
  }

  get closed(): Promise<undefined> {
    if (this.#closed === undefined) {
      this.#closed = new ClosedPromise();
      if (this.#real !== undefined) this.#closed.follow(this.#real.closed);
      else if (this.#reads === undefined) this.#closed.reject(releasedError());
      else this.#reads.tell(this);
    }
    return this.#closed.promise;
  }

  read(): Promise<BodyRead> {
    return this.#reads?.read() ?? Promise.reject(releasedError());
  }

  readInto(view: Uint8Array, options: { min?: number } | undefined): Promise<BodyRead> {
    const reads = this.#reads;
    if (reads === undefined) return Promise.reject(releasedError());
    const min = options === undefined ? 1 : leastOf(options);
    if (isPlainView(view) && Number.isInteger(min) && min > 0 && min <= view.length) return reads.readInto(view, min);
    return (this.real as PlatformReader).read(view, options as { min: number });
  }

  cancel(reason: unknown): Promise<void> {
    return this.#reads?.cancel(reason) ?? Promise.reject(releasedError());
  }

  releaseLock(): void {
    const reads = this.#reads;
    if (reads === undefined) return;
    this.#reads = undefined;
    if (this.#closed?.isSettled) this.#closed = undefined; // the next one tells of the release
    if (this.#real === undefined) this.#closed?.reject(releasedError());
    reads.release();
  }

  onClose(): void {
    this.#closed?.resolve();
  }

  onError(reason: unknown): void {
    this.#closed?.reject(reason);
  }

  onReal(reader: PlatformReader): void {
    this.#real = reader;
    this.#closed?.follow(reader.closed);
  }
}

/** Views of the other kinds, and all that cannot be read into, are the platform's to judge. */
function isPlainView(view: unknown): view is Uint8Array {
  if (!(view instanceof Uint8Array) || !(view.buffer instanceof ArrayBuffer) || view.length === 0) return false;
  return view.constructor === Uint8Array || Buffer.isBuffer(view);
}

function leastOf(options: { min?: number } | null): number {
  if (options === null || typeof options !== 'object') return options === null ? 1 : 0;
  return options.min ?? 1;
}

class BodyReader {
  readonly #lock: ReaderLock;

  constructor(reads: BodyReads) {
    this.#lock = new ReaderLock(reads, false);
  }

  static realOf(reader: object): object {
    return (reader as BodyReader).#lock.real;
  }

  get closed(): Promise<undefined> {
    return this.#lock.closed;
  }

  read(): Promise<BodyRead> {
    return this.#lock.read();
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#lock.cancel(reason);
  }

  releaseLock(): void {
    this.#lock.releaseLock();
  }
}

class BodyViewReader {
  readonly #lock: ReaderLock;

  constructor(reads: BodyReads) {
    this.#lock = new ReaderLock(reads, true);
  }

  static realOf(reader: object): object {
    return (reader as BodyViewReader).#lock.real;
  }

  get closed(): Promise<undefined> {
    return this.#lock.closed;
  }

  read(view: Uint8Array, options?: { min?: number }): Promise<BodyRead> {
    return this.#lock.readInto(view, options);
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#lock.cancel(reason);
  }

  releaseLock(): void {
    this.#lock.releaseLock();
  }
}

/** Of `for await`. It releases the stream at the end, and cancels it if the loop is left before. */
class BodyIterator implements BodyHolder {
  readonly #reads: BodyReads;
  readonly #keeps: boolean; // the stream is not cancelled when the loop is left
  #isOver = false;
  #last: Promise<unknown> | undefined; // of next() or return()
  #isChained = false; // a call waits for the one before

  constructor(reads: BodyReads, keeps: boolean) {
    this.#reads = reads;
    this.#keeps = keeps;
    reads.lock(this);
  }

  get hasViews(): boolean {
    return false;
  }

  next(): Promise<BodyRead> {
    if (this.#mustWait) return this.#behind(() => this.#read());
    const read = this.#read();
    this.#last = read;
    return read;
  }

  return(value?: unknown): Promise<{ done: boolean; value: unknown }> {
    return this.#mustWait ? this.#behind(() => this.#leave(value)) : this.#leave(value);
  }

  /** Calls run one after the other. */
  get #mustWait(): boolean {
    if (this.#isChained || this.#last === undefined) return this.#isChained;
    return !this.#isOver && (this.#reads.isWaiting || this.#reads.made !== undefined);
  }

  #behind<T>(run: () => Promise<T>): Promise<T> {
    const result = (this.#last as Promise<unknown>).then(run, run);
    this.#last = result;
    this.#isChained = true;
    const unchain = (): void => {
      if (this.#last === result) this.#isChained = false;
    };
    result.then(unchain, unchain);
    return result;
  }

  #read(): Promise<BodyRead> {
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    const isEnded = !this.#reads.isOpen; // perhaps before there was an iterator
    const read = this.#reads.read();
    if (this.#reads.made !== undefined) return this.#watch(read);
    if (isEnded || this.#reads.hasFailed) this.#end();
    return read;
  }

  /** A read of the platform's, which does not tell the iterator of the end. */
  async #watch(read: Promise<BodyRead>): Promise<BodyRead> {
    try {
      const result = await read;
      if (result.done) this.#end();
      return result;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async #leave(value: unknown): Promise<{ done: boolean; value: unknown }> {
    if (this.#isOver) return { done: true, value };
    const cancelled = this.#keeps ? undefined : this.#reads.cancel(value);
    this.#end();
    await cancelled;
    return { done: true, value };
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#reads.release();
  }

  onClose(hasRead: boolean): void {
    if (hasRead) this.#end();
  }

  onError(_reason: unknown, hasRead: boolean): void {
    if (hasRead) this.#end();
  }

  onReal(): void {
    if (this.#last !== undefined) this.#watch(this.#last as Promise<BodyRead>).catch(doNothing); // its caller gets that
  }
}

/** A body, as its stream sees it. */
export interface StreamSource {
  readonly reads: BodyReads;
  readonly isLocked: boolean;
}

let sourceOf: (stream: object) => StreamSource | undefined;

class LazyStream {
  readonly #source: StreamSource;

  static {
    sourceOf = (stream) => (#source in stream ? stream.#source : undefined);
  }

  constructor(source: StreamSource) {
    this.#source = source;
  }

  static realOf(stream: object): ByteStream {
    return (stream as LazyStream).#source.reads.real;
  }

  get locked(): boolean {
    return this.#source.isLocked;
  }

  cancel(reason?: unknown): Promise<void> {
    const { reads } = this.#source;
    if (reads.isLocked) return Promise.reject(streamStateError('ReadableStream is locked'));
    return reads.cancel(reason);
  }

  getReader(options?: { mode?: unknown } | null): object {
    const { reads } = this.#source;
    const mode = options?.mode;
    const isBytes = mode !== undefined && `${mode}` === 'byob';
    if (reads.made !== undefined || !isDictionary(options) || (mode !== undefined && !isBytes))
      return reads.real.getReader(options as { mode: undefined });
    return isBytes ? new BodyViewReader(reads) : new BodyReader(reads);
  }

  values(options?: { preventCancel?: boolean } | null): object {
    const { reads } = this.#source;
    const isOurs = reads.made === undefined && isDictionary(options);
    if (!isOurs) return reads.real.values(options as { preventCancel?: boolean });
    return new BodyIterator(reads, Boolean(options?.preventCancel));
  }
}

function isDictionary(options: unknown): boolean {
  return options === undefined || typeof options === 'object';
}

/** Makes `ours` look like `theirs`. */
function stepInto(ours: { prototype: object }, theirs: object): void {
  Reflect.deleteProperty(ours.prototype, 'constructor'); // the platform's shows
  Object.setPrototypeOf(ours.prototype, theirs);
}

function becomePlatform(): boolean {
  const blank = new ReadableStream({ type: 'bytes' });
  if (!forwardSymbols(LazyStream.prototype, blank, LazyStream.realOf)) return false;
  Object.defineProperty(LazyStream.prototype, Symbol.asyncIterator, {
    value: LazyStream.prototype.values,
    writable: true,
    configurable: true,
  });
  const reader = blank.getReader();
  forwardSymbols(BodyReader.prototype, reader, BodyReader.realOf);
  reader.releaseLock();
  forwardSymbols(BodyViewReader.prototype, blank.getReader({ mode: 'byob' }), BodyViewReader.realOf);
  const iterator = new ReadableStream().values();
  stepInto(LazyStream, ReadableStream.prototype);
  stepInto(BodyReader, ReadableStreamDefaultReader.prototype);
  stepInto(BodyViewReader, ReadableStreamBYOBReader.prototype);
  stepInto(BodyIterator, Object.getPrototypeOf(iterator));
  return true;
}

const isLazy = becomePlatform();

// On Node, a clone of an object of ours would be an object without anything. Deno finds the platform's stream.
const threads = 'Deno' in globalThis ? undefined : process.getBuiltinModule?.('node:worker_threads');
const forbidClones: ((stream: object) => void) | undefined = Reflect.get(threads ?? {}, 'markAsUncloneable');

export { sourceOf };

/** The stream of a body, of which nothing was read. */
export function lazyStream(source: StreamSource): ByteStream {
  if (!isLazy) return source.reads.real;
  const stream = new LazyStream(source);
  forbidClones?.(stream); // Node has this since 22.10
  return stream as unknown as ByteStream;
}
