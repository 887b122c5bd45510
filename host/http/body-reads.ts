// The state of a body's stream: who reads, what waits, and how it ended. A platform's stream costs 15 µs for a chunk.
// So reads are answered from the queue of the body here. A stream of the platform is made only if a function of the
// platform touches ours (lazy-stream.ts).
//
//   the body --run--> [ reads that wait, in order ] --> the holder: a reader or an iterator, one at a time
//            --bytes-> the view of the first of them, if it has brought one (a BYOB reader)
//
//   open --cancel(), the end, an error--> closed, failed
//   open, closed, failed --real--> the platform's: it takes over the holder and the reads that wait
//
// A holder with views: the kernel receives large bodies straight into the view of the first read. If no read waits,
// nothing is received until there is one. The view's buffer was transferred, so no code can touch it meanwhile.
//
// Next: lazy-stream.ts, which has the classes that a program sees.

import { copyTo } from '../base/own-bytes.js';
import { Queue } from '../base/queue.js';
import type { BodyFiller, BodyWaiter, RequestBody } from './body.js';
import { doNothing } from './platform.js';

export type ByteStream = ReadableStream<Uint8Array>;

const VIEW_BYTES = 16_384; // of room in a view; with less, bytes come in a larger array, which costs a copy

/** The result of a read. */
export interface BodyRead {
  done: boolean;
  value: Uint8Array | undefined;
}

/** A reader of the platform. */
export interface PlatformReader {
  readonly closed: Promise<unknown>;
  read(view?: Uint8Array, options?: { min: number }): Promise<BodyRead>;
  cancel(reason?: unknown): Promise<void>;
  releaseLock(): void;
}

/** A reader or an iterator: it holds the lock of a stream. */
export interface BodyHolder {
  /** Whether its reads bring views. */
  readonly hasViews: boolean;
  /** The end has come, or an error. `hasRead`: for a read of the holder that waited. */
  onClose(hasRead: boolean): void;
  onError(reason: unknown, hasRead: boolean): void;
  /** The platform's stream does the work from now on, and this is its reader. */
  onReal(reader: PlatformReader): void;
}

interface WaitingRead {
  resolve(result: BodyRead): void;
  reject(reason: unknown): void;
  /** Its array, of which `filledBytes` are filled; it is over when `leastBytes` are. */
  view: Uint8Array | undefined;
  filledBytes: number;
  leastBytes: number;
}

const isPlatformUsed = process.getBuiltinModule?.('node:stream')?.Readable.isDisturbed; // Deno: false until a pull

const OPEN = 0; // states
const CLOSED = 1;
const FAILED = 2;

/** The error of an operation that the state of a stream or a reader does not allow. */
export function streamStateError(text: string): TypeError {
  return Object.assign(new TypeError(`Invalid state: ${text}`), { code: 'ERR_INVALID_STATE' }); // as Node has it
}

/** An array of the kind of `view`, and where that is, with its first `bytes`. */
function viewLike(view: Uint8Array, buffer: ArrayBufferLike, byteOffset: number, bytes: number): Uint8Array {
  return Buffer.isBuffer(view) ? Buffer.from(buffer, byteOffset, bytes) : new Uint8Array(buffer, byteOffset, bytes);
}

function filledPart(view: Uint8Array, bytes: number): Uint8Array {
  return bytes === view.length ? view : viewLike(view, view.buffer, view.byteOffset, bytes);
}

const hasTransfer = 'transfer' in ArrayBuffer.prototype;

/** The bytes of `buffer` in a buffer that nothing else refers to. Throws TypeError if it cannot be detached. */
function transferredBuffer(buffer: ArrayBuffer & { transfer(): ArrayBuffer }): ArrayBuffer {
  if (hasTransfer) return buffer.transfer();
  const own = structuredClone(buffer, { transfer: [buffer] });
  if (buffer.byteLength !== 0) throw new TypeError('the buffer of the view cannot be transferred'); // it was copied
  return own;
}

