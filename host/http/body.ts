// The body of one request, between the connection that receives it and the handler that reads it at its own pace.
//
//   bytes() was called   received --> [ one array of the body's length ] --> resolved once, at the end
//   text() was called    the same; but what comes as a whole becomes text where it lies, without an array, and a short
//                        array is used again
//   a stream waits       received --> the stream, or the array that its reader has brought
//   neither              received --> [ queue ]
//
// When more than HIGH_WATER_BYTES are in the queue, the connection stops receiving, and TCP slows the client down.
//
// A client states a length and may send nothing. So the array for bytes() begins at FIRST_BYTES and grows to GROWTH
// times what has come. If that is half of the length or more, it gets the whole length: growing once more would copy
// all of it.
//
// Next: body-reads.ts, the stream.

import { ByteQueue } from '../base/byte-queue.js';
import { FeatherstarError } from '../base/errors.js';
import { copyTo, ownCopy, received, receiveTarget, spare, TARGET_BYTES, uninitialized } from '../base/own-bytes.js';
import { BodyReads } from './body-reads.js';
import { lazyStream } from './lazy-stream.js';
import { RequestTrailers } from './trailers.js';

export const HIGH_WATER_BYTES = 65_536;
const FIRST_BYTES = 65_536;
const GROWTH = 16;

export interface BodySource {
  /** The handler reads for the first time: a client that waits for 100 Continue gets it. */
  onFirstRead(): void;
  /** The body is not full any more. */
  onDrain(): void;
}

/** A stream that waits for bytes of a body. It gets one run of them, or the end, and waits no more. */
export interface BodyWaiter {
  enqueue(run: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
}

/** A stream whose reader brings arrays. */
export interface BodyFiller {
  /** An array to receive into; undefined: any array will do; null: it is to wait, until the next give(). */
  target(restBytes: number): Uint8Array | null | undefined;
  /** The first `bytes` of an array of target() have come. False: it is not wanted any more. */
  onTarget(target: Uint8Array, bytes: number): boolean;
  /** Copies bytes of `source[start, end)` to where they are wanted. Returns where it stopped. */
  fill(source: Uint8Array, start: number, end: number): number;
}

export function usedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_BODY', 'the body was read already');
}

interface WholeReader {
  resolve(bytes: Uint8Array): void;
  reject(reason: unknown): void;
  /** For one that wants text: all of it is `source[start, end)`. */
  resolveText?: (source: Uint8Array, start: number, end: number) => void;
}

const BYTE_ORDER_MARK = 0xfeff;
const decoder = new TextDecoder();

/** Text of UTF-8, like decoder.decode(), which takes no shared memory. */
function decode(source: Uint8Array, start: number, end: number): string {
  if (!Buffer.isBuffer(source)) return decoder.decode(source.subarray(start, end));
  const text = source.toString('utf8', start, end);
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
}

function part(source: Uint8Array, start: number, end: number, isOwn: boolean): Uint8Array {
  return isOwn ? source.subarray(start, end) : ownCopy(source, start, end);
}

export class RequestBody {
  readonly #source: BodySource;
  readonly #lengthBytes: number;
  readonly #queue = new ByteQueue();
  #done = false;
  #error: unknown;
  #used = false;
  #discarding = false;
  #target: Uint8Array | undefined; // where bytes are received to
  #reader: WholeReader | undefined; // bytes() waits for the end
  #whole: Uint8Array | undefined; // for it, if the length is known
  #wholeBytes = 0; // of which this many are filled
  #textTarget: Uint8Array | undefined; // #whole is a part of it, if it is for text()
  #stream: ReadableStream<Uint8Array> | undefined;
  #reads: BodyReads | undefined; // its state
  #waiter: BodyWaiter | undefined; // the stream waits for bytes
  #filler: BodyFiller | undefined; // the stream's reader brings arrays
  #lender: BodyFiller | undefined; // #target is one of them
  #isStalled = false; // nothing is received until the reader has brought one
  #trailers: RequestTrailers | undefined;

  /** `lengthBytes`: of the whole body, 0 if it is not known. Not more than that will be pushed. */
  constructor(source: BodySource, lengthBytes: number) {
    this.#source = source;
    this.#lengthBytes = lengthBytes;
  }

  /** Whether a reader has claimed it. */
  get used(): boolean {
    return this.#used;
  }

  /** Whether it was claimed, or its stream was cancelled, or is read by a function of the platform. */
  get isDisturbed(): boolean {
    return this.#used || this.#reads?.isUsed === true;
  }

  /** Why the rest will never come; undefined while it may. */
  get error(): unknown {
    return this.#error;
  }

