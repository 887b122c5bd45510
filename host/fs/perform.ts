// One operation as a promise.
//
//   bytes --> block of memory --> submission --> event: look at the result, give the block back --> promise
//
// The block is a send buffer, one of the block pool, or the caller's own (SharedBytes): then nothing is copied.
//
// An abort rejects at once and asks the kernel to cancel, which for files it rarely can. When the event comes, the
// block is given back, and a file that no caller wants any more is closed. Until then the handle counts as in use. The
// kernel may look its file up late, in a thread of its own, and would find the next file in its slot.
//
// Next: directory.ts.

import { Abortable, abortable } from '../base/abortable.js';
import { FeatherstarError } from '../base/errors.js';
import type { SharedBytes } from '../calls/shared-bytes.js';
import { BLOCK_SPACE } from '../core/layout.js';
import { blockAddress, blockPool } from '../shard/block-pool.js';
import { Operation } from '../shard/operation.js';
import { operationError } from '../shard/ops.js';
import type { Owner } from '../shard/owners.js';
import type { Shard } from '../shard/shard.js';

/** A part of memory that one operation reads or writes: `bytes` bytes of a region, from `offset` on. */
export interface Block {
  readonly memory: Buffer;
  readonly offset: number;
  readonly bytes: number;
  /** How submissions name it. */
  readonly at: number;
  free(): void;
}

function sendBuffer(shard: Shard, at: number): Block {
  const bytes = shard.header.sendBufferBytes;
  return { memory: shard.bytes, offset: at, bytes, at, free: () => shard.sendBuffers.giveLasting(at) };
}

function poolBlock(shard: Shard, bytes: number): Block {
  const pool = blockPool(shard);
  const offset = pool.take(bytes);
  return { memory: shard.blocks, offset, bytes, at: blockAddress(offset), free: () => pool.release(offset) };
}

/** A part of the caller's own bytes, which stay where they are until it is free. */
export function pinnedBlock(shard: Shard, shared: SharedBytes, from: number, bytes: number): Block {
  const at = shared.pin() + from;
  return { memory: shard.blocks, offset: at - BLOCK_SPACE, bytes, at, free: () => shared.unpin() };
}

/**
 * A block of `wanted` bytes; of a send buffer's size if the larger ones are all in use. Waits for one in order. Throws
 * FULL if that would be less than `least`.
 */
export async function getBlock(
  shard: Shard,
  wanted: number,
  signal: AbortSignal | undefined,
  least = 1,
): Promise<Block> {
  if (wanted > shard.header.sendBufferBytes) {
    try {
      return poolBlock(shard, wanted);
    } catch (error) {
      const isFull = FeatherstarError.is(error) && error.code === 'FEATHERSTAR_FULL';
      if (!isFull || least > shard.header.sendBufferBytes) throw error;
    }
  }
  const at = shard.sendBuffers.takeLasting();
  return sendBuffer(shard, at === 0 ? await waitForBuffer(shard, signal) : at);
}

function waitForBuffer(shard: Shard, signal: AbortSignal | undefined): Promise<number> {
  return abortable<number>(
    (resolve) => {
      let waits = true;
      shard.sendBuffers.whenLastingFree(() => {
        if (waits) resolve(shard.sendBuffers.takeLasting()); // else it is the next one's
      });
      return () => {
        waits = false;
      };
    },
    { signal },
  );
}

/** The operations that use a handle at the moment. It is given back when it was closed and nothing uses it. */
export class Uses {
  readonly #what: string;
  readonly #giveBack: () => void;
  #count = 0;
  #isClosed = false;
  readonly #waiters: (() => void)[] = [];

  constructor(what: string, giveBack: () => void) {
    this.#what = what;
    this.#giveBack = giveBack;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  check(): void {
    if (this.#isClosed) throw new FeatherstarError('FEATHERSTAR_CLOSED', `${this.#what} is closed`);
  }

  begin(): void {
    this.check();
    this.#count++;
  }

  end(): void {
    this.#count--;
    this.#settle();
  }

  /** Resolves when it was given back. */
  close(): Promise<void> {
    const isFirst = !this.#isClosed;
    this.#isClosed = true;
    const done = new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (isFirst || this.#count === 0) this.#settle();
    return done;
  }

  #isGiven = false;

  #settle(): void {
    if (!this.#isClosed || this.#count !== 0) return;
    if (!this.#isGiven) {
      this.#isGiven = true;
      this.#giveBack();
    }
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

export interface Job<T> {
  /** For errors: what was asked, of what. */
  syscall: string;
  what: string;
  uses: Uses;
  block: Block | undefined;
  signal: AbortSignal | undefined;
  /** Stages it; throws FULL (operations.ts). */
  stage(operation: Operation): void;
  /** Converts its result, 0 or more. The block still holds. */
  done(result: number): T;
  /** It has succeeded, but its caller has given up. */
  undo?(result: number): void;
  /** Its caller has given up, and it goes on until then. */
  onAbandoned?(ended: Promise<void>): void;
}

class FileOperation<T> extends Abortable implements Owner {
  readonly #job: Job<T>;
  readonly #resolve: (value: T) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #operation: Operation;
  #isSettled = false;
  #end: (() => void) | undefined;

  constructor(shard: Shard, job: Job<T>, resolve: (value: T) => void, reject: (reason: unknown) => void) {
    super();
    this.#job = job;
    this.#resolve = resolve;
    this.#reject = reject;
    const id = shard.register(this);
    this.#operation = new Operation(shard, id, 0);
    try {
      job.stage(this.#operation);
    } finally {
      shard.unregister(id); // when the operation is over
    }
    job.uses.begin();
    if (job.signal !== undefined) this.arm(job);
  }

  onEvent(_tag: number, result: number): void {
    const job = this.#job;
    const isWanted = !this.#isSettled;
    this.#operation.ended();
    this.#settle();
    try {
      if (result < 0) this.#reject(operationError(job.syscall, result, job.what));
      else if (isWanted) this.#resolve(job.done(result));
      else job.undo?.(result);
    } catch (error) {
      this.#reject(error); // the array that it was for is not there any more
    }
    job.block?.free();
    job.uses.end();
    this.#end?.();
  }

  #settle(): void {
    this.#isSettled = true;
    this.disarm();
  }

  /** Rejects at once. An operation that was begun goes on in the kernel. */
  onAbort(reason: unknown, signal: AbortSignal | undefined): void {
    if (this.#isSettled) return;
    this.#settle();
    if (signal !== undefined) {
      this.#job.onAbandoned?.(
        new Promise((resolve) => {
          this.#end = resolve;
        }),
      );
    }
    this.#reject(reason);
    this.#operation.cancel();
  }

  waitsFor(): string {
    return `${this.#job.syscall} ${this.#job.what}`;
  }

  onShutdown(): void {
    this.#end?.(); // its event may not come any more
    this.abort(new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime closes'));
  }
}

/** Stages an operation and waits for its event. The block, if it has one, is given back in any case. */
export function perform<T>(shard: Shard, job: Job<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    try {
      if (shard.closed) throw new FeatherstarError('FEATHERSTAR_CLOSED', 'the runtime was closed');
      job.signal?.throwIfAborted();
      job.uses.check();
      new FileOperation(shard, job, resolve, reject);
    } catch (error) {
      job.block?.free();
      throw error;
    }
  });
}