function transferredView(view: Uint8Array): Uint8Array {
  const { byteOffset, length } = view;
  return viewLike(view, transferredBuffer(view.buffer as Parameters<typeof transferredBuffer>[0]), byteOffset, length);
}

export class BodyReads implements BodyWaiter, BodyFiller {
  private readonly body: RequestBody;
  private readonly isWhole: boolean;
  private readonly waiting = new Queue<WaitingRead>();
  private holder: BodyHolder | undefined;
  private state = OPEN;
  private reason: unknown; // of the failure
  private isDisturbed = false;
  private isClaimed = false; // the body is the stream's
  private pulls = false; // bytes were asked for by a reader that was released since
  private wantsBytes: boolean; // a reader with views was asked for
  private lent: Uint8Array | undefined; // of the first read's view: bytes are received into it
  private platform: ReadableStream<Uint8Array> | undefined;
  private platformReader: PlatformReader | undefined; // of the holder

  /** `isWhole`: all of the body is in its queue, as one run. */
  constructor(body: RequestBody, isWhole = false) {
    this.body = body;
    this.isWhole = isWhole;
    this.wantsBytes = isWhole;
  }

  // --- the stream's side ---------------------------------------------------------------------------------------------

  /** For lazyStream(), whose sources may make their reads later: these are made. */
  get reads(): BodyReads {
    return this;
  }

  /** The platform's stream, if there is one. Then it does all the work. */
  get made(): ReadableStream<Uint8Array> | undefined {
    return this.platform;
  }

  get isLocked(): boolean {
    return this.platform?.locked ?? this.holder !== undefined;
  }

  get isOpen(): boolean {
    return this.state === OPEN;
  }

  get hasFailed(): boolean {
    return this.state === FAILED;
  }

  /** Whether bytes were asked for, or it was cancelled. pipeTo() of the platform asks at once, and pulls later. */
  get isUsed(): boolean {
    if (this.isDisturbed || this.platform === undefined) return this.isDisturbed;
    return isPlatformUsed?.(this.platform as never) === true;
  }

  /** Whether a read waits for bytes. */
  get isWaiting(): boolean {
    return this.waiting.length !== 0;
  }

  /** Throws TypeError if the stream is locked. */
  lock(holder: BodyHolder): void {
    if (this.isLocked) throw streamStateError('ReadableStream is locked');
    this.holder = holder;
    if (!holder.hasViews) return;
    this.wantsBytes = true;
    this.body.setFiller(this);
  }

  /** Tells the holder of an end that came before it. */
  tell(holder: BodyHolder): void {
    if (this.state === CLOSED) holder.onClose(false);
    else if (this.state === FAILED) holder.onError(this.reason, false);
  }

  /** Unlocks the stream. */
  release(): void {
    this.holder = undefined;
    if (this.platformReader !== undefined) {
      this.platformReader.releaseLock();
      this.platformReader = undefined;
      return;
    }
    const reads = this.takeReads();
    if (reads.length === 0) return;
    const error = streamStateError('Releasing reader');
    for (const { reject } of reads) reject(error);
  }

  read(): Promise<BodyRead> {
    if (this.platformReader !== undefined) return passed(this.platformReader.read());
    const run = this.mayTake() ? this.body.shift() : undefined;
    if (run !== undefined) {
      this.endWhole();
      return Promise.resolve({ done: false, value: run });
    }
    return this.later(undefined, 0, 1);
  }

  /** Fills `view` with `leastBytes` or more. Its buffer is detached. */
  readInto(view: Uint8Array, leastBytes: number): Promise<BodyRead> {
    if (this.platformReader !== undefined) return passed(this.platformReader.read(view, { min: leastBytes }));
    const mayTake = this.mayTake();
    if (this.state === FAILED) return Promise.reject(this.reason);
    let own: Uint8Array;
    try {
      own = transferredView(view);
    } catch (error) {
      return Promise.reject(error);
    }
    const bytes = mayTake ? this.body.moveTo(own) : 0;
    if (bytes >= leastBytes) {
      this.endWhole();
      return Promise.resolve({ done: false, value: filledPart(own, bytes) });
    }
    return this.later(own, bytes, leastBytes);
  }