  /** Whether no bytes wait in the queue. */
  get isEmpty(): boolean {
    return this.#queue.bytes === 0;
  }

  /** Whether bytes are passed on as they come, and are not copied to where they are wanted. */
  get keepsRuns(): boolean {
    return this.#reader === undefined && this.#filler === undefined && !this.#discarding;
  }

  /** Whether more bytes had better wait. For bytes() only the server's limit holds (`bodyBytes`). */
  get isFull(): boolean {
    return this.#reader === undefined && this.#queue.bytes > HIGH_WATER_BYTES;
  }

  // --- the connection's side -----------------------------------------------------------------------------------------

  /** Adds `source[start, end)`. `isOwn`: `source` does not change any more, so a part of it may be kept. */
  push(source: Uint8Array, start: number, end: number, isOwn: boolean): void {
    const target = this.#target;
    this.#target = undefined;
    if (this.#discarding) return;
    if (source === target && target.buffer === this.#whole?.buffer) {
      this.#wholeBytes += end;
      return;
    }
    if (this.#reader !== undefined && this.#lengthBytes !== 0) {
      if (this.#reader.resolveText !== undefined && end - start === this.#lengthBytes) {
        this.#reader.resolveText(source, start, end);
        this.#reader = undefined;
        return;
      }
      const at = this.#wholeBytes;
      copyTo(this.#room(end - start), at, source, start, end);
      return;
    }
    const isTarget = source === target;
    const lender = isTarget ? this.#lender : undefined;
    if (lender?.onTarget(source, end)) return;
    const from = this.#filler?.fill(source, start, end) ?? start;
    if (from < end) this.#pass(source, from, end, isTarget, isOwn && lender === undefined);
    else if (isTarget && lender === undefined) spare(source);
  }

  #pass(source: Uint8Array, start: number, end: number, isTarget: boolean, isOwn: boolean): void {
    const isWhole = isTarget && isOwn && start === 0;
    const run = isWhole ? received(source, end) : part(source, start, end, isOwn);
    const waiter = this.#waiter;
    this.#waiter = undefined;
    if (waiter === undefined) this.#queue.push(run);
    else waiter.enqueue(run);
  }

  /** An array for some of the `restBytes` that are still to come. The next push() has it as its source. Null: wait. */
  takeTarget(restBytes: number): Uint8Array | null {
    this.#lender = undefined;
    if (this.#reader === undefined) {
      const target = this.#filler?.target(restBytes);
      this.#isStalled = target === null;
      if (target) this.#lender = this.#filler;
      if (target === null) return null;
      this.#target = target ?? receiveTarget(Math.min(restBytes, TARGET_BYTES));
    } else {
      const at = this.#wholeBytes;
      const isFilled = this.#whole === undefined || at === this.#whole.length;
      const whole = isFilled ? this.#grow(at + 1) : (this.#whole as Uint8Array);
      this.#target = whole.subarray(at, at + restBytes);
    }
    return this.#target;
  }

  /** A part of the lines behind the last chunk. */
  addTrailers(text: string): void {
    this.#trailers ??= new RequestTrailers();
    this.#trailers.add(text);
  }

  end(): void {
    this.#done = true;
    this.#trailers?.end();
    this.#reader?.resolve(this.#whole ?? this.#queue.takeAll());
    if (this.#textTarget !== undefined) spare(this.#textTarget);
    this.#textTarget = undefined;
    this.#waiter?.close();
    this.#forgetReaders();
  }

  fail(error: unknown): void {
    if (this.#done) return;
    this.#error = error;
    this.#done = true;
    this.#trailers?.fail(error);
    this.#reader?.reject(error);
    this.#waiter?.error(error);
    this.#forgetReaders();
  }

  #forgetReaders(): void {
    this.#reader = undefined;
    this.#whole = undefined;
    this.#waiter = undefined;
  }

  /** The response is out: later bytes are dropped. */
  discard(): void {
    this.#discarding = true;
    if (this.#queue.bytes !== 0) this.#done = false; // who reads on must not take the rest for the end
    this.#queue.clear();
    if (!this.#done) this.fail(new FeatherstarError('FEATHERSTAR_BODY', 'the body was not read before the answer'));
  }

  // --- the handler's side --------------------------------------------------------------------------------------------

  /** The first reader has all of the body. */
  claim(): void {
    if (this.#used) throw usedError();
    this.#used = true;
    this.#source.onFirstRead();
  }

  /** The array of the whole body, with `bytes` more counted as filled. */
  #room(bytes: number): Uint8Array {
    const filled = this.#wholeBytes;
    const wanted = filled + bytes;
    this.#wholeBytes = wanted;
    const before = this.#whole;
    return before !== undefined && wanted <= before.length ? before : this.#grow(wanted, filled);
  }

  /** A longer array of the whole body, for `wanted` bytes at least, of which `filled` are there. */
  #grow(wanted: number, filled = this.#wholeBytes): Uint8Array {
    const before = this.#whole;
    const size = Math.max(FIRST_BYTES, GROWTH * wanted);
    const whole = this.#wholeOf(2 * size >= this.#lengthBytes ? this.#lengthBytes : size);
    if (before !== undefined) copyTo(whole, 0, before, 0, filled);
    this.#whole = whole;
    return whole;
  }

  /** An array of `bytes`. That of text() is not its reader's: it is used again. */
  #wholeOf(bytes: number): Uint8Array {
    if (this.#reader?.resolveText === undefined || bytes > TARGET_BYTES) return uninitialized(bytes);
    this.#textTarget = receiveTarget(TARGET_BYTES);
    return this.#textTarget.subarray(0, bytes);
  }

  async bytes(): Promise<Uint8Array> {
    this.claim();
    if (this.#error !== undefined) throw this.#error;
    if (this.#done) return this.#queue.takeAll();
    return new Promise((resolve, reject) => {
      this.#readWhole({ resolve, reject });
    });
  }

  /** Decoded from UTF-8. */
  async text(): Promise<string> {
    this.claim();
    if (this.#error !== undefined) throw this.#error;
    if (this.#done) return decoder.decode(this.#queue.takeAll());
    return new Promise((resolve, reject) => {
      const resolveText = (source: Uint8Array, start: number, end: number) => {
        try {
          resolve(decode(source, start, end));
        } catch (error) {
          reject(error); // longer than a string can be
        }
      };
      this.#readWhole({ resolve: (bytes) => resolveText(bytes, 0, bytes.length), reject, resolveText });
    });
  }

  #readWhole(reader: WholeReader): void {
    const wasFull = this.isFull;
    this.#reader = reader;
    const count = this.#queue.bytes;
    if (this.#lengthBytes !== 0 && count !== 0) this.#queue.moveTo(this.#room(count), 0, count);
    if (wasFull || this.#isStalled) this.#drain();
  }

  /** Resolves when all of the body is in. */
  get trailers(): Promise<Headers> {
    if (this.#trailers === undefined) {
      this.#trailers = new RequestTrailers();
      if (this.#error !== undefined) this.#trailers.fail(this.#error);
      else if (this.#done) this.#trailers.end();
    }
    return this.#trailers.whole;
  }

  get stream(): ReadableStream<Uint8Array> {
    if (this.#stream === undefined) {
      this.#reads = new BodyReads(this);
      this.#stream = lazyStream(this.#reads);
    }
    return this.#stream;
  }

  // --- for the stream ------------------------------------------------------------------------------------------------

  /** The first run that waits in the queue. */
  shift(): Uint8Array | undefined {
    const wasFull = this.isFull;
    const run = this.#queue.shift();
    this.#afterTaking(wasFull);
    return run;
  }

  /** Moves bytes out of the queue to the beginning of `view`. Returns how many. */
  moveTo(view: Uint8Array): number {
    const wasFull = this.isFull;
    const bytes = this.#queue.moveTo(view, 0, view.length);
    this.#afterTaking(wasFull);
    return bytes;
  }

  #afterTaking(wasFull: boolean): void {
    if (wasFull && !this.isFull) this.#drain();
  }

  /** Puts bytes in front of the queue again. */
  putBack(bytes: Uint8Array): void {
    this.#queue.unshift(bytes);
  }

  /** Gives `waiter` the next run, or the end: now, or when it comes. */
  give(waiter: BodyWaiter): void {
    const run = this.shift();
    if (run !== undefined) waiter.enqueue(run);
    else if (this.#error !== undefined) waiter.error(this.#error);
    else if (this.#done) waiter.close();
    else {
      this.#waiter = waiter;
      if (this.#isStalled) this.#drain();
    }
  }

  /** Returns whether a stream has waited. */
  stopWaiting(): boolean {
    const hasWaited = this.#waiter !== undefined;
    this.#waiter = undefined;
    return hasWaited;
  }

  /** The reader of the stream brings arrays from now on; undefined: it does no more. */
  setFiller(filler: BodyFiller | undefined): void {
    this.#filler = filler;
    if (this.#isStalled) this.#drain();
  }

  /** The stream was cancelled. */
  cancel(): void {
    this.discard();
    if (this.#isStalled) this.#drain();
  }

  #drain(): void {
    this.#isStalled = false;
    this.#source.onDrain();
  }
}
