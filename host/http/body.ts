// The body of one request, between the connection that receives it and the handler that reads it at its own pace. When
// more than HIGH_WATER bytes wait, the connection stops receiving, and TCP slows the client down.

import { ByteQueue } from '../base/byte-queue.js';
import { FeatherstarError } from '../base/errors.js';

export const HIGH_WATER_BYTES = 65_536;

export interface BodySource {
  /** The handler reads for the first time: a client that waits for 100 Continue gets it. */
  onFirstRead(): void;
  /** The queue is below the high-water mark again. */
  onDrain(): void;
}

export function usedError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_BODY', 'the body was read already');
}

export class RequestBody {
  readonly #source: BodySource;
  readonly #queue = new ByteQueue();
  #done = false;
  #error: unknown;
  #wake: (() => void) | undefined;
  #used = false;
  #discarding = false;
  #stream: ReadableStream<Uint8Array> | undefined;

  constructor(source: BodySource) {
    this.#source = source;
  }

  get used(): boolean {
    return this.#used;
  }

  /** Why the rest will never come; undefined while it may. */
  get error(): unknown {
    return this.#error;
  }

  get isFull(): boolean {
    return this.#queue.bytes > HIGH_WATER_BYTES;
  }

  // --- the connection's side -----------------------------------------------------------------------------------------

  /** `bytes` is the body's own from here on. */
  push(bytes: Uint8Array): void {
    if (this.#discarding) return;
    this.#queue.push(bytes);
    this.#signal();
  }

  end(): void {
    this.#done = true;
    this.#signal();
  }

  fail(error: unknown): void {
    if (this.#done) return;
    this.#error = error;
    this.#done = true;
    this.#signal();
  }

  /** The response is out: later bytes are dropped. */
  discard(): void {
    this.#discarding = true;
    if (this.#queue.bytes !== 0) this.#done = false; // who reads on must not take the rest for the end
    this.#queue.clear();
    if (!this.#done) this.fail(new FeatherstarError('FEATHERSTAR_BODY', 'the body was not read before the answer'));
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  // --- the handler's side --------------------------------------------------------------------------------------------

  #claim(): void {
    if (this.#used) throw usedError();
    this.#used = true;
    this.#source.onFirstRead();
  }

  /** The next run of bytes; undefined at the end. */
  async #next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const wasFull = this.isFull;
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        if (wasFull && !this.isFull) this.#source.onDrain();
        return bytes;
      }
      if (this.#error !== undefined) throw this.#error;
      if (this.#done) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async bytes(): Promise<Uint8Array> {
    this.#claim();
    const runs = new ByteQueue(); // joins them, however small they came
    for (let run = await this.#next(); run !== undefined; run = await this.#next()) runs.push(run);
    return runs.takeAll();
  }

  get stream(): ReadableStream<Uint8Array> {
    let isOurs = false;
    this.#stream ??= new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          if (!isOurs) this.#claim(); // fails if bytes() has them
          isOurs = true;
          const run = await this.#next();
          if (run === undefined) controller.close();
          else controller.enqueue(run);
        },
        cancel: () => this.discard(),
      },
      { highWaterMark: 0 },
    );
    return this.#stream;
  }
}