  cancel(reason: unknown): Promise<void> {
    const real = this.platformReader ?? this.platform;
    if (real !== undefined) return real.cancel(reason);
    this.isDisturbed = true;
    if (this.state === FAILED) return Promise.reject(this.reason);
    if (this.state === CLOSED) return Promise.resolve();
    this.state = CLOSED;
    const reads = this.takeReads();
    this.body.stopWaiting();
    this.holder?.onClose(reads.length !== 0);
    for (const { resolve } of reads) resolve({ done: true, value: undefined });
    this.body.cancel();
    return Promise.resolve().then(doNothing); // resolves behind the reads
  }

  /** Whether a read can have bytes at once, if some are there. The first one claims the body. */
  private mayTake(): boolean {
    this.isDisturbed = true;
    if (this.state !== OPEN || this.waiting.length !== 0) return false;
    try {
      this.claim();
      return true;
    } catch (error) {
      this.error(error);
      return false;
    }
  }

  /** A body that is all here ends with its last byte, not with the read behind that. */
  private endWhole(): void {
    if (this.isWhole && this.body.isEmpty) this.close();
  }

  private claim(): void {
    this.isDisturbed = true;
    if (this.isClaimed) return;
    this.body.claim();
    this.isClaimed = true;
  }

  private later(view: Uint8Array | undefined, filledBytes: number, leastBytes: number): Promise<BodyRead> {
    return new Promise((resolve, reject) => {
      const read: WaitingRead = { resolve, reject, view, filledBytes, leastBytes };
      if (this.state === CLOSED) endRead(read);
      else if (this.state === FAILED) reject(this.reason);
      else {
        this.waiting.push(read);
        if (this.waiting.length === 1) this.body.give(this);
      }
    });
  }

  /** The reads that wait. The body gets back what it has given to the first of them. */
  private takeReads(): WaitingRead[] {
    this.lent = undefined;
    const reads = this.waiting.length === 0 ? [] : this.waiting.takeAll();
    const { view, filledBytes } = reads[0] ?? {};
    if (view !== undefined && filledBytes) this.body.putBack(view.slice(0, filledBytes));
    if (this.wantsBytes) this.body.setFiller(undefined);
    return reads;
  }

  // --- the body's side -----------------------------------------------------------------------------------------------

  enqueue(run: Uint8Array): void {
    const read = this.waiting.shift();
    if (read === undefined)
      this.body.putBack(run); // its reader was released
    else read.resolve({ done: false, value: run });
    if (this.waiting.length !== 0) this.body.give(this);
  }

  close(): void {
    this.state = CLOSED;
    this.lent = undefined;
    const reads = this.waiting.takeAll();
    this.holder?.onClose(reads.length !== 0);
    for (const read of reads) endRead(read);
  }

  error(reason: unknown): void {
    this.state = FAILED;
    this.reason = reason;
    this.lent = undefined;
    const reads = this.waiting.takeAll();
    this.holder?.onError(reason, reads.length !== 0);
    for (const { reject } of reads) reject(reason);
  }

  target(restBytes: number): Uint8Array | null | undefined {
    const read = this.waiting.first;
    if (read?.view === undefined) return null;
    const { view, filledBytes } = read;
    const room = view.length - filledBytes;
    if (room < VIEW_BYTES && room < restBytes) return undefined;
    this.lent = filledBytes === 0 && room <= restBytes ? view : view.subarray(filledBytes, filledBytes + restBytes);
    return this.lent;
  }

  onTarget(target: Uint8Array, bytes: number): boolean {
    const read = this.waiting.first;
    if (target !== this.lent || read === undefined) return false;
    this.lent = undefined;
    this.count(read, bytes);
    return true;
  }

  fill(source: Uint8Array, start: number, end: number): number {
    let at = start;
    for (let read = this.waiting.first; at < end && read?.view !== undefined; read = this.waiting.first) {
      const { view, filledBytes } = read;
      const bytes = Math.min(view.length - filledBytes, end - at);
      copyTo(view, filledBytes, source, at, at + bytes);
      at += bytes;
      this.count(read, bytes);
    }
    return at;
  }

  /** The first read has got `bytes` more. */
  private count(read: WaitingRead, bytes: number): void {
    read.filledBytes += bytes;
    if (read.filledBytes < read.leastBytes) return;
    this.waiting.shift();
    if (this.waiting.length === 0) this.body.stopWaiting();
    read.resolve({ done: false, value: filledPart(read.view as Uint8Array, read.filledBytes) });
  }

  // --- the platform's stream -----------------------------------------------------------------------------------------

  /** A stream of the platform, in the state of this one. */
  get real(): ReadableStream<Uint8Array> {
    return this.platform ?? this.makeReal();
  }

  private makeReal(): ReadableStream<Uint8Array> {
    const { holder } = this;
    const reads = this.takeReads();
    this.pulls = this.body.stopWaiting() && reads.length === 0;
    const stream = this.wantsBytes ? this.byteStream() : this.chunkStream();
    this.platform = stream;
    if (this.isDisturbed) {
      const reader = stream.getReader();
      reader.read().catch(doNothing); // of what begin() put there
      reader.releaseLock();
    }
    if (holder === undefined) return stream;
    const reader = stream.getReader(holder.hasViews ? ({ mode: 'byob' } as object) : {}) as unknown as PlatformReader;
    this.platformReader = reader;
    for (const { resolve, reject, view, leastBytes } of reads) {
      // A copy: the kernel may have received into this one, and has not told yet.
      const copy = view && viewLike(view, view.buffer.slice(0), view.byteOffset, view.length);
      const read = copy === undefined ? reader.read() : reader.read(copy, { min: leastBytes });
      read.then(resolve, reject);
    }
    holder.onReal(reader);
    return stream;
  }

  private begin(controller: BodyWaiter): void {
    if (this.state === FAILED) controller.error(this.reason);
    else if (this.state === CLOSED) controller.close();
    else if (this.isDisturbed) controller.enqueue(new Uint8Array(1));
    if (this.pulls) this.body.give(controller);
  }

  private cancelBody(): void {
    this.isDisturbed = true;
    this.body.cancel();
  }

  private chunkStream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => this.begin(controller),
        pull: (controller) => {
          this.claim(); // fails if bytes() has the body
          this.body.give(controller);
        },
        cancel: () => this.cancelBody(),
      },
      { highWaterMark: 0 },
    );
  }

  private byteStream(): ReadableStream<Uint8Array> {
    return new ReadableStream({
      type: 'bytes',
      start: (controller) => this.begin(new ByteWaiter(controller)),
      pull: (controller) => {
        this.claim();
        const waiter = new ByteWaiter(controller);
        this.body.give(waiter);
        if (this.isWhole) waiter.close();
      },
      cancel: () => this.cancelBody(),
    }) as ReadableStream<Uint8Array>;
  }
}

/** Reads that waited when the platform took over settle one microtask late. Those behind them must, too. */
function passed(read: Promise<BodyRead>): Promise<BodyRead> {
  return read.then((result) => result);
}

/** A read behind the end of the body. A view comes back with what it has. */
function endRead({ resolve, view, filledBytes }: WaitingRead): void {
  resolve({ done: true, value: view && filledPart(view, filledBytes) });
}

/** A byte stream of the platform that waits for bytes. It transfers their buffers. */
class ByteWaiter implements BodyWaiter {
  readonly #controller: ReadableByteStreamController;

  constructor(controller: ReadableByteStreamController) {
    this.#controller = controller;
  }

  enqueue(run: Uint8Array): void {
    const isWhole = run.length === run.buffer.byteLength && !Buffer.isBuffer(run);
    this.#controller.enqueue((isWhole ? run : new Uint8Array(run)) as Uint8Array<ArrayBuffer>);
  }

  close(): void {
    try {
      this.#controller.close();
    } catch {
      return; // closed before, or the body ends in the middle of a view's element: then its reads get this error
    }
    this.#controller.byobRequest?.respond(0);
  }

  error(reason: unknown): void {
    this.#controller.error(reason);
  }
}
